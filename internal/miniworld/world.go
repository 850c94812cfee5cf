// Package miniworld is the little world that the embedded model draws: scenes of one to three coloured shapes on a
// background, their renderer, the grammar of captions, and an exact checker that tells how far a picture keeps what
// its caption asserts.
//
// It is the Go counterpart of assets/mini/train/world.py: given the same scene both draw the same picture (to one
// grey level), and both checkers give the same verdict on the same picture. The checker needs no model, so it is the
// ground truth against which rewards, searches and trained adapters are measured.
package miniworld

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Size is the side of every picture of the world in pixels.
const Size = 64

// The vocabulary, in the order in which the checker breaks ties.
var (
	Colors      = []string{"red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"}
	Shapes      = []string{"circle", "square", "triangle", "star", "ring", "cross"}
	Sizes       = []string{"small", "large"}
	Backgrounds = []string{"white", "grey", "black", "gradient", "striped", "checkered"}
	Relations   = []string{"left of", "right of", "above", "below"}
	Kinds       = []Kind{Single, Relation, And, Count, Three}
)

// palette holds the mean colour of each of Colors, RGB in [0, 1].
var palette = [...][3]float64{
	{0.86, 0.12, 0.14},
	{0.97, 0.52, 0.08},
	{0.96, 0.87, 0.16},
	{0.13, 0.66, 0.22},
	{0.16, 0.80, 0.86},
	{0.13, 0.27, 0.88},
	{0.54, 0.16, 0.74},
	{0.98, 0.50, 0.74},
}

// Kind is the form of a scene and of its caption.
type Kind string

// The kinds of scene: one object; two in a stated relation; two without one; two or three alike; three different.
const (
	Single   Kind = "single"
	Relation Kind = "relation"
	And      Kind = "and"
	Count    Kind = "count"
	Three    Kind = "three"
)

// Scene is everything that determines a picture.
type Scene struct {
	Kind       Kind       `json:"kind"`
	Objects    []Object   `json:"objects"`  // drawn in this order
	Relation   string     `json:"relation"` // of Objects[0] to Objects[1], or ""
	Background Background `json:"background"`
}

// Object is a shape on the picture. X and Y are its centre in pixels with y pointing down, R its nominal radius in
// pixels, RGB its colour in [0, 1].
type Object struct {
	Shape string     `json:"shape"`
	Color string     `json:"color"`
	Size  string     `json:"size"`
	X     float64    `json:"x"`
	Y     float64    `json:"y"`
	R     float64    `json:"r"`
	RGB   [3]float64 `json:"rgb"`
}

// Background is one of Backgrounds with its grey levels in [0, 1]: Level for the plain ones, Top and Bottom for the
// gradient, Low and High for stripes and checks. Phase is 0 or 8 pixels for stripes, 0 or 1 cells for checks.
type Background struct {
	Kind   string  `json:"kind"`
	Level  float64 `json:"level"`
	Top    float64 `json:"top"`
	Bottom float64 `json:"bottom"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Phase  float64 `json:"phase"`
}

// Spec is what a caption asserts. Empty strings stand for what it leaves open.
type Spec struct {
	Kind       Kind      `json:"kind"`
	Objects    []Mention `json:"objects"`
	Relation   string    `json:"relation"` // of Objects[0] to Objects[1], or ""
	Background string    `json:"background"`
}

// Mention is what a caption says about one object; any field may be empty.
type Mention struct {
	Color string `json:"color"`
	Shape string `json:"shape"`
	Size  string `json:"size"`
}

// inverse names the relation of b to a, given that of a to b.
var inverse = map[string]string{"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

// Canonical returns an equal spec in one fixed form: "right of" and "below" turned round into "left of" and "above",
// objects in alphabetical order where their order says nothing. Two captions assert the same when their canonical
// specs are equal.
func (s Spec) Canonical() Spec {
	out := s
	out.Objects = append([]Mention(nil), s.Objects...)
	switch {
	case s.Relation == "right of" || s.Relation == "below":
		out.Relation = inverse[s.Relation]
		out.Objects[0], out.Objects[1] = out.Objects[1], out.Objects[0]
	case s.Relation == "":
		slices.SortFunc(out.Objects, Mention.compare)
	}
	return out
}

// compare orders mentions by colour, shape, size.
func (m Mention) compare(o Mention) int {
	return cmp.Or(cmp.Compare(m.Color, o.Color), cmp.Compare(m.Shape, o.Shape), cmp.Compare(m.Size, o.Size))
}

// Validate reports the first thing that makes a spec meaningless: a word outside the vocabulary, or a number of
// objects that does not fit its kind.
func (s Spec) Validate() error {
	counts := map[Kind][2]int{Single: {1, 1}, Relation: {2, 2}, And: {2, 2}, Count: {2, 3}, Three: {3, 3}}
	limits, ok := counts[s.Kind]
	if !ok {
		return fmt.Errorf("miniworld: spec: unknown kind %q (want one of %v)", s.Kind, Kinds)
	}
	if n := len(s.Objects); n < limits[0] || n > limits[1] {
		return fmt.Errorf("miniworld: spec: %d objects do not fit kind %q", n, s.Kind)
	}
	if (s.Kind == Relation) != (s.Relation != "") {
		return fmt.Errorf("miniworld: spec: kind %q with relation %q", s.Kind, s.Relation)
	}
	for _, o := range s.Objects {
		err := errors.Join(known("color", o.Color, Colors), known("shape", o.Shape, Shapes), known("size", o.Size, Sizes))
		if err != nil {
			return err
		}
	}
	return errors.Join(known("relation", s.Relation, Relations), known("background", s.Background, Backgrounds))
}

// known accepts the empty word and those of the vocabulary.
func known(what, word string, among []string) error {
	if word == "" || slices.Contains(among, word) {
		return nil
	}
	return fmt.Errorf("miniworld: spec: unknown %s %q (want one of %s)", what, word, strings.Join(among, ", "))
}

// Prompt is a caption with what it asserts.
type Prompt struct {
	Text string `json:"prompt"`
	Spec Spec   `json:"spec"`
}

// ReadPrompts reads a prompt set: one JSON object {"prompt", "spec"} per line. Without a spec it is what the prompt's
// words assert. Errors name the line.
func ReadPrompts(r io.Reader) ([]Prompt, error) {
	var out []Prompt
	for d, line := json.NewDecoder(r), 1; ; line++ {
		var p Prompt
		if err := d.Decode(&p); err == io.EOF {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("miniworld: prompt %d: %w", line, err)
		}
		if err := p.complete(); err != nil {
			return nil, fmt.Errorf("miniworld: prompt %d: %w", line, err)
		}
		out = append(out, p)
	}
}

// complete fills in a missing spec and validates a given one.
func (p *Prompt) complete() (err error) {
	if p.Spec.Kind == "" {
		p.Spec, err = ParseCaption(p.Text)
		return err
	}
	return p.Spec.Validate()
}
