package vlmjudge

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// parseWording reads a wording of any question; its name is left empty.
func parseWording(file string, text []byte) (*Wording, error) {
	f := &wordingFile{name: file}
	if err := f.split(text); err != nil {
		return nil, err
	}
	w := &Wording{}
	var err error
	if w.question, err = f.question(); err != nil {
		return nil, err
	}
	if w.chat.thinks, err = f.thinks(); err != nil {
		return nil, err
	}
	_, state := f.sections["state"]
	_, instructions := f.sections["instructions"]
	if state || instructions {
		w.decision, err = f.decide(w.question)
	} else {
		err = f.chat(w)
	}
	return w, err
}

func (f *wordingFile) question() (string, error) {
	s := f.settings["question"]
	if slices.Contains([]string{questionPair, questionYes, questionMarks, questionList, questionShare}, s.text) {
		return s.text, nil
	}
	const cure = "write question: pair, question: yes or question: marks"
	if s.line == 0 {
		return "", f.fault(1, cure, "the file does not say what it asks")
	}
	return "", f.fault(s.line, cure, "there is no question %q", s.text)
}

func (f *wordingFile) thinks() (bool, error) {
	s := f.settings["thinks"]
	if s.line != 0 && s.text != "yes" && s.text != "no" {
		return false, f.fault(s.line, "write yes or no", "thinks: %s", s.text)
	}
	return s.text == "yes", nil
}

// chat reads the sections [system] and [user].
func (f *wordingFile) chat(w *Wording) (err error) {
	user, ok := f.sections["user"]
	if !ok {
		return f.fault(1, "write [user] and the question below it", "the section [user] is missing")
	}
	if s := f.settings["options"]; s.line != 0 {
		return f.fault(s.line, "write labels:", "options belong to [state] and [instructions]")
	}
	t := &w.chat
	if t.Labels, t.Values, err = f.labels(w.question); err != nil {
		return err
	}
	system := f.sections["system"]
	if err := f.marks(system, nil); err != nil {
		return err
	}
	places := []string{promptMark, pictureMark}
	if w.question == questionList {
		places = append(places, letterMark)
	}
	if err := f.marks(user, places); err != nil {
		return err
	}
	t.System = strings.Trim(strings.Join(system.lines, "\n"), "\n")
	if t.Parts, err = f.parts(user); err != nil {
		return err
	}
	if err := f.pictures(user, w.question); err != nil {
		return err
	}
	return f.mentions(user, t)
}

// parts takes the question apart: texts, and places of pictures.
func (f *wordingFile) parts(s section) (parts []string, err error) {
	var text []string
	end := func(tail string) {
		if len(text) > 0 {
			parts = append(parts, strings.Join(text, "\n")+tail)
		}
		text = nil
	}
	for i, line := range s.lines {
		mark := strings.TrimSpace(line)
		switch {
		case mark == pictureMark:
			end("")
			parts = append(parts, pictureMark)
		case mark == promptMark: // its fence ends on a line of its own
			text = append(text, promptMark)
			end("\n")
		case line == "":
			end("")
		case strings.Contains(line, promptMark), strings.Contains(line, pictureMark):
			return nil, f.fault(s.line+1+i, "give it a line", "{prompt} and {picture} stand alone on their lines")
		default:
			text = append(text, line)
		}
	}
	end("")
	return parts, nil
}

var (
	placeholder = regexp.MustCompile(`\{[\pL_][\pL\pN_ -]*\}`)
	thought     = strings.NewReplacer("<think>", "", "</think>", "", "<answer>", "", "</answer>", "")
)

// marks checks what stands in braces, and that no text is a control token of a chat format.
func (f *wordingFile) marks(s section, known []string) error {
	for i, line := range s.lines {
		for _, m := range placeholder.FindAllString(line, -1) {
			if !slices.Contains(known, m) {
				cure := "there is none in this section"
				if len(known) > 0 {
					cure = "there are " + strings.Join(known, ", ")
				}
				return f.fault(s.line+1+i, cure, "the placeholder %s is not known here", m)
			}
		}
		if bare := thought.Replace(line); plain(bare) != bare {
			return f.fault(s.line+1+i, "leave it out: the server writes the marks of its chat format itself",
				"the line holds a control token of a chat format, such as <|im_end|>, <image> or [INST]")
		}
	}
	return nil
}

