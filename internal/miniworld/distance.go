package miniworld

import "math"

// distance returns the signed distance in pixels, negative inside, from the point (x, y) to the outline of a shape of
// nominal radius r centred at the origin; y points down.
func distance(shape string, x, y, r float64) float64 {
	switch shape {
	case "circle":
		return math.Hypot(x, y) - r
	case "square":
		return boxDistance(x, y, 0.9*r, 0.9*r)
	case "ring":
		return math.Abs(math.Hypot(x, y)-0.76*r) - 0.25*r
	case "cross":
		return math.Min(boxDistance(x, y, r, 0.34*r), boxDistance(x, y, 0.34*r, r))
	case "triangle":
		return triangleDistance(x, y, r)
	case "star":
		return starDistance(x, y, r)
	}
	return math.Inf(1)
}

func boxDistance(x, y, halfWidth, halfHeight float64) float64 {
	dx, dy := math.Abs(x)-halfWidth, math.Abs(y)-halfHeight
	return math.Hypot(math.Max(dx, 0), math.Max(dy, 0)) + math.Min(math.Max(dx, dy), 0)
}

// triangleDistance is for an upright equilateral triangle of circumradius 1.2 r, centred on its bounding box. The
// largest of the three edge distances bounds the true one from below outside a corner; the pictures were drawn so.
func triangleDistance(x, y, r float64) float64 {
	radius := 1.2 * r
	down := y - 0.25*radius
	side := math.Sqrt(3) / 2
	return math.Max(math.Max(down, x*side-0.5*down), -x*side-0.5*down) - radius/2
}

// starDistance is for a five-pointed star with inner ratio 0.45, after Inigo Quilez, "2D distance functions"
// (sdStar5): two reflections fold the plane onto one edge.
func starDistance(x, y, r float64) float64 {
	const kx, ky, ratio = 0.809016994375, -0.587785252292, 0.45
	radius := 1.15 * r
	px, py := math.Abs(x), -(y - 0.05*radius)
	t := math.Max(kx*px+ky*py, 0)
	px, py = px-2*t*kx, py-2*t*ky
	t = math.Max(-kx*px+ky*py, 0)
	px, py = px+2*t*kx, py-2*t*ky
	px, py = math.Abs(px), py-radius
	bx, by := ratio*-ky, ratio*kx-1.0
	h := clamp((px*bx+py*by)/(bx*bx+by*by), 0, radius)
	d := math.Hypot(px-bx*h, py-by*h)
	if side := py*bx - px*by; side < 0 {
		return -d
	} else if side == 0 {
		return 0
	}
	return d
}

func clamp(v, low, high float64) float64 { return math.Min(math.Max(v, low), high) }
