package tokenizer

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// DefaultMaxLength is the context length of every published CLIP text encoder,
// used when the files do not state one.
const DefaultMaxLength = 77

// Names of the special tokens where the files do not state others.
const (
	startOfText = "<|startoftext|>"
	endOfText   = "<|endoftext|>"
)

// Options are the settings that tokenizer_config.json and
// special_tokens_map.json carry. The zero value means CLIP's own.
type Options struct {
	BOS string // token put first; "" means <|startoftext|>
	EOS string // token put last; "" means <|endoftext|>
	Pad string // token that fills up to the length; "" means EOS
	Unk string // token for symbols outside the vocabulary; "" means EOS

	MaxLength int     // length of a padded prompt in tokens; 0: DefaultMaxLength
	Added     []Added // further tokens that are matched whole in the prompt
}

// Added is a token that is matched whole in the text before any splitting.
type Added struct {
	Content    string
	ID         int
	Normalized bool // matched after NFC and lower case instead of before
	SingleWord bool // matched only where no letter, digit or _ touches it
}

// CLIP is a byte-level byte-pair tokenizer. It is safe for concurrent use.
type CLIP struct {
	ids        map[string]int
	names      map[int]string
	merges     map[pair]merge
	inner      [256]int // id of a byte inside a word
	last       [256]int // id of a byte that ends a word
	bos, eos   int
	pad, unk   int
	maxLength  int
	raw, lower []Added // special tokens matched before and after normalizing
}

// LoadCLIP reads a vocabulary (a JSON object from token to id) and its merges
// (one pair a line, best first, under an optional "#version" line).
// A malformed file is a *FileError.
func LoadCLIP(vocabJSON, mergesTXT io.Reader, opt *Options) (*CLIP, error) {
	vocab, err := readVocab("vocab.json", vocabJSON)
	if err != nil {
		return nil, err
	}
	pairs, err := readMerges("merges.txt", mergesTXT)
	if err != nil {
		return nil, err
	}
	return build("vocab.json", vocab, pairs, opt)
}

// build checks that vocabulary, merges and special tokens fit together.
func build(source string, vocab map[string]int, pairs []mergeLine, opt *Options) (*CLIP, error) {
	if opt == nil {
		opt = &Options{}
	}
	t := &CLIP{
		ids:       vocab,
		names:     make(map[int]string, len(vocab)),
		merges:    make(map[pair]merge, len(pairs)),
		maxLength: opt.MaxLength,
	}
	if t.maxLength == 0 {
		t.maxLength = DefaultMaxLength
	}
	for name, id := range vocab {
		if other, taken := t.names[id]; taken {
			return nil, &FileError{File: source, Msg: fmt.Sprintf("tokens %q and %q share id %d", min(name, other), max(name, other), id)}
		}
		t.names[id] = name
	}
	if err := t.setSpecials(source, opt); err != nil {
		return nil, err
	}
	t.setBytes()
	return t, t.setMerges(pairs)
}

// setSpecials resolves bos, eos, pad and unk and collects the tokens that are
// matched whole.
func (t *CLIP) setSpecials(source string, opt *Options) error {
	for _, a := range opt.Added {
		if err := t.addWhole(source, a); err != nil {
			return err
		}
	}
	eos := orDefault(opt.EOS, endOfText)
	for _, s := range []struct {
		role, name string
		id         *int
	}{
		{"bos_token", orDefault(opt.BOS, startOfText), &t.bos},
		{"eos_token", eos, &t.eos},
		{"unk_token", orDefault(opt.Unk, eos), &t.unk},
		{"pad_token", orDefault(opt.Pad, eos), &t.pad},
	} {
		id, ok := t.ids[s.name]
		if !ok {
			return &FileError{File: source, Msg: fmt.Sprintf("%s %q is not in the vocabulary", s.role, s.name)}
		}
		*s.id = id
		if err := t.addWhole(source, Added{Content: s.name, ID: id}); err != nil {
			return err
		}
	}
	return nil
}

// addWhole registers a token that is matched whole; the first entry for a
// content wins, because added-token tables are more precise than role names.
func (t *CLIP) addWhole(source string, a Added) error {
	if t.hasWhole(func(have Added) bool { return have.Content == a.Content }) {
		return nil
	}
	if id, known := t.ids[a.Content]; known && id != a.ID {
		return &FileError{File: source, Msg: fmt.Sprintf("added token %q has id %d, but the vocabulary gives it %d", a.Content, a.ID, id)}
	}
	if name, taken := t.names[a.ID]; taken && name != a.Content {
		return &FileError{File: source, Msg: fmt.Sprintf("added token %q takes id %d, which belongs to %q", a.Content, a.ID, name)}
	}
	t.ids[a.Content], t.names[a.ID] = a.ID, a.Content
	if a.Normalized {
		a.Content = normalize(a.Content)
		t.lower = append(t.lower, a)
		return nil
	}
	t.raw = append(t.raw, a)
	return nil
}

