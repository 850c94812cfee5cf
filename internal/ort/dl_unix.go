//go:build (linux || darwin) && (amd64 || arm64) && !android && !noort

package ort

import "github.com/ebitengine/purego"

func openShared(path string) (uintptr, error) {
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

func symbol(library uintptr, name string) (uintptr, error) { return purego.Dlsym(library, name) }
