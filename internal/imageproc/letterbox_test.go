package imageproc

import (
	"image"
	"math"
	"testing"
)

// The tables are those of Pillow and torch for the grey 5×7 picture (37·(7y+x) + 11·y²) mod 256.
func small() field {
	p := field{7, 5, nil}
	for y := range 5 {
		for x := range 7 {
			p.v = append(p.v, float64((37*(7*y+x)+11*y*y)%256))
		}
	}
	return p
}

func TestResized_equalsTorch(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []float64
		want []float64
	}{
		{"antialiased", small().resized(4, 3, smooth, nil).v, []float64{17.718, 79.620, 153.611, 218.307, 66.844, 139.635, 166.730, 121.295, 174.027, 114.817, 66.845, 96.616}},
		{"plain", small().resized(4, 3, interpolated, nil).v, []float64{13.301, 82.550, 144.265, 222.611, 60.894, 130.143, 191.857, 97.356, 188.494, 59.154, 47.580, 116.018}},
		{"antialiased, larger", small().resized(11, 9, smooth, nil).v[:11], []float64{-3.741, 12.270, 39.224, 62.770, 86.315, 109.860, 133.406, 156.951, 180.497, 207.451, 223.462}},
		{"plain, larger", small().resized(11, 9, interpolated, nil).v[:11], []float64{-4.789, 12.071, 40.203, 60.830, 87.211, 109.589, 131.966, 158.347, 178.974, 207.106, 223.966}},
	} {
		for i, want := range c.want {
			if math.Abs(c.got[i]-want) > 1.1e-3 { // three decimals are published
				t.Errorf("%s: value %d is %.3f, want %.3f", c.name, i, c.got[i], want)
			}
		}
	}
}

// Sizes and offsets of the published preparations for pictures of 512×768, 1216×832 and 333×1000.
func TestPreparers_sizes(t *testing.T) {
	for _, c := range [][4]int{{512, 768, 224, 336}, {333, 1000, 224, 672}, {1216, 832, 327, 224}, {224, 300, 224, 300}} {
		if w, h := (Torchvision{224}).target(c[0], c[1]); w != c[2] || h != c[3] {
			t.Errorf("%v: %d×%d", c, w, h)
		}
	}
	for _, c := range [][4]int{{512, 768, 149, 224}, {1216, 832, 224, 153}, {333, 1000, 75, 224}, {224, 100, 224, 100}} {
		white := image.NewNRGBA(image.Rect(0, 0, c[0], c[1]))
		for i := range white.Pix {
			white.Pix[i] = 255
		}
		dst := make([]float32, 3*224*224)
		if err := (Letterbox{Side: 224}).Prepare(dst, white); err != nil {
			t.Fatal(err)
		}
		lit, first := 0, -1
		for i, v := range dst[:224*224] {
			if v > 0 {
				lit++
				if first < 0 {
					first = i
				}
			} else if math.Abs(float64(v)+1.792263) > 1e-6 {
				t.Fatalf("bar of %v", v)
			}
		}
		if top, left := first/224, first%224; lit != c[2]*c[3] || top != (224-c[3])/2 || left != (224-c[2])/2 {
			t.Errorf("%v: %d lit, first at %d, %d", c, lit, left, top)
		}
	}
}

func TestPreparers_refuse(t *testing.T) {
	ribbon, none := image.NewNRGBA(image.Rect(0, 0, 1, 60_000)), &image.NRGBA{}
	for _, p := range []Preparer{Letterbox{Side: 224}, Torchvision{224}, CLIP(224)} {
		w, h := p.Size()
		dst := make([]float32, 3*w*h)
		for _, img := range []image.Image{ribbon, none} {
			if err := p.Prepare(dst, img); err == nil {
				t.Errorf("%T takes %v", p, img.Bounds())
			}
		}
		if err := p.Prepare(dst[1:], image.NewNRGBA(image.Rect(0, 0, 9, 9))); err == nil {
			t.Errorf("%T takes a short destination", p)
		}
	}
}

// A part of a picture is prepared as a copy of it.
func TestPreparers_subImages(t *testing.T) {
	img := formula(40, 30)
	img.Pix[3] = 7
	part := img.SubImage(image.Rect(5, 3, 37, 28)).(*image.NRGBA)
	for i := 3; i < len(img.Pix); i += 4 * 5 {
		img.Pix[i] = byte(i)
	}
	own := image.NewNRGBA(image.Rect(0, 0, 32, 25))
	for y := range 25 {
		copy(own.Pix[y*own.Stride:][:4*32], part.Pix[y*part.Stride:])
	}
	for _, p := range []Preparer{Letterbox{Side: 20}, Torchvision{20}} {
		a, b := make([]float32, 1200), make([]float32, 1200)
		if err := p.Prepare(a, part); err != nil {
			t.Fatal(err)
		}
		if err := p.Prepare(b, own); err != nil {
			t.Fatal(err)
		}
		for i := range a {
			if a[i] != b[i] {
				t.Fatalf("%T: value %d is %v, want %v", p, i, a[i], b[i])
			}
		}
	}
}
