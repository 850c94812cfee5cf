package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"winnow/dpo"
	"winnow/internal/cli"
)

// here runs winnow train in-process, in a folder of trainDir that the test has changed into.
func here(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Run(t.Context(), append([]string{"train"}, args...), &out, &errs)
	if strings.Contains(errs.String(), "goroutine ") {
		t.Fatalf("%q: a panic reached the user: %s", args, errs.String())
	}
	return code, out.String(), errs.String()
}

// quick is a run of two steps.
func quick(more ...string) []string {
	return append([]string{"dpo", "--data", "pairs.jsonl", "--rank", "2", "--max-train-steps", "2", "--train-batch-size", "2", "--output", "out", "--quiet"}, more...)
}

// wrongFlags are values that cannot work, and words of what is said besides the flag's name.
var wrongFlags = map[string][][2]string{
	"method": {{"dop", "dpo, chats"}},
	"model":  {{"gone", "no such file"}, {"", "is empty"}}, "data": {{"gone.jsonl", "no such file"}}, "images": {{"gone", "no such file"}},
	"output": {{"pairs.jsonl", "is a file"}}, "cache": {{"", "is empty"}}, "config": {{"gone.yaml", "no such file"}},
	"height":  {{"0", "above 0"}, {"-8", "0 or more"}, {"63", "multiples of"}, {"1000000", "at most"}, {"a", "invalid"}},
	"width":   {{"0", "above 0"}, {"-8", "0 or more"}, {"63", "multiples of"}},
	"threads": {{"-1", "0 or more"}}, "executor": {{"magic", "embedded"}}, "ort-lib": {{"/x", "needs --executor"}},
	"rank": {{"0", "above 0"}, {"-1", "1 or more"}, {"1.5", "invalid"}, {"1000000", "at most"}}, "lora-alpha": {{"0", "above 0"}, {"-1", "above 0"}, {"nan", "above 0"}},
	"target-modules": {{"to_queue", "modules end in"}, {"", "empty"}}, "rank-pattern": {{"a=x", "invalid"}, {"nothing=4", "none of its"}, {"a=0", "1 or more"}},
	"text-encoder-target-modules": {{"q_proj", "needs --train-text-encoder"}},
	"init-lora-weights":           {{"zeros", "kaiming, gaussian, orthogonal"}, {"", "empty"}}, "optimizer": {{"adam", "adamw, adamw8bit"}, {"", "empty"}},
	"learning-rate": {{"0", "above 0"}, {"-1", "above 0"}, {"nan", "above 0"}, {"inf", "above 0"}, {"fast", "invalid"}},
	"lr-scheduler":  {{"cosin", "cosine"}}, "lr-warmup-steps": {{"-1", "0 or more"}},
	"adam-beta1": {{"1", "below 1"}, {"-0.1", "below 1"}, {"0", "above 0"}}, "adam-beta2": {{"1.5", "below 1"}, {"nan", "below 1"}},
	"adam-weight-decay": {{"-1", "0 or more"}, {"nan", "0 or more"}}, "adam-epsilon": {{"-1", "above 0"}}, "max-grad-norm": {{"-1", "0 or more"}},
	"ema-decay": {{"1", "below 1"}, {"-1", "below 1"}}, "max-train-steps": {{"0", "above 0"}, {"-5", "1 or more"}},
	"train-batch-size": {{"0", "above 0"}, {"-1", "1 or more"}}, "gradient-accumulation-steps": {{"0", "above 0"}}, "seed": {{"-1", "invalid"}},
	"beta-dpo": {{"0", "above 0"}, {"-1", "above 0"}, {"nan", "above 0"}}, "loss": {{"sigmoit", "sigmoid, hinge"}, {"", "empty"}},
	"label-smoothing": {{"0.1", "sigmoid"}}, "loss-option": {{"tau", "NAME=NUMBER"}, {"tau=1", "sigmoid has no options"}}, "sft-weight": {{"0", "above 0"}, {"-1", "above 0"}},
	"gamma": {{"3", "has no gamma"}}, "draws": {{"-1", "1 or more"}, {"0", "above 0"}},
	"prompt-dropout": {{"1.1", "0 to 1"}, {"nan", "0 to 1"}}, "snr-gamma": {{"-1", "0, for none"}},
	"inversion-steps": {{"5", "does not look at it"}}, "inversion-method": {{"ddim", "does not look at it"}}, "inversion-iterations": {{"2", "does not look at it"}},
	"prompts": {{"p.txt", "does not look at it"}}, "sibling-steps": {{"5", "does not look at it"}}, "sibling-learn": {{"5", "does not look at it"}},
	"sibling-count": {{"5", "does not look at it"}}, "sibling-first": {{"5", "does not look at it"}}, "sibling-continue": {{"chosen", "does not look at it"}}, "sibling-guidance": {{"2", "does not look at it"}},
	"sibling-gradient": {{"1", "does not look at it"}}, "sibling-skip": {{"1", "does not look at it"}}, "sibling-threshold": {{"0.5", "does not look at it"}},
	"path-count": {{"2", "does not look at it"}}, "inner-epochs": {{"2", "does not look at it"}}, "flow-noise": {{"1", "does not look at it"}}, "kl-weight": {{"0.1", "has no divergence"}, {"-1", "0 or more"}},
	"init-lora": {{"gone", "no such file"}}, "curriculum": {{"-1", "0, for one stage"}, {"3", "has no scores"}}, "keep-clear": {{"0", "above 0"}, {"1.5", "at most 1"}}, "keep-unsure": {{"0.5", "by --init-lora"}}, "sdpo-mu": {{"0", "above 0"}, {"2", "at most 1"}}, "inversion-noise": {{"0.1", "does not look at it"}},
	"level-decay": {{"0", "above 0"}, {"2", "at most 1"}, {"0.5", "needs --timestep-sampling geometric"}}, "timestep-weighting": {{"snr", "none, inverse-snr"}, {"", "empty"}},
	"reference-lora": {{"gone", "there is no file"}, {"base=0.5", "add up to 0.5"}, {"base=x", "is no weight"}}, "reference-refresh": {{"-1", "0, for never"}},
	"reference-momentum": {{"0.3", "needs --reference-refresh"}, {"nan", "0 to 10"}}, "reference-drift": {{"0.1", "needs --reference-refresh"}, {"nan", "above 0"}},
	"snapshot-steps": {{"5", "does not look at it"}}, "self-steps": {{"5", "does not look at it"}}, "self-guidance": {{"2", "does not look at it"}},
	"clip-range": {{"0.1", "has no clip range"}, {"0", "above 0"}}, "reward": {{"magic", "magic"}}, "reward-model": {{"gone", "no such file"}},
	"checkpointing-steps": {{"-1", "0 or more"}}, "checkpoints-total-limit": {{"-1", "0 or more"}}, "resume-from-checkpoint": {{"checkpoint-9", "holds no checkpoint"}, {"", "empty"}},
	"timestep-sampling": {{"normal", "is not known"}, {"", "empty"}}, "logit-mean": {{"nan", "-100 to 100"}, {"1", "--timestep-sampling logit-normal"}},
	"logit-std":         {{"-1", "above 0"}, {"0", "above 0"}},
	"validation-prompt": {{"", "empty"}, {strings.Repeat("a very long prompt ", 60), "--truncate"}}, "validation-steps": {{"-1", "0 or more"}},
	"validation-inference-steps": {{"-1", "0 or more"}}, "validation-guidance-scale": {{"-1", "0 or more"}, {"nan", "0 or more"}},
}

