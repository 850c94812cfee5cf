package training

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"io"
	"math"

	"winnow/datasets"
	"winnow/internal/imageproc"
)

// Pair is one comparison to learn from.
type Pair struct {
	Prompt           string
	Chosen, Rejected Key     // moments of the latents in the cache; Rejected is zero where the method looks at chosen pictures only
	Label            float64 // probability that the chosen one is the better, ½ to 1
	Size             int     // bucket
	ID               Key     // of its contents, which its random numbers hang on
}

// Data is what a run learns from.
type Data struct {
	Pairs []Pair
	Sizes []Size // buckets

	Rows    int     // read, good and bad
	Skipped []error // bad rows, with Options.SkipBadRows
	Ties    int     // rows that prefer neither
	Encoded int     // pictures that were not in the cache
}

// RowError is what is wrong with a row of a data set.
type RowError struct {
	File   string
	Row    int    // from 1
	Column string // "" for the row as a whole
	Err    error
}

func (e *RowError) Error() string {
	where := fmt.Sprintf("%s: row %d", e.File, e.Row)
	if e.Column != "" {
		where += ", " + e.Column
	}
	return where + ": " + e.Err.Error()
}

func (e *RowError) Unwrap() error { return e.Err }

// encodeBatch is the number of pictures that go through the VAE together.
const encodeBatch = 16

// loader reads data sets into a Data.
type loader struct {
	t       *Trainer
	data    *Data
	sizes   []Size
	wanted  []picture
	pending map[Key]bool
}

// picture is one that waits for the VAE.
type picture struct {
	key    Key
	size   Size
	pixels []float32
}

// Load reads pairs, and encodes the pictures that the cache does not hold yet. A row that breaks ends it, unless Config.SkipBadRows
// is set. Ties are left out, and counted. progress, which may be nil, is told the number of rows so far.
func (t *Trainer) Load(ctx context.Context, paths []string, progress func(rows int)) (*Data, error) {
	l := &loader{t: t, data: &Data{}, sizes: []Size{t.size}, pending: map[Key]bool{}}
	if t.config.Buckets {
		l.sizes = buckets(t.size, t.step())
	}
	l.data.Sizes = l.sizes
	for _, path := range paths {
		if err := l.file(ctx, path, progress); err != nil {
			return l.data, err
		}
	}
	if err := l.encode(ctx); err != nil {
		return l.data, err
	}
	if len(l.data.Pairs) == 0 {
		return l.data, fmt.Errorf("%v: no pair to learn from: %d rows, %d ties, %d broken; want rows in which one picture of a prompt is preferred to another",
			paths, l.data.Rows, l.data.Ties, len(l.data.Skipped))
	}
	return l.data, nil
}

