package vlmjudge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"winnow/internal/imageproc"
)

// Keeping is what a judge does with its answers besides giving them. The zero value does nothing.
type Keeping struct {
	Calibration *Calibration // of answers about pairs; nil: none
	Store       Store        // nil: every question is asked
	Limits      Limits
}

// Limits bound what a judge may cost as long as it is open; 0: no limit. A question that has begun is finished.
type Limits struct {
	Tokens            int // read and written, as far as the server counts them
	Money             float64
	Time              time.Duration
	PriceIn, PriceOut float64 // of a million tokens read and written, in any currency
}

func (l Limits) check() error {
	for _, v := range []float64{float64(l.Tokens), l.Money, float64(l.Time), l.PriceIn, l.PriceOut} {
		if !(v >= 0) || math.IsInf(v, 1) {
			return errors.New("vlmjudge: limits and prices must be finite and not negative; 0 is none")
		}
	}
	if l.Money > 0 && l.PriceIn == 0 && l.PriceOut == 0 {
		return errors.New("vlmjudge: a limit in money needs prices of tokens")
	}
	return nil
}

// Price is what tokens cost.
func (l Limits) Price(t Tokens) float64 {
	return (float64(t.Prompt)*l.PriceIn + float64(t.Completion)*l.PriceOut) / 1e6
}

// LimitError says that a judge is asked no more, since a limit is reached.
type LimitError struct{ Why string }

func (e *LimitError) Error() string { return "vlmjudge: " + e.Why }

// Store keeps answers, so that no question is asked twice, and a ledger of what was asked. It is used by several goroutines at once.
// Judge.Close closes it.
type Store interface {
	Recall(ctx context.Context, key string) (a Answer, known bool, err error)
	Keep(ctx context.Context, c Call) error
	io.Closer
}

// Kept is what is to be recalled: an answer, or one of several that were sampled. The key names everything that it depends on.
type Kept struct {
	Key    string
	Answer Answer
}

// Call is a question that was asked.
type Call struct {
	Kept     []Kept // none: nothing is to be recalled
	Time     time.Time
	Seconds  float64
	URL      string
	Model    string
	Template string
	Pictures int
	Money    float64
	Answer   Answer // with what was recalled of it, at the cost of what was not
}

// purse counts what a judge has cost since it was opened.
type purse struct {
	mu       sync.Mutex
	began    time.Time
	tokens   Tokens
	recalled int
}

// Spent is what the judge has cost so far. Recalled answers cost nothing.
func (j *Judge) Spent() Spent {
	j.purse.mu.Lock()
	defer j.purse.mu.Unlock()
	return Spent{
		Calls: j.purse.tokens.Requests, Tokens: j.purse.tokens, Time: time.Since(j.purse.began), Recalled: j.purse.recalled,
		Money: j.keeping.Limits.Price(j.purse.tokens),
	}
}

// Limit says which limit is reached; "": none.
func (j *Judge) Limit() string {
	l, s := j.keeping.Limits, j.Spent()
	switch {
	case l.Tokens > 0 && s.Tokens.Prompt+s.Tokens.Completion >= l.Tokens:
		return fmt.Sprintf("the limit of %d tokens is reached", l.Tokens)
	case l.Money > 0 && s.Money >= l.Money:
		return fmt.Sprintf("the limit of %g in money is reached", l.Money)
	case l.Time > 0 && s.Time >= l.Time:
		return fmt.Sprintf("the limit of %v is reached", l.Time)
	}
	return ""
}

// answer is ask with everything around it: sizes of pictures, stored answers, limits, the ledger, and calibration.
func (j *Judge) answer(ctx context.Context, t template, prompt string, images ...image.Image) (Answer, error) {
	pictures, err := j.sized(images)
	if err != nil {
		return Answer{}, err
	}
	a, err := j.recalled(ctx, t, prompt, pictures)
	if err == nil && len(images) == 2 {
		j.calibrate(&a)
	}
	return a, err
}

