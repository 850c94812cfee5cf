package vlmjudge

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

// liveVotes: the server takes n and logprobs, and ignores both. That is noticed, the poorer protocol is said, and every answer asked for by
// itself, with a seed that repeats it. The share of votes is the probability of the soft labels.
func liveVotes(t *testing.T, w *wire, o Options) {
	var h heard
	o.API, o.Logger, o.Concurrency, o.Memory = APIChat, slog.New(&h), 1, ""
	j := mustOpen(t, o)
	if i := j.Info(); i.Protocol != ProtocolVotes || i.Votes != 5 || i.BySchema || len(i.Unsupported) != 0 {
		t.Errorf("info %+v", i)
	}
	if notices := h.all(); len(notices) != 1 || !strings.Contains(notices[0], "gives no label probabilities: counts 5 sampled answers") {
		t.Errorf("notices %q", notices)
	}
	if got := compareByRedness(t, j, 60); got.requests != 2*5*60 {
		t.Errorf("%d requests, want 5 for an answer", got.requests)
	}
	began := w.count()
	a, b := patches(rand.New(rand.NewPCG(4, 4)), 64, 64), patches(rand.New(rand.NewPCG(5, 5)), 64, 64)
	first, err := j.Compare(t.Context(), "red", a, b)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range w.since(began) {
		if !bytes.Contains(c.asked, []byte(`"n":`)) && !bytes.Contains(c.asked, []byte(`"seed":4`)) || !bytes.Contains(c.asked, []byte(`"seed":`)) {
			t.Errorf("asked %.300q", c.asked)
		}
	}
	again, err := j.Compare(t.Context(), "red", a, b)
	if err != nil || again.Swapped != first.Swapped {
		t.Errorf("the same seeds gave %+v and %+v, %v", first.Swapped, again.Swapped, err)
	}
	liveShare(t, o)
}

// liveShare counts many answers about pairs of which neither is much redder.
func liveShare(t *testing.T, o Options) {
	o.Votes = 60
	votes := mustOpen(t, o)
	o.API = APISystemone
	soft := mustOpen(t, o)
	r := rand.New(rand.NewPCG(14, 15))
	for pairs := 0; pairs < 3; {
		a, b := patches(r, 64, 64), patches(r, 64, 64)
		if math.Abs(redness(a)-redness(b)) > .1 {
			continue
		}
		pairs++
		counted, err := votes.Compare(t.Context(), "red", a, b)
		if err != nil {
			t.Fatal(err)
		}
		p, err := soft.Compare(t.Context(), "red", a, b)
		// 120 answers have a standard deviation of 0.046 at most; the wordings differ, too.
		if err != nil || math.Abs(counted.Mean-p.Mean) > .25 {
			t.Errorf("share of votes %v, soft label %v, taught %v, %v", counted.Mean, p.Mean, taught(redness(a)-redness(b)), err)
		}
		t.Logf("share of 120 votes %.3f, soft label %.3f, taught %.3f", counted.Mean, p.Mean, taught(redness(a)-redness(b)))
	}
}

// liveSight: a part of a type that the server does not know, and a picture whose name the text does not hold, are left out without a word,
// and the question is answered. The tokens give that away.
func liveSight(t *testing.T, w *wire, o Options) {
	defer w.changing(nil)
	for api, change := range map[API][2]string{
		APIChat:      {`{"type":"image_url","image_url"`, `{"type":"picture","image_url"`},
		APISystemone: {`-1":{"type":"image"`, `-9":{"type":"image"`},
	} {
		w.changing(func(body []byte) []byte { return bytes.ReplaceAll(body, []byte(change[0]), []byte(change[1])) })
		o.API, o.Memory = api, ""
		_, err := Open(t.Context(), o)
		var e *ServerError
		if !errors.As(err, &e) || !strings.Contains(e.Cause, "the server drops pictures") {
			t.Errorf("%s: %v", api, err)
		}
		t.Logf("%s: %v", api, err)
	}
}

// liveFaults: what the server fails on once it fails on for ever, by a status and a type that a proxy that restarts has too. Such an
// attempt is made twice, a refusal once, and neither takes the server for one that is down.
func liveFaults(t *testing.T, w *wire, o Options) {
	defer w.changing(nil)
	r := rand.New(rand.NewPCG(1, 9))
	spoil := func(body []byte) []byte { return bytes.ReplaceAll(body, []byte("iVBORw0KGgo"), []byte("AAAAAAAAAAA")) }
	for api, want := range map[API]struct{ status, attempts int }{APIChat: {500, 2}, APISystemone: {400, 1}} {
		o.API, o.Memory, o.Votes, o.Retries = api, "", 1, 6
		w.changing(nil)
		j := mustOpen(t, o)
		for range openAfter + 2 {
			w.changing(spoil)
			began := w.count()
			_, err := j.Yes(t.Context(), "red", patches(r, 64, 64))
			var e *ServerError
			if !errors.As(err, &e) || e.Status != want.status || e.Tries != want.attempts || w.count()-began != want.attempts {
				t.Fatalf("%s: %v after %d attempts", api, err, w.count()-began)
			}
			if c := w.since(began)[0].reply; want.status == http.StatusInternalServerError && !hopeless(c) {
				t.Errorf("%s: type %q of a fault that does not pass", api, c.Header.Get("Content-Type"))
			}
		}
		w.changing(nil)
		if _, err := j.Yes(t.Context(), "red", patches(r, 64, 64)); err != nil {
			t.Errorf("%s: afterwards: %v", api, err)
		}
	}
	o.API, o.Model = APIAuto, "another"
	began := w.count()
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "give the model's name as the server has it") || w.count() != began+1 {
		t.Errorf("another model: %v after %d attempts", err, w.count()-began)
	}
}

// liveStream: a proxy that asks for a stream where the client did not. The server's pieces, which no [DONE] ends, are one answer.
func liveStream(t *testing.T, w *wire, o Options) {
	o.API, o.Votes, o.Memory = APIChat, 1, ""
	j := mustOpen(t, o)
	a, b := patches(rand.New(rand.NewPCG(6, 6)), 64, 64), patches(rand.New(rand.NewPCG(7, 7)), 64, 64)
	plain, err := j.Compare(t.Context(), "red", a, b)
	if err != nil {
		t.Fatal(err)
	}
	defer w.changing(nil)
	w.changing(func(body []byte) []byte { return bytes.Replace(body, []byte("{"), []byte(`{"stream":true,`), 1) })
	began := w.count()
	pieces, err := j.Compare(t.Context(), "red", a, b)
	if err != nil || pieces.LogitMean != plain.LogitMean {
		t.Errorf("%+v, %v; in one piece %+v", pieces, err, plain)
	}
	for _, c := range w.since(began) {
		if kind := c.reply.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
			t.Errorf("answered in one piece: %s", kind)
		}
	}
}
