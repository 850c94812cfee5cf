package datasets

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
)

// pickaPicOut is a row of Pick-a-Pic v2, columns and types as there.
type pickaPicOut struct {
	AreDifferent bool     `parquet:"are_different"`
	Best         string   `parquet:"best_image_uid"`
	Caption      string   `parquet:"caption"`
	CreatedAt    *int64   `parquet:"created_at,optional,timestamp(microsecond:local)"`
	HasLabel     bool     `parquet:"has_label"`
	UID0         string   `parquet:"image_0_uid"`
	URL0         string   `parquet:"image_0_url,optional"`
	UID1         string   `parquet:"image_1_uid"`
	URL1         string   `parquet:"image_1_url,optional"`
	JPG0         []byte   `parquet:"jpg_0,optional"`
	JPG1         []byte   `parquet:"jpg_1,optional"`
	Label0       *float64 `parquet:"label_0,optional"`
	Label1       *float64 `parquet:"label_1,optional"`
	Model0       string   `parquet:"model_0,optional"`
	Model1       string   `parquet:"model_1,optional"`
	RankingID    int64    `parquet:"ranking_id"`
	UserID       *int64   `parquet:"user_id,optional"`
	Examples     int64    `parquet:"num_example_per_prompt"`
	Index        int64    `parquet:"__index_level_0__"`
}

// scoredOut has the columns that files of pairs with scores have besides.
type scoredOut struct {
	pickaPicOut
	Score0 *float64 `parquet:"score_0,optional"`
	Score1 *float64 `parquet:"score_1,optional"`
	Soft0  *float64 `parquet:"soft_label_0,optional"`
}

// rowWriter is a parquet writer of one of the two.
type rowWriter interface {
	Flush() error
	Close() error
}

// Row groups of the writer: whichever comes first.
const (
	groupRows  = 50_000
	groupBytes = 32 << 20
)

// pickaPicWriter writes pairs as Pick-a-Pic v2 does, and ranked groups as their comparisons. Pictures are read and stored in the
// file; one that only has an address is stored as that. Shares of votes become the label that they amount to, and
// num_example_per_prompt is 1 unless the record has it from a file of this format. Where the first record has scores the file gets
// the columns score_0, score_1 and soft_label_0, which keep scores and shares.
type pickaPicWriter struct {
	path  string
	out   io.Writer
	w     rowWriter // nil before the first pair
	bytes int
	row   int // records
	index int64
}

func newPickaPicWriter(path string, w io.Writer) *pickaPicWriter {
	return &pickaPicWriter{path: path, out: w}
}

func openRows[T any](w io.Writer) *parquet.GenericWriter[T] {
	return parquet.NewGenericWriter[T](w, parquet.Compression(&parquet.Snappy), parquet.CreatedBy("winnow", "", ""),
		parquet.MaxRowsPerRowGroup(groupRows), parquet.SkipPageBounds("jpg_0"), parquet.SkipPageBounds("jpg_1"))
}

var (
	errNoPair      = errors.New("the record holds no pair of pictures: Pick-a-Pic files have pairs only")
	errScoresLater = errors.New("the record has scores and the first one of the file has none: put one with scores first")
)

// put writes a row, of the form that the first one decides.
func (w *pickaPicWriter) put(r *Record, p Pair, row pickaPicOut) (err error) {
	if w.w == nil && r.Scores != nil {
		w.w = openRows[scoredOut](w.out)
	} else if w.w == nil {
		w.w = openRows[pickaPicOut](w.out)
	}
	switch out := w.w.(type) {
	case *parquet.GenericWriter[scoredOut]:
		scored := scoredOut{pickaPicOut: row, Soft0: present(p.Soft)}
		if len(r.Scores) == len(r.Images) {
			scored.Score0, scored.Score1 = present(r.Scores[p.A]), present(r.Scores[p.B])
		}
		_, err = out.Write([]scoredOut{scored})
	case *parquet.GenericWriter[pickaPicOut]:
		if r.Scores != nil {
			return place(errScoresLater, w.path, w.row)
		}
		_, err = out.Write([]pickaPicOut{row})
	}
	return err
}

// present is nil for NaN.
func present(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

func (w *pickaPicWriter) Write(r *Record) error {
	w.row++
	pictures := make([][]byte, len(r.Images))
	for i := range r.Images {
		data, err := r.Images[i].Bytes()
		if err != nil && (r.Images[i].URL == "" || !errors.Is(err, ErrNoData)) {
			return place(err, w.path, w.row)
		}
		pictures[i] = data
	}
	none := true
	for p := range r.Pairs() {
		none = false
		row := w.pair(r, p, pictures)
		if err := w.put(r, p, row); err != nil {
			return err
		}
		w.bytes += len(row.JPG0) + len(row.JPG1) + len(row.Caption)
		if w.bytes > groupBytes {
			w.bytes = 0
			if err := w.w.Flush(); err != nil {
				return err
			}
		}
	}
	if none {
		return place(errNoPair, w.path, w.row)
	}
	return nil
}

func (w *pickaPicWriter) pair(r *Record, p Pair, pictures [][]byte) pickaPicOut {
	a, b := &r.Images[p.A], &r.Images[p.B]
	row := pickaPicOut{
		Caption: r.Prompt, HasLabel: !math.IsNaN(p.Label), UID0: uid(a, pictures[p.A]), URL0: a.URL, UID1: uid(b, pictures[p.B]), URL1: b.URL,
		JPG0: pictures[p.A], JPG1: pictures[p.B], Model0: a.Model, Model1: b.Model, RankingID: w.index, Examples: 1, Index: w.index,
	}
	row.AreDifferent = row.UID0 != row.UID1
	switch p.Label {
	case 1:
		row.Best = row.UID0
	case 0:
		row.Best = row.UID1
	case 0.5:
		row.Best = "tie"
	}
	if row.HasLabel {
		one, other := p.Label, 1-p.Label
		row.Label0, row.Label1 = &one, &other
	}
	w.index++
	if r.Kind != KindPair {
		return row
	}
	if n, err := strconv.ParseInt(r.ID, 10, 64); err == nil {
		row.RankingID = n
	}
	row.attributes(r.Attributes)
	return row
}

// attributes restores what the reader of this format kept.
func (row *pickaPicOut) attributes(kept map[string]string) {
	if different, err := strconv.ParseBool(kept["are_different"]); err == nil {
		row.AreDifferent = different
	}
	if text, ok := kept["user_id"]; ok {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			row.UserID = &n
		}
	}
	if n, err := strconv.ParseInt(kept["num_example_per_prompt"], 10, 64); err == nil {
		row.Examples = n
	}
	if n, err := strconv.ParseInt(kept["__index_level_0__"], 10, 64); err == nil {
		row.Index = n
	}
	if t, err := time.Parse(time.RFC3339Nano, kept["created_at"]); err == nil {
		us := t.UnixMicro()
		row.CreatedAt = &us
	}
}

// uid names a picture: its own name, else a checksum.
func uid(im *Image, data []byte) string {
	switch {
	case im.UID != "":
		return im.UID
	case im.Path != "":
		return im.Path
	case len(data) > 0:
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:16])
	}
	return im.URL
}

func (w *pickaPicWriter) finish() error {
	if w.w == nil {
		w.w = openRows[pickaPicOut](w.out)
	}
	return w.w.Close()
}
