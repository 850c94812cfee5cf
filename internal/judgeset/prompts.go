package judgeset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"winnow/datasets"
)

// Normal is a prompt as it is compared: compatibility forms of Unicode, lower case, single spaces, no punctuation at its ends.
func Normal(prompt string) string {
	text := strings.Join(strings.Fields(strings.ToLower(norm.NFKC.String(prompt))), " ")
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsPunct(r) || unicode.IsSpace(r) })
}

type key [16]byte

func keyOf(data string) key {
	sum := sha256.Sum256([]byte(data))
	return key(sum[:16])
}

// promptID names a prompt in the rows that are about it.
func promptID(prompt string) string {
	k := keyOf(Normal(prompt))
	return hex.EncodeToString(k[:8])
}

// What a prompt becomes.
const (
	Train = iota
	Validation
	Beyond // the share
	Leaked // is in a test set
)

// Selection says which prompts are taken, and into which part.
type Selection struct {
	Share      float64 // of the prompts that are used, above 0 to 1
	Validation float64 // of those, 0 to below 1
	Seed       uint64
	prompts    map[key]struct{} // of test sets
	pictures   map[key]struct{}
}

// Exclude leaves out the prompt of a test set and, with its bytes, a picture.
func (s *Selection) Exclude(prompt string) {
	if s.prompts == nil {
		s.prompts = map[key]struct{}{}
	}
	s.prompts[keyOf(Normal(prompt))] = struct{}{}
}

// ExcludePicture leaves out records that have the picture with these bytes.
func (s *Selection) ExcludePicture(data []byte) {
	if s.pictures == nil {
		s.pictures = map[key]struct{}{}
	}
	s.pictures[keyOf(string(data))] = struct{}{}
}

// The seeds of the two draws differ from each other and from that of a split of the same file, so that none depends on another.
const (
	shareSeed      = 0x6a75646765536861
	validationSeed = 0x6a7564676556616c
)

// Of says what becomes of a prompt.
func (s *Selection) Of(prompt string) int {
	text := Normal(prompt)
	if _, ok := s.prompts[keyOf(text)]; ok {
		return Leaked
	}
	switch {
	case s.Share < 1 && !datasets.InValidation(text, s.Seed^shareSeed, s.Share):
		return Beyond
	case s.Validation > 0 && datasets.InValidation(text, s.Seed^validationSeed, s.Validation):
		return Validation
	}
	return Train
}

// Leaks says whether a picture of the record is one of a test set. Pictures are read only if some were excluded.
func (s *Selection) Leaks(r *datasets.Record) (bool, error) {
	if len(s.pictures) == 0 {
		return false, nil
	}
	for i := range r.Images {
		data, err := r.Images[i].Bytes()
		if err != nil {
			return false, &datasets.RowError{Column: fmt.Sprintf("picture %d", i+1), Err: err}
		}
		if _, ok := s.pictures[keyOf(string(data))]; ok {
			return true, nil
		}
	}
	return false, nil
}