// Every flag that takes a value refuses bad ones by its name, with code 2, and nothing is written.
func TestTrain_wrongFlags(t *testing.T) {
	t.Chdir(trainDir(t, 4))
	_, help, _ := here(t, "--help")
	flags := regexp.MustCompile(`(?m)^ +(?:-\w, +|)--([a-z0-9-]+) +(int|uint|float|string|stringArray|strings|stringToInt)\b`).FindAllStringSubmatch(help, -1)
	if len(flags) < 50 {
		t.Fatalf("only %d flags are in the help", len(flags))
	}
	for _, f := range flags {
		if wrongFlags[f[1]] == nil {
			t.Errorf("no wrong value of --%s is tried", f[1])
		}
	}
	for _, flag := range slices.Sorted(maps.Keys(wrongFlags)) {
		for _, c := range wrongFlags[flag] {
			args := quick("--"+flag, c[0])
			if flag == "method" {
				args = []string{c[0], "--data", "pairs.jsonl", "--output", "out"}
			}
			code, _, stderr := here(t, args...)
			if code != 2 || !strings.Contains(stderr, c[1]) || flag != "method" && flag != "reward" && !strings.Contains(stderr, "--"+flag) {
				t.Errorf("--%s %.30q: exit %d, %q; want 2 and %q", flag, c[0], code, stderr, c[1])
			}
			if left, _ := filepath.Glob("out/[^.]*.*"); len(left) > 1 { // a cache at most
				t.Errorf("--%s %.30q left %q", flag, c[0], left)
			}
		}
	}
}

