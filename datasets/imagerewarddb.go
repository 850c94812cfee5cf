package datasets

import (
	"errors"
	"fmt"
)

// imageRewardDBFormat reads ImageRewardDB (zai-org/ImageRewardDB, configurations 1k, 2k, 4k and 8k) as parquet, in any of its
// three forms:
//
//	plain  a picture a row: image, prompt_id, prompt, classification, image_amount_in_total, rank, overall_rating,
//	       image_text_alignment_rating, fidelity_rating. Rows of one prompt_id follow each other and become one group.
//	_group a prompt a row: image, rank and the ratings are lists
//	_pair  a comparison a row: img_better and img_worse; swapped by a hash of the content unless Options.KeepOrder
//
// Ratings run from 1 to 7. Lower ranks are better and ties occur.
func imageRewardDBFormat() *format {
	f := &format{
		FormatInfo: FormatInfo{
			Name: "imagerewarddb", About: "ImageRewardDB parquet: plain, _group and _pair",
			Source: "zai-org/ImageRewardDB data/*.parquet",
		},
		ext: []string{".parquet"}, keys: []string{"prompt_id", "prompt"},
		column: append([]string{"image", "image_path", "prompt_id", "prompt", "classification", "rank", "img_better", "img_worse"}, ratingColumns...),
		table:  imageRewardDBRow,
		wants: func(t *table) error {
			if t.needPictures("img_better", "img_worse") == nil {
				return nil
			}
			if t.needPictures("image_path") == nil {
				return t.need("prompt_id", "prompt", "rank")
			}
			return errors.Join(t.needPictures("image"), t.need("prompt_id", "prompt", "rank"))
		},
	}
	f.open = func(path string, in *input) (source, error) {
		src, err := openParquet(path, f, in)
		if err != nil {
			return nil, err
		}
		if rank := src.(*parquetFile).table.columns["rank"]; rank != nil && !rank.lists {
			src = &grouped{src: src, file: path}
		}
		return src, nil
	}
	return f
}

var ratingColumns = []string{"overall_rating", "image_text_alignment_rating", "fidelity_rating"}

func imageRewardDBRow(t *table, in *input) (Record, error) {
	prompt, err := t.text("prompt")
	r := newRecord(KindGroup, prompt)
	if err != nil {
		return r, err
	}
	if r.ID, err = t.text("prompt_id"); err != nil {
		return r, err
	}
	if r.Category, err = t.text("classification"); err != nil {
		return r, err
	}
	if err := checkPrompt("prompt", prompt); err != nil {
		return r, err
	}
	if t.columns["rank"] == nil {
		return betterWorse(t, in, r)
	}
	column := "image"
	if t.needPictures("image") != nil {
		column = "image_path"
	}
	if r.Images, err = t.pictures(column, in); err != nil {
		return r, err
	}
	if r.Rank, err = t.numbers("rank"); err != nil {
		return r, err
	}
	if in.WithoutData {
		for len(r.Images) < len(r.Rank) {
			r.Images = append(r.Images, Image{unread: true})
		}
	}
	if len(r.Rank) != len(r.Images) {
		return r, columnf("rank", "%d ranks for %d pictures", len(r.Rank), len(r.Images))
	}
	for _, name := range ratingColumns {
		values, err := t.numbers(name)
		if err != nil {
			return r, err
		}
		if len(values) > len(r.Images) {
			return r, columnf(name, "%d ratings for %d pictures", len(values), len(r.Images))
		}
		for i, v := range values {
			r.Images[i].rate(name, v)
		}
	}
	return r, nil
}

func betterWorse(t *table, in *input, r Record) (Record, error) {
	r.Kind = KindPair
	for _, column := range []string{"img_better", "img_worse"} {
		im, err := t.picture(column, in)
		if err != nil {
			return r, err
		}
		r.Images = append(r.Images, im)
	}
	r.Label, r.Soft = 1, 1
	in.orient(&r)
	return r, nil
}

// grouped joins rows that follow each other and have one ID. A broken row is reported when it is met; the group that is
// being collected goes on behind it.
type grouped struct {
	src   source
	file  string
	group *Record // being collected
	end   error
}

func (g *grouped) next() (Record, error) {
	for g.end == nil {
		r, err := g.src.next()
		var row *RowError
		switch {
		case errors.As(err, &row):
			return r, err
		case err != nil:
			g.end = err
		case g.group == nil:
			g.group = &r
		case g.group.ID != r.ID || g.group.Prompt != r.Prompt:
			done := *g.group
			g.group = &r
			return done, nil
		case len(g.group.Images) >= maxGroup:
			return r, place(fmt.Errorf("more than %d rows of one prompt_id", maxGroup), g.file, r.Row)
		default:
			g.group.Images = append(g.group.Images, r.Images...)
			g.group.Rank = append(g.group.Rank, r.Rank...)
		}
	}
	if g.group != nil {
		done := *g.group
		g.group = nil
		return done, nil
	}
	return Record{}, g.end
}

func (g *grouped) close() error { return g.src.close() }
