package tokenizer

import "strings"

// finalSigma writes ς for every Σ at the end of a word and leaves all else: what lower case alone would not see later.
func finalSigma(text string) string {
	if !strings.ContainsRune(text, 'Σ') {
		return text
	}
	letters := []rune(text)
	for i, r := range letters {
		if r == 'Σ' && endsWord(letters, i) {
			letters[i] = 'ς'
		}
	}
	return string(letters)
}
