package vlmjudge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func red(v uint8) image.Image { return filled(40, 30, color.NRGBA{v, 40, 40, 255}) }

// byRedness prefers redder pictures, and the first position by bias log-odds.
func byRedness(bias float64) func(http.ResponseWriter, asked) {
	return func(w http.ResponseWriter, a asked) {
		if len(a.pictures) == 0 {
			weigh(w, a, -1, -1)
			return
		}
		x := redness(a.pictures[0])
		if a.pair() {
			x = 4*(x-redness(a.pictures[1])) + bias
		}
		weigh(w, a, -math.Log1p(math.Exp(-x)), -math.Log1p(math.Exp(x)))
	}
}

func TestCompare_bothOrders(t *testing.T) {
	const bias = .9
	server := newFake(t, byRedness(bias))
	j := mustOpen(t, quick(server.URL))
	more, less := red(200), red(90)
	c, err := j.Compare(t.Context(), "a red square", more, less)
	if err != nil {
		t.Fatal(err)
	}
	x := 4 * (redness(more) - redness(less))
	near(t, "A first", c.AFirst.P, 1/(1+math.Exp(-x-bias)), 1e-9)
	near(t, "B first", c.BFirst.P, 1/(1+math.Exp(x-bias)), 1e-9)
	near(t, "without bias", c.LogitMean, 1/(1+math.Exp(-x)), 1e-9)
	near(t, "bias", c.Bias, bias, 1e-9)
	near(t, "mass", c.AFirst.Mass, 1, 1e-9)
	if c.Abstained || c.Protocol != ProtocolLogprobs || c.AFirst.Replies[0] != "1" {
		t.Errorf("%+v", c)
	}
	if got := c.AFirst.Tokens; got != (Tokens{Requests: 1, Prompt: 52, Completion: 1}) {
		t.Errorf("tokens %+v", got)
	}
	for _, a := range server.requests()[2:] {
		if one, two := strings.Index(a.texts, "Image 1:"), strings.Index(a.texts, "Image 2:"); one < 0 || two < one || len(a.pictures) != 2 {
			t.Errorf("the question is %q with %d pictures", a.texts, len(a.pictures))
		}
	}
	data, err := json.Marshal(c)
	if err != nil || !strings.Contains(string(data), `"logit_mean":`) || !strings.Contains(string(data), `"a_first":{"p":`) {
		t.Errorf("as JSON: %s, %v", data, err)
	}
}

func TestYes_formula(t *testing.T) {
	j := mustOpen(t, quick(newFake(t, serious).URL))
	a, err := j.Yes(t.Context(), "a square", red(10))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "P", a.P, .888895, 1e-6)
	near(t, "Raw", a.Raw, .8, 1e-4)
	near(t, "Mass", a.Mass, .900033, 1e-6)
	if a.Formula != "p(Yes)/(p(Yes)+p(No)) of the first token" || a.Truncated || a.Abstained {
		t.Errorf("%+v", a)
	}
}

func TestOpen_info(t *testing.T) {
	server := newFake(t, serious)
	j := mustOpen(t, Options{URL: server.URL + "/", Model: "m", Key: " secret\n"})
	info := j.Info()
	want := Info{
		URL: server.URL + "/v1", Model: "m", ServedModel: "fake@1", PixelBudget: 1003520, API: APIChat, Protocol: ProtocolLogprobs,
		Pictures: "seen", PictureTokens: 6,
		// Hashes of the wording, computed apart from this package: another wording needs another id.
		Templates: []Template{
			{"pair.direct.v1", "d1195a659a1cec4913409582bb435427afa97ccf1c98762e7335cb3e8aaf8839"},
			{"check.yes.v1", "9ec2b5a35ddcc8e404a4ebbcdf35baaad96a66ef459e7cb3eec4ad3f2b8896be"},
			{"mark.direct.v1", "a137ac3c836ca2be9c7d7791f131a5742089cf0719696bf03d01716bee3b75a0"},
		},
	}
	if got, expect := fmt.Sprintf("%+v", info), fmt.Sprintf("%+v", want); got != expect {
		t.Errorf("info\n%s, want\n%s", got, expect)
	}
	for _, a := range server.requests() {
		if got := a.header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("authorization %q", got)
		}
		if a.raw["model"] != "m" || a.raw["max_tokens"] != 1. || a.raw["temperature"] != 0. || a.raw["top_logprobs"] != 20. || a.raw["logprobs"] != true {
			t.Errorf("request %v", a.raw)
		}
	}
	if data, err := json.Marshal(info); err != nil || strings.Contains(string(data), "secret") {
		t.Errorf("info as JSON: %s, %v", data, err)
	}
}

