package dpo

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// What Method.Labels says.
const (
	LabelsHard = "hard" // which picture is better
	LabelsSoft = "soft" // how probable it is that the chosen one is, in Terms.Label
)

// What Method.Kind says: where the samples of a method come from.
const (
	KindPairs     = "pairs"     // pictures of a data set, noised
	KindInversion = "inversion" // pictures of a data set, inverted by the policy
	KindSelf      = "self"      // pictures of a data set, and those of the policy's earlier states in place of rejected ones
	KindSiblings  = "siblings"  // samples of one step of the policy's own sampler, ranked by a reward
	KindPaths     = "paths"     // whole paths of the policy's own sampler, by the reward of the pictures that they end with
)

// What Method.Opponents says.
const (
	OpponentAny  = "any"  // each snapshot alike
	OpponentLast = "last" // the latest one
)

// Method describes a training method that can be named: winnow train NAME.
type Method struct {
	Name, Title string
	Paper       string // authors, title, venue, arXiv id
	Equation    string // the loss in words
	Source      string // published code whose conventions are kept

	BetaUnit string  // what one unit of beta is, in words
	Beta     float64 // default; 0: the method has none
	Gamma    float64 // default; 0: the method has none
	// GammaMost is the largest gamma; 0: none is too large.
	GammaMost float64
	Clip      float64  // default of the range that density ratios are kept in, 1 ± Clip; 0: the method has none
	Losses    []string // what Settings.Loss takes, the default first; nil: the method has no choice

	// Adapters are the sets of weights that are trained. Of two, the first measures the chosen picture and the last the
	// rejected one.
	Adapters  []string
	Reference bool // needs the errors of the reference
	Rejected  bool // needs the rejected picture
	Drift     bool // needs Terms.DriftChosen and DriftRejected
	Dot       bool // needs Terms.Dot
	// Features methods measure errors by features of the frozen network one step of DDPM further, in place of what the network predicts: see [NCP].
	Features bool
	// Independent draws of timestep and noise for the two pictures of a pair; else they share both.
	Independent bool
	// Levels and Weighting are the default ways to draw noise levels and to weigh their errors; "": the trainer's.
	Levels, Weighting string
	Labels            string // LabelsHard or LabelsSoft; see UsesLabels
	Kind              string // KindPairs, KindInversion, KindSiblings or KindPaths
	// Own are the defaults of methods that learn from samples of their own.
	Own Own

	// Flow methods want a network that predicts the velocity of a straight path.
	Flow bool
	// SDPO is the default of Settings.SDPO; 0: none.
	SDPO float64
	// Inversion is the default way to invert pictures, and InversionNoise the share of a step's own noise that is added to it; "": the trainer's.
	Inversion      string
	InversionNoise float64
	// Opponents says which snapshots of the policy make the rejected pictures of KindSelf: OpponentAny or OpponentLast. Snapshots is the default
	// number of updates from one to the next.
	Opponents string
	Snapshots int
	// Refresh is the default number of updates after which the policy becomes the reference; 0: it never does. DriftBound is the default
	// bound on how much worse at chosen pictures the reference may get by that; 0: none.
	Refresh    int
	DriftBound float64

	// NullRejected is the probability that a batch's rejected pictures are measured without their prompt, by policy and
	// reference alike.
	NullRejected float64
	// Draws is the default number of draws of timestep and noise for each pair, which become one term each, side by side:
	// see [VRPO]. 0: samples are what they are, nothing is drawn.
	Draws int

	// New makes the objective. Errors name the flag that is wrong.
	New func(Settings) (Objective, error)

	scale float64                        // of implicit rewards, per unit of beta; 0: 1
	make  func(Settings, Loss) Objective // with settings that are complete and valid
}

// Own are the defaults of methods that learn from samples of the policy's own sampler.
type Own struct {
	Steps     int     // of the sampler
	Learn     int     // steps of each path that an update learns from; 0: all that can be learnt from
	Skip      int     // first steps that nothing is learnt from
	Guidance  float64 // guidance scale in paths and in training
	Count     int     // siblings of a step
	Threshold float64 // siblings are learnt from where the shares of their scores' softmax differ by more; 0: where the scores differ
	Paths     int     // of a prompt
	Inner     int     // passes over a batch of paths before new ones are drawn
	Group     bool    // a path is measured by the others of its prompt in its batch; else by the last ones of the prompt
	KL        bool    // takes Settings.KL, and needs reference and drifts where that is above 0
}

