package report

import (
	"encoding/json"
	"io"
	"math"

	"winnow/rewards"
)

// The JSON lines. Every object carries "type"; fields are only ever added.
type (
	imageLine struct {
		Type   string   `json:"type"` // "image"
		Prompt string   `json:"prompt"`
		File   string   `json:"file"`
		Rank   int      `json:"rank,omitempty"`
		Score  *float64 `json:"score,omitempty"`
		Reward string   `json:"reward,omitempty"`
		// Of the terms of a sum, by name; percentile where there is one reward only.
		Scores      map[string]float64 `json:"scores,omitempty"`
		Percentile  *float64           `json:"percentile,omitempty"`
		Percentiles map[string]float64 `json:"percentiles,omitempty"`
		Spread      *float64           `json:"spread,omitempty"`
		Alarm       *bool              `json:"alarm,omitempty"`
		Width       int                `json:"width"`
		Height      int                `json:"height"`
		SHA256      string             `json:"sha256"`
		Seed        *uint64            `json:"seed,omitempty"`
		Params      any                `json:"params,omitempty"`
	}
	summaryLine struct {
		Type    string         `json:"type"` // "summary"
		Command string         `json:"command"`
		Images  int            `json:"images"`
		Failed  int            `json:"failed"`
		Seconds float64        `json:"seconds"`
		Reward  any            `json:"reward,omitempty"`
		Rewards []rewards.Info `json:"rewards,omitempty"` // the terms of a sum
		// What percentiles refer to, by reward.
		References map[string]referenceLine `json:"references,omitempty"`
		Alarm      *alarmLine               `json:"alarm,omitempty"`
		Judge      *judgeLine               `json:"judge,omitempty"`
		Version    string                   `json:"version"`
	}
	judgeLine struct {
		Schedule  string  `json:"schedule"`
		Calls     int     `json:"calls"` // questions
		Pairs     int     `json:"pairs"`
		Failed    int     `json:"failed,omitempty"`   // comparisons without an answer
		Borrowed  int     `json:"borrowed,omitempty"` // pairs that were left to the cheaper reward
		Abstained int     `json:"abstained"`
		Turned    int     `json:"turned"` // whose preferred picture depended on which was shown first
		Bias      float64 `json:"position_bias"`
		Cyclic    int     `json:"cyclic_triples"`
		Triples   int     `json:"triples"`
		// Why fewer pairs were compared than the schedule wanted.
		Incomplete string `json:"incomplete,omitempty"`
	}
	referenceLine struct {
		Set   string `json:"set,omitempty"`
		Count int    `json:"count"`
	}
	alarmLine struct {
		Limit  float64 `json:"limit"`
		Images int     `json:"images"` // above it
	}
	// ErrorLine is the form of every failure under --json.
	ErrorLine struct {
		Type    string `json:"type"` // "error"
		Code    int    `json:"code"` // exit code that this error alone would give
		File    string `json:"file,omitempty"`
		Message string `json:"message"`
	}
)

// WriteJSON writes one object per line: every picture, every failure, then a
// summary.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, g := range r.Groups {
		for _, im := range g.Images {
			if err := enc.Encode(r.line(g, im)); err != nil {
				return err
			}
		}
	}
	for _, f := range r.Failed {
		if err := enc.Encode(ErrorLine{Type: "error", Code: 1, File: f.File, Message: f.Cause}); err != nil {
			return err
		}
	}
	images, failed := r.Counts()
	s := summaryLine{Type: "summary", Command: r.Command, Images: images, Failed: failed, Seconds: r.Seconds, Version: r.Version}
	r.describe(&s)
	return enc.Encode(s)
}

// describe adds what the scores are.
func (r *Result) describe(s *summaryLine) {
	if r.Reward == nil {
		return
	}
	s.Reward = r.Reward
	for _, m := range r.Members {
		if r.composite() {
			s.Rewards = append(s.Rewards, m.Info)
		}
		if m.Reference != nil {
			if s.References == nil {
				s.References = map[string]referenceLine{}
			}
			s.References[m.Name] = referenceLine{m.Reference.Set, m.Reference.Count}
		}
	}
	if t := r.Judge; t != nil {
		s.Judge = &judgeLine{
			Schedule: t.Schedule, Calls: t.Calls, Pairs: t.Pairs, Failed: t.Failed, Borrowed: t.Borrowed, Abstained: t.Abstained, Turned: t.Turned,
			Bias: t.Bias, Cyclic: t.Cyclic, Triples: t.Triples, Incomplete: t.Incomplete,
		}
	}
	if r.Alarm > 0 {
		s.Alarm = &alarmLine{r.Alarm, len(r.Alarmed())}
	}
}

func (r *Result) line(g Group, im Image) imageLine {
	l := imageLine{
		Type: "image", Prompt: g.promptOf(im), File: im.File, Width: im.Width, Height: im.Height,
		SHA256: im.SHA256, Seed: im.Seed, Params: im.Params,
	}
	if im.Rank == 0 {
		return l
	}
	l.Rank, l.Score = im.Rank, &im.Score
	if r.Reward != nil {
		l.Reward = r.Reward.Name
	}
	if r.Alarm > 0 {
		alarm := r.alarmed(im)
		l.Spread, l.Alarm = &im.Spread, &alarm
	}
	percentiles := map[string]float64{}
	for i := range im.Scores {
		if r.composite() {
			if l.Scores == nil {
				l.Scores = map[string]float64{}
			}
			l.Scores[r.Members[i].Name] = im.Scores[i]
		}
		if p, known := r.percentile(im, i); known {
			percentiles[r.Members[i].Name] = math.Round(100*p) / 100
		}
	}
	if len(r.Members) > 1 {
		l.Percentiles = percentiles
	} else {
		for _, p := range percentiles {
			l.Percentile = &p
		}
	}
	return l
}
