//go:build armbe || arm64be || m68k || mips || mips64 || mips64p32 || ppc || ppc64 || s390 || s390x || shbe || sparc || sparc64

package tensor

// Typed views alias little-endian bytes. On a big-endian machine they would be silently wrong, so the build stops here.
var _ = winnow_needs_a_little_endian_machine