// Settings of one method are refused for another, and so are contradictions.
func TestTrain_wrongTogether(t *testing.T) {
	t.Chdir(trainDir(t, 4))
	for line, want := range map[string]string{
		"sft --data pairs.jsonl --beta-dpo 3":                                            "--beta-dpo 3: sft has no beta",
		"chats --data pairs.jsonl --loss sigmoid":                                        "--loss sigmoid: chats has a loss of its own",
		"smpo --data pairs.jsonl --draws 4":                                              "--draws 4",
		"smpo --data pairs.jsonl --inversion-method inverse":                             "ddim, renoise, fixed-point",
		"smpo --data pairs.jsonl --inversion-steps 0":                                    "--inversion-steps 0",
		"smpo --data pairs.jsonl --inversion-iterations 5000":                            "--inversion-iterations 5000",
		"smpo --data pairs.jsonl --gamma -1":                                             "--gamma -1",
		"sft --data pairs.jsonl --text-encoder-target-modules to_q --train-text-encoder": "--text-encoder-target-modules: ",
		"tailorpo --data pairs.jsonl":                                                    "--data: tailorpo learns from siblings",
		"tailorpo --prompts p.txt --prompt-dropout 0.1":                                  "--prompt-dropout",
		"tailorpo --prompts p.txt --sibling-count 1":                                     "--sibling-count 1: want 2 or more",
		"tailorpo --prompts p.txt --sibling-learn 21":                                    "--sibling-learn 21: want at most 20",
		"tailorpo --prompts p.txt --sibling-guidance 0.5":                                "--sibling-guidance 0.5",
		"tailorpo --prompts p.txt --sibling-continue best":                               "random, chosen, rejected",
		"spo --prompts p.txt --sibling-threshold 1":                                      "--sibling-threshold 1: want 0 to below 1",
		"spo --prompts p.txt --sibling-skip -2":                                          "--sibling-skip -2: want 0 or more",
		"spo --prompts p.txt --sibling-skip 20":                                          "--sibling-skip 20: want at most 18",
		"spo --prompts p.txt --clip-range 1":                                             "--clip-range 1: must be below 1",
		"ddpo --prompts p.txt --sibling-count 3":                                         "--sibling-count: ddpo learns from paths",
		"ddpo --prompts p.txt --path-count 1":                                            "--path-count 1: want 2 or more",
		"ddpo --prompts p.txt --inner-epochs 0":                                          "--inner-epochs 0",
		"ddpo --prompts p.txt --beta-dpo 1":                                              "ddpo has no beta",
		"ddpo --prompts p.txt --kl-weight 0.1":                                           "--kl-weight 0.1: ddpo has no divergence",
		"ddpo --prompts p.txt --reference-refresh 5":                                     "--reference-refresh: ddpo has no reference",
		"seppo --data pairs.jsonl --reference-refresh 4":                                 "is its own earlier states",
		"dpo --data pairs.jsonl --snapshot-steps 4":                                      "--snapshot-steps: dpo learns from pairs",
		"dpo --data pairs.jsonl --reference-lora gone=0.5":                               "there is no file \"gone\"",
		"dpo --data pairs.jsonl --reference-lora base=0.5":                               "the weights add up to 0.5",
		"dpo --data pairs.jsonl --reference-drift 1":                                     "--reference-drift 1: needs --reference-refresh",
		"dpo --data pairs.jsonl --sdpo-mu 2":                                             "--sdpo-mu 2: must be above 0 and at most 1",
		"chats --data pairs.jsonl --sdpo-mu 0.5":                                         "--sdpo-mu: chats does not measure",
		"dpo --data pairs.jsonl --level-decay 0.5":                                       "needs --timestep-sampling geometric",
		"flow-dpo --data pairs.jsonl":                                                    "flow-dpo learns errors of velocities",
		"tailorpo --prompts gone.txt":                                                    "--prompts: stat gone.txt",
		"dpo --data pairs.jsonl --loss robust --label-smoothing 0.7":                     "--label-smoothing 0.7",
		"dpo --data pairs.jsonl --rank 3 --init-lora-weights orthogonal":                 "--init-lora-weights orthogonal: wants even ranks",
		"dpo --data pairs.jsonl --overwrite --resume-from-checkpoint latest":             "give one of them",
		"dpo vrpo --data pairs.jsonl":                                                    "want one method",
		"--data pairs.jsonl":                                                             "name a method",
		"dpo":                                                                            "dpo needs --data",
		"dpo --data pairs.jsonl --rank 0 --learning-rate -1 --lr-scheduler no":           "--rank 0",
	} {
		code, _, stderr := here(t, append(strings.Fields(line), "--output", "out")...)
		if code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q; want 2 and %q", line, code, stderr, want)
		}
	}
}

