package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"winnow/vlmjudge"
)

func (a *app) judgeProbeCommand() *cobra.Command {
	o := &judgeQuestion{}
	o.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "probe --judge URL",
		Short: "What a judge's server can do: pictures, label probabilities, request fields",
		Long: `Probe asks the server about a grey square, with and without the picture, and says what
came back: whether it sees pictures, whether it gives label probabilities (else
answers are sampled and counted), which request fields it does not take, and by
which questions it is asked. It also finds out what the server's chat makes of a JSON
schema (answers that cannot be read otherwise are asked for by one where that is
honoured) and of seeds (honoured: a seed repeats an answer and another one does not).
All this takes up to fifteen questions; --judge-memory FILE keeps what came out, for all
commands.`,
		Example: "  winnow judge probe --judge http://localhost:8000 --judge-model Qwen2.5-VL-7B",
		Args:    a.noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.judgeProbe(c.Context(), o)
		},
	}
	o.asked.examine = true
	c.Flags().SortFlags = false
	o.judgeFlags(c.Flags())
	return c
}

// judgeLine is the result of probe.
type judgeLine struct {
	Type string `json:"type"` // "judge"
	vlmjudge.Info
	Seconds float64 `json:"seconds"` // of the questions, all together
}

func (a *app) judgeProbe(ctx context.Context, o *judgeQuestion) (err error) {
	began := time.Now()
	j, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	info := j.Info()
	if a.json {
		return a.line(judgeLine{"judge", info, time.Since(began).Seconds()})
	}
	return a.table(func(w io.Writer) {
		fmt.Fprintf(w, "address\t%s\n", info.URL)
		fmt.Fprintf(w, "model\t%s\n", strings.Join(distinct(info.Model, info.ServedModel), ", served as "))
		fmt.Fprintf(w, "answers\t%s\n", protocolWords(info))
		fmt.Fprintf(w, "pictures\t%s\n", info.Pictures)
		if info.PictureTokens > 0 {
			fmt.Fprintf(w, "\t%d tokens for one of 56×56\n", info.PictureTokens)
		}
		if info.Protocol != vlmjudge.ProtocolReward {
			fmt.Fprintf(w, "JSON schema\t%s\n", schemaWords(info))
			fmt.Fprintf(w, "seed\t%s\n", supportWords(info.Seed, "ignored: the same one gives different answers"))
		}
		if len(info.Unsupported) > 0 {
			fmt.Fprintf(w, "not taken\t%s\n", strings.Join(info.Unsupported, ", "))
		}
		for _, t := range info.Templates {
			fmt.Fprintf(w, "question\t%s\t%s\n", t.ID, t.SHA256[:12])
		}
		fmt.Fprintf(w, "seconds\t%.2f\n", time.Since(began).Seconds())
	})
}

// distinct are the texts that are not empty, each once.
func distinct(texts ...string) (out []string) {
	for i, t := range texts {
		if t != "" && (i == 0 || t != texts[0]) {
			out = append(out, t)
		}
	}
	return out
}

func schemaWords(info vlmjudge.Info) string {
	words := supportWords(info.Structured, "ignored: answers are as without one")
	if info.BySchema {
		words += "; answers are asked for by one, since they cannot be read otherwise"
	}
	return words
}

// supportWords says what a server makes of a field.
func supportWords(s vlmjudge.Support, ignored string) string {
	switch s {
	case "":
		return "not known"
	case vlmjudge.SupportIgnored:
		return ignored
	case vlmjudge.SupportUnclear:
		return "not clear from the answers"
	}
	return string(s)
}

func protocolWords(info vlmjudge.Info) string {
	switch info.Protocol {
	case vlmjudge.ProtocolLogprobs:
		return "label probabilities of the first token"
	case vlmjudge.ProtocolSystemone:
		return "label probabilities, by the server's own form of questions (systemone)"
	case vlmjudge.ProtocolReasoned:
		return fmt.Sprintf("label probabilities within %d written answers", info.Votes)
	case vlmjudge.ProtocolVotes:
		return fmt.Sprintf("%d sampled answers are counted; the server gives no label probabilities, or reasons first", info.Votes)
	case vlmjudge.ProtocolGreedy:
		return "one most probable answer"
	case vlmjudge.ProtocolReward:
		return "a reward answers; no model is asked"
	}
	return string(info.Protocol)
}
