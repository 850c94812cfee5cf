package vlmjudge

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"winnow/assets"
)

// Names of the questions that a wording can be for. A judge asks the first three.
const (
	questionPair  = "pair"
	questionYes   = "yes"
	questionMarks = "marks"
	questionList  = "list"        // for training only
	questionShare = "probability" // for training only
)

// Wording is how a question is put. It holds text, no settings of a server.
type Wording struct {
	question string
	chat     template  // of the form that chat servers take; without parts in the other form
	decision *decision // of the form of transformers serve
}

// Question is what the wording asks: "pair", "yes" or "marks".
func (w *Wording) Question() string { return w.question }

// Template is its identity.
func (w *Wording) Template() Template {
	if w.decision != nil {
		return w.decision.public()
	}
	return w.chat.public()
}

// Thinks says that the judge writes down its reasons before it answers.
func (w *Wording) Thinks() bool { return w.chat.thinks }

// TemplateError says what is wrong with the file of a wording, and where.
type TemplateError struct {
	File        string
	Line        int
	Cause, Cure string
}

// Error is "FILE:LINE: cause; cure".
func (e *TemplateError) Error() string {
	return fmt.Sprintf("%s:%d: %s; %s", e.File, e.Line, e.Cause, e.Cure)
}

// ReadWording reads a wording, UTF-8 text in lines. Lines that start with # say nothing. First come settings:
//
//	question: pair        or yes, or marks
//	labels: 1 2           the answers; of a pair the first picture's, of yes the right one's, of marks 1 2 3 or bad=1 good=2
//	thinks: yes           the judge gives reasons first, and the answer between <answer> and </answer>; may be left out
//
// then [system], the message of the system, and [user], the question. There {prompt} and {picture} stand alone on their
// lines, for the prompt, which is always fenced, and for the next picture; an empty line parts two texts, as a picture does. For
// transformers serve there are [state], {picture} within its lines, and [instructions] instead, and "options: key = text, …"
// instead of labels.
//
// A wording that is word by word one of winnow's has its name; any other has one by its hash. Errors are *TemplateError.
func ReadWording(file string, text []byte) (*Wording, error) {
	w, err := parseWording(file, text)
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{questionPair, questionYes, questionMarks}, w.question) {
		return nil, &TemplateError{file, 1, "the question " + w.question + " is one for training, which no judge is asked", "take pair, yes or marks"}
	}
	for _, known := range shipped() {
		w.name(known.chat.ID)
		if w.Template() == known.Template() {
			return w, nil
		}
	}
	w.name(w.question + ".custom")
	w.name(w.question + ".custom." + w.Template().SHA256[:12])
	return w, nil
}

func (w *Wording) name(id string) {
	w.chat.ID, w.chat.question = id, w.question
	if w.decision != nil {
		w.decision.ID = id
	}
}

// ShippedWordings are the texts of winnow's own wordings by their names, which a wording of one's own can start from.
func ShippedWordings() map[string]string {
	texts := map[string]string{}
	files, err := fs.Glob(assets.Templates(), "*.txt")
	for _, file := range files {
		data, e := fs.ReadFile(assets.Templates(), file)
		texts[strings.TrimSuffix(file, path.Ext(file))], err = string(data), cmp.Or(err, e)
	}
	if err != nil {
		panic(err) // they are part of the program
	}
	return texts
}

// wordingFile is a file that is read line by line.
type wordingFile struct {
	name     string
	settings map[string]setting
	sections map[string]section
}

type (
	setting struct {
		text string
		line int
	}
	section struct {
		line  int // of its head
		lines []string
	}
)

func (f *wordingFile) fault(line int, cure, format string, args ...any) error {
	return &TemplateError{File: f.name, Line: max(line, 1), Cause: fmt.Sprintf(format, args...), Cure: cure}
}

const longestWording = 64 << 10 // bytes

var (
	wordingSettings = []string{"question", "labels", "options", "thinks"}
	wordingSections = []string{"system", "user", "state", "instructions"}
	sectionHead     = regexp.MustCompile(`^\[([a-z]+)\]$`)
)

// split takes the file apart into settings and sections.
func (f *wordingFile) split(text []byte) error {
	if len(text) > longestWording {
		return f.fault(1, "shorten it", "the file has more than %d KiB", longestWording>>10)
	}
	f.settings, f.sections = map[string]setting{}, map[string]section{}
	current := ""
	for i, line := range strings.Split(strings.TrimPrefix(string(text), "\uFEFF"), "\n") {
		n := i + 1
		line = strings.TrimRight(line, " \t\r")
		if err := f.clean(n, line); err != nil {
			return err
		}
		head := sectionHead.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case head != nil:
			current = head[1]
			if !slices.Contains(wordingSections, current) {
				return f.fault(n, "there are [system] and [user], or [state] and [instructions]", "there is no section [%s]", current)
			}
			if old, twice := f.sections[current]; twice {
				return f.fault(n, "write it once", "the section [%s] stands in line %d, too", current, old.line)
			}
			f.sections[current] = section{line: n}
		case current != "":
			s := f.sections[current]
			s.lines = append(s.lines, line)
			f.sections[current] = s
		case line != "":
			if err := f.set(n, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// clean refuses what is no plain text.
func (f *wordingFile) clean(n int, line string) error {
	if !utf8.ValidString(line) {
		return f.fault(n, "save the file as UTF-8", "the line is not UTF-8")
	}
	if i := strings.IndexFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }); i >= 0 {
		return f.fault(n, "delete it", "the line holds a control character at byte %d", i+1)
	}
	return nil
}

// set reads a line "key: text".
func (f *wordingFile) set(n int, line string) error {
	key, text, ok := strings.Cut(line, ":")
	key, text = strings.TrimSpace(key), strings.TrimSpace(text)
	if !ok || !slices.Contains(wordingSettings, key) {
		return f.fault(n, "settings are question:, labels:, options: and thinks:; text belongs below [system] or [user]", "%q is no setting", cut(line, 40))
	}
	if old, twice := f.settings[key]; twice {
		return f.fault(n, "write it once", "%s: stands in line %d, too", key, old.line)
	}
	f.settings[key] = setting{text, n}
	return nil
}

// cut shortens what is shown of a line.
func cut(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}