// rowsOf writes rows of pairs.jsonl, each changed in some way, to a file.
func rowsOf(t *testing.T, name string, changes ...func(row map[string]any)) {
	t.Helper()
	data, err := os.ReadFile("pairs.jsonl")
	mustDo(t, err)
	all := strings.SplitAfter(string(data), "\n")
	var out bytes.Buffer
	for i, change := range changes {
		var row map[string]any
		mustDo(t, json.Unmarshal([]byte(all[i%(len(all)-1)]), &row))
		change(row)
		mustDo(t, json.NewEncoder(&out).Encode(row))
	}
	mustDo(t, os.WriteFile(name, out.Bytes(), 0o600))
}

func set(key string, value any) func(map[string]any) {
	return func(row map[string]any) { row[key] = value }
}

func whole(map[string]any) {}

func picture(t *testing.T, w, h int) map[string]any {
	t.Helper()
	var b bytes.Buffer
	mustDo(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))))
	return map[string]any{"data": b.Bytes()}
}

// What is wrong with a row is told by file, line, column and cause, and ends the run, or is left out and counted.
func TestTrain_badRows(t *testing.T) {
	t.Chdir(trainDir(t, 4))
	broken := base64.StdEncoding.EncodeToString([]byte("\x89PNG\r\n\x1a\n nonsense"))
	bomb := base64.StdEncoding.EncodeToString(bomb())
	good := picture(t, 64, 64)
	for name, c := range map[string]struct {
		change func(map[string]any)
		want   string
	}{
		"corrupt picture":   {set("images", []any{good, map[string]any{"data": broken}}), `column "images\[1\]": picture .*PNG`},
		"picture of claims": {set("images", []any{map[string]any{"data": bomb}, good}), `column "images\[0\]": picture .*large`},
		"missing picture":   {set("images", []any{good, "gone.png"}), `column "images\[1\]": picture gone.png: no such file`},
		"address only":      {set("images", []any{"https://example.org/x.png", good}), `column "images\[0\]": .*not at hand`},
		"wrong type":        {set("prompt", 7), `column "prompt"`},
		"label of 2":        {set("label", 2), `column "label"`},
		"label of text":     {set("label", "first"), `column "label"`},
		"no label":          {set("label", nil), `column "label": says nothing`},
		"no prompt":         {set("prompt", ""), `column "prompt": .*empty`},
		"blank prompt":      {set("prompt", "  "), `column "prompt": .*empty`},
		"long prompt":       {set("prompt", strings.Repeat("red circle ", 100)), `column "prompt": .*--truncate`},
		"one picture":       {set("images", []any{good}), `images`},
	} {
		t.Run(name, func(t *testing.T) {
			rowsOf(t, "rows.jsonl", whole, c.change, whole)
			args := []string{"dpo", "--data", "rows.jsonl", "--rank", "2", "--max-train-steps", "1", "--train-batch-size", "2", "--quiet"}
			code, _, stderr := here(t, append(args, "--output", "strict")...)
			if code == 0 || code == 3 || !regexp.MustCompile(`rows\.jsonl, line 2(,|:) .*`+c.want).MatchString(stderr) || !strings.Contains(stderr, "--skip-bad-rows") {
				t.Errorf("exit %d, %q; want %q", code, stderr, c.want)
			}
			if exists("strict/train.yaml") || exists("strict/metrics.jsonl") {
				t.Error("a run began")
			}
			out := "skip " + name
			code, stdout, stderr := here(t, append(args, "--output", out, "--skip-bad-rows", "--json")...)
			if code != 3 || !strings.Contains(stdout, `"rows":3,"pairs":2,"ties":0,"bad_rows":1`) || !strings.Contains(stderr, "rows.jsonl, line 2") ||
				!strings.Contains(stderr, "1 of 3 rows") || !exists(filepath.Join(out, "pytorch_lora_weights.safetensors")) {
				t.Errorf("with --skip-bad-rows: exit %d, %s, %q", code, stdout, stderr)
			}
		})
	}
}

