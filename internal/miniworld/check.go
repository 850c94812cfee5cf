package miniworld

import (
	"fmt"
	"image"
	"math"
)

// minFree is the number of background pixels below which a picture counts as having none.
const minFree = 200

// Detection is what the checker sees on a picture. Background is one of Backgrounds, or "none" when objects leave too
// little of it; Clean in [0, 1] grows with well-formed shapes, true colours and a flat background.
type Detection struct {
	Objects    []Found
	Background string
	Clean      float64
}

// Item is one assertion of a caption: "present", "color", "shape", "size", "relation", "count" or "background", and
// whether the picture keeps it.
type Item struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
}

// Result is the verdict on a picture: Frac is the share of true items, Strict says that all are true, Clean is as in
// Detection, and Score = Frac + 0.3·Clean.
type Result struct {
	Items  []Item  `json:"items"`
	Strict bool    `json:"strict"`
	Frac   float64 `json:"frac"`
	Clean  float64 `json:"clean"`
	Score  float64 `json:"score"`
}

// Check scores a picture against what its caption asserts. The picture must be Size×Size, as every picture of this
// world is; alpha is ignored.
func Check(img image.Image, spec Spec) (Result, error) {
	if err := spec.Validate(); err != nil {
		return Result{}, err
	}
	detected, err := Detect(img)
	if err != nil {
		return Result{}, err
	}
	return detected.Check(spec), nil
}

// Detect lists the objects of a Size×Size picture in raster order of their first pixel, with the background.
func Detect(img image.Image) (Detection, error) {
	if b := img.Bounds(); b.Dx() != Size || b.Dy() != Size {
		return Detection{}, fmt.Errorf("miniworld: picture is %d×%d, the checker reads %d×%d only: generate at that size", b.Dx(), b.Dy(), Size, Size)
	}
	p := readPixels(img)
	blobs, crumbs := p.blobs()
	var d Detection
	var iou, misses []float64
	for i := range blobs {
		found := p.classify(&blobs[i])
		d.Objects = append(d.Objects, found)
		iou = append(iou, found.IoU)
		if miss, ok := p.colorMiss(&blobs[i]); ok {
			misses = append(misses, miss)
		}
	}
	free := p.free()
	if len(free) < minFree {
		d.Background = "none"
		return d, nil
	}
	s := p.surface(free)
	d.Background = s.kind
	d.Clean = 0.2*math.Exp(-math.Sqrt(s.residual)*10-s.tint*6) + 0.1*math.Exp(-float64(crumbs)/12) +
		0.5*meanOr(iou, 0) + 0.2*colorTerm(misses)
	return d, nil
}

// colorMiss is the root mean square distance of a blob's inside from its palette colour; ok is false for a blob that
// is all edge.
func (p *pixels) colorMiss(b *blob) (miss float64, ok bool) {
	var sum float64
	n := 0
	for i, set := range erode(&b.mask) {
		if set {
			sum += p.squares[i][b.color]
			n++
		}
	}
	return math.Sqrt(sum / float64(3*n)), n > 4
}

// colorTerm is 1 while colours stay within the jitter of the world (0.03) and falls off beyond; next to 0 without any.
func colorTerm(misses []float64) float64 {
	if len(misses) == 0 {
		return math.Exp(-9)
	}
	return math.Exp(-math.Max(0, meanOr(misses, 0)-0.03) * 8)
}

func meanOr(v []float64, otherwise float64) float64 {
	if len(v) == 0 {
		return otherwise
	}
	mean, _ := moments(v)
	return mean
}

// Check scores the detection against a valid spec. Objects are bound to the spec by the assignment with the most true
// items, the first of equals.
func (d Detection) Check(spec Spec) Result {
	var best []Item
	most := -1
	d.assignments(len(spec.Objects), func(chosen []*Found) {
		items := score(spec, chosen)
		if n := trueItems(items); n > most {
			most, best = n, items
		}
	})
	items := append(best, Item{"count", len(d.Objects) == len(spec.Objects)})
	if spec.Background != "" {
		items = append(items, Item{"background", d.Background == spec.Background})
	}
	n := trueItems(items)
	frac := float64(n) / float64(len(items))
	return Result{Items: items, Strict: n == len(items), Frac: frac, Clean: d.Clean, Score: frac + 0.3*d.Clean}
}

// maxCandidates bounds the objects that are tried for a spec: a picture with more is wrong in any case.
const maxCandidates = 6

// assignments calls visit with every ordered choice of n of the objects, in lexicographic order; nil stands for a
// missing one where there are fewer than n. visit must not keep the slice.
func (d Detection) assignments(n int, visit func(chosen []*Found)) {
	var slots []*Found
	for i := range min(len(d.Objects), maxCandidates) {
		slots = append(slots, &d.Objects[i])
	}
	for len(slots) < n {
		slots = append(slots, nil)
	}
	used, chosen := make([]bool, len(slots)), make([]*Found, 0, n)
	var extend func()
	extend = func() {
		if len(chosen) == n {
			visit(chosen)
			return
		}
		for i, slot := range slots {
			if used[i] {
				continue
			}
			used[i], chosen = true, append(chosen, slot)
			extend()
			used[i], chosen = false, chosen[:len(chosen)-1]
		}
	}
	extend()
}

// score lists the items about objects and their relation for one assignment.
func score(spec Spec, chosen []*Found) []Item {
	var items []Item
	for i, want := range spec.Objects {
		found := chosen[i]
		items = append(items, Item{"present", found != nil})
		if found == nil {
			found = &Found{}
		}
		for _, word := range []struct{ name, want, got string }{
			{"color", want.Color, found.Color},
			{"shape", want.Shape, found.Shape},
			{"size", want.Size, found.Size},
		} {
			if word.want != "" {
				items = append(items, Item{word.name, word.got == word.want})
			}
		}
	}
	if spec.Relation != "" {
		items = append(items, Item{"relation", related(chosen[0], chosen[1], spec.Relation)})
	}
	return items
}

// related tells whether a stands in the relation to b: more than 4 pixels that way and farther than across.
func related(a, b *Found, relation string) bool {
	if a == nil || b == nil {
		return false
	}
	along, across := offsets(b.X-a.X, b.Y-a.Y, relation)
	return along > 4 && along > across
}

func trueItems(items []Item) int {
	n := 0
	for _, item := range items {
		if item.OK {
			n++
		}
	}
	return n
}
