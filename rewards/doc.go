// Package rewards scores pictures against a prompt with reward models and ranks
// them.
//
// A reward is opened by name: "mini" is trained on the embedded model's world
// and travels inside the binary, "clip" is any CLIP-type dual encoder in a
// folder, and published ones such as ImageReward and PickScore have names of
// their own; OpenReward also reaches judges and rewards that run elsewhere.
// Scores of different rewards are on different scales, and scores of one reward
// are comparable within one prompt unless Info.AcrossPrompts says otherwise. A
// Mix is a weighted sum that keeps each reward's own scores.
package rewards
