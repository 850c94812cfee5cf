package training

import (
	"context"
	"errors"
	"fmt"

	"winnow/dpo"
	"winnow/internal/monitor"
)

// RunOptions say what a run leaves behind.
type RunOptions struct {
	Output string // folder, made if need be
	Name   string // of the adapter files
	Every  int    // steps between checkpoints; 0: none but the last
	Limit  int    // checkpoints that are kept; 0: all
	// NoGuard lets a run go on when its metrics say that it has gone wrong; numbers that are not finite end it in any case.
	NoGuard bool
	// OnStep is told of every step and of what is worrying about it, BeforeSave of every checkpoint that is about to be written; an
	// error ends the run. Both may be nil.
	OnStep     func(m Metrics, warnings []string) error
	BeforeSave func() error
}

// Begin makes the trainer ready for its data: nil for methods that sample their own.
func (t *Trainer) Begin(d *Data) error {
	var err error
	switch t.method.Kind {
	case dpo.KindPairs:
		t.source = t.newPairs(d)
	case dpo.KindInversion:
		t.source, err = t.newInversion(d)
	case dpo.KindSelf:
		t.source, err = t.newSelf(d)
	case dpo.KindSiblings:
		t.source, err = t.newSiblings()
	case dpo.KindPaths:
		t.source, err = t.newPaths()
	default:
		err = fmt.Errorf("training: samples of kind %q are not known", t.method.Kind)
	}
	return err
}

// Run trains to the last step and writes the adapters. When the context ends, or numbers stop being finite, the state before is saved
// as a checkpoint, and the error says why it ended. It returns the files of the adapters.
func (t *Trainer) Run(ctx context.Context, o RunOptions) ([]string, error) {
	if err := errors.Join(mkdir(o.Output), tidy(o.Output)); err != nil {
		return nil, err
	}
	var watch monitor.GuardOptions
	if o.NoGuard {
		watch.Spike, watch.Saturated = -1, -1
	}
	guard := monitor.NewGuard(watch)
	guard.Restore(t.guard)
	saved := t.done
	for t.done < t.config.Steps {
		err := t.one(ctx, o, guard)
		if err == nil && o.Every > 0 && t.done%o.Every == 0 && t.done < t.config.Steps {
			err = t.checkpoint(o, guard.State())
			saved = t.done
		}
		if err != nil {
			var broken *NonFiniteError // the factors are still those before the step
			if (ctx.Err() != nil || errors.As(err, &broken)) && t.done > saved {
				err = errors.Join(err, t.checkpoint(o, guard.State()))
			}
			return nil, err
		}
	}
	if err := t.checkpoint(o, guard.State()); err != nil {
		return nil, err
	}
	return t.WriteAdapters(o.Output, o.Name)
}

func (t *Trainer) one(ctx context.Context, o RunOptions, guard *monitor.Guard) error {
	m, err := t.Step(ctx)
	if err != nil {
		return err
	}
	m.Beta = t.EffectiveBeta()
	seen := monitor.Metrics{Step: m.Step}
	for _, v := range m.Named() {
		// A loss of advantages is 0 where the policy is still the one that drew the paths, whatever is learnt: it says nothing.
		if v.Name != monitor.Loss || t.method.Kind != dpo.KindPaths || t.method.Rejected {
			seen.Values = append(seen.Values, monitor.Value(v))
		}
	}
	found, err := guard.Observe(seen)
	if err != nil || o.OnStep == nil {
		return err
	}
	var warnings []string
	for _, w := range found {
		warnings = append(warnings, w.Title+": "+w.Detail)
	}
	return o.OnStep(m, warnings)
}

func (t *Trainer) checkpoint(o RunOptions, guard monitor.GuardState) error {
	if o.BeforeSave != nil {
		if err := o.BeforeSave(); err != nil {
			return err
		}
	}
	if _, err := t.save(o.Output, guard); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return prune(o.Output, o.Limit)
}

// Resume goes on from a checkpoint of an output folder: "latest", if there is one, or one by its name or path. It comes behind Begin, and
// refuses a checkpoint that was made with other settings or data.
func (t *Trainer) Resume(output, name string) error {
	folder, err := FindCheckpoint(output, name)
	if err != nil || folder == "" {
		return err
	}
	t.guard, err = t.restore(folder)
	return err
}

// Modules is the number of modules that have an adapter, of all adapters.
func (t *Trainer) Modules() int {
	n := 0
	for _, a := range t.ldm.Trainable {
		n += len(a.Layers)
	}
	return n
}

// Parameters is the number of numbers that are trained.
func (t *Trainer) Parameters() int {
	n := 0
	for _, p := range t.params {
		n += len(p.Value)
	}
	return n
}

// Done is the number of steps that have been done.
func (t *Trainer) Done() int { return t.done }

// EffectiveBeta is what implicit rewards are multiplied by in the loss, half of --beta-dpo for Diffusion-DPO. 0 for methods without a reference.
func (t *Trainer) EffectiveBeta() float64 {
	scale, _ := t.method.RewardScale(t.config.Settings) // settings were checked by Open
	return scale
}

// Named is a metric under its name in TRL.
type Named struct {
	Name  string
	Value float64
}

// Named gives the metrics under the names of TRL: implicit rewards times beta.
func (m Metrics) Named() []Named {
	all := []Named{
		{monitor.Loss, m.Loss},
		{monitor.GradNorm, m.GradNorm},
		{monitor.Rate, m.LearningRate},
		{monitor.Epoch, m.Epoch},
		{monitor.Evaluations, float64(m.Evaluations)},
	}
	if m.Samples > 0 {
		all = append(all, Named{monitor.Reward, m.Reward}, Named{monitor.RewardSpread, m.Spread})
	}
	if m.Samples > 0 && m.Beta == 0 { // density ratios to the policy that drew the samples
		all = append(all, Named{monitor.Clipped, m.Saturated})
	}
	if m.Beta == 0 { // no reference, no implicit reward
		return all
	}
	return append(
		all,
		Named{monitor.Chosen, m.Beta * m.Chosen},
		Named{monitor.Rejected, m.Beta * m.Rejected},
		Named{monitor.Margins, m.Beta * m.Margin},
		Named{monitor.Accuracy, m.Accuracy},
		Named{monitor.Saturated, m.Saturated},
		Named{monitor.ChosenDrift, m.Drift},
	)
}
