//go:build !unix

package kernel

// cpuSeconds is not known here; benchmarks then report wall-clock rates only.
func cpuSeconds() float64 { return 0 }
