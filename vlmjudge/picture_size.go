package vlmjudge

import (
	"fmt"
	"image"
	"math"
	"slices"
	"strings"

	"winnow/internal/imageproc"
)

// Seen is what a model makes of a picture.
type Seen struct {
	Width, Height int // pixels; of all tiles together where there are several
	Tokens        int // of its prompt
}

// Families of models, by what they do to pictures.
const (
	Qwen2VL  = "qwen2-vl"  // Qwen2-VL, Qwen2.5-VL: the aspect ratio nearly kept, sides multiples of 28, a token for each 28×28
	Qwen3VL  = "qwen3-vl"  // Qwen3-VL: the same by 32
	InternVL = "internvl"  // stretched over 1 to 12 tiles of 448×448, 256 tokens each, and a thumbnail
	Pixtral  = "pixtral"   // sides up to 1024, a token for each 16×16 and one for each row
	Gemma3   = "gemma-3"   // stretched to 896×896, 256 tokens; sent with grey edges, so that nothing is squashed
	LLaVA15  = "llava-1.5" // a square of 336×336, 576 tokens; sent with grey edges, so that nothing is cut off
)

// family is how models see pictures.
type family struct {
	name string
	// see is for a picture within the aspect ratio that servers take.
	see func(w, h, budget int) (Seen, error)
	// exact says that see is the size to send: the model leaves such pictures as they are.
	exact bool
	// square says that the model takes squares only, and would squash or cut others.
	square bool
}

func families() []family {
	return []family{
		{name: Qwen2VL, exact: true, see: func(w, h, budget int) (Seen, error) { return smartResize(w, h, 28, 56*56, min(budget, 16384*28*28)) }},
		{name: Qwen3VL, exact: true, see: func(w, h, budget int) (Seen, error) { return smartResize(w, h, 32, 65536, min(budget, 16777216)) }},
		{name: InternVL, see: func(w, h, _ int) (Seen, error) { return tiled(w, h, 448, 12), nil }},
		{name: Pixtral, exact: true, see: func(w, h, budget int) (Seen, error) { return pixtral(w, h, budget), nil }},
		{name: Gemma3, square: true, see: func(int, int, int) (Seen, error) { return Seen{896, 896, 256}, nil }},
		{name: LLaVA15, square: true, see: func(int, int, int) (Seen, error) { return Seen{336, 336, 576}, nil }},
	}
}

// Families are the names of the families.
func Families() (names []string) {
	for _, f := range families() {
		names = append(names, f.name)
	}
	return names
}

func findFamily(name string) (family, error) {
	all := families()
	if i := slices.IndexFunc(all, func(f family) bool { return f.name == name }); i >= 0 {
		return all[i], nil
	}
	return family{}, fmt.Errorf("vlmjudge: no family of models is called %q; there are %s", name, strings.Join(Families(), ", "))
}

// Sees is what a family of models makes of a picture of w×h pixels with at most budget pixels; 0: 1280·28². It is an error for sides of
// more than 1:200, which servers refuse. (Measured against the preprocessing of transformers, see tests/oracle/judge_pictures.py.)
func Sees(name string, w, h, budget int) (Seen, error) {
	f, err := findFamily(name)
	if err != nil {
		return Seen{}, err
	}
	if w < 1 || h < 1 || max(w, h) > maxAspect*min(w, h) {
		return Seen{}, fmt.Errorf("vlmjudge: a picture of %d×%d pixels; want sides above 0, and at most 1:%d", w, h, maxAspect)
	}
	fill(&budget, defaultBudget)
	return f.see(w, h, budget)
}

