package lora

import (
	"slices"
	"strings"
	"testing"

	"winnow/internal/onnx"
)

// XL's denoiser reads the last but one hidden states of both text encoders, and of the second the pooled embedding, which hangs on all of
// its layers.
func TestUnread(t *testing.T) {
	for _, tt := range []struct {
		file    string
		outputs []string
		prefix  string // of the modules that nothing is read of
		modules int
	}{
		{"sdxl/text_encoder", []string{"hidden_states.1"}, "encoder.layers.1.", 6},
		{"sdxl/text_encoder_2", []string{"hidden_states.2", "text_embeds"}, "", 0},
		{"sdxl/text_encoder_2", []string{"hidden_states.2"}, "text_model.encoder.layers.2.", 6},
		{"sd15/text_encoder", []string{"last_hidden_state"}, "", 0},
	} {
		m, err := onnx.Open("../../tests/tiny/" + tt.file + "/model.onnx")
		if err != nil {
			t.Fatal(err)
		}
		got := Unread(m.Graph, tt.outputs)
		got = slices.DeleteFunc(got, func(name string) bool { return name == "text_projection" })
		if len(got) != tt.modules || slices.ContainsFunc(got, func(name string) bool { return !strings.HasPrefix(name, tt.prefix) }) {
			t.Errorf("%s, %v: unread are %v", tt.file, tt.outputs, got)
		}
		_ = m.Close()
	}
}
