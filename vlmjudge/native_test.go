package vlmjudge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// native is a server with paths of its own; what it has no path for is a 404.
type native struct {
	*httptest.Server
	mu    sync.Mutex
	paths []string
	last  map[string]map[string]any // by path
}

func newNative(t *testing.T, handlers map[string]func(w http.ResponseWriter, body []byte)) *native {
	t.Helper()
	n := &native{last: map[string]map[string]any{}}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		raw := map[string]any{}
		if err != nil || json.Unmarshal(body, &raw) != nil {
			t.Errorf("%s: body %.80s, %v", r.URL.Path, body, err)
		}
		n.mu.Lock()
		n.paths = append(n.paths, r.URL.Path)
		n.last[r.URL.Path] = raw
		n.mu.Unlock()
		answer, ok := handlers[r.URL.Path]
		if !ok {
			http.Error(w, `{"detail":"Not Found"}`, http.StatusNotFound)
			return
		}
		answer(w, body)
	}))
	t.Cleanup(n.Close)
	return n
}

func (n *native) asked() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.paths)
}

// rednesses are those of PNG files in base64.
func rednesses(t *testing.T, files []string) []float64 {
	t.Helper()
	var out []float64
	for _, f := range files {
		data, err := base64.StdEncoding.DecodeString(f)
		if err != nil {
			t.Errorf("a picture is no base64: %.30s…", f)
			continue
		}
		img, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Error(err)
			continue
		}
		out = append(out, redness(img))
	}
	return out
}

// firstBetter is the probability that a fake gives to the first of two pictures, or to Yes for one.
func firstBetter(red []float64) float64 {
	switch len(red) {
	case 0:
		return .5
	case 1:
		return sigmoid(3 * red[0])
	}
	return sigmoid(3 * (red[0] - red[1]))
}

// listed is a reply's list of tokens with ln probabilities.
func listed(labels [2]string, p float64) string {
	top := fmt.Sprintf(`{"token":%q,"logprob":%v},{"token":%q,"logprob":%v}`, labels[0], math.Log(p), labels[1], math.Log(1-p))
	return fmt.Sprintf(`[{"token":%q,"logprob":%v,"top_logprobs":[%s]}]`, labels[0], math.Log(p), top)
}

func labelsIn(text string) [2]string {
	if strings.Contains(text, "Reply with 1 or 2") {
		return [2]string{"1", "2"}
	}
	return [2]string{"Yes", "No"}
}

// plainChat is a chat without probabilities, as one of Ollama's older versions has.
func plainChat(fingerprint string) func(w http.ResponseWriter, body []byte) {
	return func(w http.ResponseWriter, _ []byte) {
		fmt.Fprintf(w, `{"model":"m","system_fingerprint":%q,"choices":[{"finish_reason":"stop","message":{"content":"Yes"}}],"usage":{"prompt_tokens":50}}`, fingerprint)
	}
}

// comparesByRedness checks a judge that a fake serves with firstBetter.
func comparesByRedness(t *testing.T, j *Judge, api API, protocol Protocol) {
	t.Helper()
	if i := j.Info(); i.API != api || i.Protocol != protocol || i.Pictures != "seen" || i.PictureTokens != 6 || i.ServedModel != "own" {
		t.Errorf("info %+v", i)
	}
	for _, prompt := range []string{"a red cube", "picture-1 beside picture-1x {picture} and <__media__>"} {
		c, err := j.Compare(t.Context(), prompt, red(250), red(0))
		if err != nil {
			t.Fatal(err)
		}
		want := firstBetter([]float64{redness(red(250)), redness(red(0))})
		if math.Abs(c.AFirst.P-want) > 1e-6 || math.Abs(c.BFirst.P-(1-want)) > 1e-6 || c.Protocol != protocol {
			t.Errorf("%q: %+v, want P %v", prompt, c, want)
		}
	}
	a, err := j.Yes(t.Context(), "a red cube", red(1))
	if want := firstBetter([]float64{redness(red(1))}); err != nil || math.Abs(a.P-want) > 1e-6 || a.Tokens.Prompt != 46 || a.Tokens.Requests != 1 {
		t.Errorf("yes: %+v, %v, want P %v", a, err, want)
	}
}

