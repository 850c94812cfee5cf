package training

// parts is a batch that the network sees piece by piece, for want of memory.
type parts struct {
	sample          // the last of them
	rest   []sample // all of them; each knows its share
	judged judged   // to find them
}

// judged sums up rewards of siblings.
type judged struct {
	samples, broods int
	reward, spread  float64
}

// add takes in the rewards of the siblings of one prompt.
func (j *judged) add(b *brood, prompt, best, worst int) {
	for _, v := range b.rewards {
		j.samples++
		j.reward += v[prompt]
	}
	j.broods++
	j.spread += b.rewards[best][prompt] - b.rewards[worst][prompt]
}

// take puts the means of a batch into the metrics.
func (m *Metrics) take(j judged) {
	m.Samples += j.samples
	m.Reward += j.reward / float64(j.samples)
	m.Spread += j.spread / float64(j.broods)
}

// shareOf is the share that a sample has in its batch.
func shareOf(s sample) float64 {
	if p, ok := s.(interface{ share() float64 }); ok {
		return p.share()
	}
	return 1
}
