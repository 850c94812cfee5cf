package tokenizer

import "testing"

// Expected values by ftfy 6.3.1 and html.unescape, as open_clip 3.3.0 combines them.
func TestCleanOpenCLIP(t *testing.T) {
	for text, want := range map[string]string{
		" rock &amp;amp; roll ":   "rock & roll",
		"“quoted” don’t":          `"quoted" don't`,
		"\ufb01ne ＡＢＣ\u3000ｶ Ǆ":   "fine ABC カ DŽ",
		"<b>&amp;amp;amp;</b>":    "<b>&amp;</b>",
		"ŉ &lt;start_of_text&gt;": "'n <start_of_text>",
		"plain":                   "plain",
	} {
		if got := CleanOpenCLIP(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
