package datasets

// ObjectSpec is what a GenEval prompt asks for.
type ObjectSpec struct {
	Include []Object `json:"include"`
	Exclude []Object `json:"exclude,omitempty"`
}

// Object is a number of things of one class.
type Object struct {
	Class    string    `json:"class"`
	Count    int       `json:"count"`
	Color    string    `json:"color,omitempty"`    // "" for any
	Position *Position `json:"position,omitempty"` // nil for anywhere
}

// Position places an object in relation to another of the list.
type Position struct {
	Relation string `json:"relation"` // "left of", "right of", "above", "below"
	Target   int    `json:"target"`   // place in ObjectSpec.Include, from 0
}

// Question is one yes-or-no question of DPG-Bench about a picture.
type Question struct {
	ID       int    `json:"id"`
	Parents  []int  `json:"parents,omitempty"` // questions that must hold first
	Category string `json:"category,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Tuple    string `json:"tuple,omitempty"`
	Text     string `json:"text"`
}
