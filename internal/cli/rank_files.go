package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/disintegration/imaging"

	"winnow/internal/imageproc"
	"winnow/internal/pngmeta"
	"winnow/internal/report"
	"winnow/rewards"
)

// thumbSide bounds the picture that is kept for a report.
const thumbSide = 512

// decodePicture decodes a file in its own mode; the result keeps a small copy, where a report needs one.
func decodePicture(path string, data []byte, thumb bool) (report.Image, rewards.Sample, error) {
	full, err := imageproc.DecodeModes(path, data, imageproc.Limits{})
	if err != nil {
		return report.Image{}, rewards.Sample{}, err
	}
	sum, b := sha256.Sum256(data), full.Bounds()
	im := report.Image{File: path, Width: b.Dx(), Height: b.Dy(), SHA256: hex.EncodeToString(sum[:])}
	if thumb {
		im.Picture = imaging.Fit(imageproc.Opaque(full), thumbSide, thumbSide, imaging.Box)
	}
	return im, rewards.Sample{Image: full, Upright: imageproc.Upright(full, data)}, nil
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
var imageNames = []string{".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"}

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
			return "", usagef("--prompt is missing, and the images carry different ones: %s says %q, %s says %q; rank one prompt's images, or add --per-picture-prompt", from, prompt, file, p)
		}
	}
	return prompt, nil
}

func promptOf(file string) string {
	data, err := readImageFile(file)
	if err != nil {
		return ""
	}
	return promptIn(data)
}

// promptIn is the prompt that a PNG file carries; "" for other files.
func promptIn(data []byte) string {
	prompt, _ := pngmeta.Prompt(bytes.NewReader(data))
	return prompt
}

// writeHTML writes the report of a result.
func writeHTML(path string, r *report.Result) error {
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		return err
	}
	return writeFile(path, b.Bytes())
}
