package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"winnow/internal/cli"
)

var dataURL = regexp.MustCompile(`data:image/png;base64,([A-Za-z0-9+/=]+)`)

// redJudge answers as a chat server with label probabilities whose model likes the redder picture, and what is shown first by
// bias log-odds; a picture alone shows its prompt when it is red, and is beyond words when it is pure red. While broken is
// set it fails with a fault that does not pass.
type redJudge struct {
	*httptest.Server
	bias   float64
	broken atomic.Bool
	key    atomic.Value
	size   atomic.Value // of the picture that was shown first
}

func newRedJudge(t *testing.T, bias float64) *redJudge {
	t.Helper()
	j := &redJudge{bias: bias}
	j.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			if !j.broken.Load() { // then the other question of the pair is called off
				t.Error(err)
			}
			return
		}
		j.key.Store(r.Header.Get("Authorization"))
		pictures := dataURL.FindAllSubmatch(body, -1)
		if j.broken.Load() && len(pictures) == 2 {
			http.Error(w, `{"detail":"the picture cannot be read"}`, http.StatusBadRequest)
			return
		}
		labels, odds := [2]string{"Yes", "No"}, 0.0
		if len(pictures) > 0 {
			odds = redness(t, pictures[0][1])/50 - 1
			j.size.Store(sizeOf(t, pictures[0][1]))
		}
		if odds > 4 && len(pictures) == 1 {
			labels = [2]string{"Perhaps", "Maybe"}
		}
		if len(pictures) == 2 {
			labels, odds = [2]string{"1", "2"}, j.bias+(redness(t, pictures[0][1])-redness(t, pictures[1][1]))/20
		}
		first, second := -math.Log1p(math.Exp(-odds)), -math.Log1p(math.Exp(odds))
		fmt.Fprintf(w, `{"model":"red","choices":[{"index":0,"finish_reason":"length","message":{"role":"assistant","content":%q},"logprobs":{"content":[
			{"token":%[1]q,"logprob":%[2]v,"top_logprobs":[{"token":%[1]q,"logprob":%[2]v},{"token":%[3]q,"logprob":%[4]v}]}]}}]}`, labels[0], first, labels[1], second)
	}))
	t.Cleanup(j.Close)
	return j
}

func sent(t *testing.T, encoded []byte) image.Image {
	data, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil {
		t.Error(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Error(err)
		return image.NewGray(image.Rect(0, 0, 1, 1))
	}
	return img
}

func sizeOf(t *testing.T, encoded []byte) image.Point { return sent(t, encoded).Bounds().Size() }

func redness(t *testing.T, encoded []byte) float64 {
	r, g, b, _ := sent(t, encoded).At(0, 0).RGBA()
	return (float64(r) - float64(g)/2 - float64(b)/2) / 257
}

// redSet writes pictures of known redness, and pairs and a group over them.
func redSet(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for i := range 6 {
		img := image.NewNRGBA(image.Rect(0, 0, 56, 56))
		for p := range 56 * 56 {
			img.SetNRGBA(p%56, p/56, color.NRGBA{byte(40 * i), 20, 60, 255})
		}
		for _, dir := range []string{"a", "b"} {
			mustDo(t, os.MkdirAll(dir, 0o755))
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d.png", map[string]int{"a": i, "b": 5 - i}[dir])))
			mustDo(t, err)
			mustDo(t, png.Encode(f, img))
			mustDo(t, f.Close())
		}
	}
	mustDo(t, os.WriteFile("set.jsonl", []byte(`{"prompt":"red","images":["a/0.png","a/3.png"],"label":0}
{"prompt":"red too","images":["a/4.png","a/1.png"],"label":1}
{"prompt":"wrong","images":["a/5.png","a/2.png"],"label":0}
{"prompt":"all","images":["a/0.png","a/5.png","a/2.png","a/3.png"],"rank":[4,1,3,2]}
`), 0o600))
	mustDo(t, os.WriteFile("prompts.txt", []byte("p0\np1\np2\np3\np4\np5\n"), 0o600))
}

func runLines(t *testing.T, want int, args ...string) (lines []map[string]any, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := cli.Run(t.Context(), args, &out, &errs); got != want {
		t.Fatalf("%v: exit %d, want %d\n%s%s", args, got, want, &out, &errs)
	}
	for line := range strings.Lines(out.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, l)
	}
	return lines, errs.String()
}

