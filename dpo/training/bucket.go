package training

import (
	"cmp"
	"math"
	"slices"
)

// Size is the size of training pictures in pixels.
type Size struct{ Width, Height int }

// buckets lists picture sizes of about the given area and all aspect ratios from 1:2 to 2:1, with sides that are multiples of step:
// for each width the height that comes nearest to the area without exceeding it.
func buckets(area Size, step int) []Size {
	limit := area.Width * area.Height
	out := []Size{}
	add := func(s Size) {
		if s.Width >= step && s.Height >= step && max(s.Width, s.Height) <= 2*min(s.Width, s.Height) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	add(area)
	longest := int(math.Sqrt(2*float64(limit)))/step*step + step
	for side := step; side <= longest; side += step {
		other := min(limit/side/step*step, 2*side)
		add(Size{side, other})
		add(Size{other, side})
	}
	slices.SortFunc(out, func(a, b Size) int { return cmp.Or(a.Width-b.Width, a.Height-b.Height) })
	return out
}

// bucketFor is the place of the size whose aspect ratio is nearest to that of a picture; of equals, the one of larger area.
func bucketFor(sizes []Size, width, height int) int {
	best, distance := 0, math.Inf(1)
	for i, s := range sizes {
		d := math.Abs(math.Log(float64(s.Width)/float64(s.Height)) - math.Log(float64(width)/float64(height)))
		if d < distance-1e-9 || d < distance+1e-9 && s.Width*s.Height > sizes[best].Width*sizes[best].Height {
			best, distance = i, d
		}
	}
	return best
}
