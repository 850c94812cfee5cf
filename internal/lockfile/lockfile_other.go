//go:build !windows && (!unix || solaris || illumos || aix)

package lockfile

import "os"

// lock holds nobody off here: these systems have no lock that ends with the process and spares its other files.
func lock(*os.File) error { return nil }
