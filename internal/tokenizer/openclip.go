package tokenizer

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

// CleanOpenCLIP prepares a prompt as open_clip does before its byte pairs: quotation marks made straight, ligatures and full
// width characters made plain, control characters dropped (ftfy's defaults), HTML entities resolved twice, and the final
// sigma of Greek words written as such. ftfy's repair of text that was decoded with the wrong character set is not done.
func CleanOpenCLIP(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	for before := ""; text != before; {
		before = text
		if !strings.Contains(text, "<") { // ftfy leaves entities beside tags alone
			text = unescapeHTML(text)
		}
		text = withoutControls(plainWidth(plainQuotes.Replace(windowsLetters(text))))
	}
	return strings.TrimSpace(finalSigma(unescapeHTML(unescapeHTML(text))))
}

var plainQuotes = strings.NewReplacer(
	"\u2018", "'", "\u2019", "'", "\u201A", "'", "\u201B", "'", "\u02BC", "'", "\u201C", `"`, "\u201D", `"`, "\u201E", `"`, "\u201F", `"`,
	"\uFB00", "ff", "\uFB01", "fi", "\uFB02", "fl", "\uFB03", "ffi", "\uFB04", "ffl", "\uFB05", "ſt", "\uFB06", "st",
	"\u0132", "IJ", "\u0133", "ij", "\u0149", "'n", "\u01C4", "D\u017D", "\u01C5", "D\u017E", "\u01C6", "d\u017E", "\u01F1", "DZ", "\u01F2", "Dz", "\u01F3", "dz", "\u01C7", "LJ", "\u01C8", "Lj", "\u01C9", "lj", "\u01CA", "NJ", "\u01CB", "Nj", "\u01CC", "nj",
)

// plainWidth replaces full and half width forms and the ideographic space.
func plainWidth(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == 0x3000 || r >= 0xFF01 && r <= 0xFFEE {
			b.WriteString(norm.NFKC.String(string(r)))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
