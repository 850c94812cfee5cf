// Package evaluation compares scores with the human preferences of a set, under the metric names that belong to the set.
package evaluation

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"

	"winnow/datasets"
)

// maxScoreLine bounds a line of a score file.
const maxScoreLine = 1 << 20

// Scores are numbers for pictures, made by any scorer: higher is better.
type Scores struct {
	Name string // file that they come from
	// ByContent says that pictures are named by their checksum, so that their bytes are needed to find their scores.
	ByContent bool
	byImage   map[imageKey]known
}

// imageKey is a hash of a picture's name and a prompt: sets have millions of them.
type imageKey [16]byte

type known struct {
	score float64
	used  bool
}

// ContentName starts the name of a picture that has no other name than the SHA-256 of its encoded bytes, in hexadecimal.
const ContentName = "sha256:"

// ScoreError is a line of a score file that cannot be used.
type ScoreError struct {
	File string
	Line int
	Why  string
}

// Error names file and line.
func (e *ScoreError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Why) }

// scoreLine is one line: {"image": path, "prompt": …, "score": x}.
type scoreLine struct {
	Image  string   `json:"image"`
	Prompt string   `json:"prompt"`
	Score  *float64 `json:"score"`
}

// ReadScores reads a JSON Lines file. Every line that cannot be used (no JSON, no picture, no finite score, a picture that has
// another score already) is a *ScoreError in broken; the others are there.
func ReadScores(file string) (s *Scores, broken []*ScoreError, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	s = &Scores{Name: file, byImage: map[imageKey]known{}}
	r := bufio.NewReaderSize(f, maxScoreLine)
	for line := 1; ; line++ {
		data, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, nil, &ScoreError{file, line, fmt.Sprintf("the line is longer than %d bytes", maxScoreLine)}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, err
		}
		if why := s.add(data); why != "" {
			broken = append(broken, &ScoreError{file, line, why})
		}
		if err != nil {
			return s, broken, nil
		}
	}
}

// add enters one line and says what is wrong with it.
func (s *Scores) add(data []byte) string {
	if len(data) == 0 || len(data) == 1 && data[0] == '\n' {
		return ""
	}
	var l scoreLine
	if err := json.Unmarshal(data, &l); err != nil {
		return "is not the JSON expected: " + err.Error()
	}
	switch {
	case l.Image == "":
		return `names no "image"`
	case l.Score == nil || math.IsNaN(*l.Score) || math.IsInf(*l.Score, 0):
		return `has no finite number as "score"`
	}
	key := scoreKey(l.Image, l.Prompt)
	if have, ok := s.byImage[key]; ok && have.score != *l.Score {
		return fmt.Sprintf("gives %q the score %g, a line before gave it %g", l.Image, *l.Score, have.score)
	}
	s.byImage[key] = known{score: *l.Score}
	s.ByContent = s.ByContent || strings.HasPrefix(l.Image, ContentName)
	return ""
}

// scoreKey is a picture with its prompt; an empty prompt stands for any.
func scoreKey(image, prompt string) (key imageKey) {
	h := fnv.New128a()
	_, _ = io.WriteString(h, path.Clean(filepath.ToSlash(image)))
	_, _ = io.WriteString(h, "\x00"+prompt)
	h.Sum(key[:0])
	return key
}

// Of finds the score of a picture: by the path that the set's file writes, the path on disk, the picture's name in the
// set, or its content where it has no name; with the prompt first, then without.
func (s *Scores) Of(im *datasets.Image, prompt string) (float64, bool) {
	names := []string{im.Path, im.File(), im.UID, im.Name()}
	if s.ByContent && len(im.Data) > 0 {
		names = append(names, fmt.Sprintf("%s%x", ContentName, sha256.Sum256(im.Data)))
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		for _, p := range []string{prompt, ""} {
			key := scoreKey(name, p)
			if v, ok := s.byImage[key]; ok {
				s.byImage[key] = known{v.score, true}
				return v.score, true
			}
		}
	}
	return math.NaN(), false
}

// Unused is the number of scores that no picture of the set took.
func (s *Scores) Unused() int {
	n := 0
	for _, v := range s.byImage {
		if !v.used {
			n++
		}
	}
	return n
}