func (l *loader) file(ctx context.Context, path string, progress func(int)) (err error) {
	// The order is of no use here, and must not depend on anything but the file.
	r, err := datasets.Open(path, "", &datasets.Options{Images: l.t.config.Images, KeepOrder: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, err := r.Next()
		if err == io.EOF {
			return nil
		}
		l.data.Rows++
		if progress != nil {
			progress(l.data.Rows)
		}
		if err == nil {
			err = l.record(ctx, path, &rec)
		}
		var row *datasets.RowError
		var own *RowError
		switch {
		case err == nil:
		case l.t.config.SkipBadRows && (errors.As(err, &row) || errors.As(err, &own)):
			l.data.Skipped = append(l.data.Skipped, err)
		default:
			return err
		}
	}
}

// record adds the pairs of a row.
func (l *loader) record(ctx context.Context, path string, rec *datasets.Record) error {
	wrong := func(column string, err error) error { return &RowError{path, rec.Row, column, err} }
	if rec.Prompt == "" && rec.Kind != datasets.KindPrompt {
		return wrong("prompt", errors.New("is empty"))
	}
	if err := l.t.ldm.CheckPrompts([]string{rec.Prompt}); err != nil && !l.t.config.Truncate {
		return wrong("prompt", err)
	}
	found := 0
	for p := range rec.Pairs() {
		found++
		label := p.Label
		if l.t.soft {
			label = p.Soft
		}
		switch {
		case math.IsNaN(label):
			return wrong("label", errors.New("prefers none and is no tie either; it is not a number"))
		case label < 0 || label > 1:
			return wrong("label", fmt.Errorf("is %v, want 0 to 1", label))
		case p.Label == 0.5:
			l.data.Ties++
			continue
		}
		chosen, rejected := &rec.Images[p.A], &rec.Images[p.B]
		if p.Label < 0.5 {
			chosen, rejected, label = rejected, chosen, 1-label
		}
		if err := l.pair(ctx, rec, chosen, rejected, label); err != nil {
			return wrong("", err)
		}
	}
	if found == 0 {
		return wrong("", fmt.Errorf("is no comparison of pictures: it holds %d", len(rec.Images)))
	}
	return nil
}

func (l *loader) pair(ctx context.Context, rec *datasets.Record, chosen, rejected *datasets.Image, label float64) error {
	p := Pair{Prompt: rec.Prompt, Label: label, Size: -1}
	var err error
	if p.Chosen, err = l.picture(ctx, chosen, &p.Size); err != nil {
		return fmt.Errorf("picture %s: %w", chosen.Name(), err)
	}
	if l.t.method.Rejected {
		if p.Rejected, err = l.picture(ctx, rejected, &p.Size); err != nil {
			return fmt.Errorf("picture %s: %w", rejected.Name(), err)
		}
	}
	p.ID = keyOf([]byte(p.Prompt), p.Chosen[:], p.Rejected[:])
	l.data.Pairs = append(l.data.Pairs, p)
	return nil
}

// picture makes sure that the cache has the moments of a picture, and gives their key. The first picture of a pair chooses the size.
func (l *loader) picture(ctx context.Context, im *datasets.Image, size *int) (Key, error) {
	data, err := im.Bytes()
	if err != nil {
		return Key{}, err
	}
	var img *image.NRGBA
	decode := func() error {
		if img == nil {
			img, err = imageproc.Decode(im.Name(), data, imageproc.DefaultLimits)
		}
		return err
	}
	if *size < 0 {
		*size = 0
		if len(l.sizes) > 1 {
			if err := decode(); err != nil {
				return Key{}, err
			}
			*size = bucketFor(l.sizes, img.Bounds().Dx(), img.Bounds().Dy())
		}
	}
	s, sum := l.sizes[*size], sha256.Sum256(data)
	key := l.t.momentsKey(sum, s)
	if l.pending[key] {
		return key, nil
	}
	if _, ok, err := l.t.cache.Get(ctx, key, 2*l.t.latents(s)); ok || err != nil {
		return key, err
	}
	if err := decode(); err != nil {
		return Key{}, err
	}
	l.pending[key] = true
	l.wanted = append(l.wanted, picture{key, s, fit(img, s)})
	if len(l.wanted) >= encodeBatch {
		return key, l.encode(ctx)
	}
	return key, nil
}

// encode sends the pictures that wait through the VAE, those of one size together.
func (l *loader) encode(ctx context.Context) error {
	for len(l.wanted) > 0 {
		size := l.wanted[0].size
		var now, later []picture
		for _, p := range l.wanted {
			if p.size == size {
				now = append(now, p)
			} else {
				later = append(later, p)
			}
		}
		if err := l.encodeSize(ctx, now, size); err != nil {
			return err
		}
		l.wanted = later
	}
	clear(l.pending)
	return nil
}

func (l *loader) encodeSize(ctx context.Context, now []picture, size Size) error {
	var pixels []float32
	for _, p := range now {
		pixels = append(pixels, p.pixels...)
	}
	m, err := l.t.ldm.EncodePictures(ctx, pixels, len(now), size.Height, size.Width)
	if err != nil {
		return err
	}
	n := l.t.latents(size)
	return l.t.cache.Batch(ctx, func() error {
		for i, p := range now {
			both := make([]float32, 2*n)
			copy(both, m.Mean[i*n:(i+1)*n])
			if m.Std != nil {
				copy(both[n:], m.Std[i*n:(i+1)*n])
			}
			l.data.Encoded++
			if err := l.t.cache.Put(ctx, p.key, both); err != nil {
				return err
			}
		}
		return nil
	})
}
