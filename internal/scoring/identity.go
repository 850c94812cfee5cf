package scoring

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"winnow/assets"
	"winnow/rewards"
)

// identity is everything that a reward's raw scores depend on. Where its files lie and how its scores are transformed or
// weighed afterwards does not belong to it.
type identity struct {
	Info     rewards.Info `json:"info"`
	Weights  string       `json:"weights_sha256,omitempty"` // of all files; "" for rewards that run elsewhere
	Executor string       `json:"executor"`
}

// embeddedModel is what Info.Model says of the reward inside the binary.
const embeddedModel = "embedded"

// identify describes a reward for the store; where the store is nil nothing is remembered.
func identify(ctx context.Context, store *Store, r rewards.Reward, executor string) (text, weights string, err error) {
	id := identity{Info: r.Info(), Executor: executor}
	if _, local := r.(*rewards.Model); local {
		if id.Weights, err = weightsOf(ctx, store, id.Info.Model); err != nil {
			return "", "", err
		}
		id.Info.Model = ""
	}
	data, err := json.Marshal(id)
	return string(data), id.Weights, err
}

// weightsOf is the SHA-256 over names and contents of the files of a model: weights, tokenizer, configuration. A reference
// distribution, hidden files and texts for readers do not change its scores.
func weightsOf(ctx context.Context, store *Store, folder string) (string, error) {
	var fsys fs.FS
	if folder == embeddedModel {
		fsys, store = assets.MiniReward(), nil
	} else {
		abs, err := filepath.Abs(folder)
		if err != nil {
			return "", err
		}
		folder, fsys = abs, os.DirFS(abs)
	}
	all := sha256.New()
	err := fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if base := e.Name(); strings.HasPrefix(base, ".") && base != "." {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if e.IsDir() || e.Name() == "reference.json" || strings.EqualFold(filepath.Ext(name), ".md") {
			return nil
		}
		sum, err := fileSum(ctx, store, fsys, folder, name)
		if err == nil && sum != nil {
			fmt.Fprintf(all, "%s\x00%x\n", name, sum)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("checksum of the reward's files: %w", err)
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// fileSum is nil for a link to a folder: such links are not followed.
func fileSum(ctx context.Context, store *Store, fsys fs.FS, folder, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil || info.IsDir() {
		return nil, err
	}
	sum := func() ([]byte, error) {
		f, err := fsys.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return nil, err
		}
		return h.Sum(nil), nil
	}
	if store == nil {
		return sum()
	}
	return store.weights(ctx, filepath.Join(folder, filepath.FromSlash(name)), info.Size(), info.ModTime().UnixNano(), sum)
}
