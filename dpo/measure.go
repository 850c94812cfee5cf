package dpo

// DenoisingError is the mean squared difference between a network's output for one picture and its target, summed in
// double precision: margins are differences of about 1e-4 between errors of about 0.1.
func DenoisingError(output, target []float32) float64 {
	var sum float64
	for i, v := range output {
		d := float64(v) - float64(target[i])
		sum += d * d
	}
	return sum / float64(len(output))
}

// DenoisingCotangent writes the derivative of a loss with respect to the network's output for one picture,
// 2·slope/N·(output − target), into dst, which may be output. slope is the derivative with respect to the
// [DenoisingError] of the picture: a field of [Grad].
func DenoisingCotangent(dst, output, target []float32, slope float64) {
	scale := 2 * slope / float64(len(output))
	for i, v := range output {
		dst[i] = float32(scale * (float64(v) - float64(target[i])))
	}
}

// DenoisingDot is the mean product of what two outputs miss their targets by; that of an output and itself is its
// [DenoisingError]. It fills Terms.Dot.
func DenoisingDot(a, targetA, b, targetB []float32) float64 {
	var sum float64
	for i, v := range a {
		sum += (float64(v) - float64(targetA[i])) * (float64(b[i]) - float64(targetB[i]))
	}
	return sum / float64(len(a))
}
