package sampling

// RescaleGradient carries a derivative back through [Rescale]: cotangent is that with respect to its result, and toGuided and toCond
// are those with respect to its inputs, guided as it was before.
func RescaleGradient(cotangent, guided, cond []float32, images int, factor float64) (toGuided, toCond []float64) {
	toGuided, toCond = wide(cotangent), make([]float64, len(cotangent))
	if factor == 0 {
		return toGuided, toCond
	}
	size := len(guided) / images
	for k := range images {
		at, end := k*size, (k+1)*size
		v, g, c := cotangent[at:end], guided[at:end], cond[at:end]
		sg, sc := deviation(g), deviation(c)
		along := 0.0
		for i := range v {
			along += factor * float64(v[i]) * float64(g[i])
		}
		// The result is g·(factor·sc/sg + 1 − factor), and the derivative of a deviation s is (x − mean)/((n−1)·s).
		n, mg, mc := float64(size-1), mean(g), mean(c)
		for i := range v {
			toGuided[at+i] = (factor*sc/sg+1-factor)*float64(v[i]) - along*sc/(sg*sg)*(float64(g[i])-mg)/(n*sg)
			toCond[at+i] = along / sg * (float64(c[i]) - mc) / (n * sc)
		}
	}
	return toGuided, toCond
}

func mean(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x)
	}
	return sum / float64(len(v))
}
