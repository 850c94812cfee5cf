package tokenizer

import (
	"html"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

var numericEntity = regexp.MustCompile(`&#(?:[xX][0-9a-fA-F]+|[0-9]+|[xX]?);?`)

// unescapeHTML is Python's html.unescape. It differs from Go's in numeric entities alone: those of control characters
// and non-characters give nothing, numbers too large give U+FFFD, and none without digits is one.
func unescapeHTML(text string) string {
	var b strings.Builder
	for {
		at := numericEntity.FindStringIndex(text)
		if at == nil {
			return b.String() + html.UnescapeString(text)
		}
		// No name of an entity holds & or #, so a cut before a numeric one splits none.
		b.WriteString(html.UnescapeString(text[:at[0]]))
		b.WriteString(numbered(text[at[0]:at[1]]))
		text = text[at[1]:]
	}
}

func numbered(entity string) string {
	digits, base := strings.TrimSuffix(entity[2:], ";"), 10
	if hex := strings.TrimLeft(digits, "xX"); hex != digits {
		digits, base = hex, 16
	}
	if digits == "" {
		return entity
	}
	n, err := strconv.ParseUint(digits, base, 32)
	switch {
	case err != nil || n > utf8.MaxRune:
		return "\uFFFD"
	case n >= 0xFDD0 && n <= 0xFDEF, n&0xFFFE == 0xFFFE, n != 0 && removedControl(rune(n)):
		return ""
	}
	return html.UnescapeString("&#" + strconv.FormatUint(n, 10) + ";")
}

// removedControl are the control characters without a use in text: all but tab, line feed, form feed, return and U+0080
// to U+009F, which stand for letters of Windows' character set.
func removedControl(r rune) bool {
	return r < 0x20 && !strings.ContainsRune("\t\n\f\r", r) || r == 0x7F
}

// windowsLetters reads U+0080 to U+009F as what a text that was once Windows' means by them: quotation marks, dashes, €.
// HTML gives their entities the same meaning.
func windowsLetters(text string) string {
	if strings.IndexFunc(text, isC1) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if isC1(r) {
			b.WriteString(numbered("&#" + strconv.Itoa(int(r))))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isC1(r rune) bool { return r >= 0x80 && r <= 0x9F }

// withoutControls does what ftfy does to characters that nobody sees.
func withoutControls(text string) string {
	return strings.Map(func(r rune) rune {
		if removedControl(r) || r == 0xFEFF || r >= 0x206A && r <= 0x206F || r >= 0xFFF9 && r <= 0xFFFC || r >= 0xE0001 && r <= 0xE007F {
			return -1
		}
		return r
	}, text)
}
