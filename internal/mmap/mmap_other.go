//go:build !windows && (!unix || aix)

package mmap

import "os"

func mapFile(f *os.File, size int) (data []byte, free func([]byte) error, err error) {
	data, err = readFile(f, size)
	return data, nil, err
}

func adviseMapped([]byte, advice) {}
