package vlmjudge

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// notes is a Store of this process.
type notes struct {
	mu     sync.Mutex
	known  map[string]Answer
	calls  []Call
	closed bool
}

func (n *notes) Recall(_ context.Context, key string) (Answer, bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a, ok := n.known[key]
	return a, ok, nil
}

func (n *notes) Keep(_ context.Context, c Call) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, c)
	for _, k := range c.Kept {
		n.known[k.Key] = k.Answer
	}
	return nil
}

func (n *notes) Close() error { n.closed = true; return nil }

func redder(n int) (images []image.Image) {
	for i := range n {
		images = append(images, filled(60, 60, color.NRGBA{byte(40 * i), 9, 9, 255}))
	}
	return images
}

// Nothing is asked twice; whatever the answer depends on makes another question.
func TestStore(t *testing.T) {
	f := newFake(t, serious)
	m := &notes{known: map[string]Answer{}}
	o := quick(f.URL)
	o.Store, o.Limits = m, Limits{PriceIn: 1e4, PriceOut: 1e6}
	j := mustOpen(t, o)
	opened, im := len(f.requests()), redder(3)
	first, err := j.Compare(t.Context(), "p", im[0], im[1])
	if err != nil || len(f.requests()) != opened+2 || len(m.calls) != 2 {
		t.Fatalf("%d requests, %d calls, %v", len(f.requests())-opened, len(m.calls), err)
	}
	if c := m.calls[0]; c.Pictures != 2 || c.Model != "fake@1" || c.Template != "pair.direct.v1" || math.Abs(c.Money-(52*1e4+1e6)/1e6) > 1e-9 {
		t.Errorf("%+v", c)
	}
	again, err := j.Compare(t.Context(), "p", im[0], im[1])
	if err != nil || len(f.requests()) != opened+2 || again.Swapped != first.Swapped || !again.AFirst.Recalled || again.AFirst.Tokens.Prompt != 0 {
		t.Errorf("%d requests, %+v, %v", len(f.requests())-opened, again.AFirst, err)
	}
	if s := j.Spent(); s.Calls != 2 || s.Tokens.Prompt != 104 || s.Recalled != 2 || math.Abs(s.Money-2*(52*1e4+1e6)/1e6) > 1e-9 {
		t.Errorf("%+v", s)
	}
	for _, ask := range []func() error{
		func() error { _, err := j.Compare(t.Context(), "q", im[0], im[1]); return err },
		func() error { _, err := j.Compare(t.Context(), "p", im[0], im[2]); return err },
		func() error { _, err := j.Yes(t.Context(), "p", im[0]); return err },
	} {
		before := len(f.requests())
		if err := ask(); err != nil || len(f.requests()) == before {
			t.Errorf("%d new requests, %v", len(f.requests())-before, err)
		}
	}
	o.PixelBudget = 56 * 56
	before := len(f.requests())
	other := mustOpen(t, o)
	if _, err := other.Compare(t.Context(), "p", im[0], im[1]); err != nil || len(f.requests()) != before+4 {
		t.Errorf("another size took %d requests with the two of opening, %v", len(f.requests())-before, err)
	}
	if err := errors.Join(j.Close(), other.Close()); err != nil || !m.closed {
		t.Error("the store is not closed")
	}
}

// A limit ends a ranking with what is known; answers that are known cost nothing.
func TestLimits(t *testing.T) {
	f := newFake(t, serious)
	m := &notes{known: map[string]Answer{}}
	o := quick(f.URL)
	o.Concurrency, o.Store, o.Limits = 1, m, Limits{Tokens: 53*5 + 1}
	j := mustOpen(t, o)
	result, err := j.Tournament(t.Context(), "p", redder(4), RankOptions{})
	if err != nil || result.Pairs != 3 || result.Failed != 0 || result.Incomplete != "the limit of 266 tokens is reached" {
		t.Errorf("%d pairs, %d failed, %q, %v", result.Pairs, result.Failed, result.Incomplete, err)
	}
	if again, err := j.Tournament(t.Context(), "p", redder(4), RankOptions{}); err != nil || again.Pairs != 3 {
		t.Errorf("what is known gives %d pairs, %v", again.Pairs, err)
	}
	var limit *LimitError
	if _, err := j.Yes(t.Context(), "another", redder(1)[0]); !errors.As(err, &limit) {
		t.Errorf("%v", err)
	}
	for want, l := range map[string]Limits{"in money": {Money: 1e-9, PriceIn: 1}, "of 1ns": {Time: time.Nanosecond}} {
		o.Store, o.Limits = nil, l
		j := mustOpen(t, o)
		result, err := j.Tournament(t.Context(), "p", redder(3), RankOptions{})
		if err != nil || result.Pairs > 1 || !strings.Contains(result.Incomplete, want) {
			t.Errorf("%s: %d pairs, %q, %v", want, result.Pairs, result.Incomplete, err)
		}
	}
	for _, l := range []Limits{{Tokens: -1}, {Money: 1}, {PriceIn: math.NaN()}, {Money: math.Inf(1), PriceIn: 1}} {
		o.Limits = l
		if _, err := Open(t.Context(), o); err == nil {
			t.Errorf("%+v is taken", l)
		}
	}
}

// A calibration changes how sure a judge is and takes out its bias, for this judge only.
func TestCalibration(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, a asked) { weigh(w, a, -0.2231, -2.3026) })
	j := mustOpen(t, quick(f.URL))
	im := redder(2)
	raw, err := j.Compare(t.Context(), "p", im[0], im[1])
	if err != nil {
		t.Fatal(err)
	}
	x := math.Log(raw.AFirst.P / (1 - raw.AFirst.P))
	c := CalibrationOf(j)
	c.Method, c.Scale, c.Shift = "platt", .5, -.5*x
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadCalibration(data)
	if err != nil {
		t.Fatal(err)
	}
	o := quick(f.URL)
	o.Calibration = read
	calibrated, err := mustOpen(t, o).Compare(t.Context(), "p", im[0], im[1])
	if err != nil || math.Abs(calibrated.AFirst.P-.5) > 1e-9 || math.Abs(calibrated.Bias) > 1e-9 || !strings.Contains(calibrated.AFirst.Formula, "calibrated") {
		t.Errorf("%+v, %v", calibrated, err)
	}
	for name, change := range map[string]func(*Calibration){
		"model": func(c *Calibration) { c.Model = "other" }, "question": func(c *Calibration) { c.Template.SHA256 = "other" },
		"protocol": func(c *Calibration) { c.Protocol = ProtocolVotes }, "pixel budget": func(c *Calibration) { c.PixelBudget++ },
		"family": func(c *Calibration) { c.Family = Qwen3VL }, "votes": func(c *Calibration) { c.Votes = 5 },
	} {
		other := *read
		change(&other)
		o.Calibration = &other
		if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "{}", `{"scale":0}`, `{"scale":1}`, strings.Replace(string(data), `"scale":0.5`, `"scale":-1`, 1), strings.Replace(string(data), "{", `{"colour":1,`, 1)} {
		if _, err := ReadCalibration([]byte(text)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}
