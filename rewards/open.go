package rewards

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"

	"winnow/assets"
	"winnow/internal/imageproc"
	"winnow/internal/kernel"
	"winnow/internal/model"
	"winnow/internal/ort"
	"winnow/internal/tokenizer"
)

// Names of the rewards that Open knows.
const (
	Mini = "mini" // embedded; made for pictures of the embedded model
	CLIP = "clip" // a CLIP-type dual encoder in a folder
)

// Names lists the rewards that Open knows.
func Names() []string { return []string{CLIP, Mini} }

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
}

// Info describes a loaded reward; it belongs into every record of its scores.
type Info struct {
	Name      string `json:"name"`
	Model     string `json:"model"`             // folder, or "embedded"
	Version   string `json:"version,omitempty"` // name that the model's reward.json states
	Formula   string `json:"formula"`           // what the score is
	MaxTokens int    `json:"max_tokens"`        // of a prompt, start and end included
	Width     int    `json:"image_width"`       // pixels that the reward sees
	Height    int    `json:"image_height"`
}

// Model is a reward network with its tokenizer and image preparation. It is
// safe for concurrent use.
type Model struct {
	info     Info
	truncate bool
	pool     *kernel.Pool
	tok      *tokenizer.CLIP
	proc     *imageproc.Processor
	nets     networks
}

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
// taken as well. The folder of "mini" must be "".
func Open(ctx context.Context, name, dir string, opt *Options) (*Model, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains(Names(), name):
		return nil, &ArgumentError{fmt.Sprintf("there is no reward %q; known are %s", name, strings.Join(Names(), ", "))}
	case name == Mini && dir != "":
		return nil, &ArgumentError{fmt.Sprintf("the reward %q is embedded and takes no folder; to load a folder, name the reward %q", Mini, CLIP)}
	case name == Mini:
		return load(ctx, model.FSFolder(assets.MiniReward(), "mini/reward"), Info{Name: Mini, Model: "embedded"}, opt)
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
	return load(ctx, model.DirFolder(dir), Info{Name: name, Model: dir}, opt)
}

func load(ctx context.Context, f model.Folder, info Info, opt *Options) (*Model, error) {
	if opt == nil {
		opt = &Options{}
	}
	tok, err := openTokenizer(f)
	if err != nil {
		return nil, err
	}
	proc, err := imageproc.OpenProcessor(f.FS(), f.Path(""))
	if err != nil {
		return nil, err
	}
	if info.Version, err = readVersion(f); err != nil {
		return nil, err
	}
	exec, err := ort.Open(ctx, opt.Executor, opt.ORTLibrary, opt.Threads)
	if err != nil {
		return nil, err
	}
	m := &Model{info: info, truncate: opt.Truncate, tok: tok, proc: proc, pool: kernel.NewPool(opt.Threads)}
	if m.nets, err = openNetworks(f, &model.Options{Pool: m.pool, Executor: exec}); err == nil {
		m.info.Formula = m.nets.formula()
		m.info.Width, m.info.Height = proc.Size()
		m.info.MaxTokens, err = tokenLimit(f, tok, m.nets)
	}
	if err != nil {
		_ = m.Close() // the first error says what happened
		return nil, err
	}
	return m, nil
}

// readVersion is the name in reward.json, a file that rewards made for winnow
// carry and others lack.
func readVersion(f model.Folder) (string, error) {
	var config struct {
		Name string `json:"name"`
	}
	if _, err := f.ReadJSON("reward.json", &config); err != nil {
		return "", fmt.Errorf("rewards: %w", err)
	}
	return config.Name, nil
}

func openTokenizer(f model.Folder) (*tokenizer.CLIP, error) {
	fsys, name := f.FS(), f.Path("")
	if f.Has("tokenizer") {
		sub, err := fs.Sub(f.FS(), "tokenizer")
		if err != nil {
			return nil, err
		}
		fsys, name = sub, f.Path("tokenizer")
	}
	return tokenizer.Open(fsys, name)
}

// tokenLimit is the length that the text network reads: its fixed dimension,
// else the smaller of the tokenizer's and the configuration's.
func tokenLimit(f model.Folder, tok *tokenizer.CLIP, nets networks) (int, error) {
	var config struct {
		Text struct {
			Positions int `json:"max_position_embeddings"`
		} `json:"text_config"`
	}
	if _, err := f.ReadJSON("config.json", &config); err != nil {
		return 0, fmt.Errorf("rewards: %w", err)
	}
	if n := nets.fixedTokens(); n > 0 {
		return n, nil
	}
	if n := config.Text.Positions; n > 2 {
		return min(tok.MaxLength(), n), nil
	}
	return tok.MaxLength(), nil
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
