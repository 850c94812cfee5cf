//go:build unix && !aix

package mmap

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func mapFile(f *os.File, size int) (data []byte, free func([]byte) error, err error) {
	data, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EACCES) { // some network and FUSE file systems cannot map
		data, err = readFile(f, size)
		return data, nil, err
	}
	return data, unix.Munmap, err
}

func adviseMapped(b []byte, a advice) {
	switch a {
	case adviceRelease:
		_ = unix.Madvise(b, unix.MADV_DONTNEED)
	case advicePrefetch:
		_ = unix.Madvise(b, unix.MADV_WILLNEED)
	}
}
