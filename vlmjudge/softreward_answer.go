package vlmjudge

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// MaxList is how many pictures a question about a list may show: they are called by the letters A to Z.
const MaxList = 26

// writtenAnswer is what a judge in training answered.
type writtenAnswer struct {
	text   string
	places []float64 // of the pictures, lower is better, equal is a tie; nil where nothing can be read
	first  float64   // probability of the first of two pictures, where the answer is one
	stated bool      // the answer is a probability
	formed bool      // nothing stands in the text but what should
}

// probability that picture a is better than b, as far as the answer tells; NaN where it cannot be read.
func (w *writtenAnswer) probability(a, b int) float64 {
	switch {
	case w.places == nil:
		return math.NaN()
	case w.stated:
		return w.first
	case w.places[a] < w.places[b]:
		return 1
	case w.places[a] > w.places[b]:
		return 0
	}
	return .5
}

var (
	// reasoned is a whole text in the form that is asked for.
	reasoned = regexp.MustCompile(`(?s)^\s*<think>(.*?)</think>\s*<answer>(.*?)</answer>\s*$`)
	anyTag   = regexp.MustCompile(`</?(?:think|answer)>`)
	stated   = regexp.MustCompile(`^(?:0?\.\d+|0\.|1\.0*)$`)
)

// readAnswer reads a completion about n pictures. What counts is the last answer in tags behind the last thought; without tags, the
// text if it is an answer and nothing else. A thought that does not end leaves no answer. No answer is a default.
func readAnswer(text string, n int, direct bool) writtenAnswer {
	if m := reasoned.FindStringSubmatch(text); m != nil && !direct {
		w := readPlaces(m[2], n)
		w.formed = w.places != nil && strings.TrimSpace(m[1]) != "" && len(anyTag.FindAllString(text, -1)) == 4
		if w.formed {
			return w
		}
	}
	rest := text
	if i := strings.LastIndex(rest, "</think>"); i >= 0 {
		rest = rest[i+len("</think>"):]
	} else if strings.Contains(rest, "<think>") {
		return writtenAnswer{}
	}
	if tags := answerTag.FindAllStringSubmatch(rest, -1); tags != nil {
		return readPlaces(tags[len(tags)-1][1], n)
	}
	w := readPlaces(rest, n)
	w.formed = direct && w.places != nil && len(rest) == len(text)
	return w
}

// readPlaces reads an answer without tags: 1 or 2, or a number with a point, the probability that the first of two pictures is better;
// of more, or of two, the letters of all pictures, best first, with > or = between.
func readPlaces(text string, n int) writtenAnswer {
	text = strings.TrimSpace(text)
	w := writtenAnswer{text: text}
	if n == 2 {
		switch {
		case text == "1":
			w.places = []float64{0, 1}
			return w
		case text == "2":
			w.places = []float64{1, 0}
			return w
		case stated.MatchString(text):
			w.first, _ = strconv.ParseFloat(text, 64)
			if w.first <= 1 {
				w.places, w.stated = []float64{0, 0}, true
				return w
			}
		}
	}
	if w.places = letters(text, n); w.places == nil {
		w.text = ""
	}
	return w
}

// letters reads "B > A = C"; nil unless each of the n letters is there once.
func letters(text string, n int) []float64 {
	places := make([]float64, n)
	seen := make([]bool, n)
	count, place := 0, 0.
	for text != "" {
		if count > 0 {
			switch text[0] {
			case '>':
				place++
			case '=':
			default:
				return nil
			}
			text = strings.TrimLeft(text[1:], " ")
		}
		if text == "" {
			return nil
		}
		i := int(text[0]) - 'A'
		if i < 0 || i >= n || seen[i] {
			return nil
		}
		seen[i], places[i] = true, place
		count++
		text = strings.TrimLeft(text[1:], " ")
	}
	if count != n {
		return nil
	}
	return places
}
