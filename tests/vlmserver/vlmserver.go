// Package vlmserver gives tests a judge behind a real server that nobody here wrote: transformers serve, on the model that
// tests/oracle/vlm_judge.py makes. Such tests run only where the environment names one:
//
//	WINNOW_TEST_VLM_PYTHON=python WINNOW_TEST_VLM_FOLDER=FOLDER    an interpreter with transformers[serving], and the model
//	WINNOW_TEST_VLM_URL=http://localhost:8000                      a server that runs, whose judge prefers the redder picture
package vlmserver

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Ours says that the server is transformers serve on our model.
func Ours() bool { return os.Getenv("WINNOW_TEST_VLM_URL") == "" }

// Address is where the judge listens, until the test ends. Without one the test does not run.
func Address(t *testing.T) string {
	t.Helper()
	if !Ours() {
		return os.Getenv("WINNOW_TEST_VLM_URL")
	}
	python, folder := os.Getenv("WINNOW_TEST_VLM_PYTHON"), os.Getenv("WINNOW_TEST_VLM_FOLDER")
	if python == "" || folder == "" {
		t.Skip("neither WINNOW_TEST_VLM_URL nor WINNOW_TEST_VLM_PYTHON and WINNOW_TEST_VLM_FOLDER are set")
	}
	versions, err := exec.Command(python, "-c",
		"from importlib.metadata import version as v; print(*(n + ' ' + v(n) for n in ('transformers', 'torch', 'fastapi', 'uvicorn')), sep=', ')").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", versions)
	return serve(t, python, folder)
}

func serve(t *testing.T, python, folder string) string {
	t.Helper()
	return Run(t, func(port string) *exec.Cmd {
		server := exec.Command(python, "-m", "transformers.cli.transformers", "serve", folder, "--host", "127.0.0.1", "--port", port,
			"--device", "cpu", "--dtype", "float32", "--default-seed", "0")
		server.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "HF_HOME="+t.TempDir(), "OMP_NUM_THREADS=1", "CUDA_VISIBLE_DEVICES=")
		return server
	})
}

// Run starts a server that has a /health, and gives its address. The server ends with the test.
func Run(t *testing.T, command func(port string) *exec.Cmd) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	server := command(port)
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt) // one that has ended is no matter
		select {
		case err := <-ended:
			t.Logf("the server ended: %v", err)
		case <-time.After(time.Minute):
			_ = server.Process.Kill()
		}
		log.Close()
	})
	url := "http://127.0.0.1:" + port
	for deadline := time.Now().Add(8 * time.Minute); time.Now().Before(deadline); {
		if resp, err := http.Get(url + "/health"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return url
			}
		}
		select {
		case err := <-ended:
			ended <- err
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("the server has ended: %v\n%s", err, said)
		case <-time.After(time.Second / 2):
		}
	}
	t.Fatal("the server is not ready after 8 minutes")
	return ""
}
