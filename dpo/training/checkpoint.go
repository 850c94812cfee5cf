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

	"winnow/internal/monitor"
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
}

// State is everything that the next steps depend on, as tensors.
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
	return out
}

// settings are those that decide about the factors after each step.
func (t *Trainer) settings() map[string]string {
	c := t.config
	out := map[string]string{
		"method": c.Method, "model": fmt.Sprintf("%x", t.identity[:8]), "rank": fmt.Sprint(c.Rank), "lora-alpha": fmt.Sprint(c.Alpha),
		"target-modules": strings.Join(c.Targets, ","), "init-lora-weights": c.Init, "optimizer": c.Optimizer, "learning-rate": fmt.Sprint(t.rate()),
		"lr-scheduler": c.Schedule, "lr-warmup-steps": fmt.Sprint(c.Warmup), "max-grad-norm": fmt.Sprint(c.MaxGradNorm), "ema-decay": fmt.Sprint(c.EMA),
		"train-batch-size": fmt.Sprint(c.BatchSize), "gradient-accumulation-steps": fmt.Sprint(c.Accumulation), "seed": fmt.Sprint(c.Seed),
		"prompt-dropout": fmt.Sprint(c.Dropout), "snr-gamma": fmt.Sprint(c.SNRGamma), "settings": fmt.Sprintf("%+v", c.Settings),
		"size": fmt.Sprint(t.size), "optimizer settings": fmt.Sprintf("%+v", c.optimiser()),
	}
	if len(c.Ranks) > 0 {
		out["ranks"] = fmt.Sprint(c.Ranks)
	}
	if t.source != nil {
		out["data"] = t.source.fingerprint()
	}
	return out
}

// save writes a checkpoint folder. A folder that is there is whole: it appears by a rename.
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
	data, err := json.MarshalIndent(position{t.done, t.settings(), guard}, "", "  ")
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
	// A checkpoint of this step from an earlier run of the same folder gives way.
	if err := os.RemoveAll(final); err != nil {
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

// restore reads a checkpoint folder.
func (t *Trainer) restore(folder string) (monitor.GuardState, error) {
	var p position
	data, err := os.ReadFile(filepath.Join(folder, trainerFile))
	if err != nil {
		return p.Guard, err
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return p.Guard, fmt.Errorf("%s: %w", filepath.Join(folder, trainerFile), err)
	}
	if err := t.same(folder, p.Settings); err != nil {
		return p.Guard, err
	}
	f, err := safetensors.Read(filepath.Join(folder, stateFile))
	if err != nil {
		return p.Guard, err
	}
	defer f.Close()
	parts := map[string]map[string]tensor.Tensor{}
	for _, name := range f.Names() {
		part, rest, _ := strings.Cut(name, ".")
		if parts[part] == nil {
			parts[part] = map[string]tensor.Tensor{}
		}
		parts[part][rest], _ = f.Tensor(name)
	}
	for _, p := range t.params {
		v, ok := parts["param"][p.Name]
		if !ok || !slices.Equal(v.Shape, p.Shape) || v.DType != tensor.F32 {
			return monitor.GuardState{}, fmt.Errorf("%s: tensor %q is missing or of another shape than %v", filepath.Join(folder, stateFile), p.Name, p.Shape)
		}
		copy(p.Value, v.F32())
	}
	err = t.optim.Restore(parts["optim"])
	if t.ema != nil {
		err = errors.Join(err, t.ema.Restore(parts["ema"]))
	}
	t.done = p.Step
	if err != nil {
		err = fmt.Errorf("%s: %w", filepath.Join(folder, stateFile), err)
	}
	return p.Guard, err
}

// same refuses to go on with other settings than a checkpoint was made with: the result would be that of neither.
func (t *Trainer) same(folder string, was map[string]string) error {
	now := t.settings()
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if was[name] != now[name] {
			return fmt.Errorf("%s: was made with %s %s, and this run has %s; go on with the same settings, or begin anew in another --output",
				folder, name, was[name], now[name])
		}
	}
	return nil
}

// Checkpoints lists the checkpoints of an output folder by step, oldest first.
func Checkpoints(output string) ([]string, error) {
	entries, err := os.ReadDir(output)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := map[int]string{}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), checkpointPrefix)
		if n, err := strconv.Atoi(number); ok && err == nil && e.IsDir() {
			found[n] = filepath.Join(output, e.Name())
		}
	}
	out := []string{}
	for _, n := range slices.Sorted(maps.Keys(found)) {
		out = append(out, found[n])
	}
	return out, nil
}

// prune removes the oldest checkpoints beyond a limit; 0 is none.
func prune(output string, limit int) error {
	all, err := Checkpoints(output)
	if err != nil || limit == 0 {
		return err
	}
	var errs []error
	for len(all) > limit {
		errs = append(errs, os.RemoveAll(all[0]))
		all = all[1:]
	}
	return errors.Join(errs...)
}
