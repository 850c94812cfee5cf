package tokenizer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// scoredPiece is an entry of the vocabulary: [text, score].
type scoredPiece struct {
	text  string
	score float64
}

// UnmarshalJSON reads the pair.
func (p *scoredPiece) UnmarshalJSON(data []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("a vocabulary entry of %d values instead of text and score", len(pair))
	}
	if err := json.Unmarshal(pair[0], &p.text); err != nil {
		return err
	}
	return json.Unmarshal(pair[1], &p.score)
}

// jsonStep is a normalizer or a pre-tokenizer, or a sequence of them.
type jsonStep struct {
	Type      string     `json:"type"`
	Charsmap  string     `json:"precompiled_charsmap"` // base64
	Normal    []jsonStep `json:"normalizers"`
	Pre       []jsonStep `json:"pretokenizers"`
	Scheme    string     `json:"prepend_scheme"`
	AddPrefix *bool      `json:"add_prefix_space"` // the older form of the scheme
	Pattern   struct {
		String *string
		Regex  *string
	} `json:"pattern"`
}

// openUnigramJSON reads tokenizer.json of the Rust library tokenizers. What its steps do to white space is SentencePiece's
// own rule in other words, so the text goes through SentencePiece's normalizer; steps beyond that are an error, because
// they would silently give other ids.
func openUnigramJSON(fsys fs.FS, source string, o UnigramOptions) (*Unigram, error) {
	name := path.Join(source, "tokenizer.json")
	var file struct {
		Added      []addedSpecial `json:"added_tokens"`
		Normalizer *jsonStep      `json:"normalizer"`
		Pre        *jsonStep      `json:"pre_tokenizer"`
		Model      *struct {
			Type         string          `json:"type"`
			Unk          *int            `json:"unk_id"`
			ByteFallback bool            `json:"byte_fallback"`
			Vocab        json.RawMessage `json:"vocab"` // other types of models have it in another form
		} `json:"model"`
	}
	if err := readOptional(fsys, source, "tokenizer.json", &file); err != nil {
		return nil, err
	}
	switch {
	case file.Model == nil:
		return nil, &FileError{File: source, Msg: "holds neither spiece.model nor a tokenizer.json with a model", Err: fs.ErrNotExist}
	case file.Model.Type != "Unigram":
		return nil, &FileError{File: name, Msg: fmt.Sprintf("holds a %s model; this tokenizer reads Unigram", clip(file.Model.Type))}
	}
	var vocab []scoredPiece
	if err := json.Unmarshal(orEmpty(file.Model.Vocab), &vocab); err != nil {
		return nil, &FileError{File: name, Msg: "model.vocab is not a list of pairs of text and score", Err: err}
	}
	m := &unigramModel{unk: -1, dummy: true, collapse: true, escape: true, byteFallback: file.Model.ByteFallback}
	if err := m.setPieces(name, vocab, file.Model.Unk, file.Added); err != nil {
		return nil, err
	}
	if err := m.normalizers(name, file.Normalizer, &o); err != nil {
		return nil, err
	}
	if !m.preTokenizers(file.Pre) {
		return nil, &FileError{File: name, Msg: "pre_tokenizer: want Metaspace, alone or behind WhitespaceSplit"}
	}
	return buildUnigram(name, m, o)
}

func orEmpty(list json.RawMessage) json.RawMessage {
	if len(list) == 0 {
		return json.RawMessage("[]")
	}
	return list
}

// addedSpecial is a token of added_tokens.
type addedSpecial struct {
	ID      int    `json:"id"`
	Content string `json:"content"`
	Special bool   `json:"special"`
}

// setPieces tells the kinds of pieces from their names and from added_tokens.
func (m *unigramModel) setPieces(name string, vocab []scoredPiece, unk *int, added []addedSpecial) error {
	if len(vocab) > maxTokens {
		return &FileError{File: name, Msg: fmt.Sprintf("holds %d pieces; the limit is %d", len(vocab), maxTokens)}
	}
	for _, v := range vocab {
		p := piece{text: v.text, score: float32(v.score), kind: normalPiece}
		if m.byteFallback && isBytePiece(p.text) {
			p.kind = bytePiece
		}
		m.pieces = append(m.pieces, p)
	}
	for _, a := range added {
		if a.ID >= 0 && a.ID < len(m.pieces) && a.Special && m.pieces[a.ID].text == a.Content {
			m.pieces[a.ID].kind = controlPiece
		}
	}
	if unk != nil && *unk >= 0 && *unk < len(m.pieces) {
		m.pieces[*unk].kind = unknownPiece
	}
	return m.check(name)
}

// spaces are the patterns by which tokenizer.json files say SentencePiece's rules of white space.
var spaces = []string{" ", " {2,}", `\s+`, `\A +| +\z`, wordMark, `\A` + wordMark}

// normalizers reads the table of replacements. Lower case is SigLIP's.
func (m *unigramModel) normalizers(name string, s *jsonStep, o *UnigramOptions) error {
	fail := func(why string) error { return &FileError{File: name, Msg: "normalizer " + why} }
	if s == nil {
		return nil
	}
	switch s.Type {
	case "Sequence":
		for i := range s.Normal {
			if err := m.normalizers(name, &s.Normal[i], o); err != nil {
				return err
			}
		}
	case "Precompiled":
		data, err := base64.StdEncoding.DecodeString(s.Charsmap)
		if err != nil {
			return &FileError{File: name, Msg: "precompiled_charsmap is not base64", Err: err}
		}
		m.table, err = parseCharsmap(name, data)
		return err
	case "Lowercase":
		o.SigLIP = true
	case "Strip":
	case "Replace":
		if p := s.Pattern; !o.SigLIP && !(p.String != nil && slices.Contains(spaces, *p.String) || p.Regex != nil && slices.Contains(spaces, *p.Regex)) {
			return fail("Replace: only white space can be replaced")
		}
	default:
		return fail(fmt.Sprintf("%q is not known; known are Precompiled, Lowercase, Replace, Strip", clip(s.Type)))
	}
	return nil
}

// preTokenizers reports whether the text is cut at white space in SentencePiece's way.
func (m *unigramModel) preTokenizers(s *jsonStep) (found bool) {
	if s == nil {
		return false
	}
	switch s.Type {
	case "Sequence":
		for i := range s.Pre {
			switch {
			case s.Pre[i].Type == "WhitespaceSplit":
			case s.Pre[i].Type == "Sequence" || !m.preTokenizers(&s.Pre[i]):
				return false
			default:
				found = true
			}
		}
	case "Metaspace":
		m.dummy = s.Scheme != "never" && (s.AddPrefix == nil || *s.AddPrefix)
		return true
	}
	return found
}
