package serve

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"winnow/internal/scoring"
	"winnow/vlmjudge"
)

func TestScore(t *testing.T) {
	_, h := start(t, Options{})
	img := base(encode(t, 3, 2, 150))
	var got scoreReply
	r := post(t, h.URL+"/v1/score", object{"items": []object{
		{"id": "a", "prompt": "ab", "image": img},
		{"id": "b", "prompt": "abc", "image": "data:image;base64," + img},
		{"id": "c", "prompt": "x", "image": base([]byte("no picture"))},
		{"id": "d", "prompt": "x", "image": "*"},
		{"id": "e", "prompt": "too long", "image": object{"b64": img}},
		{"id": "f", "prompt": "", "image": object{"b64": img}},
		{"id": "g", "prompt": "x"},
	}}, &got)
	if r.status != 200 || got.Failed != 4 || len(got.Items) != 7 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for i, want := range []float64{3.5, 4.5, math.NaN(), math.NaN(), math.NaN(), 1.5, math.NaN()} {
		it := got.Items[i]
		if it.ID != string(rune('a'+i)) || math.IsNaN(want) != (it.Score == nil) || (it.Error != "") != math.IsNaN(want) {
			t.Errorf("item %d: %+v", i, it)
		}
		if it.Score != nil && (*it.Score != want || *got.Scores[i] != want) {
			t.Errorf("item %d: %v, want %v", i, *it.Score, want)
		}
	}
	for _, bad := range []string{"", "{", `{"items":[]}`, `[]`, `{"items":[{}],"images":["x"]}`, `{"items":[{"image":5}]}`} {
		if r := send(t, "POST", h.URL+"/v1/score", bad); r.status != 400 || !strings.Contains(r.body, `"invalid_request_error"`) {
			t.Errorf("%q: %d %s", bad, r.status, r.body)
		}
	}
}

