package vlmjudge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// remoteFake scores each picture by its width and counts requests; reply may replace the body of those after the first.
func remoteFake(t *testing.T, reply func(n int, prompt string, widths []int) string) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	var count atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req remoteRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			t.Errorf("request: %v", err)
		}
		var widths []int
		for _, text := range req.Images {
			data, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Errorf("a picture is not base64: %v", err)
			}
			config, err := png.DecodeConfig(bytes.NewReader(data))
			if err != nil {
				t.Errorf("a picture is no PNG: %v", err)
			}
			widths = append(widths, config.Width)
		}
		fmt.Fprint(w, reply(int(count.Add(1)), req.Prompt, widths))
	}))
	t.Cleanup(s.Close)
	return s, &count
}

func byWidth(_ int, _ string, widths []int) string {
	data, _ := json.Marshal(widths)
	return `{"scores":` + string(data) + `,"model":"ruler","version":3}`
}

func widths(list ...int) (images []image.Image) {
	for _, w := range list {
		images = append(images, image.NewNRGBA(image.Rect(0, 0, w, 20)))
	}
	return images
}

func openRemote(t *testing.T, url string) *Remote {
	t.Helper()
	r, err := OpenRemote(t.Context(), RemoteOptions{URL: url, Batch: 2, wait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRemote(t *testing.T) {
	const prompt = "keep <|this|> as ```it``` is"
	server, count := remoteFake(t, func(n int, got string, widths []int) string {
		if n > 1 && got != prompt {
			t.Errorf("prompt %q", got)
		}
		return byWidth(n, got, widths)
	})
	r := openRemote(t, server.URL+"/score")
	if got := r.Info(); got != (RemoteInfo{URL: server.URL + "/score", Model: "ruler", Version: "3"}) {
		t.Errorf("info %+v", got)
	}
	scores, err := r.Score(t.Context(), prompt, widths(30, 10, 50, 40, 20))
	if err != nil || !slices.Equal(scores, []float64{30, 10, 50, 40, 20}) {
		t.Errorf("%v, %v", scores, err)
	}
	if n := count.Load(); n != 4 {
		t.Errorf("%d requests, want one to open and three batches", n)
	}
}

func TestRemote_badReplies(t *testing.T) {
	for _, c := range []struct{ name, reply, want string }{
		{"too few", `{"scores":[1]}`, "1 scores for 2 pictures"},
		{"too many", `{"scores":[1,2,3]}`, "3 scores for 2 pictures"},
		{"under another name", `{"outputs":[1,2]}`, "0 scores for 2 pictures"},
		{"no object", `[1,2]`, `not {"scores"`},
		{"NaN", `{"scores":[1,NaN]}`, "JSON knows no NaN"},
		{"Infinity", `{"scores":[1,-Infinity]}`, "JSON knows no NaN or Infinity"},
		{"beyond double", `{"scores":[1,1e999]}`, `not {"scores"`},
		{"null", `{"scores":[1,null]}`, "no score for picture 2"},
		{"text", `{"scores":[1,"2"]}`, `not {"scores"`},
		{"error", `{"error":"cannot load"}`, "cannot load"},
		{"another model", `{"scores":[1,2],"model":"ruler","version":4}`, `now "ruler" version "4"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, _ := remoteFake(t, func(n int, prompt string, widths []int) string {
				if n == 1 {
					return byWidth(n, prompt, widths)
				}
				return c.reply
			})
			scores, err := openRemote(t, server.URL).Score(t.Context(), "x", widths(1, 2))
			if err == nil || !strings.Contains(err.Error(), c.want) || scores != nil {
				t.Errorf("%v, error %v, want %q", scores, err, c.want)
			}
		})
	}
}

// The picture is numbered in the caller's list, not in its batch.
func TestRemote_nullInLaterBatch(t *testing.T) {
	server, _ := remoteFake(t, func(n int, prompt string, widths []int) string {
		if n == 3 {
			return `{"scores":[1,null],"model":"ruler","version":3}`
		}
		return byWidth(n, prompt, widths)
	})
	_, err := openRemote(t, server.URL).Score(t.Context(), "x", widths(1, 2, 3, 4))
	if err == nil || !strings.Contains(err.Error(), "picture 4") {
		t.Errorf("error %v", err)
	}
}

func TestOpenRemote_errors(t *testing.T) {
	down := httptest.NewServer(status(401, "application/json", `{"detail":"no hidden key"}`))
	defer down.Close()
	_, err := OpenRemote(t.Context(), RemoteOptions{URL: down.URL, Key: "hidden"})
	var se *ServerError
	if !errors.As(err, &se) || se.Status != 401 || strings.Contains(err.Error(), "hidden") {
		t.Errorf("error %v", err)
	}
	for _, url := range []string{"", "localhost:80", "http://a:b@h/", "http://h/?k=v"} {
		if _, err := OpenRemote(t.Context(), RemoteOptions{URL: url}); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
	if _, err := OpenRemote(t.Context(), RemoteOptions{URL: down.URL, Batch: -1}); err == nil {
		t.Error("a negative batch was taken")
	}
}

// A reward server that goes down for a while is waited for, and people are told of both.
func TestRemote_outage(t *testing.T) {
	var count atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n := count.Add(1); n > 1 && n <= 14 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"scores":[7]}`)
	}))
	t.Cleanup(server.Close)
	h := heard{notes: true}
	r, err := OpenRemote(t.Context(), RemoteOptions{URL: server.URL, Retries: 20, Logger: slog.New(&h), wait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	scores, err := r.Score(t.Context(), "x", widths(30))
	if err != nil || !slices.Equal(scores, []float64{7}) {
		t.Fatalf("%v, %v", scores, err)
	}
	all := strings.Join(h.all(), "\n")
	if !strings.Contains(all, "failed 10 times in a row") || !strings.Contains(all, "back after") || len(h.all()) < 12 {
		t.Errorf("told:\n%s", all)
	}
}
