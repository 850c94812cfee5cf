//go:build amd64 && !noasm

package kernel

import "golang.org/x/sys/cpu"

// bestLevel reports the highest level that processor and operating system
// support (x/sys/cpu checks the saved register state by XGETBV).
func bestLevel() level {
	x := &cpu.X86
	switch {
	case x.HasAVX512F && x.HasAVX512BW && x.HasAVX512VL && x.HasAVX512DQ && x.HasBMI2 && x.HasFMA:
		return levelAVX512
	case x.HasAVX2 && x.HasFMA && x.HasBMI2:
		return levelAVX2
	}
	return levelRef
}
