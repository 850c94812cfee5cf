package vlmjudge

import (
	"math"
	"net/http"
	"slices"
	"testing"
)

// drawn are the replies of a server that samples: the i-th of a seed is always the same, and every third is the second label.
func drawn(a asked, most int) (answers []string) {
	n, _ := a.raw["n"].(float64)
	seed := a.raw["seed"].(float64)
	labels := labelsIn(a.texts)
	for i := range min(max(int(n), 1), most) {
		answers = append(answers, labels[(int(seed)+i)%3/2])
	}
	return answers
}

type drawing struct {
	n, seed     int
	temperature float64
}

// drawings are the requests for samples since one of all requests.
func drawings(f *fake, from int) (out []drawing) {
	for _, a := range f.requests()[from:] {
		n, _ := a.raw["n"].(float64)
		seed, _ := a.raw["seed"].(float64)
		temperature, _ := a.raw["temperature"].(float64)
		out = append(out, drawing{int(n), int(seed), temperature})
	}
	return out
}

// wanted are the requests for some samples from one on, of a server that gives at most so many at once.
func wanted(samples, from int, temperature float64, most int) (out []drawing) {
	for samples > 0 {
		d := drawing{samples, from, temperature}
		if samples == 1 {
			d.n = 0 // not sent
		}
		given := min(samples, most)
		out, samples, from = append(out, d), samples-given, from+given
	}
	return out
}

// samplers opens judges of one server and one store, which differ in what their options are changed to.
func samplers(t *testing.T, f *fake, m *notes) func(change func(*Options)) *Judge {
	return func(change func(*Options)) *Judge {
		t.Helper()
		o := quick(f.URL)
		o.Store = m
		change(&o)
		return mustOpen(t, o)
	}
}

// Of sampled answers only those that are missing are asked for, whatever number is wanted.
func TestStore_samples(t *testing.T) {
	for name, most := range map[string]int{"at once": 99, "one by one": 1} {
		f := newFake(t, func(w http.ResponseWriter, a asked) {
			if a.raw["logprobs"] == true { // the probe
				say(w, a, "Yes")
				return
			}
			say(w, a, drawn(a, most)...)
		})
		m := &notes{known: map[string]Answer{}}
		open := samplers(t, f, m)
		im := redder(1)[0]
		for _, c := range []struct {
			what          string
			change        func(*Options)
			samples, from int // that are asked for
			temperature   float64
			p             float64
			kept          int // in all
		}{
			{"three", func(o *Options) { o.Votes = 3 }, 3, 0, 1, 2.5 / 4, 3},
			{"three again", func(o *Options) { o.Votes = 3 }, 0, 0, 0, 2.5 / 4, 3},
			{"two more", func(o *Options) { o.Votes = 5 }, 2, 3, 1, 4.5 / 6, 5},
			{"fewer", func(o *Options) { o.Votes = 4 }, 0, 0, 0, 3.5 / 5, 5},
			{"one more", func(o *Options) { o.Votes = 6 }, 1, 5, 1, 4.5 / 7, 6},
			{"the most probable", func(o *Options) { o.Votes = 1 }, 1, 0, 0, 1.5 / 2, 7},
			{"another seed", func(o *Options) { o.Votes, o.Seed = 2, 7 }, 2, 7, 1, 1.5 / 3, 9},
			{"longer answers", func(o *Options) { o.Votes, o.AnswerTokens = 2, 40 }, 2, 0, 1, 2.5 / 3, 11},
		} {
			j := open(c.change)
			before, calls := len(f.requests()), len(m.calls)
			a, err := j.Yes(t.Context(), "p", im)
			if err != nil || a.Recalled != (c.samples == 0) || math.Abs(a.P-c.p) > 1e-9 || len(a.Replies) != j.options.Votes || a.Mass != 1 {
				t.Errorf("%s, %s: %+v, %v, want P %v", name, c.what, a, err, c.p)
			}
			got := drawings(f, before)
			if want := wanted(c.samples, c.from, c.temperature, most); !slices.Equal(got, want) {
				t.Errorf("%s, %s: asked %v, want %v", name, c.what, got, want)
			}
			asked := min(len(got), 1)
			if a.Tokens.Requests != len(got) || len(m.calls) != calls+asked || len(m.known) != c.kept || j.Spent().Recalled != 1-asked {
				t.Errorf("%s, %s: %d requests and %d calls for %d, %d kept, %+v", name, c.what, a.Tokens.Requests, len(m.calls)-calls, len(got), len(m.known), j.Spent())
			}
		}
	}
}

