package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// Trainers that ask a generative reward speak OpenAI's chat API: verl's reward functions get the address of a server and post to
// its /v1/chat/completions (verl, experimental/reward_loop), flow_grpo and Pref-GRPO do so to UnifiedReward behind SGLang or vLLM:
//
//	POST {"model", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image;base64,…"}}, …,
//	      {"type": "text", "text": "… Text Caption: [a red fox]"}]}], "temperature": 0, …}
//	→    {"id", "object": "chat.completion", "created", "model", "choices": [{"index": 0, "message": {"role", "content"}, "finish_reason": "stop"}], "usage"}
//
// The content is what UnifiedReward writes and its clients look for: of one picture "Final Score: 3.72", from 1 to 5 (flow_grpo reads
// it by Final Score:\s*([1-5](?:\.\d+)?)); of two, the scores and <answer>Image 1 is better</answer>, Image 2, or "Both images are equally
// good". The reply has the plain numbers beside it, as "winnow". The grade is 1 + 4·q, q being Options.Quality.
//
// The caption is what stands in "Text Caption: […]" or "caption for the generated images is: 「…」", else the text of the last message
// without "<image>".
type chatRequest struct {
	Model    string        `json:"model"`
	Messages []chatMessage `json:"messages"`
	Stream   bool          `json:"stream"`
	N        int           `json:"n"`
	Logprobs bool          `json:"logprobs"`
}

type chatMessage struct {
	Role    string      `json:"role"`
	Content chatContent `json:"content"`
}

// chatContent is a text, or a list of parts.
type chatContent []chatPart

type chatPart struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	ImageURL struct {
		URL string `json:"url"`
	} `json:"image_url"`
}

func (c *chatContent) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*c = chatContent{{Type: "text", Text: text}}
		return nil
	}
	return json.Unmarshal(data, (*[]chatPart)(c))
}

var captions = []*regexp.Regexp{
	regexp.MustCompile(`(?s)Text Caption: ?\[(.*)\]`),
	regexp.MustCompile(`(?s)[Cc]aption for the generated images? is: ?「(.*?)」`),
}

func (s *Server) serveChat(w http.ResponseWriter, c *call) error {
	var req chatRequest
	if err := parse(c.body, &req); err != nil {
		return err
	}
	switch {
	case req.Stream:
		return badRequest("replies are not streamed here; leave out stream")
	case req.N > 1:
		return badRequest("n is %d, and a reward has one answer; leave it out", req.N)
	}
	prompt, labels, images, err := req.read()
	if err != nil {
		return err
	}
	if len(images) == 0 {
		return badRequest(`the last message has no image; add a part {"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}`)
	}
	if len(images) > 2 {
		return badRequest("the message has %d images; one is graded, two are compared, and more go to /v1/rank", len(images))
	}
	var content string
	var logprobs, plain any
	switch {
	case labels[0] != "":
		content, logprobs, plain, err = s.labelOf(c, labels, prompt, images)
	case len(images) == 1:
		content, plain, err = s.grade(c, prompt, images)
	default:
		content, plain, err = s.verdictOn(c, prompt, images)
	}
	if err != nil {
		return err
	}
	choice := map[string]any{"index": 0, "message": map[string]string{"role": "assistant", "content": content}, "finish_reason": "stop"}
	if logprobs != nil && req.Logprobs {
		choice["logprobs"] = logprobs
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"id": fmt.Sprintf("chatcmpl-%x", time.Now().UnixNano()), "object": "chat.completion", "created": time.Now().Unix(), "model": s.options.Info.Name,
		"choices": []map[string]any{choice},
		// Pictures count as one token each: a client that looks whether they are seen finds a difference.
		"usage":  map[string]int{"prompt_tokens": len(images), "completion_tokens": 1, "total_tokens": len(images) + 1},
		"winnow": plain,
	})
	return nil
}

// read takes caption, pictures and the labels of the answer from the last message of the user; labels are empty where it does not name two.
func (r *chatRequest) read() (prompt string, labels [2]string, images []source, err error) {
	for i := len(r.Messages) - 1; i >= 0; i-- {
		m := r.Messages[i]
		if m.Role != "user" {
			continue
		}
		var texts []string
		for _, p := range m.Content {
			switch p.Type {
			case "text":
				texts = append(texts, p.Text)
			case "image_url":
				images = append(images, sourceOf(p.ImageURL.URL))
			default:
				return "", labels, nil, badRequest("a part of type %q is not read; want text and image_url", p.Type)
			}
		}
		text := strings.Join(texts, "\n")
		labels, _ = labelsIn(text)
		return caption(text), labels, images, nil
	}
	return "", labels, nil, badRequest("there is no message of the user")
}

func caption(text string) string {
	if inside, ok := fenced(text); ok {
		return inside
	}
	for _, re := range captions {
		if m := re.FindStringSubmatch(text); m != nil {
			return strings.TrimSpace(m[1])
		}
	}
	return strings.TrimSpace(strings.ReplaceAll(text, "<image>", ""))
}

func (s *Server) grade(c *call, prompt string, images []source) (string, any, error) {
	results, err := s.score(c.Context(), itemsOf(prompt, images), c.lease)
	if err != nil {
		return "", nil, err
	}
	if results[0].Error != "" {
		return "", nil, unusable("%s", results[0].Error)
	}
	return fmt.Sprintf("Final Score: %.4f", s.mark(results[0])), map[string]any{"scores": []*float64{results[0].Score}}, nil
}

// mark is a score from 1 to 5.
func (s *Server) mark(r scored) float64 {
	q := logistic(*r.Score / s.options.Temperature)
	if s.options.Quality != nil {
		q = s.options.Quality(*r.Score, r.raw)
	}
	return 1 + 4*min(1, max(0, q))
}

func (s *Server) verdictOn(c *call, prompt string, images []source) (string, any, error) {
	reply, err := s.compare(c.Context(), compareRequest{Prompt: prompt, Images: images}, c.lease)
	if err != nil {
		return "", nil, err
	}
	says := map[string]string{"first": "Image 1 is better", "second": "Image 2 is better", "tie": "Both images are equally good"}[reply.Verdict]
	return fmt.Sprintf("<think>P(Image 1 is better) = %.4f, by the %s</think>\n<answer>%s</answer>", reply.P, reply.By, says), reply, nil
}

// models lists the reward as a model, since clients of this API ask for the list.
func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []map[string]any{
		{"id": s.options.Info.Name, "object": "model", "created": 0, "owned_by": "winnow"},
	}})
}