func figures(line map[string]any) map[string]float64 {
	out := map[string]float64{}
	for _, f := range line["parts"].([]any)[0].(map[string]any)["figures"].([]any) {
		m := f.(map[string]any)
		if v, ok := m["value"].(float64); ok {
			out[m["metric"].(string)] = v
		}
	}
	return out
}

// A judge with a bias of one log-odds: its order is right, so the debiased figures are those of the labels.
func TestEval_judge(t *testing.T) {
	redSet(t)
	j := newRedJudge(t, 1)
	t.Setenv("WINNOW_API_KEY", "secret")
	lines, stderr := runLines(t, cli.ExitOK, "eval", "set.jsonl", "--judge", j.URL, "--judge-model", "red", "--json")
	got := figures(lines[0])
	// Decided pairs: 3 of records, 6 of the group; the judge errs on "wrong" only. The smallest odds are 40/20 = 2 > bias.
	for name, want := range map[string]float64{
		"pickapic.no_ties": 2. / 3, "imagereward.pair_micro": 1, "judge.consistent": 8. / 9, "judge.mean": 8. / 9, "judge.abstained": 0, "best_of_n": 1,
	} {
		if math.Abs(got[name]-want) > 1e-9 {
			t.Errorf("%s: %v, want %v (%v)", name, got[name], want, got)
		}
	}
	if b := got["judge.position_bias"]; b < 0.005 || b > 0.2 {
		t.Errorf("position bias %v", b)
	}
	info := lines[0]["judge"].(map[string]any)
	if lines[0]["scorer"] != "judge:red" || info["url"] != j.URL+"/v1" || info["served_model"] != "red" {
		t.Errorf("%v: %v", lines[0]["scorer"], info)
	}
	if j.key.Load() != "Bearer secret" || strings.Contains(fmt.Sprint(lines, stderr), "secret") {
		t.Error("the key was not sent, or shown")
	}
}

func TestEval_judgeBreaks(t *testing.T) {
	redSet(t)
	j := newRedJudge(t, 0)
	j.broken.Store(true)
	_, stderr := runLines(t, cli.ExitFailed, "eval", "set.jsonl", "--judge", j.URL, "--judge-model", "red", "--json")
	if !strings.Contains(stderr, "set.jsonl, row 1: ") || !strings.Contains(stderr, "answered none of the last 4 rows") {
		t.Error(stderr)
	}
	mustDo(t, os.Remove("a/4.png"))
	j.broken.Store(false)
	lines, stderr := runLines(t, cli.ExitPartial, "eval", "set.jsonl", "--judge", j.URL, "--judge-model", "red", "--json")
	if lines[0]["scored"] != 3. || lines[0]["missing"] != 1. || !strings.Contains(stderr, "row 2: ") {
		t.Errorf("%v\n%s", lines[0], stderr)
	}
}

func TestWinRate_judge(t *testing.T) {
	redSet(t)
	j := newRedJudge(t, 1)
	lines, _ := runLines(t, cli.ExitOK, "eval", "win-rate", "--a", "a", "--b", "b", "--prompts", "prompts.txt", "--judge", j.URL, "--judge-model", "red", "--json")
	// a has redness 0 to 5, b 5 to 0: A wins the last three.
	if l := lines[0]; len(lines) != 1 || l["scorer"] != "judge:red" || l["wins"] != 3. || l["losses"] != 3. || l["rate"].(map[string]any)["value"] != 0.5 {
		t.Errorf("%v", lines)
	}
}

// With vqascore the judge is asked about single pictures, and compares them only where it is named too.
func TestEval_vqascore(t *testing.T) {
	redSet(t)
	j := newRedJudge(t, 1)
	lines, _ := runLines(t, cli.ExitOK, "eval", "set.jsonl", "--reward", "vqascore", "--judge", j.URL, "--judge-model", "red", "--cache", "c.sqlite", "--json")
	if len(lines) != 1 || lines[0]["scorer"] != "vqascore" {
		t.Fatalf("%v", lines)
	}
	if got := figures(lines[0]); math.Abs(got["pickapic.no_ties"]-2./3) > 1e-9 || got["imagereward.pair_micro"] != 1 {
		t.Errorf("%v", got)
	}
	lines, _ = runLines(t, cli.ExitOK, "eval", "set.jsonl", "--reward", "vqascore", "--reward", "judge", "--judge", j.URL, "--judge-model", "red", "--cache", "c.sqlite", "--json")
	if len(lines) != 4 || lines[1]["scorer"] != "judge:red" || lines[2]["type"] != "comparison" {
		t.Errorf("%v", lines)
	}
	for _, args := range [][]string{{"--reward", "vqascore"}, {"--reward", "judge=1,mini=1", "--judge", j.URL}, {"--reward", "remote"}} {
		runLines(t, cli.ExitUsage, append([]string{"eval", "set.jsonl", "--json"}, args...)...)
	}
	lines, _ = runLines(t, cli.ExitOK, "eval", "benchmark", "--pictures", "a", "--prompts", "prompts.txt", "--reward", "vqascore", "--judge", j.URL, "--json")
	if lines[0]["scorer"] != "vqascore" {
		t.Errorf("%v", lines)
	}
	runLines(t, cli.ExitUsage, "eval", "benchmark", "--pictures", "a", "--prompts", "prompts.txt", "--judge", j.URL, "--json")
}

