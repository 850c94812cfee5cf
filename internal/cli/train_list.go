package cli

import (
	"fmt"
	"strings"

	"winnow/dpo"
)

// trainList shows the methods and the losses.
func (a *app) trainList() error {
	if a.json {
		return a.trainListJSON()
	}
	for _, m := range dpo.Methods() {
		beta := "none"
		if m.Beta > 0 {
			beta = fmt.Sprintf("%g; %s", m.Beta, m.BetaUnit)
		}
		fmt.Fprintf(a.stdout, "%s: %s\n  %s\n  loss   %s\n  beta   %s\n  learns from %s\n", m.Name, m.Title, m.Paper, m.Equation, beta, m.Kind)
		if m.Clip > 0 {
			fmt.Fprintf(a.stdout, "  --clip-range %g\n", m.Clip)
		}
		if len(m.Losses) > 1 {
			fmt.Fprintf(a.stdout, "  --loss %s\n", strings.Join(m.Losses, ", "))
		}
		fmt.Fprintln(a.stdout)
	}
	fmt.Fprintln(a.stdout, "Losses for --loss: a and b are beta times the implicit rewards of the chosen and the rejected picture,\n"+
		"z is a-b, p the label, ε --label-smoothing. Their --loss-option stands below them.")
	for _, l := range dpo.Losses() {
		fmt.Fprintf(a.stdout, "\n%s: %s\n  %s\n", l.Name, l.Formula, l.Paper)
		if notes := lossNotes(l); notes != nil {
			fmt.Fprintf(a.stdout, "  %s\n", strings.Join(notes, "; "))
		}
		for _, o := range l.Options {
			fmt.Fprintf(a.stdout, "  %s=%g  %s (%g to %g)\n", o.Name, o.Default, o.What, o.Low, o.High)
		}
		if l.Warning != "" {
			fmt.Fprintf(a.stdout, "  warning: %s\n", l.Warning)
		}
	}
	return nil
}

// lossNotes says what a loss looks at besides implicit rewards.
func lossNotes(l dpo.LossInfo) []string {
	var notes []string
	for _, n := range []struct {
		is   bool
		what string
	}{
		{l.NoReference, "a and b are minus beta times the policy's errors: no reference"},
		{l.SoftLabels, "soft labels"},
		{l.Smoothing, fmt.Sprintf("--label-smoothing, %g unless given", l.DefaultSmoothing)},
		{l.Scores, "needs scores of the pictures"},
		{l.Batch, "pairs of a batch depend on each other"},
		{l.SFTWeight != 0, fmt.Sprintf("--sft-weight %g unless given", l.SFTWeight)},
		{l.Scale != 0, fmt.Sprintf("multiplies errors by %g unless --beta-dpo is given; in ncp by its own beta", l.Scale)},
	} {
		if n.is {
			notes = append(notes, n.what)
		}
	}
	return notes
}

func (a *app) trainListJSON() error {
	for _, m := range dpo.Methods() {
		err := a.line(struct {
			Type     string   `json:"type"`
			Name     string   `json:"name"`
			Title    string   `json:"title"`
			Paper    string   `json:"paper"`
			Equation string   `json:"equation"`
			Source   string   `json:"source"`
			Beta     float64  `json:"beta,omitempty"`
			BetaUnit string   `json:"beta_unit,omitempty"`
			Losses   []string `json:"losses,omitempty"`
			Samples  string   `json:"samples"`
			Features bool     `json:"features,omitempty"`
		}{"method", m.Name, m.Title, m.Paper, m.Equation, m.Source, m.Beta, m.BetaUnit, m.Losses, m.Kind, m.Features})
		if err != nil {
			return err
		}
	}
	for _, l := range dpo.Losses() {
		options := map[string]float64{}
		for _, o := range l.Options {
			options[o.Name] = o.Default
		}
		err := a.line(struct {
			Type        string             `json:"type"`
			Name        string             `json:"name"`
			Formula     string             `json:"formula"`
			Paper       string             `json:"paper"`
			Warning     string             `json:"warning,omitempty"`
			Options     map[string]float64 `json:"options,omitempty"`
			Scores      bool               `json:"scores,omitempty"`
			NoReference bool               `json:"no_reference,omitempty"`
		}{"loss", l.Name, l.Formula, l.Paper, l.Warning, options, l.Scores, l.NoReference})
		if err != nil {
			return err
		}
	}
	return nil
}
