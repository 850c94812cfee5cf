package ort

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unsafe"
)

// CPU is the provider that every library has.
const CPU = "cpu"

// provider describes one execution provider.
type provider struct {
	name   string // as the library calls it
	device string // memory in which saved activations stay, "" for ordinary memory
	append func(l *Library, options uintptr) error
	cure   string // how to get a library that has it
}

// providers are the execution providers by the name that --executor takes after the colon.
var providers = map[string]provider{
	CPU: {name: "CPUExecutionProvider", append: func(*Library, uintptr) error { return nil }},
	"cuda": {
		name: "CUDAExecutionProvider", device: "Cuda", append: (*Library).appendCUDA,
		cure: "`pip install onnxruntime-gpu` has it; the CUDA and cuDNN libraries of the version that it was built for must be on the loader path",
	},
	"tensorrt": {
		name: "TensorrtExecutionProvider", device: "Cuda", append: (*Library).appendTensorRT,
		cure: "`pip install onnxruntime-gpu tensorrt` has it; the TensorRT, CUDA and cuDNN libraries must be on the loader path",
	},
	"coreml": {
		name: "CoreMLExecutionProvider", append: (*Library).appendCoreML,
		cure: "`pip install onnxruntime` on macOS has it",
	},
	"directml": {
		name: "DmlExecutionProvider", device: "DML", append: (*Library).appendDirectML,
		cure: "`pip install onnxruntime-directml` on Windows has it",
	},
}

// ProviderNames lists the providers that this package can use, CPU first.
func ProviderNames() []string {
	names := slices.Sorted(maps.Keys(providers))
	i := slices.Index(names, CPU)
	return append([]string{CPU}, slices.Delete(names, i, i+1)...)
}

// ProviderError says that an execution provider cannot be used.
type ProviderError struct {
	Provider string // as --executor takes it
	Library  string // path
	Why      string
	Cure     string
	Err      error // what ONNX Runtime said, nil if the library lacks the provider
}

// Error names provider, library, cause and cure.
func (e *ProviderError) Error() string {
	return fmt.Sprintf("executor onnxruntime:%s: %s (library %s); %s", e.Provider, e.Why, e.Library, e.Cure)
}

// Unwrap returns what ONNX Runtime said.
func (e *ProviderError) Unwrap() error { return e.Err }

// lacks returns the error for a provider that the library does not contain, nil if it has it.
func (l *Library) lacks(name string) error {
	if l.Has(name) {
		return nil
	}
	return &ProviderError{
		Provider: name, Library: l.Path, Cure: providers[name].cure,
		Why: "this ONNX Runtime does not contain the provider; it has " + strings.Join(l.Providers, ", "),
	}
}

// configure appends a provider to session options.
func (l *Library) configure(options uintptr, name string) error {
	p := providers[name]
	if err := p.append(l, options); err != nil {
		return &ProviderError{Provider: name, Library: l.Path, Why: err.Error(), Cure: p.cure, Err: err}
	}
	return nil
}

func (l *Library) appendCUDA(options uintptr) error {
	var cuda uintptr
	if err := l.do(apiCreateCUDAProviderOptions, uintptr(unsafe.Pointer(&cuda))); err != nil {
		return err
	}
	defer l.release(apiReleaseCUDAProviderOptions, cuda)
	return l.do(apiAppendExecutionProviderCUDAV2, options, cuda)
}

// appendTensorRT adds CUDA behind TensorRT, for the nodes that TensorRT does not take.
func (l *Library) appendTensorRT(options uintptr) error {
	var rt uintptr
	if err := l.do(apiCreateTensorRTProviderOptions, uintptr(unsafe.Pointer(&rt))); err != nil {
		return err
	}
	defer l.release(apiReleaseTensorRTProviderOptions, rt)
	if err := l.do(apiAppendExecutionProviderTensorRTV2, options, rt); err != nil {
		return err
	}
	return l.appendCUDA(options)
}

// appendCoreML uses the general function, which knows CoreML from release 1.20 on, and the older one of its own before.
func (l *Library) appendCoreML(options uintptr) error {
	if own, err := symbol(l.handle, "OrtSessionOptionsAppendExecutionProvider_CoreML"); l.API < 20 && err == nil {
		return l.status(call(own, options, 0))
	}
	name := cstring("CoreML")
	return l.do(apiAppendExecutionProvider, options, uintptr(unsafe.Pointer(name)), 0, 0, 0)
}

// appendDirectML also switches off what DirectML does not support.
func (l *Library) appendDirectML(options uintptr) error {
	own, err := symbol(l.handle, "OrtSessionOptionsAppendExecutionProvider_DML")
	if err != nil {
		return err
	}
	if err := l.do(apiDisableMemPattern, options); err != nil {
		return err
	}
	if err := l.do(apiSetSessionExecutionMode, options, sequential); err != nil {
		return err
	}
	return l.status(call(own, options, 0))
}
