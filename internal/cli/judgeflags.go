package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"winnow/internal/ledger"
	"winnow/rewards"
	"winnow/vlmjudge"
)

// judgeOptions say which judge is asked, and how.
type judgeOptions struct {
	url, model  string
	votes       int
	concurrency int
	timeout     time.Duration
	api         string
	rate        float64
	patience    time.Duration
	memory      string
	cacheFile   string
	calibration string
	pictures    string // family of models
	pixels      int
	limits      vlmjudge.Limits
	calibrated  *vlmjudge.Calibration
	log         *slog.Logger // of the command
	examine     bool         // what the server makes of fields that no question needs
	judgeWording
	// Where a judge compares more than two pictures.
	schedule string
	budget   int
	first    string
}

// flags adds the flags, which all commands that ask a judge share.
func (o *judgeOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.url, "judge", "", "address of a chat server with a vision-language model that compares pictures, as in http://localhost:8000; \"mini\": the embedded reward answers")
	f.StringVar(&o.model, "judge-model", "", "the server's name of the model (key from WINNOW_API_KEY or OPENAI_API_KEY)")
	f.IntVar(&o.votes, "judge-votes", 0, "answers to sample where the server gives no label probabilities (default 5)")
	f.IntVar(&o.concurrency, "judge-concurrency", 0, "questions at once (default 8)")
	f.DurationVar(&o.timeout, "judge-timeout", 0, "for one attempt (default 2m)")
	f.StringVar(&o.api, "judge-api", "", "form of the server's questions: chat, ollama, llama.cpp or systemone (default: found out)")
	f.Float64Var(&o.rate, "judge-rate", 0, "requests a second at most (default: as many as the server takes)")
	f.DurationVar(&o.patience, "judge-patience", 0, "how long to wait for a server that went down (default 2m)")
	f.StringVar(&o.memory, "judge-memory", "", "file that keeps what was found out about judges, which makes opening them again quicker")
	f.StringVar(&o.cacheFile, "judge-cache", "", "SQLite file that keeps the judge's answers, so that nothing is asked twice, and what they cost (winnow judge cost --ledger FILE)")
	f.StringVar(&o.calibration, "calibration", "", "file of \"winnow judge calibrate\" for this judge")
	o.judgeWording.flags(f)
	f.StringVar(&o.pictures, "judge-pictures", "", "size images for a family of models: "+strings.Join(vlmjudge.Families(), ", ")+" (default: as they are, up to --judge-pixels)")
	f.IntVar(&o.pixels, "judge-pixels", 0, "pixels of an image at most; larger ones are made smaller (default 1003520)")
	f.IntVar(&o.limits.Tokens, "judge-max-tokens", 0, "stop asking when the run has cost this many tokens (default: no limit)")
	f.Float64Var(&o.limits.Money, "judge-max-money", 0, "stop asking when the run has cost this much by --price-in and --price-out")
	f.DurationVar(&o.limits.Time, "judge-max-time", 0, "stop asking after this time")
	f.Float64Var(&o.limits.PriceIn, "price-in", 0, "of a million tokens that the judge reads")
	f.Float64Var(&o.limits.PriceOut, "price-out", 0, "of a million tokens that the judge writes")
}

// scheduleFlags adds what only commands need that let a judge put pictures in order. usual is what no schedule means.
func (o *judgeOptions) scheduleFlags(f *pflag.FlagSet, usual string) {
	f.StringVar(&o.schedule, "judge-schedule", "", "which pairs the judge compares: "+strings.Join(vlmjudge.Schedules(), ", ")+" (default: "+usual+"; see winnow help rewards)")
	f.IntVar(&o.budget, "judge-budget", 0, "questions about the pictures of one prompt at most, two a pair (default: no limit)")
	f.StringVar(&o.first, "judge-first", "", "cheaper reward whose order the judge starts from, NAME or NAME=FOLDER")
}

// usualSchedule is vlmjudge.DefaultSchedule in words.
const usualSchedule = "all up to 6 pictures or within the budget, else swiss, or active with a budget"

