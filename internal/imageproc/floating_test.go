package imageproc

import (
	"image"
	"math"
	"testing"
)

// wave repeats numbers() of tests/oracle/pixel_gradients.py.
func wave(n int, step, size float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(size * math.Sin(step*float64(i)+0.1))
	}
	return v
}

// floatingKinds are the preparations of the golden file.
func floatingKinds(t *testing.T) map[string]Differentiable {
	t.Helper()
	off, bilinear := false, int(Bilinear)
	tilted, err := config{Size: sideSpec{Set: true, Shortest: 32}, Crop: sideSpec{Set: true, plain: 32}, Resample: &bilinear}.build("")
	if err != nil {
		t.Fatal(err)
	}
	squash, err := config{Size: sideSpec{Set: true, Width: 40, Height: 24}, DoCrop: &off}.build("")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]Differentiable{
		"processor": CLIP(32), "bilinear": tilted.With(OnTorchvision), "squash": squash, "letterbox": Letterbox{Side: 32},
		"legacy": Letterbox{Side: 32, Legacy: true}, "torchvision": Torchvision{32},
	}
}

func TestFloatMap_equalsTorch(t *testing.T) {
	var g struct {
		Rows []struct {
			Kind             string
			W, H             int
			Values, Gradient []float64
		}
	}
	readJSON(t, "floating.json", &g)
	if len(g.Rows) < 36 {
		t.Fatalf("only %d goldens", len(g.Rows))
	}
	kinds := floatingKinds(t)
	for _, r := range g.Rows {
		m, err := kinds[r.Kind].Floating(r.W, r.H)
		if err != nil {
			t.Fatal(err)
		}
		w, h := kinds[r.Kind].Size()
		pixels, got := wave(3*r.W*r.H, 0.37, 1.15), make([]float32, 3*w*h)
		if err := m.Prepare(got, pixels); err != nil {
			t.Fatal(err)
		}
		if err := m.Adjoint(pixels, wave(3*w*h, 0.71, 1), pixels); err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string]struct {
			got  []float32
			want []float64
		}{"value": {got, r.Values}, "gradient": {pixels, r.Gradient}} {
			for i, want := range c.want {
				if d := math.Abs(float64(c.got[41*i]) - want); !(d <= 1e-5) {
					t.Errorf("%s, %d×%d: %s %d is off by %g", r.Kind, r.W, r.H, what, 41*i, d)
					break
				}
			}
		}
	}
}

// The picture in bytes gives the same values up to rounding; both crops and pads are the same.
func TestFloatMap_nearBytes(t *testing.T) {
	kinds := floatingKinds(t)
	for _, f := range []Filter{Nearest, Lanczos, Box} {
		number := int(f)
		p, err := config{Size: sideSpec{Set: true, Shortest: 24}, Crop: sideSpec{Set: true, plain: 32}, Resample: &number}.build("")
		if err != nil {
			t.Fatal(err)
		}
		kinds[[]string{"nearest", "Lanczos", "", "", "box"}[f]+", padded"] = p
	}
	for name, p := range kinds {
		for _, size := range [][2]int{{37, 53}, {64, 64}, {100, 40}, {32, 32}} {
			w, h := size[0], size[1]
			img, pixels := image.NewNRGBA(image.Rect(0, 0, w, h)), make([]float32, 3*w*h)
			for i := range pixels {
				c, y, x := i/(w*h), i/w%h, i%w
				level := 128 + 100*math.Sin(float64(x)/9+float64(y)/7+float64(c))
				pixels[i] = float32(level/127.5 - 1)
				img.Pix[4*(y*w+x)+c], img.Pix[4*(y*w+x)+3] = byte(math.Round(level)), 255
			}
			m, err := p.Floating(w, h)
			if err != nil {
				t.Fatal(err)
			}
			ow, oh := p.Size()
			a, b := make([]float32, 3*ow*oh), make([]float32, 3*ow*oh)
			if err := m.Prepare(a, pixels); err != nil {
				t.Fatal(err)
			}
			if err := p.Prepare(b, img); err != nil {
				t.Fatal(err)
			}
			for i := range a {
				// Three roundings of half a level; a level is 1/255 over a deviation of at least 0.26.
				if d := math.Abs(float64(a[i] - b[i])); d > 1.6/255/0.26 {
					t.Fatalf("%s, %d×%d: value %d is %v, %v from bytes", name, w, h, i, a[i], b[i])
				}
			}
		}
	}
}

func TestFloatMap_refuses(t *testing.T) {
	for name, p := range floatingKinds(t) {
		for _, size := range [][2]int{{0, 5}, {5, -1}} {
			if _, err := p.Floating(size[0], size[1]); err == nil {
				t.Errorf("%s: %v was taken", name, size)
			}
		}
	}
	if _, err := (Torchvision{32}).Floating(1, 1<<27); err == nil {
		t.Error("a picture of 32×2³² after resizing was taken")
	}
	if _, err := (Letterbox{Side: 32}).Floating(1, 100); err == nil {
		t.Error("a picture without width after resizing was taken")
	}
	m, err := CLIP(8).Floating(4, 4)
	if err != nil {
		t.Fatal(err)
	}
	right, short := make([]float32, 192), make([]float32, 5)
	if m.Prepare(short, right[:48]) == nil || m.Prepare(right, short) == nil || m.Adjoint(short, right, right[:48]) == nil || m.Adjoint(right[:48], short, right[:48]) == nil {
		t.Error("slices of another length were taken")
	}
}
