package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"winnow/diffusion"
	"winnow/internal/report"
	"winnow/rewards"
	"winnow/vlmjudge"
)

// rankOptions is the command line of rank.
type rankOptions struct {
	prompt       string
	perPicture   bool
	files        []string
	reward       []string
	alarm        float64
	csv          bool
	html, config string
	rewardOptions
	changed func(flag string) bool
}

func (a *app) rankCommand() *cobra.Command {
	o := &rankOptions{}
	o.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "rank --prompt PROMPT IMAGE…",
		Short: "Rank images by how well they fit a prompt",
		Long: `Rank scores images against a prompt with a reward and prints them best first;
equal scores share a rank. Images may be of any size, and a folder stands for
the images in it. Without --prompt, PNG files made here tell the prompt
themselves. Files that cannot be read are listed, the others are ranked, and the
exit code is 3.

Several rewards make a weighted sum; each one's own scores are shown beside it.
Where a reward's folder holds a reference.json ("winnow reference" makes it, the
embedded reward has one), its scores show their percentile, and --transform brings
rewards to one scale. --alarm then marks images about which the rewards disagree:
they deserve a look, as one reward may have been deceived.

--judge alone ranks by the reward "judge": a vision-language model compares pairs of
images in both orders: every pair of up to six, chosen ones of more (--judge-schedule),
with --judge-budget as a limit. "vqascore" asks it once per image. --judge mini needs no
server: the embedded reward answers. "winnow help rewards" describes all of them.`,
		Example: `  winnow rank --prompt "a red circle" a.png b.jpg c.webp
  winnow rank --prompt "a red fox in the snow" --reward clip --reward-model ./clip-vit-base-patch32 photos/
  winnow rank --prompt "a red fox" --reward hpsv2.1=10,pickscore-v1=0.05 --reward-model ./hpsv2.1 --reward-model ./pickscore photos/
  winnow rank --prompt "a red fox" --reward hpsv2.1,pickscore-v1 --reward-model ./hpsv2.1 --reward-model ./pickscore --transform z --alarm 1 photos/
  winnow rank --prompt "a red fox" --judge http://localhost:8000 --judge-model Qwen2.5-VL-7B photos/
  winnow rank --prompt "a red fox" --judge http://localhost:8000 --judge-schedule swiss --judge-budget 40 photos/
  winnow rank --prompt "a red fox" --reward vqascore,mini=0.1 --judge http://localhost:8000 photos/
  winnow rank --prompt "a red fox" --reward-url http://localhost:9000/score photos/
  winnow rank --csv out/*.png > scores.csv
  winnow rank --per-picture-prompt --html best.html out/`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.config != "" {
				if err := loadConfig(c, o.config); err != nil {
					return err
				}
			}
			o.files, o.changed = args, c.Flags().Changed
			if err := o.check(a.json); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.rank(c.Context(), o)
		},
	}
	o.flags(c)
	return c
}

func (o *rankOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.SortFlags = false
	f.StringVarP(&o.prompt, "prompt", "p", "", "what the images should show (default: the prompt inside the PNG files)")
	f.BoolVar(&o.perPicture, "per-picture-prompt", false, "score each PNG file with the prompt inside it, and rank them all together")
	f.StringSliceVar(&o.reward, "reward", nil, "reward to rank by, or NAME=WEIGHT,NAME=WEIGHT for a sum (default: mini)"+rewardHelp)
	f.StringArrayVar(&o.models, "reward-model", nil, "folder of the reward's model; once per reward that needs one, in order")
	o.addressFlag(f)
	o.asked.flags(f)
	o.asked.scheduleFlags(f, usualSchedule)
	o.scaleFlags(f)
	f.Float64Var(&o.alarm, "alarm", 0, "mark images on which the transformed scores of the rewards have a standard deviation above this")
	f.BoolVar(&o.csv, "csv", false, "print a table by RFC 4180 instead")
	f.StringVar(&o.html, "html", "", "also write a report: one self-contained HTML file")
	f.BoolVar(&o.truncate, "truncate", false, "drop the end of a prompt that is too long instead of failing")
	f.IntVar(&o.threads, "threads", 0, "CPU threads (default: all)")
	o.executorOptions.flags(f)
	f.StringVar(&o.config, "config", "", "YAML file with any of these flags")
}