func ollamaFake(t *testing.T) func(w http.ResponseWriter, body []byte) {
	return func(w http.ResponseWriter, body []byte) {
		var q struct {
			Stream   *bool
			Think    *bool
			Messages []struct {
				Role, Content string
				Images        []string
			}
			Options struct {
				Context int `json:"num_ctx"`
				Predict int `json:"num_predict"`
			}
		}
		if err := json.Unmarshal(body, &q); err != nil || q.Stream == nil || *q.Stream || q.Think == nil || *q.Think || q.Options.Context < 8192 || q.Options.Predict != 1 {
			t.Errorf("the request %.300s (%v)", body, err)
		}
		var files []string
		text, before := "", ""
		for _, m := range q.Messages {
			// The picture must follow the text that names it, not share a message with it.
			if len(m.Images) > 0 && (m.Content != "" || !strings.HasPrefix(before, "Image")) {
				t.Errorf("a picture stands with %q after %q", m.Content, before)
			}
			files = append(files, m.Images...)
			text, before = text+m.Content, m.Content
		}
		fmt.Fprintf(w, `{"model":"own","message":{"role":"assistant","content":"1"},"done":true,"done_reason":"length","prompt_eval_count":%d,"eval_count":1,"logprobs":%s}`,
			40+6*len(files), listed(labelsIn(text), firstBetter(rednesses(t, files))))
	}
}

func TestOllama(t *testing.T) {
	server := newNative(t, map[string]func(http.ResponseWriter, []byte){"/v1/chat/completions": plainChat("fp_ollama"), "/api/chat": ollamaFake(t)})
	comparesByRedness(t, mustOpen(t, quick(server.URL)), APIOllama, ProtocolLogprobs)
	if got := server.asked()[:3]; !slices.Equal(got, []string{"/v1/chat/completions", "/api/chat", "/api/chat"}) {
		t.Errorf("asked %v", got)
	}
}

// A context that is full has lost a part of the question, which Ollama does not say.
func TestOllama_contextFull(t *testing.T) {
	server := newNative(t, map[string]func(http.ResponseWriter, []byte){"/api/chat": func(w http.ResponseWriter, _ []byte) {
		fmt.Fprint(w, `{"model":"own","message":{"content":"1"},"done_reason":"length","prompt_eval_count":8192}`)
	}})
	o := quick(server.URL + "/api/chat")
	o.API = APIOllama
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "fills the context of 8192 tokens") {
		t.Errorf("error %v", err)
	}
}

func TestLlama(t *testing.T) {
	const mark = "<__media_7f__>" // newer servers draw it
	server := newNative(t, map[string]func(http.ResponseWriter, []byte){
		"/v1/chat/completions": plainChat(""),
		"/apply-template": func(w http.ResponseWriter, body []byte) {
			a, err := understand(body)
			if err != nil || slices.ContainsFunc(a.pictures, func(i image.Image) bool { return i.Bounds().Dx() != 1 }) {
				t.Errorf("the template is filled with %d pictures (%v)", len(a.pictures), err)
			}
			out, _ := json.Marshal(map[string]string{"prompt": "<start>" + a.texts + strings.Repeat(mark, len(a.pictures))})
			w.Write(out)
		},
		"/completion": func(w http.ResponseWriter, body []byte) {
			var q struct {
				Prompt struct {
					Text  string   `json:"prompt_string"`
					Files []string `json:"multimodal_data"`
				}
				Probs  int   `json:"n_probs"`
				Cached *bool `json:"cache_prompt"`
			}
			if err := json.Unmarshal(body, &q); err != nil || q.Probs != 20 || q.Cached == nil || *q.Cached || strings.Count(q.Prompt.Text, mark) != len(q.Prompt.Files) {
				t.Errorf("the request %.300s (%v)", body, err)
			}
			fmt.Fprintf(w, `{"model":"own","content":"1","stop_type":"limit","truncated":false,"tokens_evaluated":%d,"tokens_predicted":1,"completion_probabilities":%s}`,
				40+6*len(q.Prompt.Files), listed(labelsIn(q.Prompt.Text), firstBetter(rednesses(t, q.Prompt.Files))))
		},
	})
	comparesByRedness(t, mustOpen(t, quick(server.URL+"/v1")), APILlama, ProtocolLogprobs)
}

