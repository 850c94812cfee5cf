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

	"winnow/datasets"
	"winnow/diffusion"
)

// pictureFolder makes the pictures of many prompts in a folder; a run that stopped goes on there.
type pictureFolder struct {
	app     *app
	o       *generateOptions
	folder  string
	prompts []datasets.Prompt
	seed    func(prompt int) uint64 // of its first picture; nil: o.seed
	scales  []float64               // guidance scales that equal parts of a prompt's pictures are made with; nil: o.guidance for all
	extra   yaml.MapSlice           // settings besides those of generate
	flag    string                  // that names another folder, for messages

	model string // what made the pictures, adapters included; known after make
}

// folderSettings is the file that says what made the pictures of a folder.
const folderSettings = "settings.yaml"

// make makes the pictures that are not there and returns the files of every prompt. Prompts run in blocks that do not depend on what
// is missing, so that pictures do not depend on where an earlier run stopped.
func (p *pictureFolder) make(ctx context.Context) (_ [][]string, err error) {
	o := p.o
	pipe, err := diffusion.Open(ctx, o.model, &diffusion.Options{Threads: o.threads, Executor: o.executor, ORTLibrary: o.ortLibrary, Logger: p.app.logger(), LoRA: o.guide.lora.parsed, PAGLayers: o.guide.layers()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pipe.Close()) }()
	p.model = pipe.Name()
	for _, a := range pipe.Adapters() {
		p.model += fmt.Sprintf("+%s*%g", filepath.Base(a.File), a.Scale)
	}
	req := o.request()
	req.Prompts = p.texts(0, len(p.prompts))
	if err := pipe.Check(ctx, req); err != nil {
		return nil, err
	}
	if err := p.claim(pipe.Defaults()); err != nil {
		return nil, err
	}
	files := p.files()
	task := p.app.progress().Start("generating "+p.folder, len(p.prompts))
	defer task.Stop()
	per := max(1, promptsPerCall/o.count)
	for first := 0; first < len(p.prompts); first += per {
		last := min(first+per, len(p.prompts))
		if slices.ContainsFunc(slices.Concat(files[first:last]...), func(file string) bool { return !exists(file) }) {
			if err := p.block(ctx, pipe, req, first, files[first:last]); err != nil {
				return nil, err
			}
		}
		task.Set(last)
	}
	return files, nil
}

// block makes the pictures of a few prompts, from prompt first on.
func (p *pictureFolder) block(ctx context.Context, pipe *diffusion.Pipeline, req diffusion.Request, first int, files [][]string) error {
	scales := p.scales
	if scales == nil {
		scales = []float64{req.GuidanceScale}
	}
	req.Count /= len(scales)
	for i, scale := range scales {
		req.GuidanceScale = scale
		if err := p.part(ctx, pipe, req, first, files, i*req.Count); err != nil {
			return err
		}
	}
	return nil
}

// part makes the pictures of a few prompts from each prompt's picture number begin on, as many as the request counts.
func (p *pictureFolder) part(ctx context.Context, pipe *diffusion.Pipeline, req diffusion.Request, first int, files [][]string, begin int) error {
	req.Prompts = p.texts(first, first+len(files))
	for i := range files {
		seed := p.o.seed
		if p.seed != nil {
			seed = p.seed(first + i)
		}
		req.Seeds = append(req.Seeds, seed+uint64(begin))
	}
	images, err := pipe.Generate(ctx, req)
	if err != nil {
		return err
	}
	for n, im := range images {
		file := files[n/req.Count][begin+n%req.Count]
		if exists(file) {
			continue
		}
		data, err := encodePNG(im)
		if err != nil {
			return err
		}
		if err := writeFile(file, data); err != nil {
			return err
		}
	}
	return nil
}

func (p *pictureFolder) texts(first, last int) []string {
	var out []string
	for _, prompt := range p.prompts[first:last] {
		out = append(out, prompt.Text)
	}
	return out
}

// files are the pictures of every prompt, there or not.
func (p *pictureFolder) files() [][]string {
	files := make([][]string, len(p.prompts))
	for i := range files {
		for k := range p.o.count {
			files[i] = append(files[i], filepath.Join(p.folder, fmt.Sprintf("%05d_%d.png", i, k)))
		}
	}
	return files
}

// claim makes a folder for pictures of these settings, and refuses one that holds pictures of others.
func (p *pictureFolder) claim(d diffusion.Defaults) error {
	settings := slices.DeleteFunc(p.o.settings(d), func(item yaml.MapItem) bool {
		return slices.Contains([]string{"output", "prompt", "batch-size", "threads", "html", "no-rank", "rank"}, fmt.Sprint(item.Key))
	})
	settings = append(settings, p.extra...)
	data, err := yaml.Marshal(append(settings, yaml.MapItem{Key: "prompt", Value: p.texts(0, len(p.prompts))}))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.folder, 0o755); err != nil {
		return pathError("use folder", p.folder, err)
	}
	path := filepath.Join(p.folder, folderSettings)
	have, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(have, data):
		return nil
	case err == nil:
		return usagef("%s holds pictures of other settings or prompts (%s says which); name another %s, or remove it", p.folder, path, p.flag)
	}
	// Hidden files are what a run that was killed was writing.
	visible := func(e os.DirEntry) bool { return !strings.HasPrefix(e.Name(), ".") }
	if entries, err := os.ReadDir(p.folder); err == nil && slices.ContainsFunc(entries, visible) {
		return usagef("%s is not empty; name another %s", p.folder, p.flag)
	}
	return writeFile(path, data)
}
