package serve

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"winnow/rewards"
	"winnow/vlmjudge"
)

// rankRequest asks for the order of pictures of one prompt.
type rankRequest struct {
	Prompt string   `json:"prompt"`
	Images []source `json:"images"`
	By     string   `json:"by"`
	// Soft adds the soft reward of each picture within the group, for training what made them: vlmjudge.SoftWinRate and others. Of a
	// reward the win rate is that of σ((a−b)/temperature).
	Soft string `json:"soft"`
}

type rankReply struct {
	Order []int        `json:"order"` // indices of images, best first; without those that failed
	Items []rankedItem `json:"items"` // in the order of the request
	By    string       `json:"by"`
	Judge string       `json:"judge,omitempty"`
	// Of a judge's tournament.
	Pairs     int      `json:"pairs,omitempty"`
	Abstained int      `json:"abstained,omitempty"`
	Turned    int      `json:"turned,omitempty"` // preferences that depended on what was shown first
	Cyclic    int      `json:"cyclic,omitempty"`
	Triples   int      `json:"triples,omitempty"`
	Bias      *float64 `json:"bias,omitempty"`
}

type rankedItem struct {
	Index int      `json:"index"`
	Rank  int      `json:"rank,omitempty"` // from 1; equal scores share it
	Score *float64 `json:"score"`          // of a judge: strength in natural-log units, mean 0
	Soft  *float64 `json:"soft,omitempty"`
	Error string   `json:"error,omitempty"`
}

func (s *Server) serveRank(w http.ResponseWriter, c *call) error {
	var req rankRequest
	if err := parse(c.body, &req); err != nil {
		return err
	}
	if len(req.Images) == 0 {
		return badRequest("there are no images to rank")
	}
	by, err := s.chosen(req.By)
	if err != nil {
		return err
	}
	if req.Soft != "" && !slices.Contains(vlmjudge.SoftKinds(), req.Soft) {
		return badRequest(`"soft" is %q; want one of %s`, req.Soft, strings.Join(vlmjudge.SoftKinds(), ", "))
	}
	reply := rankReply{By: by, Order: []int{}}
	if by == byJudge {
		err = s.rankByJudge(c.Context(), req, c.lease, &reply)
	} else {
		err = s.rankByReward(c.Context(), req, c.lease, &reply)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, reply)
	return nil
}

func (s *Server) rankByReward(ctx context.Context, req rankRequest, l *lease, reply *rankReply) error {
	results, err := s.score(ctx, itemsOf(req.Prompt, req.Images), l)
	if err != nil {
		return err
	}
	for i, r := range results {
		reply.Items = append(reply.Items, rankedItem{Index: i, Score: r.Score, Error: r.Error})
	}
	if err := s.softByReward(req.Soft, reply.Items); err != nil {
		return err
	}
	return reply.order()
}

func (s *Server) rankByJudge(ctx context.Context, req rankRequest, l *lease, reply *rankReply) error {
	if n := len(req.Images); n > s.options.MaxJudged {
		return tooLarge("a judge ranks %d images at most, and the request has %d; raise --max-judged", s.options.MaxJudged, n)
	}
	images, err := s.seen(ctx, req.Images, l)
	if err != nil {
		return err
	}
	end, err := s.beginJudging()
	if err != nil {
		return err
	}
	defer end()
	t, err := s.options.Judge.Tournament(ctx, req.Prompt, images, s.options.Rank)
	if err != nil {
		s.metrics.judged.WithLabelValues("failed").Inc()
		return judgeFailed(ctx, err)
	}
	s.metrics.judged.WithLabelValues("answered").Add(float64(t.Pairs - t.Abstained))
	s.metrics.judged.WithLabelValues("abstained").Add(float64(t.Abstained))
	reply.Judge, reply.Pairs, reply.Abstained, reply.Turned, reply.Cyclic, reply.Triples, reply.Bias = s.options.JudgeAs, t.Pairs, t.Abstained, t.Turned, t.Cyclic, t.Triples, &t.Bias
	for i := range t.Strengths {
		reply.Items = append(reply.Items, rankedItem{Index: i, Score: &t.Strengths[i]})
	}
	if req.Soft != "" {
		soft, err := t.SoftRewards(req.Soft)
		if err != nil {
			return err
		}
		for i, v := range soft {
			reply.Items[i].Soft = given(v)
		}
	}
	return reply.order()
}

// softByReward takes scores over the temperature for strengths.
func (s *Server) softByReward(kind string, items []rankedItem) error {
	var strengths []float64
	var at []int
	for i, it := range items {
		if it.Score != nil {
			strengths, at = append(strengths, *it.Score/s.options.Temperature), append(at, i)
		}
	}
	if kind == "" || len(at) == 0 {
		return nil
	}
	soft, err := vlmjudge.Tournament{Strengths: strengths}.SoftRewards(kind)
	for k, v := range soft {
		items[at[k]].Soft = given(v)
	}
	return err
}

// order ranks the items that have a score.
func (r *rankReply) order() error {
	var scores []float64
	var at []int
	for i, it := range r.Items {
		if it.Score != nil {
			scores, at = append(scores, *it.Score), append(at, i)
		}
	}
	ranked, err := rewards.Order(scores)
	if err != nil {
		return err
	}
	for _, x := range ranked {
		r.Order = append(r.Order, at[x.Index])
		r.Items[at[x.Index]].Rank = x.Rank
	}
	return nil
}
