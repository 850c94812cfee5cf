package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"winnow/internal/scoring"
	"winnow/rewards"
)

// item is one picture of a request.
type item struct {
	ID     string `json:"id"`
	Prompt string `json:"prompt"`
	Image  source `json:"image"`
}

// scoreRequest is what /v1/score takes: items, or pictures of one prompt. The latter is the protocol of the reward "remote"
// (vlmjudge.Remote), so a winnow elsewhere can name this address in --reward-url.
type scoreRequest struct {
	Items  []item   `json:"items"`
	Prompt string   `json:"prompt"`
	Images []source `json:"images"`
}

// scored is what became of one item: a score or an error.
type scored struct {
	ID    string   `json:"id,omitempty"`
	Score *float64 `json:"score"`
	// Parts are the raw scores of single rewards, where the reward is a sum.
	Parts map[string]float64 `json:"scores,omitempty"`
	Error string             `json:"error,omitempty"`
	raw   []float64
}

type scoreReply struct {
	Items   []scored     `json:"items"`
	Scores  []*float64   `json:"scores"` // of Items, once more by themselves
	Failed  int          `json:"failed"`
	Model   string       `json:"model"`
	Version string       `json:"version"`
	Reward  rewards.Info `json:"reward"`
}

func (s *Server) serveScore(w http.ResponseWriter, c *call) error {
	var req scoreRequest
	if err := parse(c.body, &req); err != nil {
		return err
	}
	switch {
	case len(req.Items) > 0 && len(req.Images) > 0:
		return badRequest(`give "items", or "prompt" and "images", not both`)
	case len(req.Images) > 0:
		req.Items = itemsOf(req.Prompt, req.Images)
	case len(req.Items) == 0:
		return badRequest(`there is nothing to score; send {"items": [{"prompt": "…", "image": "base64"}]} or {"prompt": "…", "images": ["base64"]}`)
	}
	results, err := s.score(c.Context(), req.Items, c.lease)
	if err != nil {
		return err
	}
	reply := scoreReply{Items: results, Model: s.options.Info.Name, Version: s.options.Info.Version, Reward: s.options.Info}
	for _, r := range results {
		reply.Scores = append(reply.Scores, r.Score)
		if r.Error != "" {
			reply.Failed++
		}
	}
	writeJSON(w, http.StatusOK, reply)
	return nil
}

// parse reads a JSON body.
func parse(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return badRequest("the request is not the JSON that is expected here: %v", err)
	}
	return nil
}

func itemsOf(prompt string, images []source) []item {
	items := make([]item, len(images))
	for i, from := range images {
		items[i] = item{Prompt: prompt, Image: from}
	}
	return items
}

// encoded is an item whose picture has been loaded, or could not be.
type encoded struct {
	id, prompt string
	data       []byte
	err        error
}

// score scores items, in order. An item that cannot be scored says so; the error is for what no item is to blame for.
func (s *Server) score(ctx context.Context, items []item, l *lease) ([]scored, error) {
	if err := s.checkCount(len(items)); err != nil {
		return nil, err
	}
	loaded := make([]encoded, len(items))
	for i, it := range items {
		loaded[i] = encoded{id: it.ID, prompt: it.Prompt}
		loaded[i].data, loaded[i].err = s.load(ctx, it.Image, l)
		if err := cause(ctx, loaded[i].err); err != nil {
			return nil, err
		}
	}
	return s.scoreEncoded(ctx, loaded)
}

// cause is what ends a request rather than one of its items: a client that has gone, or a server without room.
func cause(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r := refuse(err); r.retry > 0 {
		return err
	}
	return nil
}

func (s *Server) checkCount(n int) error {
	if n > s.options.MaxItems {
		return tooLarge("the request has %d items, and the limit is %d; send fewer at a time, or raise --max-items", n, s.options.MaxItems)
	}
	return nil
}

func (s *Server) scoreEncoded(ctx context.Context, loaded []encoded) ([]scored, error) {
	if err := s.checkCount(len(loaded)); err != nil {
		return nil, err
	}
	out := make([]scored, len(loaded))
	var pictures []picture
	var at []int
	for i, e := range loaded {
		out[i].ID = e.id
		p, err := picture{}, e.err
		if err == nil {
			p, err = s.picture(e.prompt, e.data)
		}
		if err != nil {
			out[i].Error = err.Error()
			s.metrics.items.WithLabelValues("refused").Inc()
			continue
		}
		pictures, at = append(pictures, p), append(at, i)
	}
	results, err := s.queue.submit(ctx, pictures)
	if err != nil {
		return nil, err
	}
	for k, r := range results {
		s.fillIn(&out[at[k]], r)
	}
	return out, nil
}

func (s *Server) fillIn(out *scored, r scoring.Result) {
	if r.Err != nil {
		out.Error = r.Err.Error()
		return
	}
	score := r.Score
	out.Score, out.raw = &score, r.Parts
	if len(s.options.Parts) < 2 {
		return
	}
	out.Parts = map[string]float64{}
	for k, v := range r.Parts {
		if k < len(s.options.Parts) {
			out.Parts[s.options.Parts[k]] = v
		}
	}
}

// failures joins the errors of items, at most some of them.
func failures(results []scored) string {
	const shown = 5
	text, n := "", 0
	for i, r := range results {
		if r.Error == "" {
			continue
		}
		if n++; n <= shown {
			text += fmt.Sprintf("; item %d: %s", i, r.Error)
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d items have no score%s", n, len(results), text)
}
