package serve

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"reflect"
	"testing"
)

// pickleCase is one of testdata/pickles.json, which tests/oracle/serve_pickles.py made; a nil want must be refused.
type pickleCase struct {
	Name   string
	Pickle []byte
	Want   any
}

func pickleCases(t testing.TB) []pickleCase {
	t.Helper()
	data, err := os.ReadFile("testdata/pickles.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []pickleCase }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 90 {
		t.Fatalf("%d cases", len(file.Cases))
	}
	return file.Cases
}

// plain turns a value into what JSON would make of it.
func plain(t testing.TB, v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case []byte:
		return map[string]any{"bytes": base64.StdEncoding.EncodeToString(v)}
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[k] = plain(t, x)
		}
		return out
	}
	if items, ok := list(v); ok {
		out := []any{}
		for _, x := range items {
			out = append(out, plain(t, x))
		}
		return out
	}
	return v
}

func TestPicklesOfPython(t *testing.T) {
	for _, c := range pickleCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			got, err := unpickle(c.Pickle)
			if c.Want == nil {
				if err == nil {
					t.Fatalf("was read as %v", plain(t, got))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := plain(t, got); !reflect.DeepEqual(got, c.Want) {
				t.Errorf("got %v\nwant %v", got, c.Want)
			}
		})
	}
}

func TestPickleBounds(t *testing.T) {
	circle := []byte("\x80\x02]q\x00h\x00a.") // a list that holds itself
	v, err := unpickle(circle)
	if l, ok := v.(*pyList); err != nil || !ok || l.items[0] != any(l) {
		t.Errorf("%v, %v", v, err)
	}
	many := make([]byte, maxOps+10)
	for i := range many {
		many[i] = opEmptyList
	}
	if _, err := unpickle(append(many, opStop)); err == nil {
		t.Error("a pickle of a million lists was read")
	}
}

func FuzzUnpickle(f *testing.F) {
	for _, c := range pickleCases(f) {
		f.Add(c.Pickle)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := unpickle(data)
		if err != nil {
			return
		}
		describe(v)
		if dict, ok := v.(map[string]any); ok {
			items, tags, err := flowItems(dict)
			if err == nil && (len(items) == 0 || tags != nil && len(tags) != len(items)) {
				t.Errorf("%d items, %d tags", len(items), len(tags))
			}
		}
	})
}