// smartResize is Qwen2-VL's: sides to the nearest multiple of factor (a half to the even one), shrunk or grown where the area is not
// between least and most.
func smartResize(w, h, factor, least, most int) (Seen, error) {
	f := float64(factor)
	nearest := func(side int) int { return int(math.RoundToEven(float64(side)/f)) * factor }
	sw, sh := nearest(w), nearest(h)
	switch area := float64(w) * float64(h); {
	case sw*sh > most:
		shrink := math.Sqrt(area / float64(most))
		down := func(side int) int { return max(factor, int(math.Floor(float64(side)/shrink/f))*factor) }
		sw, sh = down(w), down(h)
	case sw*sh < least:
		grow := math.Sqrt(float64(least) / area)
		up := func(side int) int { return int(math.Ceil(float64(side)*grow/f)) * factor }
		sw, sh = up(w), up(h)
	}
	return Seen{sw, sh, sw / factor * (sh / factor)}, nil
}

// tiled is InternVL's: the grid of up to most tiles whose aspect ratio is nearest; of equally near ones a larger one, while the picture
// has more than half its pixels.
func tiled(w, h, side, most int) Seen {
	aspect, cols, rows, nearest := float64(w)/float64(h), 1, 1, math.Inf(1)
	for tiles := 1; tiles <= most; tiles++ {
		for c := 1; c <= tiles; c++ {
			if tiles%c != 0 {
				continue
			}
			r := tiles / c
			switch gap := math.Abs(aspect - float64(c)/float64(r)); {
			case gap < nearest:
				nearest, cols, rows = gap, c, r
			case gap == nearest && float64(w*h) > .5*float64(side*side*tiles):
				cols, rows = c, r
			}
		}
	}
	tokens := 256 * cols * rows
	if cols*rows > 1 {
		tokens += 256
	}
	return Seen{side * cols, side * rows, tokens}
}

// pixtral is Pixtral's: within 1024×1024, each side up to the next multiple of 16.
func pixtral(w, h, budget int) Seen {
	const longest, patch = 1024, 16
	shrink := math.Max(float64(w)/longest, float64(h)/longest)
	if budget < defaultBudget {
		shrink = math.Max(shrink, math.Sqrt(float64(w)*float64(h)/float64(budget)))
	}
	if shrink > 1 {
		w, h = max(1, int(float64(w)/shrink)), max(1, int(float64(h)/shrink))
	}
	cols, rows := (w-1)/patch+1, (h-1)/patch+1
	return Seen{cols * patch, rows * patch, rows * (cols + 1)}
}

// sized are pictures as a family of models is best sent them; as they are without a family.
func (j *Judge) sized(images []image.Image) ([]image.Image, error) {
	if j.options.Family == "" || j.reward != nil {
		return images, nil
	}
	f, err := findFamily(j.options.Family)
	if err != nil {
		return nil, err
	}
	out := make([]image.Image, len(images))
	for i, img := range images {
		pixels := imageproc.Opaque(img)
		if f.square {
			pixels = squared(pixels)
		}
		if f.exact {
			to, err := f.see(pixels.Rect.Dx(), pixels.Rect.Dy(), j.options.PixelBudget)
			if err != nil {
				return nil, err
			}
			if to.Width != pixels.Rect.Dx() || to.Height != pixels.Rect.Dy() {
				pixels = imageproc.Resize(pixels, to.Width, to.Height, imageproc.Bicubic)
			}
		}
		out[i] = pixels
	}
	return out, nil
}

// sendBudget is what pictures are shrunk to when they are sent: those that a family has its exact size for are not touched again.
func (j *Judge) sendBudget() int {
	if f, err := findFamily(j.options.Family); err == nil && f.exact {
		return math.MaxInt
	}
	return j.options.PixelBudget
}

// squared puts grey edges beside a picture.
func squared(img *image.NRGBA) *image.NRGBA {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	side := max(w, h)
	if w == h {
		return img
	}
	out := image.NewNRGBA(image.Rect(0, 0, side, side))
	for i := 0; i < len(out.Pix); i += 4 {
		out.Pix[i], out.Pix[i+1], out.Pix[i+2], out.Pix[i+3] = 127, 127, 127, 255
	}
	x, y := (side-w)/2, (side-h)/2
	for row := range h {
		from := img.PixOffset(img.Rect.Min.X, img.Rect.Min.Y+row)
		copy(out.Pix[out.PixOffset(x, y+row):], img.Pix[from:from+4*w])
	}
	return out
}