func TestScore_orderAndConcurrency(t *testing.T) {
	var now, most atomic.Int32
	answer := byRedness(0)
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(5 * time.Millisecond)
		answer(w, a)
	})
	o := quick(server.URL)
	o.Concurrency = 3
	j := mustOpen(t, o)
	var images []image.Image
	for i := range 12 {
		images = append(images, red(uint8(i*17%251)))
	}
	scores, err := j.Score(t.Context(), "red", images)
	if err != nil {
		t.Fatal(err)
	}
	for i, img := range images {
		near(t, fmt.Sprint("picture ", i+1), scores[i], 1/(1+math.Exp(-redness(img))), 1e-9)
	}
	if m := most.Load(); m != 3 {
		t.Errorf("%d requests at once, want 3", m)
	}
	if got, err := j.Score(t.Context(), "red", nil); err != nil || len(got) != 0 {
		t.Errorf("no pictures: %v, %v", got, err)
	}
}

// A server as transformers serve: logprobs and n are taken and ignored.
func TestPoll_serverIgnoresN(t *testing.T) {
	answers := []string{"1", "2", "Image 1", "**1**", "the left one"}
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		if !a.pair() {
			say(w, a, "Yes")
			return
		}
		say(w, a, answers[int(a.raw["seed"].(float64))-7])
	})
	o := quick(server.URL)
	o.Seed = 7
	j := mustOpen(t, o)
	if info := j.Info(); info.Protocol != ProtocolVotes || info.Votes != 5 {
		t.Errorf("info %+v", info)
	}
	c, err := j.Compare(t.Context(), "x", red(1), red(2))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "P", c.AFirst.P, (3+.5)/(4+1), 1e-12)
	near(t, "raw", c.AFirst.Raw, 3./5, 1e-12)
	near(t, "mass", c.AFirst.Mass, 4./5, 1e-12)
	if c.AFirst.Formula != "(n(1)+½)/(n(1)+n(2)+1) of 5 sampled answers" {
		t.Errorf("formula %q", c.AFirst.Formula)
	}
	if c.AFirst.Tokens.Requests != 5 || fmt.Sprint(c.AFirst.Replies) != fmt.Sprint(answers) || c.Protocol != ProtocolVotes {
		t.Errorf("%+v", c.AFirst)
	}
	near(t, "no preference left", c.LogitMean, .5, 1e-12)
}

func TestPoll_choices(t *testing.T) {
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		switch n := a.raw["n"]; n {
		case 5.: // three of the five
			say(w, a, "Yes", "no.", "Yes, it does.")
		case 2.: // more than asked
			say(w, a, "No", "yes", "No", "No")
		default:
			say(w, a, "Yes")
		}
	})
	j := mustOpen(t, quick(server.URL))
	a, err := j.Yes(t.Context(), "x", red(1))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "P", a.P, (3+.5)/(5+1), 1e-12)
	if a.Tokens.Requests != 2 || len(a.Replies) != 5 || a.Protocol != ProtocolVotes {
		t.Errorf("%+v", a)
	}
	if last := server.requests()[2].raw; last["temperature"] != 1. || last["logprobs"] != nil || last["max_tokens"] != 16. {
		t.Errorf("request %v", last)
	}
}

