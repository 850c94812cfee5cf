package tokenizer

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// segment is a part of a normalized text and the piece that stands for it.
type segment struct{ id, from, to int }

// unknownPenalty is what an unknown character costs below the worst piece.
const unknownPenalty = 10

// segment cuts a normalized text into the pieces of the greatest sum of scores (Viterbi). Sums are kept in float32 and the
// first of equal ones wins, as in the library.
func (t *Unigram) segment(text string) []segment {
	type node struct {
		id, from int
		score    float32
	}
	best := make([]node, len(text)+1)
	for i := range best {
		best[i].from = -1
	}
	offer := func(id, from, to int, score float32) {
		score += best[from].score
		if n := &best[to]; n.from < 0 || score > n.score {
			*n = node{id, from, score}
		}
	}
	for at := 0; at < len(text); {
		_, size := utf8.DecodeRuneInString(text[at:])
		single := false
		t.known.each(text[at:], func(length, id int) {
			score := t.model.pieces[id].score
			if t.model.pieces[id].kind == userPiece { // the bonus makes them win always
				score = float32(float32(length)*t.high) - 0.1
			}
			offer(id, at, at+length, score)
			single = single || length == size
		})
		if !single {
			offer(t.model.unk, at, at+size, t.low-unknownPenalty)
		}
		at += size
	}
	var out []segment
	for to := len(text); to > 0; to = best[to].from {
		out = append(out, segment{best[to].id, best[to].from, to})
	}
	slices.Reverse(out)
	return out
}

// prefixes finds all keys that a text begins with: sorted keys, narrowed byte by byte.
type prefixes struct {
	keys []string
	ids  []int
}

func newPrefixes(ids map[string]int) prefixes {
	var p prefixes
	for key := range ids {
		p.keys = append(p.keys, key)
	}
	slices.Sort(p.keys)
	for _, key := range p.keys {
		p.ids = append(p.ids, ids[key])
	}
	return p
}

// each calls visit with length and id of every key that text begins with, the shortest first.
func (p prefixes) each(text string, visit func(length, id int)) {
	lo, hi := 0, len(p.keys)
	for d := 0; d < len(text) && lo < hi; d++ {
		// Keys lo to hi begin with text[:d]; one that ends there is the first.
		c := text[d]
		lo += sort.Search(hi-lo, func(i int) bool { return len(p.keys[lo+i]) > d && p.keys[lo+i][d] >= c })
		hi = lo + sort.Search(hi-lo, func(i int) bool { return p.keys[lo+i][d] > c })
		if lo < hi && len(p.keys[lo]) == d+1 {
			visit(d+1, p.ids[lo])
		}
	}
}

// longest is the length of the longest key that text begins with, or 0.
func (p prefixes) longest(text string) (n int) {
	p.each(text, func(length, _ int) { n = length })
	return n
}

// index checks that the pieces are sound and fills the tables.
func (t *Unigram) index(name string) error {
	fail := func(id int, why string) error {
		return &FileError{File: name, Msg: fmt.Sprintf("piece %d (%q) %s", id, clip(t.model.pieces[id].text), why)}
	}
	known, whole, first := map[string]int{}, map[string]int{}, true
	for id, p := range t.model.pieces {
		if _, again := t.ids[p.text]; again {
			return fail(id, "is there twice")
		}
		t.ids[p.text] = id
		switch {
		case p.text == "" || len(p.text) > maxMergeLength:
			return fail(id, fmt.Sprintf("has %d bytes; want 1 to %d", len(p.text), maxMergeLength))
		case !(p.score > -maxScore && p.score < maxScore): // NaN as well
			return fail(id, fmt.Sprintf("has the score %v", p.score))
		case p.kind == userPiece:
			known[p.text], whole[p.text] = id, id
		case p.kind == normalPiece:
			known[p.text] = id
			if first || p.score < t.low {
				t.low = p.score
			}
			t.high, first = max(t.high, p.score), false // at least 0, as in the library
		}
	}
	t.known, t.whole = newPrefixes(known), newPrefixes(whole)
	return t.indexBytes(name)
}

// maxScore bounds scores, which are logarithms of probabilities, so that sums stay finite.
const maxScore = 1e30

// indexBytes finds the 256 pieces that byte fallback needs.
func (t *Unigram) indexBytes(name string) error {
	if !t.model.byteFallback {
		return nil
	}
	for b := range t.bytes {
		piece := fmt.Sprintf("<0x%02X>", b)
		id, ok := t.ids[piece]
		if !ok || t.model.pieces[id].kind != bytePiece {
			return &FileError{File: name, Msg: fmt.Sprintf("the model spells unknown characters in bytes, but lacks the byte piece %s", piece)}
		}
		t.bytes[b] = id
	}
	return nil
}

// byteOf is the value of a byte piece, which reads <0x41>.
func byteOf(piece string) (b byte) {
	_, _ = fmt.Sscanf(strings.ToLower(piece), "<0x%02x>", &b) // the name was checked when the kind was set
	return b
}
