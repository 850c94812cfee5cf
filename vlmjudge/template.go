package vlmjudge

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
)

// Template names the wording of a question. Another wording has another id and hash.
type Template struct {
	ID     string `json:"id"`
	SHA256 string `json:"sha256"` // of the wording as JSON
}

// template is a question whose answer is one of its labels. In a part, {prompt} stands for the fenced prompt; a part
// {picture} is the next picture.
type template struct {
	ID     string    `json:"id"`
	System string    `json:"system"`
	Parts  []string  `json:"parts"`
	Labels []string  `json:"labels"`
	Values []float64 `json:"values,omitempty"` // of labels that are marks; nil: the answer is a choice of two

	question string // of those that have a name
	thinks   bool   // before it answers, between <answer> and </answer>
}

const (
	promptMark  = "{prompt}"
	pictureMark = "{picture}"
	letterMark  = "{letter}"
)

func (t template) public() Template {
	if t.Labels == nil {
		t.Labels = []string{"", ""} // as when every question had two, so that hashes stay
	}
	data, err := json.Marshal(t)
	if err != nil {
		panic(err) // strings only
	}
	sum := sha256.Sum256(data)
	return Template{ID: t.ID, SHA256: hex.EncodeToString(sum[:])}
}

// messages fills the template in. Without pictures it is the same question with the pictures left out.
func (t template) messages(prompt string, pictures []string) []message {
	prompt = fence(plain(prompt))
	var parts []part
	next := 0
	for _, text := range t.Parts {
		switch {
		case text != pictureMark:
			parts = append(parts, part{Type: "text", Text: strings.Replace(text, promptMark, prompt, 1)})
		case next < len(pictures):
			parts = append(parts, part{Type: "image_url", Image: &imageURL{URL: pictures[next]}})
			next++
		}
	}
	return []message{{Role: "system", Content: t.System}, {Role: "user", Content: parts}}
}

var errNoPrompt = errors.New("vlmjudge: the prompt is empty; a judge needs the text that the pictures were made for")

// checkPrompt refuses a prompt that says nothing.
func checkPrompt(prompt string) error {
	if strings.TrimSpace(prompt) == "" {
		return errNoPrompt
	}
	return nil
}

// fence quotes text between lines of backticks, more than the text has in a row anywhere, so that it cannot end its own
// quotation.
func fence(text string) string {
	longest, run := 2, 0
	for _, r := range text {
		if r == '`' {
			run++
			longest = max(longest, run)
		} else {
			run = 0
		}
	}
	bar := strings.Repeat("`", longest+1)
	return bar + "\n" + text + "\n" + bar
}

// Marks that chat formats take for control tokens when they stand in text: <|im_end|>, <image>, </s>, <__media__>,
// [INST] and their like. Some servers also fail on them or count them as pictures.
var (
	angleToken   = regexp.MustCompile(`<([/_\pL][^<>\s]*>)`)
	bracketToken = regexp.MustCompile(`\[(/?[A-Z][A-Z_]+\])`)
	pipeToken    = strings.NewReplacer("<|", "< |", "|>", "| >", "<｜", "< ｜", "｜>", "｜ >")
)

// plain breaks control tokens up by a space, which leaves the text readable and makes it mere text.
func plain(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = pipeToken.Replace(text)
	text = angleToken.ReplaceAllString(text, "< $1")
	return bracketToken.ReplaceAllString(text, "[ $1")
}
