package vlmjudge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"winnow/internal/imageproc"
)

// RemoteOptions says where a reward runs. Only URL has no default.
type RemoteOptions struct {
	URL     string        // that takes the questions, as in http://localhost:8000/score
	Key     string        // sent as bearer token, to this address only; "": none
	Timeout time.Duration // of one attempt; 0: 2 minutes
	Retries int           // attempts after the first, for faults that may pass; 0: 5, negative: none
	Batch   int           // pictures in one request; 0: 16
	// Logger is warned of a server that is down or back; attempts that are made again are of level info. nil: none.
	Logger *slog.Logger

	wait time.Duration
}

// RemoteInfo says what a remote reward's numbers depend on.
type RemoteInfo struct {
	URL     string `json:"url"`
	Model   string `json:"model,omitempty"`   // as the server says
	Version string `json:"version,omitempty"` // as the server says
}

// Remote is a reward behind an HTTP address. It posts {"prompt": "…", "images": ["…"]} with PNG files in base64, at the
// size that they have, and takes {"scores": [1.5, …], "model": "…", "version": "…"}, of which the last two may be missing.
// It is safe for concurrent use and asks one thing at a time.
type Remote struct {
	url    string
	key    string
	batch  int
	client *client
	mu     sync.Mutex
	info   *RemoteInfo // nil before the first reply
}

// OpenRemote connects to a reward and has it score one grey square: a wrong address or key is found here, and Info is
// complete afterwards.
func OpenRemote(ctx context.Context, o RemoteOptions) (*Remote, error) {
	fill(&o.Timeout, 2*time.Minute)
	fill(&o.Retries, 5)
	fill(&o.Batch, 16)
	fill(&o.wait, time.Second/2)
	if o.Timeout < 0 || o.Batch < 0 {
		return nil, errors.New("vlmjudge: batch and timeout must not be negative; 0 takes the default")
	}
	u, err := checkURL(o.URL)
	if err == nil {
		err = checkKey(o.Key)
	}
	if err != nil {
		return nil, err
	}
	r := &Remote{url: u.String(), key: o.Key, batch: o.Batch, client: newClient(o.Key, o.Timeout, o.Retries, o.wait, newGate(1, 0, 2*time.Minute, o.wait, o.Logger))}
	if _, err := r.Score(ctx, probePrompt, []image.Image{greySquare()}); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Info describes the reward; it marshals to JSON.
func (r *Remote) Info() RemoteInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *r.info
}

// Close gives idle connections back. It never fails.
func (r *Remote) Close() error {
	r.client.http.CloseIdleConnections()
	return nil
}

// Score gives one finite score per picture, in order. The prompt is sent as it is.
func (r *Remote) Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
	for i, img := range images {
		if err := checkPicture(fmt.Sprintf("picture %d", i+1), img); err != nil {
			return nil, err
		}
	}
	scores := make([]float64, 0, len(images))
	for first := 0; first < len(images); first += r.batch {
		some, err := r.scoreBatch(ctx, prompt, images[first:min(first+r.batch, len(images))], first)
		if err != nil {
			return nil, err
		}
		scores = append(scores, some...)
	}
	return scores, nil
}

type remoteRequest struct {
	Prompt string   `json:"prompt"`
	Images []string `json:"images"`
}

type remoteReply struct {
	Scores  []*float64      `json:"scores"`
	Model   string          `json:"model"`
	Version json.RawMessage `json:"version"` // text or number
}

// scoreBatch scores pictures, the first of which has the index first in the caller's list.
func (r *Remote) scoreBatch(ctx context.Context, prompt string, images []image.Image, first int) ([]float64, error) {
	req := remoteRequest{Prompt: prompt, Images: make([]string, len(images))}
	for i, img := range images {
		var err error
		if req.Images[i], err = encodePNG(imageproc.Opaque(img)); err != nil {
			return nil, err
		}
	}
	body, err := r.client.post(ctx, r.url, req)
	if err != nil {
		return nil, err
	}
	var reply remoteReply
	if err := json.Unmarshal(body, &reply); err != nil {
		return nil, noAnswer(r.url, body, r.key, "the reply is not {\"scores\": [numbers]}: "+err.Error(),
			"let the server write null for a score that it does not have; JSON knows no NaN or Infinity")
	}
	if len(reply.Scores) != len(images) {
		return nil, noAnswer(r.url, body, r.key, fmt.Sprintf("%d scores for %d pictures", len(reply.Scores), len(images)),
			"let the server write one number per picture into \"scores\"")
	}
	scores := make([]float64, len(images))
	for i, s := range reply.Scores {
		if s == nil || math.IsNaN(*s) || math.IsInf(*s, 0) {
			return nil, noAnswer(r.url, nil, r.key, fmt.Sprintf("no score for picture %d", first+i+1), "the server's log may say why")
		}
		scores[i] = *s
	}
	return scores, r.same(reply)
}

// same refuses a server that changes its model under way: the scores would not be comparable.
func (r *Remote) same(reply remoteReply) error {
	now := RemoteInfo{URL: r.url, Model: reply.Model, Version: strings.Trim(string(reply.Version), `"`)}
	if now.Version == "null" {
		now.Version = ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.info == nil {
		r.info = &now
	}
	if *r.info != now {
		return fmt.Errorf("vlmjudge: %s: the model was %q version %q and is now %q version %q; scores of both cannot be compared; open it again",
			r.url, r.info.Model, r.info.Version, now.Model, now.Version)
	}
	return nil
}
