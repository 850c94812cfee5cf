package rewards

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"winnow/internal/imageproc"
	"winnow/internal/model"
)

// kind is how the networks of a reward make a score.
type kind int

const (
	kindAny  kind = iota // what the folder holds: one graph, or text and vision
	kindDual             // text_model.onnx and vision_model.onnx; the cosine of their features counts
	kindHead             // vision_model.onnx and a linear head on its feature; no text
	kindPair             // model.onnx reads text and picture together
)

// pieces is the kind of tokenizer in the folder.
type pieces int

const (
	bytePairs    pieces = iota // CLIP's
	wordPieces                 // BERT's
	siglipPieces               // SentencePiece's of canonical text
)

// spec is one published reward: everything that is not in its folder.
type spec struct {
	name     string
	folder   string // name that reward.json must state; "": reward.json is not needed
	kind     kind
	formula  string // "": the networks tell
	prefix   string // stands before every prompt
	pieces   pieces // how the prompt is cut up
	legacy   bool   // letterbox without antialiasing
	biased   bool   // reward.json must state logit_scale and logit_bias
	clean    func(string) string
	ofCosine func(cosine float64, c config) (score, slope float64) // dual: the score and its derivative
}

// specs lists every reward that Open knows.
func specs() []spec {
	return slices.Concat([]spec{clipReward}, hpsv2Rewards, []spec{pickScore}, clipScores, siglipRewards, []spec{aesthetic, imageReward, {name: Mini, ofCosine: scaledCosine}})
}

// Names lists the rewards that OpenReward knows.
func Names() []string {
	var names []string
	for _, s := range specs() {
		names = append(names, s.name)
	}
	return append(names, elsewhere...)
}

// NeedsFolder says whether a reward is opened from the folder of a model; an unknown name is taken for one that is.
func NeedsFolder(name string) bool { return name != Mini && !slices.Contains(elsewhere, name) }

func findSpec(name string) (spec, error) {
	all := specs()
	i := slices.IndexFunc(all, func(s spec) bool { return s.name == name })
	if slices.Contains(elsewhere, name) {
		return spec{}, &ArgumentError{fmt.Sprintf("the reward %q is no model of this process; OpenReward opens it", name)}
	}
	if i < 0 {
		return spec{}, &ArgumentError{fmt.Sprintf("there is no reward %q; known are %s", name, strings.Join(Names(), ", "))}
	}
	return all[i], nil
}

// config is reward.json of a folder. Only rewards made for winnow carry it.
type config struct {
	Name       string  `json:"name"`
	LogitScale float64 `json:"logit_scale"` // already exp'ed
	LogitBias  float64 `json:"logit_bias"`
	MaxTokens  int     `json:"max_tokens"`
	Preprocess string  `json:"preprocess"` // processor (preprocessor_config.json), letterbox, torchvision
	ImageSize  int     `json:"image_size"`
	Head       *head   `json:"head"`
}

// head is a linear function of the image feature of length one.
type head struct {
	Weight []float64 `json:"weight"`
	Bias   float64   `json:"bias"`
}

const configName = "reward.json"

func readConfig(f model.Folder, s spec) (config, error) {
	c := config{LogitScale: splitScale, Preprocess: "processor"}
	if s.biased {
		c.LogitScale, c.LogitBias = 0, math.NaN()
	}
	found, err := f.ReadJSON(configName, &c)
	fail := func(why string, args ...any) (config, error) {
		return c, &ArgumentError{f.Path(configName) + ": " + fmt.Sprintf(why, args...)}
	}
	switch {
	case err != nil:
		return c, fmt.Errorf("rewards: %w", err)
	case s.folder == "":
	case !found:
		return fail("is missing, and nothing else says which reward the folder holds; export_onnx.py writes it, or write {\"name\": %q, …} yourself", s.folder)
	case c.Name != s.folder:
		return fail("says that the folder holds the reward %q; open it by that name, or name the folder of %s", c.Name, s.folder)
	}
	if c.LogitScale <= 0 || math.IsInf(c.LogitScale, 0) {
		return fail("logit_scale is %v; it is a factor above 0, exp of the checkpoint's number", c.LogitScale)
	}
	if math.IsNaN(c.LogitBias) {
		return fail("logit_bias is missing; export the model again")
	}
	if s.kind == kindHead && (c.Head == nil || len(c.Head.Weight) == 0) {
		return fail("head.weight is missing; export the model again with its head")
	}
	return c, nil
}

// maxSide bounds the pictures that a folder may ask for.
const maxSide = 4096

// preparer makes the image preparation that reward.json names.
func (c config) preparer(f model.Folder, s spec) (imageproc.Preparer, error) {
	if c.Preprocess == "processor" {
		return imageproc.OpenProcessor(f.FS(), f.Path(""))
	}
	if c.ImageSize < 1 || c.ImageSize > maxSide {
		return nil, &ArgumentError{fmt.Sprintf("%s: image_size is %d; want 1 to %d", f.Path(configName), c.ImageSize, maxSide)}
	}
	switch c.Preprocess {
	case "letterbox":
		return imageproc.Letterbox{Side: c.ImageSize, Legacy: s.legacy}, nil
	case "torchvision":
		return imageproc.Torchvision{Side: c.ImageSize}, nil
	}
	return nil, &ArgumentError{fmt.Sprintf("%s: preprocess is %q; known are processor, letterbox, torchvision", f.Path(configName), c.Preprocess)}
}
