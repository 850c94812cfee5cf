package tokenizer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalize applies NFC, folds white space and lowers every rune, in the order
// of CLIPTokenizer's normalizer. The reference's normalization tables are those
// of Unicode 9; runs of combining marks that were added later keep their typed
// order there and take Unicode's order here.
func normalize(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range composed(s) {
		if unicode.IsSpace(r) {
			if !space {
				b.WriteByte(' ')
			}
			space = true
			continue
		}
		space = false
		writeLower(&b, r)
	}
	return b.String()
}

// writeLower lowers rune by rune, as Rust's char::to_lowercase: no rule looks at neighbours.
func writeLower(b *strings.Builder, r rune) {
	if r == 'İ' { // the one rune whose lower case is two runes in Unicode's full mapping
		b.WriteString("i\u0307")
		return
	}
	b.WriteRune(unicode.ToLower(r))
}

// maxNonStarters is how many combining marks in a row x/text composes before it
// inserts U+034F (its stream-safe form), which the reference does not.
const maxNonStarters = 30

// composed is Unicode normal form C, without x/text's stream-safe separators.
func composed(s string) string {
	run := 0
	for i := 0; i < len(s); {
		p := norm.NFD.PropertiesString(s[i:])
		// Marks that come with a rune count towards the run as well: at most two of them.
		if p.CCC() != 0 || p.TrailCCC() != 0 {
			run += 3
		} else {
			run = 0
		}
		if run > maxNonStarters {
			return composeSlowly(s)
		}
		i += max(p.Size(), 1)
	}
	return norm.NFC.String(s)
}

// composeSlowly is the canonical composition algorithm of Unicode Standard
// Annex 15 for text that x/text would split: decompose, order marks by class,
// join each rune to its starter unless something of the same class is between.
func composeSlowly(s string) string {
	runes := orderedDecomposition(s)
	out := runes[:0:0]
	starter := -1
	lastClass := uint8(0)
	for _, r := range runes {
		class := combiningClass(r)
		if starter >= 0 && (lastClass < class || len(out) == starter+1) {
			if joined, ok := composePair(out[starter], r); ok {
				out[starter] = joined
				continue
			}
		}
		if class == 0 {
			starter = len(out)
		}
		lastClass = class
		out = append(out, r)
	}
	return string(out)
}

func orderedDecomposition(s string) []rune {
	var runes []rune
	for _, r := range s {
		runes = append(runes, []rune(norm.NFD.String(string(r)))...)
	}
	for i := 0; i < len(runes); {
		j := i + 1
		if combiningClass(runes[i]) != 0 {
			for j < len(runes) && combiningClass(runes[j]) != 0 {
				j++
			}
			slices.SortStableFunc(runes[i:j], func(a, b rune) int {
				return int(combiningClass(a)) - int(combiningClass(b))
			})
		}
		i = j
	}
	return runes
}

func combiningClass(r rune) uint8 { return norm.NFC.PropertiesString(string(r)).CCC() }

func composePair(a, b rune) (rune, bool) {
	joined := norm.NFC.String(string([]rune{a, b}))
	r, size := utf8.DecodeRuneInString(joined)
	return r, size == len(joined)
}

// scanWhole calls emit for every part of text in order: with a token that
// matched whole (the longest at the leftmost place), or with the text between.
func scanWhole(text string, whole []Added, emit func(*Added, string)) {
	from := 0
	for i := 0; i < len(text); {
		a := longestAt(text, i, whole)
		if a == nil {
			i++
			continue
		}
		if from < i {
			emit(nil, text[from:i])
		}
		emit(a, "")
		i += len(a.Content)
		from = i
	}
	if from < len(text) {
		emit(nil, text[from:])
	}
}

func longestAt(text string, i int, whole []Added) *Added {
	var best *Added
	for k := range whole {
		a := &whole[k]
		if a.Content == "" || text[i] != a.Content[0] || !strings.HasPrefix(text[i:], a.Content) {
			continue
		}
		if a.SingleWord && (endsInWord(text[:i]) || beginsWord(text[i+len(a.Content):])) {
			continue
		}
		if best == nil || len(a.Content) > len(best.Content) {
			best = a
		}
	}
	return best
}

func endsInWord(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(s)
	return s != "" && isWordRune(r)
}

func beginsWord(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return s != "" && isWordRune(r)
}

// isWordRune is \w of Unicode Technical Standard 18, annex C.
func isWordRune(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}

// contractions are split off as words of their own wherever they stand first.
var contractions = []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}

// eachWord cuts normalized text into words: a contraction, a run of letters,
// one digit or number, or a run of anything else but white space. It is CLIP's
// pattern followed by GPT-2's, written as a scanner; see specialRun for the one
// place where the two patterns together differ from the first alone.
func eachWord(s string, emit func(string)) {
	for s != "" {
		if n := specialRun(s); n > 0 {
			emit(s[:2])
			emit(s[2 : n-2])
			emit(s[n-2 : n])
			s = s[n:]
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		n := size
		switch kind := kindOf(r); kind {
		case kindSpace:
			s = s[n:]
			continue
		case kindNumber:
		case kindSymbol:
			if c := contraction(s); c > 0 {
				n = c
				break
			}
			n = runLength(s, kind)
		default:
			n = runLength(s, kind)
		}
		emit(s[:n])
		s = s[n:]
	}
}

// specialRun is the length of a special token that was spelled in capitals, so
// that only the lowered text shows it: CLIP's pattern keeps it whole and
// GPT-2's then cuts off its brackets.
func specialRun(s string) int {
	for _, name := range []string{startOfText, endOfText} {
		if strings.HasPrefix(s, name) {
			return len(name)
		}
	}
	return 0
}

func contraction(s string) int {
	for _, c := range contractions {
		if strings.HasPrefix(s, c) {
			return len(c)
		}
	}
	return 0
}

type kind uint8

const (
	kindSpace kind = iota
	kindLetter
	kindNumber
	kindSymbol
)

func kindOf(r rune) kind {
	switch {
	case unicode.IsSpace(r):
		return kindSpace
	case unicode.IsLetter(r):
		return kindLetter
	case unicode.IsNumber(r):
		return kindNumber
	}
	return kindSymbol
}

// runLength is the number of leading bytes of s whose runes are of one kind.
func runLength(s string, k kind) int {
	for i, r := range s {
		if kindOf(r) != k {
			return i
		}
	}
	return len(s)
}
