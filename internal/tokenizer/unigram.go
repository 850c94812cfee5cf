package tokenizer

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// UnigramOptions are the settings beside the model file. The zero value is T5's use.
type UnigramOptions struct {
	// SigLIP treats texts as transformers' SiglipTokenizer does: lower case, no ASCII punctuation, white space as one space.
	SigLIP    bool
	KeepCase  bool   // with SigLIP: letters stay as they are
	EOS       string // token put last; "" means </s>
	Pad       string // token that fills up to the length; "" means <pad> where the model has it and SigLIP is off, else EOS
	MaxLength int    // length of a padded text in tokens; 0: 512, with SigLIP 64
}

// Unigram is SentencePiece's tokenizer of the type Unigram (Kudo 2018), as in T5 and SigLIP. It gives the ids of the
// sentencepiece library and of transformers' SiglipTokenizer. The Rust library tokenizers, on which transformers 5 has T5,
// replaces characters by grapheme instead of by the longest match and takes U+0085 for a space: ids of texts with several
// combining marks on a letter, with conjoining Hangul or with that character can differ from its own. Special tokens
// written in a text are ordinary text. It is safe for concurrent use.
type Unigram struct {
	model     *unigramModel
	ids       map[string]int
	known     prefixes // pieces that Viterbi may take
	whole     prefixes // user-defined pieces: not normalized, always taken
	bytes     [256]int // ids of the byte pieces, for byte fallback
	low, high float32  // least and greatest score of a normal piece

	siglip, keepCase bool
	unkLength        int // tokens of the text "<unk>", see canonicalIDs
	eos, pad         int
	maxLength        int
}

// OpenUnigram reads a tokenizer folder: spiece.model, or tokenizer.json where only that exists, with the settings of
// tokenizer_config.json and special_tokens_map.json. Fields of opt that are not zero win over the files. source names the
// folder in errors, which are *FileError.
func OpenUnigram(fsys fs.FS, source string, opt *UnigramOptions) (*Unigram, error) {
	o, err := unigramSettings(fsys, source, opt)
	if err != nil {
		return nil, err
	}
	name := path.Join(source, "spiece.model")
	f, err := fsys.Open("spiece.model")
	if errors.Is(err, fs.ErrNotExist) {
		return openUnigramJSON(fsys, source, o)
	}
	if err != nil {
		return nil, &FileError{File: name, Msg: "cannot be opened", Err: err}
	}
	defer f.Close()
	data, err := readLimited(name, f)
	if err != nil {
		return nil, err
	}
	m, err := parseSentencePiece(name, data)
	if err != nil {
		return nil, err
	}
	return buildUnigram(name, m, o)
}

// unigramSettings merges the options of the caller with the optional files.
func unigramSettings(fsys fs.FS, source string, opt *UnigramOptions) (UnigramOptions, error) {
	var o UnigramOptions
	if opt != nil {
		o = *opt
	}
	var config struct {
		Class string `json:"tokenizer_class"`
		Lower *bool  `json:"do_lower_case"`
	}
	if err := readOptional(fsys, source, "tokenizer_config.json", &config); err != nil {
		return o, err
	}
	common, err := readSettings(fsys, source)
	if err != nil {
		return o, err
	}
	o.SigLIP = o.SigLIP || strings.HasPrefix(config.Class, "SiglipTokenizer")
	o.KeepCase = o.KeepCase || config.Lower != nil && !*config.Lower
	o.EOS = orDefault(orDefault(o.EOS, common.EOS), "</s>")
	o.Pad = orDefault(o.Pad, common.Pad)
	o.MaxLength = cmp.Or(o.MaxLength, common.MaxLength)
	return o, nil
}

