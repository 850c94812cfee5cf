package training

import (
	"fmt"
	"math"
	"math/rand/v2"

	"winnow/dpo"
	"winnow/sampling"
)

// The ways of drawing noise levels.
const (
	uniformLevels     = "uniform"
	logitNormalLevels = "logit-normal"
)

// timesteps draws a training timestep in each of len(dst) equal shares of their distribution: all alike, or index u·T of T with logit(u)
// normal (Esser et al. 2024, arXiv 2403.03206, equation 19), ahead of the schedule's shift, as in diffusers' scripts for SD3. u is the noise
// there; diffusers' index counts from the other end, so that its logit_mean has the other sign.
func (t *Trainer) timesteps(dst []int, r *rand.Rand) {
	total := t.scheduler.Schedule().Len()
	if t.config.TimestepSampling != logitNormalLevels {
		dpo.StratifiedTimesteps(dst, total, r.Float64)
		return
	}
	for k := range dst {
		share := (float64(k) + r.Float64()) / float64(len(dst))
		normal := math.Sqrt2 * math.Erfinv(2*share-1)
		u := 1 / (1 + math.Exp(-(t.config.LogitMean + t.config.LogitStd*normal)))
		dst[k] = min(int(u*float64(total)), total-1)
	}
}

// flow reports whether the network predicts the velocity of a straight path.
func (t *Trainer) flow() bool { return t.scheduler.Config().PredictionType == sampling.FlowPrediction }

// fitPrediction settles what hangs on what the network predicts, and refuses what does not go with it.
func (t *Trainer) fitPrediction() error {
	c := &t.config
	if c.TimestepSampling == "" && t.method.Kind == dpo.KindPairs {
		if c.TimestepSampling = uniformLevels; t.flow() {
			c.TimestepSampling = logitNormalLevels
		}
	}
	if uniform := c.TimestepSampling == uniformLevels; uniform && c.LogitMean != 0 {
		return setting("logit-mean", c.LogitMean, "noise levels are drawn uniformly; it needs --timestep-sampling logit-normal")
	} else if uniform && c.LogitStd != 1 {
		return setting("logit-std", c.LogitStd, "noise levels are drawn uniformly; it needs --timestep-sampling logit-normal")
	}
	switch {
	case !t.flow():
		return nil
	case c.SNRGamma > 0:
		return setting("snr-gamma", c.SNRGamma, "weighs errors of noise, v and clean latents; the model is a flow: leave it out, and choose levels by --timestep-sampling")
	case t.method.Kind == dpo.KindSiblings:
		return &SettingError{Err: fmt.Errorf("%s learns from steps of DDIM, and the model is a flow, whose steps draw no noise; train dpo, vrpo, chats, smpo or sft", t.method.Name)}
	}
	return nil
}
