package ort

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"winnow/internal/graph"
	"winnow/internal/onnx"
	"winnow/internal/tensor"
)

// externalFolder is the session option that says where external data of a model in memory lies.
const externalFolder = "session.model_external_initializers_file_folder_path"

// session is a compiled model. It is safe for concurrent use.
type session struct {
	lib     *Library
	g       *graph.Graph
	inputs  map[string]string // names of the graph's inputs in the model; a reverse graph has outputs of the same name
	outputs []output
	device  uintptr // OrtMemoryInfo of values that stay with ONNX Runtime
	side    []value // memory of weights that are in no file

	mu  sync.RWMutex // held for reading by runs, so that close waits for them
	ptr uintptr      // OrtSession; 0 when closed
}

var errClosed = errors.New("the program is closed")

// newSession writes a graph for inputs of the given types and loads it. Errors are typed, see failure.go.
func (e *Executor) newSession(g *graph.Graph, types map[string]graph.Type) (*session, error) {
	model, err := onnx.Write(g, &onnx.WriteOptions{Inputs: types, MaxInline: e.maxInline})
	if err != nil {
		return nil, err
	}
	s := &session{lib: e.lib, g: g, inputs: map[string]string{}, device: e.device}
	for _, id := range g.Inputs {
		s.inputs[g.Value(id).Name] = model.Names[id]
	}
	for _, id := range g.Outputs {
		s.outputs = append(s.outputs, output{name: g.Value(id).Name, inModel: model.Names[id]})
	}
	var options uintptr
	if err := e.lib.do(apiCreateSessionOptions, uintptr(unsafe.Pointer(&options))); err != nil {
		return nil, err
	}
	defer e.lib.release(apiReleaseSessionOptions, options)
	if err := e.setOptions(options, model.Folder); err != nil {
		return nil, err
	}
	if s.side, err = e.lib.addSide(options, model.Side); err != nil {
		return nil, err
	}
	if err := e.lib.do(apiCreateSessionFromArray, e.lib.env, uintptr(unsafe.Pointer(unsafe.SliceData(model.Bytes))),
		uintptr(len(model.Bytes)), options, uintptr(unsafe.Pointer(&s.ptr))); err != nil {
		s.close()
		return nil, compileFailure(g, err)
	}
	if err := s.checkOutputs(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// checkOutputs refuses outputs that are no tensors, or tensors of a type that package tensor does not hold.
func (s *session) checkOutputs() error {
	for i, id := range s.g.Outputs {
		dt, err := s.outputType(i)
		if err != nil {
			return err
		}
		if dt.Size() > 0 {
			continue
		}
		n := producer(s.g, id)
		return &graph.UnsupportedError{
			Source: s.g.Source, Node: n.Label(), Op: n.Op, Domain: n.Domain, Opset: n.Opset,
			Why: fmt.Sprintf("output %q is no tensor of a common element type", s.outputs[i].name),
		}
	}
	return nil
}

// producer is the node that makes a value, a node without operator when none does.
func producer(g *graph.Graph, id graph.ValueID) *graph.Node {
	i := slices.IndexFunc(g.Nodes, func(n graph.Node) bool { return slices.Contains(n.Outputs, id) })
	if i < 0 {
		return &graph.Node{Index: -1}
	}
	return &g.Nodes[i]
}

// outputType is the element type of output i, Invalid when there is none.
func (s *session) outputType(i int) (tensor.DType, error) {
	var info, tensorInfo uintptr
	if err := s.lib.do(apiSessionGetOutputTypeInfo, s.ptr, uintptr(i), uintptr(unsafe.Pointer(&info))); err != nil {
		return 0, err
	}
	defer s.lib.release(apiReleaseTypeInfo, info)
	if err := s.lib.do(apiCastTypeInfoToTensorInfo, info, uintptr(unsafe.Pointer(&tensorInfo))); err != nil || tensorInfo == 0 {
		return 0, err
	}
	var elem int32
	err := s.lib.do(apiGetTensorElementType, tensorInfo, uintptr(unsafe.Pointer(&elem)))
	return fromElementType(elem), err
}

// setOptions fills session options in.
func (e *Executor) setOptions(options uintptr, folder string) error {
	if e.opt.Threads > 0 {
		if err := e.lib.do(apiSetIntraOpNumThreads, options, uintptr(e.opt.Threads)); err != nil {
			return err
		}
	}
	if folder != "" {
		if err := e.lib.setEntry(options, externalFolder, folder); err != nil {
			return err
		}
	}
	return e.lib.configure(options, e.opt.Provider)
}

func (l *Library) setEntry(options uintptr, key, text string) error {
	k, v := cstring(key), cstring(text)
	return l.do(apiAddSessionConfigEntry, options, uintptr(unsafe.Pointer(k)), uintptr(unsafe.Pointer(v)))
}

// addSide hands weights over that are neither in the model nor in files. It returns their memory, which must outlive the
// session; after an error nothing is left to free.
func (l *Library) addSide(options uintptr, side []onnx.Side) (memory []value, err error) {
	if len(side) == 0 {
		return nil, nil
	}
	var views []value // the same memory as values that do not own it, the form in which weights are taken
	defer func() {
		l.freeList(views)
		if err != nil {
			l.freeList(memory)
			memory = nil
		}
	}()
	var pin runtime.Pinner // the list of names is Go memory that points to Go memory
	defer pin.Unpin()
	names := make([]*byte, len(side))
	for i, w := range side {
		v, err := l.newValue(w.Tensor)
		if err != nil {
			return memory, err
		}
		memory = append(memory, v)
		view, err := l.viewOf(v, w.Tensor)
		if err != nil {
			return memory, err
		}
		views = append(views, view)
		names[i] = cstring(w.Name)
		pin.Pin(names[i])
	}
	return memory, l.do(apiAddExternalInitializers, options, uintptr(unsafe.Pointer(unsafe.SliceData(names))),
		uintptr(unsafe.Pointer(unsafe.SliceData(views))), uintptr(len(views)))
}

func (l *Library) freeList(values []value) {
	for _, v := range values {
		l.free(v)
	}
}

func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lib.release(apiReleaseSession, s.ptr)
	s.lib.freeList(s.side)
	s.ptr, s.side = 0, nil
}

// output is a result of a session.
type output struct {
	name, inModel string // of the graph, and in the written model
	keep          bool   // leave it on the device
}

// run computes the outputs as values, in order; the caller frees them. Inputs stay the caller's.
func (s *session) run(ctx context.Context, in map[string]value) ([]value, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.ptr == 0 {
		return nil, errClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	binding, err := s.bind(in)
	defer s.lib.release(apiReleaseIoBinding, binding)
	if err != nil {
		return nil, err
	}
	if err := s.runBound(ctx, binding); err != nil {
		return nil, err
	}
	var list unsafe.Pointer // OrtValue*[], allocated by l.alloc
	var n uintptr
	if err := s.lib.do(apiGetBoundOutputValues, binding, s.lib.alloc, uintptr(unsafe.Pointer(&list)), uintptr(unsafe.Pointer(&n))); err != nil {
		return nil, err
	}
	values := append([]value{}, unsafe.Slice((*value)(list), n)...)
	return values, s.lib.do(apiAllocatorFree, s.lib.alloc, uintptr(list))
}

// bind makes an OrtIoBinding, which the caller releases also after an error.
func (s *session) bind(in map[string]value) (binding uintptr, err error) {
	if err := s.lib.do(apiCreateIoBinding, s.ptr, uintptr(unsafe.Pointer(&binding))); err != nil {
		return 0, err
	}
	for name, v := range in {
		c := cstring(s.inputs[name])
		if err := s.lib.do(apiBindInput, binding, uintptr(unsafe.Pointer(c)), uintptr(v)); err != nil {
			return binding, err
		}
	}
	for _, o := range s.outputs {
		c, memory := cstring(o.inModel), s.lib.cpu
		if o.keep {
			memory = s.device
		}
		if err := s.lib.do(apiBindOutputToDevice, binding, uintptr(unsafe.Pointer(c)), memory); err != nil {
			return binding, err
		}
	}
	return binding, nil
}

// runBound runs the session; the end of the context stops it between two nodes.
func (s *session) runBound(ctx context.Context, binding uintptr) error {
	var options uintptr
	if err := s.lib.do(apiCreateRunOptions, uintptr(unsafe.Pointer(&options))); err != nil {
		return err
	}
	defer s.lib.release(apiReleaseRunOptions, options)
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = s.lib.do(apiRunOptionsSetTerminate, options) // the run then ends by itself
	})
	err := s.lib.do(apiRunWithBinding, s.ptr, options, binding)
	if !stop() {
		<-ended // options must outlive the call above
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return runFailure(s.g, err)
}

// newValues copies tensors into values; free releases them, also after an error.
func (s *session) newValues(in map[string]tensor.Tensor) (values map[string]value, free func(), err error) {
	values = make(map[string]value, len(in))
	free = func() { s.lib.freeAll(values) }
	for name, t := range in {
		v, err := s.lib.newValue(t)
		if err != nil {
			return values, free, err
		}
		values[name] = v
	}
	return values, free, nil
}

func (l *Library) freeAll(values map[string]value) {
	for _, v := range values {
		l.free(v)
	}
	clear(values)
}
