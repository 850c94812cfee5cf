package evaluation

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"winnow/datasets"
	"winnow/rewards/metric"
)

// Set is a preference set and what scorers say of its pictures. Records are numbered in the order that they are added in.
type Set struct {
	Format     datasets.Format
	entries    []entry
	scorers    []*Scorer
	prompts    names
	categories names
}

// entry is what figures need of a record. Sets have millions, so it is small.
type entry struct {
	prompt, category int32   // numbers in Set.prompts and Set.categories
	pictures         int32   // how many
	pair             bool    // else a group
	label            float64 // of a pair
	group            *grading
}

// grading is the labels of a group.
type grading struct {
	rank  []float64
	votes []datasets.Vote
}

// names numbers strings.
type names struct {
	list  []string
	index map[string]int32
}

func (n *names) number(s string) int32 {
	if i, ok := n.index[s]; ok {
		return i
	}
	if n.index == nil {
		n.index = map[string]int32{}
	}
	s = strings.Clone(s) // readers cut strings out of whole pages
	i := int32(len(n.list))
	n.list, n.index[s] = append(n.list, s), i
	return i
}

// NewSet starts an evaluation.
func NewSet(format datasets.Format) *Set { return &Set{Format: format} }

// Add enters a record and returns its number, or -1 for records that compare nothing.
func (s *Set) Add(rec *datasets.Record) int {
	if len(rec.Images) < 2 {
		return -1
	}
	e := entry{
		prompt: s.prompts.number(rec.Prompt), category: s.categories.number(rec.Category), pictures: int32(len(rec.Images)),
		pair: rec.Kind == datasets.KindPair, label: rec.Label,
	}
	if !e.pair && rec.Rank != nil {
		e.group = &grading{rec.Rank, rec.Votes}
	}
	s.entries = append(s.entries, e)
	return len(s.entries) - 1
}

// Len is the number of records.
func (s *Set) Len() int { return len(s.entries) }

// Scorer is the answers of one scorer.
type Scorer struct {
	Name     string
	set      *Set
	values   [][]float64 // by record; nil: none
	verdicts map[int][]verdict
}

// AddScorer enters a scorer.
func (s *Set) AddScorer(name string) *Scorer {
	c := &Scorer{Name: name, set: s, verdicts: map[int][]verdict{}}
	s.scorers = append(s.scorers, c)
	return c
}

// Scorers are all scorers, in the order that they were added in.
func (s *Set) Scorers() []*Scorer { return s.scorers }

// Score enters the scores of all pictures of a record, higher is better. A record with a NaN among them has no scores.
func (c *Scorer) Score(record int, values []float64) {
	for _, v := range values {
		if math.IsNaN(v) {
			return
		}
	}
	for len(c.values) <= record {
		c.values = append(c.values, nil)
	}
	c.values[record] = values
}

