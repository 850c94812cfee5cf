package graph

import (
	"io"
	"os"
	"runtime"
	"strconv"

	"winnow/internal/kernel"
)

// Options steer Compile. The zero value and nil are ready to use.
type Options struct {
	// Threads is the number of workers; 0 means GOMAXPROCS. Ignored when Pool is set.
	Threads int
	// Pool runs the kernels. When nil the program makes its own, which Program.Close ends.
	Pool *kernel.Pool
	// Packs shares packed weights between programs of the same network; nil: the program's own.
	Packs *Packs
	// Release is told the bytes of every initializer that no kernel reads any more because all its readers packed it, so
	// that the owner of a file mapping can give the pages back. The bytes must stay readable.
	Release func(data []byte)
	// MaxArena is the largest memory for intermediate values, in bytes, that Compile accepts; 0 means 64 GiB.
	MaxArena int
	// CheckNaN makes Run fail at the first node that yields a NaN.
	CheckNaN bool
	// NoFusion and NoReuse switch rewrites and the sharing of memory off, to find faults.
	NoFusion, NoReuse bool
	// Paranoid fills unused memory with NaN and guards the ends of all blocks, to find faults in kernels.
	Paranoid bool
	// Debug is the level of messages on Log: 1 rewrites chosen, 2 time and bytes of each operator, 3 the memory plan,
	// 4 the first node that yields NaN. When 0 the environment variable WINNOW_DEBUG decides.
	Debug int
	// Log receives the messages; nil means standard error.
	Log io.Writer
}

func (o *Options) threads() int {
	switch {
	case o.Pool != nil:
		return o.Pool.Threads()
	case o.Threads > 0:
		return o.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// complete returns a copy with defaults filled in.
func (o *Options) complete() *Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.MaxArena == 0 {
		c.MaxArena = 64 << 30
	}
	if c.Packs == nil {
		c.Packs = &Packs{}
	}
	if c.Log == nil {
		c.Log = os.Stderr
	}
	if c.Debug == 0 {
		c.Debug, _ = strconv.Atoi(os.Getenv("WINNOW_DEBUG"))
	}
	return &c
}