// Sets with nothing in them say so; pictures of every size are fitted.
func TestTrain_oddSets(t *testing.T) {
	t.Chdir(trainDir(t, 4))
	args := []string{"dpo", "--rank", "2", "--max-train-steps", "1", "--train-batch-size", "2", "--quiet", "--data"}
	mustDo(t, os.WriteFile("empty.jsonl", nil, 0o600))
	rowsOf(t, "ties.jsonl", set("label", 0.5), set("label", 0.5))
	rowsOf(t, "bad.jsonl", set("label", 7), set("label", 7))
	mustDo(t, os.WriteFile("nan.jsonl", []byte(`{"prompt":"p","images":["a.png","b.png"],"label":NaN}`+"\n"), 0o600))
	for file, want := range map[string]string{
		"empty.jsonl": "empty.jsonl", "ties.jsonl": "2 rows, 2 ties, 0 bad", "bad.jsonl": "2 rows, 0 ties, 2 bad", "nan.jsonl": "1 rows, 0 ties, 1 bad",
	} {
		code, _, stderr := here(t, append(args, file, "--output", "none", "--skip-bad-rows")...)
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q; want %q", file, code, stderr, want)
		}
	}
	rowsOf(t, "sizes.jsonl", set("images", []any{picture(t, 1, 1), picture(t, 300, 70)}), set("images", []any{picture(t, 1, 30000), picture(t, 30000, 1)}),
		set("images", []any{picture(t, 4000, 4000), picture(t, 64, 64)}))
	for _, more := range [][]string{nil, {"--buckets"}, {"--height", "32", "--width", "128"}} {
		code, _, stderr := here(t, slices.Concat(args, []string{"sizes.jsonl", "--output", fmt.Sprint("sizes", len(more))}, more)...)
		if code != 0 {
			t.Errorf("%q: exit %d, %q", more, code, stderr)
		}
	}
}

