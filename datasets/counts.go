package datasets

// Counts sums up records.
type Counts struct {
	Records   int // rows that were read
	Groups    int // groups of pictures
	Pairs     int // comparisons: pairs, and i < j in ranked groups
	Decided   int // pairs with a preference
	Ties      int
	Unlabeled int // pairs without a label
	Prompts   int // different prompts
	Images    int // pictures named in rows, repeats counted
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
