package vlmjudge

import (
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
)

func TestMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache", "judges.json")
	server := newNative(t, map[string]func(http.ResponseWriter, []byte){"/v1/chat/completions": plainChat(""), "/v1/systemone": systemoneFake(t)})
	o := quick(server.URL)
	o.Memory, o.Key = path, "hidden"
	first := mustOpen(t, o).Info()
	before := len(server.asked())
	again := mustOpen(t, o)
	if got := server.asked()[before:]; len(got) != 1 || got[0] != "/v1/systemone" {
		t.Errorf("opened again, it asked %v", got)
	}
	if !reflect.DeepEqual(again.Info(), first) {
		t.Errorf("info %+v, at first %+v", again.Info(), first)
	}
	comparesByRedness(t, again, APISystemone, ProtocolSystemone)
	data, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(data), "hidden") || !strings.Contains(string(data), `"systemone"`) {
		t.Errorf("%s, %v", data, err)
	}
	before = len(server.asked())
	o.Model = "another"
	mustOpen(t, o)
	if got := server.asked()[before:]; len(got) != 4 {
		t.Errorf("another model was opened by %v", got)
	}
}

// What is remembered is not believed where the server answers otherwise; a file that cannot be read is none.
func TestMemory_outdated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "judges.json")
	if err := os.WriteFile(path, []byte("{broken"), 0o666); err != nil {
		t.Fatal(err)
	}
	var soft atomic.Bool
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		if soft.Load() {
			serious(w, a)
			return
		}
		say(w, a, "Yes")
	})
	o := quick(server.URL)
	o.Memory = path
	for _, want := range []Protocol{ProtocolVotes, ProtocolLogprobs, ProtocolVotes} {
		soft.Store(want == ProtocolLogprobs)
		for range 2 {
			if i := mustOpen(t, o).Info(); i.Protocol != want || i.Pictures != "seen" {
				t.Errorf("info %+v, want %s", i, want)
			}
		}
	}
}

// Faults are told at once, and refused fields stay known.
func TestMemory_faults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "judges.json")
	var key atomic.Bool
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		switch {
		case key.Load():
			status(401, "application/json", `{"error":{"message":"no key"}}`)(w, nil)
		case a.raw["logprobs"] != nil:
			status(422, "application/json", `{"detail":"Unexpected fields in the request: {'logprobs'}"}`)(w, nil)
		default:
			say(w, a, "Yes")
		}
	})
	o := quick(server.URL)
	o.Memory = path
	mustOpen(t, o)
	before := len(server.requests())
	if i := mustOpen(t, o).Info(); len(i.Unsupported) != 1 || len(server.requests()) != before+1 {
		t.Errorf("info %+v after %d requests", i, len(server.requests())-before)
	}
	key.Store(true)
	before = len(server.requests())
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "key is missing or wrong") || len(server.requests()) != before+1 {
		t.Errorf("error %v after %d requests", err, len(server.requests())-before)
	}
}