// check refuses what cannot work, before anything is read.
func (o *rankOptions) check(asJSON bool) error {
	switch {
	case len(o.files) == 0:
		return errors.New("name the images to rank")
	case o.csv && asJSON:
		return errors.New("--csv and --json are two forms of the result; choose one")
	case o.perPicture && o.prompt != "":
		return errors.New("--per-picture-prompt takes the prompts inside the files; leave out --prompt")
	}
	var err error
	if o.reward, err = o.choose(o.reward, rewards.Judge, rewards.Mini); err != nil {
		return err
	}
	return errors.Join(checkAlarm(o.changed("alarm"), o.alarm, o.transform, len(o.reward)), o.executorOptions.check())
}

// checkAlarm says why an alarm cannot be given.
func checkAlarm(set bool, limit float64, transform string, rewards int) error {
	switch {
	case !set:
		return nil
	case !(limit > 0) || math.IsInf(limit, 0):
		return fmt.Errorf("--alarm %v: want a standard deviation above 0, for example 1 with --transform z", limit)
	case rewards < 2:
		return errors.New("--alarm compares rewards; name two or more, as in --reward hpsv2.1,pickscore-v1")
	case transform == "":
		return errors.New("--alarm compares rewards on one scale; add --transform z, cdf or minmax")
	}
	return nil
}

func (a *app) rank(ctx context.Context, o *rankOptions) (err error) {
	start := time.Now()
	if err := writable(o.html); err != nil {
		return err
	}
	files, err := expand(o.files)
	if err != nil {
		return err
	}
	r := &rankRun{rankOptions: o, app: a}
	o.onPair = r.showPairs
	if o.html != "" && o.asked.reason {
		o.onTournament = func(prompt string, members []int, t vlmjudge.Tournament) { r.explain(ctx, prompt, members, t) }
	}
	m, err := o.open(ctx, o.reward)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	info := m.Info()
	r.mix, r.info = m, info
	r.explained = r.explainedBy(m)
	if err := r.choosePrompt(files); err != nil {
		return err
	}
	if err := r.scoreFiles(ctx, files); err != nil {
		return err
	}
	result := &report.Result{
		Command: "rank", Version: diffusion.Version(), Reward: &info, Members: membersOf(m), Alarm: o.alarm,
		Judge: judgedBy(m), Groups: []report.Group{r.group}, Failed: r.failed, Seconds: time.Since(start).Seconds(),
	}
	if r.explained != nil {
		result.Accounts, result.AccountsNote = r.explained.accounts, r.explained.note()
	}
	r.warn(result)
	if o.html != "" {
		if err := writeHTML(o.html, result); err != nil {
			return err
		}
	}
	if err := a.show(result, o.csv); err != nil {
		return err
	}
	switch {
	case len(r.group.Images) == 0:
		return errors.New("none of the images could be used")
	case len(r.failed) > 0:
		return &partialError{len(r.failed), len(files)}
	}
	return nil
}

// warn says what a reader of the ranks should know.
func (r *rankRun) warn(result *report.Result) {
	info := *result.Reward
	r.app.warnForeign(r.group.Images, info)
	r.app.warnAlarms(result)
	r.app.warnJudge(result.Judge)
	for _, reward := range r.mix.Rewards() {
		if t, ok := reward.(*rewards.Tournament); ok {
			r.app.showSpent(t.Judge())
		}
	}
	prompts := map[string]bool{}
	for _, im := range r.group.Images {
		prompts[im.Prompt] = true
	}
	if len(prompts) > 1 && !info.AcrossPrompts {
		r.app.warn("the images have %d different prompts, and scores of %s compare images of one prompt: ranks across prompts say little", len(prompts), info.Name)
	}
}

// warnAlarms lists what the rewards disagree about.
func (a *app) warnAlarms(result *report.Result) {
	const shown = 10
	images := result.Alarmed()
	if len(images) == 0 {
		return
	}
	var list []string
	for _, im := range images[:min(len(images), shown)] {
		list = append(list, fmt.Sprintf("%s (%s)", im.File, report.FormatScore(im.Spread)))
	}
	if len(images) > shown {
		list = append(list, "…")
	}
	a.warn("the rewards disagree about %d of the images (standard deviation above %g): %s", len(images), result.Alarm, strings.Join(list, ", "))
}

// warnForeign says that the embedded reward has not learnt what it is asked, as
// far as sizes can tell.
func (a *app) warnForeign(images []report.Image, info rewards.Info) {
	foreign := func(im report.Image) bool { return im.Width != info.Width || im.Height != info.Height }
	judge := slices.Contains([]string{rewards.Judge + ":" + rewards.Mini, rewards.VQAScore + ":" + rewards.Mini}, info.Name)
	if (info.Name == rewards.Mini || judge) && slices.ContainsFunc(images, foreign) {
		a.warn("the embedded reward was trained on %d×%d pictures of coloured shapes only; rank others with --reward clip --reward-model DIR", info.Width, info.Height)
	}
}
