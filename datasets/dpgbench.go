package datasets

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// dpgBenchFormat reads DPG-Bench (TencentQQGYLab/ELLA, dpg_bench): either the folder with prompts/<item_id>.txt, 1,065 long
// prompts, or dpg_bench.csv with a question a row,
//
//	item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language
//
// in which the rows of one item follow each other. A folder's prompts get the questions of the dpg_bench.csv in it. The first
// row may describe the columns; it is left out when its proposition_id is no number. dependency lists the questions that
// must hold first, 0 for none.
func dpgBenchFormat() *format {
	return &format{
		FormatInfo: FormatInfo{
			Name: "dpg-bench", About: "DPG-Bench prompts with questions", Source: "TencentQQGYLab/ELLA dpg_bench", Kind: KindPrompt,
			Known: []Known{{"all prompts", Counts{Records: 1065}}},
		},
		ext: []string{".csv", "/prompts"}, match: func(keys []string) bool { return len(keys) == 0 || slices.Contains(keys, "proposition_id") },
		open: func(path string, in *input) (source, error) {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				return openDPGFolder(path, in)
			}
			return openDPGTable(path, in)
		},
	}
}

// maxQuestions bounds the questions of one prompt.
const maxQuestions = 1000

// dpgTable joins the rows of an item.
type dpgTable struct {
	csv   *csvFile
	group *Record
	end   error
}

func openDPGTable(path string, in *input) (source, error) {
	c, err := openCSV(path, in, dpgRow, []string{"item_id"}, []string{"text"}, []string{"proposition_id"}, []string{"question_natural_language"})
	if err != nil {
		return nil, err
	}
	return &dpgTable{csv: c}, nil
}

var errDescription = errors.New("the row describes the columns")

func dpgRow(c *csvFile, cells []string) (Record, error) {
	r := newRecord(KindPrompt, c.get(cells, "text"))
	r.ID, r.Category = c.get(cells, "item_id"), c.get(cells, "category_broad")
	q := Question{
		Category: r.Category, Detail: c.get(cells, "category_detailed"), Tuple: c.get(cells, "tuple"), Text: c.get(cells, "question_natural_language"),
	}
	var err error
	if q.ID, err = strconv.Atoi(strings.TrimSpace(c.get(cells, "proposition_id"))); err != nil {
		if c.line == 2 {
			return r, errDescription
		}
		return r, columnf("proposition_id", "%q is no whole number", c.get(cells, "proposition_id"))
	}
	if q.Parents, err = parents(c.get(cells, "dependency")); err != nil {
		return r, err
	}
	if r.ID == "" {
		return r, missing("item_id")
	}
	r.Questions = []Question{q}
	return r, checkPrompt("text", r.Prompt)
}

// parents reads "0" or "2, 3".
func parents(list string) ([]int, error) {
	var all []int
	for _, p := range strings.Split(list, ",") {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		n, err := strconv.ParseFloat(p, 64) // spreadsheets write 2.0
		if err != nil || n != math.Trunc(n) || n < 0 || n > 1e6 {
			return nil, columnf("dependency", "%q is no list of questions", list)
		}
		if n > 0 {
			all = append(all, int(n))
		}
	}
	return all, nil
}

func (d *dpgTable) next() (Record, error) {
	for d.end == nil {
		r, err := d.csv.next()
		var row *RowError
		switch {
		case errors.Is(err, errDescription):
		case errors.As(err, &row):
			return r, err
		case err != nil:
			d.end = err
		case d.group == nil:
			d.group = &r
		case d.group.ID != r.ID:
			done := *d.group
			d.group = &r
			return done, nil
		case len(d.group.Questions) >= maxQuestions:
			return r, place(columnf("item_id", "more than %d questions for %q", maxQuestions, r.ID), d.csv.in.file, r.Row)
		default:
			d.group.Questions = append(d.group.Questions, r.Questions...)
		}
	}
	if d.group != nil {
		done := *d.group
		d.group = nil
		return done, nil
	}
	return Record{}, d.end
}

func (d *dpgTable) close() error { return d.csv.close() }

// dpgFolder yields the .txt files of a folder in order of name.
type dpgFolder struct {
	folder    string
	names     []string
	questions map[string][]Question
	broken    []error // rows of the table, to report first
	row       int
}

func openDPGFolder(path string, in *input) (source, error) {
	d := &dpgFolder{folder: path, questions: map[string][]Question{}}
	if sub := filepath.Join(path, "prompts"); isDir(sub) {
		d.folder = sub
	}
	entries, err := os.ReadDir(d.folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() && strings.EqualFold(filepath.Ext(e.Name()), ".txt") {
			d.names = append(d.names, e.Name())
		}
	}
	slices.Sort(d.names)
	if len(d.names) == 0 {
		return nil, &FileError{File: d.folder, Err: errors.New("holds no .txt files")}
	}
	table := filepath.Join(path, "dpg_bench.csv")
	if !isFile(table) {
		return d, nil
	}
	return d, d.load(table, *in)
}

func (d *dpgFolder) load(table string, in input) error {
	in.file = table
	src, err := openDPGTable(table, &in)
	if err != nil {
		return err
	}
	defer src.close()
	for {
		r, err := src.next()
		var row *RowError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &row):
			d.broken = append(d.broken, err)
		case err != nil:
			return err
		default:
			d.questions[r.ID] = r.Questions
		}
	}
}

func (d *dpgFolder) next() (Record, error) {
	if len(d.broken) > 0 {
		err := d.broken[0]
		d.broken = d.broken[1:]
		return Record{}, err
	}
	if d.row >= len(d.names) {
		return Record{}, io.EOF
	}
	name := d.names[d.row]
	d.row++
	path := filepath.Join(d.folder, name)
	text, err := readSmall(path, maxLine)
	r := newRecord(KindPrompt, strings.TrimSpace(string(text)))
	r.ID, r.Row = strings.TrimSuffix(name, filepath.Ext(name)), d.row
	r.Questions = d.questions[r.ID]
	if err == nil {
		err = checkPrompt("", r.Prompt)
	}
	return r, place(err, path, 1)
}

func (d *dpgFolder) close() error { return nil }

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// readSmall reads a whole file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errors.New("the file is longer than " + strconv.FormatInt(limit, 10) + " bytes")
	}
	return data, err
}
