package miniworld

import "math"

// surface is what the checker sees of the background: its kind, how far the levels stray from that kind (variance) and
// how colourful they are (root mean square).
type surface struct {
	kind     string
	residual float64
	tint     float64
}

// free lists the pixels at least three steps away from any object.
func (p *pixels) free() []int {
	near := dilate(dilate(p.colorful()))
	var out []int
	for i, covered := range near {
		if !covered {
			out = append(out, i)
		}
	}
	return out
}

// surface classifies the background by how well a plane level, a vertical ramp, a level per row, or two levels explain
// the grey values of the free pixels.
func (p *pixels) surface(free []int) surface {
	grey, ys := make([]float64, len(free)), make([]float64, len(free))
	var tint float64
	for k, i := range free {
		c := p.rgb[i]
		grey[k] = (c[0] + c[1] + c[2]) / 3
		ys[k] = float64(i/Size) + 0.5
		tint += squaredDistance(c, [3]float64{grey[k], grey[k], grey[k]})
	}
	s := surface{tint: math.Sqrt(tint / float64(len(free)))}
	mean, variance := moments(grey)
	if variance < 0.006 {
		s.kind, s.residual = plainKind(mean), variance
		return s
	}
	slope, ramp := aroundLine(ys, grey)
	rows := aroundRows(free, grey)
	switch {
	case ramp/variance < 0.3 && math.Abs(slope)*Size > 0.3:
		s.kind, s.residual = "gradient", ramp
	case rows/variance < 0.35:
		s.kind, s.residual = "striped", rows
	default:
		s.kind, s.residual = "checkered", aroundTwoLevels(grey, mean)
	}
	return s
}

func plainKind(mean float64) string {
	switch {
	case mean > 0.75:
		return "white"
	case mean < 0.28:
		return "black"
	}
	return "grey"
}

// moments returns the mean and the population variance.
func moments(v []float64) (mean, variance float64) {
	for _, x := range v {
		mean += x
	}
	mean /= float64(len(v))
	for _, x := range v {
		variance += (x - mean) * (x - mean)
	}
	return mean, variance / float64(len(v))
}

// aroundLine returns the slope of the least-squares line v(y) and the variance around it.
func aroundLine(y, v []float64) (slope, variance float64) {
	meanY, varY := moments(y)
	meanV, _ := moments(v)
	for i := range y {
		slope += (y[i] - meanY) * (v[i] - meanV)
	}
	if slope /= float64(len(y)); varY > 0 {
		slope /= varY
	}
	rest := make([]float64, len(v))
	for i := range v {
		rest[i] = v[i] - slope*y[i]
	}
	_, variance = moments(rest)
	return slope, variance
}

// aroundRows returns the variance that is left when every row has its own level.
func aroundRows(free []int, v []float64) float64 {
	var sum, count [Size]float64
	for k, i := range free {
		sum[i/Size] += v[k]
		count[i/Size]++
	}
	rest := make([]float64, len(v))
	for k, i := range free {
		rest[k] = v[k] - sum[i/Size]/count[i/Size]
	}
	_, variance := moments(rest)
	return variance
}

// aroundTwoLevels returns the variance left when the values above and below the mean have a level each.
func aroundTwoLevels(v []float64, mean float64) float64 {
	var above, below []float64
	for _, x := range v {
		if x > mean {
			above = append(above, x)
		} else {
			below = append(below, x)
		}
	}
	_, a := moments(above)
	_, b := moments(below)
	return (a*float64(len(above)) + b*float64(len(below))) / float64(len(v))
}
