package training

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"strings"

	"winnow/datasets"
	"winnow/internal/imageproc"
)

// Pair is one comparison to learn from.
type Pair struct {
	Prompt           string
	Other            string     // prompt of the rejected picture where the two were never compared, see single; "": Prompt
	Chosen, Rejected Key        // moments of the latents in the cache; Rejected is zero where the method looks at chosen pictures only
	Mirrored         [2]Key     // those of both pictures mirrored, with Config.RandomFlip
	Label            float64    // probability that the chosen one is the better, ½ to 1
	Scores           [2]float64 // rewards that the set has for them; NaN where it has none
	Group            int        // row that it is from
	Size             int        // bucket
	ID               Key        // of its contents, which its random numbers hang on
}

// Data is what a run learns from.
type Data struct {
	Pairs []Pair
	Sizes []Size // buckets

	Rows     int     // read, good and bad
	Singles  int     // of Rows, those of single pictures, which Pairs are made of
	Alone    int     // single pictures without one of the other sort of their size
	Unchosen int     // pairs that Config.Selection has left out
	Skipped  []error // bad rows, each a *datasets.RowError, with Config.SkipBadRows
	Ties     int     // rows that prefer neither
	Middle   int     // pictures in the middle of a ranking, without a partner, see loader.ranked
	Encoded  int     // pictures that were not in the cache
}

// encodeBatch is the number of pictures that go through the VAE together.
const encodeBatch = 16

// loader reads data sets into a Data.
type loader struct {
	t       *Trainer
	data    *Data
	sizes   []Size
	wanted  []picture
	pending map[Key]bool
	singles []single
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
	l.match()
	if len(l.data.Pairs) == 0 && l.data.Singles > 0 {
		return l.data, fmt.Errorf("%s: all %d pictures are liked, or none is: %s learns from both sorts", strings.Join(paths, ", "), l.data.Singles, t.method.Name)
	}
	if len(l.data.Pairs) == 0 {
		return l.data, fmt.Errorf("%s: no pair to learn from: %d rows, %d ties, %d bad; want rows in which one picture of a prompt is preferred to another",
			strings.Join(paths, ", "), l.data.Rows, l.data.Ties, len(l.data.Skipped))
	}
	return l.data, t.choose(ctx, l.data)
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
		if errors.Is(err, io.EOF) {
			return nil
		}
		l.data.Rows++
		if progress != nil {
			progress(l.data.Rows)
		}
		if err == nil {
			err = l.record(ctx, path, r.Info().Name, &rec)
		}
		var row *datasets.RowError
		switch isRow := errors.As(err, &row); {
		case err == nil:
		case isRow && l.t.config.SkipBadRows:
			l.data.Skipped = append(l.data.Skipped, err)
		case isRow:
			return fmt.Errorf("%w; mend the row, or leave out such rows with --skip-bad-rows", err)
		default:
			return err
		}
	}
}

// record adds the pairs of a row, all or none.
func (l *loader) record(ctx context.Context, path string, format datasets.Format, rec *datasets.Record) (err error) {
	pairs, ties, middle := len(l.data.Pairs), l.data.Ties, l.data.Middle
	defer func() {
		if err != nil {
			l.data.Pairs, l.data.Ties, l.data.Middle = l.data.Pairs[:pairs], ties, middle
		}
	}()
	wrong := func(column, format string, args ...any) error {
		return &datasets.RowError{File: path, Line: rec.Row, Column: column, Err: fmt.Errorf(format, args...)}
	}
	if strings.TrimSpace(rec.Prompt) == "" && rec.Kind != datasets.KindPrompt {
		return wrong("prompt", "is empty")
	}
	if err := l.t.CheckPrompt(rec.Prompt); err != nil {
		return wrong("prompt", "%w", err)
	}
	ofPicture := func(i int, err error) error {
		var broken *pictureError
		if errors.As(err, &broken) {
			return wrong(column(format, i), "picture %s: %w", rec.Images[i].Name(), broken.err)
		}
		return err
	}
	if l.isSingle(rec) {
		return ofPicture(0, l.single(ctx, rec))
	}
	found, size := 0, -1
	for p := range l.pairs(rec) {
		if !l.t.loss.Groups {
			size = -1
		}
		label, err := l.label(rec, p)
		if err != nil {
			return wrong("label", "%w", err)
		}
		if math.IsNaN(label) {
			continue
		}
		found++
		if bad, err := l.compared(ctx, rec, p, label, &size); err != nil {
			return ofPicture(bad, err)
		}
	}
	if found == 0 && len(rec.Images) == 1 && !math.IsNaN(rec.Label) {
		return wrong("images", "is one picture with a label of its own, and %s compares two; kto learns from such", l.t.method.Name)
	}
	if found == 0 {
		return wrong("", "is no comparison of pictures: it holds %d pictures, and ranks none of them above another", len(rec.Images))
	}
	return nil
}

