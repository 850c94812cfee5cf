package vlmjudge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// The usual wordings.
var (
	directPair = shippedWording("pair.direct.v1").chat
	directYes  = shippedWording("check.yes.v1").chat
)

// asked is what a fake server has understood of one question.
type asked struct {
	number   int // of the request, from 0
	raw      map[string]any
	header   http.Header
	texts    string        // of all parts
	pictures []image.Image // decoded from their data URLs
}

func (a asked) pair() bool { return strings.Contains(a.texts, "Reply with 1 or 2") }

// fake is a chat server; answer writes its replies.
type fake struct {
	*httptest.Server
	mu    sync.Mutex
	count int
	seen  []asked
}

func newFake(t *testing.T, answer func(w http.ResponseWriter, a asked)) *fake {
	t.Helper()
	f := &fake{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the request: %v", err)
		}
		if r.URL.Path != "/v1/chat/completions" || r.Method != http.MethodPost {
			http.Error(w, `{"detail":"Not Found"}`, http.StatusNotFound)
			return
		}
		a, err := understand(body)
		if err != nil {
			t.Errorf("the request cannot be understood: %v", err)
		}
		a.header = r.Header
		f.mu.Lock()
		a.number = f.count
		f.count++
		f.seen = append(f.seen, a)
		f.mu.Unlock()
		answer(w, a)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) requests() []asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

func understand(body []byte) (asked, error) {
	a := asked{raw: map[string]any{}}
	if err := json.Unmarshal(body, &a.raw); err != nil {
		return a, err
	}
	var typed struct {
		Messages []struct{ Content json.RawMessage }
	}
	if err := json.Unmarshal(body, &typed); err != nil {
		return a, err
	}
	for _, m := range typed.Messages {
		var parts []part
		if json.Unmarshal(m.Content, &parts) != nil {
			continue // the system's text
		}
		for _, p := range parts {
			a.texts += p.Text
			if p.Image == nil {
				continue
			}
			data, ok := strings.CutPrefix(p.Image.URL, "data:image/png;base64,")
			if !ok {
				return a, fmt.Errorf("a picture is no PNG data URL")
			}
			file, err := base64.StdEncoding.DecodeString(data)
			if err != nil {
				return a, err
			}
			img, err := png.Decode(bytes.NewReader(file))
			if err != nil {
				return a, err
			}
			a.pictures = append(a.pictures, img)
		}
	}
	return a, nil
}

// usage counts tokens as a server that sees pictures does.
func usage(a asked) string {
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":1}`, 40+6*len(a.pictures))
}

// say writes choices without probabilities.
func say(w http.ResponseWriter, a asked, answers ...string) {
	var choices []string
	for i, s := range answers {
		text, _ := json.Marshal(s)
		choices = append(choices, fmt.Sprintf(`{"index":%d,"finish_reason":"stop","message":{"role":"assistant","content":%s}}`, i, text))
	}
	fmt.Fprintf(w, `{"model":"fake@1","choices":[%s],"usage":%s}`, strings.Join(choices, ","), usage(a))
}

// weigh writes one token with the natural logarithms of the labels' probabilities, in vLLM's form.
func weigh(w http.ResponseWriter, a asked, first, second float64) {
	labels := [2]string{"Yes", "No"}
	if a.pair() {
		labels = [2]string{"1", "2"}
	}
	top := fmt.Sprintf(`{"token":%q,"logprob":%v,"bytes":[0]},{"token":%q,"logprob":%v,"bytes":[1]}`, labels[0], first, labels[1], second)
	fmt.Fprintf(w, `{"model":"fake@1","choices":[{"index":0,"finish_reason":"length","message":{"role":"assistant","content":%q},
		"logprobs":{"content":[{"token":%q,"logprob":%v,"bytes":[0],"top_logprobs":[%s]}]}}],"usage":%s}`, labels[0], labels[0], first, top, usage(a))
}

// serious answers every question by ln .8 and ln .1.
func serious(w http.ResponseWriter, a asked) { weigh(w, a, -0.2231, -2.3026) }

func quick(url string) Options { return Options{URL: url, Model: "m", wait: time.Millisecond} }

func mustOpen(t *testing.T, o Options) *Judge {
	t.Helper()
	j, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func filled(w, h int, c color.Color) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.Draw(img, img.Rect, image.NewUniform(c), image.Point{}, draw.Src)
	return img
}

// redness is the mean of red less the mean of the other channels, in units of full scale.
func redness(img image.Image) float64 {
	b := img.Bounds()
	var sum float64
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := img.At(x, y).RGBA()
			sum += float64(r) - (float64(g)+float64(bl))/2
		}
	}
	return sum / float64(b.Dx()*b.Dy()) / 0xffff
}
