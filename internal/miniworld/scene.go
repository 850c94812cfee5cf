package miniworld

import (
	"math"
	"math/rand/v2"
	"slices"
)

// kindShares are the probabilities of Kinds in a random scene.
var kindShares = []float64{0.28, 0.30, 0.12, 0.18, 0.12}

// RandomScene draws a scene of a random kind, ready to render. Equal generators give equal scenes; the Python world
// has another generator, so its seeds mean other scenes.
func RandomScene(r *rand.Rand) Scene {
	u := r.Float64()
	for i, share := range kindShares {
		if u -= share; u < 0 {
			return RandomSceneOf(Kinds[i], r)
		}
	}
	return RandomSceneOf(Three, r)
}

// RandomSceneOf draws a scene of the given kind, ready to render. Two objects always stand in a relation; only
// captions of kind Relation tell it.
func RandomSceneOf(kind Kind, r *rand.Rand) Scene {
	for {
		objects := cast(kind, r)
		if objects == nil {
			continue
		}
		scene := Scene{Kind: kind, Objects: objects}
		if kind == Relation || kind == And {
			scene.Relation = pick(Relations, r)
		}
		if place(scene.Objects, scene.Relation, r) {
			scene.Background = randomBackground(r)
			tint(scene.Objects, r)
			return scene
		}
	}
}

// cast draws the objects of a scene without their places, or nil when the draw does not fit the kind.
func cast(kind Kind, r *rand.Rand) []Object {
	switch kind {
	case Relation, And:
		a, b := randomObject(r), randomObject(r)
		if a.Color == b.Color && a.Shape == b.Shape {
			return nil
		}
		return []Object{a, b}
	case Count:
		return slices.Repeat([]Object{randomObject(r)}, 2+r.IntN(2))
	case Three:
		return threeDifferent(r)
	}
	return []Object{randomObject(r)}
}

// threeDifferent draws three objects that differ pairwise in colour or shape, or nil; three large ones find no room.
func threeDifferent(r *rand.Rand) []Object {
	objects := []Object{randomObject(r), randomObject(r), randomObject(r)}
	look, large := map[[2]string]bool{}, 0
	for _, o := range objects {
		look[[2]string{o.Color, o.Shape}] = true
		if o.Size == "large" {
			large++
		}
	}
	if len(look) < 3 || large > 2 {
		return nil
	}
	return objects
}

func randomObject(r *rand.Rand) Object {
	return Object{Shape: pick(Shapes, r), Color: pick(Colors, r), Size: pick(Sizes, r)}
}

// place gives every object a radius and a centre without overlap and in the relation; false when 400 tries find none.
func place(objects []Object, relation string, r *rand.Rand) bool {
	for attempt := range 400 {
		for i := range objects {
			o := &objects[i]
			o.R = radius(o.Size, len(objects), attempt < 300, r)
			edge := o.reach() + 1.5
			o.X, o.Y = uniform(r, edge, Size-edge), uniform(r, edge, Size-edge)
		}
		if allApart(objects) && (relation == "" || stands(objects[0], objects[1], relation)) {
			return true
		}
	}
	return false
}

func radius(size string, objects int, free bool, r *rand.Rand) float64 {
	low, high := 7.6, 8.6
	if size == "large" {
		low, high = 11.6, 13.2
	}
	if objects > 2 {
		high = math.Min(high, 12.4)
	}
	if !free { // crowded: the smallest radius fits best
		return low
	}
	return uniform(r, low, high)
}

// reach is roughly the distance from the centre to the farthest pixel.
func (o Object) reach() float64 {
	if o.Shape == "star" || o.Shape == "triangle" {
		return 1.15 * o.R
	}
	return o.R
}

func allApart(objects []Object) bool {
	for i, a := range objects {
		for _, b := range objects[i+1:] {
			dx, dy := math.Abs(a.X-b.X), math.Abs(a.Y-b.Y)
			gap := a.reach() + b.reach() + 2.5
			if math.Max(dx, dy) < gap*0.98 && math.Hypot(dx, dy) < gap*1.12 {
				return false
			}
		}
	}
	return true
}

// stands tells whether a stands in the relation to b so clearly that a person would agree.
func stands(a, b Object, relation string) bool {
	along, across := offsets(b.X-a.X, b.Y-a.Y, relation)
	return along > across*1.15
}

// offsets splits the way from a to b into its part along the relation's direction and the absolute one across it.
func offsets(dx, dy float64, relation string) (along, across float64) {
	switch relation {
	case "left of":
		return dx, math.Abs(dy)
	case "right of":
		return -dx, math.Abs(dy)
	case "above":
		return dy, math.Abs(dx)
	}
	return -dy, math.Abs(dx)
}

func randomBackground(r *rand.Rand) Background {
	b := Background{Kind: pick(Backgrounds, r)}
	switch b.Kind {
	case "white":
		b.Level = around(r, 0.94, 0.03)
	case "grey":
		b.Level = around(r, 0.52, 0.05)
	case "black":
		b.Level = around(r, 0.08, 0.04)
	case "gradient":
		b.Top, b.Bottom = around(r, 0.92, 0.04), around(r, 0.18, 0.06)
	case "striped":
		b.Low, b.High, b.Phase = around(r, 0.30, 0.03), around(r, 0.72, 0.03), float64(8*r.IntN(2))
	case "checkered":
		b.Low, b.High, b.Phase = around(r, 0.30, 0.03), around(r, 0.72, 0.03), float64(r.IntN(2))
	}
	return b
}

// tint gives each object a colour near its palette colour.
func tint(objects []Object, r *rand.Rand) {
	for i := range objects {
		mean := palette[slices.Index(Colors, objects[i].Color)]
		for c := range mean {
			objects[i].RGB[c] = clamp(around(r, mean[c], 0.04), 0, 1)
		}
	}
}

func pick(words []string, r *rand.Rand) string { return words[r.IntN(len(words))] }

func uniform(r *rand.Rand, low, high float64) float64 { return low + (high-low)*r.Float64() }

func around(r *rand.Rand, mean, half float64) float64 { return uniform(r, mean-half, mean+half) }
