package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"winnow/internal/serve"
	"winnow/rewards"
	"winnow/vlmjudge"
)

// serveOptions is the command line of serve.
type serveOptions struct {
	reward         []string
	listen, config string
	drain          time.Duration
	maxRequest     int // MiB
	maxMemory      int // MiB
	server         serve.Options
	rewardOptions
}

func (a *app) serveCommand() *cobra.Command {
	o := &serveOptions{}
	o.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "serve --reward NAME",
		Short: "Answer over HTTP how well pictures fit prompts: a reward server for trainers",
		Long: `Serve loads rewards once and answers over HTTP until it is stopped. Requests of many
clients are gathered for some milliseconds and scored together.

  POST /v1/score     {"items": [{"id", "prompt", "image"}]} or {"prompt", "images"}
                     → {"items": [{"id", "score", "error"}], "scores", …}; "winnow … --reward-url
                     http://HOST:8400/v1/score" asks it too
  POST /v1/compare   {"prompt", "images": [2], "by"} → {"p", "verdict", …}; by "judge" (with
                     --judge) in both orders, or by "reward": p = σ((a - b)/temperature)
  POST /v1/rank      {"prompt", "images", "by", "soft"} → {"order", "items": [{"index", "rank",
                     "score", "soft"}]}; soft rewards within the group: win-rate, strength, rank
  POST /v1/judge-reward  grades what a judge in training wrote; no picture is needed:
                     {"items": [{"completion", "truth": {"share"} or {"ranks"}, "p"}],
                     "order", "brier", "format", "direct"} → {"items": [{"reward", "order",
                     "brier", "format", "answer", "error"}], "rewards"}. order: share of the
                     decided pairs that are ordered as people did; brier: 1 - (P - share)²;
                     format: <think>…</think><answer>…</answer> and nothing else. Weights
                     (0.5, 0.5, 0.1) may stand in the address: ?order=1&brier=0
  GET  /healthz, /readyz, /metrics (Prometheus)

An image is base64, a data URL, or an object with "b64", "path" or "url". Paths and
addresses are refused unless --allow-path or --allow-url names their folder or host;
hosts that resolve to private addresses are refused then, too. One image that cannot be
used is an error of its item and of nothing else.

Protocols of others:

  OpenRLHF           --reward.remote_url http://HOST:8400/openrlhf; the label holds the image
  flow_grpo          http://HOST:8400/ (pickle, read by a fixed list of plain data types)
  verl, UnifiedReward http://HOST:8400/v1/chat/completions ("Final Score: x", 1 to 5)
  winnow             --judge http://HOST:8400: the reward answers as a judge, with label
                     probabilities
  OpenEnv            http://HOST:8400/openenv (its WebSocket, and HTTP: /reset, /step)
  TRL                a reward function that posts to /v1/score; see cmd/winnow/examples

Training a judge by the sets of "winnow judge dataset": TRL and verl by the functions in
cmd/winnow/examples/judge_reward.py, OpenRLHF by --reward.remote_url
http://HOST:8400/v1/judge-reward with the column truth as label.

With keys in WINNOW_SERVE_KEYS (commas between) every request but /healthz and /readyz
needs one: as bearer token, X-API-Key, or password in the address. A queue that is full
answers 429, a server that ends 503, both with Retry-After.

The first Ctrl-C or SIGTERM ends it: what was begun is answered, then the exit code is 0
(1 when --drain-timeout was too short, or for any other failure).`,
		Example: `  winnow serve --reward mini
  winnow serve --reward pickscore-v1 --reward-model ./pickscore --listen 0.0.0.0:8400 --cache scores.db
  winnow serve --reward hpsv2.1 --reward-model ./hpsv2.1 --judge http://localhost:8000`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{command: c.CommandPath(), err: fmt.Errorf("%s: pictures come by HTTP; there is nothing to name here", args[0])}
			}
			if o.config != "" {
				if err := loadConfig(c, o.config); err != nil {
					return err
				}
			}
			if err := o.settle(); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.serve(c.Context(), o)
		},
	}
	o.flags(c.Flags())
	return c
}

func (o *serveOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringSliceVar(&o.reward, "reward", nil, "reward to score by, or NAME=WEIGHT,NAME=WEIGHT for a sum (default: mini)"+rewardHelp)
	o.rewardOptions.flags(f)
	o.asked.flags(f)
	f.StringVar(&o.cache, "cache", "", "SQLite file that keeps scores by content (default: none)")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8400", "address to listen on; port 0 takes a free one, which is printed")
	f.Float64Var(&o.server.Temperature, "temperature", 1, "of comparisons by the reward, in its unit: p = σ((a - b)/temperature)")
	f.IntVar(&o.server.BatchSize, "batch-size", 32, "images scored together at most")
	f.DurationVar(&o.server.BatchWait, "batch-wait", 3*time.Millisecond, "how long the first image waits for others")
	f.IntVar(&o.server.Queue, "queue", 1024, "images that may wait; more are answered 429")
	f.IntVar(&o.server.MaxItems, "max-items", 256, "images of one request")
	f.IntVar(&o.server.MaxJudged, "max-judged", 16, "images that the judge ranks in one request")
	f.IntVar(&o.maxRequest, "max-request", 64, "size of one request in MiB")
	f.IntVar(&o.maxMemory, "max-memory", 1024, "MiB that all requests together may hold; more are answered 429")
	f.IntVar(&o.server.Limits.Pixels, "max-pixels", 16<<20, "width × height of one image")
	f.DurationVar(&o.server.RequestTimeout, "request-timeout", 2*time.Minute, "for a request, waiting included")
	f.DurationVar(&o.drain, "drain-timeout", 30*time.Second, "how long a server that was stopped answers what was begun")
	f.StringArrayVar(&o.server.AllowPath, "allow-path", nil, "folder below which images may be named by path; may be repeated")
	f.StringArrayVar(&o.server.AllowURL, "allow-url", nil, "host, or host:port, from which images may be fetched; may be repeated")
	f.StringVar(&o.config, "config", "", "YAML file with any of these flags")
}