// pictures counts the placeholders of the question.
func (f *wordingFile) pictures(s section, question string) error {
	text := strings.Join(s.lines, "\n")
	want := map[string]int{questionPair: 2, questionShare: 2}[question]
	if want == 0 {
		want = 1
	}
	switch n, prompts := strings.Count(text, pictureMark), strings.Count(text, promptMark); {
	case n == 0:
		return f.fault(s.line, "write {picture} where the judge shall see one", "the question shows no picture")
	case n != want:
		return f.fault(s.line, "write {picture} as often", "the question %s is about %d pictures, and {picture} stands here %d times", question, want, n)
	case prompts != 1:
		return f.fault(s.line, "write {prompt} once, where the judge shall read the text", "{prompt} stands here %d times", prompts)
	case question == questionList && strings.Count(text, letterMark) != 1:
		return f.fault(s.line, "write {letter} once, in the line above {picture}", "the pictures of a list have no letters")
	}
	return nil
}

// mentions checks that the judge is told what to answer.
func (f *wordingFile) mentions(user section, t *template) error {
	text := strings.ToLower(t.System + "\n" + strings.Join(t.Parts, "\n"))
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
	if t.thinks && !strings.Contains(text, "<answer>") {
		return f.fault(user.line, "tell it to write the answer between <answer> and </answer>", "the judge shall think first, and nothing says where its answer stands")
	}
	for i, l := range t.Labels {
		if (i == 0 || i == len(t.Labels)-1) && !slices.Contains(words, strings.ToLower(l)) {
			return f.fault(f.settings["labels"].line, "say in the question what to reply", "the label %s stands nowhere in the question", l)
		}
	}
	return nil
}

var labelWord = regexp.MustCompile(`^[\pL\pN]+$`)

// labels reads the answers that count.
func (f *wordingFile) labels(question string) (labels []string, values []float64, err error) {
	s := f.settings["labels"]
	words := strings.FieldsFunc(s.text, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	switch n := len(words); {
	case question == questionList || question == questionShare:
		if s.line != 0 {
			err = f.fault(s.line, "leave them out", "the question %s has no labels", question)
		}
		return nil, nil, err
	case n == 0:
		return nil, nil, f.fault(s.line, "write them, as in labels: 1 2", "the labels are missing, which are the answers that count")
	case question != questionMarks && n != 2:
		return nil, nil, f.fault(s.line, "write two", "the question %s has two answers, and here are %d labels", question, n)
	case n < 2 || n > 20:
		return nil, nil, f.fault(s.line, "write 2 to 20", "%d labels", n)
	}
	for _, word := range words {
		label, number, given := strings.Cut(word, "=")
		if question == questionMarks {
			if !given {
				number = label
			}
			v, e := strconv.ParseFloat(number, 64)
			if e != nil || math.IsInf(v, 0) || math.IsNaN(v) {
				return nil, nil, f.fault(s.line, "write marks as numbers, or as words with numbers: bad=1 good=2", "%q is no mark", word)
			}
			values = append(values, v)
		} else if given {
			return nil, nil, f.fault(s.line, "leave the number out", "%q: only marks have numbers", word)
		}
		labels = append(labels, label)
	}
	return labels, values, f.distinct(s.line, labels, values)
}

// distinct checks that the first token of an answer can tell labels apart.
func (f *wordingFile) distinct(line int, labels []string, values []float64) error {
	for i, a := range labels {
		if !labelWord.MatchString(a) {
			return f.fault(line, "take one word or number without signs", "the label %q is no word", a)
		}
		for _, b := range labels[:i] {
			x, y := strings.ToLower(b), strings.ToLower(a)
			if x == y {
				return f.fault(line, "write each once", "the label %s stands here twice", a)
			}
			if strings.HasPrefix(x, y) || strings.HasPrefix(y, x) {
				return f.fault(line, "take others: marks 0 to 9, or words", "the labels %s and %s begin alike, so the first token cannot tell them apart", b, a)
			}
		}
	}
	if values != nil && slices.Min(values) == slices.Max(values) {
		return f.fault(line, "give them different ones", "all marks are worth %v", values[0])
	}
	return nil
}
