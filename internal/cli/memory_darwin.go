package cli

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// memory is the size of main memory in bytes; what programs can still get is not known here.
func memory() (total, free uint64) {
	total, _ = unix.SysctlUint64("hw.memsize") // 0 when it fails: not known
	return total, 0
}

// mostHeld is the most memory that a process held, in bytes; 0 when it is not known.
func mostHeld(p *os.ProcessState) float64 {
	if u, ok := p.SysUsage().(*syscall.Rusage); ok {
		return float64(u.Maxrss)
	}
	return 0
}
