package training

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// stream is a source of random numbers of its own for every purpose: what is drawn for one pair does not depend on what was drawn
// before, so methods can be compared under the same draws, a run goes on after a stop with nothing but its step number, and pairs
// may be replayed in any order.
func stream(seed uint64, purpose string, id []byte, visit ...int) *rand.Rand {
	h := sha256.New()
	var word [8]byte
	number := func(v uint64) {
		binary.LittleEndian.PutUint64(word[:], v)
		h.Write(word[:])
	}
	number(seed)
	number(uint64(len(purpose)))
	h.Write([]byte(purpose))
	number(uint64(len(id)))
	h.Write(id)
	for _, v := range visit {
		number(uint64(v))
	}
	return rand.New(rand.NewChaCha8([32]byte(h.Sum(nil))))
}

// normal fills dst with standard normal numbers.
func normal(dst []float32, r *rand.Rand) {
	for i := range dst {
		dst[i] = float32(r.NormFloat64())
	}
}
