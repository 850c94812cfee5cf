package vlmjudge

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// schemaOf is what a request binds its answer to; the members stand in the order of the request.
func schemaOf(t *testing.T, a asked) (members []string) {
	t.Helper()
	f, ok := a.raw["response_format"].(map[string]any)
	if !ok {
		return nil
	}
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var format answerFormat
	var schema struct {
		Properties answerProperties
		Required   []string
	}
	if err := json.Unmarshal(data, &format); err != nil || json.Unmarshal(format.Schema.Schema, &schema) != nil {
		t.Errorf("response_format %s", data)
	}
	if format.Type != "json_schema" || !format.Schema.Strict || format.Schema.Name == "" || !slices.Equal(schema.Properties.Answer.Enum, labelsOf(a)) {
		t.Errorf("response_format %s", data)
	}
	return schema.Required
}

func labelsOf(a asked) []string {
	l := labelsIn(a.texts)
	return l[:]
}

// Chats by what they make of a schema and of seeds. All answer in words that cannot be read, but for the schema.
func chatty(t *testing.T, schema, seed Support) func(w http.ResponseWriter, a asked) {
	var count atomic.Int64
	return func(w http.ResponseWriter, a asked) {
		s, seeded := a.raw["seed"].(float64)
		switch {
		case schemaOf(t, a) != nil && schema == SupportRefused:
			status(400, "application/json", `{"error":{"message":"response_format of type json_schema is not supported"}}`)(w, nil)
		case schemaOf(t, a) != nil && schema == SupportHonoured:
			say(w, a, fmt.Sprintf(`{"answer": %q}`, labelsOf(a)[0]))
		case seeded && seed == SupportRefused:
			status(422, "application/json", `{"detail":"Unexpected fields in the request: {'seed'}"}`)(w, nil)
		case seeded && seed == SupportHonoured:
			say(w, a, fmt.Sprint("words by ", s))
		case seeded && seed == SupportIgnored:
			say(w, a, fmt.Sprint("words number ", count.Add(1)))
		default:
			say(w, a, "I see a picture with much grey")
		}
	}
}

func TestExamine(t *testing.T) {
	for _, schema := range []Support{SupportHonoured, SupportIgnored, SupportRefused} {
		for _, seed := range []Support{SupportHonoured, SupportIgnored, SupportRefused, SupportUnclear} {
			server := newFake(t, chatty(t, schema, seed))
			o := quick(server.URL)
			o.Examine, o.Memory = true, filepath.Join(t.TempDir(), "judges.json")
			j := mustOpen(t, o)
			if i := j.Info(); i.Structured != schema || i.Seed != seed || i.BySchema != (schema == SupportHonoured) || i.Protocol != ProtocolVotes {
				t.Errorf("schema %s, seed %s: info %+v", schema, seed, i)
			}
			if refused := slices.Contains(j.Info().Unsupported, "seed"); refused != (seed == SupportRefused) {
				t.Errorf("seed %s: not taken are %v", seed, j.Info().Unsupported)
			}
			before := len(server.requests())
			if again := mustOpen(t, o); !reflect.DeepEqual(again.Info(), j.Info()) || len(server.requests()) != before+1 {
				t.Errorf("schema %s, seed %s: opened again by %d requests: %+v", schema, seed, len(server.requests())-before, again.Info())
			}
			before = len(server.requests())
			a, err := j.Yes(t.Context(), "x", red(1))
			if err != nil || a.Abstained != (schema != SupportHonoured) || schema == SupportHonoured && (a.Mass != 1 || !strings.HasSuffix(a.Formula, "5 sampled answers by a schema")) {
				t.Errorf("schema %s: %+v, %v", schema, a, err)
			}
			for _, r := range server.requests()[before:] {
				if _, sent := r.raw["seed"]; sent == (seed == SupportRefused) || (schemaOf(t, r) != nil) != (schema == SupportHonoured) {
					t.Errorf("schema %s, seed %s: asked %v", schema, seed, r.raw)
				}
			}
		}
	}
}

