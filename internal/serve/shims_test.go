package serve

import (
	"encoding/json"
	"math"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func ask(s *Server, method, path, body string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, httptest.NewRequest(method, path, strings.NewReader(body)))
	return rec
}

// pickleOf is {"images": [data, …]} as a pickle of protocol 3.
func pickleOf(t testing.TB, images ...[]byte) string {
	t.Helper()
	out := []byte{opProto, 3, opEmptyDict, opBinUnicode, 6, 0, 0, 0}
	out = append(out, "images"...)
	out = append(out, opEmptyList, opMark)
	for _, data := range images {
		n := len(data)
		out = append(out, opBinBytes, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
		out = append(out, data...)
	}
	return string(append(out, opAppends, opSetItem, opStop))
}

func TestFlowGRPO(t *testing.T) {
	_, h := start(t, Options{})
	r := send(t, "POST", h.URL+"/", pickleOf(t, encode(t, 2, 2, 150), encode(t, 2, 2, 50)))
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	v, err := unpickle([]byte(r.body))
	if err != nil {
		t.Fatal(err)
	}
	outputs, ok := list(v.(map[string]any)["outputs"])
	if !ok || !slices.Equal(outputs, []any{1.5, .5}) {
		t.Errorf("%v", outputs)
	}
	if r := send(t, "POST", h.URL+"/flowgrpo", pickleOf(t, encode(t, 2, 2, 150), []byte("no"))); r.status != 422 {
		t.Errorf("a bad image: %d %s", r.status, r.body)
	}
	if r := send(t, "POST", h.URL+"/flowgrpo?missing=-1", pickleOf(t, encode(t, 2, 2, 150), []byte("no"))); r.status != 200 {
		t.Errorf("a bad image with a stand-in: %d %s", r.status, r.body)
	}
	for _, bad := range []string{"cos\nsystem\n(S'id'\ntR.", "\x80\x04N.", "\x80\x04}.", "?"} {
		if r := send(t, "POST", h.URL+"/", bad); r.status != 400 {
			t.Errorf("%q: %d %s", bad, r.status, r.body)
		}
	}
	values, tags := []float64{1, 2}, []string{"counting", "other"}
	v, err = unpickle(flowReply(values, tags))
	if err != nil {
		t.Fatal(err)
	}
	dict := v.(map[string]any)
	counting, _ := list(dict["group_rewards"].(map[string]any)["counting"])
	colors, _ := list(dict["group_strict_rewards"].(map[string]any)["colors"])
	scores, _ := list(dict["scores"])
	if !slices.Equal(counting, []any{1., -10.}) || !slices.Equal(colors, []any{-10., -10.}) || !slices.Equal(scores, []any{1., 2.}) {
		t.Errorf("%v %v %v", counting, colors, scores)
	}
}

func TestFlowGRPOPictures(t *testing.T) {
	a := &ndarray{dtype: dtype{kind: "u1", size: 1}, shape: []int{2, 1, 2, 3}, raw: []byte{200, 1, 2, 3, 4, 5, 100, 6, 7, 8, 9, 10}}
	items, _, err := flowItems(map[string]any{"images": a, "prompts": pyTuple{"ab", "c"}})
	if err != nil || len(items) != 2 || items[0].err != nil {
		t.Fatalf("%+v, %v", items, err)
	}
	s, _ := start(t, Options{})
	got, err := s.scoreEncoded(t.Context(), items)
	if err != nil || *got[0].Score != 4 || *got[1].Score != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOpenRLHF(t *testing.T) {
	_, h := start(t, Options{})
	img := base(encode(t, 2, 2, 150))
	label := func(v any) string { data, _ := json.Marshal(v); return string(data) }
	var got openRLHFReply
	r := post(t, h.URL+"/openrlhf", object{
		"query":   []string{"say: abcd<|im_end|>\n", "say: ab</s>", "abc", "x"},
		"prompts": []string{"say: ", "say: ", "", ""},
		"labels":  []string{label(object{"b64": img}), img, label(object{"image": "data:image/png;base64," + img}), label(object{"image": object{"b64": img}, "prompt": "12345"})},
	}, &got)
	if r.status != 200 || !slices.Equal(got.Rewards, []float64{5.5, 3.5, 4.5, 6.5}) || !slices.Equal(got.Scores, got.Rewards) {
		t.Errorf("%d %s", r.status, r.body)
	}
	bad := object{"query": []string{"a", "b"}, "labels": []string{img, label(object{"path": "/etc/passwd"})}}
	if r := post(t, h.URL+"/openrlhf", bad, nil); r.status != 422 || !strings.Contains(r.body, "?missing=") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if post(t, h.URL+"/openrlhf?missing=-2", bad, &got); !slices.Equal(got.Rewards, []float64{2.5, -2}) || got.ExtraLogs["winnow_missing"][1] != 1 {
		t.Errorf("%+v", got)
	}
	for _, bad := range []object{{}, {"query": []string{"a"}}, {"query": []string{"a"}, "labels": []string{"x"}, "prompts": []string{"a", "b"}}} {
		if r := post(t, h.URL+"/openrlhf?missing=0", bad, nil); r.status != 400 {
			t.Errorf("%v: %d", bad, r.status)
		}
	}
	if r := post(t, h.URL+"/openrlhf?missing=NaN", bad, nil); r.status != 400 {
		t.Errorf("NaN: %d", r.status)
	}
}

// finalScore is the expression by which flow_grpo reads the reply.
var finalScore = regexp.MustCompile(`Final Score:\s*([1-5](?:\.\d+)?)`)

func TestChat(t *testing.T) {
	_, h := start(t, Options{Quality: func(score float64, _ []float64) float64 { return (score - 10) / 4 }})
	part := func(red uint8) object {
		return object{"type": "image_url", "image_url": object{"url": "data:image;base64," + base(encode(t, 2, 2, red))}}
	}
	say := func(text string, parts ...object) (string, reply) {
		var got struct {
			Choices []struct{ Message struct{ Content string } }
		}
		r := post(t, h.URL+"/v1/chat/completions", object{"model": "UnifiedReward", "temperature": 0, "messages": []object{
			{"role": "system", "content": "You grade."}, {"role": "user", "content": append(parts, object{"type": "text", "text": text})},
		}}, &got)
		if len(got.Choices) == 0 {
			return "", r
		}
		return got.Choices[0].Message.Content, r
	}
	content, r := say("<image>\nassign a score from 1 to 5.\nText Caption: [0123456789]", part(100)) // score 11, q ¼
	if m := finalScore.FindStringSubmatch(content); m == nil || m[1] != "2.0000" {
		t.Errorf("%q %+v", content, r)
	}
	for text, want := range map[string]float64{"<image>\n": 1, strings.Repeat("x", 30): 5} {
		content, _ := say(text, part(0))
		m := finalScore.FindStringSubmatch(content)
		if m == nil {
			t.Fatalf("%q", content)
		}
		if got, _ := strconv.ParseFloat(m[1], 64); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	for want, reds := range map[string][2]uint8{"Image 1 is better": {9, 3}, "Image 2 is better": {3, 9}, "Both images are equally good": {5, 5}} {
		content, _ := say("The caption for the generated images is: 「fox」. Compare.", part(reds[0]), part(reds[1]))
		if !strings.Contains(content, "<answer>"+want+"</answer>") || strings.Count(content, "is better<") > 1 {
			t.Errorf("%v: %q", want, content)
		}
	}
	for _, parts := range [][]object{nil, {part(1), part(2), part(3)}, {object{"type": "video_url"}}} {
		if _, r := say("x", parts...); r.status != 400 {
			t.Errorf("%d parts: %d", len(parts), r.status)
		}
	}
	if _, r := say("x", object{"type": "image_url", "image_url": object{"url": "http://127.0.0.1/x.png"}}); r.status != 422 {
		t.Errorf("an address: %d", r.status)
	}
	if got := caption("Text Caption: [a [nested] fox]"); got != "a [nested] fox" {
		t.Error(got)
	}
}

func TestOpenEnv(t *testing.T) {
	_, h := start(t, Options{})
	img := base(encode(t, 2, 2, 100))
	var got openEnvReply
	post(t, h.URL+"/openenv/reset", object{}, &got)
	if got.Done || got.Reward != nil || got.Observation == nil {
		t.Errorf("%+v", got)
	}
	post(t, h.URL+"/openenv/step", object{"action": object{"prompt": "ab", "images": []string{img, "!"}}, "timeout_s": 15}, &got)
	if !got.Done || got.Reward == nil || *got.Reward != 3 {
		t.Errorf("%+v", got)
	}
	post(t, h.URL+"/openenv/step", object{"action": object{"image": "!"}}, &got)
	if got.Reward != nil || !got.Done {
		t.Errorf("%+v", got)
	}
	r := post(t, h.URL+"/openenv/step", object{"action": object{"prompt": "x"}}, nil)
	if r.status != 422 || !strings.Contains(r.body, `"detail":[{`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	for _, path := range []string{"health", "state", "schema", "metadata"} {
		if r := send(t, "GET", h.URL+"/openenv/"+path, ""); r.status != 200 || !json.Valid([]byte(r.body)) {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}

func TestMetrics(t *testing.T) {
	_, h := start(t, Options{})
	post(t, h.URL+"/v1/score", object{"images": []string{base(encode(t, 2, 2, 1)), "!"}}, nil)
	send(t, "GET", h.URL+"/some/strange/path", "")
	r := send(t, "GET", h.URL+"/metrics", "")
	for _, line := range []string{
		`winnow_http_requests_total{code="200",route="POST /v1/score"} 1`, `winnow_items_total{outcome="scored"} 1`, `winnow_items_total{outcome="refused"} 1`,
		`winnow_batch_items_count 1`, `winnow_queue_items 0`, `winnow_held_bytes 0`, `winnow_http_requests_total{code="404",route="none"} 1`,
	} {
		if !strings.Contains(r.body, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(r.body, "strange") || math.IsNaN(1) {
		t.Error("a path became a label")
	}
}
