package imageproc

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"
)

// Processor turns a picture into the float32 array a vision tower takes: resize,
// centre crop, rescale, normalize, channels first. It does what transformers'
// CLIPImageProcessor does with the same preprocessor_config.json.
// It is safe for concurrent use.
type Processor struct {
	shortest      int // length of the shorter side after resizing; 0: width and height hold
	width, height int
	resize        bool
	filter        Filter
	backend       Backend
	crop          image.Point // size cut from the middle; zero: no crop
	table         [3][256]float32
}

// Backend is one of the two libraries that transformers prepares pictures with.
// They resize with other roundings and pad small pictures to other sides.
type Backend int

// OnPillow stands for CLIPImageProcessorPil, the "slow" processor, and is the
// default; OnTorchvision for CLIPImageProcessor, which was called "fast" before
// transformers 5.
const (
	OnPillow Backend = iota
	OnTorchvision
)

// With returns the same processor on another backend.
func (p *Processor) With(b Backend) *Processor {
	q := *p
	q.backend = b
	return &q
}

// CLIP's normalization (OpenAI, used by LAION, PickScore and BLIP as well).
var (
	clipMean = []float64{0.48145466, 0.4578275, 0.40821073}
	clipStd  = []float64{0.26862954, 0.26130258, 0.27577711}
)

const (
	defaultSide   = 224
	defaultFactor = 1 / 255.
	maxSide       = 4096 // no vision tower takes more; keeps a hostile config from taking memory
	maxConfig     = 1 << 20
)

// ConfigError says what in a preprocessor_config.json cannot be followed.
type ConfigError struct {
	File, Field, Why string
	Err              error
}

// Error is "imageproc: FILE: field: why".
func (e *ConfigError) Error() string {
	s := "imageproc: " + e.File
	if e.Field != "" {
		s += ": " + e.Field
	}
	s += ": " + e.Why
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// config is the file; a missing field means CLIP's default, or SigLIP's where Type says so.
type config struct {
	Type        string    `json:"image_processor_type"`
	DoResize    *bool     `json:"do_resize"`
	DoCrop      *bool     `json:"do_center_crop"`
	DoRescale   *bool     `json:"do_rescale"`
	DoNormalize *bool     `json:"do_normalize"`
	DoPad       *bool     `json:"do_pad"`
	Size        sideSpec  `json:"size"`
	Crop        sideSpec  `json:"crop_size"`
	Resample    *int      `json:"resample"`
	Factor      *float64  `json:"rescale_factor"`
	Mean        []float64 `json:"image_mean"`
	Std         []float64 `json:"image_std"`
}

// sideSpec is a size: a number, {"shortest_edge"}, or {"height","width"}.
type sideSpec struct {
	Set      bool
	Shortest int `json:"shortest_edge"`
	Longest  int `json:"longest_edge"`
	Height   int `json:"height"`
	Width    int `json:"width"`
	plain    int
}

// UnmarshalJSON accepts the three forms, and null as absent.
func (s *sideSpec) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	s.Set = true
	if len(data) > 0 && data[0] != '{' {
		return json.Unmarshal(data, &s.plain)
	}
	type object sideSpec
	return json.Unmarshal(data, (*object)(s))
}

// CLIP is CLIPImageProcessor with its defaults at another side length.
func CLIP(side int) *Processor {
	p, err := config{Size: sideSpec{Set: true, Shortest: side}, Crop: sideSpec{Set: true, plain: side}}.build("")
	if err != nil {
		panic(err) // side is ours, not a user's
	}
	return p
}

// OpenProcessor reads preprocessor_config.json of a model folder, or the
// "image_processor" part of processor_config.json, which transformers 5 writes.
// source names the folder in errors.
func OpenProcessor(fsys fs.FS, source string) (*Processor, error) {
	const single, combined = "preprocessor_config.json", "processor_config.json"
	data, err := readConfig(fsys, single)
	if err == nil {
		return parse(path.Join(source, single), data)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, &ConfigError{File: path.Join(source, single), Why: "cannot be read", Err: err}
	}
	name := path.Join(source, combined)
	data, err = readConfig(fsys, combined)
	if err != nil {
		return nil, &ConfigError{File: path.Join(source, single), Why: "cannot be read; it says how images must be prepared, so copy it from the original model", Err: err}
	}
	var outer struct {
		Image json.RawMessage `json:"image_processor"`
	}
	if err := json.Unmarshal(data, &outer); err != nil {
		return nil, &ConfigError{File: name, Why: "is not the JSON expected", Err: err}
	}
	if outer.Image == nil {
		return nil, &ConfigError{File: name, Field: "image_processor", Why: "is missing"}
	}
	return parse(name, outer.Image)
}

