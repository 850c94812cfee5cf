package ldm

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"winnow/internal/lora"
	"winnow/internal/model"
	"winnow/internal/tensor"
	"winnow/internal/tokenizer"
)

// Embeds are text embeddings, one row per prompt.
type Embeds struct {
	// Hidden is float32 [n, tokens, dim]: the last hidden state; for XL the last but one of both encoders side by side; for SD3 the same,
	// filled up by zeros to the width of T5's states, and those behind.
	Hidden tensor.Tensor
	// Pooled is float32 [n, dim]: the projected pooled embedding of the second encoder; for SD3 of both side by side; else none.
	Pooled tensor.Tensor
}

// PromptTooLongError reports a prompt with more tokens than a text encoder reads.
type PromptTooLongError struct {
	Prompt  string
	Tokens  int    // with start and end token
	Limit   int    // of the text encoder
	Dropped string // text that does not fit
}

func (e *PromptTooLongError) Error() string {
	return fmt.Sprintf("prompt has %d tokens, the text encoder reads %d; this part would be lost: %q (shorten the prompt, or allow truncation)",
		e.Tokens, e.Limit, e.Dropped)
}

func (p *Pipeline) loadText(opt *model.Options) error {
	count := 1
	if p.XL || p.SD3 {
		count = 2
	}
	for i := range count {
		name := component("tokenizer", i)
		sub, err := fs.Sub(p.Folder.FS(), name)
		if err != nil {
			return err
		}
		tok, err := tokenizer.Open(sub, p.Folder.Path(name))
		if err != nil {
			return err
		}
		m, err := network(p.Folder, component("text_encoder", i), opt)
		if err != nil {
			return err
		}
		p.tokenizers, p.texts = append(p.tokenizers, tok), append(p.texts, m)
		limit, err := p.tokenLimit(i, tok)
		if err != nil {
			return err
		}
		p.maxTokens = append(p.maxTokens, limit)
	}
	for i := range p.texts {
		if _, err := p.textNames(i); err != nil {
			return err
		}
	}
	return nil
}

// tokenLimit is the number of positions of text encoder i: its config's, the fixed dimension of its graph, or the
// tokenizer's.
func (p *Pipeline) tokenLimit(i int, tok *tokenizer.CLIP) (int, error) {
	name := component("text_encoder", i) + "/config.json"
	var cfg textConfig
	if _, err := p.Folder.ReadJSON(name, &cfg); err != nil {
		return 0, err
	}
	if cfg.VocabSize > 0 && tok.VocabSize() > cfg.VocabSize {
		return 0, fmt.Errorf("%s: vocab_size %d is smaller than the tokenizer's %d tokens: tokenizer and text encoder do not belong together",
			p.Folder.Path(name), cfg.VocabSize, tok.VocabSize())
	}
	limit := 77
	if n := tok.MaxLength(); n > 0 && n < 1<<20 {
		limit = n
	}
	if n := cfg.MaxPositions; n > 0 && n < limit {
		limit = n
	}
	if in, ok := p.texts[i].Input("input_ids"); !ok {
		return 0, fmt.Errorf("%s: input \"input_ids\" is missing", p.texts[i].Path())
	} else if len(in.Shape) == 2 && in.Shape[1] > 0 {
		limit = in.Shape[1]
	}
	return limit, nil
}

// Encode embeds prompts. With truncate, text beyond the encoder's length is dropped; without it that is a
// *PromptTooLongError.
func (p *Pipeline) Encode(ctx context.Context, prompts []string, truncate bool) (Embeds, error) {
	return p.EncodeRows(ctx, prompts, TextOptions{Truncate: truncate})
}

// TextOptions say how prompts are embedded.
type TextOptions struct {
	Truncate bool // see Encode
	// Scales are those of trainable adapters by name, one a prompt; nil means 1 for all prompts.
	Scales     map[string][]float32
	Checkpoint bool // see FactorOptions; of gradients only
}