func TestPoll_greedy(t *testing.T) {
	server := newFake(t, func(w http.ResponseWriter, a asked) { say(w, a, "Yes") })
	o := quick(server.URL)
	o.Votes = 1
	j := mustOpen(t, o)
	a, err := j.Yes(t.Context(), "x", red(1))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "P", a.P, .75, 1e-12)
	if a.Protocol != ProtocolGreedy || a.Formula != "(n(Yes)+½)/(n(Yes)+n(No)+1) of 1 greedy answer" || j.Info().Protocol != ProtocolGreedy {
		t.Errorf("%+v", a)
	}
	if last := server.requests()[2].raw; last["temperature"] != 0. || last["n"] != nil {
		t.Errorf("request %v", last)
	}
}

func TestAbstain(t *testing.T) {
	judge := func(w http.ResponseWriter, a asked) {
		if a.pair() || len(a.pictures) == 1 && redness(a.pictures[0]) > .5 {
			weigh(w, a, -6, -6)
			return
		}
		serious(w, a)
	}
	j := mustOpen(t, quick(newFake(t, judge).URL))
	c, err := j.Compare(t.Context(), "x", red(1), red(2))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Abstained || c.Mean != .5 || c.LogitMean != .5 || c.AFirst.P != .5 {
		t.Errorf("%+v", c)
	}
	near(t, "mass", c.AFirst.Mass, 2*math.Exp(-6), 1e-9)
	_, err = j.Score(t.Context(), "x", []image.Image{red(1), red(2), red(250)})
	var unreadable *UnreadableError
	if !errors.As(err, &unreadable) || unreadable.Index != 2 || !strings.Contains(err.Error(), "picture 3") {
		t.Errorf("error %v", err)
	}
}

// One order filtered: no preference may come from the other one alone.
func TestAbstain_filtered(t *testing.T) {
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		if a.pair() && redness(a.pictures[0]) > redness(a.pictures[1]) {
			fmt.Fprint(w, `{"choices":[{"finish_reason":"content_filter","message":{"content":null},"logprobs":null}]}`)
			return
		}
		serious(w, a)
	})
	j := mustOpen(t, quick(server.URL))
	c, err := j.Compare(t.Context(), "x", red(200), red(2))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Abstained || c.Mean != .5 || !c.AFirst.Abstained || c.BFirst.Abstained {
		t.Errorf("%+v", c)
	}
}

// A judge that reasons first is asked for whole answers, though its server tells probabilities.
func TestOpen_reasoningJudge(t *testing.T) {
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		if a.raw["logprobs"] != nil {
			weigh(w, a, -20, -20)
			return
		}
		say(w, a, "<think>Is it 1? Or 2? Yes or No?</think>\n<answer>Yes</answer>")
	})
	o := quick(server.URL)
	o.Votes = 2
	j := mustOpen(t, o)
	a, err := j.Yes(t.Context(), "x", red(1))
	if err != nil || a.Protocol != ProtocolVotes || a.Mass != 1 || a.Raw != 1 {
		t.Errorf("%+v, %v", a, err)
	}
}

// Several servers behind one address: only some of them tell probabilities.
func TestMixedProtocols(t *testing.T) {
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		if a.raw["logprobs"] != nil && len(a.pictures) > 0 && redness(a.pictures[0]) > .5 {
			say(w, a, "Yes")
			return
		}
		if a.raw["logprobs"] == nil {
			say(w, a, "Yes", "Yes", "Yes", "Yes", "Yes")
			return
		}
		serious(w, a)
	})
	o := quick(server.URL)
	o.Concurrency = 1
	j := mustOpen(t, o)
	if _, err := j.Score(t.Context(), "x", []image.Image{red(1), red(250)}); err == nil || !strings.Contains(err.Error(), "cannot be compared") {
		t.Errorf("scores: error %v", err)
	}
	if _, err := j.Compare(t.Context(), "x", red(1), red(250)); err == nil || !strings.Contains(err.Error(), "cannot be compared") {
		t.Errorf("comparison: error %v", err)
	}
}

