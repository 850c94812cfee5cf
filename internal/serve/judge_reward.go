package serve

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"

	"winnow/vlmjudge"
)

// /v1/judge-reward grades what a judge in training wrote, by what people said: no picture is needed, and no reward is asked. "winnow
// judge dataset" writes the truths.
//
//	POST {"items": [{"id"?, "completion", "truth", "p"?}, …], "order"?, "brier"?, "format"?, "direct"?}
//	→    {"items": [{"id", "reward", "order", "brier", "format", "answer", "error"}, …], "rewards": [number or null, …], "failed"}
//
// A completion is a text, or a conversation whose last message counts (TRL). A truth is an object, or a text that holds one (verl's
// ground_truth): {"share": 0.7} or {"ranks": [2, 1, null]}. order, brier and format are weights, of vlmjudge.Grader; they may
// stand in the address as well, for clients that are given nothing else: /v1/judge-reward?order=1&brier=0&direct=true.
//
// OpenRLHF's clients are served at the same address: {"query", "prompts", "labels"}, a label being the truth, as in shim_openrlhf.go.
type judgeRewardRequest struct {
	Items []judgeRewardItem `json:"items"`
	graderFields
	openRLHFRequest
}

type graderFields struct {
	Order  *float64 `json:"order"`
	Brier  *float64 `json:"brier"`
	Format *float64 `json:"format"`
	Direct *bool    `json:"direct"`
}

type judgeRewardItem struct {
	ID         string          `json:"id"`
	Completion completion      `json:"completion"`
	Truth      json.RawMessage `json:"truth"`
	P          *float64        `json:"p"` // the trainer's own probability that the first of two pictures is better
}

// completion is a text, or the last message of a conversation.
type completion string

func (c *completion) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, (*string)(c)) == nil {
		return nil
	}
	var messages []chatMessage
	if err := json.Unmarshal(data, &messages); err != nil {
		return err
	}
	text := ""
	if n := len(messages); n > 0 {
		for _, p := range messages[n-1].Content {
			text += p.Text
		}
	}
	*c = completion(text)
	return nil
}

type judgeGraded struct {
	ID     string   `json:"id,omitempty"`
	Reward *float64 `json:"reward"`
	Order  *float64 `json:"order"` // null: people decided no pair
	Brier  *float64 `json:"brier"`
	Format float64  `json:"format"`
	Answer string   `json:"answer"`
	Error  string   `json:"error,omitempty"`
}

type judgeRewardReply struct {
	Items   []judgeGraded `json:"items"`
	Rewards []*float64    `json:"rewards"` // of Items, once more by themselves
	Failed  int           `json:"failed"`
}

func (s *Server) serveJudgeReward(w http.ResponseWriter, c *call) error {
	var req judgeRewardRequest
	if err := parse(c.body, &req); err != nil {
		return err
	}
	grader, err := req.grader(c.Request)
	if err != nil {
		return err
	}
	openRLHF := len(req.Query) > 0
	switch {
	case openRLHF && len(req.Items) > 0:
		return badRequest(`give "items", or "query" and "labels", not both`)
	case openRLHF:
		if err := req.openRLHFRequest.check("the truth"); err != nil {
			return err
		}
		req.Items = req.openRLHFRequest.completions()
	case len(req.Items) == 0:
		return badRequest(`there is nothing to grade; send {"items": [{"completion": "…", "truth": {"share": 1}}]}`)
	}
	if err := s.checkCount(len(req.Items)); err != nil {
		return err
	}
	missing, err := missingValue(c)
	if err != nil {
		return err
	}
	results := make([]judgeGraded, len(req.Items))
	for i := range req.Items {
		results[i] = req.Items[i].grade(grader)
	}
	if openRLHF {
		return writeOpenRLHFGrades(w, results, missing)
	}
	reply := judgeRewardReply{Items: results}
	for _, r := range results {
		reply.Rewards = append(reply.Rewards, r.Reward)
		if r.Error != "" {
			reply.Failed++
		}
	}
	writeJSON(w, http.StatusOK, reply)
	return nil
}

// grader takes the weights of the request, then of the address, then the usual ones.
func (f graderFields) grader(r *http.Request) (vlmjudge.Grader, error) {
	g := vlmjudge.DefaultGrader
	for _, v := range []struct {
		name string
		from *float64
		to   *float64
	}{{"order", f.Order, &g.Order}, {"brier", f.Brier, &g.Brier}, {"format", f.Format, &g.Format}} {
		if text := r.URL.Query().Get(v.name); text != "" {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return g, badRequest("?%s=%s is no number", v.name, text)
			}
			*v.to = n
		}
		if v.from != nil {
			*v.to = *v.from
		}
	}
	if text := r.URL.Query().Get("direct"); text != "" {
		direct, err := strconv.ParseBool(text)
		if err != nil {
			return g, badRequest("?direct=%s is neither true nor false", text)
		}
		g.Direct = direct
	}
	if f.Direct != nil {
		g.Direct = *f.Direct
	}
	switch err := g.Check(); {
	case err != nil:
		return g, badRequest("%v", err)
	case g.Order+g.Brier+g.Format == 0:
		return g, badRequest("all weights are 0: every reward would be")
	}
	return g, nil
}

func (it *judgeRewardItem) grade(g vlmjudge.Grader) judgeGraded {
	out := judgeGraded{ID: it.ID}
	var truth vlmjudge.Truth
	if len(it.Truth) == 0 {
		out.Error = `there is no "truth"`
		return out
	}
	if err := json.Unmarshal(it.Truth, &truth); err != nil {
		out.Error = "the truth: " + err.Error()
		return out
	}
	p := math.NaN()
	if it.P != nil {
		p = *it.P
	}
	grade, err := g.Grade(string(it.Completion), truth, p)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.Reward, out.Order, out.Brier = &grade.Reward, given(grade.Order), given(grade.Brier)
	out.Format, out.Answer = grade.Format, grade.Answer
	return out
}

// given is nil for NaN.
func given(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

// completions are the responses: query without prompt and without the tokens that end a turn.
func (r *openRLHFRequest) completions() []judgeRewardItem {
	items := make([]judgeRewardItem, len(r.Query))
	for i, query := range r.Query {
		if len(r.Prompts) > 0 {
			query = strings.TrimPrefix(query, r.Prompts[i])
		}
		label, _ := json.Marshal(r.Labels[i]) // text in text
		items[i] = judgeRewardItem{Completion: completion(turnEnd.ReplaceAllString(query, "")), Truth: label}
	}
	return items
}

// writeOpenRLHFGrades replies as shim_openrlhf.go does; extra_logs has the parts.
func writeOpenRLHFGrades(w http.ResponseWriter, results []judgeGraded, missing *float64) error {
	n := len(results)
	plain := make([]scored, n)
	logs := map[string][]float64{}
	for _, name := range []string{"judge_order", "judge_brier", "judge_format", "winnow_missing"} {
		logs[name] = make([]float64, n)
	}
	for i, r := range results {
		plain[i] = scored{Score: r.Reward, Error: r.Error}
		for name, v := range map[string]*float64{"judge_order": r.Order, "judge_brier": r.Brier} {
			if v != nil {
				logs[name][i] = *v
			}
		}
		logs["judge_format"][i] = r.Format
		if r.Error != "" {
			logs["winnow_missing"][i] = 1
		}
	}
	values, err := numbers(plain, missing)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, openRLHFReply{Rewards: values, Scores: values, ExtraLogs: logs})
	return nil
}