// check refuses what cannot work, before anything is read.
func (o *judgeOptions) check() error {
	name, folder, _ := strings.Cut(o.first, "=")
	switch {
	case o.url == "" && (o.schedule != "" || o.budget != 0 || o.first != ""):
		return usagef("--judge-schedule, --judge-budget and --judge-first say how a judge is asked; name it by --judge URL")
	case o.api != "" && !slices.Contains(vlmjudge.APIs(), vlmjudge.API(o.api)):
		return usagef("--judge-api %s: want one of %v", o.api, vlmjudge.APIs())
	case !(o.rate >= 0) || math.IsInf(o.rate, 1) || o.patience < 0:
		return usagef("--judge-rate %v, --judge-patience %v: want 0 or more", o.rate, o.patience)
	case o.url == "" && (o.api != "" || o.rate != 0 || o.patience != 0 || o.memory != ""):
		return usagef("--judge-api, --judge-rate, --judge-patience and --judge-memory say how a judge is asked; name it by --judge URL")
	case o.url == rewards.Mini && (o.api != "" || o.rate != 0 || o.patience != 0 || o.memory != ""):
		return usagef("--judge %s is the embedded reward; --judge-api, --judge-rate, --judge-patience and --judge-memory are about servers", rewards.Mini)
	case o.url == rewards.Mini && (o.model != "" || o.votes != 0 || o.timeout != 0):
		return usagef("--judge %s is the embedded reward; --judge-model, --judge-votes and --judge-timeout are about servers", rewards.Mini)
	case o.schedule != "" && !slices.Contains(vlmjudge.Schedules(), o.schedule):
		return usagef("--judge-schedule %s: want one of %s", o.schedule, strings.Join(vlmjudge.Schedules(), ", "))
	case o.budget < 0 || o.budget == 1:
		return usagef("--judge-budget %d: a comparison takes two questions", o.budget)
	case o.schedule == vlmjudge.Cascade && o.first == "":
		return usagef("--judge-schedule %s asks about pairs that a cheaper reward leaves open; name it, as in --judge-first mini", vlmjudge.Cascade)
	case o.first != "" && slices.Contains([]string{rewards.Judge, rewards.VQAScore, rewards.Remote}, name):
		return usagef("--judge-first %s: want a reward that runs here", o.first)
	case o.first != "" && rewards.NeedsFolder(name) && folder == "":
		return usagef("--judge-first %s: the reward needs a folder, as in --judge-first %s=./%s", o.first, name, name)
	}
	return o.checkKeeping()
}

// named refuses a command that is about a judge and names none.
func (o *judgeOptions) named() error {
	if o.url == "" {
		return usagef("name the judge: --judge URL, or --judge %s", rewards.Mini)
	}
	return nil
}

// checkKeeping refuses what cannot work of calibration, cache, sizes and limits.
func (o *judgeOptions) checkKeeping() error {
	if err := o.judgeWording.check(o.url); err != nil {
		return err
	}
	set := o.cacheFile != "" || o.calibration != "" || o.pictures != "" || o.pixels != 0 || o.limits != (vlmjudge.Limits{})
	switch l := o.limits; {
	case !set:
		return nil
	case o.url == "":
		return usagef("--judge-cache, --calibration, --judge-pictures, --judge-pixels, --judge-max-… and --price-… say how a judge is asked; name it by --judge URL")
	case o.url == rewards.Mini && (o.pictures != "" || o.pixels != 0):
		return usagef("--judge %s is the embedded reward; --judge-pictures and --judge-pixels are about servers", rewards.Mini)
	case o.pictures != "" && !slices.Contains(vlmjudge.Families(), o.pictures):
		return usagef("--judge-pictures %s: want one of %s", o.pictures, strings.Join(vlmjudge.Families(), ", "))
	case o.pixels < 0 || o.pixels > 0 && o.pixels < 56*56:
		return usagef("--judge-pixels %d: want 3136 or more", o.pixels)
	case l.Tokens < 0 || !(l.Money >= 0) || l.Time < 0 || !(l.PriceIn >= 0) || !(l.PriceOut >= 0):
		return usagef("--judge-max-… and --price-… must not be negative")
	case l.Money > 0 && l.PriceIn == 0 && l.PriceOut == 0:
		return usagef("--judge-max-money needs the prices of tokens: --price-in, --price-out")
	}
	if err := writable(o.cacheFile); err != nil || o.calibration == "" {
		return err
	}
	data, err := os.ReadFile(o.calibration)
	if err != nil {
		return pathError("read", o.calibration, err)
	}
	if o.calibrated, err = vlmjudge.ReadCalibration(data); err != nil {
		return fmt.Errorf("%s %w", o.calibration, err)
	}
	return nil
}

