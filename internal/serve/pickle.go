package serve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// Opcodes of Python's pickle (Lib/pickletools.py) that data is made of. What makes objects of classes, asks for persistent ids,
// extension codes or buffers outside is missing, and so refused.
const (
	opMark       = '('
	opStop       = '.'
	opPop        = '0'
	opPopMark    = '1'
	opFloat      = 'F'
	opInt        = 'I'
	opBinInt     = 'J'
	opBinInt1    = 'K'
	opBinInt2    = 'M'
	opLong       = 'L'
	opNone       = 'N'
	opReduce     = 'R'
	opBinUnicode = 'X'
	opAppend     = 'a'
	opBuild      = 'b'
	opGlobal     = 'c'
	opDict       = 'd'
	opEmptyDict  = '}'
	opAppends    = 'e'
	opGet        = 'g'
	opBinGet     = 'h'
	opLongBinGet = 'j'
	opList       = 'l'
	opEmptyList  = ']'
	opPut        = 'p'
	opBinPut     = 'q'
	opLongBinPut = 'r'
	opSetItem    = 's'
	opTuple      = 't'
	opEmptyTuple = ')'
	opSetItems   = 'u'
	opBinFloat   = 'G'

	opProto        = 0x80
	opTuple1       = 0x85
	opTuple2       = 0x86
	opTuple3       = 0x87
	opTrue         = 0x88
	opFalse        = 0x89
	opLong1        = 0x8a
	opBinBytes     = 'B'
	opShortBytes   = 'C'
	opShortUnicode = 0x8c
	opBinUnicode8  = 0x8d
	opBinBytes8    = 0x8e
	opStackGlobal  = 0x93
	opMemoize      = 0x94
	opFrame        = 0x95
	opByteArray8   = 0x96
)

// maxOps bounds the opcodes of a pickle: each may take more memory than its byte. 256 pictures with their metadata take some
// thousands.
const maxOps = 1 << 20

// Values of a pickle are nil, bool, int64, float64, string, []byte (parts of the input), *pyList, pyTuple, map[string]any,
// *ndarray, *dtype and global. They may hold each other in circles: nothing here walks deeper than it must.
type (
	pyList  struct{ items []any }
	pyTuple []any
	// global is a name that the whitelist of reduce knows.
	global string
)

// unpickle reads a pickle of plain data: numbers, text, bytes, lists, tuples, dicts with text as keys, and numpy's scalars and arrays.
// It is a reader for a format, not an interpreter: nothing is imported, and a name in the pickle is looked up in a fixed list of
// seven that are numpy's own way to write arrays. Bytes of the result share data's memory.
func unpickle(data []byte) (any, error) {
	u := unpickler{rest: data, memo: map[int]any{}}
	v, err := u.run()
	if err != nil {
		return nil, fmt.Errorf("the pickle at byte %d: %w", len(data)-len(u.rest), err)
	}
	return v, nil
}

type unpickler struct {
	rest  []byte
	stack []any
	marks []int // lengths of stack
	memo  map[int]any
}

var (
	errCut   = errors.New("it breaks off")
	errStack = errors.New("it takes from an empty stack")
)

