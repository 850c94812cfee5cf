package datasets

// ObjectSpec is what a GenEval prompt asks for.
type ObjectSpec struct {
	Include []Object
	Exclude []Object
}

// Object is a number of things of one class.
type Object struct {
	Class    string
	Count    int
	Color    string    // "" for any
	Position *Position // nil for anywhere
}

// Position places an object in relation to another of the list.
type Position struct {
	Relation string // "left of", "right of", "above", "below"
	Target   int    // place in ObjectSpec.Include, from 0
}

// Question is one yes-or-no question of DPG-Bench about a picture.
type Question struct {
	ID       int
	Parents  []int // questions that must hold first
	Category string
	Detail   string
	Tuple    string
	Text     string
}