// What was remembered without them is examined and added, and what no question needs costs nothing unasked.
func TestExamine_later(t *testing.T) {
	server := newFake(t, serious)
	o := quick(server.URL)
	o.Memory = filepath.Join(t.TempDir(), "judges.json")
	if i := mustOpen(t, o).Info(); i.Structured != "" || i.Seed != "" || len(server.requests()) != 2 {
		t.Errorf("info %+v after %d requests", i, len(server.requests()))
	}
	o.Examine = true
	if i := mustOpen(t, o).Info(); i.Structured != SupportIgnored || i.Seed != SupportUnclear || i.Pictures != "seen" || len(server.requests()) != 3+1+2*seedsTried {
		t.Errorf("info %+v after %d requests", i, len(server.requests()))
	}
	o.Examine = false
	if i := mustOpen(t, o).Info(); i.Structured != SupportIgnored || len(server.requests()) != 4+1+2*seedsTried {
		t.Errorf("info %+v after %d requests", i, len(server.requests()))
	}
}

// Systemone has neither; the same server's chat is examined and systemone stays.
func TestExamine_systemone(t *testing.T) {
	server := newNative(t, map[string]func(http.ResponseWriter, []byte){"/v1/chat/completions": plainChat(""), "/v1/systemone": systemoneFake(t)})
	o := quick(server.URL)
	o.Examine = true
	j := mustOpen(t, o)
	if i := j.Info(); i.Structured != SupportIgnored || i.Seed != SupportUnclear || i.BySchema {
		t.Errorf("info %+v", i)
	}
	comparesByRedness(t, j, APISystemone, ProtocolSystemone)
}

// A judge that reasons gives its reasons within the JSON, before the answer, where it has room for them.
func TestBySchema_reasons(t *testing.T) {
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		members := schemaOf(t, a)
		if members == nil {
			say(w, a, "Let me think about all of this picture")
			return
		}
		if !slices.Equal(members, []string{"reasoning", "answer"}) || a.raw["max_tokens"] != 216. {
			t.Errorf("members %v, %v tokens", members, a.raw["max_tokens"])
		}
		say(w, a, `<think>No</think> {"reasoning": "Not No, since it is grey", "answer": "Yes"}`)
	})
	o := quick(server.URL)
	o.AnswerTokens, o.Votes = 200, 2
	a, err := mustOpen(t, o).Yes(t.Context(), "x", red(1))
	if err != nil || a.Raw != 1 || a.Mass != 1 {
		t.Errorf("%+v, %v", a, err)
	}
}

// The servers' own forms have fields of their own for a schema.
func TestBySchema_natives(t *testing.T) {
	has := func(field string, reply string) func(w http.ResponseWriter, body []byte) {
		return func(w http.ResponseWriter, body []byte) {
			var q map[string]any
			if err := json.Unmarshal(body, &q); err != nil {
				t.Error(err)
			}
			text := "a long speech"
			if schema, ok := q[field].(map[string]any); ok && schema["type"] == "object" {
				text = `{"answer":"No"}`
			}
			fmt.Fprintf(w, reply, string(asText(text)))
		}
	}
	for api, handlers := range map[API]map[string]func(http.ResponseWriter, []byte){
		APIOllama: {"/api/chat": has("format", `{"model":"m","message":{"content":%s},"done_reason":"stop"}`)},
		APILlama: {
			"/apply-template": func(w http.ResponseWriter, _ []byte) { fmt.Fprint(w, `{"prompt":"x"}`) },
			"/completion":     has("json_schema", `{"model":"m","content":%s,"stop_type":"eos"}`),
		},
	} {
		o := quick(newNative(t, handlers).URL)
		o.API = api
		j := mustOpen(t, o)
		a, err := j.Yes(t.Context(), "x", red(1))
		if err != nil || a.Raw != 0 || a.Mass != 1 || !j.Info().BySchema || j.Info().Structured != SupportHonoured {
			t.Errorf("%s: %+v, %v; info %+v", api, a, err, j.Info())
		}
	}
}

// Attempts that are made again and fields that are left out are told to those who want to know.
func TestNotes(t *testing.T) {
	var failed atomic.Bool
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		switch {
		case a.raw["top_logprobs"] != nil:
			status(422, "application/json", `{"detail":"Unexpected fields in the request: {'top_logprobs', 'logprobs'}"}`)(w, nil)
		case !failed.Swap(true):
			status(503, "application/json", `{}`)(w, nil)
		default:
			say(w, a, "Yes")
		}
	})
	h := heard{notes: true}
	o := quick(server.URL)
	o.Votes, o.Logger = 1, slog.New(&h)
	mustOpen(t, o)
	notices := strings.Join(h.all(), "\n")
	for _, want := range []string{"does not take a field, which is left out from now on", "attempt 1 failed; another one follows in", "counts one greedy answer"} {
		if strings.Count(notices, want) != 1 {
			t.Errorf("notices %q, want %q once", notices, want)
		}
	}
}
