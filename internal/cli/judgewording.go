package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"winnow/rewards"
	"winnow/vlmjudge"
)

// judgeWording says in which words a judge is asked.
type judgeWording struct {
	files        []string
	answerTokens int
	reason       bool // it gives reasons first
	wordings     []*vlmjudge.Wording
}

func (o *judgeWording) flags(f *pflag.FlagSet) {
	o.templateFlag(f)
	f.BoolVar(&o.reason, "explain", false, "have the judge write down its reasons before each of --judge-votes answers; the pages of judge compare, score and rank, rank and eval show them")
	f.IntVar(&o.answerTokens, "judge-answer-tokens", 0, "tokens of a written answer at most, where there are no label probabilities (default 16, 1024 of judges that give reasons)")
}

// templateFlag adds the flag alone.
func (o *judgeWording) templateFlag(f *pflag.FlagSet) {
	f.StringArrayVar(&o.files, "judge-template", nil, "file with another wording of a question to the judge; \"winnow judge template\" shows the usual ones; may be repeated")
}

// check reads the files and refuses what cannot work with the judge at an address.
func (o *judgeWording) check(url string) error {
	switch set := len(o.files) > 0 || o.answerTokens != 0; {
	case o.answerTokens < 0:
		return usagef("--judge-answer-tokens %d: want 1 or more", o.answerTokens)
	case o.reason && url == "":
		return usagef("--explain asks a judge for reasons; name it by --judge URL")
	case set && url == "":
		return usagef("--judge-template and --judge-answer-tokens say how a judge is asked; name it by --judge URL")
	case set && url == rewards.Mini:
		return usagef("--judge %s is the embedded reward, which reads no question; --judge-template and --judge-answer-tokens are about servers", rewards.Mini)
	}
	return o.read()
}

// read reads the files.
func (o *judgeWording) read() error {
	o.wordings = nil
	for _, file := range o.files {
		text, err := readTemplate(file)
		if err != nil {
			return err
		}
		w, err := vlmjudge.ReadWording(file, text)
		if err != nil {
			return err
		}
		o.wordings = append(o.wordings, w)
	}
	return nil
}

// readTemplate reads a file no further than a wording may be long.
func readTemplate(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, pathError("open", file, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("it is a folder; name a text file")
	}
	text, e := io.ReadAll(io.LimitReader(f, 1<<20))
	if err = errors.Join(err, e); err != nil {
		return nil, pathError("read", file, err)
	}
	return text, nil
}

// manner is what verdicts depend on.
func (o *judgeWording) manner() (manner string) {
	for _, w := range o.wordings {
		manner += " asks=" + w.Template().SHA256
	}
	if o.answerTokens != 0 {
		manner += fmt.Sprintf(" tokens=%d", o.answerTokens)
	}
	if o.reason {
		manner += " reasons"
	}
	return manner
}
