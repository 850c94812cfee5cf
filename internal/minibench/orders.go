package minibench

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Order is what a paper finds: methods from the worst to the best, the base among them where it says so.
type Order struct {
	Paper string   `yaml:"paper" json:"paper"`
	By    string   `yaml:"by" json:"by"` // the measure, and the model where the paper has several
	Names []string `yaml:"order" json:"order"`
}

// What became of a claim that one method is better than another.
const (
	Found    = "found"    // the interval of the difference lies above zero
	Contrary = "contrary" // below
	Open     = "open"     // around it
)

// Claim is one pair of an order.
type Claim struct {
	Better     string     `json:"better"`
	Worse      string     `json:"worse"`
	Difference Difference `json:"difference"` // of better over worse, here
	Verdict    string     `json:"verdict"`
}

// OrderReport is an order beside the one that was found at a guidance scale.
type OrderReport struct {
	Order
	Guidance float64  `json:"guidance_scale"`
	Here     []string `json:"order_here"` // the same methods by their means, the worst first
	Claims   []Claim  `json:"claims"`     // every pair of Names
}

// With lists the claims that have a verdict, as "better > worse".
func (r *OrderReport) With(verdict string) []string {
	var out []string
	for _, c := range r.Claims {
		if c.Verdict == verdict {
			out = append(out, c.Better+" > "+c.Worse)
		}
	}
	return out
}

// CompareOrders holds what papers find against what was found, by one figure. Methods that did not take part are left out of an order, and
// orders of less than two.
func CompareOrders(contenders []Contender, orders []Order, guidance []float64, figure string) []OrderReport {
	var out []OrderReport
	for _, w := range guidance {
		scores, means := map[string][]Scores{}, map[string]float64{}
		for _, c := range contenders {
			for i := range c.Runs {
				scores[c.Name] = append(scores[c.Name], c.Runs[i].Scores[ScaleName(w)])
				means[c.Name] += c.Runs[i].MeanOf(w, figure) / float64(len(c.Runs))
			}
		}
		for _, o := range orders {
			o.Names = slices.DeleteFunc(slices.Clone(o.Names), func(name string) bool { return scores[name] == nil })
			if len(o.Names) < 2 {
				continue
			}
			r := OrderReport{Order: o, Guidance: w, Here: slices.Clone(o.Names)}
			slices.SortStableFunc(r.Here, func(a, b string) int { return cmp.Compare(means[a], means[b]) })
			for i, worse := range o.Names {
				for _, better := range o.Names[i+1:] {
					d, _ := Against(scores[better], scores[worse])
					r.Claims = append(r.Claims, Claim{better, worse, d[figure], verdict(d[figure])})
				}
			}
			out = append(out, r)
		}
	}
	return out
}

func verdict(d Difference) string {
	switch {
	case d.Low > 0:
		return Found
	case d.High < 0:
		return Contrary
	}
	return Open
}

func (o *Order) check(known func(string) bool) error {
	switch {
	case strings.TrimSpace(o.Paper) == "" || strings.TrimSpace(o.By) == "":
		return errors.New("want paper, and by what it compares")
	case len(o.Names) < 2:
		return errors.New("order: want at least two, the worst first")
	}
	for i, name := range o.Names {
		if name != BaseName && !known(name) {
			return fmt.Errorf("order: %s is no method of this protocol, and not %s", name, BaseName)
		}
		if slices.Contains(o.Names[:i], name) {
			return fmt.Errorf("order: %s comes twice", name)
		}
	}
	return nil
}
