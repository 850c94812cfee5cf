package vlmjudge

import (
	"encoding/json"
	"fmt"
	"image/color"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// replied is what llama.cpp's server has replied (tests/oracle/llama_server.py), and what that says.
type replied struct {
	Status int
	Body   json.RawMessage
	Want   struct{ P, Mass float64 }
}

func llamaReplies(t *testing.T) map[string]replied {
	t.Helper()
	data, err := os.ReadFile("testdata/llamacpp/replies.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Replies map[string]replied }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file.Replies
}

// replay is a server that replies what llama.cpp has replied to the same question.
type replay struct {
	*httptest.Server
	mu    sync.Mutex
	given []string
}

func newReplay(t *testing.T, replies map[string]replied, pick func(r *http.Request, body []byte) string) *replay {
	t.Helper()
	s := &replay{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		name := pick(r, body)
		reply, ok := replies[name]
		if err != nil || !ok {
			t.Errorf("%s: no reply %q to %.300s (%v)", r.URL.Path, name, body, err)
		}
		s.mu.Lock()
		s.given = append(s.given, name)
		s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(reply.Status)
		w.Write(reply.Body)
	}))
	t.Cleanup(s.Close)
	return s
}

// questionOf names a question about pictures of these rednesses.
func questionOf(red []float64) string {
	switch {
	case len(red) == 0:
		return "yes"
	case len(red) == 1:
		return "yes red"
	case red[0] > red[1]:
		return "pair red blue"
	}
	return "pair blue red"
}

// recordedReply names the reply to a request.
func recordedReply(t *testing.T) func(r *http.Request, body []byte) string {
	return func(r *http.Request, body []byte) string {
		if r.URL.Path == "/completion" {
			var q struct {
				Prompt struct {
					Text  string   `json:"prompt_string"`
					Files []string `json:"multimodal_data"`
				}
			}
			if err := json.Unmarshal(body, &q); err != nil || strings.Count(q.Prompt.Text, "<__media_") != len(q.Prompt.Files) {
				t.Errorf("%.300s (%v)", body, err)
			}
			return "completion, " + questionOf(rednesses(t, q.Prompt.Files))
		}
		a, err := understand(body)
		if err != nil {
			t.Error(err)
		}
		var red []float64
		for _, p := range a.pictures {
			red = append(red, redness(p))
		}
		switch {
		case r.URL.Path == "/apply-template" && len(red) == 2: // with stand-ins for both
			return "template, pair red blue"
		case r.URL.Path == "/apply-template":
			return "template, " + questionOf(red)
		case a.raw["response_format"] != nil:
			return "chat, schema"
		case a.raw["n"] == 5.:
			return "chat, five at once"
		case a.raw["n"] == 3.:
			return "chat, three samples"
		case a.raw["logprobs"] == nil:
			return "chat, one sample"
		}
		return "chat, " + questionOf(red)
	}
}

var redPicture, bluePicture = filled(64, 64, color.NRGBA{220, 20, 20, 255}), filled(64, 64, color.NRGBA{20, 20, 220, 255})

// Probabilities are those in the replies of the real server, in its chat and in its own form.
func TestLlama_recorded(t *testing.T) {
	replies := llamaReplies(t)
	server := newReplay(t, replies, recordedReply(t))
	for _, api := range []API{APIAuto, APILlama} {
		o := quick(server.URL)
		o.API = api
		j := mustOpen(t, o)
		form := map[API]string{APIChat: "chat", APILlama: "completion"}[j.Info().API]
		if i := j.Info(); form == "" || api != APIAuto && i.API != api || i.Protocol != ProtocolLogprobs || i.ServedModel != "tiny-judge" || i.Pictures != "seen" || i.PictureTokens != 7 {
			t.Fatalf("info %+v", i)
		}
		c, err := j.Compare(t.Context(), "a red cube", redPicture, bluePicture)
		if err != nil {
			t.Fatal(err)
		}
		yes, err := j.Yes(t.Context(), "a red cube", redPicture)
		if err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string]Answer{"pair red blue": c.AFirst, "pair blue red": c.BFirst, "yes red": yes} {
			want := replies[form+", "+name].Want
			if math.Abs(got.P-want.P) > 1e-12 || math.Abs(got.Mass-want.Mass) > 1e-9 || got.Truncated || got.Tokens.Prompt < 80 || got.Tokens.Completion != 1 {
				t.Errorf("%s, %s: %+v, want %+v", form, name, got, want)
			}
		}
	}
}

// llama.cpp gives as many choices at once as it has slots, four usually, and refuses more: then they are asked for one by one.
// It holds to a schema.
func TestLlama_recordedSamples(t *testing.T) {
	for votes, want := range map[int][]string{
		5: {"chat, five at once", "chat, one sample", "chat, one sample", "chat, one sample", "chat, one sample", "chat, one sample"},
		3: {"chat, three samples"},
		1: {"chat, schema"},
	} {
		server := newReplay(t, llamaReplies(t), recordedReply(t))
		o := quick(server.URL)
		o.Votes = votes
		j := mustOpen(t, o)
		j.settle(settled{api: APIChat, protocol: ProtocolVotes, votes: votes, served: "tiny-judge", optional: &optional{}, schema: votes == 1})
		server.given = nil
		raw := 1.
		if votes == 1 {
			raw = llamaReplies(t)["chat, schema"].Want.P
		}
		a, err := j.answer(t.Context(), j.asks.pair, "a red cube", redPicture, bluePicture)
		if err != nil || len(a.Replies) != votes || a.Raw != raw || a.Mass != 1 || a.Tokens.Requests != len(want)-votes/5 || !slices.Equal(server.given, want) {
			t.Errorf("%d votes: %+v, %v after %q", votes, a, err, server.given)
		}
		if got := j.Info().Unsupported; len(got) != votes/5 {
			t.Errorf("%d votes: not taken: %v", votes, got)
		}
	}
}

// Faults of the request and of the model are told as they are, without asking again for long.
func TestLlama_recordedFaults(t *testing.T) {
	for name, c := range map[string]struct {
		tries int
		want  []string
	}{
		"chat, no mmproj":      {2, []string{"500: the model sees no pictures", "--mmproj"}},
		"chat, broken picture": {1, []string{"400: the server refuses the request", "Failed to load image"}},
	} {
		server := newReplay(t, llamaReplies(t), func(*http.Request, []byte) string { return name })
		_, err := Open(t.Context(), quick(server.URL))
		if err == nil || !slices.Equal(server.given, slices.Repeat([]string{name}, c.tries)) {
			t.Errorf("%s: %v after %d requests, want %d", name, err, len(server.given), c.tries)
		}
		for _, text := range c.want {
			if !strings.Contains(fmt.Sprint(err), text) {
				t.Errorf("%s: %v, want %q", name, err, text)
			}
		}
	}
}
