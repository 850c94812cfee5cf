package datasets

import "fmt"

// Counts sums up records.
type Counts struct {
	Records   int `json:"records"`   // that were read
	Groups    int `json:"groups"`    // of pictures
	Pairs     int `json:"pairs"`     // comparisons: pairs, and i < j in ranked groups
	Decided   int `json:"decided"`   // pairs with a preference
	Ties      int `json:"ties"`      //
	Unlabeled int `json:"unlabeled"` // pairs without a label
	Prompts   int `json:"prompts"`   // different ones
	Images    int `json:"images"`    // named in rows, repeats counted
}

// Counter counts records. It remembers a hash of every prompt.
type Counter struct {
	Counts
	prompts map[[16]byte]struct{}
}

// Add counts one record.
func (c *Counter) Add(r *Record) {
	c.Records++
	c.Images += len(r.Images)
	if r.Kind == KindGroup {
		c.Groups++
	}
	for p := range r.Pairs() {
		c.Pairs++
		switch p.Label {
		case 0, 1:
			c.Decided++
		case 0.5:
			c.Ties++
		default:
			c.Unlabeled++
		}
	}
	if c.prompts == nil {
		c.prompts = map[[16]byte]struct{}{}
	}
	c.prompts[promptKey(r.Prompt)] = struct{}{}
	c.Prompts = len(c.prompts)
}

// Count is one number of Counts.
type Count struct {
	Name  string
	Value int
}

// List gives the counts in a fixed order.
func (c Counts) List() []Count {
	return []Count{
		{"records", c.Records},
		{"groups", c.Groups},
		{"pairs", c.Pairs},
		{"decided", c.Decided},
		{"ties", c.Ties},
		{"unlabeled", c.Unlabeled},
		{"prompts", c.Prompts},
		{"images", c.Images},
	}
}

// Differences compares counts with those of a public file; none means equal.
func (k Known) Differences(c Counts) []string {
	var out []string
	want, got := k.Counts.List(), c.List()
	for i, w := range want {
		if w.Value != 0 && got[i].Value != w.Value {
			out = append(out, fmt.Sprintf("%d %s instead of %d", got[i].Value, w.Name, w.Value))
		}
	}
	return out
}
