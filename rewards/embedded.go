package rewards

import (
	"io/fs"

	"winnow/assets"
)

// embedded is the folder of the reward inside the binary.
func embedded() fs.FS { return assets.MiniReward() }
