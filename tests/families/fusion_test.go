package families

import (
	"path"
	"regexp"
	"slices"
	"testing"

	"winnow/internal/graph"
)

// fused is how often the structures of a family are recognised: in every export alike, however it is spelled.
// DeBERTa has no entry for attention: its scores, which depend on relative positions by content, are made as a whole.
var fused = map[string]map[string]int{
	"unet_sd15":       {"attention": 8, "geglu": 4, "groupnorm": 21},
	"unet_sd21":       {"attention": 8, "geglu": 4, "groupnorm": 21},
	"unet_sdxl":       {"attention": 16, "geglu": 8, "groupnorm": 21},
	"unet_sdturbo":    {"attention": 14, "geglu": 7, "groupnorm": 30},
	"unet_lcm":        {"attention": 8, "geglu": 4, "groupnorm": 21},
	"unet_controlled": {"attention": 8, "geglu": 4, "groupnorm": 21},
	"controlnet":      {"attention": 4, "geglu": 2, "groupnorm": 10},
	"vae_encoder":     {"attention": 1},
	"vae_decoder":     {"attention": 1, "groupnorm": 13},
	"taesd_encoder":   {"residual": 4},
	"taesd_decoder":   {},
	"sd3":             {"attention": 2, "gelu": 3},
	"sd35":            {"attention": 3, "gelu": 3, "rmsnorm": 10},
	"flux":            {"attention": 3, "gelu": 4, "rmsnorm": 8},
	"pixart_alpha":    {"attention": 4, "gelu": 3},
	"pixart_sigma":    {"attention": 4, "gelu": 3},
	"clip_b32_text":   {"attention": 2, "silu": 2},
	"clip_b32_vision": {"attention": 2, "silu": 2},
	"clip_h14_text":   {"attention": 3, "gelu": 3},
	"clip_h14_vision": {"attention": 3, "gelu": 3},
	"clip_dual":       {"attention": 4, "silu": 4},
	"siglip":          {"attention": 5, "gelu": 5},
	"blip_reward":     {"attention": 6, "gelu": 4},
	"t5_encoder":      {"attention": 2, "gelu": 2, "rmsnorm": 5},
	"deberta_v2":      {"gelu": 2},
	"mpnet":           {"attention": 2, "gelu": 2},
	"bert":            {"attention": 2, "gelu": 2},
	"dinov2":          {"attention": 2, "gelu": 2},
}

// TestStructuresAreRecognised compiles every export.
func TestStructuresAreRecognised(t *testing.T) {
	for _, name := range exports(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, ok := fused[path.Dir(name)]
			if !ok {
				t.Fatal("the family is missing in the table")
			}
			e := open(t, name)
			p, err := graph.Compile(e.model.Graph, types(e.sets[0].in), &graph.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			for rewrite, n := range want {
				if got := p.Stats().Fused[rewrite]; got != n {
					t.Errorf("%s recognised %d times, want %d", rewrite, got, n)
				}
			}
		})
	}
}

// TestEveryFamilyIsExportedInSeveralWays: two exporters and three opsets at least.
func TestEveryFamilyIsExportedInSeveralWays(t *testing.T) {
	exporters, opsets := map[string][]string{}, map[string][]string{}
	style := regexp.MustCompile(`^(ts|dyn)(\d+)(f16)?$`)
	add := func(m map[string][]string, family, v string) {
		if !slices.Contains(m[family], v) {
			m[family] = append(m[family], v)
		}
	}
	for _, name := range exports(t) {
		family, parts := path.Dir(name), style.FindStringSubmatch(path.Base(name))
		if parts == nil {
			t.Fatalf("%s: no exporter and opset", name)
		}
		add(exporters, family, parts[1])
		add(opsets, family, parts[2])
	}
	for family := range fused {
		if len(exporters[family]) < 2 || len(opsets[family]) < 3 {
			t.Errorf("%s: exporters %v, opsets %v", family, exporters[family], opsets[family])
		}
	}
}
