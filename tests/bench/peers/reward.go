package main

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"

	"winnow/internal/imageproc"
	"winnow/internal/kernel"
	"winnow/internal/tensor"
	"winnow/rewards"
)

// Pictures that the way from files to scores begins with.
const (
	pictureWidth  = 1216
	pictureHeight = 832
)

// runReward measures the vision tower of a reward against the peer and, in the same rounds, the whole way from picture
// files through package rewards: decoding, letterbox, network, score.
func runReward(ctx context.Context, s settings) error {
	s.model = filepath.Join(s.reward, "vision_model.onnx")
	in := map[string]tensor.Tensor{"pixel_values": tensor.New(tensor.F32, s.batch, 3, 224, 224)}
	r := rand.New(rand.NewPCG(7, 7))
	for i := range in["pixel_values"].F32() {
		in["pixel_values"].F32()[i] = float32(r.NormFloat64())
	}
	ours, whole := side{name: "winnow " + kernel.Selected()}, side{name: "winnow, files to scores"}
	prog, closeAll, err := load(s, in, &ours)
	if err != nil {
		return err
	}
	defer closeAll()
	printStats(prog.Stats())
	theirs, err := startPeer(ctx, s, "worker.py", s.model, in)
	if err != nil {
		return err
	}
	score, closeReward, err := scoring(ctx, s, &whole)
	if err != nil {
		return err
	}
	defer closeReward()
	var out map[string]tensor.Tensor
	err = inTurn(s, theirs.call, ours.timed(func() (err error) {
		out, err = prog.Run(ctx, in)
		return err
	}), whole.timed(score))
	if err != nil {
		return err
	}
	return report(s, "ViT-H/14", theirs, out["image_embeds"], &ours, &whole)
}

// scoring opens the reward and returns a call that scores a batch of files, others each time: features of pictures seen
// before are kept.
func scoring(ctx context.Context, s settings, whole *side) (score func() error, closeAll func(), err error) {
	folder, err := os.MkdirTemp("", "winnow-pictures-")
	if err != nil {
		return nil, nil, err
	}
	clean := func() { os.RemoveAll(folder) }
	if err := writePictures(folder, s.batch*(s.repeats+1)); err != nil {
		return nil, clean, err
	}
	var model *rewards.Model
	open := whole.timed(func() (err error) {
		model, err = rewards.Open(ctx, rewards.HPSv21, s.reward, &rewards.Options{Threads: s.threads})
		return err
	})
	if err := open(true); err != nil {
		return nil, clean, err
	}
	whole.load, whole.runs = whole.runs[0], nil
	next := 0
	return func() error {
		images := make([]image.Image, s.batch)
		for i := range images {
			name := pictureName(folder, next)
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if images[i], err = imageproc.DecodeModes(name, data, imageproc.Limits{}); err != nil {
				return err
			}
			next++
		}
		_, err := model.Score(ctx, "a photo of a cat", images)
		return err
	}, func() { clean(); model.Close() }, nil
}

func pictureName(folder string, i int) string { return filepath.Join(folder, fmt.Sprintf("%d.png", i)) }

// writePictures writes PNG files of smooth colours with some noise, about as large as those of generated pictures.
func writePictures(folder string, n int) error {
	r := rand.New(rand.NewPCG(5, 5))
	for i := range n {
		img := image.NewNRGBA(image.Rect(0, 0, pictureWidth, pictureHeight))
		for y := range pictureHeight {
			for x := range pictureWidth {
				noise := byte(r.IntN(16))
				img.SetNRGBA(x, y, color.NRGBA{byte(x/8+i*31) + noise, byte(y/8+i*17) + noise, byte((x+y)/16) + noise, 255})
			}
		}
		f, err := os.Create(pictureName(folder, i))
		if err != nil {
			return err
		}
		encoder := png.Encoder{CompressionLevel: png.BestSpeed}
		if err := encoder.Encode(f, img); err != nil {
			f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
