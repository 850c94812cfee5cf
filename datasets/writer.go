package datasets

import (
	"encoding/json"
	"fmt"
	"io"
	"math"

	"winnow/internal/atomicfile"
)

// Writer takes the records of a new file. A *RowError says that one record does not fit the format; the file goes on
// without it. Any other error is final.
type Writer interface {
	Write(r *Record) error
}

// Writers lists the formats that Write knows.
func Writers() []Format { return []Format{"jsonl", "pickapic"} }

// Write makes a file of records. fill calls the Writer for each. The file appears under its name when fill and everything
// behind it succeeded; otherwise what was there stays.
func Write(path string, name Format, fill func(w Writer) error) error {
	var open func(w io.Writer) closer
	switch name {
	case "jsonl":
		open = func(w io.Writer) closer { return newJSONLWriter(path, w) }
	case "pickapic":
		open = func(w io.Writer) closer { return newPickaPicWriter(path, w) }
	default:
		return &ArgumentError{fmt.Sprintf("format %q cannot be written; %q can", name, Writers())}
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		c := open(w)
		if err := fill(c); err != nil {
			return err
		}
		return c.finish()
	})
}

type closer interface {
	Writer
	finish() error
}

// jsonlWriter writes every field of a record. Pictures are written as what they are: a path, an address, bytes; files are
// not copied. Pictures inside archives become bytes.
type jsonlWriter struct {
	path string
	enc  *json.Encoder
	row  int
}

func newJSONLWriter(path string, w io.Writer) *jsonlWriter {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &jsonlWriter{path: path, enc: enc}
}

func (w *jsonlWriter) Write(r *Record) error {
	w.row++
	row := jsonRow{
		Kind: r.Kind.String(), Prompt: r.Prompt, Category: r.Category, Spec: r.Spec, Questions: r.Questions, Attributes: r.Attributes,
		Confidence: known(r.Confidence), Rank: numbersOf(r.Rank), Scores: numbersOf(r.Scores),
	}
	if r.ID != "" {
		row.ID, _ = json.Marshal(r.ID)
	}
	if r.Kind == KindPair || len(r.Images) == 1 && !math.IsNaN(r.Label) {
		row.Label, row.Soft = optional{true, r.Label}, known(r.Soft)
	}
	if r.Weight != 1 {
		row.Weight = known(r.Weight)
	}
	for _, v := range r.Votes {
		row.Votes = append(row.Votes, jsonVote{v.User, numbersOf(v.Rank)})
	}
	for _, list := range []struct {
		from []Image
		to   *[]jsonImage
	}{{r.Images, &row.Images}, {r.Inputs, &row.Inputs}} {
		for i := range list.from {
			im, err := written(&list.from[i])
			if err != nil {
				return place(err, w.path, w.row)
			}
			*list.to = append(*list.to, im)
		}
	}
	return w.enc.Encode(row)
}

func (w *jsonlWriter) finish() error { return nil }

func written(im *Image) (jsonImage, error) {
	j := jsonImage{Path: im.Path, URL: im.URL, Data: im.Data, UID: im.UID, Model: im.Model, Ratings: im.Ratings}
	if im.at == nil {
		if len(im.roots) > 0 && im.Path != "" && len(im.Data) == 0 {
			j.Path = im.File() // the new file may lie elsewhere
		}
		return j, nil
	}
	var err error
	j.Data, err = im.Bytes()
	return j, err
}

// MarshalJSON writes NaN as null.
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

func known(v float64) *number {
	if math.IsNaN(v) {
		return nil
	}
	n := number(v)
	return &n
}

func numbersOf(vs []float64) []number {
	var out []number
	for _, v := range vs {
		out = append(out, number(v))
	}
	return out
}
