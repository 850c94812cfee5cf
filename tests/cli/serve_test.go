package cli

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// serving runs winnow serve in a folder, "" for the current one, and gives its address.
func serving(t *testing.T, dir string, args ...string) (server *exec.Cmd, url string, stderr *strings.Builder) {
	t.Helper()
	server = exec.Command(os.Args[0], append([]string{"serve", "--listen", "127.0.0.1:0", "--json"}, args...)...)
	server.Dir, server.Env = dir, append(os.Environ(), asCommand+"=1")
	out, err := server.StdoutPipe()
	mustDo(t, err)
	stderr = &strings.Builder{}
	server.Stderr = stderr
	mustDo(t, server.Start())
	t.Cleanup(func() { _ = server.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = server.Wait()
		t.Fatalf("%v: %s", err, stderr)
	}
	var ready struct{ Type, URL string }
	mustDo(t, json.Unmarshal([]byte(line), &ready))
	if ready.Type != "serve" {
		t.Errorf("%s", line)
	}
	return server, ready.URL, stderr
}

// TestServe has winnow use winnow: rank by a server is rank by the reward that it serves. Stopping is how a server ends.
func TestServe(t *testing.T) {
	t.Setenv("WINNOW_SERVE_KEYS", "other,k-7")
	redSet(t)
	server, url, stderr := serving(t, "", "--cache", "scores.db")
	resp, err := http.Get(url + "/metrics")
	mustDo(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("metrics without a key: %d", resp.StatusCode)
	}
	pictures, err := filepath.Glob("a/*.png")
	mustDo(t, err)
	scores := func(args ...string) (out []any) {
		lines, stderr := runLines(t, 0, append(append([]string{"rank", "--json", "--prompt", "a red circle"}, args...), pictures...)...)
		for _, l := range lines {
			if l["type"] == "image" {
				out = append(out, l["file"], l["score"])
			}
		}
		if len(out) != 2*len(pictures) {
			t.Fatalf("%v: %s", lines, stderr)
		}
		return out
	}
	want := scores("--reward", "mini")
	t.Setenv("WINNOW_API_KEY", "k-7")
	for range 2 { // computed, and from the cache
		got := scores("--reward-url", url+"/v1/score")
		for i := range want {
			if a, ok := want[i].(float64); ok && max(a-got[i].(float64), got[i].(float64)-a) < 1e-5 {
				continue
			}
			if want[i] != got[i] {
				t.Errorf("%v: %v from the server, %v here", i, got[i], want[i])
			}
		}
	}
	mustDo(t, server.Process.Signal(syscall.SIGTERM))
	if err := server.Wait(); err != nil || !strings.Contains(stderr.String(), "stopped") || strings.Contains(stderr.String(), "k-7") {
		t.Errorf("%v: %s", err, stderr)
	}
}
