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
	geometricLevels   = "geometric"
)

// inverseSNR weighs errors by how noisy their level is, see weight.
const inverseSNR = "inverse-snr"

// levelBin is the number of timesteps that share a probability in geometric draws. The paper gives none; with single timesteps its decay of
// 0.9 would leave ten of a thousand.
const levelBin = 50

// levels draws timesteps for each draw of a pair: one that both pictures share, or one each.
func (t *Trainer) levels(dst [][]int, r *rand.Rand) {
	each := 1
	if t.method.Independent {
		each = 2
	}
	one := make([]int, len(dst))
	for range each {
		t.timesteps(one, r)
		for k, at := range one {
			dst[k] = append(dst[k], at)
		}
	}
}

// timesteps draws a training timestep in each of len(dst) equal shares of their distribution: all alike, or index u·T of T with logit(u)
// normal (Esser et al. 2024, arXiv 2403.03206, equation 19), ahead of the schedule's shift, as in diffusers' scripts for SD3. u is the noise
// there; diffusers' index counts from the other end, so that its logit_mean has the other sign.
func (t *Trainer) timesteps(dst []int, r *rand.Rand) {
	total := t.scheduler.Schedule().Len()
	if t.config.TimestepSampling == uniformLevels {
		dpo.StratifiedTimesteps(dst, total, r.Float64)
		return
	}
	for k := range dst {
		share := (float64(k) + r.Float64()) / float64(len(dst))
		if t.config.TimestepSampling == geometricLevels {
			dst[k] = geometric(share, t.config.LevelDecay, total)
			continue
		}
		normal := math.Sqrt2 * math.Erfinv(2*share-1)
		u := 1 / (1 + math.Exp(-(t.config.LogitMean + t.config.LogitStd*normal)))
		dst[k] = min(int(u*float64(total)), total-1)
	}
}

// geometric is the timestep at a share of the distribution that gives bins of levelBin timesteps, the noisiest first, probabilities that fall
// by a factor from one to the next (Rethinking DPO in Diffusion Models).
func geometric(share, decay float64, total int) int {
	bins := (total + levelBin - 1) / levelBin
	sum, p := 0.0, 1.0
	for range bins {
		sum += p
		p *= decay
	}
	p = 1 / sum
	for k := range bins {
		if share >= p && k < bins-1 {
			share -= p
			p *= decay
			continue
		}
		top, low := total-k*levelBin, max(0, total-(k+1)*levelBin)
		return max(low, top-1-int(min(share/p, 1)*float64(top-low)))
	}
	return 0
}

// weight is what errors at a timestep are multiplied by: that of min-SNR, and with inverse-snr 1 for the level of least noise rising to 2
// for that of most in proportion to 1/√SNR (Rethinking DPO in Diffusion Models, λ(t)).
func (t *Trainer) weight(at int) (float64, error) {
	schedule, w := t.scheduler.Schedule(), 1.0
	if t.config.SNRGamma > 0 {
		var err error
		if w, err = t.scheduler.Config().PredictionType.MinSNRWeight(schedule.AlphaBar(at), t.config.SNRGamma); err != nil {
			return 0, err
		}
	}
	if t.config.TimestepWeighting == inverseSNR {
		low, high := noisiness(schedule.AlphaBar(0)), noisiness(schedule.AlphaBar(schedule.Len()-1))
		w *= 1 + (noisiness(schedule.AlphaBar(at))-low)/(high-low)
	}
	return w, nil
}

// noisiness is 1/√SNR.
func noisiness(alphaBar float64) float64 { return math.Sqrt((1 - alphaBar) / alphaBar) }

// setWeight weighs the errors of a row.
func (d *denoising) setWeight(row int, w float64) {
	if d.weight == nil && w == 1 {
		return
	}
	if d.weight == nil {
		d.weight = make([]float64, d.in.n)
		for i := range d.weight {
			d.weight[i] = 1
		}
	}
	d.weight[row] = w
}

// flow reports whether the network predicts the velocity of a straight path.
func (t *Trainer) flow() bool { return t.scheduler.Config().PredictionType == sampling.FlowPrediction }

// fitLevels settles how noise levels are drawn and weighed.
func (t *Trainer) fitLevels() error {
	c := &t.config
	noised := t.method.Kind == dpo.KindPairs || t.method.Kind == dpo.KindSelf
	switch {
	case c.TimestepSampling != "" || !noised:
	case t.method.Levels != "":
		c.TimestepSampling = t.method.Levels
	case t.flow():
		c.TimestepSampling = logitNormalLevels
	default:
		c.TimestepSampling = uniformLevels
	}
	if c.TimestepWeighting == "" && noised {
		c.TimestepWeighting = t.method.Weighting
	}
	if c.TimestepWeighting == inverseSNR && t.scheduler.Schedule().AlphaBar(t.scheduler.Schedule().Len()-1) == 0 {
		return setting("timestep-weighting", c.TimestepWeighting, "the model's noisiest level has no signal, so that its weight is infinite; choose none")
	}
	drawn := c.TimestepSampling
	switch {
	case drawn == uniformLevels && c.LogitMean != 0:
		return setting("logit-mean", c.LogitMean, "noise levels are drawn uniformly; it needs --timestep-sampling logit-normal")
	case drawn == uniformLevels && c.LogitStd != 1:
		return setting("logit-std", c.LogitStd, "noise levels are drawn uniformly; it needs --timestep-sampling logit-normal")
	case drawn != geometricLevels && c.LevelDecay != defaultLevelDecay:
		return setting("level-decay", c.LevelDecay, "needs --timestep-sampling geometric")
	}
	return nil
}

// defaultLevelDecay is the paper's.
const defaultLevelDecay = 0.9

// fitPrediction settles what hangs on what the network predicts, and refuses what does not go with it.
func (t *Trainer) fitPrediction() error {
	c := &t.config
	if err := t.fitLevels(); err != nil {
		return err
	}
	switch {
	case !t.flow() && t.method.Flow:
		return &SettingError{Err: fmt.Errorf("%s learns errors of velocities, and the model predicts %s; train dpo, whose beta is for those", t.method.Name, t.scheduler.Config().PredictionType)}
	case !t.flow():
		return nil
	case c.SNRGamma > 0:
		return setting("snr-gamma", c.SNRGamma, "weighs errors of noise, v and clean latents; the model is a flow: leave it out, and choose levels by --timestep-sampling")
	}
	return nil
}
