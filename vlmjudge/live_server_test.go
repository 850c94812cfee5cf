package vlmjudge

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

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
	versions, err := exec.Command(python, "-c", "from importlib.metadata import version as v; print(*(n + ' ' + v(n) for n in ('transformers', 'torch', 'fastapi', 'uvicorn')), sep=', ')").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", versions)
	return serveFolder(t, python, folder)
}

// serveFolder runs transformers serve on a model until the test ends.
func serveFolder(t *testing.T, python, folder string) string {
	t.Helper()
	return runServer(t, func(port string) *exec.Cmd {
		server := exec.Command(python, "-m", "transformers.cli.transformers", "serve", folder, "--host", "127.0.0.1", "--port", port,
			"--device", "cpu", "--dtype", "float32", "--default-seed", "0")
		server.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "HF_HOME="+t.TempDir(), "OMP_NUM_THREADS=1", "CUDA_VISIBLE_DEVICES=")
		return server
	})
}

// runServer is the address of a server that runs until the test ends.
func runServer(t *testing.T, command func(port string) *exec.Cmd) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	var log bytes.Buffer
	server := command(port)
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
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
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
