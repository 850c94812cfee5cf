package vlmjudge

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// events are lines of a stream, as transformers serve writes them: without [DONE], the usage in the last one.
func events(label string, logprobs bool, prompt int) string {
	tokens := ""
	if logprobs {
		tokens = fmt.Sprintf(`,"logprobs":{"content":[{"token":%[1]q,"logprob":-0.1,"top_logprobs":[{"token":%[1]q,"logprob":-0.1},{"token":"No","logprob":-2.4},{"token":"2","logprob":-2.4}]}]}`, label)
	}
	return `data: {"object":"chat.completion.chunk","model":"m@main","choices":[{"index":0,"delta":{"role":"assistant"}}]}` + "\n\n" +
		fmt.Sprintf(`data: {"object":"chat.completion.chunk","model":"m@main","choices":[{"index":0,"delta":{"content":%q}%s}]}`, label, tokens) + "\n\n" +
		fmt.Sprintf(`data: {"object":"chat.completion.chunk","model":"m@main","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":2}}`, prompt) + "\n\n"
}

// A server that streams unasked, and never says that it is done, is understood, with its label probabilities.
func TestStream(t *testing.T) {
	for _, logprobs := range []bool{true, false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			label := "1"
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if strings.Contains(string(body), "Yes or No") {
				label = "Yes"
			}
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			fmt.Fprint(w, events(label, logprobs, 50+5*strings.Count(string(body), "image_url")))
		}))
		defer server.Close()
		j, err := Open(t.Context(), Options{URL: server.URL, Votes: 1, API: APIChat})
		if err != nil {
			t.Fatal(err)
		}
		want := ProtocolLogprobs
		if !logprobs {
			want = j.counted()
		}
		if got := j.Info().Protocol; got != want {
			t.Errorf("asked by %v, want %v", got, want)
		}
		c, err := j.Compare(t.Context(), "a fox", greySquare(), greySquare())
		if err != nil || c.Bias <= 0 { // always the first
			t.Errorf("%+v, %v", c, err)
		}
	}
}

func TestGather(t *testing.T) {
	r, err := gather([]byte(events("1", true, 55) + "data: [DONE]\n"))
	if err != nil || len(r.Choices) != 1 || r.Choices[0].text() != "1" || r.Choices[0].Finish != "stop" || r.Usage.Prompt != 55 || r.Model != "m@main" {
		t.Errorf("%+v, %v", r, err)
	}
	two := `data: {"choices":[{"index":1,"delta":{"content":"b","reasoning_content":"x"}},{"index":0,"delta":{"content":"a"}}]}
data: {"choices":[{"index":1,"delta":{"content":"c","reasoning_content":"y"},"finish_reason":"stop"},{"index":0,"delta":{},"finish_reason":"length"}]}`
	if r, err = gather([]byte(two)); err != nil || len(r.Choices) != 2 || r.Choices[1].text() != "bc" || r.Choices[0].Finish != "length" || r.Choices[1].Message.ReasoningContent != "xy" {
		t.Errorf("%+v, %v", r, err)
	}
	// What ends early is no answer; what reports an error says so, however it is written.
	for _, cut := range []string{events("1", false, 55)[:200], `data: {"choices":[{"index":5000,"delta":{}}]}`, "data: {", `data: {"choices":[{"index":-1,"delta":{}}]}`} {
		if r, err := gather([]byte(cut)); err == nil && len(r.Choices) > 0 {
			t.Errorf("%q: %+v", cut, r)
		}
	}
	if _, err := decodeChat("http://x", []byte("data: {\"error\": \"`max_new_tokens` must be greater than 0\"}\n\n"), ""); err == nil || !strings.Contains(err.Error(), "reports an error") {
		t.Errorf("%v", err)
	}
	if _, err := decodeChat("http://x", []byte(": ping\n\ndata: [DONE]\n\n"), ""); err == nil || !strings.Contains(err.Error(), "no choices") {
		t.Errorf("%v", err)
	}
}

func FuzzGather(f *testing.F) {
	f.Add([]byte(events("1", true, 55)))
	f.Add([]byte("data: {\"choices\":[{\"index\":3,\"delta\":null}]}\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := gather(body)
		if err == nil && len(r.Choices) > maxChoices+1 {
			t.Errorf("%d choices", len(r.Choices))
		}
	})
}
