package miniworld

import "math/rand/v2"

// TrainingPrompts draws n captions of random scenes that are not among those taken, each once: a training set beside the sets that
// figures are reported on. Equal seeds give equal prompts.
func TrainingPrompts(n int, seed uint64, taken []Prompt) []string {
	seen := map[string]bool{}
	for _, p := range taken {
		seen[p.Text] = true
	}
	r := rand.New(rand.NewPCG(seed, 0x77696e6e6f77))
	out := make([]string, 0, n)
	for len(out) < n {
		text := Describe(RandomScene(r), r).Caption(r)
		if !seen[text] {
			seen[text] = true
			out = append(out, text)
		}
	}
	return out
}
