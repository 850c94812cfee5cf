//go:build !linux && !darwin

package cli

import "os"

// memory is not known here.
func memory() (total, free uint64) { return 0, 0 }

// mostHeld is not known here.
func mostHeld(*os.ProcessState) float64 { return 0 }
