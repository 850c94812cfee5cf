package rewards

import (
	"context"
	"fmt"
	"image"
	"strings"

	"winnow/vlmjudge"
)

// Rewards that run elsewhere.
const (
	// Judge has a vision-language model compare pairs of a prompt's pictures, in both orders; the score is a strength in
	// natural-log units, see vlmjudge.Judge.Tournament.
	Judge = "judge"
	// VQAScore asks a vision-language model whether the picture shows everything that the prompt says: the probability of Yes
	// among Yes and No.
	VQAScore = "vqascore"
	// Remote is any reward behind an HTTP address, see vlmjudge.Remote.
	Remote = "remote"
)

// elsewhere are the rewards that are no network of this process.
var elsewhere = []string{Judge, VQAScore, Remote, Checker, JPEGSize}

// programs are the rewards that are plain programs.
var programs = map[string]Reward{Checker: checker{}, JPEGSize: jpegSize{}}

// OpenReward opens any reward: a *Model as Open does, or one that runs elsewhere, for which dir is "" and opt says where.
// Judges and remote rewards are asked a question at once, so wrong addresses, keys and names are found here.
func OpenReward(ctx context.Context, name, dir string, opt *Options) (Reward, error) {
	if opt == nil {
		opt = &Options{}
	}
	asks := name == Judge || name == VQAScore
	program := programs[name]
	switch {
	case !asks && name != Remote && program == nil:
		m, err := Open(ctx, name, dir, opt)
		if err != nil {
			return nil, err // not m, which as a Reward would not be nil
		}
		return m, nil
	case dir != "":
		return nil, &ArgumentError{fmt.Sprintf("the reward %q is no network here and takes no folder", name)}
	case program != nil:
		return program, nil
	case asks && opt.Judge == nil:
		return nil, &ArgumentError{fmt.Sprintf("the reward %q asks a judge; say where it runs", name)}
	case name == Remote && opt.Remote == nil:
		return nil, &ArgumentError{fmt.Sprintf("the reward %q runs elsewhere; give its address", name)}
	case name == Remote:
		r, err := vlmjudge.OpenRemote(ctx, *opt.Remote)
		if err != nil {
			return nil, err
		}
		return remote{r}, nil
	}
	if name == Judge {
		t, err := OpenTournament(ctx, opt)
		if err != nil {
			return nil, err
		}
		return t, nil
	}
	j, err := openJudged(ctx, opt)
	if err != nil {
		return nil, err
	}
	return yesScore{j}, nil
}

// judged is what both rewards of a judge have in common.
type judged struct {
	judge *vlmjudge.Judge
	mini  *Model // the embedded reward, where it answers in a judge's place
}

func openJudged(ctx context.Context, opt *Options) (judged, error) {
	if opt.Judge.URL != Mini {
		j, err := vlmjudge.Open(ctx, *opt.Judge)
		return judged{judge: j}, err
	}
	m, err := Open(ctx, Mini, "", opt)
	if err != nil {
		return judged{}, err
	}
	j, err := miniJudge(m, opt.Judge)
	return judged{j, m}, err
}

func (j judged) Close() error { return j.judge.Close() }

// CheckPrompt refuses a prompt that says nothing, or is longer than the embedded reward reads.
func (j judged) CheckPrompt(prompt string) error {
	if strings.TrimSpace(prompt) == "" {
		return &ArgumentError{"a judge needs the prompt that the pictures were made for"}
	}
	if j.mini != nil {
		return j.mini.CheckPrompt(prompt)
	}
	return nil
}

// info describes a reward by the question of a template.
func (j judged) info(name string, question int) Info {
	about := j.judge.Info()
	if j.mini != nil {
		sees := j.mini.Info()
		return Info{
			Name: name + ":" + Mini, Model: "embedded reward, no judge was asked", Version: about.Templates[question].ID + ", " + sees.Version, ReadsPrompt: true,
			Width: sees.Width, Height: sees.Height, MaxTokens: sees.MaxTokens,
		}
	}
	model := about.ServedModel
	if model == "" {
		model = about.Model
	}
	return Info{
		Name: name, Model: strings.TrimSpace(model + " at " + about.URL), Version: about.Templates[question].ID + ", " + string(about.Protocol),
		Prepare: fmt.Sprintf("at most %d pixels", about.PixelBudget), ReadsPrompt: true,
	}
}

// seen is the picture that a judge looks at.
func (s Sample) seen() image.Image {
	if s.Upright != nil {
		return s.Upright
	}
	return s.Image
}

// yesScore is the reward VQAScore.
type yesScore struct{ judged }

func (y yesScore) Info() Info {
	info := y.info(VQAScore, 1)
	info.Formula, info.AcrossPrompts = y.judge.YesFormula(), true
	if y.mini != nil {
		info.Formula = fmt.Sprintf("sigmoid of the embedded reward's score, less the mean of its reference, by %g", MiniTemperature)
	}
	return info
}

func (y yesScore) Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
	return y.ScoreSamples(ctx, samplesOf(prompt, images))
}

func (y yesScore) ScoreSamples(ctx context.Context, samples []Sample) ([]float64, error) {
	prompts, images := make([]string, len(samples)), make([]image.Image, len(samples))
	for i, s := range samples {
		prompts[i], images[i] = s.Prompt, s.seen()
	}
	return y.judge.ScoreEach(ctx, prompts, images)
}

// remote is the reward Remote. It sees pictures as they are stored, like models here.
type remote struct{ *vlmjudge.Remote }

func (remote) CheckPrompt(string) error { return nil }

func (r remote) Info() Info {
	about := r.Remote.Info()
	return Info{
		Name: Remote, Model: strings.TrimSpace(about.Model + " at " + about.URL), Version: about.Version, Formula: "as the server computes it", ReadsPrompt: true,
	}
}

func (r remote) ScoreSamples(ctx context.Context, samples []Sample) ([]float64, error) {
	return scoreRuns(ctx, r.Remote, samples)
}
