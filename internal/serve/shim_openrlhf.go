package serve

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// OpenRLHF asks the address of --reward.remote_url (before: --remote_rm_url), five times with a second between, for
//
//	POST {"query": ["prompt+response", …], "prompts": ["prompt", …], "labels": ["…", …]}
//	→    {"rewards": [0.5, …], "scores": [0.5, …], "extra_logs": {…}}
//
// where the first clients sent "query" only, and the newest send one sample in a call. (OpenRLHF, utils/remote_rm_utils.py and
// trainer/ppo_utils/experience_maker.py.) Nothing in it is a picture, so the label carries one: a JSON object as text, with one
// of b64, path, url (see source) or "image", or the base64 or data URL itself. What the picture is held against is the
// response, query without prompt and without the tokens that end a turn; "prompt" in the label replaces it.
//
// Rewards become tensors over there, which have no null: where an item fails, the request does (422), unless the address ends in
// ?missing=NUMBER.
type openRLHFRequest struct {
	Query   []string `json:"query"`
	Prompts []string `json:"prompts"`
	Labels  []string `json:"labels"`
}

type openRLHFReply struct {
	Rewards   []float64            `json:"rewards"`
	Scores    []float64            `json:"scores"`
	ExtraLogs map[string][]float64 `json:"extra_logs"`
}

type openRLHFLabel struct {
	source
	Image  *source `json:"image"`
	Prompt string  `json:"prompt"`
}

// UnmarshalJSON is not source's.
func (l *openRLHFLabel) UnmarshalJSON(data []byte) error {
	type plain source
	var v struct {
		plain
		Image  *source `json:"image"`
		Prompt string  `json:"prompt"`
	}
	err := json.Unmarshal(data, &v)
	l.source, l.Image, l.Prompt = source(v.plain), v.Image, v.Prompt
	return err
}

// turnEnd are the special tokens that may end a decoded response: <|im_end|>, </s>, <eos>, <|eot_id|>.
var turnEnd = regexp.MustCompile(`(?:\s*(?:<\|[A-Za-z0-9_]+\|>|</s>|<eos>|<end_of_turn>))+\s*$`)

func (s *Server) serveOpenRLHF(w http.ResponseWriter, c *call) error {
	var req openRLHFRequest
	if err := parse(c.body, &req); err != nil {
		return err
	}
	if err := req.check(`the image, as {"b64": "…"} or {"path": "…"} written as text`); err != nil {
		return err
	}
	n := len(req.Query)
	missing, err := missingValue(c)
	if err != nil {
		return err
	}
	items := make([]item, n)
	for i := range items {
		prompt := ""
		if len(req.Prompts) > 0 {
			prompt = req.Prompts[i]
		}
		items[i] = openRLHFItem(req.Query[i], prompt, req.Labels[i])
	}
	results, err := s.score(c.Context(), items, c.lease)
	if err != nil {
		return err
	}
	values, err := numbers(results, missing)
	if err != nil {
		return err
	}
	failed := make([]float64, n)
	for i, r := range results {
		if r.Error != "" {
			failed[i] = 1
		}
	}
	writeJSON(w, http.StatusOK, openRLHFReply{Rewards: values, Scores: values, ExtraLogs: map[string][]float64{"winnow_missing": failed}})
	return nil
}

// check counts; label is what a label should carry.
func (r *openRLHFRequest) check(label string) error {
	n := len(r.Query)
	switch {
	case n == 0:
		return badRequest(`there is no "query"`)
	case len(r.Labels) != n:
		return badRequest("%d labels for %d queries: the label carries %s", len(r.Labels), n, label)
	case len(r.Prompts) != n && len(r.Prompts) != 0:
		return badRequest("%d prompts for %d queries", len(r.Prompts), n)
	}
	return nil
}

func openRLHFItem(query, prompt, label string) item {
	response := turnEnd.ReplaceAllString(strings.TrimPrefix(query, prompt), "")
	it := item{Prompt: strings.TrimSpace(response), Image: sourceOf(label)}
	if !strings.HasPrefix(strings.TrimSpace(label), "{") {
		return it
	}
	var l openRLHFLabel
	if json.Unmarshal([]byte(label), &l) != nil {
		return it // whose error says that the label is no image
	}
	if it.Image = l.source; l.Image != nil {
		it.Image = *l.Image
	}
	if l.Prompt != "" {
		it.Prompt = l.Prompt
	}
	return it
}

// missingValue is what a client wants in the place of a score that does not exist; nil: an error.
func missingValue(c *call) (*float64, error) {
	text := c.URL.Query().Get("missing")
	if text == "" {
		return nil, nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v-v != 0 {
		return nil, badRequest("?missing=%s is no finite number", text)
	}
	return &v, nil
}

// numbers are scores for clients that know no null.
func numbers(results []scored, missing *float64) ([]float64, error) {
	out := make([]float64, len(results))
	for i, r := range results {
		switch {
		case r.Score != nil:
			out[i] = *r.Score
		case missing != nil:
			out[i] = *missing
		default:
			return nil, unusable("%s; this protocol has no empty score: add ?missing=NUMBER to the address for one that stands for it", failures(results))
		}
	}
	return out, nil
}