func readConfig(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(data) > maxConfig {
		err = fmt.Errorf("larger than %d KiB", maxConfig>>10)
	}
	return data, err
}

func parse(name string, data []byte) (*Processor, error) {
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, &ConfigError{File: name, Why: "is not the JSON expected", Err: err}
	}
	return c.build(name)
}

// isOn is a switch that defaults to on.
func isOn(b *bool) bool { return b == nil || *b }

func (c config) build(file string) (*Processor, error) {
	fail := func(field, why string, args ...any) (*Processor, error) {
		return nil, &ConfigError{File: file, Field: field, Why: fmt.Sprintf(why, args...)}
	}
	switch {
	case strings.HasPrefix(c.Type, "Siglip2"):
		return fail("image_processor_type", "%q cuts pictures of any shape into patches, which is not supported; take a model of fixed resolution", c.Type)
	case strings.HasPrefix(c.Type, "Siglip"):
		c = c.siglip()
	}
	p := &Processor{resize: isOn(c.DoResize)}
	if c.DoPad != nil && *c.DoPad {
		return fail("do_pad", "padding is not supported; CLIP-type models crop")
	}
	if !c.Size.Set {
		c.Size.Shortest = defaultSide
	}
	if c.Size.Longest != 0 {
		return fail("size", "longest_edge is not supported; give shortest_edge, or height and width")
	}
	p.shortest, p.width, p.height = max(c.Size.Shortest, c.Size.plain), c.Size.Width, c.Size.Height
	if p.shortest > 0 {
		p.width, p.height = 0, 0
	}
	if isOn(c.DoCrop) {
		p.crop = c.cropSize()
		if !sane(p.crop.X) || !sane(p.crop.Y) {
			return fail("crop_size", "%d×%d is outside 1 to %d", p.crop.X, p.crop.Y, maxSide)
		}
	}
	if p.resize && !sane(p.shortest) && !(sane(p.width) && sane(p.height)) {
		return fail("size", "must be 1 to %d: a number, shortest_edge, or height and width", maxSide)
	}
	if p.crop == (image.Point{}) && !(p.resize && p.shortest == 0) {
		return fail("do_center_crop", "without a crop the size must give height and width, or images would differ in size")
	}
	p.filter = Filter(orInt(c.Resample, int(Bicubic)))
	if p.filter < Nearest || p.filter > Hamming {
		return fail("resample", "filter %d is unknown; Pillow numbers them 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box and 5 Hamming", p.filter)
	}
	return p, p.setTable(file, c)
}

// siglip fills in what SiglipImageProcessor does where the file is silent: squash to a square, no crop, values -1 to 1.
func (c config) siglip() config {
	if c.DoCrop == nil {
		c.DoCrop = new(bool)
	}
	if !c.Size.Set {
		c.Size = sideSpec{Set: true, Width: defaultSide, Height: defaultSide}
	}
	if c.Mean == nil {
		c.Mean = []float64{0.5, 0.5, 0.5}
	}
	if c.Std == nil {
		c.Std = []float64{0.5, 0.5, 0.5}
	}
	return c
}

func sane(side int) bool { return side > 0 && side <= maxSide }

func (c config) cropSize() image.Point {
	switch {
	case !c.Crop.Set:
		return image.Pt(defaultSide, defaultSide)
	case c.Crop.plain != 0:
		return image.Pt(c.Crop.plain, c.Crop.plain)
	}
	return image.Pt(c.Crop.Width, c.Crop.Height)
}

func orInt(p *int, def int) int {
	if p == nil {
		return def
	}
	return *p
}

