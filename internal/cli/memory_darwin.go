package cli

import "golang.org/x/sys/unix"

// memory is the size of main memory in bytes; what programs can still get is not known here.
func memory() (total, free uint64) {
	total, _ = unix.SysctlUint64("hw.memsize") // 0 when it fails: not known
	return total, 0
}
