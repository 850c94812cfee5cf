package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"winnow/datasets"
	"winnow/rewards"
)

// referenceOptions is the command line of reference.
type referenceOptions struct {
	files               []string
	reward, set, output string
}

func (a *app) referenceCommand() *cobra.Command {
	o := &referenceOptions{}
	c := &cobra.Command{
		Use:   "reference SCORES.jsonl… --output FILE",
		Short: "Describe the distribution of a reward's scores, for percentiles and transforms",
		Long: `Reference reads the scores of many pictures and writes their distribution: count,
mean, standard deviation and 101 quantiles. Stored as reference.json in the
reward's folder, it gives scores a percentile, and --transform a scale.

Scores are JSON lines of "winnow score", or of "winnow rank --json" and "winnow
generate --json". Where lines are of several rewards, --reward names one. Lines that
cannot be used are listed, the others are counted, and the exit code is 3.

Pictures and prompts should be like those that will be judged; --set says for
readers what they were.`,
		Example: `  winnow generate --num-images 8 --json "a red circle" "two green stars" > generated.jsonl
  winnow reference generated.jsonl --set "16 pictures of the embedded model" --output reference.json
  winnow score rows.jsonl --reward hpsv2.1 --reward-model ./hpsv2.1 --output scores.jsonl
  winnow reference scores.jsonl --output ./hpsv2.1/reference.json`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.files = args; len(args) == 0 || o.output == "" {
				return &usageError{command: c.CommandPath(), err: errors.New("name files of scores, and the file to write by --output")}
			}
			return a.reference(c.Context(), o)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.reward, "reward", "", "reward whose scores are described (default: the one of the lines)")
	f.StringVar(&o.set, "set", "", "what the pictures and prompts are (default: the names of the files)")
	f.StringVarP(&o.output, "output", "o", "", "file to write")
	return c
}

// referenceLine is the result, as --json prints it.
type referenceLine struct {
	Type   string  `json:"type"` // "reference"
	Output string  `json:"output"`
	Reward string  `json:"reward"`
	Set    string  `json:"set"`
	Count  int     `json:"count"`
	Mean   float64 `json:"mean"`
	Std    float64 `json:"std"`
	Low    float64 `json:"min"`
	High   float64 `json:"max"`
}

func (a *app) reference(ctx context.Context, o *referenceOptions) error {
	if err := writable(o.output); err != nil {
		return err
	}
	s := &scoreReader{reward: o.reward, rows: &rows{app: a}}
	for _, file := range o.files {
		if err := s.read(ctx, file); err != nil {
			return err
		}
	}
	total := len(s.scores) + s.rows.broken
	if len(s.scores) == 0 {
		return fmt.Errorf("%s: no scores; give lines of winnow score, or of rank or generate with --json", strings.Join(o.files, ", "))
	}
	if s.reward == "" {
		return usagef("the scores do not say which reward they are of; name it by --reward")
	}
	if o.set == "" {
		for _, file := range o.files {
			o.set = strings.TrimPrefix(o.set+", "+filepath.Base(file), ", ")
		}
	}
	r, err := rewards.NewReference(s.reward, o.set, s.scores)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := writeFile(o.output, append(data, '\n')); err != nil {
		return err
	}
	if err := a.showReference(o.output, r); err != nil {
		return err
	}
	return s.rows.partial(total)
}

func (a *app) showReference(path string, r rewards.Reference) error {
	low, high := r.Quantiles[0], r.Quantiles[len(r.Quantiles)-1]
	if a.json {
		return a.line(referenceLine{"reference", path, r.Reward, r.Set, r.Count, r.Mean, r.Std, low, high})
	}
	_, err := fmt.Fprintf(a.stdout, "%s: %d scores of %s, %.4f to %.4f, mean %.4f, standard deviation %.4f\n", path, r.Count, r.Reward, low, high, r.Mean, r.Std)
	return err
}

// scoreReader collects the scores of one reward.
type scoreReader struct {
	reward string // "": the first line decides
	rows   *rows
	scores []float64
}

// maxReferenceLine bounds a line of a score file.
const maxReferenceLine = 1 << 20

func (s *scoreReader) read(ctx context.Context, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return pathError("open", file, err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 0, 1<<16), maxReferenceLine)
	n := 0
	for n = 1; lines.Scan(); n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.add(lines.Bytes())
		if usage := (*usageError)(nil); err != nil && !errors.As(err, &usage) {
			err = s.rows.fail(&datasets.RowError{File: file, Line: n, Err: err})
		}
		if err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%s:%d: the line is longer than %d bytes; is this a file of scores?", file, n, maxReferenceLine)
	} else if err != nil {
		return pathError("read", file, err)
	}
	return nil
}

// add takes one line. Lines about something else than a picture are passed over.
func (s *scoreReader) add(data []byte) error {
	if len(strings.TrimSpace(string(data))) == 0 {
		return nil
	}
	var kind struct{ Type string }
	if err := json.Unmarshal(data, &kind); err != nil {
		return fmt.Errorf("is not the JSON expected: %w", err)
	}
	if kind.Type != "" && kind.Type != "image" {
		return nil
	}
	var l struct {
		Reward string
		Score  *float64
		Scores map[string]float64
	}
	if err := json.Unmarshal(data, &l); err != nil {
		return fmt.Errorf("is not the JSON expected: %w", err)
	}
	if s.reward == "" && len(l.Scores) == 0 {
		s.reward = l.Reward
	}
	score, own := l.Scores[s.reward]
	switch {
	case own:
	case len(l.Scores) > 0 && s.reward == "":
		return usagef("the scores are of several rewards; name one by --reward: %s", strings.Join(slices.Sorted(maps.Keys(l.Scores)), ", "))
	case len(l.Scores) > 0:
		return fmt.Errorf("holds scores of %s, not of %q", strings.Join(slices.Sorted(maps.Keys(l.Scores)), ", "), s.reward)
	case l.Reward != "" && l.Reward != s.reward:
		return fmt.Errorf("is a score of %q, not of %q", l.Reward, s.reward)
	case l.Score == nil:
		return errors.New("has no number as \"score\"")
	default:
		score = *l.Score
	}
	if math.IsNaN(score) || math.IsInf(score, 0) {
		return fmt.Errorf("the score is %v", score)
	}
	s.scores = append(s.scores, score)
	return nil
}
