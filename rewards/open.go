package rewards

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math"
	"os"

	"winnow/assets"
	"winnow/internal/imageproc"
	"winnow/internal/kernel"
	"winnow/internal/model"
	"winnow/internal/ort"
	"winnow/internal/tokenizer"
	"winnow/vlmjudge"
)

// Mini is embedded and made for pictures of the embedded model.
const Mini = "mini"

// ArgumentError is a name or folder that Open cannot take: a mistake of the
// caller, not of a file.
type ArgumentError struct{ Why string }

func (e *ArgumentError) Error() string { return "rewards: " + e.Why }

// Options says how a reward runs. The zero value uses all cores.
type Options struct {
	Threads  int  // 0: one per core
	Truncate bool // drop the text that the reward cannot read instead of failing
	// Executor runs the networks: "" or "embedded", or "onnxruntime", with a provider where one is wanted, as in
	// "onnxruntime:cuda".
	Executor string
	// ORTLibrary is the shared library of ONNX Runtime, or the folder that holds it; "" searches.
	ORTLibrary string
	// Judge is whom the rewards "judge" and "vqascore" ask (the address "mini" is the embedded reward, see OpenJudge), Remote where the reward "remote" runs; nil: these cannot be opened.
	Judge  *vlmjudge.Options
	Remote *vlmjudge.RemoteOptions
	// References are files of Reference, each for the reward that it states, instead of reference.json in the reward's folder.
	// Only OpenMix reads them.
	References []string
	// Rank says how the reward "judge" chooses the pairs that it compares; Rank.Prior is set by First, Rank.OnPair has no effect.
	Rank vlmjudge.RankOptions
	// First is a cheaper reward, NAME or NAME=FOLDER, whose order the reward "judge" starts from; "": none.
	First string
	// OnPair is called after each pair that the reward "judge" has compared, with the number of pairs that this call needs at most.
	OnPair func(done, pairs int)
	// OnTournament is called with what the reward "judge" made of the pictures of a prompt: members are their numbers among the
	// samples.
	OnTournament func(prompt string, members []int, t vlmjudge.Tournament)
}

// Info describes a loaded reward; it belongs into every record of its scores.
type Info struct {
	Name      string `json:"name"`
	Model     string `json:"model"`                // folder, or "embedded"
	Version   string `json:"version,omitempty"`    // name that the model's reward.json states
	Formula   string `json:"formula"`              // what the score is
	Prepare   string `json:"preprocess,omitempty"` // how pictures are prepared, where it is not as preprocessor_config.json says
	MaxTokens int    `json:"max_tokens"`           // of a prompt, start and end included; 0: there is no limit
	Width     int    `json:"image_width"`          // pixels that the reward sees
	Height    int    `json:"image_height"`
	// AcrossPrompts says that scores of pictures of different prompts may be compared; else they rank pictures of one prompt.
	AcrossPrompts bool `json:"comparable_across_prompts,omitempty"`
	// Relative says that scores come from comparisons, and compare pictures of one prompt that were scored in one call.
	Relative    bool `json:"relative,omitempty"`
	ReadsPrompt bool `json:"reads_prompt"`
}

// Model is a reward network with its tokenizer and image preparation. It is
// safe for concurrent use.
type Model struct {
	info     Info
	spec     spec
	config   config
	truncate bool
	pool     *kernel.Pool
	tok      textTokenizer // nil: the reward reads no text
	proc     imageproc.Preparer
	nets     networks
	texts    *cache[string]            // features of prompts
	pictures *cache[[sha256.Size]byte] // features of prepared pictures
}

// textTokenizer is what rewards need of a tokenizer.
type textTokenizer interface {
	EncodePadded(text string, maxLen int) (ids, mask []int64, dropped string)
	Tokens(text string) int
	MaxLength() int
}

// Features kept between calls. A feature has about 1,000 numbers.
const (
	maxTexts    = 256
	maxPictures = 4096
)

// Open loads a reward. The folder of "clip" holds
//
//   - model.onnx with input_ids, pixel_values, attention_mask → logits_per_image
//     (what optimum writes for zero-shot image classification), or
//     text_model.onnx and vision_model.onnx, or text_encoder/model.onnx and
//     vision_encoder/model.onnx (or image_encoder/), giving text_embeds and
//     image_embeds; all of them also below onnx/;
//   - the tokenizer's vocab.json and merges.txt, or tokenizer.json, here or in
//     tokenizer/;
//   - preprocessor_config.json.
//
// A model.onnx that gives one score (or reward) per pair of picture and text is
// taken as well. The folder of "mini" must be "". The other rewards have the
// folders that assets/export/export_onnx.py writes: the same files (the
// aesthetic predictor without text, ImageReward as a model.onnx giving reward,
// with BERT's vocab.txt; SigLIP with spiece.model or tokenizer.json) and reward.json, which states name, formula,
// preprocessing and numbers such as the logit scale.
func Open(ctx context.Context, name, dir string, opt *Options) (*Model, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := findSpec(name)
	switch {
	case err != nil:
		return nil, err
	case name == Mini && dir != "":
		return nil, &ArgumentError{fmt.Sprintf("the reward %q is embedded and takes no folder; to load a folder, name the reward %q", Mini, CLIP)}
	case name == Mini:
		return load(ctx, model.FSFolder(assets.MiniReward(), "mini/reward"), s, "embedded", opt)
	case dir == "":
		return nil, &ArgumentError{fmt.Sprintf("the reward %q needs the folder of a model", name)}
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("rewards: model folder %w", err)
	}
	if !info.IsDir() {
		return nil, &ArgumentError{fmt.Sprintf("%s is a file; name the folder that holds model.onnx, the tokenizer and preprocessor_config.json", dir)}
	}
	return load(ctx, model.DirFolder(dir), s, dir, opt)
}

