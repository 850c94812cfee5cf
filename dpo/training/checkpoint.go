package training

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"winnow/dpo"
	"winnow/internal/monitor"
	"winnow/internal/ort"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// Names of what a checkpoint folder holds, besides the adapters in the layouts of other tools.
const (
	checkpointPrefix = "checkpoint-"
	stateFile        = "optimizer.safetensors" // factors, optimiser, average
	trainerFile      = "trainer_state.json"
)

// position is where a run stands.
type position struct {
	Step     int                `json:"global_step"`
	Settings map[string]string  `json:"settings"` // what results depend on
	Guard    monitor.GuardState `json:"guard"`
	// Loss is what the loss keeps between batches.
	Loss []float64 `json:"loss_state,omitempty"`
	// Reference is where one that moves stands.
	Reference referenceState `json:"reference,omitzero"`
	// Snapshots is the number of earlier states that are kept.
	Snapshots int `json:"snapshots,omitempty"`
}

// state is everything that the next steps depend on, as tensors.
func (t *Trainer) state() map[string]tensor.Tensor {
	out := map[string]tensor.Tensor{}
	for _, p := range t.params {
		out["param."+p.Name] = tensor.FromF32(p.Value, p.Shape...)
	}
	for name, v := range t.optim.State() {
		out["optim."+name] = v
	}
	if t.ema != nil {
		for name, v := range t.ema.State() {
			out["ema."+name] = v
		}
	}
	t.saveReference(out)
	if s, ok := t.source.(stateful); ok {
		for name, v := range s.state(t.done) {
			out["source."+name] = v
		}
	}
	t.saveSnapshots(out)
	return out
}

// settings are those that decide about the factors after each step, by the names of their flags where they have one.
func (t *Trainer) settings() map[string]string {
	c, s := t.config, t.config.Settings
	o := c.optimiser()
	out := map[string]string{}
	for name, v := range map[string]any{
		"method": c.Method, "model": fmt.Sprintf("%x", t.identity[:8]), "executor": executorName(c.Executor),
		"rank": c.Rank, "lora-alpha": c.Alpha, "target-modules": strings.Join(c.Targets, ","), "init-lora-weights": c.Init, "use-rslora": c.RSLoRA,
		"optimizer": c.Optimizer, "learning-rate": t.Rate(), "lr-scheduler": c.Schedule, "lr-warmup-steps": c.Warmup, "max-grad-norm": c.MaxGradNorm,
		"adam-beta1": o.Beta1, "adam-beta2": o.Beta2, "adam-epsilon": o.Eps, "adam-weight-decay": o.WeightDecay, "ema-decay": c.EMA,
		"train-batch-size": c.BatchSize, "gradient-accumulation-steps": c.Accumulation, "seed": c.Seed,
		"beta-dpo": s.Beta, "loss": s.Loss, "label-smoothing": s.LabelSmoothing, "gamma": s.Gamma, "draws": t.draws,
		"prompt-dropout": c.Dropout, "snr-gamma": c.SNRGamma, "latent-mode": c.Mode, "buckets": c.Buckets,
		"width": t.size.Width, "height": t.size.Height,
	} {
		out[name] = fmt.Sprint(v)
	}
	if s.KL > 0 {
		out["kl-weight"] = fmt.Sprint(s.KL)
	}
	if s.Clip > 0 {
		out["clip-range"] = fmt.Sprint(s.Clip)
	}
	t.rarerSettings(out)
	if n := c.Selection.Curriculum; n > 1 {
		out["curriculum"], out["max-train-steps"] = fmt.Sprint(n), fmt.Sprint(c.Steps)
	}
	if t.source != nil {
		out["data"] = t.source.fingerprint()
	}
	return out
}

// rarerSettings are those that checkpoints of runs without them say nothing of.
func (t *Trainer) rarerSettings(out map[string]string) {
	c, s := t.config, t.config.Settings
	if c.TrainText {
		out["train-text-encoder"], out["text-encoder-target-modules"] = "true", strings.Join(c.TextTargets, ",")
	}
	t.referenceSettings(out)
	if c.TimestepSampling == geometricLevels {
		out["timestep-sampling"], out["level-decay"] = c.TimestepSampling, fmt.Sprint(c.LevelDecay)
	}
	if c.TimestepWeighting == inverseSNR {
		out["timestep-weighting"] = c.TimestepWeighting
	}
	if c.InitFrom != "" {
		out["init-lora"] = t.warmth()
	}
	if c.TimestepSampling == logitNormalLevels {
		out["timestep-sampling"], out["logit-mean"], out["logit-std"] = c.TimestepSampling, fmt.Sprint(c.LogitMean), fmt.Sprint(c.LogitStd)
	}
	if mu := max(s.SDPO, t.method.SDPO); mu != 0 {
		out["sdpo-mu"] = fmt.Sprint(mu)
	}
	if s.SFTWeight != 0 {
		out["sft-weight"] = fmt.Sprint(s.SFTWeight)
	}
	if len(s.LossOptions) > 0 {
		out["loss-option"] = fmt.Sprint(s.LossOptions) // maps are printed in the order of their keys
	}
	if c.RandomFlip {
		out["random-flip"] = "true"
	}
	if len(c.Ranks) > 0 {
		out["rank-pattern"] = fmt.Sprint(c.Ranks) // maps are printed in the order of their keys
	}
	if c.Schedule != "constant" && c.Schedule != "constant_with_warmup" {
		out["max-train-steps"] = fmt.Sprint(c.Steps) // the rate falls towards it
	}
}

func executorName(name string) string {
	if name == "" {
		return ort.Embedded
	}
	return name
}

