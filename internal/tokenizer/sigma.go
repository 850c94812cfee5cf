package tokenizer

import (
	"strings"
	"unicode"
)

// finalSigma writes ς for every Σ at the end of a word, as Python's lower does: a cased letter comes before it, and none
// after it, where characters that casing ignores are skipped (the Unicode Standard, section 3.13, Final_Sigma).
func finalSigma(text string) string {
	if !strings.ContainsRune(text, 'Σ') {
		return text
	}
	letters := []rune(text)
	for i, r := range letters {
		if r == 'Σ' && nextIsCased(letters, i, -1) && !nextIsCased(letters, i, 1) {
			letters[i] = 'ς'
		}
	}
	return string(letters)
}

// nextIsCased is about the nearest character in a direction that casing does not ignore.
func nextIsCased(letters []rune, i, step int) bool {
	for i += step; i >= 0 && i < len(letters); i += step {
		if !caseIgnorable(letters[i]) {
			return cased(letters[i])
		}
	}
	return false
}

func cased(r rune) bool {
	return unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Uppercase, unicode.Other_Lowercase)
}

// caseIgnorable adds to marks, formats and modifiers the punctuation that may stand within a word (Word_Break MidLetter,
// MidNumLet and Single_Quote).
func caseIgnorable(r rune) bool {
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk) ||
		strings.ContainsRune("':.\u00B7\u0387\u055F\u05F4\u2018\u2019\u2024\u2027\uFE13\uFE52\uFE55\uFF07\uFF0E\uFF1A", r)
}
