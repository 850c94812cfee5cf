package ldm

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"slices"

	"winnow/internal/lora"
	"winnow/internal/model"
	"winnow/internal/tensor"
	"winnow/internal/tokenizer"
)

// t5Tokens is how many tokens of T5 diffusers' StableDiffusion3Pipeline gives the transformer when it is not told (max_sequence_length).
const t5Tokens = 256

// textEncoder3 is the component that holds T5.
const textEncoder3 = "text_encoder_3"

// t5 is the third text encoder of SD3. Many folders leave it out; zeros stand in its place then, as many as it would read tokens. No
// adapter changes it.
type t5 struct {
	tokenizer *tokenizer.Unigram
	net       *model.Model // nil where the folder has none
	limit     int          // tokens of a prompt
	width     int          // of the text embeddings that the transformer takes
}

// loadT5 opens T5 where the folder has it, and settles how many tokens it reads: what winnow.json says, else what a graph of fixed
// length asks for, else 256.
func (p *Pipeline) loadT5(opt *model.Options) error {
	if !p.SD3 {
		return nil
	}
	var own struct {
		Length int `json:"max_sequence_length"`
	}
	var cfg struct {
		Width int `json:"joint_attention_dim"`
	}
	if _, err := p.Folder.ReadJSON("winnow.json", &own); err != nil {
		return err
	}
	if _, err := p.Folder.ReadJSON(lora.Transformer+"/config.json", &cfg); err != nil {
		return err
	}
	p.t5.limit, p.t5.width = cmp.Or(own.Length, t5Tokens), cfg.Width
	if s := p.ports.hidden.Shape; len(s) == 3 {
		if s[1] > 0 {
			p.t5.limit = s[1] - p.maxTokens[0]
		}
		p.t5.width = cmp.Or(max(s[2], 0), cfg.Width)
	}
	switch {
	case p.t5.limit < 1:
		return fmt.Errorf("%s: %d tokens for T5: want 1 or more (max_sequence_length of winnow.json)", p.Folder.Path(""), p.t5.limit)
	case p.t5.width < 1:
		return fmt.Errorf("%s: joint_attention_dim is missing, the width of the text embeddings", p.Folder.Path(lora.Transformer+"/config.json"))
	}
	if !p.Folder.Has(textEncoder3 + "/model.onnx") {
		p.log.Info("the folder has no text_encoder_3: zeros stand in for T5's embeddings, as in diffusers", "tokens", p.t5.limit)
		return nil
	}
	return p.openT5(opt)
}

// T5Tokens is how many tokens of text embeddings are T5's or the zeros' in their place; 0 for models that have none.
func (p *Pipeline) T5Tokens() int { return p.t5.limit }

// EmptyTokens is how many of the last tokens of all text embeddings are zeros in T5's place.
func (p *Pipeline) EmptyTokens() int {
	if p.t5.net != nil {
		return 0
	}
	return p.t5.limit
}

func (p *Pipeline) openT5(opt *model.Options) error {
	sub, err := fs.Sub(p.Folder.FS(), "tokenizer_3")
	if err != nil {
		return err
	}
	if p.t5.tokenizer, err = tokenizer.OpenUnigram(sub, p.Folder.Path("tokenizer_3"), nil); err != nil {
		return err
	}
	if p.t5.net, err = network(p.Folder, textEncoder3, opt); err != nil {
		return err
	}
	in, ok := p.t5.net.Input("input_ids")
	if !ok {
		return fmt.Errorf("%s: input \"input_ids\" is missing", p.t5.net.Path())
	}
	if len(in.Shape) == 2 && in.Shape[1] > 0 {
		p.t5.limit = in.Shape[1]
	}
	if _, ok := p.t5.net.FirstOutput("last_hidden_state"); !ok {
		return fmt.Errorf("%s: output \"last_hidden_state\" is missing", p.t5.net.Path())
	}
	var cfg textConfig
	name := textEncoder3 + "/config.json"
	if _, err := p.Folder.ReadJSON(name, &cfg); err != nil {
		return err
	}
	if n := p.t5.tokenizer.VocabSize(); cfg.VocabSize > 0 && n > cfg.VocabSize {
		return fmt.Errorf("%s: vocab_size %d is smaller than the tokenizer's %d tokens: tokenizer_3 and text_encoder_3 do not belong together",
			p.Folder.Path(name), cfg.VocabSize, n)
	}
	return nil
}

// tokens builds the inputs of T5, none where there is no T5.
func (t *t5) tokens(p *Pipeline, prompts []string, truncate bool) (map[string]tensor.Tensor, error) {
	if t.net == nil {
		return nil, nil
	}
	in, err := p.tokenInputs(t.net, t.tokenizer, t.limit, prompts, truncate)
	if err != nil {
		return nil, err
	}
	if port, ok := t.net.Input("attention_mask"); ok { // diffusers lets T5 attend to padding
		in[port.Name] = port.Integers(slices.Repeat([]int64{1}, len(prompts)*t.limit), len(prompts), t.limit)
	}
	return in, nil
}

// readT5 adds T5's embeddings of the prompts: [n, tokens, dim].
func (p *Pipeline) readT5(ctx context.Context, prompts []string, truncate bool, out *textOutputs) error {
	if !p.SD3 {
		return nil
	}
	if p.t5.net == nil {
		out.t5 = tensor.New(tensor.F32, len(prompts), p.t5.limit, p.t5.width)
		return nil
	}
	in, err := p.t5.tokens(p, prompts, truncate)
	if err != nil {
		return err
	}
	res, err := p.t5.net.Run(ctx, in)
	if err != nil {
		return err
	}
	out.t5 = asF32(res["last_hidden_state"])
	return nil
}

// joint puts SD3's embeddings together (StableDiffusion3Pipeline.encode_prompt): the states of both CLIPs, side by side and filled up by
// zeros to the width of T5's, then T5's.
func (p *Pipeline) joint(clips tensor.Tensor, t *textOutputs) (Embeds, error) {
	n, tokens, width, more := clips.Shape[0], clips.Shape[1], clips.Shape[2], t.t5.Shape[1]
	joint := t.t5.Shape[2]
	switch {
	case joint != p.t5.width:
		return Embeds{}, fmt.Errorf("%s: embeddings of width %d, the transformer takes %d", p.Folder.Path(textEncoder3), joint, p.t5.width)
	case width > joint:
		return Embeds{}, fmt.Errorf("%s: both text encoders together have states of width %d, the transformer takes %d", p.Folder.Path(""), width, joint)
	}
	hidden := tensor.New(tensor.F32, n, tokens+more, joint)
	for row := range n {
		dst := hidden.F32()[row*(tokens+more)*joint:]
		for k := range tokens {
			at := (row*tokens + k) * width
			copy(dst[k*joint:], clips.F32()[at:at+width])
		}
		copy(dst[tokens*joint:], t.t5.F32()[row*more*joint:(row+1)*more*joint])
	}
	a, b := t.pooled[0], t.pooled[1]
	pooled := make([]float32, 0, a.Elems()+b.Elems())
	for row := range n {
		pooled = append(pooled, a.F32()[row*a.Shape[1]:(row+1)*a.Shape[1]]...)
		pooled = append(pooled, b.F32()[row*b.Shape[1]:(row+1)*b.Shape[1]]...)
	}
	return Embeds{hidden, tensor.FromF32(pooled, n, a.Shape[1]+b.Shape[1])}, nil
}
