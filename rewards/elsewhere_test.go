package rewards

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/vlmjudge"
)

func TestOpenReward_whatIsMissing(t *testing.T) {
	somewhere := &Options{Judge: &vlmjudge.Options{URL: "http://localhost:1"}, Remote: &vlmjudge.RemoteOptions{URL: "http://localhost:1"}}
	for _, c := range []struct {
		name, dir string
		opt       *Options
		want      string
	}{
		{Judge, "", nil, `"judge" asks a judge`},
		{VQAScore, "", &Options{Remote: somewhere.Remote}, `"vqascore" asks a judge`},
		{Remote, "", &Options{Judge: somewhere.Judge}, "give its address"},
		{Judge, "dir", somewhere, "takes no folder"},
		{Remote, "dir", somewhere, "takes no folder"},
		{"nosuch", "", nil, `no reward "nosuch"`},
	} {
		r, err := OpenReward(t.Context(), c.name, c.dir, c.opt)
		var arg *ArgumentError
		if !errors.As(err, &arg) || !strings.Contains(err.Error(), c.want) || r != nil {
			t.Errorf("%s: %v, %v; want %q", c.name, r, err, c.want)
		}
	}
	for _, name := range []string{Judge, VQAScore, Remote} {
		if _, err := Open(t.Context(), name, "", nil); err == nil || !strings.Contains(err.Error(), "OpenReward") {
			t.Errorf("%s: %v", name, err)
		}
		if NeedsFolder(name) || !slices.Contains(Names(), name) {
			t.Errorf("%s needs a folder, or is not listed", name)
		}
	}
	if NeedsFolder(Mini) || !NeedsFolder(CLIP) {
		t.Error("the embedded reward needs no folder, CLIP does")
	}
}

// A remote reward inside a sum, asked once per prompt in a row, sees the picture as it is stored.
func TestOpenMix_remote(t *testing.T) {
	var prompts []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Prompt string
			Images []string
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		prompts = append(prompts, q.Prompt)
		scores := make([]float64, len(q.Images))
		for i := range scores {
			scores[i] = float64(len(q.Prompt) + i)
		}
		if err := json.NewEncoder(w).Encode(map[string]any{"scores": scores, "model": "long", "version": "2"}); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	m, err := OpenMix(t.Context(), []string{"remote=2", "mini=0.5"}, nil, "", &Options{Remote: &vlmjudge.RemoteOptions{URL: server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	picture := image.NewNRGBA(image.Rect(0, 0, 8, 8))
	samples := []Sample{{Prompt: "a", Image: picture}, {Prompt: "a", Image: picture}, {Prompt: "bcd", Image: picture}}
	raw, err := m.Members(t.Context(), samples)
	if err != nil || !slices.Equal(raw[0], []float64{1, 2, 3}) || !slices.Equal(prompts[1:], []string{"a", "bcd"}) {
		t.Fatalf("%v, %q, %v", raw, prompts, err)
	}
	total, err := m.Combine(raw)
	if err != nil || total[2] != 6+0.5*raw[1][2] {
		t.Errorf("%v, %v", total, err)
	}
	info := m.Rewards()[0].Info()
	if info.Name != Remote || info.Model != "long at "+server.URL || info.Version != "2" || !info.ReadsPrompt || info.AcrossPrompts || info.Relative {
		t.Errorf("%+v", info)
	}
	if _, err := OpenMix(t.Context(), []string{"remote"}, nil, TransformZ, &Options{Remote: &vlmjudge.RemoteOptions{URL: server.URL}}); err == nil ||
		!strings.Contains(err.Error(), "no folder with a reference.json") {
		t.Errorf("a transform without reference: %v", err)
	}
}

// A reference may be given instead of the folder's, which is the only way for rewards without a folder.
func TestOpenMix_givenReferences(t *testing.T) {
	write := func(reward string, scores ...float64) string {
		t.Helper()
		r, err := NewReference(reward, "", scores)
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "r.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mini, other := write(Mini, 1, 3), write("remote", 1, 3)
	m, err := OpenMix(t.Context(), []string{"mini=2"}, nil, TransformZ, &Options{References: []string{mini}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got, err := m.Combine([][]float64{{4}}); err != nil || got[0] != 4 || m.References()[0].Count != 2 { // 2·(4-2)/1
		t.Errorf("%v, %v", got, err)
	}
	for _, list := range [][]string{{other}, {mini, mini}} {
		var arg *ArgumentError
		if _, err := OpenMix(t.Context(), []string{Mini}, nil, "", &Options{References: list}); !errors.As(err, &arg) {
			t.Errorf("%q: %v", list, err)
		}
	}
	if _, err := OpenMix(t.Context(), []string{Mini}, nil, "", &Options{References: []string{"none.json"}}); err == nil || !strings.Contains(err.Error(), "none.json") {
		t.Errorf("%v", err)
	}
}

// A judge's strengths go by prompt, and counts add up.
func TestTournament_groupsByPrompt(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { // always the first one, a little
		_, err := w.Write([]byte(`{"choices":[{"message":{"content":"1"},"logprobs":{"content":[{"token":"1","logprob":-0.5,"top_logprobs":[
			{"token":"1","logprob":-0.5},{"token":"2","logprob":-1.5},{"token":"Yes","logprob":-1},{"token":"No","logprob":-2}]}]}}]}`))
		if err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	var seen [][2]int
	opt := &Options{Judge: &vlmjudge.Options{URL: server.URL}, OnPair: func(done, pairs int) { seen = append(seen, [2]int{done, pairs}) }}
	r, err := OpenReward(context.Background(), Judge, "", opt)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	picture := image.NewNRGBA(image.Rect(0, 0, 60, 60))
	scores, err := r.ScoreSamples(t.Context(), []Sample{{Prompt: "a", Image: picture}, {Prompt: "b", Image: picture}, {Prompt: "a", Image: picture}, {Prompt: "c", Image: picture}, {Prompt: "b", Image: picture}})
	if err != nil || len(scores) != 5 || slices.Max(scores) > 1e-9 || slices.Min(scores) < -1e-9 {
		t.Fatalf("%v, %v", scores, err)
	}
	if counts := r.(*Tournament).Counts(); counts.Pairs != 2 || counts.Turned != 2 || counts.Bias != 1 {
		t.Errorf("%+v", counts)
	}
	if !slices.Equal(seen, [][2]int{{1, 2}, {2, 2}}) {
		t.Errorf("progress %v", seen)
	}
	if r.CheckPrompt(" ") == nil || r.CheckPrompt("a") != nil || !r.Info().Relative {
		t.Error("an empty prompt is none, and strengths are relative")
	}
}
