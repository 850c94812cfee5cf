//go:build !((linux || darwin || windows) && (amd64 || arm64)) || android || noort

package ort

import "errors"

// loadable says whether this build can load a shared library.
const loadable = false

var errNotLoadable = errors.New("this build of winnow cannot load shared libraries")

func openShared(string) (uintptr, error) { return 0, errNotLoadable }

func symbol(uintptr, string) (uintptr, error) { return 0, errNotLoadable }

func call(uintptr, ...uintptr) uintptr { return 0 }
