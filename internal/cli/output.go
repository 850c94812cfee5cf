package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"winnow/diffusion"
	"winnow/internal/pngmeta"
)

// output decides where pictures go: a folder, or a file name with fields in braces.
type output struct {
	folder  string
	pattern string // of the file name
}

const defaultPattern = "{prompt}-{seed}.png"

// slugLength is how much of a prompt a file name keeps.
const slugLength = 48

// newOutput reads --output. A value that ends in .png is a file pattern and any
// other is a folder.
func newOutput(value string, pictures int) (output, error) {
	o := output{folder: value, pattern: defaultPattern}
	if strings.EqualFold(filepath.Ext(value), ".png") {
		o.folder, o.pattern = filepath.Dir(value), filepath.Base(value)
		if strings.ContainsAny(o.folder, "{}") {
			return o, usagef("--output %s: fields in braces are for the file name, not for folders", value)
		}
		if pictures > 1 && o.name(diffusion.Params{Seed: 1}, 0) == o.name(diffusion.Params{Seed: 2}, 1) {
			return o, usagef("--output %s: %d pictures need {seed} or {index} in the name", value, pictures)
		}
	}
	return o, nil
}

// check makes the folder and tries to write into it, before any work is done.
func (o output) check() error {
	if err := os.MkdirAll(o.folder, 0o755); err != nil {
		return pathError("use output folder", o.folder, err)
	}
	return pathError("write into output folder", o.folder, tryWrite(o.folder))
}

// writable tries the folder of a file that will be written at the end.
func writable(path string) error {
	if path == "" {
		return nil
	}
	return pathError("write", path, tryWrite(filepath.Dir(path)))
}

// tryWrite makes and removes a file: permissions, read-only mounts and quotas
// all show, whatever the mode bits say.
func tryWrite(folder string) error {
	f, err := os.CreateTemp(folder, ".winnow-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// name fills the fields in braces; index counts all pictures of the run from 0.
func (o output) name(p diffusion.Params, index int) string {
	return strings.NewReplacer(
		"{prompt}", slug(p.Prompt), "{seed}", strconv.FormatUint(p.Seed, 10), "{index}", fmt.Sprintf("%05d", index+1),
	).Replace(o.pattern)
}

// slug turns a prompt into a file name: letters and digits, words joined by "-".
func slug(prompt string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(prompt) {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			gap = b.Len() > 0
			continue
		}
		if b.Len()+2 > slugLength {
			break
		}
		if gap {
			b.WriteByte('-')
			gap = false
		}
		b.WriteRune(r)
	}
	if b.Len() == 0 {
		return "picture"
	}
	return b.String()
}

// write stores a picture with its settings and returns path and checksum. taken
// holds the paths of this run, so that two prompts alike do not share a file.
func (o output) write(im diffusion.Image, index int, taken map[string]bool) (path, sum string, err error) {
	name := o.name(im.Params, index)
	path = filepath.Join(o.folder, name)
	for n := 2; taken[path]; n++ {
		ext := filepath.Ext(name)
		path = filepath.Join(o.folder, fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ext), n, ext))
	}
	taken[path] = true
	data, err := encodePNG(im)
	if err != nil {
		return "", "", err
	}
	if err := writeFile(path, data); err != nil {
		return "", "", err
	}
	h := sha256.Sum256(data)
	return path, hex.EncodeToString(h[:]), nil
}

func encodePNG(im diffusion.Image) ([]byte, error) {
	settings, err := json.Marshal(im.Params)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = pngmeta.Encode(&b, im.NRGBA,
		pngmeta.Chunk{Keyword: pngmeta.KeyParameters, Text: parameters(im.Params).String()},
		pngmeta.Chunk{Keyword: pngmeta.KeyWinnow, Text: string(settings)})
	return b.Bytes(), err
}

// parameters is the settings text that web interfaces read.
func parameters(p diffusion.Params) pngmeta.Parameters {
	out := pngmeta.Parameters{Prompt: p.Prompt, NegativePrompt: p.NegativePrompt}
	add := func(name string, value any) {
		out.Fields = append(out.Fields, pngmeta.Field{Name: name, Value: fmt.Sprint(value)})
	}
	add("Steps", p.Steps)
	add("Sampler", p.Scheduler)
	if p.Sigmas != "" {
		add("Schedule type", p.Sigmas)
	}
	add("CFG scale", p.GuidanceScale)
	if p.Guidance != "" {
		add("Guidance", p.Guidance)
	}
	for _, l := range p.LoRA {
		add("LoRA", fmt.Sprintf("%s %g", filepath.Base(l.File), l.Scale))
	}
	add("Seed", p.Seed)
	add("Size", fmt.Sprintf("%dx%d", p.Width, p.Height))
	add("Model", filepath.Base(p.Model))
	add("Version", "winnow "+p.Version)
	return out
}

// markdownTable prints a table as Markdown.
func (a *app) markdownTable(head []string, rows [][]string) error {
	_, err := io.WriteString(a.stdout, markdown(head, rows))
	return err
}

// markdown is a table.
func markdown(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, cells := range rows {
		line(cells)
	}
	return b.String()
}
