package vlmjudge

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// wire stands before a server and keeps what is asked and answered.
type wire struct {
	*httptest.Server
	mu     sync.Mutex
	change func(body []byte) []byte // of what is asked; nil: none
	calls  []wired
}

// wireKey is under which a request carries its body.
type wireKey struct{}

type wired struct {
	path  string
	asked []byte         // before it was changed
	reply *http.Response // without its body
}

func newWire(t *testing.T, server string) *wire {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{}
	proxy := &httputil.ReverseProxy{
		// The server closes a connection after a fault, which a question under way would not survive.
		Transport: &http.Transport{DisableKeepAlives: true},
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(r *http.Response) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			asked, _ := r.Request.Context().Value(wireKey{}).([]byte)
			w.calls = append(w.calls, wired{r.Request.URL.Path, asked, r})
			return nil
		},
	}
	w.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the question was called off
		}
		asked := body
		w.mu.Lock()
		if w.change != nil {
			body = w.change(body)
		}
		w.mu.Unlock()
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		proxy.ServeHTTP(out, r.WithContext(context.WithValue(r.Context(), wireKey{}, asked)))
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls)
}

// since are the calls from the i-th on.
func (w *wire) since(i int) []wired {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[i:]
}

// changing has questions changed on their way.
func (w *wire) changing(change func(body []byte) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.change = change
}

// check looks at all that was asked: no stream, whose end servers mark in different ways or not at all, and pictures as PNG files only,
// since a server reads a path or an address.
func (w *wire) check(t *testing.T) {
	t.Helper()
	pictures := 0
	decodes := func(data string) {
		file, err := base64.StdEncoding.DecodeString(data)
		if err == nil {
			_, err = png.DecodeConfig(bytes.NewReader(file))
		}
		if err != nil {
			t.Errorf("a picture is no PNG file in base64: %.60q, %v", data, err)
		}
		pictures++
	}
	for _, c := range w.since(0) {
		var q struct {
			Stream   bool
			Messages []struct{ Content any }
			Assets   map[string]decisionAsset
		}
		if err := json.Unmarshal(c.asked, &q); err != nil || q.Stream {
			t.Errorf("%s was asked %.200q, %v", c.path, c.asked, err)
		}
		for _, a := range q.Assets {
			decodes(a.Data)
		}
		for _, m := range q.Messages {
			parts, _ := m.Content.([]any)
			for _, p := range parts {
				if part, _ := p.(map[string]any); part["image_url"] != nil {
					address, _ := part["image_url"].(map[string]any)["url"].(string)
					data, ok := strings.CutPrefix(address, dataPrefix)
					if decodes(data); !ok {
						t.Errorf("a picture is given by the address %.60q", address)
					}
				}
			}
		}
	}
	t.Logf("%d requests with %d pictures: no stream, pictures are PNG files", w.count(), pictures)
}
