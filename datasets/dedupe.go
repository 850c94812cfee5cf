package datasets

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// Deduper finds records that were there before. It keeps 16 bytes a record.
type Deduper struct {
	Prompt bool // two records with the same prompt are the same (with Images: if their pictures are, too)
	Images bool // two records with the same pictures, by content and in any order, are the same
	seen   map[[16]byte]struct{}
}

// Seen says whether a record is the same as an earlier one. With Images its pictures are read, and a picture that cannot be
// read is an error. A record without pictures is only compared by its prompt.
func (d *Deduper) Seen(r *Record) (bool, error) {
	h := sha256.New()
	if d.Prompt || len(r.Images) == 0 {
		key := promptKey(r.Prompt)
		_, _ = h.Write(key[:])
	}
	if d.Images {
		sums := make([][]byte, 0, len(r.Images))
		for i := range r.Images {
			data, err := r.Images[i].Bytes()
			if err != nil {
				return false, err
			}
			sum := sha256.Sum256(data)
			sums = append(sums, sum[:])
		}
		slices.SortFunc(sums, bytes.Compare)
		for _, sum := range sums {
			_, _ = h.Write(sum)
		}
	}
	key := [16]byte(h.Sum(nil)[:16])
	if _, ok := d.seen[key]; ok {
		return true, nil
	}
	if d.seen == nil {
		d.seen = map[[16]byte]struct{}{}
	}
	d.seen[key] = struct{}{}
	return false, nil
}
