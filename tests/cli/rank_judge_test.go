package cli

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"winnow/internal/cli"
)

// redRemote is a reward server that scores redness.
type redRemote struct {
	*httptest.Server
	key, size atomic.Value
}

func newRedRemote(t *testing.T) *redRemote {
	t.Helper()
	s := &redRemote{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Prompt string
			Images []string
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		s.key.Store(r.Header.Get("Authorization"))
		var scores []float64
		for _, im := range q.Images {
			scores = append(scores, redness(t, []byte(im)))
			s.size.Store(sizeOf(t, []byte(im)))
		}
		mustDo(t, json.NewEncoder(w).Encode(map[string]any{"scores": scores, "model": "red", "version": 3}))
	}))
	t.Cleanup(s.Close)
	return s
}

// order is the images of --json output as "NAME NAME …", best first, and the lines by name.
func order(lines []map[string]any) (names string, byName map[string]map[string]any) {
	byName = map[string]map[string]any{}
	for _, l := range lines {
		if l["type"] == "image" {
			name := strings.TrimSuffix(filepath.Base(l["file"].(string)), ".png")
			names, byName[name] = strings.TrimSpace(names+" "+name), l
		}
	}
	return names, byName
}

// A judge that leans to the first picture by one log-odds: the lean cancels, and is reported.
func TestRank_judge(t *testing.T) {
	redSet(t)
	j := newRedJudge(t, 1)
	t.Setenv("WINNOW_API_KEY", "secret")
	lines, stderr := runLines(t, cli.ExitOK, "rank", "-p", "red", "--json", "--judge", j.URL, "--judge-model", "red", "a")
	names, byName := order(lines)
	if names != "5 4 3 2 1 0" {
		t.Errorf("order %s", names)
	}
	sum := 0.0
	for _, l := range byName {
		sum += l["score"].(float64)
	}
	if top := byName["5"]["score"].(float64); math.Abs(sum) > 1e-9 || top < 0.5 || math.Abs(top+byName["0"]["score"].(float64)) > 1e-9 {
		t.Errorf("strengths sum to %v, the best is %v", sum, top)
	}
	last := lines[len(lines)-1]
	about, info := last["judge"].(map[string]any), last["reward"].(map[string]any)
	if about["pairs"] != 15. || about["turned"] != 0. || about["cyclic_triples"] != 0. || about["triples"] != 20. || math.Abs(about["position_bias"].(float64)-1) > 1e-6 {
		t.Errorf("%v", about)
	}
	if info["name"] != "judge" || info["model"] != "red at "+j.URL+"/v1" || info["relative"] != true || info["version"] != "pair.direct.v1, logprobs" {
		t.Errorf("%v", info)
	}
	if j.key.Load() != "Bearer secret" || strings.Contains(fmt.Sprint(lines, stderr), "secret") {
		t.Error("the key was not sent, or shown")
	}
}

// A judge that sees nothing but places.
func TestRank_judgeOfPlaces(t *testing.T) {
	redSet(t)
	j := newRedJudge(t, 30)
	_, stderr := runLines(t, cli.ExitOK, "rank", "-p", "red", "--json", "--judge", j.URL, "a")
	if !strings.Contains(stderr, "in 15 of 15 pairs the judge preferred a place") {
		t.Error(stderr)
	}
}

