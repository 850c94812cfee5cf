package ldm

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"winnow/assets"
	"winnow/internal/model"
	"winnow/internal/tensor"
)

func openMini(t *testing.T) *Pipeline {
	t.Helper()
	p, err := Open(t.Context(), model.FSFolder(assets.Mini(), "mini"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestOpen_mini(t *testing.T) {
	p := openMini(t)
	if p.XL || p.Factor != 8 || p.LatentChannels != 4 || p.Defaults.Height != 64 || p.Defaults.Width != 64 {
		t.Errorf("pipeline %+v", p.Defaults)
	}
	if n := len(p.Networks()); n != 4 {
		t.Errorf("%d networks, want text encoder, U-Net, decoder and encoder", n)
	}
	if err := p.CheckFinite(); err != nil {
		t.Error(err)
	}
}

// copyFS is a folder that a test may damage.
func copyFS(t *testing.T, from fs.FS) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(from, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(from, path)
		files[path] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Each broken folder must be refused with a message that names the file.
func TestOpen_brokenFolders(t *testing.T) {
	copied := func() fstest.MapFS { return copyFS(t, assets.Mini()) }
	set := func(name, content string) func(fstest.MapFS) {
		return func(f fstest.MapFS) { f[name] = &fstest.MapFile{Data: []byte(content)} }
	}
	drop := func(name string) func(fstest.MapFS) { return func(f fstest.MapFS) { delete(f, name) } }
	for name, tc := range map[string]struct {
		damage func(fstest.MapFS)
		want   string
	}{
		"no index":        {drop("model_index.json"), "mini/model_index.json is missing"},
		"broken index":    {set("model_index.json", "{"), "mini/model_index.json"},
		"other pipeline":  {set("model_index.json", `{"_class_name": "FluxPipeline"}`), "FluxPipeline"},
		"XL needs two":    {set("model_index.json", `{"_class_name": "StableDiffusionXLPipeline"}`), "mini/tokenizer_2"},
		"no scheduler":    {drop("scheduler/scheduler_config.json"), "mini/scheduler/scheduler_config.json"},
		"bad scheduler":   {set("scheduler/scheduler_config.json", `{"a": 1}`), "mini/scheduler/scheduler_config.json"},
		"no vocabulary":   {drop("tokenizer/vocab.json"), "tokenizer"},
		"no U-Net":        {drop("unet/model.onnx"), "mini/unet/model.onnx is missing"},
		"no decoder":      {drop("vae_decoder/model.onnx"), "mini/vae_decoder/model.onnx is missing"},
		"not ONNX":        {set("unet/model.onnx", "hello"), "unet/model.onnx"},
		"bad scaling":     {set("vae_decoder/config.json", `{"scaling_factor": 0}`), "scaling_factor"},
		"bad defaults":    {set("winnow.json", `{"steps": -1}`), "mini/winnow.json"},
		"wrong network":   {func(f fstest.MapFS) { f["unet/model.onnx"] = f["vae_decoder/model.onnx"] }, `input "latent_sample"`},
		"small text size": {set("text_encoder/config.json", `{"vocab_size": 10}`), "vocab_size 10"},
	} {
		t.Run(name, func(t *testing.T) {
			files := copied()
			tc.damage(files)
			p, err := Open(t.Context(), model.FSFolder(files, "mini"), Options{})
			if err == nil {
				_ = p.Close()
				t.Fatal("the folder was accepted")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q does not say %q", err, tc.want)
			}
		})
	}
	if _, err := DirFolder("no/such/folder"); err == nil || !strings.Contains(err.Error(), "no/such/folder") {
		t.Errorf("missing folder: %v", err)
	}
}

// A U-Net of an XL model under the index of another class is refused before it runs.
func TestOpen_networkOfXL(t *testing.T) {
	files := copyFS(t, os.DirFS("../../tests/tiny/sdxl"))
	files["model_index.json"] = &fstest.MapFile{Data: []byte(`{"_class_name": "StableDiffusionPipeline"}`)}
	if _, err := Open(t.Context(), model.FSFolder(files, "xl"), Options{}); err == nil || !strings.Contains(err.Error(), "text_embeds") {
		t.Errorf("error %v, want one that names text_embeds", err)
	}
}

// The timestep input has the type and rank that the export asks for.
func TestTimesteps(t *testing.T) {
	take := func(port model.Port, n int, ts ...float64) tensor.Tensor {
		got, err := timesteps(port, n, ts)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	scalar := take(model.Port{DType: tensor.I64, Shape: []int{}}, 3, 749.25)
	if len(scalar.Shape) != 0 || !slices.Equal(scalar.I64(), []int64{749}) {
		t.Errorf("scalar %v %v", scalar.Shape, scalar.I64())
	}
	if got := take(model.Port{DType: tensor.I32, Shape: []int{1}}, 3, 5); !slices.Equal(got.I32(), []int32{5}) {
		t.Errorf("one int32: %v", got.I32())
	}
	if got := take(model.Port{DType: tensor.I32, Shape: []int{1}}, 2, 5, 5); !slices.Equal(got.I32(), []int32{5}) {
		t.Errorf("one int32 for equal timesteps: %v", got.I32())
	}
	for _, dt := range []tensor.DType{tensor.F32, tensor.F16, tensor.BF16, tensor.F64} {
		port := model.Port{DType: dt, Shape: []int{-1}}
		if got := take(port, 2, 0.5); got.DType != dt || !slices.Equal(got.Float32s(), []float32{.5, .5}) {
			t.Errorf("%v: %v", dt, got.Float32s())
		}
		if got := take(port, 2, 0.5, 8); !slices.Equal(got.Float32s(), []float32{.5, 8}) {
			t.Errorf("%v: %v", dt, got.Float32s())
		}
	}
	for _, ts := range [][]float64{{1, 2, 3}, {1, 2}, nil} {
		if got, err := timesteps(model.Port{Name: "t", DType: tensor.F32, Shape: []int{1}}, 2, ts); err == nil {
			t.Errorf("%v for 2 samples at once gives %v", ts, got.Float32s())
		}
	}
}

func TestEncode_tooLong(t *testing.T) {
	p := openMini(t)
	long := strings.Repeat("a red circle ", 30)
	var e *PromptTooLongError
	if _, err := p.Encode(t.Context(), []string{"a star", long}, false); !errors.As(err, &e) || e.Prompt != long || e.Limit != 32 || e.Dropped == "" {
		t.Errorf("error %v", err)
	}
	if got, err := p.Encode(t.Context(), []string{long}, true); err != nil || !slices.Equal(got.Hidden.Shape, []int{1, 32, 96}) {
		t.Errorf("truncated: %v, %v", got.Hidden.Shape, err)
	}
}

func TestEmbeds_rows(t *testing.T) {
	a := Embeds{Hidden: tensor.FromF32([]float32{1, 2, 3, 4, 5, 6, 7, 8}, 2, 2, 2), Pooled: tensor.FromF32([]float32{9, 10}, 2, 1)}
	got := a.Pick([]int{1, 0, 1})
	if !slices.Equal(got.Hidden.F32(), []float32{5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8}) || !slices.Equal(got.Pooled.F32(), []float32{10, 9, 10}) {
		t.Errorf("picked %v and %v", got.Hidden.F32(), got.Pooled.F32())
	}
	stacked, err := a.Pick([]int{1}).Stack(a.Pick([]int{0}))
	if err != nil || !slices.Equal(stacked.Hidden.F32(), []float32{5, 6, 7, 8, 1, 2, 3, 4}) || stacked.Rows() != 2 {
		t.Errorf("stacked %v, %v", stacked.Hidden.F32(), err)
	}
	if _, err := a.Stack(Embeds{Hidden: tensor.New(tensor.F32, 1, 3, 2), Pooled: a.Pooled}); err == nil {
		t.Error("embeddings of different lengths were stacked")
	}
	if ids := a.Cond(48, 32).TimeIDs; !slices.Equal(ids.F32(), []float32{48, 32, 0, 0, 48, 32, 48, 32, 0, 0, 48, 32}) {
		t.Errorf("time ids %v", ids.F32())
	}
}

func TestJoinFeatures(t *testing.T) {
	got, err := joinFeatures(tensor.FromF32([]float32{1, 2, 3, 4}, 1, 2, 2), tensor.FromF32([]float32{5, 6}, 1, 2, 1))
	if err != nil || !slices.Equal(got.F32(), []float32{1, 2, 5, 3, 4, 6}) || !slices.Equal(got.Shape, []int{1, 2, 3}) {
		t.Errorf("joined %v %v, %v", got.Shape, got.F32(), err)
	}
	if _, err := joinFeatures(tensor.New(tensor.F32, 1, 2, 2), tensor.New(tensor.F32, 1, 3, 2)); err == nil {
		t.Error("different token counts were joined")
	}
}

// Latents are divided by the scaling factor and decoded in groups; the grouping must not show.
func TestDecode_groups(t *testing.T) {
	p := openMini(t)
	const n, h, w = 3, 64, 32 // two pictures fill one call
	z := make([]float32, n*4*h*w)
	for i := range z {
		z[i] = float32(i%7)/7 - .5
	}
	all, err := p.Decode(t.Context(), z, n, h, w)
	if err != nil {
		t.Fatal(err)
	}
	last, err := p.Decode(t.Context(), z[2*4*h*w:], 1, h, w)
	if err != nil {
		t.Fatal(err)
	}
	area := 3 * h * w * p.Factor * p.Factor
	for i, v := range last {
		if d := v - all[2*area+i]; d > 1e-5 || d < -1e-5 {
			t.Fatalf("pixel %d: %g alone, %g in a group", i, v, all[2*area+i])
		}
	}
	if _, err := p.Decode(t.Context(), z[1:], n, h, w); err == nil {
		t.Error("a wrong number of latents was accepted")
	}
}

// XL models with per-channel statistics undo them before decoding.
func TestChannels(t *testing.T) {
	half, shift := .5, .25
	c := vaeConfig{ScalingFactor: &half, ShiftFactor: &shift, LatentsMean: []float64{1, 2}, LatentsStd: []float64{3, 4}}
	if got, err := c.channels(true, 2); err != nil || !slices.Equal(got, []affine{{6, 1}, {8, 2}}) {
		t.Errorf("XL: %v, %v", got, err)
	}
	if got, err := c.channels(false, 2); err != nil || !slices.Equal(got, []affine{{2, .25}, {2, .25}}) {
		t.Errorf("not XL: %v, %v", got, err)
	}
	if _, err := c.channels(true, 4); err == nil {
		t.Error("statistics of 2 channels were taken for 4")
	}
	if got, _ := (vaeConfig{}).channels(false, 1); got[0].scale != 1/0.18215 {
		t.Errorf("default %v", got)
	}
}

// A row through the denoiser is one evaluation, and three with the way back.
func TestPipeline_Evaluations(t *testing.T) {
	p := openMini(t)
	e, err := p.EncodeRows(t.Context(), []string{"a red circle", "a blue square"}, TextOptions{})
	if err != nil {
		t.Fatal(err)
	}
	side := p.Defaults.Height / p.Factor
	x := make([]float32, 2*p.LatentChannels*side*side)
	out, cond := make([]float32, len(x)), e.Cond(p.Defaults.Height, p.Defaults.Width)
	if err := p.Denoise(t.Context(), out, x, 2, side, side, 500, cond); err != nil {
		t.Fatal(err)
	}
	if n := p.Evaluations(); n != 2 {
		t.Errorf("two rows are %d evaluations", n)
	}
	if _, err := p.DenoiseGradient(t.Context(), out, x, 2, side, side, 500, cond, func() ([]float32, error) { return make([]float32, len(x)), nil }); err != nil {
		t.Fatal(err)
	}
	if n := p.Evaluations(); n != 8 {
		t.Errorf("two rows and two more with the way back are %d evaluations", n)
	}
}
