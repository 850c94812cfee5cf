package miniworld

import (
	"math/rand/v2"
	"strings"
)

// The words of the grammar. The first form of a pair is the more frequent one.
var (
	sizeWords     = map[string][]string{"small": {"small", "little", "tiny"}, "large": {"large", "big"}}
	numberWords   = map[int][]string{2: {"two", "2"}, 3: {"three", "3"}}
	relationWords = map[string][2]string{
		"left of":  {"left of", "to the left of"},
		"right of": {"right of", "to the right of"},
		"above":    {"above", "on top of"},
		"below":    {"below", "under"},
	}
	openings = []string{"a picture of ", "an image of ", "a drawing of "}
)

// Describe chooses at random what a caption of the scene asserts, dropping attributes as the training captions do.
func Describe(s Scene, r *rand.Rand) Spec {
	spec := DescribeFully(s)
	for i := range spec.Objects {
		if s.Kind == Count && i > 0 { // "three small circles": one phrase for all
			spec.Objects[i] = spec.Objects[0]
			continue
		}
		spec.Objects[i] = forget(spec.Objects[i], r)
	}
	if r.Float64() < 0.4 {
		spec.Background = ""
	}
	return spec
}

// DescribeFully returns the spec that asserts everything a caption of the scene can.
func DescribeFully(s Scene) Spec {
	spec := Spec{Kind: s.Kind, Background: s.Background.Kind}
	for _, o := range s.Objects {
		spec.Objects = append(spec.Objects, Mention{Color: o.Color, Shape: o.Shape, Size: o.Size})
	}
	if s.Kind == Relation {
		spec.Relation = s.Relation
	}
	return spec
}

// forget drops the size often, and seldom the colour or the shape, never both.
func forget(m Mention, r *rand.Rand) Mention {
	if r.Float64() < 0.45 {
		m.Size = ""
	}
	switch u := r.Float64(); {
	case u < 0.07:
		m.Color = ""
	case u < 0.14:
		m.Shape = ""
	}
	return m
}

// Caption returns one of the paraphrases of the spec in the words of the training captions.
func (s Spec) Caption(r *rand.Rand) string {
	text := s.subject(r)
	if s.Background != "" {
		switch u := r.Float64(); {
		case u < 0.6:
			text += " on a " + s.Background + " background"
		case u < 0.8:
			text += " on " + s.Background
		default:
			text += ", " + s.Background + " background"
		}
	}
	if r.Float64() < 0.12 {
		return pick(openings, r) + text
	}
	return text
}

func (s Spec) subject(r *rand.Rand) string {
	switch s.Kind {
	case Relation:
		a, b, relation := s.Objects[0], s.Objects[1], s.Relation
		if r.Float64() < 0.3 {
			a, b, relation = b, a, inverse[relation]
		}
		return a.phrase(r) + " " + usually(r, 0.7, relationWords[relation]) + " " + b.phrase(r)
	case And:
		order := r.Perm(2)
		a, b := s.Objects[order[0]], s.Objects[order[1]]
		return a.phrase(r) + " " + usually(r, 0.7, [2]string{"and", "with"}) + " " + b.phrase(r)
	case Count:
		return s.Objects[0].plural(len(s.Objects), r)
	case Three:
		o := r.Perm(3)
		return s.Objects[o[0]].phrase(r) + ", " + s.Objects[o[1]].phrase(r) + " and " + s.Objects[o[2]].phrase(r)
	}
	return s.Objects[0].phrase(r)
}

// usually returns the first word with probability p, else the second.
func usually(r *rand.Rand, p float64, words [2]string) string {
	if r.Float64() < p {
		return words[0]
	}
	return words[1]
}

// adjectives is the phrase before the noun.
func (m Mention) adjectives(r *rand.Rand) []string {
	var words []string
	if m.Size != "" {
		words = append(words, pick(sizeWords[m.Size], r))
	}
	if m.Color != "" {
		words = append(words, m.Color)
	}
	return words
}

func (m Mention) noun() string {
	if m.Shape == "" {
		return "shape"
	}
	return m.Shape
}

func (m Mention) phrase(r *rand.Rand) string {
	text := strings.Join(append(m.adjectives(r), m.noun()), " ")
	if strings.ContainsRune("aeiou", rune(text[0])) {
		return "an " + text
	}
	return "a " + text
}

func (m Mention) plural(n int, r *rand.Rand) string {
	words := append([]string{pick(numberWords[n], r)}, m.adjectives(r)...)
	return strings.Join(append(words, pluralOf(m.noun())), " ")
}

func pluralOf(noun string) string {
	if strings.HasSuffix(noun, "s") {
		return noun + "es"
	}
	return noun + "s"
}
