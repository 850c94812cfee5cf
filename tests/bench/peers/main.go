// Command peers measures the embedded executor against a peer on one network, in one run: both are loaded, then
// called in turn with the same inputs, so that drifting load meets both alike.
//
//	peers -model DIR/model.onnx [-python python3] [-threads 2] [-repeats 3] [-batch 2] [-size 64]
//	peers -train [-rank 8] [-checkpoint] …    one step of LoRA training against torch and PEFT: forward and backward pass
//	peers -dpo [-batch 32] [-rank 8] …        a step of Diffusion-DPO on the embedded model against torch and PEFT
//	peers -reward DIR [-batch 8] …            the vision tower of a reward of HPSv2's type; besides, files to scores
//
// It prints load time, median and range of the time per call, its CPU time (which other load on the machine disturbs less),
// the ratios, peak resident memory of each process, and the largest difference of the outputs relative to the largest output.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"winnow/internal/graph"
	"winnow/internal/kernel"
	"winnow/internal/mmap"
	"winnow/internal/onnx"
	"winnow/internal/tensor"
)

// settings are the flags.
type settings struct {
	model, python, cpuProfile string
	threads, repeats          int
	batch, size               int
	train, checkpoint, dpo    bool
	rank                      int
	seed, reward              string
}

func main() {
	var s settings
	flag.StringVar(&s.model, "model", "", "ONNX file of the U-Net")
	flag.StringVar(&s.python, "python", "python3", "interpreter with onnxruntime; empty: no peer")
	flag.StringVar(&s.cpuProfile, "cpuprofile", "", "write a CPU profile of our calls here")
	flag.IntVar(&s.threads, "threads", 2, "threads of both")
	flag.IntVar(&s.repeats, "repeats", 3, "measured calls of each, after one unmeasured")
	flag.IntVar(&s.batch, "batch", 2, "batch size")
	flag.IntVar(&s.size, "size", 64, "height and width of the latents")
	flag.BoolVar(&s.train, "train", false, "forward and backward pass for a LoRA on the attention, against torch and PEFT")
	flag.BoolVar(&s.dpo, "dpo", false, "steps of Diffusion-DPO on the embedded model, -batch pairs each, against torch and PEFT")
	flag.BoolVar(&s.checkpoint, "checkpoint", false, "with -train or -dpo: gradient checkpointing on our side")
	flag.IntVar(&s.rank, "rank", 8, "with -train or -dpo: rank of the LoRA")
	flag.StringVar(&s.seed, "seed", "0", "with -train: seed that the network was exported with")
	flag.StringVar(&s.reward, "reward", "", "folder of a reward: measure its vision tower and the way from files to scores")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	job := run
	if s.train {
		job = runTrain
	}
	if s.dpo {
		job = runDPO
	}
	if s.reward != "" {
		job = runReward
	}
	if err := job(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// side is one contestant's figures.
type side struct {
	name string
	load float64   // seconds
	runs []float64 // seconds, sorted by report
	cpu  []float64 // seconds of CPU time of each run, all threads
	peak int64     // bytes; 0: not known
}

func run(ctx context.Context, s settings) error {
	in := inputs(s)
	ours := side{name: "winnow " + kernel.Selected()}
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
	var out map[string]tensor.Tensor
	err = inTurn(s, theirs.call, ours.timed(func() (err error) {
		out, err = prog.Run(ctx, in)
		return err
	}))
	if err != nil {
		return err
	}
	return report(s, fmt.Sprintf("latents %dx%d", s.size, s.size), theirs, out["out_sample"], &ours)
}

// timed is a call whose time is kept if it is measured.
func (c *side) timed(call func() error) func(measured bool) error {
	return func(measured bool) error {
		begin, cpu := time.Now(), cpuTime()
		err := call()
		if measured {
			c.runs, c.cpu = append(c.runs, time.Since(begin).Seconds()), append(c.cpu, cpuTime()-cpu)
		}
		return err
	}
}

// inTurn goes through the calls again and again, the first round unmeasured.
func inTurn(s settings, calls ...func(measured bool) error) error {
	stopProfile, err := profileTo(s.cpuProfile)
	if err != nil {
		return err
	}
	defer stopProfile()
	for i := range s.repeats + 1 {
		for _, call := range calls {
			if err := call(i > 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// inputs draws what a U-Net of Stable Diffusion takes.
func inputs(s settings) map[string]tensor.Tensor {
	r := rand.New(rand.NewPCG(7, 7))
	normal := func(shape ...int) tensor.Tensor {
		t := tensor.New(tensor.F32, shape...)
		for i := range t.F32() {
			t.F32()[i] = float32(r.NormFloat64())
		}
		return t
	}
	return map[string]tensor.Tensor{
		"sample":                normal(s.batch, 4, s.size, s.size),
		"timestep":              tensor.FromI64([]int64{481}, 1),
		"encoder_hidden_states": normal(s.batch, 77, 768),
	}
}

// load compiles the network, giving the mapped pages of each weight back once it is packed.
func load(s settings, in map[string]tensor.Tensor, ours *side) (*graph.Program, func(), error) {
	begin := time.Now()
	m, err := onnx.Open(s.model)
	if err != nil {
		return nil, nil, err
	}
	types := map[string]graph.Type{}
	for name, t := range in {
		types[name] = graph.Type{DType: t.DType, Shape: t.Shape}
	}
	p, err := graph.Compile(m.Graph, types, &graph.Options{Threads: s.threads, Release: mmap.Release})
	if err != nil {
		return nil, nil, err
	}
	ours.load = time.Since(begin).Seconds()
	return p, func() { p.Close(); m.Close() }, nil
}

func printStats(st graph.Stats) {
	fmt.Printf("%d nodes, %d after folding, %d steps; arena %.0f MiB, saved %.0f MiB, packed %.0f MiB, constants %.0f MiB, %.0f GFLOP\n",
		st.FileNodes, st.FoldedNodes, st.Steps, mib(st.ArenaBytes), mib(st.SavedBytes), mib(st.PackedBytes), mib(st.ConstBytes), st.Flops/1e9)
	names := make([]string, 0, len(st.Fused))
	for name, n := range st.Fused {
		names = append(names, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(names)
	fmt.Println("rewrites:", strings.Join(names, ", "))
}

func mib(n int) float64 { return float64(n) / (1 << 20) }

// report prints the table, first of ours being what the peer is compared with.
func report(s settings, what string, theirs *peer, out tensor.Tensor, ours ...*side) error {
	ours[0].peak = peakMemory()
	fmt.Printf("%s, %d threads, batch %d, %s, float32, %d calls each, in turn\n", processor(), s.threads, s.batch, what, s.repeats)
	fmt.Printf("%-24s %8s %10s %18s %10s %10s\n", "", "load s", "median s", "range s", "CPU s", "peak MiB")
	rows := ours
	if theirs != nil {
		worst, err := theirs.finish(out)
		if err != nil {
			return err
		}
		rows = append(rows, &theirs.side)
		difference := ""
		if out.DType != tensor.Invalid {
			difference = fmt.Sprintf("; largest difference %.2g of the largest output", worst)
		}
		defer fmt.Printf("ratio of medians %.3f, of CPU time %.3f%s\n",
			median(ours[0].runs)/median(theirs.runs), median(ours[0].cpu)/median(theirs.cpu), difference)
	}
	for _, r := range rows {
		slices.Sort(r.runs)
		peak := ""
		if r.peak > 0 {
			peak = fmt.Sprintf("%.0f", mib(int(r.peak)))
		}
		fmt.Printf("%-24s %8.1f %10.3f %18s %10.3f %10s\n", r.name, r.load, median(r.runs),
			fmt.Sprintf("%.3f to %.3f", r.runs[0], r.runs[len(r.runs)-1]), median(r.cpu), peak)
	}
	return nil
}

// median of at least one number.
func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	n := len(x)
	return (x[n/2] + x[(n-1)/2]) / 2
}

// peakMemory is the largest resident size of this process so far (Linux; 0 elsewhere).
func peakMemory() int64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// cpuTime is the time that all threads of this process have run so far, in seconds (Linux; 0 elsewhere).
func cpuTime() float64 {
	const ticks = 100 // a second; the same on every Linux that Go runs on
	data, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ") // the name before may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticks
}

// processor names the CPU as the system does.
func processor() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// writeInputs leaves the inputs as raw files whose names carry type and shape.
func writeInputs(folder string, in map[string]tensor.Tensor) error {
	for name, t := range in {
		dims := make([]string, len(t.Shape))
		for i, d := range t.Shape {
			dims[i] = strconv.Itoa(d)
		}
		file := fmt.Sprintf("%s.%s.%s.in", name, t.DType, strings.Join(dims, "x"))
		if err := os.WriteFile(filepath.Join(folder, file), t.Data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// largestDifference compares with raw float32 in a file, relative to the largest magnitude there.
func largestDifference(file string, got tensor.Tensor) (float64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	if len(data) != len(got.Data) {
		return 0, fmt.Errorf("the peer's output has %d bytes, ours %d", len(data), len(got.Data))
	}
	want := tensor.Tensor{DType: tensor.F32, Shape: got.Shape, Data: data}.F32()
	worst, scale := 0.0, 0.0
	for i, v := range got.F32() {
		d := math.Abs(float64(v) - float64(want[i]))
		if d != d {
			return math.NaN(), nil
		}
		worst, scale = max(worst, d), max(scale, math.Abs(float64(want[i])))
	}
	return worst / scale, nil
}