// A checkpoint that is damaged, or of another run, is refused by file, cause and cure.
func TestTrain_wrongCheckpoints(t *testing.T) {
	t.Chdir(trainDir(t, 4))
	if code, _, stderr := here(t, quick("--checkpointing-steps", "1", "--resume-from-checkpoint", "latest", "--ema-decay", "0.9")...); code != 0 {
		t.Fatalf("where nothing is there yet: exit %d, %q", code, stderr)
	}
	on := quick("--checkpointing-steps", "1", "--resume-from-checkpoint", "latest", "--ema-decay", "0.9")
	for more, want := range map[string]string{
		"--learning-rate 3e-4": "learning-rate 0.0001 where this run has 0.0003", "--rank 3": "rank 2 where this run has 3",
		"--beta-dpo 7": "beta-dpo", "--loss hinge": "loss", "--seed 4": "seed 0 where this run has 4", "--latent-mode": "latent-mode false where this run has true",
		"--use-rslora": "use-rslora", "--lr-scheduler cosine": "max-train-steps nothing where this run has 2", "--max-train-steps 1": "--max-train-steps 1: out/checkpoint-2 has done 2 steps",
		"--data p2.jsonl": "data 4 pairs", "--adam-beta2 0.9": "adam-beta2 0.999 where this run has 0.9",
		"--rank-pattern mid_block.attentions.0.transformer_blocks.0.attn1.to_q=3": "rank-pattern nothing",
	} {
		rowsOf(t, "p2.jsonl", whole, whole, whole)
		code, _, stderr := here(t, append(slices.Clone(on), strings.Fields(more)...)...)
		if code != 2 || !strings.Contains(stderr, "out/checkpoint-2") || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q; want %q", more, code, stderr, want)
		}
	}
	mustDo(t, os.CopyFS("whole", os.DirFS("out")))
	cut := func(name string, to int64) func() {
		return func() { mustDo(t, os.Truncate("out/checkpoint-2/"+name, to)) }
	}
	write := func(name, text string) func() {
		return func() { mustDo(t, os.WriteFile("out/checkpoint-2/"+name, []byte(text), 0o600)) }
	}
	rename := func(from, to string) func() {
		return func() {
			data, err := os.ReadFile("out/checkpoint-2/optimizer.safetensors")
			mustDo(t, err)
			if !bytes.Contains(data, []byte(from)) {
				t.Fatalf("no %q", from)
			}
			mustDo(t, os.WriteFile("out/checkpoint-2/optimizer.safetensors", bytes.Replace(data, []byte(from), []byte(to), 1), 0o600))
		}
	}
	for name, c := range map[string]struct {
		damage func()
		file   string
	}{
		"cut":              {cut("optimizer.safetensors", 5000), "optimizer.safetensors"},
		"empty":            {cut("optimizer.safetensors", 0), "optimizer.safetensors"},
		"no state":         {func() { mustDo(t, os.Remove("out/checkpoint-2/optimizer.safetensors")) }, "optimizer.safetensors: cannot open: no such file"},
		"bad JSON":         {write("trainer_state.json", `{"global_step": 2, "set`), "trainer_state.json"},
		"JSON of others":   {write("trainer_state.json", `[]`), "trainer_state.json"},
		"no step":          {write("trainer_state.json", `{}`), "trainer_state.json: global_step is 0"},
		"no position":      {func() { mustDo(t, os.Remove("out/checkpoint-2/trainer_state.json")) }, "trainer_state.json: no such file"},
		"missing factor":   {rename("param.lora.default", "param.lora.defaulx"), `optimizer.safetensors: tensor "param.lora.default`},
		"missing momentum": {rename("optim.lora.default", "optim.lora.defaulx"), "optimizer.safetensors: "},
		"missing average":  {rename("ema.lora.default", "ema.lora.defaulx"), "optimizer.safetensors: "},
	} {
		mustDo(t, os.RemoveAll("out"))
		mustDo(t, os.CopyFS("out", os.DirFS("whole")))
		c.damage()
		code, _, stderr := here(t, on...)
		if code != 1 || !strings.Contains(stderr, "out/checkpoint-2/"+c.file) || !strings.Contains(stderr, "remove the folder out/checkpoint-2") {
			t.Errorf("%s: exit %d, %q; want %q", name, code, stderr, c.file)
		}
	}
	// The cure works, and the earlier checkpoint leads to the same end.
	mustDo(t, os.RemoveAll("out/checkpoint-2"))
	if code, _, stderr := here(t, on...); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	sameRun(t, "whole", "out")
}

// A folder that holds a run is neither mixed with another nor lost by mistake.
func TestTrain_outputInUse(t *testing.T) {
	t.Chdir(trainDir(t, 4))
	for _, method := range []string{"dpo", "chats"} {
		args := []string{method, "--data", "pairs.jsonl", "--rank", "2", "--train-batch-size", "2", "--quiet", "--output", method, "--checkpointing-steps", "1"}
		run := func(want int, more ...string) string {
			t.Helper()
			code, _, stderr := here(t, append(slices.Clone(args), more...)...)
			if code != want {
				t.Fatalf("%q: exit %d, %s", more, code, stderr)
			}
			return stderr
		}
		run(0, "--max-train-steps", "3", "--validation-prompt", "a red circle", "--validation-inference-steps", "2")
		mustDo(t, os.CopyFS(method+" before", os.DirFS(method)))
		if stderr := run(2, "--max-train-steps", "2", "--learning-rate", "1e-3"); !strings.Contains(stderr, "--overwrite") {
			t.Error(stderr)
		}
		run(2, "--overwrite", "--max-train-steps", "2", "--target-modules", "nothing") // a mistake costs nothing
		sameRun(t, method+" before", method)
		run(0, "--overwrite", "--max-train-steps", "2", "--learning-rate", "1e-3")
		if exists(method+"/checkpoint-3") || exists(method+"/previews") {
			t.Error("--overwrite left something of the run before")
		}
		for _, dir := range []string{method, method + " before"} { // adapters alone are a run, too
			found, _ := filepath.Glob(dir + "/checkpoint-*")
			for _, f := range found {
				mustDo(t, os.RemoveAll(f))
			}
		}
		run(2, "--max-train-steps", "2")
	}
}

