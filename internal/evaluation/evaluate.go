package evaluation

import (
	"encoding/json"
	"fmt"
	"math"

	"winnow/datasets"
	"winnow/rewards/metric"
)

// resamples and level of every interval.
const (
	resamples = 2000
	level     = 0.95
)

// Figure is one metric of a set.
type Figure struct {
	Metric string `json:"metric"`
	Value  Number `json:"value"`
	Low    Number `json:"low"` // 95 % bootstrap over prompts
	High   Number `json:"high"`
	// Wilson's interval takes pairs for independent; it is here for comparison with figures elsewhere.
	WilsonLow  Number `json:"wilson_low,omitempty"`
	WilsonHigh Number `json:"wilson_high,omitempty"`
	Of         int    `json:"of"` // pairs, or prompts for averages
	Unit       string `json:"unit"`
	Note       string `json:"note,omitempty"`
}

// Number is a float64 that JSON writes as null when it is NaN.
type Number float64

// MarshalJSON writes null for NaN and infinities, which JSON does not have.
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); !math.IsNaN(f) && !math.IsInf(f, 0) {
		return json.Marshal(f)
	}
	return []byte("null"), nil
}

// Part is the figures of a whole set or of one category.
type Part struct {
	Category string   `json:"category"` // "" for the whole
	Figures  []Figure `json:"figures"`
}

// Result is what Run finds for one scorer.
type Result struct {
	Scorer  string `json:"scorer"`
	Records int    `json:"records"`
	Scored  int    `json:"scored"` // records of which every picture has a score
	Missing int    `json:"missing"`
	Parts   []Part `json:"parts"`
}

// Set collects scored records.
type Set struct {
	Format   datasets.Format
	result   Result
	parts    map[string]*part
	order    []string
	problems func(error)
}

// part is one category's comparisons. Pairs of one prompt form a cluster.
type part struct {
	groups   []metric.Group
	pairs    []metric.Pair
	clusters map[string][]int // prompt → pairs
	prompts  []string
}

// MissingError is a picture without a score.
type MissingError struct {
	Scorer, Image string
	Row           int
}

// Error names the picture and its row.
func (e *MissingError) Error() string {
	return fmt.Sprintf("%s: no score for picture %q of row %d", e.Scorer, e.Image, e.Row)
}

// NewSet starts an evaluation; problems is told of pictures without a score.
func NewSet(format datasets.Format, scorer string, problems func(error)) *Set {
	s := &Set{Format: format, parts: map[string]*part{}, problems: problems}
	s.result.Scorer = scorer
	s.part("")
	return s
}

func (s *Set) part(name string) *part {
	p, ok := s.parts[name]
	if !ok {
		p = &part{clusters: map[string][]int{}}
		s.parts[name] = p
		s.order = append(s.order, name)
	}
	return p
}

// Add enters one record with the scores of its pictures. Records of which a picture has no score are counted and left out.
func (s *Set) Add(rec *datasets.Record, scores *Scores) {
	if len(rec.Images) < 2 {
		return
	}
	s.result.Records++
	values := make([]float64, len(rec.Images))
	for i := range rec.Images {
		v, ok := scores.Of(&rec.Images[i], rec.Prompt)
		if !ok {
			s.result.Missing++
			s.problems(&MissingError{scores.Name, rec.Images[i].Name(), rec.Row})
			return
		}
		values[i] = v
	}
	s.result.Scored++
	s.part("").add(rec, values)
	if rec.Category != "" {
		s.part(rec.Category).add(rec, values)
	}
}

func (p *part) add(rec *datasets.Record, values []float64) {
	if rec.Kind == datasets.KindPair {
		if math.IsNaN(rec.Label) {
			return
		}
		if _, ok := p.clusters[rec.Prompt]; !ok {
			p.prompts = append(p.prompts, rec.Prompt)
		}
		p.clusters[rec.Prompt] = append(p.clusters[rec.Prompt], len(p.pairs))
		p.pairs = append(p.pairs, metric.Pair{Label: rec.Label, First: values[0], Second: values[1]})
		return
	}
	g := ranked(rec, values)
	if g.Check() == nil && len(g.Rank) > 1 {
		p.groups = append(p.groups, g)
	}
}

// ranked is a record as a group; pictures that nobody ranked are left out.
func ranked(rec *datasets.Record, values []float64) metric.Group {
	var g metric.Group
	for i, r := range rec.Rank {
		if !math.IsNaN(r) {
			g.Rank, g.Score = append(g.Rank, r), append(g.Score, values[i])
		}
	}
	if len(g.Rank) < len(rec.Rank) {
		return g
	}
	for _, v := range rec.Votes {
		if len(v.Rank) == len(values) {
			g.Votes = append(g.Votes, v.Rank)
		}
	}
	return g
}

// Result computes every figure that belongs to the set. threshold is the tie threshold of Pick-a-Pic, NaN without one.
func (s *Set) Result(threshold float64) Result {
	r := s.result
	for _, name := range s.order {
		p := s.parts[name]
		part := Part{Category: name}
		if len(p.groups) > 0 {
			part.Figures = append(part.Figures, groupFigures(s.Format, p.groups)...)
		}
		if len(p.pairs) > 0 {
			part.Figures = append(part.Figures, p.pairFigures(s.Format, threshold)...)
		}
		if len(part.Figures) > 0 {
			r.Parts = append(r.Parts, part)
		}
	}
	return r
}

// Pairs returns the pairs of the whole set, to choose a tie threshold on.
func (s *Set) Pairs() []metric.Pair { return s.parts[""].pairs }