// Samples that were paid for are kept though the server fails before the last; then only the others are asked for. What nobody can read is not.
func TestStore_samplesFail(t *testing.T) {
	down, mumbles := true, false
	f := newFake(t, func(w http.ResponseWriter, a asked) {
		switch seed, _ := a.raw["seed"].(float64); {
		case a.raw["logprobs"] == true:
			say(w, a, "Yes")
		case mumbles:
			say(w, a, "it is hard to say")
		case down && seed >= 2:
			http.Error(w, `{"error":{"message":"bad picture"}}`, http.StatusBadRequest)
		default:
			say(w, a, drawn(a, 1)...)
		}
	})
	m := &notes{known: map[string]Answer{}}
	j := samplers(t, f, m)(func(o *Options) { o.Votes = 3 })
	im := redder(2)
	if _, err := j.Yes(t.Context(), "p", im[0]); err == nil || len(m.known) != 2 || j.Spent().Calls != 2 || len(m.calls) != 1 || m.calls[0].Answer.Tokens.Requests != 2 {
		t.Errorf("%v, %d kept, %+v, %+v", err, len(m.known), j.Spent(), m.calls)
	}
	down = false
	before := len(f.requests())
	a, err := j.Yes(t.Context(), "p", im[0])
	if got := drawings(f, before); err != nil || !slices.Equal(got, []drawing{{0, 2, 1}}) || math.Abs(a.P-2.5/4) > 1e-9 || len(m.known) != 3 {
		t.Errorf("%+v, %v, asked %v", a, err, got)
	}
	mumbles = true
	if a, err := j.Yes(t.Context(), "p", im[1]); err != nil || !a.Abstained || len(m.known) != 3 || len(m.calls) != 3 {
		t.Errorf("%+v, %v, %d kept, %d calls", a, err, len(m.known), len(m.calls))
	}
	mumbles = false
	if a, err := j.Yes(t.Context(), "p", im[1]); err != nil || a.Abstained || len(m.known) != 6 {
		t.Errorf("%+v, %v, %d kept", a, err, len(m.known))
	}
}

// Probabilities of reasoned answers are kept one by one as well, and a limit does not bar what is known.
func TestStore_samplesReasoned(t *testing.T) {
	p := []float64{.9, .6, .75, .3}
	f := newFake(t, func(w http.ResponseWriter, a asked) {
		n, _ := a.raw["n"].(float64)
		seed, _ := a.raw["seed"].(float64)
		thinker(w, a, p[int(seed):int(seed)+max(int(n), 1)]...)
	})
	m := &notes{known: map[string]Answer{}}
	open := samplers(t, f, m)
	im := redder(1)[0]
	for _, c := range []struct {
		votes, requests int
		p               float64
	}{{2, 0, .75}, {4, 1, .6375}} {
		m.known = map[string]Answer{}
		if a, err := open(func(o *Options) { o.Votes = 2 }).Yes(t.Context(), "p", im); err != nil || math.Abs(a.P-.75) > 1e-9 {
			t.Errorf("%+v, %v", a, err)
		}
		j := open(func(o *Options) { o.Votes, o.Limits = c.votes, Limits{Tokens: 1e6} })
		before := len(f.requests())
		a, err := j.Yes(t.Context(), "p", im)
		if err != nil || math.Abs(a.P-c.p) > 1e-9 || a.Protocol != ProtocolReasoned || len(f.requests())-before != c.requests {
			t.Errorf("%d votes: %+v, %v", c.votes, a, err)
		}
		j.purse.tokens.Prompt += 1e6
		if a, err := j.Yes(t.Context(), "p", im); err != nil || !a.Recalled || math.Abs(a.P-c.p) > 1e-9 {
			t.Errorf("%d votes, beyond the limit: %+v, %v", c.votes, a, err)
		}
	}
}

// So are marks: their mean is over all samples, kept ones among them.
func TestStore_samplesMarks(t *testing.T) {
	marks := []string{"5", "3", "none", "4"}
	f := newFake(t, func(w http.ResponseWriter, a asked) {
		seed, _ := a.raw["seed"].(float64)
		if a.raw["logprobs"] == true {
			say(w, a, "Yes")
			return
		}
		say(w, a, marks[int(seed)])
	})
	open := samplers(t, f, &notes{known: map[string]Answer{}})
	im := redder(1)[0]
	for _, c := range []struct {
		votes, requests int
		mark, mass      float64
	}{{2, 2, 4, 1}, {4, 2, 4, .75}, {3, 0, 4, 2. / 3}, {1, 1, 5, 1}} {
		j := open(func(o *Options) { o.Votes = c.votes })
		before := len(f.requests())
		a, err := j.Marks(t.Context(), "p", im)
		if err != nil || a.Mark == nil || math.Abs(a.Mark.Expected-c.mark) > 1e-9 || math.Abs(a.P-(c.mark-1)/4) > 1e-9 || math.Abs(a.Mass-c.mass) > 1e-9 || len(f.requests())-before != c.requests {
			t.Errorf("%d votes: %+v, %v after %d requests", c.votes, a, err, len(f.requests())-before)
		}
	}
}
