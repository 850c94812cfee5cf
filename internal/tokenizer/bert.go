package tokenizer

import (
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// BERTOptions are the settings that tokenizer_config.json carries. The zero value is bert-base-cased; Uncased makes it
// bert-base-uncased.
type BERTOptions struct {
	Uncased   bool // lower case, and accents dropped
	MaxLength int  // length of a padded text in tokens; 0: 512
	// AllowSpecial matches special tokens such as [SEP] written in the text, as transformers does. Without it they are
	// ordinary text, so that a prompt cannot end itself.
	AllowSpecial bool
}

// maxWordRunes is the length from which a word is taken as unknown without being looked at.
const maxWordRunes = 100

// BERT is the WordPiece tokenizer of BERT (Devlin et al. 2019) as transformers 5 has it (BertTokenizer, a setting of the
// Rust library tokenizers: BertNormalizer, BertPreTokenizer, WordPiece). It is safe for concurrent use.
type BERT struct {
	ids                map[string]int
	names              []string
	cls, sep, pad, unk int
	uncased            bool
	maxLength          int
	special            []Added // matched whole in the text
}

// OpenBERT reads a tokenizer folder: vocab.txt, one token a line, with do_lower_case and model_max_length of
// tokenizer_config.json where present. source names the folder in errors, which are *FileError.
func OpenBERT(fsys fs.FS, source string) (*BERT, error) {
	var config struct {
		Lower     *bool   `json:"do_lower_case"`
		MaxLength float64 `json:"model_max_length"`
	}
	if err := readOptional(fsys, source, "tokenizer_config.json", &config); err != nil {
		return nil, err
	}
	opt := &BERTOptions{Uncased: config.Lower == nil || *config.Lower}
	if config.MaxLength >= 2 && config.MaxLength <= maxPadded {
		opt.MaxLength = int(config.MaxLength)
	}
	name := path.Join(source, "vocab.txt")
	f, err := fsys.Open("vocab.txt")
	if err != nil {
		return nil, &FileError{File: name, Msg: "cannot be opened", Err: err}
	}
	defer f.Close()
	return loadBERT(name, f, opt)
}

// LoadBERT reads a vocabulary: one token a line, the first has id 0. A malformed file is a *FileError.
func LoadBERT(vocabTXT io.Reader, opt *BERTOptions) (*BERT, error) {
	return loadBERT("vocab.txt", vocabTXT, opt)
}

func loadBERT(name string, r io.Reader, opt *BERTOptions) (*BERT, error) {
	data, err := readLimited(name, r)
	if err != nil {
		return nil, err
	}
	if opt == nil {
		opt = &BERTOptions{}
	}
	t := &BERT{ids: map[string]int{}, uncased: opt.Uncased, maxLength: opt.MaxLength}
	if t.maxLength == 0 {
		t.maxLength = 512
	}
	for line := range strings.Lines(string(data)) {
		token := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if _, again := t.ids[token]; again {
			return nil, &FileError{File: name, Line: len(t.names) + 1, Msg: fmt.Sprintf("token %q is there twice", clip(token))}
		}
		if len(t.names) == min(maxTokens, math.MaxInt32) {
			return nil, &FileError{File: name, Msg: fmt.Sprintf("holds more than %d tokens", maxTokens)}
		}
		t.ids[token] = len(t.names)
		t.names = append(t.names, token)
	}
	return t, t.setSpecials(name, opt.AllowSpecial)
}

// setSpecials looks the special tokens up. [MASK] is matched in texts but need not be there.
func (t *BERT) setSpecials(name string, match bool) error {
	for _, s := range []struct {
		token string
		id    *int
	}{{"[CLS]", &t.cls}, {"[SEP]", &t.sep}, {"[PAD]", &t.pad}, {"[UNK]", &t.unk}, {"[MASK]", new(int)}} {
		id, ok := t.ids[s.token]
		if !ok && s.token != "[MASK]" {
			return &FileError{File: name, Msg: fmt.Sprintf("the special token %s is missing; is this a BERT vocabulary?", s.token)}
		}
		*s.id = id
		if match && ok {
			t.special = append(t.special, Added{Content: s.token, ID: id})
		}
	}
	return nil
}

// CLS is the id of the token that begins a text.
func (t *BERT) CLS() int { return t.cls }

// SEP is the id of the token that ends a text.
func (t *BERT) SEP() int { return t.sep }

// Pad is the id that fills a text up to its length.
func (t *BERT) Pad() int { return t.pad }

// MaxLength is the number of tokens of a padded text, start and end included.
func (t *BERT) MaxLength() int { return t.maxLength }

// VocabSize is the number of tokens known.
func (t *BERT) VocabSize() int { return len(t.names) }

// Tokens is the length that a text needs, start and end included.
func (t *BERT) Tokens(text string) int { return len(t.Encode(text)) + 2 }

// Encode returns the ids of a text without start and end tokens.
func (t *BERT) Encode(text string) []int {
	var ids []int
	scanWhole(strings.ToValidUTF8(text, "\uFFFD"), t.special, func(whole *Added, segment string) {
		if whole != nil {
			ids = append(ids, whole.ID)
			return
		}
		for _, word := range bertWords(t.normalize(segment)) {
			ids = t.appendWord(ids, word)
		}
	})
	return ids
}

// EncodePadded returns exactly maxLen ids: [CLS], text, [SEP], padding; and a mask with 0 on padding. A maxLen of 0 or less
// means MaxLength. Text that does not fit is cut before [SEP] and returned in dropped; dropped is "" when everything fits.
func (t *BERT) EncodePadded(text string, maxLen int) (ids, mask []int64, dropped string) {
	if maxLen <= 0 {
		maxLen = t.maxLength
	}
	body := t.Encode(text)
	if room := max(maxLen-2, 0); len(body) > room {
		dropped = t.Decode(body[room:])
		body = body[:room]
	}
	return frame(slices.Concat([]int{t.cls}, body, []int{t.sep}), t.pad, maxLen, dropped)
}

// Decode returns the text of ids: words with one space between them, pieces joined. Unknown ids are left out.
func (t *BERT) Decode(ids []int) string {
	var b strings.Builder
	for _, id := range ids {
		if id < 0 || id >= len(t.names) {
			continue
		}
		piece, inside := strings.CutPrefix(t.names[id], "##")
		if !inside && b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(piece)
	}
	return b.String()
}

// appendWord splits a word into the longest pieces of the vocabulary, from the left; all but the first carry "##". A word
// that does not come out even is one unknown token.
func (t *BERT) appendWord(ids []int, word string) []int {
	ends := make([]int, 0, len(word))
	for i := range word {
		ends = append(ends, i)
	}
	ends = append(ends[min(1, len(ends)):], len(word))
	if len(ends) > maxWordRunes {
		return append(ids, t.unk)
	}
	begin, first := 0, len(ids)
	for begin < len(word) {
		at := -1
		for i := len(ends) - 1; i >= 0 && ends[i] > begin; i-- {
			piece := word[begin:ends[i]]
			if begin > 0 {
				piece = "##" + piece
			}
			if id, ok := t.ids[piece]; ok {
				ids, at = append(ids, id), ends[i]
				break
			}
		}
		if at < 0 {
			return append(ids[:first], t.unk)
		}
		begin = at
	}
	return ids
}

// normalize cleans a text: control characters go, white space becomes a space, ideographs get spaces around them; and for
// uncased vocabularies accents go and letters become small.
func (t *BERT) normalize(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			b.WriteByte(' ')
		case r == 0 || r == unicode.ReplacementChar || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co):
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case isIdeograph(r):
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	if !t.uncased {
		return b.String()
	}
	var low strings.Builder
	for _, r := range norm.NFD.String(b.String()) {
		if !unicode.Is(unicode.Mn, r) {
			writeLower(&low, r)
		}
	}
	return low.String()
}

