//go:build !amd64 || noasm

package kernel

// bestLevel is the plain Go loops: no assembly in this build.
func bestLevel() level { return levelRef }
