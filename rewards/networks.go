package rewards

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"winnow/internal/model"
)

// splitScale stands in for the checkpoint's logit scale where the files do not
// carry it: split exports hold no scale, and config.json's
// logit_scale_init_value is where training began (14.3), not where it ended.
// The scale of OpenAI's, LAION's and PickScore's published models is 100.
const splitScale = 100

// networks are the graphs of a reward. Either joint is set, or vision and, where
// the reward reads the prompt, text.
type networks struct {
	joint        *model.Model
	text, vision *model.Model
	out          string // joint: the output read
	perPair      bool   // joint: texts and pictures come in pairs, one score each
	textOut      string
	visionOut    string
}

// Output names, best first.
var (
	pairOutputs   = []string{"score", "scores", "reward", "rewards"}
	jointOutput   = "logits_per_image"
	textOutputs   = []string{"text_embeds", "text_features"}
	visionOutputs = []string{"image_embeds", "image_features"}
)

func openNetworks(f model.Folder, s spec, opt *model.Options) (networks, error) {
	if name, ok := f.First("model.onnx", "onnx/model.onnx"); ok && (s.kind == kindAny || s.kind == kindPair) {
		return openJoint(f, name, opt)
	}
	if s.kind == kindPair {
		return networks{}, fmt.Errorf("rewards: %s holds no model.onnx with input_ids, attention_mask, pixel_values → reward; export the model with export_onnx.py", f.Path(""))
	}
	text, okText := f.First("text_model.onnx", "onnx/text_model.onnx", "text_encoder/model.onnx", "text_model/model.onnx")
	vision, okVision := f.First("vision_model.onnx", "onnx/vision_model.onnx", "vision_encoder/model.onnx", "image_encoder/model.onnx", "vision_model/model.onnx")
	if s.kind == kindHead {
		text, okText = "", true
	}
	if !okText || !okVision {
		return networks{}, fmt.Errorf("rewards: %s holds neither model.onnx nor a text and a vision network (text_model.onnx and vision_model.onnx, "+
			"or text_encoder/model.onnx and vision_encoder/model.onnx); export the model to ONNX first", f.Path(""))
	}
	return openSplit(f, text, vision, opt)
}

func openJoint(f model.Folder, name string, opt *model.Options) (networks, error) {
	m, err := f.Open(name, opt)
	if err != nil {
		return networks{}, err
	}
	n := networks{joint: m}
	if out, ok := m.FirstOutput(pairOutputs...); ok {
		n.out, n.perPair = out, true
	} else if out, ok := m.FirstOutput(jointOutput); ok {
		n.out = out
	} else {
		return n, fmt.Errorf("rewards: %s gives %s; want %s, or one of %s", m.Path(), names(m.Outputs()), jointOutput, strings.Join(pairOutputs, ", "))
	}
	return n, errors.Join(checkInputs(m, "input_ids", "attention_mask", "pixel_values"), needInputs(m, "input_ids", "pixel_values"))
}

func openSplit(f model.Folder, text, vision string, opt *model.Options) (n networks, err error) {
	if text != "" {
		if n.text, err = f.Open(text, opt); err != nil {
			return n, err
		}
	}
	if n.vision, err = f.Open(vision, opt); err != nil {
		return n, err
	}
	var ok bool
	if n.visionOut, ok = n.vision.FirstOutput(visionOutputs...); !ok {
		return n, noEmbedding(n.vision, visionOutputs)
	}
	err = errors.Join(checkInputs(n.vision, "pixel_values"), needInputs(n.vision, "pixel_values"))
	if n.text == nil {
		return n, err
	}
	if n.textOut, ok = n.text.FirstOutput(textOutputs...); !ok {
		return n, noEmbedding(n.text, textOutputs)
	}
	return n, errors.Join(checkInputs(n.text, "input_ids", "attention_mask"), needInputs(n.text, "input_ids"), err)
}

func noEmbedding(m *model.Model, want []string) error {
	return fmt.Errorf("rewards: %s gives %s; want %s, the embedding behind the projection", m.Path(), names(m.Outputs()), strings.Join(want, " or "))
}

func names(ports []model.Port) string {
	if len(ports) == 0 {
		return "nothing"
	}
	var list []string
	for _, p := range ports {
		list = append(list, p.Name)
	}
	return strings.Join(list, ", ")
}

// checkInputs refuses a graph that wants something this package cannot give.
func checkInputs(m *model.Model, known ...string) error {
	for _, p := range m.Inputs() {
		if !slices.Contains(known, p.Name) {
			return fmt.Errorf("rewards: %s wants an input %q; this reward can give %s", m.Path(), p.Name, strings.Join(known, ", "))
		}
	}
	return nil
}

func needInputs(m *model.Model, need ...string) error {
	for _, name := range need {
		if _, ok := m.Input(name); !ok {
			return fmt.Errorf("rewards: %s has no input %q; it has %s", m.Path(), name, names(m.Inputs()))
		}
	}
	return nil
}

func (n networks) all() []*model.Model {
	return slices.DeleteFunc([]*model.Model{n.joint, n.text, n.vision}, func(m *model.Model) bool { return m == nil })
}

func (n networks) close() error {
	var errs []error
	for _, m := range n.all() {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}

// formula says what the score is.
func (n networks) formula(c config) string {
	switch {
	case n.joint != nil && n.perPair:
		return "output " + n.out
	case n.joint != nil:
		return "exp(logit_scale)·cos(text, image), the checkpoint's scale"
	}
	return fmt.Sprintf("%.6g·cos(text, image)", c.LogitScale)
}

// fixedTokens is the text length built into the graph, or 0.
func (n networks) fixedTokens() int {
	for _, m := range []*model.Model{n.joint, n.text} {
		if m == nil {
			continue
		}
		if p, ok := m.Input("input_ids"); ok && len(p.Shape) == 2 && p.Shape[1] > 2 {
			return p.Shape[1]
		}
	}
	return 0
}