// A second run in a folder where one is at work is refused, whatever it was told; one that is killed holds nobody off.
func TestTrain_locked(t *testing.T) {
	dir := trainDir(t, 4)
	t.Chdir(dir)
	args := []string{"train", "dpo", "--data", "pairs.jsonl", "--rank", "2", "--train-batch-size", "2", "--quiet", "--output", "out", "--threads", "1"}
	first, _, stderr := process(t, dir, append(slices.Clone(args), "--max-train-steps", "100000", "--checkpointing-steps", "1", "--checkpoints-total-limit", "1")...)
	mustDo(t, first.Start())
	ended := make(chan error, 1)
	go func() { ended <- first.Wait() }()
	for deadline := time.Now().Add(time.Minute); !exists("out/checkpoint-1") && !exists("out/checkpoint-2"); time.Sleep(10 * time.Millisecond) {
		if len(ended) > 0 || time.Now().After(deadline) {
			_ = first.Process.Kill()
			t.Fatalf("the first run did not begin: %s", stderr)
		}
	}
	for _, more := range [][]string{nil, {"--overwrite"}, {"--resume-from-checkpoint", "latest"}} {
		code, _, said := here(t, append(slices.Clone(args[1:]), more...)...)
		if want := fmt.Sprintf("another run is at work there (%s is locked by process %d ", filepath.Join("out", ".lock"), first.Process.Pid); code != 1 || !strings.Contains(said, want) {
			t.Errorf("%q: exit %d, %s", more, code, said)
		}
	}
	mustDo(t, first.Process.Kill())
	<-ended
	if code, _, said := here(t, append(slices.Clone(args[1:]), "--max-train-steps", "2", "--overwrite")...); code != 0 {
		t.Errorf("behind a killed run: exit %d, %s", code, said)
	}
}

