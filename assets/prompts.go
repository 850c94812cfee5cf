package assets

import (
	"embed"
	"fmt"
)

//go:embed mini/prompts/heldout.jsonl mini/prompts/validation.jsonl
var promptSets embed.FS

// MiniPrompts is a prompt set of the mini world, one JSON object a line: "heldout" for figures, "validation" for
// choosing settings. The sets share no caption with each other or with the training prompts.
func MiniPrompts(set string) ([]byte, error) {
	data, err := promptSets.ReadFile("mini/prompts/" + set + ".jsonl")
	if err != nil {
		return nil, fmt.Errorf("the mini world has no prompt set %q: use heldout or validation", set)
	}
	return data, nil
}
