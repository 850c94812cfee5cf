package miniworld

import (
	"image"
	"image/color"
	"math"
	"slices"
)

// The thresholds of the segmentation, chosen on renderings so that their anti-aliased edges do not matter.
const (
	chromaObject = 0.28 // a pixel this colourful belongs to an object
	chromaCore   = 0.42 // and this colourful to its saturated inside, where its colour is voted
	minBlob      = 18   // pixels: less is a crumb, not an object
	minColorVote = 30   // pixels of a second colour that split a blob in two
	minPart      = 25   // pixels of a split part
)

type (
	mask  [Size * Size]bool
	plane [Size * Size]float64
)

// pixels is a picture as float64 planes with what the checker derives per pixel.
type pixels struct {
	rgb     [Size * Size][3]float64
	chroma  plane                              // largest minus smallest channel
	squares [Size * Size][len(palette)]float64 // squared distance to each palette colour
	nearest [Size * Size]int                   // palette colour of the smallest
}

func readPixels(img image.Image) *pixels {
	p := new(pixels)
	b := img.Bounds()
	for y := range Size {
		for x := range Size {
			c := color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
			p.set(y*Size+x, [3]float64{float64(c.R) / 255, float64(c.G) / 255, float64(c.B) / 255})
		}
	}
	return p
}

func (p *pixels) set(i int, rgb [3]float64) {
	p.rgb[i] = rgb
	p.chroma[i] = max(rgb[0], rgb[1], rgb[2]) - min(rgb[0], rgb[1], rgb[2])
	for k, mean := range palette {
		p.squares[i][k] = squaredDistance(rgb, mean)
		if p.squares[i][k] < p.squares[i][p.nearest[i]] {
			p.nearest[i] = k
		}
	}
}

func squaredDistance(a, b [3]float64) float64 {
	x, y, z := a[0]-b[0], a[1]-b[1], a[2]-b[2]
	return x*x + y*y + z*z
}

// blob is a connected set of pixels of one palette colour.
type blob struct {
	mask  mask
	color int
}

// blobs returns the objects' pixels in raster order of their first pixel, and the number of pixels in crumbs.
func (p *pixels) blobs() (out []blob, crumbs int) {
	for _, part := range label(p.colorful()) {
		if len(part) < minBlob {
			crumbs += len(part)
			continue
		}
		out = append(out, p.split(part)...)
	}
	return out, crumbs
}

func (p *pixels) colorful() *mask {
	var m mask
	for i, c := range p.chroma {
		m[i] = c > chromaObject
	}
	return &m
}

// split gives a part its colour by the votes of its core, or divides it between the colours of touching objects.
func (p *pixels) split(part []int) []blob {
	var votes [len(palette)]int
	total := 0
	for _, i := range part {
		if p.chroma[i] > chromaCore {
			votes[p.nearest[i]]++
			total++
		}
	}
	var major []int
	for c, v := range votes {
		if float64(v) >= math.Max(minColorVote, 0.25*float64(total)) {
			major = append(major, c)
		}
	}
	if len(major) > 1 {
		return p.divide(part, major)
	}
	if total == 0 {
		for _, i := range part {
			votes[p.nearest[i]]++
		}
	}
	return []blob{{maskOf(part), slices.Index(votes[:], slices.Max(votes[:]))}}
}

// divide gives each pixel to the nearest of the major colours and keeps the largest connected piece of each.
func (p *pixels) divide(part, major []int) []blob {
	owned := make([]mask, len(major))
	for _, i := range part {
		best := 0
		for j, c := range major {
			if p.squares[i][c] < p.squares[i][major[best]] {
				best = j
			}
		}
		owned[best][i] = true
	}
	var out []blob
	for j, c := range major {
		var largest []int
		for _, piece := range label(&owned[j]) {
			if len(piece) > len(largest) {
				largest = piece
			}
		}
		if len(largest) >= minPart {
			out = append(out, blob{maskOf(largest), c})
		}
	}
	return out
}

// label returns the 8-connected parts of a mask, each as its pixel indices, in raster order of their first pixel.
func label(m *mask) [][]int {
	var parts [][]int
	var seen mask
	for i := range m {
		if m[i] && !seen[i] {
			parts = append(parts, flood(m, &seen, i))
		}
	}
	return parts
}

func flood(m, seen *mask, start int) []int {
	seen[start] = true
	part := []int{start}
	for at := 0; at < len(part); at++ {
		x, y := part[at]%Size, part[at]/Size
		for ny := max(y-1, 0); ny <= min(y+1, Size-1); ny++ {
			for nx := max(x-1, 0); nx <= min(x+1, Size-1); nx++ {
				if i := ny*Size + nx; m[i] && !seen[i] {
					seen[i] = true
					part = append(part, i)
				}
			}
		}
	}
	return part
}

func maskOf(part []int) (m mask) {
	for _, i := range part {
		m[i] = true
	}
	return m
}

// dilate adds the four neighbours of every set pixel.
func dilate(m *mask) *mask {
	out := *m
	for i, set := range m {
		if set {
			eachNeighbour(i, func(j int) { out[j] = true })
		}
	}
	return &out
}

// erode keeps the pixels whose four neighbours are all set; those at the border of the picture go.
func erode(m *mask) *mask {
	out := *m
	for i := range m {
		count := 0
		eachNeighbour(i, func(j int) {
			if m[j] {
				count++
			}
		})
		out[i] = m[i] && count == 4
	}
	return &out
}

func eachNeighbour(i int, visit func(j int)) {
	x, y := i%Size, i/Size
	if x > 0 {
		visit(i - 1)
	}
	if x < Size-1 {
		visit(i + 1)
	}
	if y > 0 {
		visit(i - Size)
	}
	if y < Size-1 {
		visit(i + Size)
	}
}
