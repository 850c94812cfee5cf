package vlmjudge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Options says which judge to ask, and how. Only URL has no default.
type Options struct {
	URL         string        // of the API, with or without /v1 behind the host, as in http://localhost:8000
	Model       string        // the server's name of the model; "": left to servers that have one model only
	API         API           // in which form to ask; "": found out
	Key         string        // sent as bearer token, to this address only; "": none
	Timeout     time.Duration // of one attempt; 0: 2 minutes
	Retries     int           // attempts after the first, for faults that may pass; 0: 5, negative: none
	Concurrency int           // requests at once; 0: 8. Fewer while the server is overloaded
	Rate        float64       // requests a second at most; 0: no bound but the server's own wishes
	Patience    time.Duration // how long questions wait for a server that is down; 0: 2 minutes, negative: not at all
	PixelBudget int           // pictures with more pixels are made smaller; 0: 1280·28², at least 56²
	Votes       int           // answers to sample where there are no label probabilities; 0: 5, 1: one greedy answer
	// AnswerTokens bounds a written answer, where there are no label probabilities. 0: 16, enough for judges that
	// answer at once; judges that reason first need thousands.
	AnswerTokens int
	Seed         int64 // of sampled answers, where the server honours it
	// Family is one of Families: pictures are sent as its models are best sent them, at their own aspect ratio where those keep it; "": as
	// they are, if they are within the budget.
	Family string
	// Wordings take the place of winnow's own ones of the same question; nil: none does.
	Wordings []*Wording
	// Reason has the judge write down its reasons before it answers: Votes chains, of 1024 AnswerTokens each unless they are set.
	Reason bool
	Keeping

	// Examine has Open also find out what no question needs: what the server makes of a JSON schema and of seeds, by up to nine more
	// questions.
	Examine bool
	// Memory is a file in which is kept what opening a judge finds out, so that opening the same one again takes one question and not
	// up to seven; the server's key is not in it. "": nothing is kept.
	Memory string
	// Logger is warned of what is no error: label probabilities that a server does not give, a server that is down or back. Attempts
	// that are made again, and fields that a server does not take, are of level info. nil: none.
	Logger *slog.Logger

	wait time.Duration // unit of the pauses between attempts; 0: half a second. Tests shorten it.
}

const (
	defaultBudget = 1280 * 28 * 28
	shortAnswer   = 16 // tokens of a judge that answers at once
	longAnswer    = 1024
)

func (o Options) thinks() bool { return o.Reason || slices.ContainsFunc(o.Wordings, (*Wording).Thinks) }

func (o Options) filled() Options {
	fill(&o.Timeout, 2*time.Minute)
	fill(&o.Concurrency, 8)
	fill(&o.PixelBudget, defaultBudget)
	fill(&o.Votes, 5)
	if o.thinks() {
		fill(&o.AnswerTokens, longAnswer)
	}
	fill(&o.AnswerTokens, shortAnswer)
	fill(&o.Retries, 5)
	fill(&o.Patience, 2*time.Minute)
	fill(&o.wait, time.Second/2)
	return o
}