func load(ctx context.Context, f model.Folder, s spec, source string, opt *Options) (*Model, error) {
	if opt == nil {
		opt = &Options{}
	}
	c, err := readConfig(f, s)
	if err != nil {
		return nil, err
	}
	m := &Model{
		info: Info{Name: s.name, Model: source, Version: c.Name, Formula: s.formula}, spec: s, config: c, truncate: opt.Truncate,
		texts: newCache[string](maxTexts), pictures: newCache[[sha256.Size]byte](maxPictures),
	}
	if m.tok, err = openTokenizer(f, s); err != nil {
		return nil, err
	}
	if m.proc, err = c.preparer(f, s); err != nil {
		return nil, err
	}
	exec, err := ort.Open(ctx, opt.Executor, opt.ORTLibrary, opt.Threads)
	if err != nil {
		return nil, err
	}
	m.pool = kernel.NewPool(opt.Threads)
	if m.nets, err = openNetworks(f, s, &model.Options{Pool: m.pool, Executor: exec}); err == nil {
		err = m.complete(f)
	}
	if err != nil {
		_ = m.Close() // the first error says what happened
		return nil, err
	}
	return m, nil
}

// complete fills Info with what the networks tell.
func (m *Model) complete(f model.Folder) (err error) {
	if m.info.Formula == "" {
		m.info.Formula = m.nets.formula(m.config)
	}
	switch p := m.proc.(type) {
	case imageproc.Letterbox:
		m.info.Prepare = "letterbox, antialiased"
		if p.Legacy {
			m.info.Prepare = "letterbox, legacy resize"
		}
	case imageproc.Torchvision:
		m.info.Prepare = "torchvision"
	}
	m.info.Width, m.info.Height = m.proc.Size()
	m.info.AcrossPrompts, m.info.ReadsPrompt = m.tok == nil, m.tok != nil
	if m.tok != nil {
		m.info.MaxTokens, err = tokenLimit(f, m)
	}
	return err
}

// openTokenizer opens the tokenizer in the folder, or in its tokenizer folder.
func openTokenizer(f model.Folder, s spec) (textTokenizer, error) {
	if s.kind == kindHead {
		return nil, nil
	}
	fsys, name := f.FS(), f.Path("")
	if f.Has("tokenizer") {
		sub, err := fs.Sub(f.FS(), "tokenizer")
		if err != nil {
			return nil, err
		}
		fsys, name = sub, f.Path("tokenizer")
	}
	switch s.pieces {
	case wordPieces:
		return opened(tokenizer.OpenBERT(fsys, name))
	case siglipPieces:
		return opened(tokenizer.OpenUnigram(fsys, name, &tokenizer.UnigramOptions{SigLIP: true}))
	}
	return opened(tokenizer.Open(fsys, name))
}

// opened keeps a nil pointer from becoming an interface that is not nil.
func opened[T textTokenizer](t T, err error) (textTokenizer, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}

// tokenLimit is the length that the text network reads: its fixed dimension,
// else what reward.json states, else the smaller of the tokenizer's and the
// configuration's.
func tokenLimit(f model.Folder, m *Model) (int, error) {
	var hf struct {
		Text struct {
			Positions int `json:"max_position_embeddings"`
		} `json:"text_config"`
	}
	if _, err := f.ReadJSON("config.json", &hf); err != nil {
		return 0, fmt.Errorf("rewards: %w", err)
	}
	if n := m.nets.fixedTokens(); n > 0 {
		return n, nil
	}
	if n := m.config.MaxTokens; n > 2 {
		return min(m.tok.MaxLength(), n), nil
	}
	if n := hf.Text.Positions; n > 2 {
		return min(m.tok.MaxLength(), n), nil
	}
	return m.tok.MaxLength(), nil
}

// Info describes the reward.
func (m *Model) Info() Info { return m.info }

// Close releases the weights and the workers. The model must not be used
// afterwards.
func (m *Model) Close() error {
	err := m.nets.close()
	m.pool.Close()
	return err
}

// finite reports the first value that is not finite.
func finite(scores []float64) error {
	for i, s := range scores {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return &NotFiniteError{Index: i, Score: s}
		}
	}
	return nil
}