// Values are the scores of a record; nil without.
func (c *Scorer) Values(record int) []float64 {
	if record >= len(c.values) {
		return nil
	}
	return c.values[record]
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

// Lookup enters the scores that a file has for a record, and returns a *MissingError for every picture without one.
func (c *Scorer) Lookup(record int, rec *datasets.Record, scores *Scores) (missing []error) {
	values := make([]float64, len(rec.Images))
	for i := range rec.Images {
		v, ok := scores.Of(&rec.Images[i], rec.Prompt)
		if !ok {
			missing = append(missing, &MissingError{scores.Name, rec.Images[i].Name(), rec.Row})
		}
		values[i] = v
	}
	c.Score(record, values)
	return missing
}

// Decided says whether people have compared the pictures of a record: without that, its scores are not needed.
func (s *Set) Decided(record int) bool {
	e := &s.entries[record]
	return e.pair && !math.IsNaN(e.label) || !e.pair && e.group != nil
}

// Missing is the number of decided records without scores.
func (c *Scorer) Missing() int {
	n := 0
	for i := range c.set.entries {
		if c.Values(i) == nil && c.set.Decided(i) {
			n++
		}
	}
	return n
}

// Result is what is found for one scorer.
type Result struct {
	Scorer  string `json:"scorer"`
	Records int    `json:"records"`
	Scored  int    `json:"scored"`  // records of which every picture has a score
	Missing int    `json:"missing"` // records that people have decided and that have no scores
	Parts   []Part `json:"parts"`
	// Calibration is nil where there are too few decided pairs.
	Calibration *Calibration `json:"calibration,omitempty"`
}

// Part is the figures of a whole set or of one category.
type Part struct {
	Category string   `json:"category"` // "" for the whole
	Figures  []Figure `json:"figures"`
}

// Result computes every figure that belongs to the set. threshold is the tie threshold of Pick-a-Pic, NaN without one.
func (c *Scorer) Result(threshold float64) Result {
	r := Result{Scorer: c.Name, Records: len(c.set.entries), Scored: c.Scored(), Missing: c.Missing()}
	for _, p := range c.parts() {
		part := Part{Category: p.category}
		if len(p.groups) > 0 {
			part.Figures = append(part.Figures, p.groupFigures(c.set.Format)...)
		}
		if len(p.pairs) > 0 {
			part.Figures = append(part.Figures, p.pairFigures(threshold)...)
		}
		if len(p.verdicts) > 0 {
			part.Figures = append(part.Figures, p.judgeFigures()...)
		}
		if len(part.Figures) > 0 {
			r.Parts = append(r.Parts, part)
		}
	}
	r.Calibration = c.calibrate()
	return r
}

// Pairs returns the pairs of the whole set, to choose a tie threshold on.
func (c *Scorer) Pairs() []metric.Pair { return c.parts()[0].pairs }

// part is the comparisons of the whole set or of one category. Pairs of one prompt form a cluster.
type part struct {
	category       string
	groups         []metric.Group
	groupPrompts   clusters
	pairs          []metric.Pair
	pairPrompts    clusters
	verdicts       []metric.Verdict
	verdictPrompts clusters
}

// clusters numbers the comparisons of each prompt.
type clusters struct {
	index   map[int32]int32 // of a prompt in members
	members [][]int32
}

func (c *clusters) add(prompt int32, comparison int) {
	at, ok := c.index[prompt]
	if !ok {
		if c.index == nil {
			c.index = map[int32]int32{}
		}
		at = int32(len(c.members))
		c.index[prompt] = at
		c.members = append(c.members, nil)
	}
	c.members[at] = append(c.members[at], int32(comparison))
}

// parts sorts the scored records by category; the first part is the whole set.
func (c *Scorer) parts() []*part {
	all := []*part{{}}
	byName := map[string]*part{}
	for i := range c.set.entries {
		values := c.Values(i)
		if values == nil {
			continue
		}
		e := &c.set.entries[i]
		category := c.set.categories.list[e.category]
		all[0].add(e, values, c.verdicts[i])
		if category == "" {
			continue
		}
		p, ok := byName[category]
		if !ok {
			p = &part{category: category}
			byName[category] = p
			all = append(all, p)
		}
		p.add(e, values, c.verdicts[i])
	}
	return all
}

func (p *part) add(e *entry, values []float64, verdicts []verdict) {
	for _, v := range verdicts {
		if label := e.prefers(v.first, v.second); label == 0 || label == 1 {
			p.verdictPrompts.add(e.prompt, len(p.verdicts))
			p.verdicts = append(p.verdicts, metric.Verdict{Label: label, ShownFirst: v.shownFirst, ShownSecond: v.shownSecond})
		}
	}
	if e.pair {
		if !math.IsNaN(e.label) {
			p.pairPrompts.add(e.prompt, len(p.pairs))
			p.pairs = append(p.pairs, metric.Pair{Label: e.label, First: values[0], Second: values[1]})
		}
		return
	}
	if g := e.ranked(values); g.Check() == nil && len(g.Rank) > 1 {
		p.groupPrompts.add(e.prompt, len(p.groups))
		p.groups = append(p.groups, g)
	}
}

// prefers is the human label of picture i beside picture k: 1, 0, 0.5 for a tie, NaN where it is not known.
func (e *entry) prefers(i, k int) float64 {
	switch {
	case e.pair && i == 0:
		return e.label
	case e.pair:
		return 1 - e.label
	case e.group == nil:
		return math.NaN()
	}
	return datasets.CompareRanks(e.group.rank[i], e.group.rank[k])
}

// ranked is a record as a group; pictures that the set does not rank are left out, of the single annotations too.
func (e *entry) ranked(values []float64) metric.Group {
	var g metric.Group
	var kept []int
	if e.group == nil {
		return g
	}
	for i, r := range e.group.rank {
		if !math.IsNaN(r) {
			g.Rank, g.Score, kept = append(g.Rank, r), append(g.Score, values[i]), append(kept, i)
		}
	}
	for _, v := range e.group.votes {
		if len(v.Rank) != len(values) {
			continue
		}
		vote := make([]float64, len(kept))
		for k, i := range kept {
			vote[k] = v.Rank[i]
		}
		g.Votes = append(g.Votes, vote)
	}
	return g
}

// Scored is the number of records with scores.
func (c *Scorer) Scored() int {
	n := 0
	for _, v := range c.values {
		if v != nil {
			n++
		}
	}
	return n
}

// HasPairs says whether the set has pairs with labels.
func (s *Set) HasPairs() bool {
	return slices.ContainsFunc(s.entries, func(e entry) bool { return e.pair && !math.IsNaN(e.label) })
}
