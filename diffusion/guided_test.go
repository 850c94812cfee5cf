package diffusion

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"winnow/sampling"
)

// guidedTolerance bounds the relative error of final latents against tests/oracle/guided.py after 10 steps.
const guidedTolerance = 1e-5

// guidedSet is one file of tests/golden/guided.
type guidedSet struct {
	Seed    uint64
	Steps   int
	Prompts []string
	Cases   []guidedCase
}

type guidedCase struct {
	Name, Guidance, Scheduler, Negative, Null string

	Scale, Rescale float64
	Alpha          *float64
	PAG            float64
	Layers         []string
	Share, Sigmas  []float64
	NFE            int
	Latents        string
}

func readGuided(t *testing.T, name string) guidedSet {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../tests/golden/guided", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var set guidedSet
	if err := json.Unmarshal(data, &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Cases) == 0 {
		t.Fatal("no cases")
	}
	return set
}

func (c *guidedCase) request(s *guidedSet) Request {
	r := Request{
		Prompts: s.Prompts, Seed: s.Seed, Steps: s.Steps, Height: 32, Width: 32, Scheduler: "ddim", Guidance: c.Guidance,
		GuidanceScale: c.Scale, GuidanceRescale: c.Rescale, CHATSAlpha: c.Alpha, PAGScale: c.PAG, NegativePrompt: c.Negative, NullPrompt: c.Null,
	}
	if c.Scheduler != "" {
		r.Scheduler = c.Scheduler
	}
	if c.Share != nil {
		r.GuidanceInterval = &sampling.Interval{Low: c.Share[0], High: c.Share[1], Share: true}
	}
	if c.Sigmas != nil {
		r.GuidanceInterval = &sampling.Interval{Low: c.Sigmas[0], High: c.Sigmas[1]}
	}
	return r
}

