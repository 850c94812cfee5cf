package families

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"winnow/internal/tensor"
)

// hashedWeights makes the bytes of external data that is stored as a formula, which tests/oracle/families/hashed.py
// describes: the location is "hash,<dtype>,<elements>,<seed>,<mean>,<shift>".
func hashedWeights(location string) ([]byte, error) {
	fields := strings.Split(location, ",")
	if len(fields) != 6 || fields[0] != "hash" {
		return nil, fmt.Errorf("%q is no weight by formula", location)
	}
	var n [4]int // elements, seed, mean, shift
	for i := range n {
		v, err := strconv.Atoi(fields[i+2])
		if err != nil {
			return nil, err
		}
		n[i] = v
	}
	elems, seed, mean, shift := n[0], n[1], n[2], n[3]
	scale := float32(math.Ldexp(1, -shift))
	value := func(i int) float32 {
		h := uint32(i)*0x9E3779B1 + uint32(seed)*0x85EBCA77
		h = (h ^ h>>16) * 0x85EBCA6B
		h = (h ^ h>>13) * 0xC2B2AE35
		h ^= h >> 16
		return float32(mean) + float32(int(h>>21)-1024)*scale
	}
	var data []byte
	for i := range elems {
		if fields[1] == "f16" {
			data = binary.LittleEndian.AppendUint16(data, tensor.F32ToF16(value(i)))
		} else {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(value(i)))
		}
	}
	return data, nil
}