func fill[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (o Options) check() error {
	switch {
	case o.Concurrency < 0, o.Votes < 0, o.AnswerTokens < 0, o.Timeout < 0:
		return errors.New("vlmjudge: concurrency, votes, answer tokens and timeout must not be negative; 0 takes the default")
	case !(o.Rate >= 0) || math.IsInf(o.Rate, 1):
		return fmt.Errorf("vlmjudge: a rate of %v requests a second; want a number above 0, or 0 for no bound", o.Rate)
	case o.PixelBudget < 56*56:
		return fmt.Errorf("vlmjudge: a pixel budget of %d is below 56·56; judges see nothing in such pictures", o.PixelBudget)
	case o.Family != "":
		_, err := findFamily(o.Family)
		return err
	}
	return nil
}

// Info says what a judge's numbers depend on.
type Info struct {
	URL           string     `json:"url"`
	Model         string     `json:"model,omitempty"`        // that was asked for
	ServedModel   string     `json:"served_model,omitempty"` // that the server says it has used
	Templates     []Template `json:"templates"`              // of pairs, of Yes, of marks
	PixelBudget   int        `json:"pixel_budget"`
	API           API        `json:"api,omitempty"`
	Family        string     `json:"family,omitempty"` // of models, by which pictures are sized
	Protocol      Protocol   `json:"protocol"`
	Votes         int        `json:"votes,omitempty"`          // of one answer; 0 with label probabilities
	Unsupported   []string   `json:"unsupported,omitempty"`    // request fields that the server does not take
	Pictures      string     `json:"pictures"`                 // "seen", or "unchecked" where the server counts no tokens
	PictureTokens int        `json:"picture_tokens,omitempty"` // that a picture of 56×56 costs
	BySchema      bool       `json:"by_schema,omitempty"`      // written answers are bound to a JSON schema, as they cannot be read otherwise
	// What the server's chat makes of a JSON schema, and of seeds: a seed is honoured where it repeats an answer and another one does
	// not. "" was not asked, see Options.Examine.
	Structured Support `json:"structured_output,omitempty"`
	Seed       Support `json:"seed,omitempty"`
}

// Judge asks a vision-language model. It is safe for concurrent use.
type Judge struct {
	options Options
	client  *client
	base    string // without a slash at the end

	reward   Reward // answers in a server's place; nil: there is a server
	scale    RewardOptions
	formulas [3]string // of its answers about two pictures, about one, and of its marks

	asks    asks    // the wordings
	settled settled // by Open
	info    Info
	keeping Keeping
	purse   purse
}

// Open connects to a judge and asks it one question about a grey square: a wrong address, key or model, and a server
// that drops pictures, are found here. The answer also settles API and protocol, so that later answers are alike.
func Open(ctx context.Context, o Options) (*Judge, error) {
	o = o.filled()
	if err := errors.Join(o.check(), o.API.check(), checkKey(o.Key)); err != nil {
		return nil, err
	}
	base, err := apiBase(o.URL)
	if err != nil {
		return nil, err
	}
	questions, err := choose(o.Wordings, o.Reason)
	if err == nil {
		err = questions.fits(o.API)
	}
	if err != nil {
		return nil, err
	}
	j := &Judge{options: o, base: base, asks: questions, client: newClient(o.Key, o.Timeout, o.Retries, o.wait, newGate(o.Concurrency, o.Rate, o.Patience, o.wait, o.Logger))}
	j.info = Info{URL: base, Model: o.Model, PixelBudget: o.PixelBudget, Family: o.Family}
	err = j.probe(ctx)
	if err == nil {
		err = j.keep(o.Keeping)
	}
	if err != nil {
		j.Close()
		return nil, err
	}
	j.announce()
	return j, nil
}

// announce says where the server offers less than it might.
func (j *Judge) announce() {
	say := func(format string, args ...any) {
		j.client.gate.tell("the judge at " + j.base + " " + fmt.Sprintf(format, args...))
	}
	switch j.settled.protocol {
	case ProtocolReasoned:
		say("thinks before it answers: label probabilities are those in %d written answers", j.options.Votes)
	case ProtocolVotes:
		say("gives no label probabilities: counts %d sampled answers", j.options.Votes)
	case ProtocolGreedy:
		say("gives no label probabilities: counts one greedy answer")
	}
}

// Info describes the judge; it marshals to JSON.
func (j *Judge) Info() Info {
	info := j.info
	if j.settled.optional != nil {
		info.Unsupported = j.settled.optional.list()
	}
	return info
}

// Close gives idle connections back, or closes the reward, and closes the store of answers.
func (j *Judge) Close() (err error) {
	if j.keeping.Store != nil {
		err = j.keeping.Store.Close()
	}
	if j.reward != nil {
		return errors.Join(err, j.reward.Close())
	}
	j.client.http.CloseIdleConnections()
	return err
}

// checkURL refuses what cannot be the address of a server, or would show a key in errors and records.
func checkURL(raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	var why string
	switch {
	case strings.TrimSpace(raw) == "":
		why = "the address is empty"
	case err != nil:
		return nil, fmt.Errorf("vlmjudge: the address cannot be read: %w", errors.Unwrap(err)) // the outer one repeats the text
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("vlmjudge: the address holds more than host and path; a password or key belongs into the key")
	case u.Scheme != "http" && u.Scheme != "https":
		why = "the address does not start with http:// or https://"
	case u.Hostname() == "":
		why = "the address names no host"
	default:
		return u, nil
	}
	return nil, fmt.Errorf("vlmjudge: %s; give it as in http://localhost:8000", why)
}

// checkKey refuses what cannot stand in a header; spaces around the key are not part of it.
func checkKey(key string) error {
	for _, r := range strings.TrimSpace(key) {
		if r <= ' ' || r > '~' {
			return errors.New("vlmjudge: the key holds a space, a line break or a letter outside ASCII; it was probably copied wrongly")
		}
	}
	return nil
}

var versioned = regexp.MustCompile(`/v[0-9]+[a-z]*(/|$)`)

// apiBase ends in the version: /v1 is added where no part of the path looks like one.
func apiBase(raw string) (string, error) {
	u, err := checkURL(raw)
	if err != nil {
		return "", err
	}
	path := strings.TrimRight(u.Path, "/")
	for _, end := range []string{"/chat/completions", "/systemone", "/completion", "/api/chat"} {
		path = strings.TrimSuffix(path, end)
	}
	if !versioned.MatchString(path) {
		path += "/v1"
	}
	return u.Scheme + "://" + u.Host + path, nil
}