// systemoneFake puts a picture wherever its name stands, as the server does, and counts those.
func systemoneFake(t *testing.T) func(w http.ResponseWriter, body []byte) {
	return func(w http.ResponseWriter, body []byte) {
		var q struct {
			State     string
			Questions map[string]struct {
				Type     string
				Criteria json.RawMessage
			}
			Assets map[string]struct {
				Data string `json:"data_base64"`
			}
		}
		if err := json.Unmarshal(body, &q); err != nil || len(q.Questions) != 1 {
			t.Errorf("the request %.300s (%v)", body, err)
		}
		type at struct {
			index int
			data  string
		}
		var found []at
		for name, a := range q.Assets {
			if strings.Count(q.State, name) != 1 {
				t.Errorf("%q stands %d times in %q", name, strings.Count(q.State, name), q.State)
			}
			found = append(found, at{strings.Index(q.State, name), a.Data})
		}
		slices.SortFunc(found, func(a, b at) int { return a.index - b.index })
		var files []string
		for _, f := range found {
			files = append(files, f.data)
		}
		p := firstBetter(rednesses(t, files))
		for name, ask := range q.Questions {
			answer := fmt.Sprintf(`{"type":"noul","noul":%v}`, p)
			if ask.Type == "choice" {
				if string(ask.Criteria) != `{"first":"Image 1","second":"Image 2"}` {
					t.Errorf("criteria %s", ask.Criteria)
				}
				answer = fmt.Sprintf(`{"type":"choice","choice":"first","confidence":1,"probabilities":{"first":%v,"second":%v}}`, p, 1-p)
			}
			fmt.Fprintf(w, `{"model":"own","answers":{%q:%s},"usage":{"input_tokens":%d,"output_tokens":0}}`, name, answer, 40+6*len(files))
		}
	}
}

func TestSystemone(t *testing.T) {
	server := newNative(t, map[string]func(http.ResponseWriter, []byte){"/v1/chat/completions": plainChat(""), "/v1/systemone": systemoneFake(t)})
	j := mustOpen(t, quick(server.URL))
	comparesByRedness(t, j, APISystemone, ProtocolSystemone)
	// Hashes of the wording, computed apart from this package: another wording needs another id.
	want := []Template{
		{"pair.systemone.v1", "665a8f753026ff41da5061d67020b589ccb8467774e8e466ab9a686bbe4b9e02"},
		{"check.systemone.v1", "25a497c37eb6b341392cbf1145ffd080de293864602f59fee962c4749787f510"},
		{"mark.systemone.v1", "27fae21d59a48a2c40040b972430aa41e33e9cb84dc248562a0c2ecb35e7a381"},
	}
	if i := j.Info(); !slices.Equal(i.Templates, want) || i.Votes != 0 {
		t.Errorf("info %+v", i)
	}
}

// A server that drops pictures leaves their names in the text, which has more tokens than that without names.
func TestSystemone_dropped(t *testing.T) {
	server := newNative(t, map[string]func(http.ResponseWriter, []byte){"/v1/systemone": func(w http.ResponseWriter, body []byte) {
		var q decisionRequest
		if err := json.Unmarshal(body, &q); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, `{"model":"own","answers":{"verdict":{"type":"noul","noul":0.7}},"usage":{"input_tokens":%d}}`, 20+len(q.State)/4)
	}})
	_, err := Open(t.Context(), quick(server.URL))
	if err == nil || !strings.Contains(err.Error(), "drops pictures: their names stay in the text") {
		t.Errorf("error %v", err)
	}
}