// equals compares latents and counts of network evaluations with the golden's.
func (c *guidedCase) equals(t *testing.T, images []Image) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(c.Latents)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]float32, len(raw)/4)
	for i := range want {
		want[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	var got []float32
	for _, im := range images {
		got = append(got, im.Latents...)
		if im.Params.NFE != c.NFE {
			t.Errorf("%d network evaluations, want %d", im.Params.NFE, c.NFE)
		}
	}
	e := relative(t, got, want)
	t.Logf("relative error of the final latents: %.2g", e)
	if !(e <= guidedTolerance) {
		t.Errorf("final latents differ by %.2g relative, allowed %g", e, guidedTolerance)
	}
}

// The rules of guidance against a loop in Python that runs the networks in ONNX Runtime.
func TestGenerate_guided(t *testing.T) {
	for _, kind := range []string{"sd15", "sdxl"} {
		set := readGuided(t, kind)
		p := openTiny(t, kind)
		for _, c := range set.Cases {
			t.Run(kind+"/"+c.Name, func(t *testing.T) {
				r := c.request(&set)
				var last Step
				r.OnStep = func(s Step) error { last = s; return nil }
				images, err := p.Generate(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				c.equals(t, images)
				if last.NFE != c.NFE {
					t.Errorf("the last step reports %d network evaluations, want %d", last.NFE, c.NFE)
				}
			})
		}
	}
}

// What the identities of CHATS say about whole runs.
func TestGenerate_chatsIdentities(t *testing.T) {
	p := openMini(t)
	latents := func(change func(*Request)) []float32 {
		r := quick()
		change(&r)
		images, err := p.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return images[0].Latents
	}
	alpha := func(a float64) *float64 { return &a }
	for name, pair := range map[string][2]func(*Request){
		"alpha −1 is the prompt alone": {
			func(r *Request) { r.Guidance, r.CHATSAlpha = CHATS, alpha(-1) },
			func(r *Request) { r.GuidanceScale = 1 },
		},
		"alpha 0 is guidance at s+1": {
			func(r *Request) { r.Guidance, r.CHATSAlpha = CHATS, alpha(0) },
			func(r *Request) { r.GuidanceScale = 4 },
		},
		"a negative prompt is the null prompt": {
			func(r *Request) { r.Guidance, r.CHATSAlpha, r.NegativePrompt = CHATS, alpha(0), "a blue star" },
			func(r *Request) { r.GuidanceScale, r.NegativePrompt = 4, "a blue star" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			if e := relative(t, latents(pair[0]), latents(pair[1])); !(e <= 1e-5) {
				t.Errorf("latents differ by %.2g relative", e)
			}
		})
	}
	plain, chats := latents(func(*Request) {}), latents(func(r *Request) { r.Guidance = CHATS })
	if e := relative(t, chats, plain); e < 1e-2 {
		t.Errorf("CHATS differs by %.2g from classifier-free guidance only", e)
	}
}

// Settings that a picture was made with stand in its parameters, resolved; plain guidance adds nothing to them.
func TestGenerate_guidanceParams(t *testing.T) {
	p := openMini(t)
	half := 0.5
	for name, c := range map[string]struct {
		change func(*Request)
		want   Params
	}{
		"cfg":      {func(r *Request) { r.Guidance = CFG }, Params{}},
		"chats":    {func(r *Request) { r.Guidance = CHATS }, Params{Guidance: CHATS, CHATSAlpha: &half, NullPrompt: Encoded}},
		"interval": {func(r *Request) { r.GuidanceInterval = &sampling.Interval{High: 0.5, Share: true} }, Params{GuidanceInterval: "0%,50%"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := quick()
			c.change(&r)
			images, err := p.Generate(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			got := images[0].Params
			got = Params{Guidance: got.Guidance, CHATSAlpha: got.CHATSAlpha, NullPrompt: got.NullPrompt, GuidanceInterval: got.GuidanceInterval}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestGenerate_badGuidance(t *testing.T) {
	p := openMini(t)
	alpha, nan := 0.5, math.NaN()
	for name, c := range map[string]struct {
		field  string
		change func(*Request)
	}{
		"unknown rule":            {"guidance", func(r *Request) { r.Guidance = "apg" }},
		"alpha without CHATS":     {"chats-alpha", func(r *Request) { r.CHATSAlpha = &alpha }},
		"alpha is no number":      {"chats-alpha", func(r *Request) { r.Guidance, r.CHATSAlpha = CHATS, &nan }},
		"unknown null prompt":     {"null-prompt", func(r *Request) { r.NullPrompt = "ones" }},
		"null and negative":       {"null-prompt", func(r *Request) { r.NullPrompt, r.NegativePrompt = Zeros, "blur" }},
		"interval upside down":    {"guidance-interval", func(r *Request) { r.GuidanceInterval = &sampling.Interval{Low: 2, High: 1} }},
		"interval without a step": {"guidance-interval", func(r *Request) { r.GuidanceInterval = &sampling.Interval{Low: 1e6, High: 1e7} }},
	} {
		t.Run(name, func(t *testing.T) {
			r := quick()
			c.change(&r)
			_, err := p.Generate(t.Context(), r)
			var bad *RequestError
			if !errors.As(err, &bad) || bad.Field != c.field || bad.Why == "" {
				t.Errorf("error %v, want a RequestError for %q", err, c.field)
			}
		})
	}
}

// A search under CHATS finds its journal again: settings are compared by value, the pointer to alpha included.
func TestPipeline_Search_chatsJournal(t *testing.T) {
	p := openMini(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 2 {
		sr := miniSearch(24)
		sr.Guidance, sr.Journal = CHATS, f
		if _, err := p.Search(t.Context(), sr); err != nil {
			t.Fatal(err)
		}
	}
	sr, other := miniSearch(24), 0.25
	sr.Guidance, sr.CHATSAlpha, sr.Journal = CHATS, &other, f
	var wrong *sampling.JournalError
	if _, err := p.Search(t.Context(), sr); !errors.As(err, &wrong) {
		t.Errorf("another alpha: %v", err)
	}
}
