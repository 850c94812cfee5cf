package optim

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"winnow/internal/tensor"
)

// stepName is the name of the number of steps among the tensors of a state.
const stepName = "step"

// state is what an optimiser remembers: the number of steps, and tensors by name. The tensors are views of the optimiser's slices.
type state struct {
	steps   int64
	tensors map[string]tensor.Tensor
}

func newState() state { return state{tensors: map[string]tensor.Tensor{}} }

// floats adds a tensor of zeros and returns its elements.
func (s *state) floats(name string, shape ...int) []float32 {
	t := tensor.New(tensor.F32, shape...)
	s.tensors[name] = t
	return t.F32()
}

// bytes adds a tensor of zeros and returns its elements.
func (s *state) bytes(name string, shape ...int) []uint8 {
	t := tensor.New(tensor.U8, shape...)
	s.tensors[name] = t
	return t.U8()
}

// State implements Optimizer.
func (s *state) State() map[string]tensor.Tensor {
	out := maps.Clone(s.tensors)
	out[stepName] = tensor.FromI64([]int64{s.steps})
	return out
}

// Restore implements Optimizer.
func (s *state) Restore(from map[string]tensor.Tensor) error {
	steps, err := stepsOf(from)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.tensors)) {
		want := s.tensors[name]
		got, ok := from[name]
		if !ok {
			return fmt.Errorf("state: no tensor %q: it belongs to other parameters or another optimizer", name)
		}
		if got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) || len(got.Data) != len(want.Data) {
			return fmt.Errorf("state: tensor %q is %v, want %v: it belongs to other parameters or another optimizer", name, got, want)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if _, ok := s.tensors[name]; !ok && name != stepName {
			return fmt.Errorf("state: tensor %q is not part of this optimizer's state: it belongs to other parameters or another optimizer", name)
		}
	}
	s.steps = steps
	for name, t := range s.tensors {
		copy(t.Data, from[name].Data)
	}
	return nil
}

func stepsOf(from map[string]tensor.Tensor) (int64, error) {
	t, ok := from[stepName]
	if !ok || t.DType != tensor.I64 || len(t.Data) != 8 {
		return 0, fmt.Errorf("state: %q must be one int64: this is no optimizer's state", stepName)
	}
	n := int64(binary.LittleEndian.Uint64(t.Data)) // not a view: a mapped file need not be aligned
	if n < 0 {
		return 0, fmt.Errorf("state: %q is %d and must not be negative: the state is damaged", stepName, n)
	}
	return n, nil
}
