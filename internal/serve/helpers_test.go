package serve

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"winnow/internal/imageproc"
	"winnow/internal/scoring"
	"winnow/rewards"
)

// encode is a PNG of one colour.
func encode(t testing.TB, w, h int, red uint8) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.SetNRGBA(i%w, i/w, color.NRGBA{red, 10, 20, 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func base(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// redReward scores a picture by the red of its first pixel in hundredths, plus the length of the prompt.
type redReward struct {
	calls, items atomic.Int64
	most         atomic.Int64
	hold         chan struct{} // where not nil, a call waits for a token
}

func (r *redReward) score(ctx context.Context, items []scoring.Item) ([]scoring.Result, error) {
	r.calls.Add(1)
	r.items.Add(int64(len(items)))
	r.most.Store(max(r.most.Load(), int64(len(items))))
	if r.hold != nil {
		select {
		case <-r.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	out := make([]scoring.Result, len(items))
	for i, it := range items {
		data, err := it.Load()
		if err != nil {
			return nil, err
		}
		img, err := imageproc.Decode("image", data, imageproc.Limits{})
		if err != nil {
			out[i].Err = err
			continue
		}
		if strings.Contains(it.Prompt, "too long") {
			out[i].Err = &rewards.PromptTooLongError{Reward: "red", Tokens: 40, Limit: 32, Dropped: "long"}
			continue
		}
		out[i].Score = float64(img.Pix[0])/100 + float64(len(it.Prompt))
		out[i].Parts = []float64{out[i].Score}
	}
	return out, nil
}

// start runs a server on a reward.
func start(t testing.TB, o Options) (*Server, *httptest.Server) {
	t.Helper()
	if o.Score == nil {
		o.Score = (&redReward{}).score
	}
	o.Info = rewards.Info{Name: "red", Version: "1"}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		h.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, h
}

// reply is a status and a body.
type reply struct {
	status int
	header http.Header
	body   string
}

func send(t testing.TB, method, url, body string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(data)}
}

// post sends JSON and reads the JSON of the reply into out.
func post(t testing.TB, url string, v, out any) reply {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	r := send(t, http.MethodPost, url, string(data), "Content-Type", "application/json")
	if out != nil {
		if err := json.Unmarshal([]byte(r.body), out); err != nil {
			t.Fatalf("%v: %s", err, r.body)
		}
	}
	return r
}

type object = map[string]any
