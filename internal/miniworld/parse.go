package miniworld

import (
	"fmt"
	"slices"
	"strings"
)

// ParseCaption reads a caption back into what it asserts: the inverse of every paraphrase that the grammar writes,
// upper and lower case and runs of spaces aside. So a picture can be checked against the prompt it was made for.
// A caption outside the grammar is an error that names the words it stumbled over.
func ParseCaption(caption string) (Spec, error) {
	text := strings.Join(strings.Fields(strings.ToLower(caption)), " ")
	for _, opening := range openings {
		if rest, ok := strings.CutPrefix(text, opening); ok {
			text = rest
			break
		}
	}
	text, background := cutBackground(text)
	spec, err := parseSubject(text)
	if err != nil {
		return Spec{}, fmt.Errorf("miniworld: caption %q is not of this world: %w", caption, err)
	}
	spec.Background = background
	return spec, nil
}

// cutBackground splits off the three ways to name a background.
func cutBackground(text string) (rest, background string) {
	for _, b := range Backgrounds {
		for _, suffix := range []string{" on a " + b + " background", ", " + b + " background", " on " + b} {
			if rest, ok := strings.CutSuffix(text, suffix); ok {
				return rest, b
			}
		}
	}
	return text, ""
}

func parseSubject(text string) (Spec, error) {
	if a, relation, b, ok := cutRelation(text); ok {
		return parseAll(Spec{Kind: Relation, Relation: relation}, a, b)
	}
	if a, rest, ok := strings.Cut(text, ", "); ok {
		b, c, ok := strings.Cut(rest, " and ")
		if !ok {
			return Spec{}, fmt.Errorf("after %q want two more objects joined by \"and\", have %q", a+",", rest)
		}
		return parseAll(Spec{Kind: Three}, a, b, c)
	}
	for _, joint := range []string{" and ", " with "} {
		if a, b, ok := strings.Cut(text, joint); ok {
			return parseAll(Spec{Kind: And}, a, b)
		}
	}
	first, rest, _ := strings.Cut(text, " ")
	for n, words := range numberWords {
		if slices.Contains(words, first) {
			return parseCount(n, rest)
		}
	}
	return parseAll(Spec{Kind: Single}, text)
}

// cutRelation splits at the first relation, trying the longer form of each first ("to the left of" holds "left of").
func cutRelation(text string) (a, relation, b string, ok bool) {
	for _, relation := range Relations {
		words := relationWords[relation]
		for _, form := range []string{words[1], words[0]} {
			if a, b, ok := strings.Cut(text, " "+form+" "); ok {
				return a, relation, b, true
			}
		}
	}
	return "", "", "", false
}

func parseCount(n int, rest string) (Spec, error) {
	words := strings.Fields(rest)
	if len(words) == 0 {
		return Spec{}, fmt.Errorf("nothing after the number")
	}
	last := &words[len(words)-1]
	singular := slices.IndexFunc(nouns, func(noun string) bool { return pluralOf(noun) == *last })
	if singular < 0 {
		return Spec{}, fmt.Errorf("%q is no plural of a shape", *last)
	}
	*last = nouns[singular]
	m, err := parseMention(words)
	if err != nil {
		return Spec{}, err
	}
	return Spec{Kind: Count, Objects: slices.Repeat([]Mention{m}, n)}, nil
}

func parseAll(spec Spec, phrases ...string) (Spec, error) {
	for _, phrase := range phrases {
		words := strings.Fields(phrase)
		if len(words) == 0 || (words[0] != "a" && words[0] != "an") {
			return Spec{}, fmt.Errorf("%q does not begin with \"a\" or \"an\"", phrase)
		}
		m, err := parseMention(words[1:])
		if err != nil {
			return Spec{}, err
		}
		spec.Objects = append(spec.Objects, m)
	}
	return spec, nil
}

// nouns are the shapes and the word for any of them.
var nouns = append([]string{"shape"}, Shapes...)

// parseMention reads [size] [colour] noun.
func parseMention(words []string) (Mention, error) {
	var m Mention
	rest := words
	if len(rest) > 0 {
		for _, size := range Sizes {
			if slices.Contains(sizeWords[size], rest[0]) {
				m.Size, rest = size, rest[1:]
				break
			}
		}
	}
	if len(rest) > 0 && slices.Contains(Colors, rest[0]) {
		m.Color, rest = rest[0], rest[1:]
	}
	if len(rest) != 1 || !slices.Contains(nouns, rest[0]) {
		return Mention{}, fmt.Errorf("%q is not [size] [colour] shape", strings.Join(words, " "))
	}
	if rest[0] != "shape" {
		m.Shape = rest[0]
	}
	return m, nil
}
