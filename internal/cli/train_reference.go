package cli

import (
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"winnow/dpo/training"
)

func (o *trainOptions) referenceFlags(f *pflag.FlagSet) {
	r := &o.t.Reference
	f.StringArrayVar(&o.references, "reference-lora", nil, "measure against this adapter in place of the base model (Pre-DPO): FILE, or several as FILE=WEIGHT for their mean, \"base\" being the model itself")
	f.IntVar(&r.Refresh, "reference-refresh", 0, "make the policy the reference after every so many updates (default: never, or the method's)")
	f.Float64Var(&r.Momentum, "reference-momentum", 0, "put that reference beyond the policy by this share of what has changed since the one before")
	f.Float64Var(&r.Drift, "reference-drift", 0, "keep the reference for good once a new one would be worse than the base model by more than this at chosen pictures; 0 for no bound (default: the method's)")
}

func (o *trainOptions) selfFlags(f *pflag.FlagSet) {
	s := &o.t.Self
	f.IntVar(&s.Snapshots, "snapshot-steps", 0, "updates between the states of the policy that seppo and spin keep and learn against (default: 30 for seppo, 50 for spin)")
	f.IntVar(&s.Steps, "self-steps", 20, "sampling steps of these states' pictures")
	f.Float64Var(&s.Guidance, "self-guidance", 0, "their guidance scale (default: the model's)")
}

func (o *trainOptions) selectionFlags(f *pflag.FlagSet) {
	s := &o.t.Selection
	f.IntVar(&s.Curriculum, "curriculum", 0, "learn the pairs in so many stages, those whose scores are furthest apart first (default: all at once)")
	f.Float64Var(&s.Clear, "keep-clear", 0, "keep this share of the pairs, those that the reference agrees with most (default: all)")
	f.Float64Var(&s.Unsure, "keep-unsure", 0, "keep this share of the pairs, those that the adapter of --init-lora is least sure about (default: all)")
}

// parseReferences reads the values of --reference-lora.
func (o *trainOptions) parseReferences() error {
	o.t.Reference.Files = nil
	for _, v := range o.references {
		file, weight := v, 0.0 // a file's own name may hold a =
		if at := strings.LastIndexByte(v, '='); at >= 0 && !exists(v) {
			number, err := strconv.ParseFloat(v[at+1:], 64)
			if err != nil || !(number > 0) || math.IsInf(number, 0) {
				return usagef("--reference-lora %s: %q is no weight; want FILE or FILE=WEIGHT, as in guide.safetensors=0.5", v, v[at+1:])
			}
			file, weight = v[:at], number
		}
		if file != training.BaseReference && !exists(file) {
			return usagef("--reference-lora %s: there is no file %q; want an adapter, a folder with one, or %s", v, file, training.BaseReference)
		}
		o.t.Reference.Files = append(o.t.Reference.Files, training.ReferenceFile{Path: file, Weight: weight})
	}
	return nil
}