// setTable computes the value of each byte in each channel once.
func (p *Processor) setTable(file string, c config) error {
	factor := defaultFactor
	if c.Factor != nil {
		factor = *c.Factor
	}
	if !isOn(c.DoRescale) {
		factor = 1
	}
	mean, std := []float64{0, 0, 0}, []float64{1, 1, 1}
	if isOn(c.DoNormalize) {
		mean, std = clipMean, clipStd
		if c.Mean != nil {
			mean = c.Mean
		}
		if c.Std != nil {
			std = c.Std
		}
	}
	if len(mean) != 3 || len(std) != 3 {
		return &ConfigError{File: file, Field: "image_mean, image_std", Why: fmt.Sprintf("hold %d and %d values instead of 3", len(mean), len(std))}
	}
	for ch := range 3 {
		for v := range 256 {
			x := (float64(v)*factor - mean[ch]) / std[ch]
			if math.IsNaN(x) || math.Abs(x) > math.MaxFloat32 {
				return &ConfigError{File: file, Field: "image_std", Why: fmt.Sprintf("value %d of channel %d becomes %v", v, ch, x)}
			}
			p.table[ch][v] = float32(x)
		}
	}
	return nil
}

// Size is the width and height of the result in pixels.
func (p *Processor) Size() (width, height int) {
	if p.crop != (image.Point{}) {
		return p.crop.X, p.crop.Y
	}
	return p.width, p.height
}

// Process writes a picture's 3×height×width values, channel after channel, into
// dst, whose length must be exactly that.
func (p *Processor) Process(dst []float32, img *image.NRGBA) error {
	w, h := p.Size()
	if len(dst) != 3*w*h {
		return fmt.Errorf("imageproc: destination holds %d values, want %d", len(dst), 3*w*h)
	}
	at, err := p.Pixels(img)
	if err != nil {
		return err
	}
	for y := range h {
		row := at.Pix[y*at.Stride:]
		for x := range w {
			for ch := range 3 {
				dst[(ch*h+y)*w+x] = p.table[ch][row[4*x+ch]]
			}
		}
	}
	return nil
}

// Pixels returns the picture as the model sees it, resized and cropped.
func (p *Processor) Pixels(img *image.NRGBA) (_ *image.NRGBA, err error) {
	if img.Rect.Empty() {
		return nil, errors.New("imageproc: picture without pixels")
	}
	if p.resize {
		w, h := p.target(img.Rect.Dx(), img.Rect.Dy())
		if w > DefaultLimits.Pixels/h {
			return nil, fmt.Errorf("imageproc: a picture of %d×%d is too long for its width: resized it would be %d×%d", img.Rect.Dx(), img.Rect.Dy(), w, h)
		}
		if img, err = p.scaled(img, w, h); err != nil {
			return nil, err
		}
	}
	if p.crop != (image.Point{}) {
		img = centerCrop(img, p.crop, p.backend)
	}
	if w, h := p.Size(); img.Rect.Dx() != w || img.Rect.Dy() != h {
		return nil, fmt.Errorf("imageproc: the picture became %d×%d, want %d×%d", img.Rect.Dx(), img.Rect.Dy(), w, h)
	}
	return img, nil
}

func (p *Processor) scaled(img *image.NRGBA, w, h int) (*image.NRGBA, error) {
	if p.backend == OnTorchvision {
		return ResizeTorch(img, w, h, p.filter)
	}
	return Resize(img, w, h, p.filter), nil
}

// target is the size to resize to; the longer side is truncated, as in torchvision.
func (p *Processor) target(w, h int) (int, int) {
	switch {
	case p.shortest == 0:
		return p.width, p.height
	case w <= h:
		return p.shortest, int(float64(p.shortest*h) / float64(w))
	}
	return int(float64(p.shortest*w) / float64(h)), p.shortest
}

// centerCrop cuts size from the middle. The offset rounds towards zero, which is
// transformers' rule; torchvision's own would round half to even. Where the picture
// is smaller, black fills the rest; with Pillow its odd row or column goes to the
// top or left, with Torchvision to the bottom or right.
func centerCrop(img *image.NRGBA, size image.Point, b Backend) *image.NRGBA {
	out := image.NewNRGBA(image.Rectangle{Max: size})
	sx, dx, w := cropSpan(img.Rect.Dx(), size.X, b)
	sy, dy, h := cropSpan(img.Rect.Dy(), size.Y, b)
	for y := range h {
		src := img.Pix[(sy+y)*img.Stride+4*sx:][:4*w]
		copy(out.Pix[(dy+y)*out.Stride+4*dx:], src)
	}
	return out
}

// cropSpan says where to read from, where to write to, and how many.
func cropSpan(have, want int, b Backend) (from, to, n int) {
	if have >= want {
		return (have - want) / 2, 0, want
	}
	if b == OnPillow {
		return 0, (want - have + 1) / 2, have
	}
	return 0, (want - have) / 2, have
}
