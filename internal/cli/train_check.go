package cli

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"winnow/diffusion"
	"winnow/dpo"
	"winnow/dpo/training"
)

// What methods learn from that take pictures of data sets, and those among them that noise them.
var (
	fromData   = []string{dpo.KindPairs, dpo.KindInversion, dpo.KindSelf}
	noisedData = []string{dpo.KindPairs, dpo.KindSelf}
)

// trainKinds are the flags that only methods of some kind look at: given to others they would be ignored, which hides a mistake.
var trainKinds = []struct {
	prefix string // of flags
	kinds  []string
}{
	{"self-", []string{dpo.KindSelf}},
	{"snapshot-steps", []string{dpo.KindSelf}},
	{"sibling-steps", []string{dpo.KindSiblings, dpo.KindPaths}},
	{"sibling-learn", []string{dpo.KindSiblings, dpo.KindPaths}},
	{"sibling-first", []string{dpo.KindSiblings, dpo.KindPaths}},
	{"sibling-skip", []string{dpo.KindSiblings, dpo.KindPaths}},
	{"sibling-guidance", []string{dpo.KindSiblings, dpo.KindPaths}},
	{"sibling-count", []string{dpo.KindSiblings}},
	{"sibling-threshold", []string{dpo.KindSiblings}},
	{"sibling-continue", []string{dpo.KindSiblings}},
	{"sibling-gradient", []string{dpo.KindSiblings}},
	{"path-count", []string{dpo.KindPaths}},
	{"inner-epochs", []string{dpo.KindPaths}},
	{"flow-noise", []string{dpo.KindSiblings, dpo.KindPaths}},
	{"inversion-", []string{dpo.KindInversion}},
	{"prompts", []string{dpo.KindSiblings, dpo.KindPaths}},
	{"data", fromData},
	{"images", fromData},
	{"buckets", fromData},
	{"random-flip", fromData},
	{"latent-mode", fromData},
	{"skip-bad-rows", fromData},
	{"prompt-dropout", fromData},
	{"timestep-", noisedData},
	{"level-", noisedData},
	{"logit-", noisedData},
	{"snr-gamma", fromData},
}

// complete checks everything that can be checked without a model and without data, and fills in what follows from other flags.
func (o *trainOptions) complete(args []string) error {
	switch {
	case len(args) > 1:
		return usagef("want one method, not %s", strings.Join(args, " "))
	case len(args) == 1:
		o.method = args[0]
	case o.method == "":
		return usagef("name a method, as in: winnow train dpo --data pairs.parquet --output aligned (winnow train --list shows them)")
	}
	m, err := dpo.FindMethod(o.method)
	if err != nil {
		return usagef("%s", strings.TrimPrefix(err.Error(), "dpo: "))
	}
	if o.output == "" {
		return usagef("name a folder by --output")
	}
	if err := errors.Join(o.checkKind(m), o.checkGiven(), o.checkNumbers(), o.checkFiles(), o.parseReferences(), o.executorOptions.check()); err != nil {
		return err
	}
	if err := o.checkReward(m); err != nil {
		return err
	}
	if o.t.Settings.LossOptions, err = dpo.ParseLossOptions(o.lossOptions); err != nil {
		return usagef("%s", strings.TrimPrefix(err.Error(), "dpo: "))
	}
	o.fill()
	return o.t.Check()
}