func TestRank_mixesOfJudgesRemotesAndModels(t *testing.T) {
	redSet(t)
	j, remote := newRedJudge(t, 0), newRedRemote(t)
	lines, _ := runLines(t, cli.ExitOK, "rank", "-p", "red", "--json", "--reward", "judge=2,vqascore,remote=-0.1,mini=0.001",
		"--judge", j.URL, "--reward-url", remote.URL+"/score", "--html", "r.html", "a/0.png", "a/1.png", "a/3.png")
	_, byName := order(lines)
	for name, red := range map[string]float64{"0": -40, "1": 0, "3": 80} {
		s := byName[name]["scores"].(map[string]any)
		yes := 1 / (1 + math.Exp(1-red/50))
		if s["remote"] != red || math.Abs(s["vqascore"].(float64)-yes) > 1e-9 {
			t.Errorf("%s: %v, want redness %v and %v", name, s, red, yes)
		}
		want := 2*s["judge"].(float64) + s["vqascore"].(float64) - 0.1*red + 0.001*s["mini"].(float64)
		if got := byName[name]["score"].(float64); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	page, err := os.ReadFile("r.html")
	if err != nil || !strings.Contains(string(page), "The judge compared 3 pairs in both orders; 0 turned") {
		t.Errorf("the page does not tell what the judge did (%v)", err)
	}
}

func TestRank_remoteAlone(t *testing.T) {
	redSet(t)
	remote := newRedRemote(t)
	t.Setenv("OPENAI_API_KEY", "not for this server")
	lines, _ := runLines(t, cli.ExitOK, "rank", "-p", "red", "--json", "--reward-url", remote.URL, "a")
	names, _ := order(lines)
	info := lines[len(lines)-1]["reward"].(map[string]any)
	if names != "5 4 3 2 1 0" || info["version"] != "3" || info["model"] != "red at "+remote.URL {
		t.Errorf("%s, %v", names, info)
	}
	if remote.key.Load() != "" {
		t.Error("OpenAI's key went to a reward server")
	}
}

// Scores of a server get a percentile, and an ensemble with a local reward an alarm, by a file of reference.
func TestRank_remoteWithReference(t *testing.T) {
	redSet(t)
	remote := newRedRemote(t)
	var scores strings.Builder
	for i := range 11 {
		fmt.Fprintf(&scores, `{"image":"x","prompt":"p","score":%d,"reward":"remote"}`+"\n", 16*i) // 0 to 160, its quarter at 40
	}
	mustDo(t, os.WriteFile("s.jsonl", []byte(scores.String()), 0o600))
	runLines(t, cli.ExitOK, "reference", "s.jsonl", "--json", "--output", "ref.json")
	lines, _ := runLines(t, cli.ExitOK, "rank", "-p", "red", "--json", "--reward-url", remote.URL, "--reference", "ref.json", "a/2.png")
	if p := lines[0]["percentile"].(float64); lines[0]["score"] != 40. || math.Abs(p-25) > 1e-9 {
		t.Errorf("%v", lines[0])
	}
	lines, _ = runLines(t, cli.ExitOK, "rank", "-p", "red", "--json", "--reward", "remote,mini", "--reward-url", remote.URL, "--reference", "ref.json",
		"--transform", "cdf", "--alarm", "0.05", "a/2.png")
	if want := 0.25 + lines[0]["percentiles"].(map[string]any)["mini"].(float64)/100; math.Abs(lines[0]["score"].(float64)-want) > 1e-4 || lines[0]["alarm"] == nil {
		t.Errorf("%v, want %v", lines[0], want)
	}
	_, stderr := runLines(t, cli.ExitUsage, "rank", "-p", "red", "--json", "--reference", "ref.json", "a/2.png")
	if !strings.Contains(stderr, `ref.json describes scores of "remote", which is none of the rewards`) {
		t.Error(stderr)
	}
}

// A picture without a readable answer is listed; the others are ranked.
func TestRank_unreadableAnswer(t *testing.T) {
	redSet(t)
	img := image.NewNRGBA(image.Rect(0, 0, 30, 30))
	for i := range 900 {
		img.SetNRGBA(i%30, i/30, color.NRGBA{255, 0, 0, 255})
	}
	f, err := os.Create("a/2x.png")
	mustDo(t, err)
	mustDo(t, png.Encode(f, img))
	mustDo(t, f.Close())
	j := newRedJudge(t, 0)
	lines, stderr := runLines(t, cli.ExitPartial, "rank", "-p", "red", "--json", "--reward", "vqascore", "--judge", j.URL, "a")
	names, _ := order(lines)
	if names != "5 4 3 2 1 0" || !strings.Contains(stderr, `2x.png: the judge answered neither Yes nor No but "Perhaps"`) {
		t.Errorf("%s\n%s", names, stderr)
	}
	mustDo(t, os.WriteFile("rows.jsonl", []byte(`{"prompt":"red","images":["a/0.png","a/2x.png","a/5.png"]}`), 0o600))
	_, stderr = runLines(t, cli.ExitPartial, "score", "rows.jsonl", "--judge", j.URL)
	if !strings.Contains(stderr, "a/2x.png: the judge answered neither Yes nor No") || !strings.Contains(stderr, "2 pictures by vqascore") {
		t.Error(stderr)
	}
	_, stderr = runLines(t, cli.ExitUsage, "score", "rows.jsonl", "--judge", j.URL, "--reward", "judge")
	if !strings.Contains(stderr, "compares pictures with each other and scores none by itself") {
		t.Error(stderr)
	}
}

// Judges see pictures as people do, rewards as they are stored.
func TestRank_turnedPictures(t *testing.T) {
	files := readImages(t)
	redSet(t)
	for _, r := range files {
		if r.Name == "jpeg orientation 6" {
			mustDo(t, os.WriteFile("a/turned.jpg", r.File, 0o600))
		}
	}
	j, remote := newRedJudge(t, 0), newRedRemote(t)
	runLines(t, cli.ExitOK, "rank", "-p", "red", "--json", "--reward", "vqascore,remote", "--judge", j.URL, "--reward-url", remote.URL, "a/turned.jpg")
	if j.size.Load() != (image.Point{11, 19}) || remote.size.Load() != (image.Point{19, 11}) {
		t.Errorf("the judge saw %v, the reward %v", j.size.Load(), remote.size.Load())
	}
}

func TestGenerate_judge(t *testing.T) {
	t.Chdir(t.TempDir())
	j := newRedJudge(t, 0)
	lines, _ := runLines(t, cli.ExitOK, "generate", "--steps", "1", "--num-images", "3", "--json", "--judge", j.URL, "--reward", "judge,mini=0.1", "a red circle", "a blue star")
	last := lines[len(lines)-1]
	if len(lines) != 7 || last["judge"].(map[string]any)["pairs"] != 6. || lines[0]["scores"].(map[string]any)["judge"] == nil {
		t.Errorf("%v", last)
	}
}

// Whoever starts hundreds of questions is told; eval takes the same rewards.
func TestJudge_manyQuestionsAndEval(t *testing.T) {
	redSet(t)
	j, remote := newRedJudge(t, 0), newRedRemote(t)
	many := []string{"rank", "-p", "red", "--json", "--judge", j.URL, "--judge-schedule", "all"}
	for range 24 {
		many = append(many, "a/3.png")
	}
	_, stderr := runLines(t, cli.ExitOK, many...)
	if !strings.Contains(stderr, "the judge is asked up to 552 questions about 24 images") {
		t.Error(stderr)
	}
	lines, _ := runLines(t, cli.ExitOK, "eval", "set.jsonl", "--json", "--reward", "remote", "--reward-url", remote.URL, "--reward", "vqascore", "--judge", j.URL)
	var scorers []string
	for _, l := range lines {
		if name, ok := l["scorer"].(string); ok {
			scorers = append(scorers, name)
		}
	}
	if len(scorers) < 2 || scorers[0] != "remote" || scorers[1] != "vqascore" {
		t.Errorf("scorers %v", scorers)
	}
}