// Settings are the parameters of a method. Zero values are the method's defaults.
type Settings struct {
	Beta           float64 // --beta-dpo, in the unit of Method.BetaUnit; above 0
	Loss           string  // --loss, one of Method.Losses
	LabelSmoothing float64 // --label-smoothing, for losses that take it; above 0 and below ½
	Gamma          float64 // --gamma, of SmPO; above 0
	Clip           float64 // --clip-range, of methods that clamp density ratios; above 0 and below 1
	Draws          int     // --draws, of timestep and noise for each pair

	KL float64 // --kl-weight, of the divergence from the reference; 0: none

	LossOptions map[string]float64 // --loss-option, by the names of LossInfo.Options
	SFTWeight   float64            // --sft-weight, see [WithSFT]; above 0
	SDPO        float64            // --sdpo-mu, see [SDPO]; above 0, at most 1
}

// Methods lists the methods.
func Methods() []Method {
	return []Method{
		methodDPO(), methodCHATS(), methodTailorPO(), methodSPO(), methodSmPO(), methodVRPO(), methodMaPO(), methodSFT(),
		methodD3PO(), methodDDPO(), methodFlowGRPO(),
		methodKTO(), methodDSPO(), methodSDPO(), methodInPO(), methodRethinking(), methodFlowDPO(), methodSPIN(), methodSePPO(),
		methodNCP(), methodNCPSFT(), methodPMPO(),
	}
}