// showSpent says what a judge has cost, where the server counts or answers were recalled.
func (a *app) showSpent(j *vlmjudge.Judge) {
	s := j.Spent()
	if a.quiet || s.Tokens.Prompt+s.Tokens.Completion == 0 && s.Recalled == 0 {
		return
	}
	text := fmt.Sprintf("the judge took %d requests, %d tokens read, %d written", s.Calls, s.Tokens.Prompt, s.Tokens.Completion)
	if s.Money > 0 {
		text += fmt.Sprintf(", %.4g in money", s.Money)
	}
	if s.Recalled > 0 {
		text += fmt.Sprintf("; %d answers were known", s.Recalled)
	}
	a.warn("%s", text)
}

// open reaches for the judge, where nothing but pairs is compared.
func (o *judgeOptions) open(ctx context.Context, opt *rewards.Options) (*vlmjudge.Judge, error) {
	return rewards.OpenJudge(ctx, *o.options(), opt)
}

// options are nil without a judge.
func (o *judgeOptions) options() *vlmjudge.Options {
	if o.url == "" {
		return nil
	}
	opt := &vlmjudge.Options{
		URL: o.url, Model: o.model, Key: apiKey(), Votes: o.votes, Concurrency: o.concurrency, Timeout: o.timeout,
		Wordings: o.wordings, Reason: o.reason, AnswerTokens: o.answerTokens,
		API: vlmjudge.API(o.api), Rate: o.rate, Patience: o.patience, Memory: o.memory, Family: o.pictures, PixelBudget: o.pixels,
		Logger: o.log, Examine: o.examine,
		Keeping: vlmjudge.Keeping{Calibration: o.calibrated, Limits: o.limits},
	}
	if o.cacheFile != "" { // else the interface would not be nil
		opt.Store = ledger.At(o.cacheFile)
	}
	return opt
}

// apply adds the judge to the options of rewards.
func (o *judgeOptions) apply(opt *rewards.Options) {
	opt.Judge, opt.First = o.options(), o.first
	opt.Rank = vlmjudge.RankOptions{Schedule: o.schedule, Calls: o.budget}
}

// settings adds the flags that repeat the ranking.
func (o *judgeOptions) settings(add func(key string, value any, when bool)) {
	add("judge", o.url, o.url != "")
	add("judge-model", o.model, o.model != "")
	add("judge-votes", o.votes, o.votes != 0)
	add("judge-api", o.api, o.api != "")
	add("judge-schedule", o.schedule, o.schedule != "")
	add("judge-budget", o.budget, o.budget != 0)
	add("judge-first", o.first, o.first != "")
	add("calibration", o.calibration, o.calibration != "")
	add("judge-pictures", o.pictures, o.pictures != "")
	add("judge-pixels", o.pixels, o.pixels != 0)
	add("judge-template", o.files, len(o.files) > 0)
	add("explain", o.reason, o.reason)
	add("judge-answer-tokens", o.answerTokens, o.answerTokens != 0)
}

// apiKey is never a flag: command lines are seen by everybody on the machine.
func apiKey() string { return cmp.Or(os.Getenv("WINNOW_API_KEY"), os.Getenv("OPENAI_API_KEY")) }

// questions is how many are asked at once.
func (o *judgeOptions) questions() int { return cmp.Or(o.concurrency, defaultConcurrency) }

// name of the judge as a scorer.
func (o *judgeOptions) name() string { return "judge:" + cmp.Or(o.model, o.url) }

// manner is what verdicts depend on besides the judge and the pictures.
func (o *judgeOptions) manner() string {
	manner := fmt.Sprintf("%s votes=%d schedule=%q budget=%d first=%q", o.name(), o.votes, o.schedule, o.budget, o.first)
	if o.api != "" {
		manner += " api=" + o.api
	}
	if o.pictures != "" || o.pixels != 0 {
		manner += fmt.Sprintf(" pictures=%q pixels=%d", o.pictures, o.pixels)
	}
	manner += o.judgeWording.manner()
	if c := o.calibrated; c != nil {
		manner += fmt.Sprintf(" scale=%v shift=%v", c.Scale, c.Shift)
	}
	return manner
}

// unanswered says that a judge's verdict on a group is worth nothing.
func unanswered(t vlmjudge.Tournament) error {
	if t.Abstained == t.Pairs {
		return errors.New("the judge answered about none of the pairs")
	}
	return nil
}
