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

// probe asks about a grey square, with and without the picture, and settles the protocol.
func (j *Judge) probe(ctx context.Context) error {
	picture, err := dataURL(greySquare(), j.options.PixelBudget)
	if err != nil {
		return err
	}
	reply, err := j.chat(ctx, firstTokenRequest(yesTemplate.messages(probePrompt, []string{picture})))
	if err != nil {
		return err
	}
	j.info.ServedModel = reply.Model
	j.info.Protocol = ProtocolLogprobs
	// A judge that says something else first, as reasoning ones do, is better asked for a whole answer.
	if tokens, ok := reply.Choices[0].firstToken(); !ok || yesTemplate.soft(tokens).Abstained {
		j.textOnly = true
		j.info.Votes, j.info.Protocol = j.options.Votes, ProtocolVotes
		if j.options.Votes == 1 {
			j.info.Protocol = ProtocolGreedy
		}
	}
	return j.checkSight(ctx, reply.Usage.Prompt)
}

// checkSight compares the tokens of the question with those of the same question without its picture: a server that
// drops pictures answers all the same.
func (j *Judge) checkSight(ctx context.Context, prompt int) error {
	j.info.Pictures = "unchecked"
	if prompt == 0 {
		return nil
	}
	// Some servers take no question without pictures; that is no fault.
	blind, err := j.chat(ctx, firstTokenRequest(yesTemplate.messages(probePrompt, nil)))
	if err != nil || blind.Usage.Prompt == 0 {
		return ctx.Err()
	}
	if prompt <= blind.Usage.Prompt {
		return &ServerError{
			URL: j.base, Status: http.StatusOK, Tries: 1,
			Cause: fmt.Sprintf("the server drops pictures: the same question counts %d tokens with and %d without one", prompt, blind.Usage.Prompt),
			Cure:  "serve a model that sees pictures (llama.cpp needs its --mmproj file)",
		}
	}
	j.info.Pictures, j.info.PictureTokens = "seen", prompt-blind.Usage.Prompt
	return nil
}