// FindMethod describes a method.
func FindMethod(name string) (Method, error) {
	var names []string
	for _, m := range Methods() {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return Method{}, fmt.Errorf("dpo: there is no training method %q; known are %s", name, strings.Join(names, ", "))
}

// UsesLabels reports whether the method looks at Terms.Label with the loss of that name; "" is the default one.
func (m Method) UsesLabels(loss string) bool {
	info, err := FindLoss(loss)
	return m.Labels == LabelsSoft || err == nil && info.SoftLabels && slices.Contains(m.Losses, loss)
}

// UsesDot reports whether the method needs Terms.Dot with these settings.
func (m Method) UsesDot(s Settings) bool { return m.Dot || m.SDPO > 0 || s.SDPO > 0 }

// UsesReference reports whether the method needs the errors of the reference with the loss of that name; "" is the default
// one.
func (m Method) UsesReference(loss string) bool {
	info, err := FindLoss(loss)
	return m.Reference && !(err == nil && info.NoReference && slices.Contains(m.Losses, loss))
}

// OwnPictures reports whether the method makes what it learns from out of prompts, and asks a reward.
func (m Method) OwnPictures() bool { return m.Kind == KindSiblings || m.Kind == KindPaths }

// RewardScale is what the method multiplies implicit rewards by with these settings: z is that times a margin. 0 for methods without a reference.
func (m Method) RewardScale(s Settings) (float64, error) {
	if !m.UsesReference(s.Loss) {
		return 0, nil
	}
	var info LossInfo
	var err error
	if m.Losses != nil {
		if info, err = m.loss(s.Loss); err != nil {
			return 0, err
		}
	}
	if s, err = m.complete(s, info); err != nil {
		return 0, err
	}
	return s.Beta * cmp.Or(m.scale, 1) * cmp.Or(s.Gamma, 1), nil
}

func oneAdapter() []string { return []string{"default"} }

// method sets m.New.
func method(m Method) Method {
	m.New = func(s Settings) (Objective, error) {
		var info LossInfo
		if m.Losses != nil {
			var err error
			if info, err = m.loss(s.Loss); err != nil {
				return nil, err
			}
		}
		s, err := m.complete(s, info)
		if err != nil {
			return nil, err
		}
		var loss Loss
		if m.Losses != nil {
			if loss, err = info.New(s.LabelSmoothing, s.LossOptions); err != nil {
				return nil, err
			}
		}
		o := m.make(s, loss)
		if s.SFTWeight > 0 {
			o = WithSFT{Objective: o, Weight: s.SFTWeight}
		}
		if s.SDPO > 0 {
			o = SDPO{Objective: o, Mu: s.SDPO}
		}
		if s.Draws > 1 {
			o = VRPO{Objective: o, Draws: s.Draws}
		}
		return o, nil
	}
	return m
}

// loss describes one of the method's losses; "" is the default one.
func (m Method) loss(name string) (LossInfo, error) {
	if name == "" {
		name = m.Losses[0]
	}
	if !slices.Contains(m.Losses, name) {
		return LossInfo{}, fmt.Errorf("dpo: --loss %s: %s takes %s", name, m.Name, strings.Join(m.Losses, ", "))
	}
	return FindLoss(name)
}

// complete puts the defaults of method and loss where s is zero, and refuses what they do not take.
func (m Method) complete(s Settings, loss LossInfo) (Settings, error) {
	var err error
	beta := m.Beta
	if loss.Scale != 0 && !m.Features { // it is in units of errors of outputs
		beta = loss.Scale / cmp.Or(m.scale, 1)
	}
	if s.Beta, err = m.number("--beta-dpo", "beta", s.Beta, beta); err != nil {
		return s, err
	}
	s.Gamma, err = m.number("--gamma", "gamma", s.Gamma, m.Gamma)
	switch {
	case err != nil:
		return s, err
	case m.GammaMost > 0 && s.Gamma > m.GammaMost:
		return s, fmt.Errorf("dpo: --gamma %g: must be at most %g for %s; its default is %g", s.Gamma, m.GammaMost, m.Name, m.Gamma)
	}
	if s.Clip, err = m.ratios(s); err != nil {
		return s, err
	}
	switch {
	case m.Losses == nil && s.Loss != "":
		return s, fmt.Errorf("dpo: --loss %s: %s has a loss of its own; leave the flag out", s.Loss, m.Name)
	case m.Losses == nil && s.LabelSmoothing != 0:
		return s, fmt.Errorf("dpo: --label-smoothing: %s does not smooth labels; leave the flag out", m.Name)
	case m.Losses == nil && len(s.LossOptions) > 0:
		return s, fmt.Errorf("dpo: --loss-option: %s has a loss of its own; leave the flag out", m.Name)
	case s.SFTWeight != 0 && !m.Rejected:
		return s, fmt.Errorf("dpo: --sft-weight: %s compares no pictures; leave the flag out", m.Name)
	case !(s.SFTWeight >= 0 && s.SFTWeight <= maxSetting):
		return s, fmt.Errorf("dpo: --sft-weight %g: must be above 0 and at most %g", s.SFTWeight, maxSetting)
	case s.SFTWeight == 0:
		s.SFTWeight = loss.SFTWeight
	}
	if s, err = m.completeSDPO(s); err != nil {
		return s, err
	}
	switch {
	case s.Draws < 0:
		return s, fmt.Errorf("dpo: --draws %d: must be 1 or more", s.Draws)
	case m.Draws == 0 && s.Draws > 1:
		return s, fmt.Errorf("dpo: --draws %d: %s measures samples of its own and draws nothing; leave the flag out", s.Draws, m.Name)
	case s.Draws == 0:
		s.Draws = m.Draws
	}
	return s, nil
}

// ratios completes what is about density ratios and the divergence: it gives the range, and refuses what the method does not take.
func (m Method) ratios(s Settings) (clip float64, err error) {
	clip, err = m.number("--clip-range", "clip range", s.Clip, m.Clip)
	switch {
	case err != nil:
		return 0, err
	case clip >= 1:
		return 0, fmt.Errorf("dpo: --clip-range %g: must be below 1; the default of %s is %g", clip, m.Name, m.Clip)
	case s.KL != 0 && !m.Own.KL:
		return 0, fmt.Errorf("dpo: --kl-weight %g: %s has no divergence in its loss; leave the flag out", s.KL, m.Name)
	case !(s.KL >= 0 && s.KL <= maxSetting):
		return 0, fmt.Errorf("dpo: --kl-weight %g: must be 0, for none, or more, at most %g", s.KL, maxSetting)
	}
	return clip, nil
}

// With is the method as it is with some settings: what hangs on those is what they say.
func (m Method) With(s Settings) Method {
	m.Reference = m.UsesReference(s.Loss) || m.Own.KL && s.KL > 0
	m.Drift = m.Drift || m.Own.KL && s.KL > 0
	m.Dot = m.UsesDot(s)
	return m
}

// completeSDPO is complete for the safeguard.
func (m Method) completeSDPO(s Settings) (Settings, error) {
	switch {
	case s.SDPO != 0 && (!m.Rejected || m.Draws == 0 && m.Kind != KindInversion || m.Independent || len(m.Adapters) > 1):
		return s, fmt.Errorf("dpo: --sdpo-mu: %s does not measure both pictures of a pair under one noise by one network; leave the flag out", m.Name)
	case s.SDPO != 0 && m.Features:
		return s, fmt.Errorf("dpo: --sdpo-mu: %s measures features, and the safeguard compares errors of outputs; leave the flag out", m.Name)
	case !(s.SDPO >= 0 && s.SDPO <= 1):
		return s, fmt.Errorf("dpo: --sdpo-mu %g: must be above 0 and at most 1; the paper has 0.9 for SD1.5 and 0.6 for SDXL", s.SDPO)
	case s.SDPO == 0:
		s.SDPO = m.SDPO
	}
	return s, nil
}

// maxSetting bounds beta and gamma: beyond it losses of large errors are no longer finite. Published betas end at 5000.
const maxSetting = 1e9

// number is a setting that is above 0, or its default where it is 0.
func (m Method) number(flag, name string, value, preset float64) (float64, error) {
	switch {
	case value == 0:
		return preset, nil
	case preset == 0:
		return 0, fmt.Errorf("dpo: %s %g: %s has no %s; leave the flag out", flag, value, m.Name, name)
	case math.IsNaN(value) || value < 0 || value > maxSetting:
		return 0, fmt.Errorf("dpo: %s %g: must be above 0 and at most %g; the default of %s is %g", flag, value, maxSetting, m.Name, preset)
	}
	return value, nil
}
