package datasets

import (
	"math"
	"strconv"
	"strings"
)

// csvFormat reads CSV files with quotes and a header. Columns, in any order:
//
//	prompt (or caption, text)           always
//	image                               one picture
//	chosen, rejected                    a pair; swapped by a hash of its content unless Options.KeepOrder
//	image_0, image_1, label             a pair; label (or label_0) is 0 to 1, the share for image_0; empty is no label
//	id, category, model, model_0, model_1, weight
//
// Other columns are kept as attributes. A picture is a path or an http address.
func csvFormat() *format {
	return &format{
		FormatInfo: FormatInfo{Name: "csv", About: "CSV with a header: prompts, pictures and pairs", Source: "any"},
		ext:        []string{".csv"},
		open: func(path string, in *input) (source, error) {
			return asSource(openCSV(path, in, csvRow, promptKeys))
		},
	}
}

// csvColumns are those with a meaning of their own.
var csvColumns = map[string]bool{
	"prompt": true, "Prompt": true, "Prompts": true, "caption": true, "text": true, "image": true, "chosen": true, "rejected": true,
	"image_0": true, "image_1": true, "label": true, "label_0": true, "id": true, "ID": true, "item_id": true, "category": true,
	"Category": true, "tag": true, "model": true, "model_0": true, "model_1": true, "weight": true,
}

func csvRow(c *csvFile, cells []string) (Record, error) {
	r := newRecord(KindPrompt, c.get(cells, promptKeys...))
	r.ID, r.Category = c.get(cells, idKeys...), c.get(cells, categoryKeys...)
	if err := checkPrompt("prompt", r.Prompt); err != nil {
		return r, err
	}
	for i, name := range c.header {
		if !csvColumns[name] && cells[i] != "" {
			if r.Attributes == nil {
				r.Attributes = map[string]string{}
			}
			r.Attributes[name] = strings.Clone(cells[i])
		}
	}
	if err := c.number(cells, &r.Weight, math.MaxFloat64, "weight"); err != nil {
		return r, err
	}
	for _, names := range [][2]string{{"chosen", "rejected"}, {"image_0", "image_1"}} {
		if column(c.header, names[:]) >= 0 {
			return c.pair(r, cells, names)
		}
	}
	if column(c.header, []string{"image"}) < 0 {
		return r, nil
	}
	r.Kind = KindGroup
	im, err := c.image(cells, "image", "model")
	r.Images = []Image{im}
	return r, err
}

func (c *csvFile) pair(r Record, cells []string, names [2]string) (Record, error) {
	r.Kind = KindPair
	for i, name := range names {
		im, err := c.image(cells, name, "model_"+strconv.Itoa(i))
		if err != nil {
			return r, err
		}
		r.Images = append(r.Images, im)
	}
	if names[0] == "chosen" {
		r.Label, r.Soft = 1, 1
		c.in.orient(&r)
		return r, nil
	}
	err := c.number(cells, &r.Soft, 1, "label", "label_0")
	r.Label = hardLabel(r.Soft)
	return r, err
}

func (c *csvFile) image(cells []string, name, model string) (Image, error) {
	path := c.get(cells, name)
	if path == "" {
		return Image{}, missing(name)
	}
	im := c.in.image(path)
	if strings.HasPrefix(path, "http://") || strings.HasPrefix(path, "https://") {
		im.Path, im.URL = "", path
	}
	im.Model = c.get(cells, model)
	return im, nil
}

// number reads a cell into field; an empty cell leaves it.
func (c *csvFile) number(cells []string, field *float64, most float64, names ...string) error {
	text := strings.TrimSpace(c.get(cells, names...))
	if text == "" {
		return nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= most) {
		return columnf(names[0], "%q is no number from 0 to %v", text, most)
	}
	*field = v
	return nil
}
