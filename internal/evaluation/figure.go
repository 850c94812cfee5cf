package evaluation

import (
	"encoding/json"
	"math"
)

// resamples and level of every interval.
const (
	resamples = 2000
	level     = 0.95
)

// Figure is one metric of a set.
type Figure struct {
	Metric string `json:"metric"`
	Value  Number `json:"value"`
	Low    Number `json:"low"` // 95 % bootstrap over prompts
	High   Number `json:"high"`
	// Wilson's interval takes pairs for independent; it is here for comparison with figures elsewhere. Nil for averages.
	WilsonLow  *Number `json:"wilson_low,omitempty"`
	WilsonHigh *Number `json:"wilson_high,omitempty"`
	Of         int     `json:"of"` // pairs, or prompts for averages
	Unit       string  `json:"unit"`
	Note       string  `json:"note,omitempty"`
}

// Number is a float64 that JSON writes as null when it is NaN.
type Number float64

// MarshalJSON writes null for NaN and infinities, which JSON does not have.
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); !math.IsNaN(f) && !math.IsInf(f, 0) {
		return json.Marshal(f)
	}
	return []byte("null"), nil
}
