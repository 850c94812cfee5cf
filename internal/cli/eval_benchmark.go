package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"

	"winnow/internal/evaluation"
	"winnow/internal/report"
	"winnow/rewards"
)

// benchmarkOptions is the command line of eval benchmark.
type benchmarkOptions struct {
	pictures, config string
	pictureOptions
}

func (a *app) evalBenchmarkCommand() *cobra.Command {
	o := &benchmarkOptions{}
	o.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "benchmark --pictures FOLDER --prompts FILE",
		Short: "Average the scores of one model's pictures by style, as the HPSv2 benchmark does",
		Long: `Benchmark scores the pictures that a model made for a list of prompts and averages the
scores by style: mean with a 95 % bootstrap interval over prompts, median, and what
HPSv2 prints (times 100): the mean and the standard deviation of the means of 80
pictures each. Pictures are found as by "winnow eval win-rate": STYLE/NNNNN.jpg from 0
is HPSv2's layout, and --prompts is then the folder with anime.json, photo.json, ….
Pictures that are missing or cannot be read are listed and left out: exit 3.`,
		Example: `  winnow eval benchmark --pictures benchmark_imgs/SDXL --prompts HPDv2/benchmark --reward hpsv2.1 --reward-model ./hpsv2.1`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.config != "" {
				if err := loadConfig(c, o.config); err != nil {
					return err
				}
			}
			if len(args) > 0 || o.pictures == "" || o.promptFile == "" {
				return &usageError{command: c.CommandPath(), err: errors.New("name --pictures and --prompts")}
			}
			return a.evalBenchmark(c.Context(), o)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.pictures, "pictures", "", "folder of the model's pictures")
	o.pictureOptions.flags(f)
	f.StringVar(&o.config, "config", "", "YAML file with any of these flags")
	return c
}

// benchmarkLine is one scorer's result, as --json prints it.
type benchmarkLine struct {
	Type     string             `json:"type"` // "benchmark"
	Pictures string             `json:"pictures"`
	Scorer   string             `json:"scorer"`
	Missing  int                `json:"missing"` // prompts without a picture, and pictures without a score
	Styles   []evaluation.Style `json:"styles"`
}

func (a *app) evalBenchmark(ctx context.Context, o *benchmarkOptions) (err error) {
	r := &pictureRun{pictureOptions: &o.pictureOptions, app: a}
	if err := r.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if r.compares {
		return usagef("a judge compares pictures of two models (winnow eval win-rate); --reward %s asks it about single ones", rewards.VQAScore)
	}
	model, err := r.existing(o.pictures)
	if err != nil {
		return err
	}
	r.listMissing(func(i int) string {
		if len(model.files[i]) == 0 {
			return "has no picture"
		}
		return ""
	})
	start := time.Now()
	var lines []benchmarkLine
	scores := report.Section{Title: "Scores"}
	err = r.each(ctx, func(name string, score scoreItems) error {
		values, err := r.scoreFiles(ctx, name, model, score)
		if err != nil {
			return err
		}
		line := benchmarkLine{Type: "benchmark", Pictures: o.pictures, Scorer: name, Styles: evaluation.Benchmark(r.categories(), values)}
		scored := line.Styles[len(line.Styles)-1].Pictures
		line.Missing = r.expected(model) - scored
		if scored == 0 {
			return fmt.Errorf("%s: none of the pictures of %s could be scored", name, o.pictures)
		}
		lines = append(lines, line)
		scores.Charts = append(scores.Charts, histogramOf(name, line.Styles, r.categories(), values))
		return a.showBenchmark(line)
	})
	if err == nil && r.html != "" {
		page := benchmarkPage(lines, scores)
		page.Facts = evalFacts(r.promptFile, len(r.prompts), start)
		err = writePage(r.html, page)
	}
	if err != nil {
		return err
	}
	for _, line := range lines {
		if line.Missing > 0 {
			return &partialRows{line.Missing, r.expected(model)}
		}
	}
	return nil
}

func (r *pictureRun) categories() []string {
	out := make([]string, len(r.prompts))
	for i, p := range r.prompts {
		out[i] = p.Category
	}
	return out
}

// expected is the number of pictures of a model if every prompt had at least one.
func (r *pictureRun) expected(s side) int {
	n := 0
	for _, files := range s.files {
		n += max(len(files), 1)
	}
	return n
}

// styleName is what to call a style; the whole has no name.
func styleName(s evaluation.Style) string {
	if s.Name == "" {
		return "all"
	}
	return s.Name
}

// histogramOf has a series for every style.
func histogramOf(name string, styles []evaluation.Style, categories []string, values [][]float64) report.Histogram {
	h := report.Histogram{Title: name}
	at := map[string]int{}
	for i, s := range styles {
		if s.Name == "" && len(styles) > 1 {
			continue
		}
		at[s.Name] = i
		h.Series = append(h.Series, report.Series{Name: styleName(s)})
	}
	for i, v := range values {
		h.Series[at[categories[i]]].Values = append(h.Series[at[categories[i]]].Values, v...)
	}
	return h
}

func benchmarkPage(lines []benchmarkLine, scores report.Section) *report.Page {
	means := report.Section{
		Title: "Means", Note: "The last columns are what HPSv2 prints: mean and standard deviation of the means of 80 pictures each, times 100.",
		Table: &report.Table{Head: []string{"scorer", "style", "mean", "95 % interval", "median", "pictures", "100·mean of chunks", "100·std"}},
	}
	for _, l := range lines {
		chart := report.IntervalChart{Title: l.Scorer, Chance: math.NaN()}
		for _, s := range l.Styles {
			chart.Items = append(chart.Items, report.IntervalItem{Label: styleName(s), Value: float64(s.Mean), Low: float64(s.Low), High: float64(s.High)})
			means.Table.Rows = append(means.Table.Rows, []string{
				l.Scorer, styleName(s), number(s.Mean), interval(s.Low, s.High), number(s.Median), fmt.Sprint(s.Pictures),
				fmt.Sprintf("%.2f", 100*float64(s.ChunkMean)), fmt.Sprintf("%.4f", 100*float64(s.ChunkStd)),
			})
		}
		means.Charts = append(means.Charts, chart)
	}
	return &report.Page{
		Title: "winnow eval benchmark", Subtitle: lines[0].Pictures, Sections: []report.Section{means, scores},
		Footer: "Intervals: 95 % bootstrap over prompts, 2,000 resamples.",
	}
}

func (a *app) showBenchmark(l benchmarkLine) error {
	if a.json {
		return a.line(l)
	}
	return a.table(func(w io.Writer) {
		fmt.Fprintf(w, "%s on %s\n\n", l.Scorer, l.Pictures)
		fmt.Fprintf(w, "style\tmean\t\tmedian\tpictures\t100·mean of chunks\t100·std\tchunks\n")
		for _, s := range l.Styles {
			fmt.Fprintf(w, "%s\t%.4f\t%s\t%.4f\t%d\t%.2f\t%.4f\t%d\n", styleName(s), float64(s.Mean), interval(s.Low, s.High), float64(s.Median),
				s.Pictures, 100*float64(s.ChunkMean), 100*float64(s.ChunkStd), s.Chunks)
		}
	})
}