// buildUnigram makes the tables of a model that has been checked, and finds the special tokens.
func buildUnigram(name string, m *unigramModel, o UnigramOptions) (*Unigram, error) {
	t := &Unigram{model: m, ids: make(map[string]int, len(m.pieces)), siglip: o.SigLIP, keepCase: o.KeepCase, maxLength: o.MaxLength}
	if t.maxLength == 0 {
		t.maxLength = 512
		if t.siglip {
			t.maxLength = 64
		}
	}
	if err := t.index(name); err != nil {
		return nil, err
	}
	if o.Pad == "" {
		o.Pad = o.EOS
		if _, ok := t.ids["<pad>"]; ok && !t.siglip {
			o.Pad = "<pad>"
		}
	}
	for _, s := range []struct {
		role, token string
		id          *int
	}{{"eos_token", o.EOS, &t.eos}, {"pad_token", o.Pad, &t.pad}} {
		id, ok := t.ids[s.token]
		if !ok {
			return nil, &FileError{File: name, Msg: fmt.Sprintf("%s %q is not in the vocabulary", s.role, clip(s.token))}
		}
		*s.id = id
	}
	t.unkLength = len(t.encodeText(m.pieces[m.unk].text))
	return t, nil
}

// EOS is the id of the token that ends a text.
func (t *Unigram) EOS() int { return t.eos }

// Pad is the id that fills a text up to its length.
func (t *Unigram) Pad() int { return t.pad }

// MaxLength is the number of tokens of a padded text, the end included.
func (t *Unigram) MaxLength() int { return t.maxLength }

// VocabSize is the number of pieces known.
func (t *Unigram) VocabSize() int { return len(t.model.pieces) }

// Tokens is the length that a text needs, the end included.
func (t *Unigram) Tokens(text string) int { return len(t.Encode(text)) + 1 }

// Encode returns the ids of a text without the end token.
func (t *Unigram) Encode(text string) []int {
	text = string([]rune(text)) // every byte that is not UTF-8 becomes U+FFFD
	if t.siglip {
		return t.canonicalIDs(text)
	}
	return t.encodeText(text)
}

// canonicalIDs is SiglipTokenizer. There every text begins with ▁, and "<unk>" stands before the canonical text while it
// is cut up; its pieces are then left out. Only so do texts that begin with punctuation or white space get the same ids.
func (t *Unigram) canonicalIDs(text string) []int {
	text = wordMark + canonical(strings.ReplaceAll(text, wordMark, " "), t.keepCase)
	ids := t.encodeText(t.model.pieces[t.model.unk].text + text)
	if len(ids) >= t.unkLength {
		ids = ids[t.unkLength:]
	}
	return ids
}

// encodeText is the library's Encode: normalize, cut up, join unknown characters in a row or spell them in bytes.
func (t *Unigram) encodeText(text string) []int {
	text = t.normalize(text)
	var ids []int
	for _, s := range t.segment(text) {
		switch {
		case s.id != t.model.unk:
			ids = append(ids, s.id)
		case t.model.byteFallback:
			for _, b := range []byte(text[s.from:s.to]) {
				ids = append(ids, t.bytes[b])
			}
		case len(ids) == 0 || ids[len(ids)-1] != t.model.unk:
			ids = append(ids, t.model.unk)
		}
	}
	return ids
}

// EncodePadded returns exactly maxLen ids: text, end, padding; and a mask with 0 on padding. A maxLen of 0 or less means
// MaxLength. Text that does not fit is cut before the end token and returned in dropped, where ⁇ stands for characters
// outside the vocabulary; dropped is "" when everything fits.
func (t *Unigram) EncodePadded(text string, maxLen int) (ids, mask []int64, dropped string) {
	if maxLen <= 0 {
		maxLen = t.maxLength
	}
	body := t.Encode(text)
	if room := max(maxLen-1, 0); len(body) > room {
		dropped = orDefault(t.Decode(body[room:]), " ") // a lone ▁ is lost text as well
		body = body[:room]
	}
	return frame(slices.Concat(body, []int{t.eos}), t.pad, maxLen, dropped)
}

// Decode returns the text of ids. Control pieces and ids outside the vocabulary are left out; bytes that form no UTF-8
// become U+FFFD.
func (t *Unigram) Decode(ids []int) string {
	var b strings.Builder
	for _, id := range ids {
		if id < 0 || id >= len(t.model.pieces) {
			continue
		}
		switch p := t.model.pieces[id]; p.kind {
		case controlPiece:
		case unknownPiece:
			b.WriteString("⁇")
		case bytePiece:
			b.WriteByte(byteOf(p.text))
		default:
			b.WriteString(strings.ReplaceAll(p.text, wordMark, " "))
		}
	}
	return strings.TrimSpace(strings.ToValidUTF8(b.String(), "\uFFFD"))
}
