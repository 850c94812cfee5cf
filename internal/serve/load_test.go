package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"winnow/internal/scoring"
	"winnow/rewards"
)

// TestLoad has many clients ask the embedded reward at once: no error, scores of the right request, nothing left behind. By
// WINNOW_TEST_LOAD=SECONDS it is 200 clients with 10,000 requests over that time; else a little of it.
func TestLoad(t *testing.T) {
	clients, requests, over := 20, 60, time.Duration(0)
	if text := os.Getenv("WINNOW_TEST_LOAD"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		clients, requests, over = 200, 10000, time.Duration(seconds)*time.Second
	}
	mix, err := rewards.OpenMix(t.Context(), []string{rewards.Mini}, nil, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer mix.Close()
	by, err := scoring.New(t.Context(), mix, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	by.Chunk = 32
	_, h := start(t, Options{Score: by.Score, BatchWait: 3 * time.Millisecond})

	prompts := []string{"a red circle", "a blue square", "two green triangles", "a red circle above a blue square"}
	bodies, want := make([][]byte, 64), make([]float64, 64)
	for i := range bodies {
		data := encode(t, 64, 64, uint8(4*i))
		r, err := by.Score(t.Context(), []scoring.Item{{Prompt: prompts[i%4], Load: func() ([]byte, error) { return data, nil }}})
		if err != nil {
			t.Fatal(err)
		}
		want[i] = r[0].Score
		bodies[i], _ = json.Marshal(object{"items": []object{{"prompt": prompts[i%4], "image": base(data)}}})
	}
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	client := &http.Client{Transport: transport}
	one := func(i int) error {
		resp, err := client.Post(h.URL+"/v1/score", "application/json", bytes.NewReader(bodies[i%64]))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		var got scoreReply
		if err == nil {
			err = json.Unmarshal(data, &got)
		}
		if err != nil || resp.StatusCode != 200 || len(got.Scores) != 1 || got.Scores[0] == nil || math.Abs(*got.Scores[0]-want[i%64]) > 1e-5 {
			return fmt.Errorf("request %d: %d, %w: %.200s", i, resp.StatusCode, err, data)
		}
		return nil
	}
	// What a full batch takes is kept for the next one; it is no leak, and how full batches get depends on the machine's mood.
	for range 3 {
		var burst errgroup.Group
		for i := range clients {
			burst.Go(func() error { return one(i) })
		}
		if err := burst.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	transport.CloseIdleConnections()
	goroutines, memory := settled(0)

	times := make([]time.Duration, requests)
	var next atomic.Int64
	var wait sync.WaitGroup
	begin := time.Now()
	for range clients {
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= requests {
					return
				}
				// Requests are spread over the time, as far as the server keeps up.
				time.Sleep(time.Until(begin.Add(over * time.Duration(i) / time.Duration(requests))))
				start := time.Now()
				if err := one(i); err != nil {
					t.Error(err)
				}
				times[i] = time.Since(start)
			}
		})
	}
	wait.Wait()
	took := time.Since(begin)
	transport.CloseIdleConnections()
	after, left := settled(goroutines)
	slices.Sort(times)
	t.Logf("%d requests of %d clients in %.1f s: p50 %v, p99 %v, most %v; goroutines %d → %d, heap %.1f → %.1f MiB", requests, clients, took.Seconds(),
		times[requests/2], times[requests*99/100], times[requests-1], goroutines, after, float64(memory)/(1<<20), float64(left)/(1<<20))
	if after > goroutines {
		t.Errorf("%d goroutines before, %d after", goroutines, after)
	}
	if float64(left) > 1.2*float64(memory)+8<<20 {
		t.Errorf("%d bytes before, %d after", memory, left)
	}
}

// settled waits until no more than want goroutines run (0: a moment), and gives their number and the heap in use.
func settled(want int) (goroutines int, heap uint64) {
	for range 200 {
		time.Sleep(10 * time.Millisecond)
		if goroutines = runtime.NumGoroutine(); want > 0 && goroutines <= want {
			break
		}
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return goroutines, m.HeapInuse
}