// recalled asks for what the store does not know.
func (j *Judge) recalled(ctx context.Context, t template, prompt string, pictures []image.Image) (Answer, error) {
	var q naming
	var known []Answer
	if j.keeping.Store != nil {
		q = j.naming(t, prompt, pictures)
		a, samples, err := j.lookUp(ctx, t, q)
		if err != nil || a.Recalled {
			return a, err
		}
		known = samples
	}
	if why := j.Limit(); why != "" {
		return Answer{}, &LimitError{why}
	}
	began := time.Now()
	a, all, err := j.ask(ctx, t, prompt, known, pictures)
	j.purse.mu.Lock()
	j.purse.tokens = j.purse.tokens.plus(a.Tokens)
	j.purse.mu.Unlock()
	if j.keeping.Store == nil || err != nil && len(all) == len(known) {
		return a, err
	}
	kept := j.keepSamples(q, len(known), all)
	if !j.settled.protocol.written() && !(a.Abstained && a.Protocol == ProtocolVotes) {
		kept = []Kept{{q.key(), a}}
	}
	// What was paid for is kept, even if the run is being stopped.
	return a, errors.Join(err, j.keeping.Store.Keep(context.WithoutCancel(ctx), Call{
		Kept: kept, Time: began, Seconds: time.Since(began).Seconds(), URL: j.info.URL, Model: servedOr(j.info), Template: j.asked(t).ID,
		Pictures: len(pictures), Money: j.keeping.Limits.Price(a.Tokens), Answer: a,
	}))
}

// lookUp finds a whole answer, or the sampled ones that are known of it.
func (j *Judge) lookUp(ctx context.Context, t template, q naming) (a Answer, samples []Answer, err error) {
	known := false
	if j.settled.protocol.written() {
		samples, err = j.recallSamples(ctx, q)
		known = len(samples) == j.options.Votes
	} else {
		a, known, err = j.keeping.Store.Recall(ctx, q.key())
	}
	if err != nil || !known {
		return Answer{}, samples, err
	}
	if samples != nil {
		a = j.ballot(t, samples).result()
	}
	j.purse.mu.Lock()
	j.purse.recalled++
	j.purse.mu.Unlock()
	a.Tokens, a.Recalled = Tokens{}, true
	return a, samples, nil
}

// asked is the identity of a question in the form in which it is asked.
func (j *Judge) asked(t template) Template {
	return j.info.Templates[slices.Index([]string{questionPair, questionYes, questionMarks}, t.question)]
}

// keyVersion changes when answers are made of replies in another way.
const keyVersion = 1

// naming is all that an answer depends on.
type naming struct {
	Version                          int
	Model, API, Question, Prompt     string
	Pictures                         []string // hashes of their pixels
	Protocol                         Protocol
	Votes, AnswerTokens, PixelBudget int
	Seed                             int64
	BySchema                         bool          `json:",omitempty"`
	Sample                           *sampleNaming `json:",omitempty"`
}

type sampleNaming struct {
	Index       int
	Temperature float64
}

func (j *Judge) naming(t template, prompt string, pictures []image.Image) naming {
	sums := make([]string, len(pictures))
	for i, img := range pictures {
		pixels := imageproc.Opaque(img)
		h := sha256.New()
		fmt.Fprintf(h, "NRGBA %d %d\n", pixels.Rect.Dx(), pixels.Rect.Dy())
		for y := range pixels.Rect.Dy() {
			from := y * pixels.Stride
			h.Write(pixels.Pix[from : from+4*pixels.Rect.Dx()])
		}
		sums[i] = hex.EncodeToString(h.Sum(nil))
	}
	model := servedOr(j.info)
	if model == "" { // then only the address tells judges apart
		model = j.info.URL
	}
	return naming{
		keyVersion, model, string(j.info.API), j.asked(t).SHA256, prompt, sums, j.info.Protocol,
		j.options.Votes, j.options.AnswerTokens, j.options.PixelBudget, j.options.Seed, j.info.BySchema, nil,
	}
}

// sample is the key of one sampled answer, which does not depend on how many there are.
func (n naming) sample(index int, temperature float64) string {
	n.Votes, n.Sample = 0, &sampleNaming{index, temperature}
	return n.key()
}

func (n naming) key() string {
	data, err := json.Marshal(n)
	if err != nil {
		panic(err) // strings and numbers only
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// keep takes over what a judge does with its answers; the judge is complete but for it.
func (j *Judge) keep(k Keeping) error {
	if err := k.Limits.check(); err != nil {
		return err
	}
	if k.Calibration != nil {
		if err := k.Calibration.fits(j); err != nil {
			return err
		}
	}
	j.keeping, j.purse.began = k, time.Now()
	return nil
}
