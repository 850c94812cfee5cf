package pngmeta

import (
	"encoding/json"
	"io"
	"strings"
)

// Keywords of the two texts that pictures made here carry.
const (
	KeyParameters = "parameters" // the form that web interfaces write and read
	KeyWinnow     = "winnow"     // every setting, as JSON
)

// Parameters is the settings text of the common web interfaces: the prompt, a
// line "Negative prompt: …" when there is one, and a last line of "Name: value"
// fields separated by commas.
type Parameters struct {
	Prompt         string
	NegativePrompt string
	Fields         []Field // in order; by custom Steps comes first
}

// Field is one entry of the last line.
type Field struct{ Name, Value string }

const negativeLabel = "Negative prompt: "

// String renders the text. Values with a comma, colon, quote or line break are
// written as JSON strings, which the readers of this form undo.
func (p Parameters) String() string {
	var b strings.Builder
	b.WriteString(p.Prompt)
	if p.NegativePrompt != "" {
		b.WriteString("\n" + negativeLabel + p.NegativePrompt)
	}
	for i, f := range p.Fields {
		if i == 0 {
			b.WriteByte('\n')
		} else {
			b.WriteString(", ")
		}
		b.WriteString(f.Name + ": " + quoteValue(f.Value))
	}
	return b.String()
}

func quoteValue(v string) string {
	if !strings.ContainsAny(v, ",:\"\n\r") {
		return v
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // "<" stays readable
	if enc.Encode(v) != nil {
		return v
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Prompt is the prompt that a PNG file carries as KeyParameters; ok is false for files that carry none, and for other files.
// What stands before damage counts: decoding reports the damage.
func Prompt(r io.Reader) (prompt string, ok bool) {
	chunks, _ := Read(r)
	for _, c := range chunks {
		if c.Keyword == KeyParameters {
			return ParseParameters(c.Text).Prompt, true
		}
	}
	return "", false
}

// ParseParameters takes the text apart again. Text in another form becomes the
// prompt, so that nothing is lost.
func ParseParameters(text string) Parameters {
	var p Parameters
	head, last := "", text
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		head, last = text[:i], text[i+1:]
	}
	if fields, ok := parseFields(last); ok {
		p.Fields = fields
	} else {
		head = text
	}
	p.Prompt = head
	if rest, ok := strings.CutPrefix(head, negativeLabel); ok {
		p.Prompt, p.NegativePrompt = "", rest
	} else if prompt, negative, ok := strings.Cut(head, "\n"+negativeLabel); ok {
		p.Prompt, p.NegativePrompt = prompt, negative
	}
	return p
}

// parseFields reads a whole line of fields that begins with Steps; anything
// else is a line of a prompt.
func parseFields(line string) ([]Field, bool) {
	if !strings.HasPrefix(line, "Steps: ") {
		return nil, false
	}
	var fields []Field
	for {
		name, rest, ok := strings.Cut(line, ": ")
		if !ok || name == "" {
			return nil, false
		}
		value, after, ok := cutValue(rest)
		if !ok {
			return nil, false
		}
		fields = append(fields, Field{name, value})
		if after == "" {
			return fields, true
		}
		line = after
	}
}

// cutValue takes one value, quoted or not, and the ", " behind it.
func cutValue(s string) (value, after string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, after, _ = strings.Cut(s, ", ")
		return value, after, true
	}
	dec := json.NewDecoder(strings.NewReader(s))
	if dec.Decode(&value) != nil {
		return "", "", false
	}
	after = s[dec.InputOffset():]
	if after == "" {
		return value, "", true
	}
	after, ok = strings.CutPrefix(after, ", ")
	return value, after, ok
}

// Get returns a field's value, or "".
func (p Parameters) Get(name string) string {
	for _, f := range p.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}