// train.yaml, with numbers, switches, lists and maps as such, repeats its run to the byte.
func TestTrain_configRepeats(t *testing.T) {
	t.Chdir(trainDir(t, 5))
	mustDo(t, os.WriteFile("run.yaml", []byte(`method: dpo
data: [pairs.jsonl, pairs.jsonl]
rank: 3
rank_pattern: {mid_block.attentions.0.transformer_blocks.0.attn1.to_q: 2}
target-modules: [to_q, to_v]
use-rslora: true
lora_alpha: 2.5
learning-rate: 1e-3
scale-lr: yes
max-train-steps: 3
train-batch-size: 2
seed: 18446744073709551615
prompt-dropout: 0.25
checkpointing-steps: 2
validation-prompt: ["a red circle, yes", "no"]
validation-inference-steps: 2
`), 0o600))
	code, _, stderr := here(t, "--config", "run.yaml", "--output", "one/out", "-q")
	if strings.Contains(stderr, "scale-lr") { // YAML 1.2 has no yes
		data, err := os.ReadFile("run.yaml")
		mustDo(t, err)
		mustDo(t, os.WriteFile("run.yaml", bytes.Replace(data, []byte("yes\n"), []byte("true\n"), 1), 0o600))
		code, _, stderr = here(t, "--config", "run.yaml", "--output", "one/out", "-q")
	}
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if code, _, stderr := here(t, "--config", "one/out/train.yaml", "--output", "two/out", "-q"); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	mustDo(t, os.WriteFile("plain.sh", nil, 0o600))
	if code, _, stderr := here(t, "dpo", "--data", "pairs.jsonl", "--data", "pairs.jsonl", "--rank", "3", "--rank-pattern", "mid_block.attentions.0.transformer_blocks.0.attn1.to_q=2",
		"--target-modules", "to_q,to_v", "--use-rslora", "--lora-alpha", "2.5", "--learning-rate", "0.001", "--scale-lr", "--max-train-steps", "3", "--train-batch-size", "2",
		"--seed", "18446744073709551615", "--prompt-dropout", "0.25", "--checkpointing-steps", "2", "--validation-prompt", "a red circle, yes", "--validation-prompt", "no",
		"--validation-inference-steps", "2", "--output", "three/out", "-q"); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	text, err := os.ReadFile("one/out/train.yaml")
	mustDo(t, err)
	for _, want := range []string{"method: dpo\n", "rank: 3\n", "use-rslora: true\n", "learning-rate: 0.001\n", "lora-alpha: 2.5\n", "seed: 18446744073709551615\n", "attn1.to_q: 2\n", "- to_q\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("train.yaml lacks %q:\n%s", want, text)
		}
	}
	for _, dir := range []string{"one", "two", "three"} {
		mustDo(t, os.Remove(dir+"/out/train.yaml"))
		sameRun(t, "one/out", dir+"/out")
	}
	for text, want := range map[string]string{
		"method: dpo\nrank: [1, 2]\n": "rank takes one value", "method: dpo\nrank: {a: 1}\n": "rank takes no map", "method: dpo\nrank:\n": "rank has no value",
		"method: dpo\nranks: 3\n": `"ranks" is not a setting`, "method: dpo\nrank: big\n": "rank: ", "method: dop\n": "dpo, chats", "method: [dpo]\n": "method takes one value",
		"method: dpo\ndata: [[a]]\n": "data takes single values", "rank: 0\nmethod: dpo\ndata: pairs.jsonl\n": "--rank 0", "[": "--config",
		"method: dpo\nuse-rslora: 3\n": "use-rslora",
	} {
		mustDo(t, os.WriteFile("bad.yaml", []byte(text), 0o600))
		if code, _, stderr := here(t, "--config", "bad.yaml", "--output", "four"); code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit %d, %q; want %q", text, code, stderr, want)
		}
	}
}

// The files of published settings hold flags that there are and values that work: each does a step on a tiny model.
func TestTrain_publishedConfigs(t *testing.T) {
	folder, err := filepath.Abs(filepath.Join("..", "..", "cmd", "winnow", "configs"))
	mustDo(t, err)
	models, err := filepath.Abs(filepath.Join("..", "tiny"))
	mustDo(t, err)
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) < 9 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	t.Chdir(trainDir(t, 4))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		family, rest, _ := strings.Cut(name, "-")
		args := []string{"--config", file, "--output", name, "--max-train-steps", "1", "--train-batch-size", "2", "--gradient-accumulation-steps", "1", "-q"}
		if family != "mini" {
			args = append(args, "--model", filepath.Join(models, family))
		}
		method := rest
		m, err := dpo.FindMethod(method)
		if err != nil { // a word about the run is behind the method's name
			method, _, _ = strings.Cut(rest, "-")
			m, err = dpo.FindMethod(method)
		}
		mustDo(t, err)
		if m.OwnPictures() {
			args = append(args, "--prompts", "p.txt", "--reward", "mini", "--sibling-steps", "6", "--sibling-learn", "2")
			if method == "spo" { // pictures of random weights are all alike
				args = append(args, "--sibling-skip", "1", "--sibling-threshold", "0")
			}
			if method == "flow-grpo" { // of 6 steps
				args = append(args, "--sibling-first", "5")
			}
		} else {
			args = append(args, "--data", "pairs.jsonl")
		}
		if strings.Contains(name, "mini-dpo") || strings.Contains(name, "mini-tailorpo") {
			args = append(args, "--validation-inference-steps", "2")
		}
		code, stdout, stderr := here(t, args...)
		if code != 0 || !strings.Contains(stdout, "pytorch_lora_weights") {
			t.Errorf("%s: exit %d, %s", name, code, stderr)
			continue
		}
		if text, err := os.ReadFile(filepath.Join(name, "train.yaml")); err != nil || !strings.HasPrefix(string(text), "method: "+method+"\n") {
			t.Errorf("%s is of another method: %s, %v", name, text, err)
		}
	}
}
