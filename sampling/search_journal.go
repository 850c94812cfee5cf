package sampling

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"math"
	"slices"
)

// A journal holds what a search has learnt, in the order that it asked: outputs of the network, scores of the verifier, and
// derivatives. A search is determined by its seed and these answers, so one that was interrupted goes on by taking them from the
// journal, whatever its method, and ends with the same picture. Its budget counts them like others.
//
// A record is: kind (1 byte), hash of the question (8), number of values (4), the values (4 or 8 bytes each), CRC-32 of all that (4);
// little-endian. The end of a journal that was cut off is left out and written again.

// JournalError is a journal that belongs to another search.
type JournalError struct {
	Record int // from 1
	Why    string
}

func (e *JournalError) Error() string {
	return fmt.Sprintf("sampling: record %d of the journal %s; remove the journal to start again", e.Record, e.Why)
}

const (
	headRecord    = 'h' // no value
	modelRecord   = 'm' // float32 values
	verifyRecord  = 'v' // float64 values
	scoreRecord   = 's' // float64 values: scores that come with
	slopeRecord   = 'd' // float32 values: derivatives of them
	forwardRecord = 'f' // float32 values: the output of a network that is gone back through
	backRecord    = 'b' // float32 values: the derivative with respect to its input
)

// JournalFile is what a journal is kept in: *os.File is one.
type JournalFile interface {
	io.ReadWriteSeeker
	Truncate(size int64) error
}

type journal struct {
	f      JournalFile
	in     *bufio.Reader // nil: behind the last record
	end    int64         // of the records read
	record int
}

// Journaled is a problem, and what methods that climb need, whose answers are kept in f, and taken from there while it has some. settings
// tells searches apart: a journal of other settings is a *JournalError.
func Journaled(p Problem, g Gradients, f JournalFile, settings string) (Problem, Gradients, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return p, g, err
	}
	j := &journal{f: f, in: bufio.NewReaderSize(f, 1<<20)}
	first := fnv.New64a()
	_, _ = io.WriteString(first, settings)
	if err := j.answer(headRecord, first.Sum64(), 0, 4, nil, func() error { return nil }); err != nil {
		return p, g, err
	}
	model, verify, recall := p.Model, p.Verify, p.Recall
	p.Model = func(ctx context.Context, dst, x []float32, t float64) error {
		return j.answer(modelRecord, question(x, t), len(dst), 4, dst, func() error { return model(ctx, dst, x, t) })
	}
	p.Verify = func(ctx context.Context, x []float32, images int) ([]float64, error) {
		var fresh []float64
		asked := false
		err := j.answer(verifyRecord, question(x, float64(images)), images, 8, &fresh, func() (err error) {
			asked = true
			fresh, err = verify(ctx, x, images)
			if err == nil && len(fresh) != images {
				err = fmt.Errorf("sampling: the verifier gave %d scores for %d images", len(fresh), images)
			}
			return err
		})
		if err == nil && !asked && recall != nil {
			err = recall(ctx, x, images, slices.Clone(fresh))
		}
		return fresh, err
	}
	return p, j.gradients(g), nil
}

// question is a hash of what was asked.
func question(x []float32, t float64) uint64 {
	h := fnv.New64a()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], math.Float64bits(t))
	_, _ = h.Write(b[:])
	for _, v := range x {
		binary.LittleEndian.PutUint32(b[:4], math.Float32bits(v))
		_, _ = h.Write(b[:4])
	}
	return h.Sum64()
}

// answer fills into from the journal, or else by ask, and then keeps it. into is []float32 or *[]float64, of n values.
func (j *journal) answer(kind byte, asked uint64, n, width int, into any, ask func() error) error {
	if found, err := j.take(kind, asked, n, width, into); found || err != nil {
		return err
	}
	if err := ask(); err != nil {
		return err
	}
	return j.write(kind, asked, payloadOf(into, n))
}

// take fills into from the journal, if that is not at its end.
func (j *journal) take(kind byte, asked uint64, n, width int, into any) (found bool, err error) {
	j.record++
	if j.in == nil {
		return false, nil
	}
	payload, err := j.read(kind, asked, n, width)
	if err == nil {
		fill(into, payload, n)
		return true, nil
	}
	if !errors.Is(err, io.EOF) {
		return false, err
	}
	j.in = nil
	if err := j.f.Truncate(j.end); err != nil {
		return false, err
	}
	_, err = j.f.Seek(j.end, io.SeekStart)
	return false, err
}

const journalHead = 1 + 8 + 4

// read is the values of the next record; io.EOF where there is none that is whole.
func (j *journal) read(kind byte, asked uint64, n, width int) ([]byte, error) {
	data := make([]byte, journalHead+n*width+4)
	if _, err := io.ReadFull(j.in, data[:journalHead]); err != nil {
		return nil, io.EOF
	}
	switch {
	case data[0] != kind || binary.LittleEndian.Uint64(data[1:]) != asked:
		return nil, &JournalError{j.record, "answers another question than this search asks: settings, model or program have changed"}
	case binary.LittleEndian.Uint32(data[9:]) != uint32(n):
		return nil, &JournalError{j.record, "has another number of values"}
	}
	if _, err := io.ReadFull(j.in, data[journalHead:]); err != nil {
		return nil, io.EOF
	}
	body := data[:len(data)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(data[len(body):]) {
		return nil, io.EOF // what was being written when the machine stopped
	}
	j.end += int64(len(data))
	return body[journalHead:], nil
}

func (j *journal) write(kind byte, asked uint64, payload []byte) error {
	width := 4
	if kind == verifyRecord || kind == scoreRecord {
		width = 8
	}
	data := make([]byte, journalHead, journalHead+len(payload)+4)
	data[0] = kind
	binary.LittleEndian.PutUint64(data[1:], asked)
	binary.LittleEndian.PutUint32(data[9:], uint32(len(payload)/width))
	data = append(data, payload...)
	data = binary.LittleEndian.AppendUint32(data, crc32.ChecksumIEEE(data))
	_, err := j.f.Write(data)
	j.end += int64(len(data))
	return err
}

func fill(into any, payload []byte, n int) {
	switch v := into.(type) {
	case []float32:
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(payload[4*i:]))
		}
	case *[]float64:
		*v = make([]float64, n)
		for i := range *v {
			(*v)[i] = math.Float64frombits(binary.LittleEndian.Uint64(payload[8*i:]))
		}
	}
}

func payloadOf(into any, n int) (payload []byte) {
	switch v := into.(type) {
	case []float32:
		for _, x := range v {
			payload = binary.LittleEndian.AppendUint32(payload, math.Float32bits(x))
		}
	case *[]float64:
		for _, x := range (*v)[:n] {
			payload = binary.LittleEndian.AppendUint64(payload, math.Float64bits(x))
		}
	}
	return payload
}
