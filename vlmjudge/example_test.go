package vlmjudge_test

import (
	"context"
	"fmt"
	"image"
	"log"
	"net/http"
	"net/http/httptest"

	"winnow/rewards"
	"winnow/vlmjudge"
)

// Both score pictures as package rewards expects it.
var (
	_ rewards.Scorer = (*vlmjudge.Judge)(nil)
	_ rewards.Scorer = (*vlmjudge.Remote)(nil)
)

// A judge that thinks the picture shown first a bit better, whichever it is. Asking in both orders uncovers that.
func ExampleJudge_Compare() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"choices": [{"message": {"content": "1"}, "logprobs": {"content": [{"token": "1", "logprob": -0.36,
			"top_logprobs": [{"token": "1", "logprob": -0.36}, {"token": "2", "logprob": -1.2}, {"token": "Yes", "logprob": -2}]}]}}]}`)
	}))
	defer server.Close()

	ctx := context.Background()
	judge, err := vlmjudge.Open(ctx, vlmjudge.Options{URL: server.URL}) // with vLLM: http://localhost:8000, and a Model
	if err != nil {
		log.Fatal(err)
	}
	defer judge.Close()

	a, b := image.NewGray(image.Rect(0, 0, 64, 64)), image.NewGray(image.Rect(0, 0, 96, 64))
	c, err := judge.Compare(ctx, "a red cube on a table", a, b)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.AFirst.Formula)
	fmt.Printf("shown first: %.2f; A over B: %.2f\n", c.AFirst.P, c.LogitMean)
	// Output:
	// p(1)/(p(1)+p(2)) of the first token
	// shown first: 0.70; A over B: 0.50
}

// A reward behind a plain address.
func ExampleOpenRemote() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"scores": [0.25], "model": "my-reward", "version": "2"}`)
	}))
	defer server.Close()

	ctx := context.Background()
	reward, err := vlmjudge.OpenRemote(ctx, vlmjudge.RemoteOptions{URL: server.URL})
	if err != nil {
		log.Fatal(err)
	}
	defer reward.Close()
	scores, err := reward.Score(ctx, "a red cube", []image.Image{image.NewGray(image.Rect(0, 0, 64, 64))})
	fmt.Println(scores, err, reward.Info().Model)
	// Output: [0.25] <nil> my-reward
}
