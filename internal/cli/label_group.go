package cli

import (
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/disintegration/imaging"

	"winnow/datasets"
	"winnow/dpo"
	"winnow/internal/imageproc"
	"winnow/internal/labelling"
)

// group writes the pictures of one prompt as one ranking.
func (r *labelRun) group(rec *datasets.Record, scores []float64) error {
	var known []int // places of pictures with a score
	for i, s := range scores {
		if !math.IsNaN(s) {
			known = append(known, i)
		}
	}
	var err error
	if n := r.o.rule.Select; n > 0 && n < len(known) {
		if known, err = diverse(rec, scores, known, n); err != nil {
			return err
		}
	}
	out := datasets.Record{
		Kind: datasets.KindGroup, ID: fmt.Sprint(r.sum.Pairs), Prompt: rec.Prompt, Category: rec.Category,
		Label: math.NaN(), Soft: math.NaN(), Confidence: math.NaN(), Weight: 1,
	}
	var pictures []datasets.Image
	for _, i := range known {
		out.Scores, pictures = append(out.Scores, scores[i]), append(pictures, rec.Images[i])
	}
	if len(known) < 2 || slices.Max(out.Scores) == slices.Min(out.Scores) {
		r.sum.Without++
		return nil
	}
	out.Rank = labelling.Ranks(out.Scores)
	r.sum.Pairs++
	r.sum.Gap += slices.Max(out.Scores) - slices.Min(out.Scores)
	return r.put(&out, pictures...)
}

// diverse are n of the places in known: the best and the worst picture and those that look least like the ones before. What a picture looks
// like are the colours of its 8×8 parts, around grey.
func diverse(rec *datasets.Record, scores []float64, known []int, n int) ([]int, error) {
	var values []float64
	var looks [][]float32
	for _, i := range known {
		data, err := rec.Images[i].Bytes()
		if err != nil {
			return nil, err
		}
		img, err := imageproc.Decode(rec.Images[i].Name(), data, imageproc.DefaultLimits)
		if err != nil {
			return nil, err
		}
		values, looks = append(values, scores[i]), append(looks, colours(img))
	}
	var out []int
	for _, k := range dpo.DiverseExtremes(values, looks, n) {
		out = append(out, known[k])
	}
	slices.Sort(out)
	return out, nil
}

func colours(img image.Image) []float32 {
	small := imaging.Resize(img, 8, 8, imaging.Box)
	var out []float32
	for k, v := range small.Pix {
		if k%4 != 3 {
			out = append(out, float32(v)-127.5)
		}
	}
	return out
}
