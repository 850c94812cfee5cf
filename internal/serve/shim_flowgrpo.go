package serve

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net/http"
)

// flow_grpo's remote rewards (flow_grpo/rewards.py; servers: yifan123/reward-server, app_geneval.py and app_deqa.py) post pickles
// to "/", up to 64 JPEG files each:
//
//	{"images": [bytes, …]}                                                         → {"outputs": [float, …]}   DeQA
//	{"images": [bytes, …], "prompts": numpy array of str}                          → {"outputs": [float, …]}   UnifiedReward
//	{"images": [bytes, …], "meta_datas": [{"prompt", "tag", …}, …], "only_strict"} → {"scores", "rewards", "strict_rewards": lists of float,
//	                                                                                  "group_rewards", "group_strict_rewards": tag → list}   GenEval
//
// The reply is a pickle too. The clients retry status 500 a thousand times and nothing else, so what may pass is 500 here and the
// rest 4xx; an error's body is text. They send no header of their own: a key goes into the address, http://any:KEY@host:8400.
//
// GenEval's rewards and strict rewards are 0 or 1 there; here all three are the score. As there, a group's list has −10 for the
// pictures of other tags. Pickles have floats only: where an item fails the request does, unless the address has ?missing=NUMBER.
func (s *Server) serveFlowGRPO(w http.ResponseWriter, c *call) error {
	value, err := unpickle(c.body)
	if err != nil {
		return badRequest("%v", err)
	}
	dict, ok := value.(map[string]any)
	if !ok {
		return badRequest("the pickle holds %s, not a dict", describe(value))
	}
	missing, err := missingValue(c)
	if err != nil {
		return err
	}
	items, tags, err := flowItems(dict)
	if err != nil {
		return err
	}
	results, err := s.scoreEncoded(c.Context(), items)
	if err != nil {
		return err
	}
	values, err := numbers(results, missing)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(flowReply(values, tags))
	return nil
}

// flowItems reads a request. tags is nil except for GenEval's.
func flowItems(dict map[string]any) (items []encoded, tags []string, err error) {
	pictures, ok := list(dict["images"])
	if !ok || len(pictures) == 0 {
		return nil, nil, badRequest(`the pickle's "images" is %s, not a list of encoded pictures`, describe(dict["images"]))
	}
	items = make([]encoded, len(pictures))
	for i, p := range pictures {
		items[i].data, items[i].err = flowPicture(p)
	}
	if about, ok := dict["meta_datas"]; ok {
		metas, ok := list(about)
		if !ok || len(metas) != len(items) {
			return nil, nil, badRequest(`the pickle's "meta_datas" is %s, not a list with a dict for each of %d images`, describe(about), len(items))
		}
		tags = make([]string, len(items))
		for i, m := range metas {
			meta, _ := m.(map[string]any)
			prompt, ok := meta["prompt"].(string)
			if !ok {
				return nil, nil, badRequest(`meta_datas[%d] has no "prompt"`, i)
			}
			items[i].prompt = prompt
			tags[i], _ = meta["tag"].(string)
		}
		return items, tags, nil
	}
	if given, ok := dict["prompts"]; ok {
		prompts, ok := list(given)
		if !ok || len(prompts) != len(items) {
			return nil, nil, badRequest(`the pickle's "prompts" is %s, not a list with one for each of %d images`, describe(given), len(items))
		}
		for i, p := range prompts {
			if items[i].prompt, ok = p.(string); !ok {
				return nil, nil, badRequest("prompts[%d] is %s, not text", i, describe(p))
			}
		}
	}
	return items, nil, nil
}

// list takes a Python list, a tuple, or a numpy array, by its first axis.
func list(v any) ([]any, bool) {
	switch v := v.(type) {
	case *pyList:
		return v.items, true
	case pyTuple:
		return v, true
	case *ndarray:
		return v.rows()
	}
	return nil, false
}

// flowPicture takes an encoded picture, or a numpy array of bytes, height × width × 3.
func flowPicture(v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case *ndarray:
		return v.png()
	}
	return nil, fmt.Errorf("it is %s, not an encoded picture", describe(v))
}

// png encodes height × width × 3 bytes. Nothing is lost, and rewards see what they would have seen.
func (a *ndarray) png() ([]byte, error) {
	if a.kind != "u1" || len(a.shape) != 3 || a.shape[2] != 3 || len(a.raw) == 0 {
		return nil, errors.New("an array is no picture; want bytes (uint8) of shape height × width × 3")
	}
	h, w := a.shape[0], a.shape[1]
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for p := range w * h {
		copy(img.Pix[4*p:], a.raw[3*p:3*p+3])
		img.Pix[4*p+3] = 255
	}
	var b bytes.Buffer
	err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img)
	return b.Bytes(), err
}

// genevalTags are GenEval's six tasks; the server there names all of them in each reply.
var genevalTags = []string{"single_object", "two_object", "counting", "colors", "position", "color_attr"}

const otherTag = -10 // in a group's list, for pictures of other groups

func flowReply(values []float64, tags []string) []byte {
	var p pickler
	p.begin()
	if tags == nil {
		p.dict(func() {
			p.str("outputs")
			p.floats(values)
		})
		return p.end()
	}
	group := func() {
		p.dict(func() {
			for _, tag := range genevalTags {
				in := make([]float64, len(values))
				for i, v := range values {
					if in[i] = otherTag; tags[i] == tag {
						in[i] = v
					}
				}
				p.str(tag)
				p.floats(in)
			}
		})
	}
	p.dict(func() {
		for _, name := range []string{"scores", "rewards", "strict_rewards"} {
			p.str(name)
			p.floats(values)
		}
		for _, name := range []string{"group_rewards", "group_strict_rewards"} {
			p.str(name)
			group()
		}
	})
	return p.end()
}

// failPickle answers flow_grpo's clients, see serveFlowGRPO.
func failPickle(w http.ResponseWriter, err error) {
	r := refuse(err)
	status := r.status
	if r.retry > 0 || status >= http.StatusInternalServerError {
		status = http.StatusInternalServerError
	}
	retryLater(w, r)
	http.Error(w, r.why, status)
}
