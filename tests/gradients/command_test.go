package gradients

import (
	"bytes"
	"os"
	"testing"

	"winnow/internal/cli"
	"winnow/internal/graph"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// TestModelRun takes a network without adapters from file to file, as winnow model run does, and compares with torch.
func TestModelRun(t *testing.T) {
	n := open(t, "reward_ts17")
	t.Chdir(t.TempDir())
	if err := os.WriteFile("m.onnx", n.file, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tensors := range map[string]map[string]tensor.Tensor{"in": n.in, "cot": n.cot} {
		if err := safetensors.Write(name+".safetensors", tensors, nil); err != nil {
			t.Fatal(err)
		}
	}
	onExecutors(t, func(t *testing.T, x graph.Executor) {
		args := []string{
			"model", "run", "m.onnx", "--inputs", "in.safetensors", "--outputs", "out.safetensors",
			"--cotangents", "cot.safetensors", "--gradients", "grad.safetensors", "--executor", x.Name(),
		}
		var stdout, stderr bytes.Buffer
		if code := cli.Run(t.Context(), args, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
			t.Fatalf("exit %d: %s%s", code, stdout.String(), stderr.String())
		}
		near(t, read(t, "out.safetensors"), n.out, forwardTolerance)
		near(t, read(t, "grad.safetensors"), n.grads, gradientTolerance)
	})
}

// read takes all tensors of a file.
func read(t *testing.T, path string) map[string]tensor.Tensor {
	t.Helper()
	f, err := safetensors.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return withPrefix(f, "")
}