// settle checks the flags. The judge compares and ranks, and scores only where vqascore is among the rewards, or nothing is.
func (o *serveOptions) settle() error {
	named := slices.DeleteFunc(slices.Clone(o.reward), func(name string) bool { return name == rewards.Judge })
	if len(named) == 0 || o.asked.url == "" {
		var err error
		if named, err = o.choose(named, rewards.VQAScore, rewards.Mini); err != nil {
			return err
		}
	} else if _, _, err := o.judgeAmong(named); err != nil {
		return err
	}
	o.reward = named
	if o.asked.schedule == vlmjudge.Cascade || o.asked.first != "" {
		return errors.New("the schedule cascade needs a cheaper reward beside the judge, which serve does not have; choose another --judge-schedule")
	}
	if o.maxRequest < 1 || o.maxMemory < 1 || o.maxRequest > 1<<20 || o.maxMemory > 1<<30 {
		return errors.New("--max-request and --max-memory are in MiB, at least 1")
	}
	o.server.MaxRequest, o.server.MaxMemory = int64(o.maxRequest)<<20, int64(o.maxMemory)<<20
	keys, err := serve.ParseKeys(os.Getenv("WINNOW_SERVE_KEYS"))
	if err != nil {
		return fmt.Errorf("WINNOW_SERVE_KEYS: %w", err)
	}
	o.server.Keys = keys
	return o.executorOptions.check()
}

// serveLine says that the server is ready, as --json prints it.
type serveLine struct {
	Type   string       `json:"type"` // "serve"
	URL    string       `json:"url"`
	Reward rewards.Info `json:"reward"`
	Judge  string       `json:"judge,omitempty"`
}

func (a *app) serve(ctx context.Context, o *serveOptions) (err error) {
	s, err := o.stored(ctx, o.reward, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	mix, by := s.mix, s.by
	by.DropNotFinite, by.Chunk, by.Limits = true, o.server.BatchSize, o.server.Limits
	o.server.Score, o.server.Info, o.server.Parts, o.server.Log = by.Score, mix.Info(), mix.Names(), a.logger()
	o.server.Info.Model = "" // folders and addresses here are nobody's business
	o.server.Quality = qualityOf(mix, o.transform)
	if o.asked.url != "" {
		opt := o.options()
		judge, err := o.asked.open(ctx, opt)
		if err != nil {
			return err
		}
		defer judge.Close()
		o.server.Judge, o.server.JudgeAs, o.server.Rank = judge, o.asked.name(), opt.Rank
	}
	server, err := serve.New(o.server)
	if err != nil {
		return &usageError{command: "winnow serve", err: err}
	}
	return a.listen(ctx, o, server)
}

// listen serves until ctx ends. That is how a server is meant to end, so it is no interruption.
func (a *app) listen(ctx context.Context, o *serveOptions, server *serve.Server) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return errors.Join(fmt.Errorf("--listen %s: %w", o.listen, err), server.Close())
	}
	if at, ok := l.Addr().(*net.TCPAddr); ok && !at.IP.IsLoopback() && len(o.server.Keys) == 0 {
		a.warn("everybody who reaches %s is served; set keys in WINNOW_SERVE_KEYS", l.Addr())
	}
	ready := serveLine{Type: "serve", URL: "http://" + l.Addr().String(), Reward: o.server.Info, Judge: o.server.JudgeAs}
	if a.json {
		err = a.line(ready)
	} else {
		_, err = fmt.Fprintln(a.stdout, ready.URL)
	}
	if err != nil {
		return errors.Join(err, l.Close(), server.Close())
	}
	if err := server.Serve(ctx, l, o.drain); err != nil {
		return err
	}
	if !a.quiet {
		a.warn("stopped; every request that was begun has been answered")
	}
	return nil
}

// qualityOf brings scores to 0..1 for grades: by their transform where that gives shares, by percentile where the only reward has a
// reference; nil leaves it to the temperature.
func qualityOf(mix *rewards.Mix, transform string) func(float64, []float64) float64 {
	refs := mix.References()
	switch {
	case len(refs) == 1 && (transform == rewards.TransformCDF || transform == rewards.TransformMinMax):
		return func(score float64, _ []float64) float64 { return score }
	case len(refs) == 1 && refs[0] != nil:
		return func(_ float64, raw []float64) float64 {
			if len(raw) != 1 {
				return math.NaN()
			}
			return refs[0].Percentile(raw[0]) / 100
		}
	}
	return nil
}