// isIdeograph covers the blocks that BERT was trained with spaces around.
func isIdeograph(r rune) bool {
	for _, b := range [][2]rune{
		{0x4E00, 0x9FFF},
		{0x3400, 0x4DBF},
		{0x20000, 0x2A6DF},
		{0x2A700, 0x2B73F},
		{0x2B740, 0x2B81F},
		{0x2B820, 0x2CEAF},
		{0xF900, 0xFAFF},
		{0x2F800, 0x2FA1F},
	} {
		if r >= b[0] && r <= b[1] {
			return true
		}
	}
	return false
}

// bertWords splits at white space and takes every punctuation mark as a word of its own.
func bertWords(s string) []string {
	var words []string
	begin := -1
	flush := func(end int) {
		if begin >= 0 {
			words = append(words, s[begin:end])
			begin = -1
		}
	}
	for i, r := range s {
		switch {
		case unicode.IsSpace(r):
			flush(i)
		case isPunctuation(r):
			flush(i)
			words = append(words, string(r))
		case begin < 0:
			begin = i
		}
	}
	flush(len(s))
	return words
}

// isPunctuation is true for all of ASCII that is no letter, digit, space or control character, and for category P.
func isPunctuation(r rune) bool {
	if r < unicode.MaxASCII {
		return r > ' ' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != 0x7F
	}
	return unicode.IsPunct(r)
}
