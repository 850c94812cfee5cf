package vlmjudge

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"net/http"
)

// probePrompt is the caption of the picture that is sent when a judge or a reward is opened.
const probePrompt = "a grey square"

func greySquare() image.Image {
	square := image.NewNRGBA(image.Rect(0, 0, 2*patch, 2*patch))
	draw.Draw(square, square.Rect, image.NewUniform(color.Gray{128}), image.Point{}, draw.Src)
	return square
}

// settled is what the probe decides.
type settled struct {
	api      API
	protocol Protocol
	votes    int
	served   string
	prompt   int // tokens of the probe's question
	optional *optional

	// Answers are asked for by a schema where they cannot be read otherwise and the server honours it.
	schema           bool
	structured, seed Support
}

// settle has all later questions asked so.
func (j *Judge) settle(s settled) {
	j.settled = s
	j.info.API, j.info.Protocol, j.info.Votes, j.info.ServedModel = s.api, s.protocol, s.votes, s.served
	j.info.BySchema, j.info.Structured, j.info.Seed = s.schema, s.structured, s.seed
	j.info.Templates = j.asks.public(s.api)
}

// probe asks about a grey square, with and without the picture, and settles API and protocol; once, where it is remembered.
func (j *Judge) probe(ctx context.Context) error {
	var known bool
	var err error
	if j.options.Memory != "" {
		known, err = j.recall(ctx)
	}
	if !known && err == nil {
		err = j.findOut(ctx)
		if err == nil {
			err = j.checkSight(ctx)
		}
	}
	if err == nil && j.options.Examine && (j.settled.structured == "" || j.settled.seed == "") {
		known = false
		err = j.examine(ctx)
	}
	if err == nil && !known && j.options.Memory != "" {
		j.remember()
	}
	return err
}

// findOut settles API and protocol.
func (j *Judge) findOut(ctx context.Context) error {
	if j.options.API == APIAuto {
		return j.probeAny(ctx)
	}
	_, err := j.try(ctx, j.options.API)
	return err
}

// try asks about a grey square by one API, and settles it if there is an answer.
func (j *Judge) try(ctx context.Context, api API) (*chatReply, error) {
	picture, err := dataURL(greySquare(), j.options.PixelBudget)
	if err != nil {
		return nil, err
	}
	s := settled{api: api, optional: &optional{}}
	j.settle(s)
	reply, err := j.sample(ctx, []string{picture})
	if err != nil {
		return nil, err
	}
	s.served, s.prompt, s.protocol = reply.Model, reply.Usage.Prompt, ProtocolLogprobs
	c := reply.Choices[0]
	tokens, ok := c.firstToken()
	readable := j.asks.yes.read(c.text(), c.Finish) >= 0
	switch {
	case api == APISystemone:
		s.protocol = ProtocolSystemone
	case !ok:
		s.protocol = j.counted()
	case j.asks.yes.thinks || j.asks.yes.soft(tokens).Abstained:
		// A judge that says something else first, as reasoning ones do, is better asked for a whole answer.
		s.protocol, readable, err = j.reasons(ctx, picture)
	}
	if err == nil && s.protocol.written() {
		s.votes = j.options.Votes
		if !readable {
			s.structured, err = j.takesSchema(ctx)
			s.schema = s.structured == SupportHonoured
		}
	}
	if err != nil {
		return nil, err
	}
	j.settle(s)
	return reply, nil
}

// reasons has one answer written, to see whether its label is among the tokens with probabilities: servers that keep the
// reasoning apart may not give those of the answer. It also says whether the answer can be read.
func (j *Judge) reasons(ctx context.Context, picture string) (p Protocol, readable bool, err error) {
	req := firstTokenRequest(j.asks.yes.messages(probePrompt, []string{picture}))
	req.MaxTokens = j.options.AnswerTokens
	reply, err := j.chat(ctx, req)
	if err != nil {
		return "", false, err
	}
	c := reply.Choices[0]
	label := j.asks.yes.read(c.text(), c.Finish)
	if label >= 0 {
		if _, ok := j.asks.yes.reasoned(c, label); !ok {
			return j.counted(), true, nil
		}
	}
	return ProtocolReasoned, label >= 0, nil
}

// counted is the protocol where there are no probabilities.
func (j *Judge) counted() Protocol {
	if j.options.Votes == 1 {
		return ProtocolGreedy
	}
	return ProtocolVotes
}

// sample asks the probe's question with the picture or without any.
func (j *Judge) sample(ctx context.Context, pictures []string) (*chatReply, error) {
	if j.settled.api != APISystemone {
		return j.chat(ctx, firstTokenRequest(j.asks.yes.messages(probePrompt, pictures)))
	}
	return j.sampleDecision(ctx, j.asks.decisions[questionYes], pictures)
}

func (j *Judge) sampleDecision(ctx context.Context, d decision, pictures []string) (*chatReply, error) {
	_, decided, err := j.decide(ctx, d, probePrompt, pictures)
	if err != nil {
		return nil, err
	}
	reply := &chatReply{Model: decided.Model, Choices: make([]choice, 1)}
	reply.Usage.Prompt = decided.Usage.Input
	return reply, nil
}

// checkSight compares the tokens of the question with those of the same question without its picture: a server that
// drops pictures answers all the same.
func (j *Judge) checkSight(ctx context.Context) error {
	j.info.Pictures = "unchecked"
	prompt := j.settled.prompt
	if prompt == 0 {
		return nil
	}
	// Some servers take no question without pictures; that is no fault.
	blind, err := j.sample(ctx, nil)
	if err != nil || blind.Usage.Prompt == 0 {
		return ctx.Err()
	}
	if prompt <= blind.Usage.Prompt {
		return j.droppedPictures(fmt.Sprintf("the same question counts %d tokens with and %d without one", prompt, blind.Usage.Prompt))
	}
	if j.settled.api == APISystemone {
		if err := j.checkNames(ctx); err != nil {
			return err
		}
	}
	j.info.Pictures, j.info.PictureTokens = "seen", prompt-blind.Usage.Prompt
	return nil
}

// checkNames asks once more with a picture of a longer name. Names stand in the text where pictures shall: the name of one that is dropped
// stays there, and counts.
func (j *Judge) checkNames(ctx context.Context) error {
	picture, err := dataURL(greySquare(), j.options.PixelBudget)
	if err != nil {
		return err
	}
	d := j.asks.decisions[questionYes]
	d.name = "picture-by-a-very-long-name-that-has-many-tokens"
	long, err := j.sampleDecision(ctx, d, []string{picture})
	if err != nil {
		return err
	}
	if long.Usage.Prompt > j.settled.prompt {
		return j.droppedPictures(fmt.Sprintf("their names stay in the text, which counts %d tokens by a long name and %d by a short one", long.Usage.Prompt, j.settled.prompt))
	}
	return nil
}

func (j *Judge) droppedPictures(why string) error {
	return &ServerError{
		URL: j.base, Status: http.StatusOK, Tries: 1, Cause: "the server drops pictures: " + why,
		Cure: serveSight,
	}
}
