package miniworld

import (
	"image"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func generator(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func TestSameSeedSameScene(t *testing.T) {
	a, b := RandomScene(generator(3)), RandomScene(generator(3))
	if !reflect.DeepEqual(a, b) {
		t.Errorf("got %+v and %+v", a, b)
	}
	if c := RandomScene(generator(4)); reflect.DeepEqual(a, c) {
		t.Error("another seed gave the same scene")
	}
}

// Scenes must follow their own rules: inside the picture, apart, in the relation, and of the drawn kind.
func TestRandomScenesKeepTheRules(t *testing.T) {
	r := generator(1)
	kinds := map[Kind]int{}
	for range 2000 {
		s := RandomScene(r)
		kinds[s.Kind]++
		for _, o := range s.Objects {
			edge := o.reach() + 1.5
			if o.X < edge || o.Y < edge || o.X > Size-edge || o.Y > Size-edge {
				t.Fatalf("object %+v leaves the picture", o)
			}
		}
		if !allApart(s.Objects) {
			t.Fatalf("objects overlap: %+v", s.Objects)
		}
		if s.Relation != "" && !stands(s.Objects[0], s.Objects[1], s.Relation) {
			t.Fatalf("%+v does not stand %s", s.Objects, s.Relation)
		}
		if err := DescribeFully(s).Validate(); err != nil {
			t.Fatal(err)
		}
	}
	for i, kind := range Kinds {
		if got := float64(kinds[kind]) / 2000; math.Abs(got-kindShares[i]) > 0.04 {
			t.Errorf("share of %s is %.3f, want about %.2f", kind, got, kindShares[i])
		}
	}
}

// The checker must find nearly every rendering true to its full caption, and false to the caption of another scene.
func TestCheckerKnowsItsWorld(t *testing.T) {
	r := generator(2)
	scenes := make([]Scene, 400)
	for i := range scenes {
		scenes[i] = RandomScene(r)
	}
	right, crossed := 0, 0
	for i, s := range scenes {
		img := s.Render()
		own, err := Check(img, DescribeFully(s))
		if err != nil {
			t.Fatal(err)
		}
		other, err := Check(img, DescribeFully(scenes[(i+1)%len(scenes)]))
		if err != nil {
			t.Fatal(err)
		}
		if own.Strict {
			right++
		}
		if other.Strict {
			crossed++
		}
		if own.Clean < 0.9 {
			t.Errorf("scene %d: a rendering is only %.3f clean", i, own.Clean)
		}
	}
	if right < 397 || crossed > 0 {
		t.Errorf("%d of 400 renderings strict, %d against a foreign caption", right, crossed)
	}
}

// Each single broken assertion must be seen, by the item of that name and by no other.
func TestCheckNamesTheBrokenItem(t *testing.T) {
	scene := Scene{
		Kind: Relation, Relation: "left of", Background: Background{Kind: "white", Level: 0.94},
		Objects: []Object{
			{Shape: "circle", Color: "red", Size: "small", X: 15, Y: 32, R: 8, RGB: palette[0]},
			{Shape: "square", Color: "blue", Size: "large", X: 45, Y: 32, R: 12, RGB: palette[5]},
		},
	}
	full := DescribeFully(scene)
	for _, c := range []struct {
		want  []string
		spoil func(s *Spec)
	}{
		{[]string{"color"}, func(s *Spec) { s.Objects[0].Color = "green" }},
		{[]string{"shape"}, func(s *Spec) { s.Objects[1].Shape = "star" }},
		{[]string{"size"}, func(s *Spec) { s.Objects[0].Size = "large" }},
		{[]string{"relation"}, func(s *Spec) { s.Relation = "above" }},
		{[]string{"background"}, func(s *Spec) { s.Background = "striped" }},
		{nil, func(*Spec) {}},
	} {
		spec := full
		spec.Objects = append([]Mention(nil), full.Objects...)
		c.spoil(&spec)
		got, err := Check(scene.Render(), spec)
		if err != nil {
			t.Fatal(err)
		}
		var broken []string
		for _, item := range got.Items {
			if !item.OK {
				broken = append(broken, item.Name)
			}
		}
		if !slices.Equal(broken, c.want) || got.Strict != (len(broken) == 0) {
			t.Errorf("broken items %v (strict %v), want %v", broken, got.Strict, c.want)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	valid := Spec{Kind: Single, Objects: []Mention{{Color: "red"}}}
	if _, err := Check(image.NewNRGBA(image.Rect(0, 0, 32, 64)), valid); err == nil || !strings.Contains(err.Error(), "32×64") {
		t.Errorf("a picture of another size: %v", err)
	}
	img := image.NewNRGBA(image.Rect(0, 0, Size, Size))
	for name, spec := range map[string]Spec{
		"kind":       {Kind: "crowd"},
		"objects":    {Kind: Single},
		"color":      {Kind: Single, Objects: []Mention{{Color: "mauve"}}},
		"relation":   {Kind: Single, Objects: []Mention{{}}, Relation: "above"},
		"background": {Kind: Single, Objects: []Mention{{}}, Background: "lake"},
	} {
		if _, err := Check(img, spec); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// Any picture gets a verdict: empty, noise, and one that is all object.
func TestCheckOfForeignPictures(t *testing.T) {
	r := generator(5)
	noise, red := image.NewNRGBA(image.Rect(0, 0, Size, Size)), image.NewNRGBA(image.Rect(3, 4, 3+Size, 4+Size))
	for i := range noise.Pix {
		noise.Pix[i] = uint8(r.IntN(256))
		red.Pix[i] = []uint8{220, 30, 36, 255}[i%4]
	}
	spec := Spec{Kind: Three, Objects: make([]Mention, 3)}
	for name, img := range map[string]image.Image{"noise": noise, "red": red, "black": image.NewNRGBA(image.Rect(0, 0, Size, Size)), "grey": image.NewGray(image.Rect(0, 0, Size, Size))} {
		got, err := Check(img, spec)
		if err != nil {
			t.Fatal(err)
		}
		if got.Frac < 0 || got.Frac > 1 || got.Clean < 0 || got.Clean > 1 || got.Strict {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestCaptionRoundTrip(t *testing.T) {
	r := generator(6)
	seen := map[string]bool{}
	for range 5000 {
		spec := Describe(RandomScene(r), r)
		text := spec.Caption(r)
		seen[text] = true
		got, err := ParseCaption(text)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Canonical(), spec.Canonical()) {
			t.Fatalf("%q: parsed as %+v, said %+v", text, got, spec)
		}
	}
	if len(seen) < 3000 {
		t.Errorf("only %d different captions of 5000", len(seen))
	}
}

func TestParseCaptionRefuses(t *testing.T) {
	for _, text := range []string{
		"", "a", "red circle", "a red", "a circle red", "two", "two red circle", "a cat on a mat", "a red circle above",
		"a red circle, a blue ring", "a circle on a pink background", "four red rings", "a big big ring", "a red circle and",
	} {
		if spec, err := ParseCaption(text); err == nil {
			t.Errorf("%q: parsed as %+v", text, spec)
		}
	}
}

func TestReadPrompts(t *testing.T) {
	const given = `{"prompt":"mine","spec":{"kind":"single","objects":[{"color":"red","shape":null,"size":null}],"relation":null,"background":"grey"}}`
	got, err := ReadPrompts(strings.NewReader("{\"prompt\":\"two red rings\"}\n" + given + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	red := Mention{Color: "red", Shape: "ring"}
	want := []Prompt{
		{"two red rings", Spec{Kind: Count, Objects: []Mention{red, red}}},
		{"mine", Spec{Kind: Single, Objects: []Mention{{Color: "red"}}, Background: "grey"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{`{"prompt":"a cat"}`, `{"prompt":"a ring","spec":{"kind":"crowd"}}`, `{"prompt":`, "[]"} {
		if _, err := ReadPrompts(strings.NewReader(`{"prompt":"a ring"}` + bad)); err == nil || !strings.Contains(err.Error(), "prompt 2") {
			t.Errorf("%s: error %v", bad, err)
		}
	}
}

// Whatever parses must be valid, say what its own captions say, and say it again after another round.
func FuzzParseCaption(f *testing.F) {
	for _, text := range []string{"a red circle", "An image of two big blue stars on a grey background", "a ring to the left of an orange cross, black background", "a, b and c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := ParseCaption(text)
		if err != nil {
			return
		}
		if err := spec.Validate(); err != nil {
			t.Fatal(err)
		}
		again, err := ParseCaption(spec.Caption(generator(uint64(len(text)))))
		if err != nil || !reflect.DeepEqual(again.Canonical(), spec.Canonical()) {
			t.Fatalf("%q: %+v, then %+v (%v)", text, spec, again, err)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	scene := RandomSceneOf(Three, generator(7))
	img, spec := scene.Render(), DescribeFully(scene)
	for b.Loop() {
		if _, err := Check(img, spec); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTrainingPrompts(t *testing.T) {
	all := TrainingPrompts(200, 3, nil)
	taken := []Prompt{{Text: all[0]}, {Text: all[100]}}
	some := TrainingPrompts(200, 3, taken)
	if slices.Contains(some, all[0]) || slices.Contains(some, all[100]) || !slices.Equal(some[:99], all[1:100]) {
		t.Error("prompts that are taken do not just fall out")
	}
	seen := map[string]bool{}
	for _, p := range some {
		if _, err := ParseCaption(p); err != nil || seen[p] {
			t.Errorf("%q: seen %v, %v", p, seen[p], err)
		}
		seen[p] = true
	}
}
