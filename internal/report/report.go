// Package report renders the result of a command. There is one result struct
// and three forms of it (a table, JSON lines, one self-contained HTML file), so
// the forms cannot disagree.
package report

import (
	"image"

	"winnow/rewards"
	"winnow/vlmjudge"
)

// Result is what generate and rank give back.
type Result struct {
	Command string // "generate" or "rank"
	Version string // of winnow
	Reward  *rewards.Info
	Members []Member             // the terms of Reward; one where it is a reward by itself
	Alarm   float64              // spread of the members above which a picture is marked; 0: spreads were not computed
	Judge   *vlmjudge.Tournament // the comparisons of a judge; nil: there were none
	Groups  []Group
	// Accounts are what a judge said about pairs, for the HTML form, and AccountsNote says which of them are shown.
	Accounts     []Account
	AccountsNote string
	Failed       []Failure
	Seconds      float64 // wall-clock time of the work
}

// Member is one reward of a sum.
type Member struct {
	Name      string // unlike those of the others
	Info      rewards.Info
	Reference *rewards.Reference // what percentiles of its scores refer to; nil: it has none
}

// Group holds pictures that are ranked together, best first when they are ranked.
type Group struct {
	Prompt string // of all; "": each picture has its own
	Images []Image
}

// Image is one picture.
type Image struct {
	File   string
	Rank   int       // from 1; 0: not ranked
	Score  float64   // meaningless when not ranked
	Scores []float64 // of each of Result.Members by itself, without transform and weight
	Spread float64   // of the members, where Result.Alarm is set
	Prompt string    // where the group has none
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

// composite says that scores are not a reward's own: a sum, weighed or transformed.
func (r *Result) composite() bool {
	return len(r.Members) > 1 || len(r.Members) == 1 && r.Reward != nil && r.Members[0].Name != r.Reward.Name
}

// percentile is the share of a member's reference that scores less than a picture, in percent.
func (r *Result) percentile(im Image, member int) (percent float64, known bool) {
	if member >= len(im.Scores) || r.Members[member].Reference == nil {
		return 0, false
	}
	return r.Members[member].Reference.Percentile(im.Scores[member]), true
}

// alarmed says that the members disagree about a picture.
func (r *Result) alarmed(im Image) bool { return r.Alarm > 0 && im.Spread > r.Alarm }

// Alarmed lists the pictures that the members disagree about.
func (r *Result) Alarmed() (images []Image) {
	for _, g := range r.Groups {
		for _, im := range g.Images {
			if r.alarmed(im) {
				images = append(images, im)
			}
		}
	}
	return images
}

// promptOf is the prompt that a picture was scored with.
func (g Group) promptOf(im Image) string {
	if im.Prompt != "" {
		return im.Prompt
	}
	return g.Prompt
}
