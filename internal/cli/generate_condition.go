package cli

import (
	"strings"

	"github.com/spf13/pflag"

	"winnow/internal/conditioning"
)

// conditionFlags ask a model for reward values that its prompts were learnt with.
type conditionFlags struct {
	file   string
	weigh  []string
	suffix string // found by check
}

func (o *conditionFlags) flags(f *pflag.FlagSet) {
	f.StringVar(&o.file, "condition", "", "file of \"winnow data condition\": ask for the reward values that the model was trained to read in prompts")
	f.StringSliceVar(&o.weigh, "preference", nil, "NAME=WEIGHT,…: what the rewards of --condition matter (default: all of them, the best of each)")
}

// check reads the file and finds what prompts are to say.
func (o *conditionFlags) check() error {
	if o.file == "" {
		if len(o.weigh) > 0 {
			return usagef("--preference needs --condition, the file that says which rewards the model reads")
		}
		return nil
	}
	scale, err := conditioning.Read(o.file)
	if err != nil {
		return pathError("read", o.file, err)
	}
	weights, err := conditioning.ParseWeights(o.weigh)
	if err != nil {
		return usagef("--preference %s: %w", strings.Join(o.weigh, ","), err)
	}
	values, err := scale.Ray(weights)
	if err != nil {
		return usagef("--preference %s: %s", strings.Join(o.weigh, ","), strings.TrimPrefix(err.Error(), "conditioning: "))
	}
	o.suffix = scale.Suffix(values)
	return nil
}

// settings are the flags that repeat the run.
func (o *conditionFlags) settings(add func(key string, value any, when bool)) {
	add("condition", o.file, o.file != "")
	add("preference", o.weigh, len(o.weigh) > 0)
}
