package datasets

import (
	"encoding/binary"
	"hash/fnv"
	"io"
	"strings"
)

// InValidation assigns a prompt to the validation part of a split. It depends on seed and prompt only (leading and trailing
// space left out): all records of a prompt fall into one part, in every file and every order, and the part of prompts in
// validation is near fraction.
func InValidation(prompt string, seed uint64, fraction float64) bool {
	h := fnv.New64a()
	var s [8]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	_, _ = h.Write(s[:])
	_, _ = io.WriteString(h, strings.TrimSpace(prompt))
	return float64(mix(h.Sum64())>>11)/(1<<53) < fraction
}