// A judge is a verifier by what it says about single pictures, or by comparing each with some that came before.
func TestGenerate_searchByJudge(t *testing.T) {
	t.Chdir(t.TempDir())
	j := newRedJudge(t, .5)
	args := []string{
		"generate", "a red circle", "--search", "random", "--search-budget", "32", "--steps", "2", "--num-images", "1", "--batch-size", "2",
		"--seed", "3", "--judge", j.URL, "--judge-model", "red", "--json",
	}
	with := func(more ...string) []string { return append(slices.Clone(args), more...) }
	lines, _ := runLines(t, cli.ExitOK, with("--reward", "vqascore")...)
	if lines[0]["type"] != "search" || lines[0]["verified"] != 8. || lines[0]["judge"] != nil {
		t.Errorf("%v", lines[0])
	}
	lines, _ = runLines(t, cli.ExitOK, with("--search-journal", "journal", "--output", "one")...)
	line := lines[0]
	asked, _ := line["judge"].(map[string]any)
	if line["before"] != 0. || line["verified"] != 8. || line["dropped"] != 0. || asked["pairs"].(float64) < 1+1+2+3*5 {
		t.Errorf("%v", line)
	}
	// The redder a pixel in the corner is, the better.
	at := func(file any) float64 {
		data, err := os.ReadFile(file.(string))
		mustDo(t, err)
		return redness(t, []byte(base64.StdEncoding.EncodeToString(data)))
	}
	best, after := at(line["file"]), line["after"].(float64)
	runLines(t, cli.ExitOK, "generate", "a red circle", "--steps", "2", "--num-images", "1", "--seed", "3", "--output", "plain", "--json", "--no-rank")
	plain := at("plain/a-red-circle-3.png")
	if math.Abs(after-(best-plain)/20) > .02 || after < .05 {
		t.Errorf("score %v; the picture is redder by %v", after, best-plain)
	}
	// From the whole journal the same picture comes without a question; from half of it with fewer, by the same scale.
	again, _ := runLines(t, cli.ExitOK, with("--search-journal", "journal", "--output", "two")...)
	if m, _ := again[0]["judge"].(map[string]any); m["pairs"] != 0. || again[0]["after"] != after || at(again[0]["file"]) != best {
		t.Errorf("%v", again[0])
	}
	data, err := os.ReadFile("journal/00000-0.journal")
	mustDo(t, err)
	mustDo(t, os.WriteFile("journal/00000-0.journal", data[:len(data)-40], 0o600))
	again, _ = runLines(t, cli.ExitOK, with("--search-journal", "journal", "--output", "three")...)
	if m, _ := again[0]["judge"].(map[string]any); m["pairs"] == 0. || m["pairs"].(float64) >= asked["pairs"].(float64) || again[0]["after"] != after || at(again[0]["file"]) != best {
		t.Errorf("%v", again[0])
	}
	// A method that weighs previews by differences of scores.
	lines, _ = runLines(t, cli.ExitOK, with("--search", "smc", "--eta", "1", "--steps", "4", "--output", "smc")...)
	if lines[0]["after"] == nil || lines[0]["verified"].(float64) < 8 {
		t.Errorf("%v", lines[0])
	}
	runLines(t, cli.ExitUsage, with("--reward", "judge=2")...)
	runLines(t, cli.ExitUsage, with("--reward", "mini,judge")...)
	runLines(t, cli.ExitUsage, with("--search", "reno")...)
	j.broken.Store(true)
	runLines(t, cli.ExitFailed, with("--output", "broken")...)
}
