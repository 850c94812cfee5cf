package training

import (
	"cmp"
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
	"winnow/internal/atomicfile"
	"winnow/internal/lockfile"
	"winnow/internal/monitor"
)

// lockFile is the file of an output folder that a run holds locked.
const lockFile = ".lock"

// LockOutput makes an output folder if need be, and keeps other runs out of it until it is released or the process ends, however that ends. What
// a killed run was just writing is removed.
func LockOutput(output string) (*lockfile.Lock, error) {
	if err := mkdir(output); err != nil {
		return nil, fmt.Errorf("cannot make the folder %s: %w", output, bare(err))
	}
	host, _ := os.Hostname()
	l, err := lockfile.Acquire(filepath.Join(output, lockFile), fmt.Sprintf("process %d on %s", os.Getpid(), host))
	var held *lockfile.HeldError
	if errors.As(err, &held) {
		return nil, fmt.Errorf("--output %s: another run is at work there (%w); wait for it or stop it, or name another folder", output, err)
	}
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Sweep(output); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot remove what a killed run left in %s: %w", output, bare(err)), l.Release())
	}
	return l, nil
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
		errs = append(errs, discard(all[0]))
		all = all[1:]
	}
	return errors.Join(errs...)
}

// FindCheckpoint is the folder of a checkpoint: of "latest" that of most steps, or "" where there is none yet; else one by its name in
// output, or by its path.
func FindCheckpoint(output, name string) (string, error) {
	all, err := Checkpoints(output)
	if err != nil {
		return "", err
	}
	folder := name
	if name == "latest" {
		if len(all) == 0 {
			return "", nil
		}
		folder = all[len(all)-1]
	} else if filepath.Base(name) == name {
		folder = filepath.Join(output, name)
	}
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		var have []string
		for _, c := range all {
			have = append(have, filepath.Base(c))
		}
		return "", setting("resume-from-checkpoint", name, "there is no folder %s; %s holds %s", folder, output, cmp.Or(strings.Join(have, ", "), "no checkpoint"))
	}
	return folder, nil
}

// Leftovers lists what an earlier run has left in an output folder that a new run must not mix with: checkpoints, and adapters under the
// names that a run of the method gives them.
func Leftovers(output, name, method string) ([]string, error) {
	found, err := Checkpoints(output)
	if err != nil {
		return nil, err
	}
	files := []string{name + ".safetensors", "pytorch_lora_weights.safetensors"}
	if m, err := dpo.FindMethod(method); err == nil && len(m.Adapters) > 1 {
		for _, a := range m.Adapters {
			files = append(files, filepath.Join(a, name+"-"+a+".safetensors"), filepath.Join(a, "pytorch_lora_weights.safetensors"))
		}
	}
	for _, f := range files {
		if path := filepath.Join(output, f); exists(path) {
			found = append(found, path)
		}
	}
	return found, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Clear removes what Leftovers lists, and metrics, previews and event files. The cache stays.
func Clear(output, name, method string) error {
	found, err := Leftovers(output, name, method)
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range found {
		if strings.HasPrefix(filepath.Base(path), checkpointPrefix) {
			errs = append(errs, discard(path))
		} else {
			errs = append(errs, os.Remove(path))
		}
	}
	for _, name := range []string{monitor.MetricsFile, monitor.TimingsFile, "previews", "tensorboard", "report.html"} {
		errs = append(errs, os.RemoveAll(filepath.Join(output, name)))
	}
	return errors.Join(errs...)
}

// discard removes a folder that may not be there. A process that is killed meanwhile leaves a hidden folder, which [tidy] removes.
func discard(folder string) error {
	hidden := filepath.Join(filepath.Dir(folder), "."+filepath.Base(folder)+".old")
	if err := os.RemoveAll(hidden); err != nil {
		return err
	}
	if err := os.Rename(folder, hidden); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return os.RemoveAll(hidden)
}

// tidy removes what a killed process left half written or half removed.
func tidy(output string) error {
	entries, err := os.ReadDir(output)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), "."+checkpointPrefix) {
			errs = append(errs, os.RemoveAll(filepath.Join(output, e.Name())))
		}
	}
	return errors.Join(errs...)
}
