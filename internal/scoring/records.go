package scoring

import (
	"context"
	"errors"
	"fmt"

	"winnow/datasets"
	"winnow/rewards"
)

// PictureError is a picture that has no score; the other pictures of its row do.
type PictureError struct {
	File  string // of the set
	Row   int
	Image string
	Err   error
}

// Error names file, row and picture; where the row's prompt is to blame, file and row.
func (e *PictureError) Error() string {
	if long := (*rewards.PromptTooLongError)(nil); errors.As(e.Err, &long) {
		return fmt.Sprintf("%s, row %d: %v", e.File, e.Row, e.Err)
	}
	return fmt.Sprintf("%s, row %d: picture %s: %v", e.File, e.Row, e.Image, e.Err)
}

func (e *PictureError) Unwrap() error { return e.Err }

// Problems are the errors of a record's pictures, each message once.
func Problems(results []Result) []error {
	var out []error
	seen := map[string]bool{}
	for _, r := range results {
		if r.Err != nil && !seen[r.Err.Error()] {
			seen[r.Err.Error()] = true
			out = append(out, r.Err)
		}
	}
	return out
}

// Records scores the pictures of records that come one after the other.
type Records struct {
	scorer  *Scorer
	file    string
	use     func(*datasets.Record, []Result) error
	waiting []datasets.Record
	count   int // pictures of waiting
}

// NewRecords hands every record with one result per picture to use, in order; a Result.Err is a *PictureError. file names the
// set in errors.
func NewRecords(s *Scorer, file string, use func(*datasets.Record, []Result) error) *Records {
	return &Records{scorer: s, file: file, use: use}
}

// Add takes the next record. Scores come a chunk of pictures at a time, so use is called later, at the end by Flush.
func (b *Records) Add(ctx context.Context, rec *datasets.Record) error {
	b.waiting = append(b.waiting, *rec)
	b.count += len(rec.Images)
	if b.count < ChunkSize {
		return nil
	}
	return b.Flush(ctx)
}

// Flush scores what waits.
func (b *Records) Flush(ctx context.Context) error {
	items := make([]Item, 0, b.count)
	for r := range b.waiting {
		rec := &b.waiting[r]
		for i := range rec.Images {
			items = append(items, Item{Name: rec.Images[i].Name(), Prompt: rec.Prompt, Load: rec.Images[i].Bytes})
		}
	}
	results, err := b.scorer.Score(ctx, items)
	if err != nil {
		return err
	}
	for r := range b.waiting {
		rec := &b.waiting[r]
		mine := results[:len(rec.Images)]
		results = results[len(rec.Images):]
		for i := range mine {
			if mine[i].Err != nil {
				mine[i].Err = &PictureError{b.file, rec.Row, rec.Images[i].Name(), mine[i].Err}
			}
		}
		if err := b.use(rec, mine); err != nil {
			return err
		}
	}
	b.waiting, b.count = b.waiting[:0], 0
	return nil
}