// A winnow elsewhere takes the server as its reward "remote".
func TestRemoteProtocol(t *testing.T) {
	_, h := start(t, Options{Keys: []string{"k1", "secret"}})
	if _, err := vlmjudge.OpenRemote(t.Context(), vlmjudge.RemoteOptions{URL: h.URL + "/v1/score", Key: "wrong", Retries: -1}); err == nil {
		t.Error("a wrong key was taken")
	}
	r, err := vlmjudge.OpenRemote(t.Context(), vlmjudge.RemoteOptions{URL: h.URL + "/v1/score", Key: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	white := image.NewGray(image.Rect(0, 0, 4, 4))
	for i := range white.Pix {
		white.Pix[i] = 200
	}
	scores, err := r.Score(t.Context(), "abc", []image.Image{white, image.NewGray(image.Rect(0, 0, 9, 1))})
	if err != nil || !slices.Equal(scores, []float64{5, 3}) {
		t.Errorf("%v, %v", scores, err)
	}
	if info := r.Info(); info.Model != "red" || info.Version != "1" {
		t.Errorf("%+v", info)
	}
}

func TestKeys(t *testing.T) {
	_, h := start(t, Options{Keys: []string{"k1", "secret"}})
	for _, c := range []struct {
		header []string
		want   int
	}{
		{nil, 401},
		{[]string{"Authorization", "Bearer k1"}, 200},
		{[]string{"Authorization", "bearer secret"}, 200},
		{[]string{"Authorization", "Bearer k1,secret"}, 401},
		{[]string{"Authorization", "Bearer "}, 401},
		{[]string{"X-API-Key", "secret"}, 200},
		{[]string{"X-API-Key", "secre"}, 401},
		{[]string{"Authorization", "Basic dTpzZWNyZXQ="}, 200}, // u:secret
		{[]string{"Authorization", "Basic dTo="}, 401},
	} {
		if r := send(t, "GET", h.URL+"/v1/models", "", c.header...); r.status != c.want || strings.Contains(r.body, "secret") {
			t.Errorf("%v: %d, want %d: %s", c.header, r.status, c.want, r.body)
		}
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 401, "/v1/nothing": 404} {
		if r := send(t, "GET", h.URL+path, ""); r.status != want {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	if r := send(t, "POST", h.URL+"/", "x"); r.status != 401 {
		t.Errorf("a pickle without a key: %d", r.status)
	}
	if r := send(t, "POST", h.URL+"/v1/score", "{}", "X-API-Key", "k1", "Sec-Fetch-Site", "cross-site"); r.status != 403 {
		t.Errorf("a page of another site: %d", r.status)
	}
	for list, want := range map[string]int{"": 0, " ": 0, "a": 1, "a, b": 2} {
		if got, err := ParseKeys(list); err != nil || len(got) != want {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	if _, err := ParseKeys("a,,b"); err == nil {
		t.Error("an empty key was taken")
	}
}

func TestCompareAndRankByReward(t *testing.T) {
	_, h := start(t, Options{Temperature: .5})
	low, high := base(encode(t, 2, 2, 100)), base(encode(t, 2, 2, 200))
	var c compareReply
	post(t, h.URL+"/v1/compare", object{"prompt": "x", "images": []string{high, low}}, &c)
	if want := 1 / (1 + math.Exp(-2)); math.Abs(c.P-want) > 1e-12 || c.Verdict != "first" || c.By != "reward" || c.Temperature != .5 {
		t.Errorf("%+v", c)
	}
	var swapped compareReply
	post(t, h.URL+"/v1/compare", object{"prompt": "x", "images": []string{low, high}}, &swapped)
	if math.Abs(c.P+swapped.P-1) > 1e-12 || swapped.Verdict != "second" {
		t.Errorf("%+v", swapped)
	}
	post(t, h.URL+"/v1/compare", object{"prompt": "x", "images": []string{low, low}}, &c)
	if c.P != .5 || c.Verdict != "tie" {
		t.Errorf("%+v", c)
	}
	for want, req := range map[int]object{
		400: {"images": []string{low}}, 422: {"images": []string{low, "!"}},
	} {
		if r := post(t, h.URL+"/v1/compare", req, nil); r.status != want {
			t.Errorf("%v: %d %s", want, r.status, r.body)
		}
	}
	if r := post(t, h.URL+"/v1/compare", object{"images": []string{low, low}, "by": "judge"}, nil); r.status != 400 {
		t.Errorf("a judge that is not there: %d", r.status)
	}
	var k rankReply
	post(t, h.URL+"/v1/rank", object{"prompt": "x", "images": []string{low, high, "!", low}}, &k)
	if !slices.Equal(k.Order, []int{1, 0, 3}) || k.Items[0].Rank != 2 || k.Items[3].Rank != 2 || k.Items[2].Error == "" {
		t.Errorf("%+v", k)
	}
}

// redJudge prefers the redder picture, and what is shown first by half a log-odd.
type redJudge struct{ err error }

func (j redJudge) Compare(_ context.Context, prompt string, a, b image.Image) (vlmjudge.Comparison, error) {
	red := func(img image.Image) float64 { r, _, _, _ := img.At(0, 0).RGBA(); return float64(r) / 65535 }
	gap := 4 * (red(a) - red(b))
	c := vlmjudge.Comparison{Swapped: vlmjudge.Swap(logistic(gap+.5), logistic(-gap+.5)), Protocol: vlmjudge.ProtocolLogprobs}
	return c, j.err
}

func (j redJudge) Tournament(ctx context.Context, prompt string, images []image.Image, _ vlmjudge.RankOptions) (vlmjudge.Tournament, error) {
	var m []vlmjudge.Match
	for b := range images {
		for a := range b {
			c, err := j.Compare(ctx, prompt, images[a], images[b])
			if err != nil {
				return vlmjudge.Tournament{}, err
			}
			m = append(m, vlmjudge.Match{A: a, B: b, Comparison: c})
		}
	}
	return vlmjudge.Tally(len(images), m)
}

func TestJudge(t *testing.T) {
	_, h := start(t, Options{Judge: redJudge{}, JudgeAs: "judge:red", MaxJudged: 3})
	low, mid, high := base(encode(t, 2, 2, 0)), base(encode(t, 2, 2, 51)), base(encode(t, 2, 2, 255))
	var c compareReply
	post(t, h.URL+"/v1/compare", object{"prompt": "x", "images": []string{mid, low}}, &c)
	if want := logistic(4 * 51. / 255); math.Abs(c.P-want) > 1e-9 || c.By != "judge" || math.Abs(*c.Bias-.5) > 1e-9 || c.Judge != "judge:red" {
		t.Errorf("%+v", c)
	}
	post(t, h.URL+"/v1/compare", object{"prompt": "x", "images": []string{mid, low}, "by": "reward"}, &c)
	if c.By != "reward" {
		t.Errorf("%+v", c)
	}
	var k rankReply
	post(t, h.URL+"/v1/rank", object{"prompt": "x", "images": []string{mid, low, high}}, &k)
	if !slices.Equal(k.Order, []int{2, 0, 1}) || k.Pairs != 3 || k.By != "judge" {
		t.Errorf("%+v", k)
	}
	if r := post(t, h.URL+"/v1/rank", object{"images": []string{mid, low, high, low}}, nil); r.status != 413 {
		t.Errorf("four: %d", r.status)
	}
	if r := post(t, h.URL+"/v1/compare", object{"images": []string{mid, "!"}}, nil); r.status != 422 {
		t.Errorf("a bad image: %d", r.status)
	}
	_, broken := start(t, Options{Judge: redJudge{errors.New("gone")}})
	if r := post(t, broken.URL+"/v1/compare", object{"images": []string{mid, low}}, nil); r.status != 502 || !strings.Contains(r.body, "gone") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestLimits(t *testing.T) {
	s, h := start(t, Options{MaxRequest: 2000, MaxItems: 3, Queue: 4, MaxMemory: 10000})
	img := base(encode(t, 2, 2, 9))
	if r := post(t, h.URL+"/v1/score", object{"prompt": "", "images": []string{img, img, img, img}}, nil); r.status != 413 {
		t.Errorf("four items: %d", r.status)
	}
	if r := send(t, "POST", h.URL+"/v1/score", strings.Repeat(" ", 2001)); r.status != 413 {
		t.Errorf("2001 bytes: %d", r.status)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.URL+"/v1/score", io.MultiReader(strings.NewReader(strings.Repeat(" ", 3000)))) // of no stated length
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("chunks: %d", resp.StatusCode)
	}
	s.memory.limit.Store(100)
	if r := post(t, h.URL+"/v1/score", object{"images": []string{img}}, nil); r.status != 429 || r.header.Get("Retry-After") != "1" {
		t.Errorf("memory: %d %v", r.status, r.header)
	}
	if held := s.memory.held.Load(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
	for _, bad := range []Options{{Temperature: -1}, {Temperature: math.NaN()}, {BatchSize: -1}, {Queue: 3, MaxItems: 4}, {MaxRequest: 1 << 40}, {AllowPath: []string{"/no/such/folder"}}, {AllowURL: []string{"http://x"}}} {
		bad.Score = (&redReward{}).score
		if _, err := New(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestImageLimits(t *testing.T) {
	o := Options{}
	o.Limits.Pixels = 100
	reward := &redReward{}
	o.Score = reward.score
	_, h := start(t, o)
	var got scoreReply
	post(t, h.URL+"/v1/score", object{"prompt": "", "images": []string{base(encode(t, 11, 10, 1)), base(encode(t, 10, 10, 1))}}, &got)
	if got.Items[0].Error == "" || got.Items[1].Error != "" || reward.items.Load() != 1 {
		t.Errorf("%+v", got)
	}
}

func TestMicroBatches(t *testing.T) {
	reward := &redReward{hold: make(chan struct{}, 100)}
	s, h := start(t, Options{Score: reward.score, BatchSize: 8, BatchWait: 50 * time.Millisecond})
	var wait sync.WaitGroup
	for i := range 24 {
		wait.Go(func() {
			prompt := strings.Repeat("x", i)
			var got scoreReply
			post(t, h.URL+"/v1/score", object{"prompt": prompt, "images": []string{base(encode(t, 2, 2, uint8(10*i))), base(encode(t, 2, 2, 0))}}, &got)
			if *got.Scores[0] != float64(10*i)/100+float64(i) || *got.Scores[1] != float64(i) {
				t.Errorf("request %d: %v %v", i, *got.Scores[0], *got.Scores[1])
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		s.queue.mu.Lock()
		n := len(s.queue.waiting)
		s.queue.mu.Unlock()
		if n >= 40 { // at most 8 of 48 are being scored
			break
		}
	}
	for range 48 {
		reward.hold <- struct{}{}
	}
	wait.Wait()
	if calls := reward.calls.Load(); calls > 8 || reward.most.Load() != 8 {
		t.Errorf("48 pictures in %d batches, at most %d together", calls, reward.most.Load())
	}
}

func TestFullQueue(t *testing.T) {
	reward := &redReward{hold: make(chan struct{})}
	s, h := start(t, Options{Score: reward.score, BatchSize: 1, Queue: 2, MaxItems: 2})
	img := base(encode(t, 2, 2, 1))
	ctx, leave := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	ask := func(ctx context.Context) int {
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, h.URL+"/v1/score", strings.NewReader(fmt.Sprintf(`{"images":[%q]}`, img)))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	waiting := func(n int) {
		t.Helper()
		for range 5000 {
			s.queue.mu.Lock()
			got := len(s.queue.waiting)
			s.queue.mu.Unlock()
			if got == n && reward.calls.Load() > 0 {
				return
			}
			time.Sleep(time.Millisecond)
		}
		t.Fatalf("the queue never had %d items", n)
	}
	wait.Go(func() { ask(t.Context()) }) // is being scored
	for reward.calls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	wait.Go(func() { ask(ctx) })
	wait.Go(func() { ask(ctx) })
	waiting(2)
	r := send(t, "POST", h.URL+"/v1/score", fmt.Sprintf(`{"images":[%q]}`, img))
	if r.status != 429 || r.header.Get("Retry-After") == "" {
		t.Errorf("a full queue: %d %v", r.status, r.header)
	}
	if r := send(t, "POST", h.URL+"/", pickleOf(t, encode(t, 2, 2, 1))); r.status != 500 || r.header.Get("Retry-After") == "" {
		t.Errorf("flow_grpo retries 500 only: %d", r.status)
	}
	leave() // the clients go, and their places are free at once
	waiting(0)
	wait.Go(func() {
		if code := ask(t.Context()); code != 200 {
			t.Errorf("after they left: %d", code)
		}
	})
	waiting(1)
	reward.hold <- struct{}{}
	reward.hold <- struct{}{}
	wait.Wait()
	if n := reward.items.Load(); n != 2 {
		t.Errorf("%d items were scored; those of clients that left should not be", n)
	}
}

// A batch that nobody waits for any more is called off.
func TestClientLeavesWhileScored(t *testing.T) {
	reward := &redReward{hold: make(chan struct{})}
	s, h := start(t, Options{Score: reward.score})
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, h.URL+"/v1/score", strings.NewReader(fmt.Sprintf(`{"images":[%q]}`, base(encode(t, 2, 2, 1)))))
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	for reward.calls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	leave()
	<-done
	results := make(chan error)
	go func() {
		_, err := s.queue.submit(t.Context(), []picture{{data: encode(t, 1, 1, 1)}})
		results <- err
	}()
	for reward.calls.Load() < 2 { // the second batch begins when the first has been called off
		time.Sleep(time.Millisecond)
	}
	reward.hold <- struct{}{}
	if err := <-results; err != nil {
		t.Error(err)
	}
}

// A failure of the whole batch costs only the request whose picture causes it.
func TestBatchFailure(t *testing.T) {
	good, bad := encode(t, 2, 2, 1), encode(t, 2, 2, 99)
	score := func(ctx context.Context, items []scoring.Item) ([]scoring.Result, error) {
		for _, it := range items {
			if data, _ := it.Load(); string(data) == string(bad) {
				panic("cannot read this one")
			}
		}
		return (&redReward{}).score(ctx, items)
	}
	s, h := start(t, Options{Score: score, BatchWait: 100 * time.Millisecond})
	var wait sync.WaitGroup
	for i, data := range [][]byte{good, bad, good, good} {
		wait.Go(func() {
			r := post(t, h.URL+"/v1/score", object{"images": []string{base(data)}}, nil)
			if want := map[bool]int{false: 200, true: 500}[i == 1]; r.status != want {
				t.Errorf("%d: %d %s", i, r.status, r.body)
			}
		})
	}
	wait.Wait()
	if _, err := s.queue.submit(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestDrain(t *testing.T) {
	reward := &redReward{hold: make(chan struct{})}
	s, err := New(Options{Score: reward.score})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l, 10*time.Second) }()
	code := make(chan int, 1)
	go func() {
		r := post(t, "http://"+l.Addr().String()+"/v1/score", object{"images": []string{base(encode(t, 2, 2, 1))}}, nil)
		code <- r.status
	}()
	for reward.calls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	stop()
	select {
	case err := <-ended:
		t.Fatalf("ended before the request: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if rec := ask(s, "POST", "/v1/score", "{}"); rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("while draining: %d", rec.Code)
	}
	if rec := ask(s, "GET", "/readyz", ""); rec.Code != 503 {
		t.Errorf("ready while draining: %d", rec.Code)
	}
	reward.hold <- struct{}{}
	if got := <-code; got != 200 {
		t.Errorf("the request that was begun: %d", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := s.queue.submit(t.Context(), []picture{{}}); !errors.Is(err, errDraining) {
		t.Errorf("after the end: %v", err)
	}
}
