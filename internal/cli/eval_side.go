package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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
		p := &pictureFolder{app: r.app, o: o, folder: filepath.Join(r.o.output, letter), prompts: r.prompts, flag: "--output"}
		s.files, err = p.make(ctx)
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
