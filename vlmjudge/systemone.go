package vlmjudge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// decision is a question in the form of transformers serve: the server writes the prompt and gives the probability of
// each option. In State, {prompt} stands for the fenced prompt and {picture} for the next picture's name.
type decision struct {
	ID           string   `json:"id"`
	State        string   `json:"state"`
	Type         string   `json:"type"` // choice: Criteria by their keys; noul: Yes or No
	Instructions string   `json:"instructions"`
	Keys         []string `json:"keys,omitempty"`
	Criteria     []string `json:"criteria,omitempty"`

	values []float64 // of keys that are marks, which they spell
	name   string    // of pictures, which the text holds in their place; "": picture
}

func (d decision) public() Template {
	data, err := json.Marshal(d)
	if err != nil {
		panic(err) // strings only
	}
	sum := sha256.Sum256(data)
	return Template{ID: d.ID, SHA256: hex.EncodeToString(sum[:])}
}

func (d decision) formula() string {
	if d.values != nil {
		return "Σ mark·p(mark) of the server's options"
	}
	if d.Type == "choice" {
		return "p(" + d.Keys[0] + ") of the server's two options"
	}
	return "p(Yes) of the server's Yes and No"
}

type (
	decisionRequest struct {
		Model     string                   `json:"model,omitempty"`
		State     string                   `json:"state"`
		Questions map[string]any           `json:"questions"`
		Assets    map[string]decisionAsset `json:"assets,omitempty"`
	}
	decisionAsset struct {
		Type   string `json:"type"`
		Format string `json:"format"`
		Data   string `json:"data_base64"`
	}
	decisionReply struct {
		Model   string `json:"model"`
		Answers map[string]struct {
			Choice        string             `json:"choice"`
			Probabilities map[string]float64 `json:"probabilities"`
			Noul          *float64           `json:"noul"`
		} `json:"answers"`
		Usage struct {
			Input int `json:"input_tokens"`
		} `json:"usage"`
	}
)

// question is the name of the only question in a request.
const question = "verdict"

// request fills the question in. The server puts a picture wherever its name occurs, so no name may occur in the prompt.
// pictures are data URLs; without them the question is the same with the pictures left out.
func (d decision) request(model, prompt string, pictures []string) decisionRequest {
	prompt = plain(prompt)
	called, suffix := cmp.Or(d.name, "picture"), ""
	for strings.Contains(prompt, called+"-1"+suffix) || strings.Contains(prompt, called+"-2"+suffix) {
		suffix += "x"
	}
	state := d.State
	assets := map[string]decisionAsset{}
	for i := range strings.Count(d.State, pictureMark) {
		name := ""
		if i < len(pictures) {
			name = fmt.Sprintf("%s-%d%s", called, i+1, suffix)
			assets[name] = decisionAsset{Type: "image", Format: "png", Data: strings.TrimPrefix(pictures[i], dataPrefix)}
		}
		state = strings.Replace(state, pictureMark, name, 1)
	}
	ask := map[string]any{"type": d.Type, "instructions": d.Instructions}
	if d.Type == "choice" {
		criteria := make(orderedMap, len(d.Keys))
		for i, key := range d.Keys {
			criteria[i] = [2]string{key, d.Criteria[i]}
		}
		ask["criteria"] = criteria
	}
	// The prompt comes last: it may hold what looks like a mark.
	return decisionRequest{
		Model: model, State: strings.Replace(state, promptMark, fence(prompt), 1),
		Questions: map[string]any{question: ask}, Assets: assets,
	}
}

// orderedMap marshals to an object whose members keep their order, which decides the options' letters.
type orderedMap [][2]string

func (m orderedMap) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	for i, kv := range m {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(asText(kv[0]))
		b.WriteByte(':')
		b.Write(asText(kv[1]))
	}
	return []byte("{" + b.String() + "}"), nil
}

// listed are the probabilities of the keys, in their order.
func (d decision) listed(of map[string]float64) []float64 {
	p := make([]float64, len(d.Keys))
	for i, key := range d.Keys {
		p[i] = of[key]
	}
	return p
}

// decide puts one question in the form of transformers serve.
func (j *Judge) decide(ctx context.Context, d decision, prompt string, pictures []string) (Answer, *decisionReply, error) {
	address := j.base + "/systemone"
	body, err := j.client.post(ctx, address, d.request(j.options.Model, prompt, pictures))
	if err != nil {
		return Answer{}, nil, err
	}
	var reply decisionReply
	if err := json.Unmarshal(body, &reply); err != nil {
		return Answer{}, nil, noAnswer(address, body, j.options.Key, "the reply is no decision: "+err.Error(), "check that this is transformers serve")
	}
	got, ok := reply.Answers[question]
	if !ok {
		return Answer{}, nil, noAnswer(address, body, j.options.Key, "the reply holds no answer", "check that this is transformers serve")
	}
	a := Answer{P: math.NaN(), Mass: 1, Replies: []string{got.Choice}}
	switch {
	case got.Noul != nil && d.Type == "noul":
		a.P, a.Replies[0] = *got.Noul, fmt.Sprint(*got.Noul)
	case d.values != nil:
		a.weigh(d.Keys, d.values, d.listed(got.Probabilities))
	case d.Type == "choice" && len(got.Probabilities) == 2:
		first, second := got.Probabilities[d.Keys[0]], got.Probabilities[d.Keys[1]]
		a.P = first / (first + second)
	}
	if !(a.P >= 0 && a.P <= 1) || a.Abstained {
		return Answer{}, nil, noAnswer(address, body, j.options.Key, "the reply holds no probability", "the server's log may say why")
	}
	a.Raw, a.Protocol, a.Formula = a.P, ProtocolSystemone, d.formula()
	a.Tokens = Tokens{Requests: 1, Prompt: reply.Usage.Input}
	return a, &reply, nil
}
