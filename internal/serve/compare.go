package serve

import (
	"context"
	"image"
	"math"
	"net/http"
)

// By whom pictures are compared.
const (
	byJudge  = "judge"
	byReward = "reward"
)

// compareRequest asks which of two pictures fits the prompt better. By is "judge", "reward", or "" for the judge where there is one.
type compareRequest struct {
	Prompt string   `json:"prompt"`
	Images []source `json:"images"`
	By     string   `json:"by"`
}

type compareReply struct {
	P       float64 `json:"p"`       // that the first picture is better
	Verdict string  `json:"verdict"` // "first", "second" or "tie"
	By      string  `json:"by"`
	// Of a reward: p = σ((scores[0] − scores[1])/temperature).
	Scores      []*float64 `json:"scores,omitempty"`
	Temperature float64    `json:"temperature,omitempty"`
	// Of a judge: asked in both orders, combined on the scale of log-odds.
	Judge        string   `json:"judge,omitempty"`
	Protocol     string   `json:"protocol,omitempty"`
	Bias         *float64 `json:"bias,omitempty"` // log-odds for what is shown first
	Inconsistent *float64 `json:"inconsistent,omitempty"`
	Abstained    bool     `json:"abstained,omitempty"` // no readable answer: p is ½
}

func verdict(p float64) string {
	switch {
	case p > .5:
		return "first"
	case p < .5:
		return "second"
	}
	return "tie"
}

// chosen settles who compares.
func (s *Server) chosen(by string) (string, error) {
	switch {
	case by == "" && s.options.Judge != nil:
		return byJudge, nil
	case by == "":
		return byReward, nil
	case by == byJudge && s.options.Judge == nil:
		return "", badRequest(`this server has no judge; start it with --judge URL, or ask by "reward"`)
	case by == byJudge, by == byReward:
		return by, nil
	}
	return "", badRequest(`"by" is %q; want "judge" or "reward"`, by)
}

func (s *Server) serveCompare(w http.ResponseWriter, c *call) error {
	var req compareRequest
	if err := parse(c.body, &req); err != nil {
		return err
	}
	if len(req.Images) != 2 {
		return badRequest("two images are compared, and the request has %d", len(req.Images))
	}
	reply, err := s.compare(c.Context(), req, c.lease)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, reply)
	return nil
}

func (s *Server) compare(ctx context.Context, req compareRequest, l *lease) (*compareReply, error) {
	by, err := s.chosen(req.By)
	if err != nil {
		return nil, err
	}
	if by == byJudge {
		return s.compareByJudge(ctx, req, l)
	}
	results, err := s.score(ctx, itemsOf(req.Prompt, req.Images), l)
	if err != nil {
		return nil, err
	}
	if why := failures(results); why != "" {
		return nil, unusable("%s", why)
	}
	a, b := results[0].Score, results[1].Score
	p := logistic((*a - *b) / s.options.Temperature)
	return &compareReply{P: p, Verdict: verdict(p), By: byReward, Scores: []*float64{a, b}, Temperature: s.options.Temperature}, nil
}

func (s *Server) compareByJudge(ctx context.Context, req compareRequest, l *lease) (*compareReply, error) {
	images, err := s.seen(ctx, req.Images, l)
	if err != nil {
		return nil, err
	}
	end, err := s.beginJudging()
	if err != nil {
		return nil, err
	}
	defer end()
	c, err := s.options.Judge.Compare(ctx, req.Prompt, images[0], images[1])
	if err != nil {
		s.metrics.judged.WithLabelValues("failed").Inc()
		return nil, judgeFailed(ctx, err)
	}
	outcome := "answered"
	if c.Abstained {
		outcome = "abstained"
	}
	s.metrics.judged.WithLabelValues(outcome).Inc()
	p := c.LogitMean
	return &compareReply{
		P: p, Verdict: verdict(p), By: byJudge, Judge: s.options.JudgeAs, Protocol: string(c.Protocol), Bias: &c.Bias, Inconsistent: &c.Inconsistent, Abstained: c.Abstained,
	}, nil
}

// judgeFailed is a judge that did not answer: another server's fault, not the client's.
func judgeFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &refusal{status: http.StatusBadGateway, kind: "api_error", why: "the judge: " + err.Error()}
}

// beginJudging takes one of the places for requests to the judge. Pictures are in memory decoded then, so nobody waits here.
func (s *Server) beginJudging() (end func(), err error) {
	select {
	case s.judging <- struct{}{}:
		return func() { <-s.judging }, nil
	default:
		return nil, busy("the judge has enough to do")
	}
}

// seen decodes the pictures of a request for a judge; all of them are needed.
func (s *Server) seen(ctx context.Context, from []source, l *lease) ([]image.Image, error) {
	data, pixels := make([][]byte, len(from)), int64(0)
	for i := range from {
		var err error
		if data[i], err = s.load(ctx, from[i], l); err != nil {
			if c := cause(ctx, err); c != nil {
				return nil, c
			}
			return nil, unusable("image %d: %v", i, err)
		}
		p, err := s.picture("", data[i])
		if err != nil {
			return nil, unusable("image %d: %v", i, err)
		}
		pixels += int64(p.pixels)
	}
	if err := l.take(4 * pixels); err != nil {
		return nil, err
	}
	images := make([]image.Image, len(from))
	for i := range data {
		var err error
		if images[i], err = s.see(data[i]); err != nil {
			return nil, unusable("image %d: %v", i, err)
		}
	}
	return images, nil
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
