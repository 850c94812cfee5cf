package sampling_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"strings"

	"winnow/sampling"
)

const schedulerConfig = `{
	"_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012,
	"beta_schedule": "scaled_linear", "timestep_spacing": "trailing"
}`

// gaussian is the exact noise prediction for points that come from a two-dimensional normal distribution with mean
// (1, −1) and standard deviations 0.5 and 0.1. It stands in for a U-Net.
func gaussian(schedule *sampling.NoiseSchedule) sampling.Denoiser {
	mean, std := [2]float64{1, -1}, [2]float64{0.5, 0.1}
	return func(_ context.Context, dst, x []float32, t float64) error {
		sigma := schedule.Sigma(t)
		signal := 1 / math.Sqrt(1+sigma*sigma)
		noise := sigma * signal
		for i, v := range x {
			variance := signal*signal*std[i%2]*std[i%2] + noise*noise
			dst[i] = float32((float64(v) - signal*mean[i%2]) * noise / variance)
		}
		return nil
	}
}

// Denoise a thousand points of a plane: what a picture's latents go through, in two dimensions.
func Example() {
	scheduler, err := sampling.ReadScheduler(strings.NewReader(schedulerConfig))
	if err != nil {
		log.Fatal(err)
	}
	plan, err := scheduler.Plan(50, nil)
	if err != nil {
		log.Fatal(err)
	}
	const points = 1000
	noise := make([]float32, 2*points)
	sampling.NewNoise(7)(noise, 0, 0)
	x, err := sampling.Sample(context.Background(), plan, noise, points, gaussian(scheduler.Schedule()), nil)
	if err != nil {
		log.Fatal(err)
	}
	var sum, square [2]float64
	for i, v := range x {
		sum[i%2] += float64(v)
		square[i%2] += float64(v) * float64(v)
	}
	for k := range 2 {
		mean := sum[k] / points
		fmt.Printf("mean %.1f, standard deviation %.1f\n", mean, math.Sqrt(square[k]/points-mean*mean))
	}
	// Output:
	// mean 1.0, standard deviation 0.5
	// mean -1.0, standard deviation 0.1
}

// A step is a pure function of a state, so a run can branch: here two continuations of one half-finished run, which
// differ by the noise that is added from there on.
func ExampleRun() {
	cfg, err := sampling.ReadConfig(strings.NewReader(schedulerConfig))
	if err != nil {
		log.Fatal(err)
	}
	if cfg, err = cfg.As("euler-a"); err != nil {
		log.Fatal(err)
	}
	scheduler, err := sampling.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	plan, err := scheduler.Plan(20, nil)
	if err != nil {
		log.Fatal(err)
	}
	model := gaussian(scheduler.Schedule())
	ctx := context.Background()

	noise := sampling.NewNoise(1)
	start := make([]float32, 2)
	noise(start, 0, 0)
	var half sampling.State
	_, err = sampling.Sample(ctx, plan, start, 1, model, &sampling.Options{Noise: noise, OnStep: func(s sampling.Step) error {
		if s.Index == 9 {
			half = s.Next
		}
		return nil
	}})
	if err != nil {
		log.Fatal(err)
	}
	for _, seed := range []uint64{2, 3} {
		end, err := sampling.Run(ctx, plan, half, model, &sampling.Options{Noise: sampling.NewNoise(seed)})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("from step %d with seed %d: %.2f\n", half.Index, seed, end.X)
	}
	// Output:
	// from step 10 with seed 2: [1.25 -1.06]
	// from step 10 with seed 3: [1.13 -0.97]
}

// Switching schedulers follows diffusers: what the file stores is carried over, what it leaves out takes the default of
// the new class.
func ExampleConfig_As() {
	cfg, err := sampling.ReadConfig(strings.NewReader(`{"_class_name": "PNDMScheduler", "steps_offset": 1, "beta_end": 0.012}`))
	if err != nil {
		log.Fatal(err)
	}
	euler, err := cfg.As("euler")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cfg.TimestepSpacing, cfg.StepsOffset, cfg.BetaEnd)
	fmt.Println(euler.TimestepSpacing, euler.StepsOffset, euler.BetaEnd)
	// Output:
	// leading 1 0.012
	// linspace 1 0.012
}

func ExampleGuide() {
	uncond, cond := []float32{0, 1}, []float32{1, 1}
	out := make([]float32, 2)
	sampling.Guide(out, uncond, cond, 7.5)
	fmt.Println(out)
	// Output: [7.5 1]
}
