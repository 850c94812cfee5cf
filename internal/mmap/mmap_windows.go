package mmap

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

func mapFile(f *os.File, size int) (data []byte, free func([]byte) error, err error) {
	n := uint64(size)
	h, err := windows.CreateFileMapping(windows.Handle(f.Fd()), nil, windows.PAGE_READONLY, uint32(n>>32), uint32(n), nil)
	if err != nil {
		return nil, nil, os.NewSyscallError("CreateFileMapping", err)
	}
	defer windows.CloseHandle(h) // the view keeps the mapping alive
	addr, err := windows.MapViewOfFile(h, windows.FILE_MAP_READ, 0, 0, uintptr(size))
	if err != nil {
		return nil, nil, os.NewSyscallError("MapViewOfFile", err)
	}
	// The address comes from the system, not from a Go pointer; reading it through a pointer to it says so to vet.
	data = unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), size)
	return data, func([]byte) error { return windows.UnmapViewOfFile(addr) }, nil
}

// adviseMapped: unlocking pages that are not locked removes them from the working set; that is how Windows lets go of
// file pages. Prefetch is left to the system's own read-ahead.
func adviseMapped(b []byte, a advice) {
	if a == adviceRelease {
		_ = windows.VirtualUnlock(uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	}
}
