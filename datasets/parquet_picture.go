package datasets

import (
	"fmt"
	"math"
)

// Pictures in parquet files stand in a binary column, in a struct {bytes, path}, or as a path in a string column.

// needPictures refuses files without some picture columns or, at the end, other columns.
func (t *table) needPictures(names ...string) error {
	for _, name := range names {
		if !t.has(name) && !t.has(name+".bytes") && !t.has(name+".path") {
			return fmt.Errorf("the file has no column %q", name)
		}
	}
	return nil
}

// picture is the single picture of a row. Without bytes and path it is an error, unless bytes are not being read.
func (t *table) picture(name string, in *input) (Image, error) {
	all, err := t.pictures(name, in)
	switch {
	case err != nil:
		return Image{}, err
	case len(all) == 1:
		return all[0], nil
	case len(all) > 1:
		return Image{}, columnf(name, "%d pictures; want one", len(all))
	case in.WithoutData:
		return Image{unread: true}, nil
	}
	return Image{}, missing(name)
}

// pictures lists the pictures of a row.
func (t *table) pictures(name string, in *input) ([]Image, error) {
	data, paths := t.columns[name+".bytes"], t.columns[name+".path"]
	if c := t.columns[name]; c != nil && c.binary {
		data = c
	} else if c != nil {
		paths = c
	}
	unread := in.WithoutData && (t.has(name+".bytes") || t.columns[name] == nil)
	n := 0
	for _, c := range []*cursor{data, paths} {
		if c != nil {
			n = max(n, len(c.row))
		}
	}
	var all []Image
	for i := range n {
		var im Image
		if data != nil && i < len(data.row) {
			b, err := pictureBytes(data.name, data.row[i])
			if err != nil {
				return nil, err
			}
			im.Data = b
		}
		if paths != nil && i < len(paths.row) && !paths.row[i].IsNull() {
			path := in.image(string(paths.row[i].Bytes()))
			path.Data = im.Data
			im = path
		}
		if len(im.Data) == 0 && im.Path == "" && !in.WithoutData {
			if n == 1 {
				return nil, missing(name)
			}
			return nil, columnf(name, "picture %d of the list is missing", i+1)
		}
		im.unread = unread
		all = append(all, im)
	}
	return all, nil
}

// numbers lists the numbers of a row; NaN where one is null.
func (t *table) numbers(name string) ([]float64, error) {
	c := t.columns[name]
	if c == nil {
		return nil, nil
	}
	out := make([]float64, len(c.row))
	for i, v := range c.row {
		n, err := numeric(name, v)
		if err != nil {
			return nil, err
		}
		out[i] = n
	}
	return out, nil
}

// rate puts a rating on a picture, if there is one.
func (im *Image) rate(name string, value float64) {
	if math.IsNaN(value) {
		return
	}
	if im.Ratings == nil {
		im.Ratings = map[string]float64{}
	}
	im.Ratings[name] = value
}
