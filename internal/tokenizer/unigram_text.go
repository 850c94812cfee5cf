package tokenizer

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wordMark stands for a space in pieces.
const wordMark = "\u2581"

// normalize is the library's normalizer: characters replaced by the model's table, user-defined pieces left alone, spaces
// at the ends dropped and runs of them made one, spaces made ▁, and ▁ put before the text (or behind it).
func (t *Unigram) normalize(text string) string {
	m := t.model
	space := " "
	if m.escape {
		space = wordMark
	}
	for m.collapse && text != "" {
		to, n := t.replacement(text)
		if to != " " {
			break
		}
		text = text[n:]
	}
	if text == "" {
		return ""
	}
	var b strings.Builder
	if m.dummy && !m.suffix {
		b.WriteString(space)
	}
	for afterSpace := m.collapse; text != ""; {
		to, n := t.replacement(text)
		text = text[n:]
		if afterSpace {
			to = strings.TrimLeft(to, " ")
		}
		if to != "" {
			b.WriteString(strings.ReplaceAll(to, " ", space))
			afterSpace = m.collapse && strings.HasSuffix(to, " ")
		}
	}
	out := b.String()
	for m.collapse && strings.HasSuffix(out, space) {
		out = strings.TrimSuffix(out, space)
	}
	if m.dummy && m.suffix {
		out += space
	}
	return out
}

// replacement is what the beginning of a text becomes, and how many bytes it takes there. text is not empty.
func (t *Unigram) replacement(text string) (to string, n int) {
	if n := t.whole.longest(text); n > 0 {
		return text[:n], n
	}
	if to, n := t.model.table.longest(text); n > 0 {
		return to, n
	}
	r, n := utf8.DecodeRuneInString(text)
	return string(r), n
}

// charsmap is a table of replacements: a double-array trie (Yata's darts-clone) over UTF-8, whose values are offsets of
// texts that end in NUL.
type charsmap struct {
	units []uint32
	texts string
}

// Limits on the table; nmt_nfkc has 0.23 MiB, and its longest replacement 33 bytes.
const (
	maxCharsmap    = 16 << 20
	maxReplacement = 1 << 10
)

// parseCharsmap reads precompiled_charsmap: the size of the trie in bytes, the trie, the texts; little endian.
func parseCharsmap(file string, data []byte) (*charsmap, error) {
	fail := func(why string, args ...any) (*charsmap, error) {
		return nil, &FileError{File: file, Msg: "precompiled_charsmap " + fmt.Sprintf(why, args...)}
	}
	if len(data) == 0 {
		return nil, nil // texts stay as they are
	}
	if len(data) > maxCharsmap {
		return fail("has %d bytes; the limit is %d MiB", len(data), maxCharsmap>>20)
	}
	if len(data) < 4 {
		return fail("has %d bytes, too few for its head", len(data))
	}
	size, data := uint64(binary.LittleEndian.Uint32(data)), data[4:]
	if size == 0 || size%4 != 0 || size > uint64(len(data)) {
		return fail("says that its trie has %d bytes; %d follow", size, len(data))
	}
	c := &charsmap{units: make([]uint32, size/4), texts: string(data[size:])}
	for i := range c.units {
		c.units[i] = binary.LittleEndian.Uint32(data[4*i:])
	}
	for text := range strings.SplitSeq(c.texts, "\x00") {
		if len(text) > maxReplacement {
			return fail("replaces characters by %d bytes; the limit is %d", len(text), maxReplacement)
		}
	}
	return c, nil
}

// longest is the replacement of the longest key that text begins with, and the key's length; 0 where there is none. Places
// outside the table, which only a broken file names, match nothing.
func (c *charsmap) longest(text string) (to string, n int) {
	if c == nil {
		return "", 0
	}
	unit, ok := c.unit(0)
	at := offset(unit)
	for i := 0; i < len(text) && ok; i++ {
		at ^= uint32(text[i])
		if unit, ok = c.unit(at); !ok || unit&0x800000FF != uint32(text[i]) {
			break
		}
		at ^= offset(unit)
		if unit>>8&1 == 0 {
			continue
		}
		if leaf, ok := c.unit(at); ok && int(leaf&0x7FFFFFFF) < len(c.texts) {
			to, _, _ = strings.Cut(c.texts[leaf&0x7FFFFFFF:], "\x00")
			n = i + 1
		}
	}
	return to, n
}

func (c *charsmap) unit(at uint32) (uint32, bool) {
	if uint64(at) >= uint64(len(c.units)) {
		return 0, false
	}
	return c.units[at], true
}

// offset is the distance to the children of a unit.
func offset(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }

// canonical is the text that SigLIP was trained on: lower case, ASCII punctuation dropped, white space made one space and
// none at the end.
func canonical(text string, keepCase bool) string {
	if !keepCase {
		text = lower(text)
	}
	var b strings.Builder
	space := false
	for _, r := range text {
		switch {
		case r < unicode.MaxASCII && (unicode.IsPunct(r) || unicode.IsSymbol(r)):
		case unicode.IsSpace(r) || r >= 0x1C && r <= 0x1F:
			space = true
		default:
			if space {
				b.WriteByte(' ')
			}
			space = false
			b.WriteRune(r)
		}
	}
	return b.String()
}

// lower is Unicode's full lower case.
func lower(text string) string {
	var b strings.Builder
	for _, r := range finalSigma(text) {
		writeLower(&b, r)
	}
	return b.String()
}

// endsWord is Unicode's condition Final_Sigma: a letter with case before, none behind, marks and the like looked through.
func endsWord(runes []rune, i int) bool {
	before, behind := i-1, i+1
	for before >= 0 && caseIgnorable(runes[before]) {
		before--
	}
	for behind < len(runes) && caseIgnorable(runes[behind]) {
		behind++
	}
	return before >= 0 && cased(runes[before]) && (behind == len(runes) || !cased(runes[behind]))
}

func cased(r rune) bool {
	return unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Uppercase, unicode.Other_Lowercase)
}

// caseIgnorable are marks, formats, modifiers, and the punctuation that stands inside words.
func caseIgnorable(r rune) bool {
	const inside = "'.:\u00B7\u0387\u055F\u05F4\u2018\u2019\u2024\u2027\uFE13\uFE52\uFE55\uFF07\uFF0E\uFF1A"
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk) || strings.ContainsRune(inside, r)
}