// label is what a comparison says; NaN where one of its pictures has no rank.
func (l *loader) label(rec *datasets.Record, p datasets.Pair) (float64, error) {
	label := p.Label
	if l.t.soft {
		label = p.Soft
	}
	switch {
	case math.IsNaN(label) && rec.Kind != datasets.KindGroup:
		return label, errors.New("says nothing; want 1 for the first picture, 0 for the second, 0.5 for a tie")
	case label < 0 || label > 1:
		return label, fmt.Errorf("is %v, want 0 to 1", label)
	}
	return label, nil
}

// column is where a format keeps a row's i'th picture.
func column(format datasets.Format, i int) string {
	switch format {
	case "pickapic":
		return fmt.Sprintf("jpg_%d", i)
	case "csv":
		return fmt.Sprintf("image_%d", i)
	}
	return fmt.Sprintf("images[%d]", i)
}

// pictureError is a picture that cannot be had, in distinction to what is wrong with the cache or the model.
type pictureError struct{ err error }

func (e *pictureError) Error() string { return e.err.Error() }
func (e *pictureError) Unwrap() error { return e.err }

// compared adds a comparison of a row, or counts a tie; the rest is as with pair.
func (l *loader) compared(ctx context.Context, rec *datasets.Record, p datasets.Pair, label float64, size *int) (bad int, err error) {
	switch {
	case label == 0.5:
		l.data.Ties++
		return 0, nil
	case label < 0.5:
		return l.pair(ctx, rec, p.B, p.A, 1-label, size)
	}
	return l.pair(ctx, rec, p.A, p.B, label, size)
}

// pair adds two pictures of a row; in case of an error it names the one that it is about. size is −1, or that of the row's other pictures.
func (l *loader) pair(ctx context.Context, rec *datasets.Record, chosen, rejected int, label float64, size *int) (bad int, err error) {
	p := Pair{Prompt: rec.Prompt, Label: label, Group: l.data.Rows, Size: *size, Scores: [2]float64{scoreOf(rec, chosen), scoreOf(rec, rejected)}}
	if p.Chosen, p.Mirrored[0], err = l.picture(ctx, &rec.Images[chosen], &p.Size); err != nil {
		return chosen, err
	}
	if l.t.ownsRejected() {
		if p.Rejected, p.Mirrored[1], err = l.picture(ctx, &rec.Images[rejected], &p.Size); err != nil {
			return rejected, err
		}
	}
	*size = p.Size
	p.ID = keyOf([]byte(p.Prompt), p.Chosen[:], p.Rejected[:])
	l.data.Pairs = append(l.data.Pairs, p)
	return 0, nil
}

// scoreOf is the score of a row's i'th picture.
func scoreOf(rec *datasets.Record, i int) float64 {
	if i >= len(rec.Scores) {
		return math.NaN()
	}
	return rec.Scores[i]
}

// picture makes sure that the cache has the moments of a picture, and gives their key, and that of its mirror image where pictures are
// flipped. The first picture of a pair chooses the size.
func (l *loader) picture(ctx context.Context, im *datasets.Image, size *int) (key, mirrored Key, err error) {
	data, err := im.Bytes()
	if err != nil {
		return key, mirrored, &pictureError{bare(err)}
	}
	var img *image.NRGBA
	decode := func() error {
		if img != nil {
			return nil
		}
		if img, err = imageproc.Decode(im.Name(), data, imageproc.DefaultLimits); err != nil {
			return &pictureError{bareOf(im.Name(), err)}
		}
		return nil
	}
	if *size < 0 {
		*size = 0
		if len(l.sizes) > 1 {
			if err := decode(); err != nil {
				return key, mirrored, err
			}
			*size = bucketFor(l.sizes, img.Bounds().Dx(), img.Bounds().Dy())
		}
	}
	s, sum := l.sizes[*size], sha256.Sum256(data)
	pixels := func() ([]float32, error) {
		if err := decode(); err != nil {
			return nil, err
		}
		return fit(img, s), nil
	}
	key = l.t.momentsKey(sum, s, false)
	if err := l.want(ctx, key, s, pixels); err != nil || !l.t.config.RandomFlip {
		return key, mirrored, err
	}
	mirrored = l.t.momentsKey(sum, s, true)
	return key, mirrored, l.want(ctx, mirrored, s, func() ([]float32, error) {
		v, err := pixels()
		return mirror(v, s.Width), err
	})
}

// want puts a picture down for the VAE, unless the cache has what becomes of it.
func (l *loader) want(ctx context.Context, key Key, s Size, pixels func() ([]float32, error)) error {
	if l.pending[key] {
		return nil
	}
	if _, ok, err := l.t.cache.Get(ctx, key, 2*l.t.latents(s)); ok || err != nil {
		return err
	}
	v, err := pixels()
	if err != nil {
		return err
	}
	l.pending[key] = true
	l.wanted = append(l.wanted, picture{key, s, v})
	if len(l.wanted) >= encodeBatch {
		return l.encode(ctx)
	}
	return nil
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