func TestOpen_picturesDropped(t *testing.T) {
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		a.pictures = nil // as counted by a text-only model
		serious(w, a)
	})
	_, err := Open(t.Context(), quick(server.URL))
	var se *ServerError
	if !errors.As(err, &se) || !strings.Contains(err.Error(), "drops pictures") || !strings.Contains(se.Cure, "mmproj") {
		t.Errorf("error %v", err)
	}
}

func TestOpen_tokensUncounted(t *testing.T) {
	server := newFake(t, func(w http.ResponseWriter, _ asked) {
		fmt.Fprint(w, `{"choices":[{"message":{"content":"Yes"}}]}`)
	})
	if info := mustOpen(t, quick(server.URL)).Info(); info.Pictures != "unchecked" {
		t.Errorf("info %+v", info)
	}
}

func TestArguments(t *testing.T) {
	server := newFake(t, serious)
	j := mustOpen(t, quick(server.URL))
	before := len(server.requests())
	ok := red(1)
	var none image.Image
	for name, c := range map[string]struct {
		call func() error
		want string
	}{
		"empty prompt":  {func() error { _, err := j.Yes(t.Context(), " \n", ok); return err }, "prompt is empty"},
		"nil picture":   {func() error { _, err := j.Score(t.Context(), "x", []image.Image{ok, none}); return err }, "picture 2 is missing"},
		"empty picture": {func() error { _, err := j.Compare(t.Context(), "x", ok, filled(0, 5, color.Black)); return err }, "picture B is empty"},
		"very long":     {func() error { _, err := j.Yes(t.Context(), "x", filled(2, 401, color.Black)); return err }, "crop it"},
		"negative":      {func() error { _, err := Open(t.Context(), Options{URL: server.URL, Votes: -1}); return err }, "negative"},
		"broken key":    {func() error { _, err := Open(t.Context(), Options{URL: server.URL, Key: "a\nb"}); return err }, "copied wrongly"},
		"small budget":  {func() error { _, err := Open(t.Context(), Options{URL: server.URL, PixelBudget: 100}); return err }, "pixel budget"},
	} {
		if err := c.call(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	if n := len(server.requests()); n != before {
		t.Errorf("%d requests were sent for arguments that cannot work", n-before)
	}
}

func TestCompare_cancelled(t *testing.T) {
	release := make(chan struct{})
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		if a.pair() {
			<-release
		}
		serious(w, a)
	})
	defer close(release)
	j := mustOpen(t, quick(server.URL))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	start := time.Now()
	if _, err := j.Compare(ctx, "x", red(1), red(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it took %v to stop", d)
	}
}

func TestAPIBase(t *testing.T) {
	for raw, want := range map[string]string{
		"http://h:8000":                        "http://h:8000/v1",
		" http://h:8000/v1/ ":                  "http://h:8000/v1",
		"https://h/proxy/":                     "https://h/proxy/v1",
		"https://h/v1/chat/completions":        "https://h/v1",
		"https://h/v1beta/openai/":             "https://h/v1beta/openai",
		"https://h/vision":                     "https://h/vision/v1",
		"http://[::1]:8000/api/v3":             "http://[::1]:8000/api/v3",
		"":                                     "",
		"localhost:8000":                       "",
		"ftp://h/":                             "",
		"http://":                              "",
		"http://name:secret@h/":                "",
		"http://h/?key=secret":                 "",
		"http://h/#secret":                     "",
		"secret:secret@h":                      "",
		"http://h:secret":                      "",
		"http://\x7fh":                         "",
		"http://h/%zz":                         "",
		"file:///models/judge":                 "",
		"http://:8000/v1":                      "",
		"https://h/openai/deployments/x/v2/go": "https://h/openai/deployments/x/v2/go",
	} {
		got, err := apiBase(raw)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", raw, got, err, want)
		}
		if err != nil && raw != "http://h:secret" && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error shows a secret: %v", raw, err)
		}
	}
}
