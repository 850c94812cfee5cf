package judgeset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/parquet-go/parquet-go"

	"winnow/datasets"
	"winnow/internal/atomicfile"
)

// Set is what Write writes.
type Set struct {
	Layout, Task string
	Asking
	Files  []string // of the parts: Train and, if there is one, Validation; .jsonl or .parquet
	Counts Counts
}

// Check refuses what no trainer could read.
func (s *Set) Check() error {
	for _, file := range s.Files {
		if ext := extension(file); ext != ".jsonl" && ext != ".parquet" {
			return fmt.Errorf("%s: name the file .jsonl, which names the pictures by path, or .parquet, which holds them", file)
		}
	}
	switch {
	case s.Layout == LLaMAFactory && s.Task == GRPO:
		return fmt.Errorf("layout %s has answered questions only; choose --task %s, or another layout", LLaMAFactory, SFT)
	case s.Task == SFT && s.Question != "direct":
		return fmt.Errorf("question %s wants thoughts, which a preference set has none of; --task %s asks the question direct", s.Question, SFT)
	case s.Task == SFT && s.KeepTies:
		return errors.New("a tie has no answer to learn; leave out --keep-ties")
	}
	return nil
}

func extension(file string) string { return strings.ToLower(filepath.Ext(file)) }

// Writer takes the records of a set.
type Writer struct {
	set   *Set
	parts []*part
}

// part is one file.
type part struct {
	name  string // of the split
	rows  int
	put   func(row any) error
	embed bool // pictures stand in the file
	store *store
}

// Write makes the files of a set; fill gives their records to the Writer. They appear when everything succeeded; otherwise what was there
// stays. Pictures without a file of their own are written into a folder beside a .jsonl file that is called like it, with .pictures.
func (s *Set) Write(fill func(*Writer) error) error {
	if err := s.Check(); err != nil {
		return err
	}
	return s.open(0, &Writer{set: s}, fill)
}

func (s *Set) open(i int, w *Writer, fill func(*Writer) error) error {
	if i == len(s.Files) {
		return fill(w)
	}
	file := s.Files[i]
	p := &part{name: []string{"train", "validation"}[i], embed: extension(file) == ".parquet"}
	p.store = &store{folder: strings.TrimSuffix(file, filepath.Ext(file)) + ".pictures"}
	w.parts = append(w.parts, p)
	err := atomicfile.Write(file, func(out io.Writer) error {
		finish := func() error { return nil }
		if p.embed {
			p.put, finish = s.parquet(out)
		} else {
			enc := json.NewEncoder(out)
			enc.SetEscapeHTML(false)
			p.put = func(row any) error { return enc.Encode(row) }
		}
		return errors.Join(s.open(i+1, w, fill), finish())
	})
	if err != nil {
		p.store.undo()
	}
	return err
}

// parquet opens a writer of the rows of the layout.
func (s *Set) parquet(w io.Writer) (put func(any) error, finish func() error) {
	switch (&question{}).row(s.Layout, s.Task, "", 0, nil).(type) {
	case trlRow:
		return parquetOf[trlRow](w)
	case trlAnswered:
		return parquetOf[trlAnswered](w)
	case messagesRow:
		return parquetOf[messagesRow](w)
	default:
		return parquetOf[verlRow](w)
	}
}

// parquetOf is for one type of row, since the library's writer of any type loses what pointers in lists point to.
func parquetOf[T any](w io.Writer) (put func(any) error, finish func() error) {
	out := parquet.NewGenericWriter[T](w, parquet.Compression(&parquet.Snappy), parquet.CreatedBy("winnow", "", ""),
		parquet.KeyValueMetadata("huggingface", features(reflect.TypeFor[T]())))
	held := 0
	return func(row any) error {
		if _, err := out.Write([]T{row.(T)}); err != nil {
			return err
		}
		if held += size(row); held > groupBytes {
			held = 0
			return out.Flush()
		}
		return nil
	}, out.Close
}

// groupBytes is where a row group ends: readers hold one at a time.
const groupBytes = 32 << 20

func size(row any) int {
	n := 0
	switch row := row.(type) {
	case trlRow:
		n = weigh(row.Images)
	case trlAnswered:
		n = weigh(row.Images)
	case messagesRow:
		n = weigh(row.Images)
	case verlRow:
		for _, p := range row.Images {
			n += len(p.Bytes)
		}
	}
	return n + 4<<10 // and the texts
}

func weigh(pictures []*picture) int {
	n := 0
	for _, p := range pictures {
		n += len(p.Bytes)
	}
	return n
}

// Write adds the questions about a record to a part. A *datasets.RowError says that the record cannot be used; the set goes on without it.
func (w *Writer) Write(r *datasets.Record, to int) error {
	questions, err := w.set.questions(r, &w.set.Counts)
	if err != nil {
		return err
	}
	p := w.parts[to]
	rows := make([]any, len(questions))
	for i := range questions {
		q := &questions[i]
		images := make([]*picture, len(q.images))
		for k, im := range q.images {
			if images[k], err = p.picture(im); err != nil {
				return &datasets.RowError{Column: fmt.Sprintf("picture %d", q.places[k]+1), Err: err}
			}
		}
		rows[i] = q.row(w.set.Layout, w.set.Task, p.name, p.rows+i, images)
	}
	for _, row := range rows {
		if err := p.put(row); err != nil {
			return err
		}
		p.rows++
		w.set.Counts.Questions[to]++
	}
	return nil
}

// picture is a picture as the part has it: inside, or by its path from the root, since trainers start elsewhere.
func (p *part) picture(im *datasets.Image) (*picture, error) {
	file := im.File()
	if !p.embed && file != "" && len(im.Data) == 0 {
		path, err := filepath.Abs(file)
		return &picture{Path: path}, err
	}
	data, err := im.Bytes()
	if err != nil {
		return nil, err
	}
	if p.embed {
		return &picture{Bytes: data, Path: filepath.Base(im.Name())}, nil
	}
	path, err := p.store.keep(data)
	return &picture{Path: path}, err
}

// store keeps pictures that have no file, by their content.
type store struct {
	folder string
	made   []string // by this run
	known  map[string]string
	own    bool // the folder is of this run
}

func (s *store) keep(data []byte) (string, error) {
	sum := sha256.Sum256(data)
	name := hex.EncodeToString(sum[:16])
	if path, ok := s.known[name]; ok {
		return path, nil
	}
	folder, err := filepath.Abs(s.folder)
	if err != nil {
		return "", err
	}
	if s.known == nil {
		s.known = map[string]string{}
		_, err := os.Stat(folder)
		s.own = errors.Is(err, os.ErrNotExist)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return "", err
		}
	}
	path := filepath.Join(folder, name+ending(data))
	if _, err := os.Stat(path); err != nil {
		if err := atomicfile.Write(path, func(w io.Writer) error { _, err := io.Copy(w, bytes.NewReader(data)); return err }); err != nil {
			return "", err
		}
		s.made = append(s.made, path)
	}
	s.known[name] = path
	return path, nil
}

// ending tells the format from the first bytes, since some readers look at names.
func ending(data []byte) string {
	if kind, ok := strings.CutPrefix(http.DetectContentType(data), "image/"); ok && len(kind) <= 4 {
		return "." + strings.Replace(kind, "jpeg", "jpg", 1)
	}
	return ".img"
}

// undo removes what a run that failed has kept.
func (s *store) undo() {
	for _, path := range s.made {
		_ = os.Remove(path)
	}
	if s.own {
		_ = os.Remove(s.folder)
	}
}
