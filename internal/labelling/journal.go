package labelling

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// Journal keeps the strengths that a judge gave the pictures of a prompt, one JSON line a prompt, so that a run that stopped asks
// nothing twice. A line that a killed run left half written is dropped. It is safe for concurrent use.
type Journal struct {
	mu    sync.Mutex
	file  *os.File
	known map[string][]float64
}

// entry is a line of the file.
type entry struct {
	Key       string    `json:"key"`
	Prompt    string    `json:"prompt"` // for people
	Strengths []float64 `json:"strengths"`
}

// OpenJournal opens or makes the file.
func OpenJournal(path string) (*Journal, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	j := &Journal{known: map[string][]float64{}}
	for n, line := range bytes.Split(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil || e.Key == "" {
			return nil, fmt.Errorf("%s, line %d: is no line of a judge's verdicts; remove the file to ask again", path, n+1)
		}
		j.known[e.Key] = e.Strengths
	}
	if j.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	if err = j.file.Truncate(int64(len(whole))); err == nil {
		_, err = j.file.Seek(int64(len(whole)), 0)
	}
	if err != nil {
		return nil, errors.Join(err, j.file.Close())
	}
	return j, nil
}

// Key names a question: which judge, asked in what way, about which pictures of which prompt.
func Key(judge, prompt string, pictures [][sha256.Size]byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q", judge, prompt)
	for _, p := range pictures {
		h.Write(p[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Get gives the strengths under a key.
func (j *Journal) Get(key string) ([]float64, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s, ok := j.known[key]
	return s, ok
}

// Put adds a line. The strengths must be finite.
func (j *Journal) Put(key, prompt string, strengths []float64) error {
	line, err := json.Marshal(entry{key, prompt, strengths})
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.known[key] = strengths
	_, err = j.file.Write(append(line, '\n'))
	return err
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }
