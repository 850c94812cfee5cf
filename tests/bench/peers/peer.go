package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"

	"winnow/internal/tensor"
)

// peer is the worker process with the other runtime.
type peer struct {
	side
	folder string
	cmd    *exec.Cmd
	to     io.WriteCloser
	from   *bufio.Scanner
}

// startPeer starts a worker script, whose second argument is what it loads, and waits until it has loaded the network; nil
// without an interpreter.
func startPeer(ctx context.Context, s settings, script, what string, in map[string]tensor.Tensor) (*peer, error) {
	if s.python == "" {
		return nil, nil
	}
	folder, err := os.MkdirTemp("", "winnow-peers-")
	if err != nil {
		return nil, err
	}
	if err := writeInputs(folder, in); err != nil {
		return nil, err
	}
	p := &peer{folder: folder}
	p.cmd = exec.CommandContext(ctx, s.python, filepath.Join("tests/bench/peers", script), what, strconv.Itoa(s.threads), folder)
	p.cmd.Stderr = os.Stderr
	if p.to, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.from = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	words, err := p.answer("ready")
	if err != nil {
		return nil, err
	}
	p.name = strings.Join(words[1:], " ")
	p.load, err = strconv.ParseFloat(words[0], 64)
	return p, err
}

// answer reads one line and checks its first word.
func (p *peer) answer(word string) ([]string, error) {
	if !p.from.Scan() {
		return nil, fmt.Errorf("the worker ended: %w", p.cmd.Wait())
	}
	words := strings.Fields(p.from.Text())
	if len(words) == 0 || words[0] != word {
		return nil, fmt.Errorf("the worker said %q", p.from.Text())
	}
	return words[1:], nil
}

// call lets the worker, if there is one, run once and keeps the time if measured.
func (p *peer) call(measured bool) error {
	if p == nil {
		return nil
	}
	fmt.Fprintln(p.to, "run")
	words, err := p.answer("ran")
	if err != nil {
		return err
	}
	if len(words) != 2 {
		return fmt.Errorf("the worker answered %q, want two times", words)
	}
	t, err := strconv.ParseFloat(words[0], 64)
	if err != nil {
		return err
	}
	cpu, err := strconv.ParseFloat(words[1], 64)
	if measured {
		p.runs, p.cpu = append(p.runs, t), append(p.cpu, cpu)
	}
	return err
}

// finish fetches the output, if ours is one to compare it with, and the peak memory, ends the worker and returns the largest relative
// difference to ours.
func (p *peer) finish(ours tensor.Tensor) (float64, error) {
	defer os.RemoveAll(p.folder)
	if ours.DType != tensor.Invalid {
		fmt.Fprintln(p.to, "save")
		if _, err := p.answer("saved"); err != nil {
			return 0, err
		}
	}
	fmt.Fprintln(p.to, "end")
	words, err := p.answer("peak")
	if err != nil {
		return 0, err
	}
	if p.peak, err = strconv.ParseInt(words[0], 10, 64); err != nil {
		return 0, err
	}
	if err := p.cmd.Wait(); err != nil || ours.DType == tensor.Invalid {
		return 0, err
	}
	return largestDifference(filepath.Join(p.folder, "out.f32"), ours)
}

// profileTo starts a CPU profile if a file is named.
func profileTo(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}