// fill translates between the command line, where 0 may be an answer, and the settings, where it is the default.
func (o *trainOptions) fill() {
	o.t.Method, o.t.Ranks = o.method, o.ranks
	if o.changed("adam-weight-decay") && o.t.WeightDecay == 0 {
		o.t.WeightDecay = -1
	}
	if o.changed("reference-drift") && o.t.Reference.Drift == 0 {
		o.t.Reference.Drift = -1
	}
	if o.changed("inversion-noise") && o.t.Inversion.Noise == 0 {
		o.t.Inversion.Noise = -1
	}
	if o.t.MaxGradNorm = o.maxGradNorm; o.maxGradNorm == 0 {
		o.t.MaxGradNorm = -1
	}
	if o.changed("sibling-skip") && o.t.Siblings.Skip == 0 {
		o.t.Siblings.Skip = -1
	}
	if o.changed("sibling-threshold") && o.t.Siblings.Threshold == 0 {
		o.t.Siblings.Threshold = -1
	}
	if o.cache == "" {
		o.cache = filepath.Join(o.output, "cache.sqlite")
	}
	if o.validationEvery == 0 {
		o.validationEvery = o.every
	}
	o.t.Executor, o.t.ORTLibrary = o.executor, o.ortLibrary
}

// checkKind refuses flags that the method does not look at, and misses those that it needs.
func (o *trainOptions) checkKind(m dpo.Method) error {
	var errs []error
	for _, name := range o.given {
		for _, k := range trainKinds {
			if (name == k.prefix || strings.HasSuffix(k.prefix, "-") && strings.HasPrefix(name, k.prefix)) && !slices.Contains(k.kinds, m.Kind) {
				errs = append(errs, usagef("--%s: %s learns from %s and does not look at it; leave the flag out", name, m.Name, m.Kind))
			}
		}
	}
	if o.changed("text-encoder-target-modules") && !o.t.TrainText {
		errs = append(errs, usagef("--text-encoder-target-modules: needs --train-text-encoder"))
	}
	switch {
	case m.OwnPictures() && o.prompts == "":
		errs = append(errs, usagef("%s needs --prompts FILE", m.Name))
	case !m.OwnPictures() && len(o.data) == 0:
		errs = append(errs, usagef("%s needs --data, a set of preferences; winnow label makes one", m.Name))
	}
	return errors.Join(errs...)
}

// checkGiven refuses flags that were given and are empty: 0 and "" would mean the default, which is to be had by leaving them out.
func (o *trainOptions) checkGiven() error {
	t := &o.t
	var errs []error
	for name, zero := range map[string]bool{
		"rank": t.Rank == 0, "lora-alpha": t.Alpha == 0, "learning-rate": t.LearningRate == 0, "max-train-steps": t.Steps == 0,
		"train-batch-size": t.BatchSize == 0, "gradient-accumulation-steps": t.Accumulation == 0, "beta-dpo": t.Settings.Beta == 0,
		"gamma": t.Settings.Gamma == 0, "draws": t.Settings.Draws == 0, "label-smoothing": t.Settings.LabelSmoothing == 0,
		"sft-weight": t.Settings.SFTWeight == 0, "clip-range": t.Settings.Clip == 0, "path-count": t.Siblings.Paths == 0, "inner-epochs": t.Siblings.Inner == 0, "flow-noise": t.Siblings.FlowNoise == 0,
		"sdpo-mu": t.Settings.SDPO == 0, "keep-clear": t.Selection.Clear == 0, "keep-unsure": t.Selection.Unsure == 0, "curriculum": t.Selection.Curriculum == 0, "self-steps": t.Self.Steps == 0, "self-guidance": t.Self.Guidance == 0, "snapshot-steps": t.Self.Snapshots == 0,
		"inversion-steps": t.Inversion.Steps == 0, "inversion-iterations": t.Inversion.Iterations == 0,
		"sibling-steps": t.Siblings.Steps == 0, "sibling-learn": t.Siblings.Learn == 0, "sibling-count": t.Siblings.Count == 0,
		"sibling-guidance": t.Siblings.Guidance == 0, "adam-beta1": t.Beta1 == 0, "adam-beta2": t.Beta2 == 0, "adam-epsilon": t.Epsilon == 0,
		"logit-std": t.LogitStd == 0, "level-decay": t.LevelDecay == 0, "height": t.Size.Height == 0, "width": t.Size.Width == 0,
	} {
		if zero && o.changed(name) {
			errs = append(errs, usagef("--%s 0: want a number above 0", name))
		}
	}
	for name, value := range map[string]string{
		"optimizer": t.Optimizer, "lr-scheduler": t.Schedule, "init-lora-weights": t.Init, "inversion-method": t.Inversion.Method,
		"timestep-sampling": t.TimestepSampling, "timestep-weighting": t.TimestepWeighting, "sibling-continue": t.Siblings.Continue, "loss": t.Settings.Loss, "model": o.model, "resume-from-checkpoint": o.resume, "cache": o.cache,
	} {
		if value == "" && o.changed(name) {
			errs = append(errs, usagef("--%s is empty", name))
		}
	}
	return sorted(errs)
}

// checkNumbers looks at the numbers that are no settings of the trainer.
func (o *trainOptions) checkNumbers() error {
	var errs []error
	for name, v := range map[string]float64{
		"checkpointing-steps": float64(o.every), "checkpoints-total-limit": float64(o.limit), "validation-steps": float64(o.validationEvery),
		"validation-inference-steps": float64(o.validationSteps), "validation-guidance-scale": o.validationGuidance,
		"max-grad-norm": o.maxGradNorm, "sibling-skip": float64(o.t.Siblings.Skip), "kl-weight": o.t.Settings.KL, "sibling-threshold": o.t.Siblings.Threshold, "adam-weight-decay": o.t.WeightDecay,
	} {
		if !(v >= 0) {
			errs = append(errs, usagef("--%s %g: want 0 or more", name, v))
		}
	}
	if o.overwrite && o.resume != "" {
		errs = append(errs, usagef("--overwrite begins anew and --resume-from-checkpoint goes on: give one of them"))
	}
	if slices.Contains(o.validation, "") {
		errs = append(errs, usagef("--validation-prompt is empty"))
	}
	return sorted(errs)
}

// checkFiles misses files that are named.
func (o *trainOptions) checkFiles() error {
	var errs []error
	check := func(flag, path string) {
		if _, err := os.Stat(path); path != "" && err != nil {
			errs = append(errs, usagef("--%s: %w", flag, err))
		}
	}
	for _, path := range o.data {
		check("data", path)
	}
	check("images", o.t.Images)
	check("init-lora", o.t.InitFrom)
	check("prompts", o.prompts)
	for _, dir := range o.rewardModel {
		check("reward-model", dir)
	}
	if o.model != diffusion.Mini {
		check("model", o.model)
	}
	if info, err := os.Stat(o.output); err == nil && !info.IsDir() {
		errs = append(errs, usagef("--output %s is a file; name a folder", o.output))
	}
	if o.resume != "" {
		if _, err := training.FindCheckpoint(o.output, o.resume); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// checkReward misses the reward that a method asks.
func (o *trainOptions) checkReward(m dpo.Method) error {
	if m.OwnPictures() && len(o.reward) == 0 && o.model != diffusion.Mini {
		return usagef("%s needs a reward, as in --reward imagereward --reward-model DIR", m.Name)
	}
	return nil
}

// checkRun refuses to mix two runs in one folder.
func (o *trainOptions) checkRun() error {
	if o.resume != "" || o.overwrite {
		return nil
	}
	found, err := training.Leftovers(o.output, o.name(), o.method)
	if err != nil || len(found) == 0 {
		return err
	}
	return usagef("--output %s holds an earlier run (%s): go on with it by --resume-from-checkpoint latest, replace it by --overwrite, or name another folder",
		o.output, filepath.Base(found[len(found)-1]))
}

// name is what the adapters' files are called.
func (o *trainOptions) name() string {
	if abs, err := filepath.Abs(o.output); err == nil {
		return filepath.Base(abs)
	}
	return filepath.Base(filepath.Clean(o.output))
}

// sorted joins errors in the order of their texts.
func sorted(errs []error) error {
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}
