package vlmjudge

import (
	"strconv"
	"strings"
)

// decide reads the sections [state] and [instructions] of a question in the form of transformers serve.
func (f *wordingFile) decide(question string) (*decision, error) {
	state, ok := f.sections["state"]
	instructions, too := f.sections["instructions"]
	_, user := f.sections["user"]
	_, system := f.sections["system"]
	switch {
	case !ok || !too:
		return nil, f.fault(max(state.line, instructions.line), "write both", "[state] and [instructions] belong together")
	case user || system:
		return nil, f.fault(max(state.line, instructions.line), "write two files", "[state] and [instructions] are another form than [system] and [user]")
	case f.settings["labels"].line != 0:
		return nil, f.fault(f.settings["labels"].line, "write options: key = text, …", "labels belong to [system] and [user]")
	case f.settings["thinks"].text == "yes":
		return nil, f.fault(f.settings["thinks"].line, "leave it out", "this form has no place for reasons")
	case question == questionList || question == questionShare:
		return nil, f.fault(f.settings["question"].line, "take pair, yes or marks", "this form has no question %s", question)
	}
	if err := f.marks(state, []string{promptMark, pictureMark}); err != nil {
		return nil, err
	}
	if err := f.marks(instructions, nil); err != nil {
		return nil, err
	}
	for i, line := range state.lines {
		if strings.Contains(line, promptMark) && strings.TrimSpace(line) != promptMark {
			return nil, f.fault(state.line+1+i, "give it a line", "{prompt} stands alone on its line")
		}
	}
	d := &decision{
		State: strings.Trim(strings.Join(state.lines, "\n"), "\n"), Instructions: strings.Trim(strings.Join(instructions.lines, "\n"), "\n"), Type: "choice",
	}
	if err := f.pictures(state, question); err != nil {
		return nil, err
	}
	if question == questionYes {
		d.Type = "noul"
	}
	return d, f.options(question, d)
}

// options reads "key = text, …".
func (f *wordingFile) options(question string, d *decision) error {
	s := f.settings["options"]
	switch {
	case question == questionYes && s.line == 0:
		return nil
	case question == questionYes:
		return f.fault(s.line, "leave them out", "the answers to yes are the server's own")
	case s.line == 0:
		return f.fault(1, "write them, as in options: first = Image 1, second = Image 2", "the options are missing, which are the answers that count")
	}
	for _, o := range strings.Split(s.text, ",") {
		key, text, ok := strings.Cut(o, "=")
		key, text = strings.TrimSpace(key), strings.TrimSpace(text)
		if !ok || text == "" {
			return f.fault(s.line, "write key = text", "%q is no option", strings.TrimSpace(o))
		}
		d.Keys, d.Criteria = append(d.Keys, key), append(d.Criteria, text)
		if question == questionMarks {
			v, err := strconv.ParseFloat(key, 64)
			if err != nil {
				return f.fault(s.line, "the keys of marks are numbers", "%q is no mark", key)
			}
			d.values = append(d.values, v)
		}
	}
	if n := len(d.Keys); n < 2 || question == questionPair && n != 2 {
		return f.fault(s.line, "write two of a pair, two or more of marks", "%d options", n)
	}
	return f.distinct(s.line, d.Keys, d.values)
}
