// Package report renders the result of a command. There is one result struct
// and three forms of it (a table, JSON lines, one self-contained HTML file), so
// the forms cannot disagree.
package report

import (
	"image"

	"winnow/rewards"
)

// Result is what generate and rank give back.
type Result struct {
	Command string // "generate" or "rank"
	Version string // of winnow
	Reward  *rewards.Info
	Groups  []Group
	Failed  []Failure
	Seconds float64 // wall-clock time of the work
}

// Group holds the pictures of one prompt, best first when they are ranked.
type Group struct {
	Prompt string
	Images []Image
}

// Image is one picture.
type Image struct {
	File   string
	Rank   int     // from 1; 0: not ranked
	Score  float64 // meaningless when not ranked
	Width  int
	Height int
	SHA256 string  // of the file, in hexadecimal
	Seed   *uint64 // nil: unknown
	Params any     // settings that made it, JSON-able; nil: unknown

	Picture image.Image // for the HTML form; nil: no thumbnail
}

// Failure is a file that could not be used.
type Failure struct {
	File  string
	Cause string
}

// Counts returns the number of pictures and of failures.
func (r *Result) Counts() (images, failed int) {
	for _, g := range r.Groups {
		images += len(g.Images)
	}
	return images, len(r.Failed)
}