// position is where the run stands.
func (t *Trainer) position(guard monitor.GuardState) position {
	p := position{Step: t.done, Settings: t.settings(), Guard: guard, Loss: dpo.State(t.objective)}
	if t.moving != nil {
		p.Reference = t.moving.at
	}
	p.Snapshots = len(t.snapshots)
	return p
}

// save writes a checkpoint folder. A folder that is there is whole: it appears by a rename, and what gives way to it or is pruned
// disappears by one.
func (t *Trainer) save(output string, guard monitor.GuardState) (string, error) {
	final := filepath.Join(output, checkpointPrefix+strconv.Itoa(t.done))
	temp := filepath.Join(output, "."+checkpointPrefix+strconv.Itoa(t.done))
	if err := errors.Join(os.RemoveAll(temp), mkdir(temp)); err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	if err := safetensors.Write(filepath.Join(temp, stateFile), t.state(), map[string]string{"format": "pt"}); err != nil {
		return "", err
	}
	data, err := json.MarshalIndent(t.position(guard), "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(temp, trainerFile), append(data, '\n'), 0o666); err != nil {
		return "", err
	}
	if _, err := t.WriteAdapters(temp, "adapter"); err != nil {
		return "", err
	}
	if err := syncFolder(temp); err != nil {
		return "", err
	}
	// A checkpoint of this step from before gives way.
	if err := discard(final); err != nil {
		return "", err
	}
	if err := os.Rename(temp, final); err != nil {
		return "", err
	}
	return final, syncFolder(output)
}

func mkdir(dir string) error { return os.MkdirAll(dir, 0o777) }

// syncFolder makes the files of a folder, and their names, durable.
func syncFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	names := []string{dir}
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// restore reads a checkpoint folder. Nothing is changed if that fails.
func (t *Trainer) restore(folder string) (monitor.GuardState, error) {
	file := filepath.Join(folder, trainerFile)
	p, err := readPosition(file)
	if err == nil && p.Step < 1 {
		err = fmt.Errorf("global_step is %d, want 1 or more", p.Step)
	}
	if err != nil {
		return p.Guard, errDamaged(folder, file, err)
	}
	if err := t.same(folder, p.Settings); err != nil {
		return p.Guard, err
	}
	if p.Step > t.config.Steps {
		return p.Guard, setting("max-train-steps", t.config.Steps, "%s has done %d steps; ask for as many, or name an earlier checkpoint", folder, p.Step)
	}
	if err := t.restoreState(filepath.Join(folder, stateFile), &p); err != nil {
		return p.Guard, errDamaged(folder, filepath.Join(folder, stateFile), err)
	}
	t.done = p.Step
	return p.Guard, nil
}

// maxPosition bounds trainer_state.json.
const maxPosition = 1 << 20

func readPosition(file string) (p position, err error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return p, bare(err)
	case !info.Mode().IsRegular() || info.Size() > maxPosition:
		return p, fmt.Errorf("is no file of at most %d bytes", maxPosition)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return p, bare(err)
	}
	return p, json.Unmarshal(data, &p)
}

// bare drops the path from an error that will be shown behind it.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// restoreState reads factors, optimiser and average. Factors are written last, when all else has been found to fit.
func (t *Trainer) restoreState(file string, at *position) error {
	f, err := safetensors.Read(file)
	if err != nil {
		return bareOf(file, err)
	}
	defer f.Close()
	parts := partsOf(f)
	factors, err := t.factorsIn("param", parts)
	if err != nil {
		return err
	}
	reference, err := t.readReference(parts, at.Reference)
	if err != nil {
		return err
	}
	place := func() {}
	if s, ok := t.source.(stateful); ok {
		if place, err = s.check(at.Step, parts["source"]); err != nil {
			return err
		}
	}
	snapshots, err := t.readSnapshots(parts, at.Snapshots)
	if err != nil {
		return err
	}
	if err := dpo.Restore(t.objective, at.Loss); err != nil {
		return named(err)
	}
	if err := t.optim.Restore(parts["optim"]); err != nil {
		return err
	}
	if t.ema != nil {
		if err := t.ema.Restore(parts["ema"]); err != nil {
			return err
		}
	}
	for i, p := range t.params {
		copy(p.Value, factors[i])
	}
	t.moving, t.snapshots = reference, snapshots
	place()
	return nil
}

// partsOf sorts tensors by what stands ahead of the first dot of their names.
func partsOf(f *safetensors.File) map[string]map[string]tensor.Tensor {
	parts := map[string]map[string]tensor.Tensor{}
	for _, name := range f.Names() {
		part, rest, _ := strings.Cut(name, ".")
		if parts[part] == nil {
			parts[part] = map[string]tensor.Tensor{}
		}
		parts[part][rest], _ = f.Tensor(name)
	}
	return parts
}

// bareOf drops a file's name from the beginning of an error.
func bareOf(file string, err error) error {
	if rest, ok := strings.CutPrefix(err.Error(), file+": "); ok {
		return errors.New(rest)
	}
	return bare(err)
}

// same refuses to go on with other settings than a checkpoint was made with: the result would be that of neither.
func (t *Trainer) same(folder string, was map[string]string) error {
	now := t.settings()
	all := maps.Clone(now)
	maps.Copy(all, was)
	said := func(v string, ok bool) string {
		if !ok {
			return "nothing"
		}
		return v
	}
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		before, had := was[name]
		if after, has := now[name]; had != has || before != after {
			differ = append(differ, fmt.Sprintf("%s %s where this run has %s", name, said(before, had), said(after, has)))
		}
	}
	if len(differ) == 0 {
		return nil
	}
	return &SettingError{Err: &CheckpointError{
		folder, fmt.Errorf("was made with %s", strings.Join(differ, ", ")),
		"go on with the same settings and data, or begin anew in another --output",
	}}
}
