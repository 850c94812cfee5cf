package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"winnow/vlmjudge"
)

func (a *app) judgeTemplateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "template [NAME]",
		Short: "The wordings of the questions to judges, to start others from",
		Long: `Template lists the wordings of the questions that judges are asked, and with a name
prints one: a text file that --judge-template takes wherever a judge is asked. In it
{prompt} and {picture} stand alone on their lines. The prompt is always sent inside a
fence, as text that ends nothing and opens nothing, whatever the wording says; an empty
line parts two texts. labels: are the answers that count; with "thinks: yes" the judge
gives reasons first. A file that equals one of these in its words is that one to caches
and calibrations; any other has a name by its hash.`,
		Example: `  winnow judge template
  winnow judge template pair.direct.v1 > question.txt
  winnow judge compare --judge http://localhost:8000 --judge-template question.txt --prompt "a red fox" a.png b.png`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{command: c.CommandPath(), err: fmt.Errorf("name one wording, got %d", len(args))}
			}
			if len(args) == 0 {
				return a.listTemplates()
			}
			text, ok := vlmjudge.ShippedWordings()[args[0]]
			if !ok {
				return &usageError{command: c.CommandPath(), err: fmt.Errorf("there is no wording %q; there are %s", args[0], strings.Join(templateNames(), ", "))}
			}
			if a.json {
				return a.line(templateLine{"template", args[0], text})
			}
			_, err := io.WriteString(a.stdout, text)
			return err
		},
	}
}

// templateLine is one wording.
type templateLine struct {
	Type string `json:"type"` // "template"
	Name string `json:"name"`
	Text string `json:"text"`
}

func templateNames() []string { return slices.Sorted(maps.Keys(vlmjudge.ShippedWordings())) }

func (a *app) listTemplates() error {
	texts := vlmjudge.ShippedWordings()
	if a.json {
		for _, name := range templateNames() {
			if err := a.line(templateLine{"template", name, texts[name]}); err != nil {
				return err
			}
		}
		return nil
	}
	return a.table(func(w io.Writer) {
		for _, name := range templateNames() {
			fmt.Fprintf(w, "%s\t%s\n", name, about(texts[name]))
		}
	})
}

// about is the first sentence of a wording's remarks.
func about(text string) string {
	var words []string
	for _, line := range strings.Split(text, "\n") {
		rest, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		words = append(words, strings.TrimSpace(rest))
	}
	first, _, _ := strings.Cut(strings.Join(words, " "), ": ")
	first, _, _ = strings.Cut(first, ". ")
	return strings.TrimSuffix(first, ".")
}
