package vlmjudge

import (
	"context"
	"errors"
	"image"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A judge that names a position whatever it sees puts nothing in order, and is found out.
func TestPoor_positionOnly(t *testing.T) {
	for label, place := range map[string]string{"1": "first", "2": "second"} {
		server := newFake(t, func(w http.ResponseWriter, a asked) {
			if a.pair() {
				say(w, a, label)
				return
			}
			say(w, a, "Yes")
		})
		o := quick(server.URL)
		o.Votes = 1
		got, err := mustOpen(t, o).Tournament(t.Context(), "x", reds(4), RankOptions{})
		if err != nil {
			t.Fatal(err)
		}
		nearAll(t, "strengths", got.Strengths, make([]float64, 4), 1e-9)
		if got.Pairs != 6 || got.Turned != 6 || !strings.Contains(got.Degenerate(), "shown "+place+" in each of the 6 pairs") {
			t.Errorf("%d of %d turned: %q", got.Turned, got.Pairs, got.Degenerate())
		}
	}
}

func TestDegenerate(t *testing.T) {
	soft := func(p float64) Match { return Match{Comparison: SoftComparison(p, ProtocolLogprobs)} }
	abstained := soft(.5)
	abstained.Abstained = true
	for name, c := range map[string]struct {
		matches []Match
		want    string
	}{
		"nothing asked":      {nil, ""},
		"sound":              {[]Match{soft(.9), soft(.9), soft(.9)}, ""},
		"too few to tell":    {[]Match{soft(.5), soft(.5)}, ""},
		"all the same to it": {[]Match{soft(.5), soft(.5), soft(.5)}, "no picture came out stronger"},
		"unreadable":         {[]Match{abstained, abstained}, "about none of the 2 pairs"},
	} {
		pairs := [][2]int{{0, 1}, {0, 2}, {1, 2}}
		for i := range c.matches {
			c.matches[i].A, c.matches[i].B = pairs[i][0], pairs[i][1]
		}
		got, err := Tally(3, c.matches)
		if err != nil {
			t.Fatal(err)
		}
		if text := got.Degenerate(); (c.want == "") != (text == "") || !strings.Contains(text, c.want) {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
}

// Three of ten answers cannot be read: they are nobody's votes, and where single answers count, the pairs abstain.
func TestPoor_unreadable(t *testing.T) {
	var answers atomic.Int32
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		label := "Yes"
		if a.pair() {
			label = "2"
			if redness(a.pictures[0]) > redness(a.pictures[1]) {
				label = "1"
			}
		}
		n := 1
		if asked, ok := a.raw["n"].(float64); ok {
			n = int(asked)
		}
		var all []string
		for range n {
			if answers.Add(1)%10 < 3 {
				all = append(all, "Both have their merits; 1 is bold and 2 is calm")
				continue
			}
			all = append(all, label)
		}
		say(w, a, all...)
	})
	pictures := []image.Image{red(0), red(60), red(120), red(180), red(240)}
	o := quick(server.URL)
	o.Votes, o.Concurrency = 10, 1 // one after the other, so that of each ten answers three are unreadable
	got, err := mustOpen(t, o).Tournament(t.Context(), "x", pictures, RankOptions{})
	if err != nil || !ascending(got.Strengths) || got.Abstained != 0 || got.Degenerate() != "" {
		t.Errorf("ten votes: %v, %d abstained, %q, %v", got.Strengths, got.Abstained, got.Degenerate(), err)
	}
	for _, m := range got.Matches {
		if m.AFirst.Mass != .7 || m.AFirst.Raw != 0 {
			t.Errorf("mass %v, raw %v; want 7 of 10 for the second picture", m.AFirst.Mass, m.AFirst.Raw)
		}
	}
	o.Votes = 1
	j := mustOpen(t, o)
	got, err = j.Tournament(t.Context(), "x", pictures, RankOptions{})
	if err != nil || got.Pairs != 10 || got.Abstained < 3 || got.Abstained > 6 {
		t.Errorf("one vote: %d of %d pairs abstained, want 3 to 6 by 6 unreadable answers; %v", got.Abstained, got.Pairs, err)
	}
	var unreadable *UnreadableError
	if _, err = j.Score(t.Context(), "x", reds(10)); !errors.As(err, &unreadable) || !strings.Contains(unreadable.Reply, "merits") {
		t.Errorf("scores: error %v", err)
	}
}

// A poorer protocol is said, once.
func TestNotice_downgrade(t *testing.T) {
	for want, reply := range map[string]func(w http.ResponseWriter, a asked){
		"":                         serious,
		"counts 5 sampled answers": func(w http.ResponseWriter, a asked) { say(w, a, "Yes") },
		"thinks before it answers": func(w http.ResponseWriter, a asked) { thinker(w, a, .75) },
	} {
		var h heard
		o := quick(newFake(t, reply).URL)
		o.Logger = slog.New(&h)
		mustOpen(t, o)
		notices := h.all()
		if got := strings.Join(notices, "\n"); (want == "") != (got == "") || !strings.Contains(got, want) || len(notices) > 1 {
			t.Errorf("notices %q, want %q", notices, want)
		}
	}
}

// heard keeps the warnings of a logger, and with notes set what is of less weight.
type heard struct {
	notes bool
	mu    sync.Mutex
	texts []string
}

func (h *heard) Enabled(_ context.Context, l slog.Level) bool { return h.notes || l >= slog.LevelWarn }
func (h *heard) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h *heard) WithGroup(string) slog.Handler                { return h }

func (h *heard) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.texts = append(h.texts, r.Message)
	return nil
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.texts)
}
