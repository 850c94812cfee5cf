package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"winnow/datasets"
	"winnow/internal/labelling"
)

// existing reads the pictures of --data. Rows of several pictures stream; rows of one are collected by their prompt first, which keeps
// in memory only those that come inside the file.
func (r *labelRun) existing(ctx context.Context) (labelSource, error) {
	in := &r.o.data
	if _, err := r.app.countPictures(ctx, in); err != nil {
		return labelSource{}, err
	}
	groups, err := r.singles(ctx)
	if err != nil {
		return labelSource{}, err
	}
	total, err := r.countGroups()
	if err != nil {
		return labelSource{}, err
	}
	all := func(yield func(datasets.Record, error) bool) {
		reader, err := in.open(false)
		if err != nil {
			yield(datasets.Record{}, err)
			return
		}
		defer reader.Close()
		for rec, err := range reader.All() {
			if err == nil && len(rec.Images) < 2 {
				continue
			}
			if !yield(rec, err) {
				return
			}
		}
		for _, rec := range groups {
			if !yield(*rec, nil) {
				return
			}
		}
	}
	return labelSource{in.file, total + len(groups), all}, nil
}

// singles joins the rows of one picture by their prompts, in the order in which these first come.
func (r *labelRun) singles(ctx context.Context) ([]*datasets.Record, error) {
	reader, err := r.o.data.open(false)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	var groups []*datasets.Record
	of := map[string]*datasets.Record{}
	for rec, err := range reader.All() {
		var row *datasets.RowError
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.As(err, &row): // listed when the set is read again
			continue
		case err != nil:
			return nil, err
		case len(rec.Images) != 1:
			continue
		}
		if g, ok := of[rec.Prompt]; ok {
			g.Images = append(g.Images, rec.Images[0])
			continue
		}
		of[rec.Prompt] = &rec
		groups = append(groups, &rec)
	}
	return groups, nil
}

func (r *labelRun) countGroups() (n int, err error) {
	reader, err := r.o.data.open(true)
	if err != nil {
		return 0, err
	}
	defer reader.Close()
	for rec, err := range reader.All() {
		if err == nil && len(rec.Images) > 1 {
			n++
		}
	}
	return n, nil
}

// named reads the pictures that are in pairs, and names those that have no name of their own by their content.
func (r *labelRun) named(rec *datasets.Record, pairs []labelling.Pair) (map[int]datasets.Image, error) {
	pictures := map[int]datasets.Image{}
	for _, p := range pairs {
		for _, i := range []int{p.A, p.B} {
			if _, ok := pictures[i]; ok {
				continue
			}
			im := rec.Images[i]
			data, err := im.Bytes()
			if err != nil {
				return nil, fmt.Errorf("%s, row %d: %w", r.source.name, rec.Row, err)
			}
			if im.UID == "" {
				sum := sha256.Sum256(data)
				im.UID = hex.EncodeToString(sum[:16])
			}
			pictures[i] = im
		}
	}
	return pictures, nil
}

// put writes one row to every file: with the pictures themselves where they have to be inside, else by the path from the file.
func (r *labelRun) put(pair *datasets.Record, pictures ...datasets.Image) error {
	for k, w := range r.out {
		pair.Images = slices.Clone(pictures)
		for i := range pair.Images {
			im := &pair.Images[i]
			if k == 0 && im.File() != "" && len(im.Data) == 0 {
				path, err := relativeTo(r.o.lines(), im.File())
				if err != nil {
					return err
				}
				*im = datasets.Image{Path: path, UID: im.UID, Model: im.Model}
			}
		}
		if err := w.Write(pair); err != nil {
			return err
		}
	}
	return nil
}

// relativeTo is the path of a file as another file beside it names it; absolute where there is no way between the two.
func relativeTo(from, file string) (string, error) {
	from, err := filepath.Abs(filepath.Dir(from))
	if err != nil {
		return "", err
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(from, abs); err == nil {
		return filepath.ToSlash(rel), nil
	}
	return filepath.ToSlash(abs), nil
}