func (u *unpickler) run() (any, error) {
	for range maxOps {
		op, err := u.byte()
		if err != nil {
			return nil, err
		}
		if op == opStop {
			return u.pop()
		}
		if err := u.step(op); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("it has more than %d instructions", maxOps)
}

func (u *unpickler) step(op byte) error {
	switch op {
	case opProto:
		_, err := u.byte()
		return err
	case opFrame:
		_, err := u.take(8)
		return err
	case opMark:
		u.marks = append(u.marks, len(u.stack))
		return nil
	case opPop:
		if n := len(u.marks); n > 0 && u.marks[n-1] == len(u.stack) {
			u.marks = u.marks[:n-1]
			return nil
		}
		_, err := u.pop()
		return err
	case opPopMark:
		_, err := u.popMark()
		return err
	case opPut, opBinPut, opLongBinPut, opMemoize, opGet, opBinGet, opLongBinGet:
		return u.remember(op)
	case opGlobal, opStackGlobal, opReduce, opBuild:
		return u.object(op)
	case opNone, opTrue, opFalse, opInt, opBinInt, opBinInt1, opBinInt2, opLong, opLong1, opFloat, opBinFloat:
		return u.number(op)
	case opBinUnicode, opShortUnicode, opBinUnicode8, opBinBytes, opShortBytes, opBinBytes8, opByteArray8:
		return u.text(op)
	}
	return u.container(op)
}

func (u *unpickler) byte() (byte, error) {
	b, err := u.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (u *unpickler) take(n uint64) ([]byte, error) {
	if n > uint64(len(u.rest)) {
		return nil, errCut
	}
	b := u.rest[:n:n]
	u.rest = u.rest[n:]
	return b, nil
}

// uint reads a little-endian number of size bytes.
func (u *unpickler) uint(size uint64) (uint64, error) {
	b, err := u.take(size)
	if err != nil {
		return 0, err
	}
	var all [8]byte
	copy(all[:], b)
	return binary.LittleEndian.Uint64(all[:]), nil
}

func (u *unpickler) line() (string, error) {
	const longest = 256
	end := bytes.IndexByte(u.rest[:min(len(u.rest), longest)], '\n')
	if end < 0 {
		return "", errCut
	}
	b, err := u.take(uint64(end) + 1)
	return string(b[:end]), err
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

// pop takes a value, but none from below the last mark.
func (u *unpickler) pop() (any, error) {
	n, floor := len(u.stack), 0
	if len(u.marks) > 0 {
		floor = u.marks[len(u.marks)-1]
	}
	if n <= floor {
		return nil, errStack
	}
	v := u.stack[n-1]
	u.stack = u.stack[:n-1]
	return v, nil
}

// popMark takes what was pushed since the last mark. The slice is a copy.
func (u *unpickler) popMark() ([]any, error) {
	n := len(u.marks)
	if n == 0 {
		return nil, errors.New("it has no mark")
	}
	at := u.marks[n-1]
	u.marks = u.marks[:n-1]
	out := append([]any(nil), u.stack[at:]...)
	u.stack = u.stack[:at]
	return out, nil
}

func (u *unpickler) popN(n int) ([]any, error) {
	out := make([]any, n)
	for i := n - 1; i >= 0; i-- {
		var err error
		if out[i], err = u.pop(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// top is the value at the end of the stack, which stays.
func (u *unpickler) top() (any, error) {
	v, err := u.pop()
	if err == nil {
		u.push(v)
	}
	return v, err
}

func (u *unpickler) remember(op byte) error {
	var at uint64
	var err error
	switch op {
	case opMemoize:
		at = uint64(len(u.memo))
	case opBinPut, opBinGet:
		at, err = u.uint(1)
	case opLongBinPut, opLongBinGet:
		at, err = u.uint(4)
	default:
		var text string
		if text, err = u.line(); err == nil {
			at, err = strconv.ParseUint(text, 10, 31)
		}
	}
	if err != nil {
		return err
	}
	if op == opGet || op == opBinGet || op == opLongBinGet {
		v, ok := u.memo[int(at)]
		if !ok {
			return fmt.Errorf("it recalls value %d, which it has not stored", at)
		}
		u.push(v)
		return nil
	}
	v, err := u.top()
	if err == nil {
		u.memo[int(at)] = v
	}
	return err
}

func (u *unpickler) number(op byte) error {
	var v any
	var n uint64
	var err error
	switch op {
	case opNone:
	case opTrue, opFalse:
		v = op == opTrue
	case opBinInt:
		n, err = u.uint(4)
		v = int64(int32(n))
	case opBinInt1:
		n, err = u.uint(1)
		v = int64(n)
	case opBinInt2:
		n, err = u.uint(2)
		v = int64(n)
	case opBinFloat:
		var b []byte
		if b, err = u.take(8); err == nil {
			v = math.Float64frombits(binary.BigEndian.Uint64(b))
		}
	case opLong1:
		v, err = u.long()
	default:
		v, err = u.written(op)
	}
	if err == nil {
		u.push(v)
	}
	return err
}

// long reads an integer of any length, as far as it fits 64 bits.
func (u *unpickler) long() (int64, error) {
	n, err := u.uint(1)
	if err != nil || n == 0 {
		return 0, err
	}
	if n > 8 {
		return 0, errors.New("an integer is beyond 64 bits")
	}
	v, err := u.uint(n)
	shift := 64 - 8*n
	return int64(v<<shift) >> shift, err
}

// written reads a number that stands there as text.
func (u *unpickler) written(op byte) (any, error) {
	text, err := u.line()
	if err != nil {
		return nil, err
	}
	switch {
	case op == opFloat:
		return strconv.ParseFloat(text, 64)
	case op == opInt && text == "00", op == opInt && text == "01":
		return text == "01", nil
	case op == opLong && len(text) > 0 && text[len(text)-1] == 'L':
		text = text[:len(text)-1]
	}
	return strconv.ParseInt(text, 10, 64)
}

func (u *unpickler) text(op byte) error {
	size := 8
	switch op {
	case opShortUnicode, opShortBytes:
		size = 1
	case opBinUnicode, opBinBytes:
		size = 4
	}
	n, err := u.uint(uint64(size))
	if err != nil {
		return err
	}
	b, err := u.take(n)
	if err != nil {
		return err
	}
	switch op {
	case opBinUnicode, opShortUnicode, opBinUnicode8:
		if !utf8.Valid(b) {
			b = bytes.ToValidUTF8(b, []byte("\uFFFD")) // Python writes lone surrogates so
		}
		u.push(string(b))
	default:
		u.push(b)
	}
	return nil
}
