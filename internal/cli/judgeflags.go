package cli

import (
	"cmp"
	"context"
	"os"
	"time"

	"github.com/spf13/pflag"

	"winnow/vlmjudge"
)

// judgeOptions say which judge is asked, and how.
type judgeOptions struct {
	url, model  string
	votes       int
	concurrency int
	timeout     time.Duration
}

// flags adds the flags, which all commands that ask a judge share.
func (o *judgeOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.url, "judge", "", "address of a chat server with a vision-language model that compares pictures, as in http://localhost:8000")
	f.StringVar(&o.model, "judge-model", "", "the server's name of the model (key from WINNOW_API_KEY or OPENAI_API_KEY)")
	f.IntVar(&o.votes, "judge-votes", 0, "answers to sample where the server gives no label probabilities (default 5)")
	f.IntVar(&o.concurrency, "judge-concurrency", 0, "questions at once (default 8)")
	f.DurationVar(&o.timeout, "judge-timeout", 0, "for one attempt (default 2m)")
}

// open reaches for the judge.
func (o *judgeOptions) open(ctx context.Context) (*vlmjudge.Judge, error) {
	return vlmjudge.Open(ctx, *o.options())
}

// options are nil without a judge.
func (o *judgeOptions) options() *vlmjudge.Options {
	if o.url == "" {
		return nil
	}
	return &vlmjudge.Options{URL: o.url, Model: o.model, Key: apiKey(), Votes: o.votes, Concurrency: o.concurrency, Timeout: o.timeout}
}

// apiKey is never a flag: command lines are seen by everybody on the machine.
func apiKey() string { return cmp.Or(os.Getenv("WINNOW_API_KEY"), os.Getenv("OPENAI_API_KEY")) }

// name of the judge as a scorer.
func (o *judgeOptions) name() string { return "judge:" + cmp.Or(o.model, o.url) }
