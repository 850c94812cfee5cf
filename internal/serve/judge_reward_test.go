package serve

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

const (
	thoughtOne = "<think>a star is missing</think><answer>1</answer>"
	thoughtSix = "<think>hard to say</think><answer>0.60</answer>"
)

func TestJudgeReward(t *testing.T) {
	_, h := start(t, Options{MaxItems: 8})
	var got judgeRewardReply
	r := post(t, h.URL+"/v1/judge-reward", object{"items": []object{
		{"id": "a", "completion": thoughtOne, "truth": object{"share": .8}},
		{"completion": []object{{"role": "assistant", "content": thoughtSix}}, "truth": `{"share": 1}`},
		{"completion": "<think>x</think><answer>B>C>A</answer>", "truth": object{"ranks": []any{3, 1, nil}}},
		{"completion": "2", "truth": object{"share": 0}},
		{"completion": thoughtOne, "truth": object{"share": 1}, "p": .9},
		{"completion": "1", "truth": object{"share": 7}},
		{"completion": "1"},
	}}, &got)
	if r.status != 200 || got.Failed != 2 || len(got.Rewards) != 7 || got.Items[0].ID != "a" || got.Items[0].Answer != "1" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for i, want := range []float64{.5 + .5*.96 + .1, .5 + .5*.84 + .1, .5 + .5 + .1, .5 + .5, .5 + .5*.99 + .1, math.NaN(), math.NaN()} {
		switch it := got.Items[i]; {
		case math.IsNaN(want) != (it.Reward == nil) || math.IsNaN(want) != (it.Error != ""):
			t.Errorf("item %d: %+v", i, it)
		case it.Reward != nil && (math.Abs(*it.Reward-want) > 1e-12 || *got.Rewards[i] != *it.Reward):
			t.Errorf("item %d: %v, want %v", i, *it.Reward, want)
		}
	}
	one := object{"items": []object{{"completion": thoughtSix, "truth": object{"share": 1}}}}
	post(t, h.URL+"/v1/judge-reward?order=0&brier=2&format=0", one, &got)
	if want := 2 * (1 - .4*.4); math.Abs(*got.Rewards[0]-want) > 1e-12 {
		t.Errorf("weights of the address: %v, want %v", *got.Rewards[0], want)
	}
	one["brier"], one["direct"] = 1, true
	post(t, h.URL+"/v1/judge-reward?order=0&brier=2&format=.3", one, &got)
	if want := 1 - .4*.4; math.Abs(*got.Rewards[0]-want) > 1e-12 {
		t.Errorf("weights of the request, direct: %v, want %v", *got.Rewards[0], want)
	}
	for path, body := range map[string]any{
		"": object{}, "?x": object{"items": []object{}}, "?order=x": one, "?direct=perhaps": one, "?format=-1": one,
		"?order=0": object{"items": one["items"], "brier": 0, "format": 0}, "?y": object{"items": one["items"], "query": []string{"a"}, "labels": []string{"b"}},
	} {
		if r := post(t, h.URL+"/v1/judge-reward"+path, body, nil); r.status != 400 {
			t.Errorf("%s %v: %d %s", path, body, r.status, r.body)
		}
	}
	many := object{"items": make([]object, 9)}
	if r := post(t, h.URL+"/v1/judge-reward", many, nil); r.status != 413 {
		t.Errorf("nine items: %d", r.status)
	}
}

func TestJudgeReward_openRLHF(t *testing.T) {
	_, h := start(t, Options{})
	var got openRLHFReply
	ask := object{
		"query": []string{"which?" + thoughtOne + "<|im_end|>\n", "which?" + thoughtSix}, "prompts": []string{"which?", "which?"},
		"labels": []string{`{"share": 1}`, `{"ranks": [2, 1]}`},
	}
	r := post(t, h.URL+"/v1/judge-reward", ask, &got)
	if r.status != 200 || len(got.Rewards) != 2 || math.Abs(got.Rewards[0]-1.1) > 1e-12 || math.Abs(got.Rewards[1]-(.5*.64+.1)) > 1e-12 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if got.ExtraLogs["judge_order"][1] != 0 || got.ExtraLogs["judge_format"][0] != 1 || got.Scores[0] != got.Rewards[0] {
		t.Errorf("%s", r.body)
	}
	ask["labels"] = []string{`{"share": 1}`, "no truth"}
	if r := post(t, h.URL+"/v1/judge-reward", ask, nil); r.status != 422 || !strings.Contains(r.body, "?missing=") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if post(t, h.URL+"/v1/judge-reward?missing=-1", ask, &got); got.Rewards[1] != -1 || got.ExtraLogs["winnow_missing"][1] != 1 {
		t.Errorf("%+v", got)
	}
	ask["labels"] = []string{"x"}
	if r := post(t, h.URL+"/v1/judge-reward", ask, nil); r.status != 400 {
		t.Errorf("one label of two: %d", r.status)
	}
}

func TestSoftRanks(t *testing.T) {
	_, h := start(t, Options{Judge: redJudge{}, JudgeAs: "judge:red", Temperature: 2})
	low, mid, high := base(encode(t, 2, 2, 0)), base(encode(t, 2, 2, 51)), base(encode(t, 2, 2, 255))
	rank := func(soft, by string, images ...string) rankReply {
		var k rankReply
		if r := post(t, h.URL+"/v1/rank", object{"prompt": "x", "images": images, "soft": soft, "by": by}, &k); r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return k
	}
	k := rank("win-rate", "judge", mid, low, high)
	want := []float64{(logistic(.8) + logistic(-3.2)) / 2, (logistic(-.8) + logistic(-4)) / 2, (logistic(3.2) + logistic(4)) / 2}
	for i, w := range want {
		if k.Items[i].Soft == nil || math.Abs(*k.Items[i].Soft-w) > 1e-9 {
			t.Errorf("win rate of %d: %+v, want %v", i, k.Items[i], w)
		}
	}
	k = rank("win-rate", "reward", high, "!", low) // scores differ by 2.55
	if math.Abs(*k.Items[0].Soft-logistic(2.55/2)) > 1e-9 || k.Items[1].Soft != nil || math.Abs(*k.Items[0].Soft+*k.Items[2].Soft-1) > 1e-9 {
		t.Errorf("%+v", k)
	}
	k = rank("strength", "reward", low, high)
	if math.Abs(*k.Items[0].Soft+1) > 1e-9 || math.Abs(*k.Items[1].Soft-1) > 1e-9 {
		t.Errorf("%+v", k)
	}
	if k = rank("", "judge", low, high); k.Items[0].Soft != nil {
		t.Errorf("nobody asked: %+v", k)
	}
	if r := post(t, h.URL+"/v1/rank", object{"images": []string{low}, "soft": "hard"}, nil); r.status != 400 || !strings.Contains(r.body, "win-rate") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func FuzzJudgeReward(f *testing.F) {
	for _, s := range []string{`{"items":[{"completion":"1","truth":{"share":1}}]}`, `{"items":[{"completion":[],"truth":null}]}`, `{"query":["a"],"labels":["{}"]}`} {
		f.Add(s)
	}
	s, _ := start(f, Options{})
	f.Fuzz(func(t *testing.T, body string) {
		rec := ask(s, "POST", "/v1/judge-reward", body)
		if rec.Code >= 500 || !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%q: %d %s", body, rec.Code, rec.Body)
		}
	})
}
