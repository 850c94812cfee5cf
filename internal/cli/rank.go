package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/disintegration/imaging"
	"github.com/spf13/cobra"

	"winnow/diffusion"
	"winnow/internal/imageproc"
	"winnow/internal/pngmeta"
	"winnow/internal/report"
	"winnow/rewards"
)

// rankOptions is the command line of rank.
type rankOptions struct {
	prompt              string
	files               []string
	reward, rewardModel []string
	transform           string
	html, config        string
	truncate            bool
	threads             int
	executorOptions
}

func (a *app) rankCommand() *cobra.Command {
	o := &rankOptions{}
	c := &cobra.Command{
		Use:   "rank --prompt PROMPT IMAGE…",
		Short: "Rank images by how well they fit a prompt",
		Long: `Rank scores images against a prompt with a reward and prints them best first;
equal scores share a rank. Images may be of any size, and a folder stands for
the images in it. Without --prompt, PNG files made here tell the prompt
themselves. Files that cannot be read are listed, the others are ranked, and the
exit code is 3.`,
		Example: `  winnow rank --prompt "a red circle" a.png b.jpg c.webp
  winnow rank --prompt "a red fox in the snow" --reward clip --reward-model ./clip-vit-base-patch32 photos/
  winnow rank --prompt "a red fox" --reward hpsv2.1=10,pickscore-v1=0.05 --reward-model ./hpsv2.1 --reward-model ./pickscore photos/
  winnow rank --html best.html out/*.png`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.config != "" {
				if err := loadConfig(c, o.config); err != nil {
					return err
				}
			}
			o.files = args
			if len(args) == 0 {
				return &usageError{command: c.CommandPath(), err: errors.New("name the images to rank")}
			}
			return a.rank(c.Context(), o)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVarP(&o.prompt, "prompt", "p", "", "what the images should show (default: the prompt inside the PNG files)")
	f.StringSliceVar(&o.reward, "reward", []string{rewards.Mini}, "reward to rank by, or NAME=WEIGHT,NAME=WEIGHT for a sum: "+strings.Join(rewards.Names(), ", "))
	f.StringArrayVar(&o.rewardModel, "reward-model", nil, "folder of the reward's model; once per reward, in order")
	f.StringVar(&o.transform, "transform", "", "bring scores to one scale by reference.json in each folder: z, cdf or minmax")
	f.StringVar(&o.html, "html", "", "also write a report: one self-contained HTML file")
	f.BoolVar(&o.truncate, "truncate", false, "drop the end of a prompt that is too long instead of failing")
	f.IntVar(&o.threads, "threads", 0, "CPU threads (default: all)")
	o.executorOptions.flags(f)
	f.StringVar(&o.config, "config", "", "YAML file with any of these flags")
	return c
}

func (a *app) rank(ctx context.Context, o *rankOptions) (err error) {
	start := time.Now()
	if err := o.executorOptions.check(); err != nil {
		return err
	}
	if err := writable(o.html); err != nil {
		return err
	}
	files, err := expand(o.files)
	if err != nil {
		return err
	}
	if o.prompt == "" {
		if o.prompt, err = commonPrompt(files); err != nil {
			return err
		}
	}
	m, err := rewards.OpenMix(ctx, o.reward, o.rewardModel, o.transform, &rewards.Options{
		Threads: o.threads, Truncate: o.truncate, Executor: o.executor, ORTLibrary: o.ortLibrary,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := m.CheckPrompt(o.prompt); err != nil {
		return err
	}
	info := m.Info()
	result := &report.Result{Command: "rank", Version: diffusion.Version(), Reward: &info}
	group, failed, err := a.scoreFiles(ctx, m, o.prompt, files)
	if err != nil {
		return err
	}
	a.warnForeign(group.Images, info)
	result.Groups, result.Failed, result.Seconds = []report.Group{group}, failed, time.Since(start).Seconds()
	if o.html != "" {
		if err := writeHTML(o.html, result); err != nil {
			return err
		}
	}
	if err := a.show(result); err != nil {
		return err
	}
	switch {
	case len(group.Images) == 0:
		return errors.New("none of the images could be used")
	case len(failed) > 0:
		return &partialError{len(failed), len(files)}
	}
	return nil
}

// warnForeign says that the embedded reward has not learnt what it is asked, as
// far as sizes can tell.
func (a *app) warnForeign(images []report.Image, info rewards.Info) {
	foreign := func(im report.Image) bool { return im.Width != info.Width || im.Height != info.Height }
	if info.Name == rewards.Mini && slices.ContainsFunc(images, foreign) {
		a.warn("the embedded reward was trained on %d×%d pictures of coloured shapes only; rank others with --reward clip --reward-model DIR", info.Width, info.Height)
	}
}

// rankChunk is the number of full-size pictures held at a time.
const rankChunk = 16

// scoreFiles decodes and scores files a few at a time and ranks them all.
func (a *app) scoreFiles(ctx context.Context, m rewards.Scorer, prompt string, files []string) (report.Group, []report.Failure, error) {
	task := a.progress().Start("scoring images", len(files))
	defer task.Stop()
	group := report.Group{Prompt: prompt}
	var failed []report.Failure
	var scores []float64
	for first := 0; first < len(files); first += rankChunk {
		part := files[first:min(first+rankChunk, len(files))]
		var pictures []image.Image
		for _, file := range part {
			if err := ctx.Err(); err != nil {
				return group, nil, err
			}
			im, full, err := readPicture(file)
			if err != nil {
				failed = append(failed, report.Failure{File: file, Cause: err.Error()})
				continue
			}
			pictures = append(pictures, full)
			group.Images = append(group.Images, im)
		}
		some, err := m.Score(ctx, prompt, pictures)
		if err != nil {
			return group, nil, err
		}
		scores = append(scores, some...)
		task.Set(first + len(part))
	}
	ranked, err := rewards.Order(scores)
	if err != nil {
		return group, nil, err
	}
	return ordered(group, ranked), failed, nil
}

// thumbSide bounds the picture that is kept for a report.
const thumbSide = 512

// readPicture decodes a file; the result keeps a small copy only.
func readPicture(path string) (report.Image, image.Image, error) {
	data, err := readImageFile(path)
	if err != nil {
		return report.Image{}, nil, err
	}
	full, err := imageproc.DecodeModes(path, data, imageproc.Limits{})
	if err != nil {
		return report.Image{}, nil, err
	}
	sum, b := sha256.Sum256(data), full.Bounds()
	im := report.Image{
		File: path, Width: b.Dx(), Height: b.Dy(), SHA256: hex.EncodeToString(sum[:]),
		Picture: imaging.Fit(imageproc.Opaque(full), thumbSide, thumbSide, imaging.Box),
	}
	return im, full, nil
}

// readImageFile reads a file no further than the limit on images.
func readImageFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, pathError("open", path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, imageproc.DefaultLimits.Bytes+1))
	if err != nil {
		return nil, pathError("read", path, err)
	}
	return data, nil
}

// imageNames are the endings that a folder is searched for.
var imageNames = []string{".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"}

// expand replaces folders by the images in them, in order of name.
func expand(args []string) ([]string, error) {
	var files []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil || !info.IsDir() { // files that cannot be read are reported with the result
			files = append(files, arg)
			continue
		}
		entries, err := os.ReadDir(arg)
		if err != nil {
			return nil, pathError("read", arg, err)
		}
		before := len(files)
		for _, e := range entries {
			if !e.IsDir() && slices.Contains(imageNames, strings.ToLower(filepath.Ext(e.Name()))) {
				files = append(files, filepath.Join(arg, e.Name()))
			}
		}
		if len(files) == before {
			return nil, usagef("folder %s holds no images", arg)
		}
	}
	return files, nil
}

// commonPrompt reads the prompt that PNG files carry.
func commonPrompt(files []string) (string, error) {
	prompt, from := "", ""
	for _, file := range files {
		p := promptOf(file)
		switch {
		case p == "":
			return "", usagef("--prompt is missing, and %s does not carry a prompt", file)
		case from == "":
			prompt, from = p, file
		case p != prompt:
			return "", usagef("--prompt is missing, and the images carry different ones: %s says %q, %s says %q", from, prompt, file, p)
		}
	}
	return prompt, nil
}

func promptOf(file string) string {
	data, err := readImageFile(file)
	if err != nil {
		return ""
	}
	chunks, _ := pngmeta.Read(bytes.NewReader(data)) // what came before damage counts; decoding reports the damage
	for _, c := range chunks {
		if c.Keyword == pngmeta.KeyParameters {
			return pngmeta.ParseParameters(c.Text).Prompt
		}
	}
	return ""
}

// writeHTML writes the report of a result.
func writeHTML(path string, r *report.Result) error {
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		return err
	}
	return writeFile(path, b.Bytes())
}
