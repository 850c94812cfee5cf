package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"winnow/dpo"
)

// The list names every method and every loss, with what speaks against a loss, and no loss with a warning is a default.
func TestTrain_list(t *testing.T) {
	_, text, _ := here(t, "--list")
	for _, l := range dpo.Losses() {
		for _, want := range []string{"\n" + l.Name + ": " + l.Formula, l.Paper, l.Warning} {
			if !strings.Contains(text, want) {
				t.Errorf("the list does not say %q of %s", want, l.Name)
			}
		}
		for _, o := range l.Options {
			if !strings.Contains(text, "\n  "+o.Name+"=") {
				t.Errorf("the list does not have option %s of %s", o.Name, l.Name)
			}
		}
	}
	if !strings.Contains(text, "warning: rises through z = 0") {
		t.Error("the list does not warn of discopop")
	}
	for _, m := range dpo.Methods() {
		if !strings.Contains(text, m.Name+": "+m.Title) {
			t.Errorf("the list lacks %s", m.Name)
		}
		if len(m.Losses) > 0 {
			if first, err := dpo.FindLoss(m.Losses[0]); err != nil || first.Warning != "" {
				t.Errorf("%s has %+v for its default loss, %v", m.Name, first, err)
			}
		}
	}
	_, lines, _ := here(t, "--list", "--json")
	types := map[string]int{}
	for line := range strings.Lines(lines) {
		var row struct{ Type, Name string }
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.Name == "" {
			t.Fatalf("%q: %v", line, err)
		}
		types[row.Type]++
	}
	if types["method"] != len(dpo.Methods()) || types["loss"] != len(dpo.Losses()) {
		t.Errorf("lines %v", types)
	}
}
