package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"winnow/datasets"
	"winnow/diffusion"
	"winnow/internal/evaluation"
)

// side is one of the two models that win-rate compares: the files of its pictures, by prompt.
type side struct {
	name  string // as the user gave it
	files [][]string
}

// readPromptSet reads a prompt list, or a folder of them: then the lists' names are the categories, as in HPSv2's benchmark.
func readPromptSet(path string) ([]datasets.Prompt, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, pathError("open", path, err)
	}
	if !info.IsDir() {
		return readPrompts(path, "")
	}
	lists, err := filepath.Glob(filepath.Join(path, "*.json"))
	if err != nil || len(lists) == 0 {
		return nil, usagef("%s: holds no .json lists of prompts", path)
	}
	var all []datasets.Prompt
	for _, list := range lists {
		prompts, err := readPrompts(list, strings.TrimSuffix(filepath.Base(list), ".json"))
		if err != nil {
			return nil, err
		}
		all = append(all, prompts...)
	}
	return all, nil
}

func readPrompts(path, category string) ([]datasets.Prompt, error) {
	var all []datasets.Prompt
	for p, err := range datasets.Prompts(path) {
		if err != nil {
			return nil, err
		}
		if category != "" {
			p.Category = category
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no prompt", path)
	}
	return all, nil
}

// openSide finds the pictures of a folder, or makes them.
func (r *winRateRun) openSide(ctx context.Context, value, letter string) (side, error) {
	s := side{name: value}
	o, generates, err := r.generator(value)
	if err != nil {
		return s, err
	}
	if generates {
		s.files, err = r.generateSide(ctx, o, filepath.Join(r.o.output, letter))
		return s, err
	}
	return r.existing(value)
}

// existing finds the pictures of a folder.
func (r *pictureRun) existing(folder string) (side, error) {
	s := side{name: folder}
	found, layout, unused, err := evaluation.MatchPictures(folder, r.prompts)
	if err != nil {
		return s, err
	}
	if !r.app.quiet {
		r.app.warn("%s: pictures are matched with prompts by %s", folder, layout)
	}
	if len(unused) > 0 {
		r.app.warn("%s: %d pictures belong to no prompt, %s for one", folder, len(unused), unused[0])
	}
	s.files = found
	return s, nil
}

// generator tells models from folders of pictures: "mini", a folder with model_index.json, or a YAML file with flags of generate.
func (r *winRateRun) generator(value string) (o *generateOptions, generates bool, err error) {
	o = &generateOptions{}
	c := &cobra.Command{Use: "generate"}
	o.flags(c)
	switch ext := strings.ToLower(filepath.Ext(value)); {
	case ext == ".yaml" || ext == ".yml":
		if err := loadConfig(c, value); err != nil {
			return nil, false, err
		}
	case value == diffusion.Mini:
		o.model = value
	default:
		if !exists(filepath.Join(value, "model_index.json")) {
			return nil, false, nil
		}
		o.model = value
	}
	if err := o.guide.check(); err != nil {
		return nil, false, fmt.Errorf("%s: %w", value, err)
	}
	set := c.Flags().Changed
	if !set("steps") {
		o.steps = r.o.steps
	}
	if !set("guidance-scale") {
		o.guidance = r.o.guidance
	}
	if !set("scheduler") {
		o.scheduler = r.o.scheduler
	}
	if !set("batch-size") {
		o.batch = r.o.batch
	}
	// Both models get the same prompts, seeds and resources, whatever the files say.
	o.seed, o.count, o.truncate = r.o.seed, r.o.count, r.o.truncate
	o.threads, o.executorOptions = r.o.threads, r.o.executorOptions
	return o, true, nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// sideSettings is the file that says what made the pictures of a folder.
const sideSettings = "settings.yaml"

// generateSide makes the pictures that are not there, a few prompts at a time, so that a run that stopped goes on.
func (r *winRateRun) generateSide(ctx context.Context, o *generateOptions, folder string) (_ [][]string, err error) {
	pipe, err := diffusion.Open(ctx, o.model, &diffusion.Options{Threads: o.threads, Executor: o.executor, ORTLibrary: o.ortLibrary, Logger: r.app.logger(), LoRA: o.guide.lora.parsed})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pipe.Close()) }()
	req := o.request()
	files, missing := make([][]string, len(r.prompts)), []int(nil)
	for i, p := range r.prompts {
		req.Prompts = append(req.Prompts, p.Text)
		whole := true
		for k := range o.count {
			file := filepath.Join(folder, fmt.Sprintf("%05d_%d.png", i, k))
			files[i] = append(files[i], file)
			whole = whole && exists(file)
		}
		if !whole {
			missing = append(missing, i)
		}
	}
	if err := pipe.Check(ctx, req); err != nil {
		return nil, err
	}
	if err := r.claim(folder, o, pipe.Defaults()); err != nil {
		return nil, err
	}
	task := r.app.progress().Start("generating "+folder, len(missing))
	defer task.Stop()
	per := max(1, promptsPerCall/o.count)
	for first := 0; first < len(missing); first += per {
		part := missing[first:min(first+per, len(missing))]
		req.Prompts = nil
		for _, i := range part {
			req.Prompts = append(req.Prompts, r.prompts[i].Text)
		}
		images, err := pipe.Generate(ctx, req)
		if err != nil {
			return nil, err
		}
		for n, im := range images {
			data, err := encodePNG(im)
			if err != nil {
				return nil, err
			}
			if err := writeFile(files[part[n/o.count]][n%o.count], data); err != nil {
				return nil, err
			}
		}
		task.Set(first + len(part))
	}
	return files, nil
}

// claim makes a folder for pictures of these settings, and refuses one that holds pictures of others.
func (r *winRateRun) claim(folder string, o *generateOptions, d diffusion.Defaults) error {
	settings := slices.DeleteFunc(o.settings(d), func(item yaml.MapItem) bool {
		return slices.Contains([]string{"output", "prompt", "batch-size", "threads", "html", "no-rank", "rank"}, fmt.Sprint(item.Key))
	})
	prompts := make([]string, len(r.prompts))
	for i, p := range r.prompts {
		prompts[i] = p.Text
	}
	data, err := yaml.Marshal(append(settings, yaml.MapItem{Key: "prompt", Value: prompts}))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return pathError("use output folder", folder, err)
	}
	path := filepath.Join(folder, sideSettings)
	have, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(have, data):
		return nil
	case err == nil:
		return usagef("%s holds pictures of other settings or prompts (%s says which); name another --output, or remove it", folder, path)
	}
	if entries, err := os.ReadDir(folder); err == nil && len(entries) > 0 {
		return usagef("%s is not empty; name another --output", folder)
	}
	return writeFile(path, data)
}