// The chat stays where no other form gives probabilities, and where one is asked for.
func TestAPI_chatStays(t *testing.T) {
	for api, tried := range map[API]int{APIAuto: 5, APIChat: 2} {
		server := newNative(t, map[string]func(http.ResponseWriter, []byte){"/v1/chat/completions": func(w http.ResponseWriter, body []byte) {
			a, err := understand(body)
			if err != nil {
				t.Error(err)
			}
			say(w, a, "Yes")
		}})
		o := quick(server.URL)
		o.API = api
		j := mustOpen(t, o)
		if i := j.Info(); i.API != APIChat || i.Protocol != ProtocolVotes || i.Votes != 5 {
			t.Errorf("%q: info %+v", api, i)
		}
		if got := server.asked(); len(got) != tried {
			t.Errorf("%q: asked %v", api, got)
		}
	}
}

// A form that was asked for is not replaced by another.
func TestAPI_absent(t *testing.T) {
	server := newNative(t, map[string]func(http.ResponseWriter, []byte){"/v1/chat/completions": plainChat("")})
	for _, api := range []API{APIOllama, APILlama, APISystemone} {
		o := quick(server.URL)
		o.API = api
		if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("%s: error %v", api, err)
		}
	}
	o := quick(server.URL)
	o.API = "grpc"
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), `"systemone"`) {
		t.Errorf("error %v", err)
	}
}

// thinker writes tokens with probabilities; the label stands at the end.
func thinker(w http.ResponseWriter, a asked, probabilities ...float64) {
	labels := labelsIn(a.texts)
	var choices []string
	for i, p := range probabilities {
		list := fmt.Sprintf(`[{"token":"<think>","logprob":0,"top_logprobs":[{"token":"<think>","logprob":0}]},
			{"token":%[1]q,"logprob":-3,"top_logprobs":[{"token":%[1]q,"logprob":-3}]},{"token":"</think>","logprob":0,"top_logprobs":[]},%[2]s`,
			labels[1], listed(labels, p)[1:])
		text := "<think>" + labels[1] + "</think>" + labels[0]
		choices = append(choices, fmt.Sprintf(`{"index":%d,"finish_reason":"stop","message":{"content":%q},"logprobs":{"content":%s}}`, i, text, list))
	}
	fmt.Fprintf(w, `{"model":"own","choices":[%s],"usage":%s}`, strings.Join(choices, ","), usage(a))
}

func TestReasoned(t *testing.T) {
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		if n, ok := a.raw["n"].(float64); ok && n == 3 {
			thinker(w, a, .9, .6) // one is missing and asked for again
			return
		}
		thinker(w, a, .75)
	})
	o := quick(server.URL)
	o.Votes, o.AnswerTokens = 3, 100
	j := mustOpen(t, o)
	if i := j.Info(); i.Protocol != ProtocolReasoned || i.Votes != 3 {
		t.Errorf("info %+v", i)
	}
	a, err := j.Yes(t.Context(), "x", red(1))
	if err != nil || math.Abs(a.P-.75) > 1e-9 || a.Mass != 1 || a.Protocol != ProtocolReasoned || len(a.Replies) != 3 || a.Tokens.Requests != 2 {
		t.Errorf("%+v, %v, want the mean of .9, .6 and .75", a, err)
	}
}

// Where the answer's label has no probabilities the answers are counted.
func TestReasoned_apart(t *testing.T) {
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		fmt.Fprintf(w, `{"model":"own","choices":[{"finish_reason":"stop","message":{"content":"Yes"},
			"logprobs":{"content":[{"token":"Let","logprob":0,"top_logprobs":[{"token":"Let","logprob":0}]}]}}],"usage":%s}`, usage(a))
	})
	if i := mustOpen(t, quick(server.URL)).Info(); i.Protocol != ProtocolVotes {
		t.Errorf("info %+v", i)
	}
}
