package tokenizer

import (
	"bytes"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// pieceKind has the numbers of the file.
type pieceKind int

const (
	normalPiece  pieceKind = 1
	unknownPiece pieceKind = 2
	controlPiece pieceKind = 3
	userPiece    pieceKind = 4
	unusedPiece  pieceKind = 5
	bytePiece    pieceKind = 6
)

type piece struct {
	text  string
	score float32 // logarithm of the probability
	kind  pieceKind
}

// unigramModel is what both kinds of files hold.
type unigramModel struct {
	pieces       []piece // by id
	unk          int
	table        *charsmap // nil: characters stay as they are
	dummy        bool      // ▁ before the text
	suffix       bool      // and white space belongs to the word before it: ▁ behind the text
	collapse     bool      // spaces at the ends go, runs become one
	escape       bool      // space becomes ▁
	byteFallback bool      // unknown characters are spelt in bytes
}

// parseSentencePiece reads a ModelProto of the sentencepiece library (sentencepiece_model.proto).
func parseSentencePiece(name string, data []byte) (*unigramModel, error) {
	if bytes.HasPrefix(data, []byte("version https://git-lfs")) {
		return nil, &FileError{File: name, Msg: "is a pointer of Git LFS instead of the model; run git lfs pull, or download the file itself"}
	}
	m := &unigramModel{unk: -1, dummy: true, collapse: true, escape: true}
	err := eachField(name, data, func(num protowire.Number, value []byte, _ uint64) error {
		switch num {
		case 1:
			return m.addPiece(name, value)
		case 2:
			return m.readTrainer(name, value)
		case 3:
			return m.readNormalizer(name, value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, m.check(name)
}

// check finds the unknown piece.
func (m *unigramModel) check(name string) error {
	if len(m.pieces) == 0 {
		return &FileError{File: name, Msg: "holds no pieces; is this a SentencePiece model?"}
	}
	for id, p := range m.pieces {
		if p.kind != unknownPiece {
			continue
		}
		if m.unk >= 0 {
			return &FileError{File: name, Msg: fmt.Sprintf("pieces %d and %d are both the unknown piece", m.unk, id)}
		}
		m.unk = id
	}
	if m.unk < 0 {
		return &FileError{File: name, Msg: "lacks the unknown piece"}
	}
	return nil
}

// eachField calls visit for the fields of a message: with the bytes of texts and messages, or the bits of numbers.
func eachField(name string, data []byte, visit func(num protowire.Number, value []byte, bits uint64) error) error {
	for rest := data; len(rest) > 0; {
		num, typ, n := protowire.ConsumeTag(rest)
		var value []byte
		var bits uint64
		size := 0
		if n >= 0 {
			rest = rest[n:]
			value, bits, size = fieldValue(num, typ, rest)
		}
		if n < 0 || size < 0 {
			return &FileError{File: name, Msg: fmt.Sprintf("is cut off or no SentencePiece model: field %d", num), Err: protowire.ParseError(min(n, size))}
		}
		rest = rest[size:]
		if err := visit(num, value, bits); err != nil {
			return err
		}
	}
	return nil
}

func fieldValue(num protowire.Number, typ protowire.Type, rest []byte) (value []byte, bits uint64, size int) {
	switch typ {
	case protowire.BytesType:
		value, size = protowire.ConsumeBytes(rest)
	case protowire.VarintType:
		bits, size = protowire.ConsumeVarint(rest)
	case protowire.Fixed32Type:
		var v uint32
		v, size = protowire.ConsumeFixed32(rest)
		bits = uint64(v)
	default:
		size = protowire.ConsumeFieldValue(num, typ, rest)
	}
	return value, bits, size
}

func (m *unigramModel) addPiece(name string, data []byte) error {
	p := piece{kind: normalPiece}
	err := eachField(name, data, func(num protowire.Number, value []byte, bits uint64) error {
		switch num {
		case 1:
			p.text = string(value)
		case 2:
			p.score = math.Float32frombits(uint32(bits))
		case 3:
			p.kind = pieceKind(min(bits, 1<<16))
		}
		return nil
	})
	id := len(m.pieces)
	switch {
	case err != nil:
		return err
	case id == maxTokens:
		return &FileError{File: name, Msg: fmt.Sprintf("holds more than %d pieces", maxTokens)}
	case !utf8.ValidString(p.text):
		return &FileError{File: name, Msg: fmt.Sprintf("piece %d is no UTF-8 text", id)}
	case p.kind < normalPiece || p.kind > bytePiece || p.kind == bytePiece && !isBytePiece(p.text):
		return &FileError{File: name, Msg: fmt.Sprintf("piece %d (%q) cannot be of type %d", id, clip(p.text), p.kind)}
	}
	m.pieces = append(m.pieces, p)
	return nil
}

func isBytePiece(text string) bool { return text == fmt.Sprintf("<0x%02X>", byteOf(text)) }

// modelTypes are the kinds of models, by the file's numbers.
var modelTypes = map[uint64]string{2: "BPE", 3: "WORD", 4: "CHAR"}

// readTrainer reads the few settings of training that matter for encoding.
func (m *unigramModel) readTrainer(name string, data []byte) error {
	return eachField(name, data, func(num protowire.Number, _ []byte, bits uint64) error {
		switch num {
		case 3:
			if bits != 1 {
				return &FileError{File: name, Msg: fmt.Sprintf("holds a model of type %s; this tokenizer reads Unigram", orDefault(modelTypes[bits], fmt.Sprint(bits)))}
			}
		case 24:
			m.suffix = bits != 0
		case 35:
			m.byteFallback = bits != 0
		}
		return nil
	})
}

func (m *unigramModel) readNormalizer(name string, data []byte) error {
	return eachField(name, data, func(num protowire.Number, value []byte, bits uint64) (err error) {
		switch num {
		case 2:
			m.table, err = parseCharsmap(name, value)
		case 3:
			m.dummy = bits != 0
		case 4:
			m.collapse = bits != 0
		case 5:
			m.escape = bits != 0
		}
		return err
	})
}
