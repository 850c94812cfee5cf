// Package rewards scores pictures against a prompt with reward models and ranks
// them.
//
// A reward is opened by name: "mini" is trained on the embedded model's world
// and travels inside the binary, "clip" is any CLIP-type dual encoder in a
// folder. Scores of different rewards are on different scales, and scores of
// one reward are comparable within one prompt; see Info.Formula.
package rewards
