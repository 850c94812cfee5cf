package vlmjudge

import (
	"encoding/json"
	"image"
	"image/color"
	"net/http"
	"os"
	"testing"
)

// Sizes and tokens are those of transformers' own functions (tests/oracle/judge_pictures.py).
func TestSees_againstTransformers(t *testing.T) {
	data, err := os.ReadFile("../tests/golden/judge_pictures.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct{ Cases map[string][][]*int }
	if err := json.Unmarshal(data, &g); err != nil || len(g.Cases) != 5 {
		t.Fatalf("%d families, %v", len(g.Cases), err)
	}
	budgets := map[string]int{Qwen3VL: 16777216, "qwen2-vl, budget 200704": 200704}
	for name, cases := range g.Cases {
		family := name
		if name == "qwen2-vl, budget 200704" {
			family = Qwen2VL
		}
		for _, c := range cases {
			w, h := *c[0], *c[1]
			got, err := Sees(family, w, h, budgets[name])
			if c[2] == nil {
				if err == nil {
					t.Errorf("%s: %d×%d is refused by transformers", name, w, h)
				}
				continue
			}
			if family != Qwen2VL && family != Qwen3VL && max(w, h) > maxAspect*min(w, h) {
				continue // refused here for any family
			}
			if want := (Seen{*c[2], *c[3], *c[4]}); err != nil || got != want {
				t.Errorf("%s: %d×%d: %v, %v, want %v", name, w, h, got, err, want)
			}
		}
	}
}

// What is sent for a family that keeps the aspect ratio is what its model makes of it, so that the model changes nothing; squares get
// grey edges.
func TestFamily_sent(t *testing.T) {
	var sent []image.Point
	var corner color.Color
	f := newFake(t, func(w http.ResponseWriter, a asked) {
		if a.pair() {
			sent = append(sent, a.pictures[0].Bounds().Size(), a.pictures[1].Bounds().Size())
			corner = a.pictures[0].At(0, 0)
		}
		serious(w, a)
	})
	for family, want := range map[string][2]image.Point{
		Qwen2VL: {{308, 112}, {56, 56}}, Qwen3VL: {{448, 160}, {256, 256}}, Pixtral: {{304, 112}, {48, 48}}, Gemma3: {{300, 300}, {40, 40}}, "": {{300, 100}, {40, 40}},
	} {
		sent = nil
		o := quick(f.URL)
		o.Family, o.Concurrency = family, 1
		j := mustOpen(t, o)
		if _, err := j.Compare(t.Context(), "p", filled(300, 100, color.NRGBA{255, 0, 0, 255}), filled(40, 40, color.White)); err != nil {
			t.Fatal(err)
		}
		if len(sent) != 4 || !(sent[0] == want[0] && sent[1] == want[1] || sent[0] == want[1] && sent[1] == want[0]) {
			t.Errorf("%s: sent %v, want %v", family, sent, want)
		}
		if family == Gemma3 && sent[2] == want[0] {
			if r, g, b, _ := corner.RGBA(); r>>8 != 127 || g>>8 != 127 || b>>8 != 127 {
				t.Errorf("the edge is %v", corner)
			}
		}
		if j.Info().Family != family {
			t.Errorf("info names the family %q", j.Info().Family)
		}
	}
	sent = nil
	o := quick(f.URL)
	o.Family, o.Concurrency = Pixtral, 1 // whose largest picture is over the usual budget
	large := filled(1100, 1100, color.NRGBA{255, 0, 0, 255})
	if _, err := mustOpen(t, o).Compare(t.Context(), "p", large, large); err != nil || sent[0] != (image.Point{1024, 1024}) {
		t.Errorf("sent %v, %v", sent, err)
	}
	o.Family = "qwen9"
	if _, err := Open(t.Context(), o); err == nil {
		t.Error("an unknown family is taken")
	}
	for _, size := range [][2]int{{0, 5}, {1, 201}, {-1, -1}} {
		if _, err := Sees(Gemma3, size[0], size[1], 0); err == nil {
			t.Errorf("%v is taken", size)
		}
	}
}
