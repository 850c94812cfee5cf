package kernel

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// level is an instruction-set level; higher levels include lower ones.
type level int

const (
	levelRef level = iota
	levelAVX2
	levelAVX512
)

var levelNames = []string{"ref", "avx2", "avx512"}

// selected is the level in use. It changes only in init and in Select.
var selected = initial()

func initial() level {
	best := bestLevel()
	if want := os.Getenv("WINNOW_KERNEL"); want != "" {
		i := slices.Index(levelNames, want)
		if i < 0 || level(i) > best {
			fmt.Fprintf(os.Stderr, "winnow: WINNOW_KERNEL=%s is not available here; using %s (available: %s)\n",
				want, levelNames[best], strings.Join(Available(), ", "))
			return best
		}
		return level(i)
	}
	return best
}

// Available lists the implementations that this processor, operating system and
// build can run, slowest first. "ref" is always among them.
func Available() []string { return slices.Clone(levelNames[:bestLevel()+1]) }

// Selected returns the name of the implementation in use.
func Selected() string { return levelNames[selected] }

// Select chooses the implementation: "ref", "avx2" or "avx512". It is meant for
// tests and benchmarks and must not run at the same time as any kernel. Matrices
// packed earlier stay valid: they remember the implementation they were packed for.
func Select(name string) error {
	i := slices.Index(levelNames, name)
	if i < 0 {
		return fmt.Errorf("kernel: unknown implementation %q, want one of %s", name, strings.Join(levelNames, ", "))
	}
	if level(i) > bestLevel() {
		return fmt.Errorf("kernel: implementation %q cannot run here; available: %s", name, strings.Join(Available(), ", "))
	}
	selected = level(i)
	return nil
}