// EncodeRows is Encode with a scale of each trainable adapter for every prompt.
func (p *Pipeline) EncodeRows(ctx context.Context, prompts []string, o TextOptions) (Embeds, error) {
	var out textOutputs
	for i, m := range p.texts {
		in, err := p.textInputs(i, prompts, o)
		if err != nil {
			return Embeds{}, err
		}
		res, err := m.Run(ctx, in)
		if err != nil {
			return Embeds{}, err
		}
		names, err := p.textNames(i)
		if err != nil {
			return Embeds{}, err
		}
		out.add(names, res)
	}
	if err := p.readT5(ctx, prompts, o.Truncate, &out); err != nil {
		return Embeds{}, err
	}
	return p.embeds(&out)
}

// textNames are the outputs of text encoder i that the denoiser reads: hidden states, and of XL's second and both of SD3 the pooled
// embedding.
func (p *Pipeline) textNames(i int) ([]string, error) {
	m := p.texts[i]
	hidden, err := hiddenName(m, p.XL || p.SD3)
	if err != nil || i != 1 && !p.SD3 {
		return []string{hidden}, err
	}
	if _, ok := m.FirstOutput("text_embeds"); p.SD3 && !ok {
		return nil, fmt.Errorf("%s: output \"text_embeds\" is missing: export the text encoder with its projection", m.Path())
	}
	pooled, ok := m.FirstOutput("text_embeds", "pooler_output")
	if !ok {
		return nil, fmt.Errorf("%s: output \"text_embeds\" is missing", m.Path())
	}
	return []string{hidden, pooled}, nil
}

// textOutputs are what the text encoders say.
type textOutputs struct {
	hidden []tensor.Tensor // of each
	pooled []tensor.Tensor // of those that have one
	t5     tensor.Tensor   // SD3 only
}

func (t *textOutputs) add(names []string, res map[string]tensor.Tensor) {
	t.hidden = append(t.hidden, asF32(res[names[0]]))
	if len(names) > 1 {
		t.pooled = append(t.pooled, asF32(res[names[1]]))
	}
}

// embeds puts the outputs together.
func (p *Pipeline) embeds(t *textOutputs) (Embeds, error) {
	if len(t.hidden) == 1 {
		return Embeds{Hidden: t.hidden[0]}, nil
	}
	joined, err := joinFeatures(t.hidden[0], t.hidden[1])
	if err != nil {
		return Embeds{}, fmt.Errorf("%s: %w", p.Folder.Path("text_encoder_2"), err)
	}
	if p.SD3 {
		return p.joint(joined, t)
	}
	return Embeds{joined, t.pooled[0]}, nil
}

// CheckPrompts reports the first prompt that a text encoder cannot read whole, as a *PromptTooLongError.
func (p *Pipeline) CheckPrompts(prompts []string) error {
	for i := range p.texts {
		if _, err := p.tokens(i, prompts, false); err != nil {
			return err
		}
	}
	_, err := p.t5.tokens(p, prompts, false)
	return err
}

// EncodeEmpty embeds the missing negative prompt, one row: zeros for XL models that say so, else the empty string.
func (p *Pipeline) EncodeEmpty(ctx context.Context) (Embeds, error) {
	return p.EncodeNull(ctx, p.forceZeros)
}

// EncodeNull embeds no prompt at all, one row: as zeros, or as the empty string.
func (p *Pipeline) EncodeNull(ctx context.Context, zeros bool) (Embeds, error) {
	e, err := p.Encode(ctx, []string{""}, false)
	if err != nil || !zeros {
		return e, err
	}
	if !p.HasPooled() {
		return Embeds{Hidden: tensor.New(tensor.F32, e.Hidden.Shape...)}, nil
	}
	return Embeds{
		Hidden: tensor.New(tensor.F32, e.Hidden.Shape...),
		Pooled: tensor.New(tensor.F32, e.Pooled.Shape...),
	}, nil
}

// HasPooled reports whether embeddings have pooled ones beside them.
func (p *Pipeline) HasPooled() bool { return p.XL || p.SD3 }

// promptReader cuts prompts into the ids of tokens.
type promptReader interface {
	EncodePadded(text string, length int) (ids, mask []int64, dropped string)
	Tokens(text string) int
}

