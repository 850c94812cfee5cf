package datasets

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
)

// pickaPicColumns are the columns of Pick-a-Pic v2 in file order; v1 has the same without has_label in some copies.
var pickaPicColumns = []string{
	"are_different", "best_image_uid", "caption", "created_at", "has_label", "image_0_uid", "image_0_url", "image_1_uid",
	"image_1_url", "jpg_0", "jpg_1", "label_0", "label_1", "model_0", "model_1", "ranking_id", "user_id",
	"num_example_per_prompt", "__index_level_0__",
}

// ownColumns are added to files of pairs with scores: what each picture's score is, and the share that the first one is given.
var ownColumns = []string{"score_0", "score_1", "soft_label_0"}

// pickaPicFormat reads Pick-a-Pic v1 and v2 (yuvalkirstain/pickapic_v1 and _v2, data/*.parquet; withdrawn by the owner,
// copies exist): one pair a row, pictures as JPEG or PNG bytes in jpg_0 and jpg_1.
//
// label_0 and label_1 are 1 and 0, 0 and 1, or 0.5 and 0.5 for a tie; they decide, not best_image_uid, which may be "tie".
// Rows with has_label false exist in v2; their records have label NaN. Where picture bytes are null the URL is what is left.
// score_0, score_1 and soft_label_0 are columns of our own: Record.Scores and Record.Soft.
func pickaPicFormat() *format {
	return &format{
		FormatInfo: FormatInfo{
			Name: "pickapic", About: "Pick-a-Pic v1 and v2, pairs with pictures inside", Source: "yuvalkirstain/pickapic_v2 data/*.parquet", Kind: KindPair,
			Known: []Known{
				{"v2 train", Counts{Pairs: 959040}},
				{"v2 validation", Counts{Pairs: 20596}},
				{"v2 test", Counts{Pairs: 20716}},
				{"validation_unique or test_unique", Counts{Pairs: 500}},
			},
		},
		ext: []string{".parquet"}, keys: []string{"caption", "label_0", "label_1", "image_0_uid", "image_1_uid"},
		column: slices.Concat(pickaPicColumns, ownColumns), table: pickaPicRow,
		wants: func(t *table) error { return t.need("caption", "label_0", "image_0_uid", "image_1_uid") },
	}
}

func pickaPicRow(t *table, in *input) (Record, error) {
	caption, err := t.text("caption")
	r := newRecord(KindPair, caption)
	if err != nil {
		return r, err
	}
	for i := range 2 {
		im, err := pickaPicImage(t, in, i)
		if err != nil {
			return r, err
		}
		r.Images = append(r.Images, im)
	}
	if err := checkPrompt("caption", caption); err != nil {
		return r, err
	}
	if r.Label, err = pickaPicLabel(t); err != nil {
		return r, err
	}
	r.Soft = r.Label
	if err := pickaPicScores(t, &r); err != nil {
		return r, err
	}
	if r.ID, err = t.text("ranking_id"); err != nil {
		return r, err
	}
	r.Attributes, err = pickaPicAttributes(t)
	return r, err
}

func pickaPicImage(t *table, in *input, i int) (im Image, err error) {
	data := fmt.Sprintf("jpg_%d", i)
	for column, field := range map[string]*string{
		fmt.Sprintf("image_%d_uid", i): &im.UID, fmt.Sprintf("image_%d_url", i): &im.URL, fmt.Sprintf("model_%d", i): &im.Model,
	} {
		if *field, err = t.text(column); err != nil {
			return im, err
		}
	}
	im.unread = in.WithoutData && t.has(data)
	if im.Data, err = t.bytes(data); err != nil {
		return im, err
	}
	if len(im.Data) == 0 && im.URL == "" && !in.WithoutData && t.has(data) {
		return im, missing(data)
	}
	return im, nil
}

// pickaPicLabel is NaN where there is none.
func pickaPicLabel(t *table) (float64, error) {
	if v, ok := t.value("has_label"); ok {
		labelled, err := numeric("has_label", v)
		if err != nil || labelled == 0 {
			return math.NaN(), err
		}
	}
	a, err := t.number("label_0")
	if err != nil {
		return a, err
	}
	b, err := t.number("label_1")
	if err != nil {
		return b, err
	}
	switch {
	case math.IsNaN(a):
		return a, nil
	case a != 0 && a != 1 && a != 0.5:
		return math.NaN(), columnf("label_0", "%v is no label: want 0, 0.5 or 1", a)
	case !math.IsNaN(b) && a+b != 1:
		return math.NaN(), columnf("label_1", "%v beside label_0 %v: they must add up to 1", b, a)
	}
	return a, nil
}

// pickaPicScores reads our own columns, where the file has them.
func pickaPicScores(t *table, r *Record) error {
	scores := make([]float64, 2)
	for i := range scores {
		var err error
		if scores[i], err = t.number(ownColumns[i]); err != nil {
			return err
		}
	}
	if !math.IsNaN(scores[0]) || !math.IsNaN(scores[1]) {
		r.Scores = scores
	}
	soft, err := t.number(ownColumns[2])
	switch {
	case err != nil || math.IsNaN(soft):
		return err
	case soft < 0 || soft > 1:
		return columnf(ownColumns[2], "%v is no share: want 0 to 1", soft)
	}
	r.Soft = soft
	return nil
}

// pickaPicAttributes keeps what only a writer of the same format needs.
func pickaPicAttributes(t *table) (map[string]string, error) {
	kept := map[string]string{}
	for _, name := range []string{"are_different", "user_id", "num_example_per_prompt", "created_at", "__index_level_0__"} {
		v, ok := t.value(name)
		switch {
		case !ok:
		case name == "created_at" && v.Kind() == parquet.Int64:
			kept[name] = t.columns[name].time(v.Int64()).Format(time.RFC3339Nano)
		default:
			kept[name] = v.String()
		}
	}
	return kept, nil
}
