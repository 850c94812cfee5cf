package vlmjudge

import (
	"bytes"
	"image"
	"image/color"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// patches makes a picture of a random ground with up to three blocks and noise.
func patches(r *rand.Rand, w, h int) *image.NRGBA {
	random := func() color.NRGBA {
		return color.NRGBA{uint8(r.IntN(256)), uint8(r.IntN(256)), uint8(r.IntN(256)), 255}
	}
	img := filled(w, h, random())
	for range r.IntN(4) {
		x, y := r.IntN(w), r.IntN(h)
		block := image.Rect(x, y, min(w, x+8+r.IntN(w-8)), min(h, y+8+r.IntN(h-8)))
		c := random()
		for y := block.Min.Y; y < block.Max.Y; y++ {
			for x := block.Min.X; x < block.Max.X; x++ {
				img.SetNRGBA(x, y, c)
			}
		}
	}
	noise := 25 * r.Float64()
	for i, v := range img.Pix {
		if i%4 != 3 {
			img.Pix[i] = uint8(min(max(float64(v)+noise*r.NormFloat64(), 0), 255))
		}
	}
	return img
}

// liveServer is the address of a real judge that prefers the redder picture: that of WINNOW_TEST_VLM_URL, or of transformers serve,
// which WINNOW_TEST_VLM_PYTHON (an interpreter with transformers[serving]) runs on the folder WINNOW_TEST_VLM_FOLDER that
// tests/oracle/vlm_judge.py makes. Without either the test does not run.
func liveServer(t *testing.T) string {
	t.Helper()
	if url := os.Getenv("WINNOW_TEST_VLM_URL"); url != "" {
		return url
	}
	python, folder := os.Getenv("WINNOW_TEST_VLM_PYTHON"), os.Getenv("WINNOW_TEST_VLM_FOLDER")
	if python == "" || folder == "" {
		t.Skip("neither WINNOW_TEST_VLM_URL nor WINNOW_TEST_VLM_PYTHON and WINNOW_TEST_VLM_FOLDER are set")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	var log bytes.Buffer
	server := exec.Command(python, "-m", "transformers.cli.transformers", "serve", folder, "--host", "127.0.0.1", "--port", port,
		"--device", "cpu", "--dtype", "float32", "--default-seed", "0")
	server.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "HF_HOME="+t.TempDir(), "OMP_NUM_THREADS=1", "CUDA_VISIBLE_DEVICES=")
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() {
		server.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(time.Minute):
			server.Process.Kill()
		}
	})
	url := "http://127.0.0.1:" + port
	for deadline := time.Now().Add(8 * time.Minute); time.Now().Before(deadline); {
		if resp, err := http.Get(url + "/health"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return url
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the server has ended: %v\n%s", err, log.String())
		case <-time.After(time.Second):
		}
	}
	t.Fatal("the server is not ready after 8 minutes")
	return ""
}

// accordance is what a judge's comparisons of random pictures amount to.
type accordance struct {
	pairs, right, consistent, readable int
	gap                                float64 // mean difference between both orders
}

func compareByRedness(t *testing.T, j *Judge, pairs int) accordance {
	t.Helper()
	got := accordance{pairs: pairs}
	r := rand.New(rand.NewPCG(11, 40))
	for range pairs {
		a, b := patches(r, 64, 64), patches(r, 64, 64)
		c, err := j.Compare(t.Context(), "a red cube", a, b)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Abstained {
			got.readable++
		}
		if c.Inconsistent < .5 {
			got.consistent++
		}
		if c.LogitMean != .5 && c.LogitMean > .5 == (redness(a) > redness(b)) {
			got.right++
		}
		got.gap += c.Inconsistent / float64(pairs)
	}
	return got
}

// TestLive asks a real server which of two pictures is redder, by its soft labels and by its chat.
func TestLive(t *testing.T) {
	url := liveServer(t)
	o := Options{URL: url, Model: os.Getenv("WINNOW_TEST_VLM_MODEL"), Votes: 1, Concurrency: 2, Memory: filepath.Join(t.TempDir(), "judges.json")}
	j := mustOpen(t, o)
	t.Logf("%+v", j.Info())
	if i := j.Info(); os.Getenv("WINNOW_TEST_VLM_URL") == "" && (i.API != APISystemone || i.Pictures != "seen") {
		t.Errorf("info %+v, want soft labels and pictures that are seen", i)
	}
	if again := mustOpen(t, o).Info(); !reflect.DeepEqual(again, j.Info()) {
		t.Errorf("opened again: %+v", again)
	}
	chat := o
	chat.API = APIChat
	soft, counted := 200, 60
	if testing.Short() {
		soft, counted = 40, 10
	}
	for name, c := range map[string]struct {
		judge *Judge
		pairs int
	}{"soft": {j, soft}, "chat": {mustOpen(t, chat), counted}} {
		got := compareByRedness(t, c.judge, c.pairs)
		t.Logf("%s: of %d pairs the redder one wins %d, same in both orders %d (mean difference %.4f), readable %d", name, got.pairs, got.right, got.consistent, got.gap, got.readable)
		if got.right < got.pairs*95/100 || got.readable != got.pairs {
			t.Errorf("%s: the redder picture wins %d of %d, want 95 %%; %d were readable", name, got.right, got.pairs, got.readable)
		}
	}
	liveRank(t, j)
	// Servers fail on a control token in the text, or count it as a picture; and put a picture where its name stands.
	for _, prompt := range []string{"a red cube", "a red cube <|image_pad|><|im_end|>", "picture-1 and picture-2x"} {
		a, err := j.Yes(t.Context(), prompt, patches(rand.New(rand.NewPCG(1, 2)), 1500, 1100))
		if err != nil || a.Tokens.Requests != 1 || !(a.P > 0 && a.P < 1) {
			t.Errorf("Yes to %q: %+v, %v", prompt, a, err)
		}
	}
}

// liveRank has eight pictures put in order by a schedule that does not ask about all pairs.
func liveRank(t *testing.T, j *Judge) {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	pictures := make([]image.Image, 8)
	for i := range pictures {
		pictures[i] = patches(r, 64, 64)
	}
	got, err := j.Tournament(t.Context(), "a red cube", pictures, RankOptions{Schedule: Swiss})
	if err != nil {
		t.Fatal(err)
	}
	agree, pairs := 0, 0
	for a := range pictures {
		for b := range a {
			pairs++
			if got.Strengths[a] > got.Strengths[b] == (redness(pictures[a]) > redness(pictures[b])) {
				agree++
			}
		}
	}
	t.Logf("swiss: %d of %d pairs in the right order after %d questions, %d turned", agree, pairs, got.Calls, got.Turned)
	if agree < pairs*9/10 || got.Degenerate() != "" {
		t.Errorf("%d of %d pairs in the right order, want nine of ten; %q", agree, pairs, got.Degenerate())
	}
}
