package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

const hostile = `<script>alert("owned")</script><img src=x onerror=alert(1)></pre></div> {{.}} the first is redder`

// reasoningJudge is a chat server whose model thinks, in two chains, and likes the first picture in both orders.
func reasoningJudge(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		label := "Yes"
		switch {
		case strings.Contains(string(body), "Which image fits"):
			label = "1"
		case strings.Contains(string(body), "a mark from 1"):
			label = "4"
		}
		if !strings.Contains(string(body), `\u003canswer\u003e`) {
			t.Errorf("the judge is not asked for reasons: %.300s", body)
		}
		first, _ := json.Marshal("<think>" + hostile + "</think><answer>" + label + "</answer>")
		fmt.Fprintf(w, `{"model":"thinker","choices":[{"index":0,"finish_reason":"stop","message":{"content":%s}},{"index":1,"finish_reason":"stop","message":{"content":"I cannot tell <b>them</b> apart at all"}}],
			"usage":{"prompt_tokens":%d,"completion_tokens":9}}`, first, 40+6*len(dataURL.FindAll(body, -1)))
	}))
	t.Cleanup(s.Close)
	return s
}

// What a judge writes stands beside the pictures as text, and cannot do anything else there.
func TestJudge_explain(t *testing.T) {
	redSet(t)
	s := reasoningJudge(t)
	judge := []string{"--judge", s.URL, "--judge-votes", "2", "--explain", "--html", "r.html", "--json"}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"compare":  {[]string{"judge", "compare", "--prompt", "red", "a/0.png", "a/5.png"}, []string{"prefers A", "prefers B", "B shown first: image 1 is B, image 2 is A", "pair.reason.v1"}},
		"score":    {[]string{"judge", "score", "--prompt", "red", "--question", "marks", "a/0.png"}, []string{"answers 4", "expected mark, from 1 to 5", "mark.reason.v1"}},
		"rank":     {[]string{"judge", "rank", "--prompt", "red", "a/0.png", "a/5.png"}, []string{"What the judge said", "prefers B", "Each pair was asked about in both orders"}},
		"eval":     {[]string{"eval", "auto", "--data", "set.jsonl"}, []string{"What the judge said", "prefers B"}},
		"win-rate": {[]string{"eval", "win-rate", "--a", "a", "--b", "b", "--prompts", "prompts.txt"}, []string{"What the judge said", "prefers B"}},
	} {
		lines, _ := runLines(t, 0, append(c.args, judge...)...)
		page, err := os.ReadFile("r.html")
		mustDo(t, err)
		mustDo(t, os.Remove("r.html"))
		text := string(page)
		for _, want := range append(c.want, "no readable answer", "I cannot tell &lt;b&gt;them&lt;/b&gt; apart", "&lt;script&gt;alert(", "The reply as it was written", `src="data:image/png;base64,`) {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the page lacks %q", name, want)
			}
		}
		for _, bad := range []string{"<script", "<img src=x", "<b>them"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: the page holds %q", name, bad)
			}
		}
		if name == "compare" && !strings.Contains(fmt.Sprint(lines[0]["a_first"]), "given:[0 -1]") {
			t.Errorf("%v", lines[0]["a_first"])
		}
	}
}

// A page without reasons says why there are none.
func TestJudge_explainNothing(t *testing.T) {
	redSet(t)
	runLines(t, 0, "judge", "compare", "--judge", "mini", "--explain", "--html", "m.html", "--json", "--prompt", "a red circle", "a/0.png", "a/5.png")
	j := newRedJudge(t, 0)
	runLines(t, 0, "judge", "compare", "--judge", j.URL, "--html", "d.html", "--json", "--prompt", "red", "a/0.png", "a/5.png")
	for file, want := range map[string]string{"m.html": "No reasons: the embedded reward answers in the judge&#39;s place", "d.html": "No reasons were asked for"} {
		page, err := os.ReadFile(file)
		mustDo(t, err)
		if !strings.Contains(string(page), want) || strings.Contains(string(page), "The reply as it was written") {
			t.Errorf("%s lacks %q", file, want)
		}
	}
	runLines(t, 2, "rank", "--explain", "--json", "--prompt", "red", "a/0.png")
}
