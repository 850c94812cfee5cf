package vlmjudge

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"winnow/tests/vlmserver"
)

// llamaServer is the address of llama.cpp's server with a judge that prefers the redder picture: that of WINNOW_TEST_LLAMA_URL, or of the
// binary WINNOW_TEST_LLAMA_SERVER, run on the files WINNOW_TEST_LLAMA_MODEL and WINNOW_TEST_LLAMA_MMPROJ that tests/oracle/llama_server.py
// makes. Without either the test does not run.
func llamaServer(t *testing.T) string {
	t.Helper()
	if url := os.Getenv("WINNOW_TEST_LLAMA_URL"); url != "" {
		return url
	}
	if os.Getenv("WINNOW_TEST_LLAMA_SERVER") == "" || os.Getenv("WINNOW_TEST_LLAMA_MODEL") == "" || os.Getenv("WINNOW_TEST_LLAMA_MMPROJ") == "" {
		t.Skip("neither WINNOW_TEST_LLAMA_URL nor WINNOW_TEST_LLAMA_SERVER, WINNOW_TEST_LLAMA_MODEL and WINNOW_TEST_LLAMA_MMPROJ are set")
	}
	return runLlama(t, "--mmproj", os.Getenv("WINNOW_TEST_LLAMA_MMPROJ"), "--image-min-tokens", "4", "--image-max-tokens", "16")
}

func runLlama(t *testing.T, more ...string) string {
	return vlmserver.Run(t, func(port string) *exec.Cmd {
		return exec.Command(os.Getenv("WINNOW_TEST_LLAMA_SERVER"), append([]string{
			"-m", os.Getenv("WINNOW_TEST_LLAMA_MODEL"), "--alias", "tiny-judge", "--host", "127.0.0.1", "--port", port,
			"-c", "8192", "-np", "4", "-t", "1",
		}, more...)...)
	})
}

// TestLlamaServer asks the real server which of two pictures is redder, by its chat and by its own form, which both have probabilities.
func TestLlamaServer(t *testing.T) {
	w := newWire(t, llamaServer(t))
	o := Options{URL: w.URL, Concurrency: 2}
	pairs := 200
	if testing.Short() {
		pairs = 40
	}
	for name, api := range map[string]API{"chat": APIAuto, "own form": APILlama} {
		t.Run(name, func(t *testing.T) {
			o := o
			o.API, o.Examine = api, api == APIAuto
			j := mustOpen(t, o)
			i := j.Info()
			t.Logf("%+v", i)
			if (api == APIAuto) != (i.API == APIChat) || i.Protocol != ProtocolLogprobs || i.Pictures != "seen" {
				t.Errorf("info %+v, want probabilities, and pictures that are seen", i)
			}
			// A judge that is sure of every word cannot show whether seeds are honoured, and one that has not learned JSON fills it with spaces.
			honoured := []Support{SupportHonoured, SupportUnclear}
			if o.Examine && (!slices.Contains(honoured, i.Structured) || !slices.Contains(honoured, i.Seed)) {
				t.Errorf("info %+v, want a schema and seeds that are honoured", i)
			}
			if got := compareByRedness(t, j, pairs); got.requests != 2*pairs || got.off > .05 {
				t.Errorf("%+v, want a question for each order and probabilities as they were taught", got)
			}
			liveOrder(t, j)
			liveRank(t, j)
			livePrompts(t, j)
			liveConcurrent(t, o)
		})
	}
	t.Run("store", func(t *testing.T) { liveStore(t, w, o) })
	t.Run("same", func(t *testing.T) { llamaSame(t, o) })
	t.Run("samples", func(t *testing.T) { llamaSamples(t, o.URL) })
	t.Run("blind", llamaBlind)
	w.check(t)
}

// llamaSame: both forms give the same probabilities, but for last digits, since the chat goes on from what earlier questions had in common.
func llamaSame(t *testing.T, o Options) {
	chat := mustOpen(t, o)
	o.API = APILlama
	own := mustOpen(t, o)
	r, worst := rand.New(rand.NewPCG(7, 8)), 0.
	for range 20 {
		a, b := patches(r, 64, 64), patches(r, 64, 64)
		x, err := chat.Compare(t.Context(), "a red cube", a, b)
		y, errOwn := own.Compare(t.Context(), "a red cube", a, b)
		if err := errors.Join(err, errOwn); err != nil {
			t.Fatal(err)
		}
		worst = max(worst, math.Abs(x.AFirst.P-y.AFirst.P), math.Abs(x.BFirst.P-y.BFirst.P))
	}
	t.Logf("chat and own form differ by at most %.1e in the probability of a label", worst)
	if worst > 1e-4 {
		t.Errorf("chat and own form differ by %v", worst)
	}
}

// llamaSamples has answers sampled as if there were no probabilities, as judges that think before they answer have to be asked: more at
// once than the server has slots, free and by a schema, by both forms.
func llamaSamples(t *testing.T, url string) {
	for _, bySchema := range []bool{false, true} {
		for _, api := range []API{APIChat, APILlama} {
			j := mustOpen(t, Options{URL: url, API: api})
			j.settle(settled{api: api, protocol: ProtocolVotes, votes: 5, served: j.settled.served, optional: &optional{}, schema: bySchema})
			c, err := j.Compare(t.Context(), "a red cube", red(250), red(0))
			t.Logf("%s, schema %v: %q and %q, not taken: %v", api, bySchema, c.AFirst.Replies, c.BFirst.Replies, j.Info().Unsupported)
			if err != nil || len(c.AFirst.Replies) != 5 || c.Protocol != ProtocolVotes || c.AFirst.Mass != 1 || bySchema != strings.Contains(c.AFirst.Replies[0], `"answer"`) {
				t.Errorf("%s, schema %v: %+v, %v", api, bySchema, c, err)
			}
			if !bySchema && (c.AFirst.Raw < .8 || c.BFirst.Raw > .2) { // this judge has not learned to answer within JSON
				t.Errorf("%s: the redder picture has %v and %v of the votes", api, c.AFirst.Raw, 1-c.BFirst.Raw)
			}
		}
	}
}

// llamaBlind runs the server without the model's part for pictures.
func llamaBlind(t *testing.T) {
	if os.Getenv("WINNOW_TEST_LLAMA_URL") != "" {
		return
	}
	_, err := Open(t.Context(), Options{URL: runLlama(t)})
	t.Logf("without --mmproj: %v", err)
	if err == nil || !strings.Contains(err.Error(), "--mmproj") {
		t.Errorf("without --mmproj: %v", err)
	}
}
