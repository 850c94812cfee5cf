package serve

import (
	"context"
	"net/http"
	"time"
)

// OpenEnv's HTTP contract (meta-pytorch/OpenEnv and openenv-core 0.3.0, core/env_server/http_server.py and types.py), for clients whose
// base address is http://host:8400/openenv:
//
//	POST /reset {"seed"?, "episode_id"?}                          → {"observation": {…}, "reward": null, "done": false}
//	POST /step  {"action": {…}, "timeout_s"?, "request_id"?}      → {"observation": {…}, "reward": number or null, "done": true}
//	GET  /state → {"episode_id", "step_count"}   /metadata → {"name", "description", …}   /health → {"status": "healthy"}   /schema
//
// An episode has one step: an action shows pictures, and the reward is the mean of their scores.
//
//	{"prompt": "…", "images": [source, …]}   {"prompt": "…", "image": source}
//	→ observation {"scores": [number or null, …], "errors": [text, …], "reward_model": "mini"}
//
// An action that cannot be read is 422 with {"detail": [{"type", "loc", "msg", "input"}]}, as FastAPI has it. State is not kept, as in
// that server, which makes an environment for each request. Its clients since 0.3 use a WebSocket instead: shim_openenv_ws.go.
type openEnvStep struct {
	Action   openEnvAction `json:"action"`
	TimeoutS *float64      `json:"timeout_s"`
}

type openEnvAction struct {
	Prompt string   `json:"prompt"`
	Image  *source  `json:"image"`
	Images []source `json:"images"`
}

type openEnvReply struct {
	Observation map[string]any `json:"observation"`
	Reward      *float64       `json:"reward"`
	Done        bool           `json:"done"`
}

func (s *Server) openEnv(route func(string, http.HandlerFunc), at string) {
	get := func(path string, v any) {
		route("GET "+at+path, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, v) })
	}
	get("/health", map[string]string{"status": "healthy"})
	get("/state", map[string]any{"episode_id": nil, "step_count": 0})
	get("/metadata", map[string]any{
		"name": "winnow", "description": "Scores of pictures for a prompt, by the reward " + s.options.Info.Name, "version": s.options.Info.Version,
		"readme_content": nil, "author": nil, "documentation_url": nil,
	})
	text := map[string]string{"type": "string"}
	texts := map[string]any{"type": "array", "items": text}
	get("/schema", map[string]any{
		"action":      map[string]any{"type": "object", "properties": map[string]any{"prompt": text, "image": text, "images": texts}, "required": []string{"prompt"}},
		"observation": map[string]any{"type": "object", "properties": map[string]any{"scores": map[string]any{"type": "array"}, "errors": texts, "reward_model": text}},
		"state":       map[string]any{"type": "object", "properties": map[string]any{"episode_id": text, "step_count": map[string]string{"type": "integer"}}},
	})
	route("POST "+at+"/reset", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, s.resetReply())
	})
	route("POST "+at+"/step", s.work(s.serveStep, failStep))
	route("GET "+at+"/ws", s.serveSession)
}

func (s *Server) serveStep(w http.ResponseWriter, c *call) error {
	var req openEnvStep
	if err := parse(c.body, &req); err != nil {
		return unusable("%v", err)
	}
	ctx := c.Context()
	if t := req.TimeoutS; t != nil && *t > 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(min(*t, 1e6)*float64(time.Second)))
		defer cancel()
		ctx = limited
	}
	reply, err := s.act(ctx, req.Action, c.lease)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, reply)
	return nil
}

func (s *Server) resetReply() openEnvReply {
	return openEnvReply{Observation: map[string]any{"instruction": "send an action with a prompt and its images", "reward_model": s.options.Info.Name}}
}

// act is the one step of an episode.
func (s *Server) act(ctx context.Context, action openEnvAction, l *lease) (openEnvReply, error) {
	images := action.Images
	if action.Image != nil {
		images = append(images, *action.Image)
	}
	if len(images) == 0 {
		return openEnvReply{}, unusable("the action has no image")
	}
	results, err := s.score(ctx, itemsOf(action.Prompt, images), l)
	if err != nil {
		return openEnvReply{}, err
	}
	scores, errs, sum, n := []*float64{}, []string{}, 0.0, 0
	for _, r := range results {
		scores, errs = append(scores, r.Score), append(errs, r.Error)
		if r.Score != nil {
			sum += *r.Score
			n++
		}
	}
	reply := openEnvReply{Observation: map[string]any{"scores": scores, "errors": errs, "reward_model": s.options.Info.Name}, Done: true}
	if n > 0 {
		mean := sum / float64(n)
		reply.Reward = &mean
	}
	return reply, nil
}

// failStep writes an error as FastAPI does.
func failStep(w http.ResponseWriter, err error) {
	r := refuse(err)
	retryLater(w, r)
	if r.status != http.StatusUnprocessableEntity {
		writeJSON(w, r.status, map[string]string{"detail": r.why})
		return
	}
	writeJSON(w, r.status, map[string]any{"detail": []map[string]any{{"type": "value_error", "loc": []string{"body", "action"}, "msg": r.why, "input": nil}}})
}