// tokens builds the inputs of text encoder i that are the prompts.
func (p *Pipeline) tokens(i int, prompts []string, truncate bool) (map[string]tensor.Tensor, error) {
	return p.tokenInputs(p.texts[i], p.tokenizers[i], p.maxTokens[i], prompts, truncate)
}

// tokenInputs builds the inputs of a text encoder that are the prompts, each of limit tokens.
func (p *Pipeline) tokenInputs(net *model.Model, reader promptReader, limit int, prompts []string, truncate bool) (map[string]tensor.Tensor, error) {
	n := len(prompts)
	ids := tensor.New(tensor.I64, n, limit)
	mask := tensor.New(tensor.I64, n, limit)
	for row, prompt := range prompts {
		id, m, dropped := reader.EncodePadded(prompt, limit)
		if dropped != "" {
			if !truncate {
				return nil, &PromptTooLongError{Prompt: prompt, Tokens: reader.Tokens(prompt), Limit: limit, Dropped: dropped}
			}
			p.log.Warn("prompt truncated", "dropped", dropped, "limit", limit)
		}
		copy(ids.I64()[row*limit:], id)
		copy(mask.I64()[row*limit:], m)
	}
	in := map[string]tensor.Tensor{}
	for _, port := range net.Inputs() {
		switch port.Name {
		case "input_ids":
			in[port.Name] = port.Integers(ids.I64(), ids.Shape...)
		case "attention_mask":
			in[port.Name] = port.Integers(mask.I64(), mask.Shape...)
		}
	}
	return in, nil
}

// textInputs are all inputs of text encoder i.
func (p *Pipeline) textInputs(i int, prompts []string, o TextOptions) (map[string]tensor.Tensor, error) {
	in, err := p.tokens(i, prompts, o.Truncate)
	if err != nil {
		return nil, err
	}
	network := component(lora.TextEncoder, i)
	p.addAdapters(network, in, len(prompts), 0)
	p.addScales(network, in, len(prompts), o.Scales)
	return in, nil
}

// hiddenName finds the output that conditions the denoiser: the last hidden state, or for XL the state before the last
// layer, which exports list as hidden_states.0 … hidden_states.N.
func hiddenName(m *model.Model, penultimate bool) (string, error) {
	if !penultimate {
		if name, ok := m.FirstOutput("last_hidden_state"); ok {
			return name, nil
		}
		return "", fmt.Errorf("%s: output \"last_hidden_state\" is missing", m.Path())
	}
	last := -1
	for _, o := range m.Outputs() {
		if rest, ok := strings.CutPrefix(o.Name, "hidden_states."); ok {
			if n, err := strconv.Atoi(rest); err == nil {
				last = max(last, n)
			}
		}
	}
	if last < 1 {
		return "", fmt.Errorf("%s: outputs \"hidden_states.N\" are missing: export the text encoder with its hidden states", m.Path())
	}
	return "hidden_states." + strconv.Itoa(last-1), nil
}

// joinFeatures concatenates [n, tokens, a] and [n, tokens, b] to [n, tokens, a+b].
func joinFeatures(a, b tensor.Tensor) (tensor.Tensor, error) {
	if len(a.Shape) != 3 || len(b.Shape) != 3 || a.Shape[0] != b.Shape[0] || a.Shape[1] != b.Shape[1] {
		return tensor.Tensor{}, fmt.Errorf("text embeddings %v and %v do not fit side by side", a.Shape, b.Shape)
	}
	da, db := a.Shape[2], b.Shape[2]
	out := tensor.New(tensor.F32, a.Shape[0], a.Shape[1], da+db)
	for row := range a.Shape[0] * a.Shape[1] {
		dst := out.F32()[row*(da+db):]
		copy(dst, a.F32()[row*da:(row+1)*da])
		copy(dst[da:], b.F32()[row*db:(row+1)*db])
	}
	return out, nil
}

// asF32 widens half-precision outputs.
func asF32(t tensor.Tensor) tensor.Tensor {
	if t.DType == tensor.F32 {
		return t
	}
	return tensor.FromF32(t.Float32s(), t.Shape...)
}

// ZerosForEmpty reports whether the model's own pipeline takes zeros for a missing negative prompt.
func (p *Pipeline) ZerosForEmpty() bool { return p.forceZeros }
