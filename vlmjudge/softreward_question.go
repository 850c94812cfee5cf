package vlmjudge

import (
	"fmt"
	"strings"
)

// Questions that judges are trained on.
const (
	// QuestionDirect is what [Judge.Compare] asks: two pictures, one digit.
	QuestionDirect = "direct"
	// QuestionReason wants thoughts in <think> and a digit in <answer>.
	QuestionReason = "reason"
	// QuestionProbability wants thoughts, and the probability that the first picture is better.
	QuestionProbability = "probability"
	// QuestionList shows two pictures or more, and wants thoughts and all letters, best first.
	QuestionList = "list"
)

// Questions lists the names that TrainingQuestion knows.
func Questions() []string {
	return []string{QuestionDirect, QuestionReason, QuestionProbability, QuestionList}
}

// Question is the wording of a question, for a trainer to ask.
type Question struct {
	Template
	System string
	Parts  []QuestionPart // of the user's message
}

// QuestionPart is a text, or the place of the next picture.
type QuestionPart struct {
	Text    string
	Picture bool
}

// TrainingQuestion is the question of that name about so many pictures of a prompt; the prompt is fenced, as in every question to a
// judge.
func TrainingQuestion(name, prompt string, pictures int) (Question, error) {
	if err := checkPrompt(prompt); err != nil {
		return Question{}, err
	}
	if pictures < 2 || pictures > MaxList || pictures > 2 && name != QuestionList {
		return Question{}, fmt.Errorf("vlmjudge: question %s about %d pictures: want 2, or 2 to %d of a %s", name, pictures, MaxList, QuestionList)
	}
	t, err := trainingTemplate(name, pictures)
	if err != nil {
		return Question{}, err
	}
	q := Question{Template: t.public(), System: t.System}
	for _, p := range t.messages(prompt, make([]string, pictures))[1].Content.([]part) {
		q.Parts = append(q.Parts, QuestionPart{Text: p.Text, Picture: p.Image != nil})
	}
	return q, nil
}

// trainingTemplates are the wordings by the names of the questions.
var trainingTemplates = map[string]string{
	QuestionDirect: "pair.direct.v1", QuestionReason: "pair.reason.v1", QuestionProbability: "pair.probability.v1", QuestionList: "list.reason.v1",
}

func trainingTemplate(name string, pictures int) (template, error) {
	id, ok := trainingTemplates[name]
	if !ok {
		return template{}, fmt.Errorf("vlmjudge: there is no question %q; there are %v", name, Questions())
	}
	t := shippedWording(id).chat
	if name != QuestionList {
		return t, nil
	}
	var parts []string
	for i, text := range t.Parts {
		switch {
		case strings.Contains(text, letterMark): // and the picture behind it
			for k := range pictures {
				parts = append(parts, strings.Replace(text, letterMark, string(rune('A'+k)), 1), t.Parts[i+1])
			}
		case i > 0 && strings.Contains(t.Parts[i-1], letterMark):
		default:
			parts = append(parts, text)
		}
	}
	t.Parts = parts
	return t, nil
}
