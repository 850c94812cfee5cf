//go:build !windows

package atomicfile

import "github.com/google/renameio/v2"

type renameFile struct{ *renameio.PendingFile }

func create(path string) (pending, error) {
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644), renameio.WithExistingPermissions())
	return renameFile{f}, err
}

func (f renameFile) commit() error { return f.CloseAtomicallyReplace() }

func (f renameFile) abort() { _ = f.Cleanup() }