// hasWhole reports whether any token that is matched whole satisfies f.
func (t *CLIP) hasWhole(f func(Added) bool) bool {
	return slices.ContainsFunc(t.raw, f) || slices.ContainsFunc(t.lower, f)
}

// setBytes resolves the 512 symbols that words start from.
func (t *CLIP) setBytes() {
	for b := range 256 {
		t.inner[b], t.last[b] = t.unk, t.unk
		if id, ok := t.ids[byteSymbols[b]]; ok {
			t.inner[b] = id
		}
		if id, ok := t.ids[byteSymbols[b]+wordEnd]; ok {
			t.last[b] = id
		}
	}
}

// setMerges turns the text of the merges into ids.
func (t *CLIP) setMerges(pairs []mergeLine) error {
	for rank, p := range pairs {
		left, okLeft := t.ids[p.left]
		right, okRight := t.ids[p.right]
		joined, okJoined := t.ids[p.left+p.right]
		if !okLeft || !okRight || !okJoined {
			return &FileError{
				File: p.file, Line: p.line,
				Msg: fmt.Sprintf("merge of %q and %q, but one of them or their union is not in the vocabulary", p.left, p.right),
			}
		}
		if _, again := t.merges[pair{left, right}]; !again {
			t.merges[pair{left, right}] = merge{rank, joined}
		}
	}
	return nil
}

// BOS is the id of the token that begins a prompt.
func (t *CLIP) BOS() int { return t.bos }

// EOS is the id of the token that ends a prompt.
func (t *CLIP) EOS() int { return t.eos }

// Pad is the id that fills a prompt up to its length.
func (t *CLIP) Pad() int { return t.pad }

// MaxLength is the number of tokens of a padded prompt, start and end included.
func (t *CLIP) MaxLength() int { return t.maxLength }

// VocabSize is the number of tokens known.
func (t *CLIP) VocabSize() int { return len(t.names) }

// Encode returns the ids of a text without start and end tokens.
func (t *CLIP) Encode(text string) []int {
	var ids []int
	text = strings.ToValidUTF8(text, "\uFFFD")
	scanWhole(text, t.raw, func(whole *Added, segment string) {
		if whole != nil {
			ids = append(ids, whole.ID)
			return
		}
		scanWhole(normalize(segment), t.lower, func(whole *Added, segment string) {
			if whole != nil {
				ids = append(ids, whole.ID)
				return
			}
			eachWord(segment, func(word string) { ids = t.appendWord(ids, word) })
		})
	})
	return ids
}

// EncodePadded returns exactly maxLen ids: start, text, end, padding; and a
// mask with 1 from start to end and 0 on padding. A maxLen of 0 or less means
// MaxLength. Text that does not fit is cut before the end token, as
// transformers' truncation does, and returned in dropped; dropped is "" when
// everything fits.
func (t *CLIP) EncodePadded(text string, maxLen int) (ids, mask []int64, dropped string) {
	if maxLen <= 0 {
		maxLen = t.maxLength
	}
	body := t.Encode(text)
	if room := max(maxLen-2, 0); len(body) > room {
		dropped = t.Decode(body[room:])
		body = body[:room]
	}
	return frame(slices.Concat([]int{t.bos}, body, []int{t.eos}), t.pad, maxLen, dropped)
}

// frame fills tokens up to a length; mask is 0 on the padding.
func frame(tokens []int, pad, length int, dropped string) (ids, mask []int64, rest string) {
	ids, mask = make([]int64, length), make([]int64, length)
	for i := range ids {
		ids[i] = int64(pad)
		if i < len(tokens) {
			ids[i], mask[i] = int64(tokens[i]), 1
		}
	}
	return ids, mask, dropped
}

// Tokens is the length that a text needs, start and end included.
func (t *CLIP) Tokens(text string) int { return len(t.Encode(text)) + 2 }

// Decode returns the text of ids: words with one space between them. Unknown
// ids are left out and bytes that form no UTF-8 become U+FFFD.
func (t *CLIP) Decode(ids []int) string {
	var b strings.Builder
	for _, id := range ids {
		name := t.names[id]
		name, ends := strings.CutSuffix(name, wordEnd)
		for _, r := range name {
			if v, ok := symbolBytes[r]; ok {
				b.WriteByte(v)
			} else {
				b.WriteRune(r)
			}
		}
		if ends || t.hasWhole(func(a Added) bool { return a.ID == id }) {
			b.WriteByte(' ')
		}
	}
	return strings.ToValidUTF8(strings.TrimSpace(b.String()), "\uFFFD")
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
