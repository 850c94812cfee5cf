package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"winnow/sampling"
)

// topics are help pages without a command: `winnow help scripting`.
func topics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "scripting", Short: "Streams, JSON and exit codes", Long: scriptingText},
		{Use: "metrics", Short: "What the figures of eval are, and how they treat ties", Long: metricsText},
		{Use: "search", Short: "Search methods of generate, and what they cost", Long: searchText()},
		{Use: "executors", Short: "What runs the networks, and ONNX Runtime", Long: executorsText},
		{Use: "rewards", Short: "What scores mean, judges and rewards that run elsewhere", Long: rewardsText},
		{Use: "files", Short: "Files that are read and written", Long: filesText},
	}
}

const scriptingText = `Standard output carries the result and nothing else: a table, paths, or with
--json one JSON object per line. Everything for people (progress, warnings,
errors) goes to standard error. Bars are drawn on a terminal only; elsewhere a
line is written per tenth of the work, at most one a second; --quiet leaves out
both.

With --json every object has a "type": "image", "network", "run", "version",
"doctor", "lora", "lora_comparison", "data", "format", "failed", "reference", "eval", "comparison",
"agreement", "flag", "win_rate", "benchmark", "figures", "reward_figures",
"judge_figures", "verdict", "answer", "template", "judge", "cost", "spent", "calibration", "search", "search_figures", "serve", "summary", or "error" (with "code", "message" and, where
one is meant, "file"). "winnow score" writes its lines without a type: image, prompt,
score and more. Fields are added over time and never change their meaning.

Exit codes
    0  done
    1  failed
    2  wrong usage: a flag, an argument, or a setting that cannot work
    3  partial result: some items failed and are listed, the rest is complete
    5  done, and a figure is below the minimum that a flag sets (--min-win-rate),
       or two files differ by more than a tolerance (lora verify)
  130  interrupted (Ctrl-C); files that exist are whole

Every flag may stand in a YAML file given by --config; a flag on the command
line wins. Flags may be written with _ for -. --save-config writes the file
that repeats a run.

Environment
  WINNOW_KERNEL       ref, avx2 or avx512: which kernels compute
  WINNOW_ORT_LIBRARY  ONNX Runtime's library, or its folder
  WINNOW_API_KEY      key for --judge and --reward-url, sent to these addresses only
  WINNOW_SERVE_KEYS   keys that winnow serve takes, with commas between
  OPENAI_API_KEY      key for --judge where WINNOW_API_KEY is not set
`

const rewardsText = `Every reward gives a number per picture, higher is better. Except where it says
"any", scores compare pictures of one prompt only.

  mini                   embedded; pictures of the embedded model (coloured shapes)
  checker                exact: what a prompt of the embedded model's world asserts, and
                         is there, plus 0.3 × cleanness, 0 to 1.3; any pictures
  jpeg-size              thousands of bytes as JPEG of quality 95: no quality at all, but easily
                         exploited, to try what watches over training; any pictures
  clip                   any CLIP-type dual encoder: 100 × cosine, about 15 to 35
  hpsv2, hpsv2.1         human preference, cosine, about 0.2 to 0.36;
                         -legacy-resize: as the tables of 2023 were made
  pickscore-v1           human preference, 100 × cosine, about 16 to 27
  imagereward-v1.0       human preference, standardised, about -2.3 to 2
  clipscore-…            2.5 × cosine, at least 0; -noprefix: without "A photo depicts"
  siglip, siglip-probability
                         any SigLIP dual encoder
  aesthetic-v2           looks only, no prompt, 1 to 10; any pictures
  vqascore               a judge is asked whether the picture shows everything that
                         the prompt says; probability of Yes, 0 to 1; any pictures
  judge                  a judge compares pairs of a prompt's pictures in both orders;
                         strength on the scale of log-odds, mean 0
  remote                 whatever the server of --reward-url computes

What a number means shows by its percentile: "winnow reference" stores the scores of
pictures like yours as reference.json in the reward's folder, or in a file that
--reference names.

Sums. --reward NAME=WEIGHT,NAME=WEIGHT adds rewards. Their scales differ by factors of
hundreds: give weights that make up for it, or --transform z, cdf or minmax, which
brings each reward to the scale of its reference.json.

Judges. --judge is any chat server that takes pictures in the form of OpenAI's API
(vLLM, llama.cpp, Ollama, hosted ones), --judge-model its name of the model. The label
probabilities of the first token count where the server gives them, else several
answers are sampled (--judge-votes). Judges prefer a place; asking in both orders takes
that out, and how often the answer turned with the order is reported. JPEG files are
turned upright by their EXIF orientation for judges, and for nothing else.

--judge-api chooses the form of the questions: chat, or a server's own one: ollama,
llama.cpp, or systemone (soft labels of transformers serve). Without it the chat is
tried first, and the others where it gives no label probabilities. --judge-rate bounds
the requests a second, --judge-patience how long a server that is down is waited for;
--judge-memory FILE keeps what was found out about a server.

"winnow judge template" prints the questions; --judge-template FILE asks in other words,
once for each question (pair, yes, marks). The prompt is sent inside a fence whatever
the words are. A question with "thinks: yes" lets the judge give reasons first, up to
--judge-answer-tokens; its answer is that between <answer> and </answer>.

--explain asks for reasons in every question, --judge-votes chains each; --html shows
them beside the pictures. That takes hundreds of times the tokens of one label, and the
probabilities are those of other questions: calibrate, compare and keep them apart.

--judge-cache FILE keeps every answer by the pixels of the images, the question, the
model and the way of asking: a run that is repeated or goes on asks nothing twice.
"winnow judge cost" estimates a run beforehand, and with --ledger FILE shows what was
spent. --judge-max-tokens, --judge-max-money and --judge-max-time end a run with what is
known, and say so. "winnow judge calibrate" fits probabilities to people's choices of a
set; --calibration uses the fit. --judge-pictures FAMILY sends images as the models of a
family see them, so that they change nothing themselves:
  qwen2-vl    sides multiples of 28, the aspect ratio nearly kept (also Qwen2.5-VL)
  qwen3-vl    the same by 32
  pixtral     sides multiples of 16, up to 1024
  internvl    as they are; the model stretches them over tiles of 448
  gemma-3, llava-1.5   grey edges make them square, since the model would squash or cut

--judge mini asks nobody: the embedded reward answers through the same interface, so
that everything can be tried without a server. Its results are called judge:mini.

Pairs. Comparing every pair of n pictures takes n(n-1) questions. --judge-schedule
chooses fewer; strengths are fitted to whatever was answered (Bradley-Terry), so ranks
follow all answers and not one sort. Comparisons of n pictures, two questions each:

  all        every pair, n(n-1)/2; the default up to 6 pictures, for eval, and where
             --judge-budget covers it
  swiss      neighbours in the present order meet, round after round: n/2 a round,
             one round more than log2 n; the default beyond 6 pictures
  active     the pairs whose answers are expected to tell most, until the budget is
             spent (as many as swiss without one); the default with --judge-budget
  merge      merge sort: 17 for 8 pictures, 49 for 16
  insertion  binary insertion sort: as many, one after the other
  knockout   n: for the best one and the third
  windows    four neighbours at a time, from the last to the first, twice: for the best
  cascade    pairs that a cheaper reward (--judge-first) leaves open, its probability
             being between 0.12 and 0.88; for the others that probability counts

--judge-budget N asks at most N questions about the pictures of one prompt; what is
known by then is ranked, and the result says that it is incomplete. Comparisons that
fail are left out and counted. "winnow bench judge" compares the schedules.

Remote rewards. --reward-url is sent {"prompt": "…", "images": ["PNG in base64", …]} by
POST and answers {"scores": [1.5, …]}, with "model" and "version" if it likes. "winnow serve"
answers so at /v1/score.
`

// searchText lists the methods as they are.
func searchText() string {
	var b strings.Builder
	b.WriteString(`"winnow generate --search METHOD --search-budget N" looks for a picture that the reward
likes. N counts evaluations of the denoiser, all candidates of a picture together: a step
with guidance costs two (pag: three), outside --guidance-interval one, the way back through
the network for a gradient as much again. A search never spends more. The first candidate
is the picture of the seed.

`)
	for _, s := range sampling.SearchMethods() {
		needs := ""
		if s.Noisy {
			needs = " [noise]"
		}
		if s.Gradient {
			needs += " [gradient]"
		}
		fmt.Fprintf(&b, "  %-19s %s%s\n", s.Name, s.About, needs)
		var settings []string
		for _, o := range s.Settings() {
			if settings = append(settings, o.Name); o.Value != "" {
				settings[len(settings)-1] += "=" + o.Value
			}
		}
		if len(settings) > 0 {
			fmt.Fprintf(&b, "  %-19s   %s\n", "", strings.Join(settings, " "))
		}
	}
	b.WriteString(`
[noise]     needs a sampler that adds noise: --eta 1, --scheduler euler-a, or --flow-noise 0.7
[gradient]  needs a reward that runs here; judges and the checker have no gradient

Below a method stand its settings, for --search-option NAME=VALUE; the package
documentation of winnow/sampling says what they mean.

A judge (--judge URL --judge-model NAME) scores candidates by comparing each, in both
orders, with three or four that came before, six to eight questions; the score is a
strength in log-odds, 0 for the first picture. --reward vqascore asks it about single
pictures, one question each.

A reward that is searched for is no longer a judge: pictures may please it without being
better. --holdout-reward names one that the search never sees. Candidates that cannot be
scored are dropped and counted. --search-journal keeps what was learnt, so that the same
command goes on after it was stopped. A search that is stopped keeps the best so far; before
its first picture is finished that is a preview, and is marked as one. "winnow bench search"
compares the methods at equal cost on the embedded model.
`)
	return b.String()
}

const metricsText = `Accuracies differ in how they pool and in what they do with ties; numbers under two
names are not comparable. A pair is decided when people prefer one of its pictures.

imagereward.pair_micro      decided pairs of all groups together; equal scores are wrong
hpsv2.imagereward_macro     the same per prompt, then the mean over prompts; HPSv2's README
                            uses this one for its ImageReward column
hpdv2.inversion             1 − inversions / pairs per prompt, mean; scores become places,
                            so that tied labels count as right
hpdv2.pair_micro_no_ties    decided pairs of all prompts together
hpdv2.raw_votes             decided pairs in the order of every single annotator
hpdv2.single_human          the same of one annotator against the others
pickapic.no_ties            labelled pairs without ties; equal scores are wrong
pickapic.tie_threshold      probabilities within the threshold are a tie; half a point where
                            label or prediction alone is one; threshold from --validation
best_of_n                   the highest score belongs to a picture of the best rank
top1_soft                   the same; of several highest scores each has its share
kendall_tau_b, spearman     per group, mean; groups of equal ranks or equal scores have none
pairwise_acc_tie_opt        all pairs; scores within ε are a tie, ε the best on the same data
judge.consistent            right in both orders
judge.mean                  each order by itself (Multimodal RewardBench 2)
judge.soft                  mean probability of the human choice
judge.position_bias         mean probability of what is shown first, less ½
judge.abstained             answers that were none of the labels

Intervals are percentiles of 2,000 bootstrap samples of prompts: whatever belongs to a
prompt is drawn together. Wilson's takes pairs for independent and is too narrow. Two
scorers are compared on the same pairs by the same bootstrap (p), and by McNemar's exact
test, which takes pairs for independent.

Calibration fits P(first preferred) = σ(difference of scores / τ) on one half of the
prompts and judges it on the other: expected calibration error (15 bins
of equal mass), Brier score and log loss.

Warnings, which come with --html, ask whether a figure can be trusted: a scorer chooses brighter,
more contrasty, more saturated or sharper pictures far more often than people do; it does
worse than chance; some scores are out of all proportion; of two models one wins by one
scorer and loses by another, has another look, or draws the same picture again and again.
`

const executorsText = `Networks run on the embedded executor unless --executor says otherwise.

embedded              Compiled into winnow; AVX-512, AVX2 or plain Go kernels.
onnxruntime           ONNX Runtime on the CPU.
onnxruntime:cuda      … on NVIDIA cards       (pip install onnxruntime-gpu)
onnxruntime:tensorrt  … compiled by TensorRT  (pip install onnxruntime-gpu tensorrt)
onnxruntime:coreml    … on Apple devices      (pip install onnxruntime, macOS)
onnxruntime:directml  … on Windows            (pip install onnxruntime-directml)

ONNX Runtime is a shared library that winnow loads when it is asked for, release
1.17 or newer. It is looked for here, and the first that loads is taken:

    1. --ort-lib: the library, or a folder that holds it
    2. WINNOW_ORT_LIBRARY: the same
    3. the onnxruntime wheel of the active Python environment (VIRTUAL_ENV)
    4. the onnxruntime wheel of the python3 on PATH
    5. where the system's loader looks

When 1 or 2 is given, nothing else is tried. The library must contain the
provider: "winnow doctor" lists what it has and tries each one out. The CUDA,
cuDNN and TensorRT libraries of the version that it was built for must be on the
loader's path (LD_LIBRARY_PATH, PATH on Windows).

Both executors read the same weights in place, take the same seeds, and give the
same pictures up to rounding. A network that an executor cannot run is refused
before it starts, with the node and operator that stand in the way.
`

const filesText = `Models      A folder in diffusers' ONNX layout (model_index.json, scheduler,
            tokenizer, text_encoder, unet, vae_decoder), or "mini", which is
            embedded. Nothing is downloaded. Stable Diffusion 1, 2, XL and 3; of 3 with
            transformer in place of unet, text_encoder_2, and text_encoder_3 (T5) with
            tokenizer_3 or without. winnow.json may set steps, guidance_scale, height,
            width, reward, and max_sequence_length, the tokens that T5 reads (256).
LoRA        --lora and its kin take safetensors files of adapters of the denoiser and the text
            encoders, or folders with pytorch_lora_weights.safetensors or
            adapter_model.safetensors: keys of diffusers (old and new), PEFT, ComfyUI, and
            kohya's scripts with either naming of blocks; text encoders with and without
            text_model. Every tensor must fit a module; LoHa, LoKr, DoRA, OFT and full
            differences are refused by name. Alpha: the file's .alpha,
            lora_adapter_metadata, adapter_config.json, else the rank. The networks must
            have been exported without optimisation, which erases the names of modules.
            Written ("winnow lora convert"): six layouts in float32, float16 or bfloat16,
            with the metadata of kohya's scripts (ss_, sshs_) and of modelspec, so that
            user interfaces list the file. Where a layout has no .alpha, or alphas differ
            within a network, alpha/rank is multiplied into the second factor.
Rewards     "mini" (embedded), or "clip" with the folder of any CLIP-type dual
            encoder: model.onnx as optimum writes it, or text_model.onnx and
            vision_model.onnx; tokenizer files; preprocessor_config.json.
            Score of model.onnx: the checkpoint's logit scale × cosine. Split
            graphs do not carry the scale; their score is 100 × cosine.
            reference.json in the folder is the distribution of the reward's scores
            on some set ("winnow reference"): percentiles and --transform use it.
            "siglip" and "siglip-probability": the folder that export_onnx.py
            writes, with spiece.model or tokenizer.json (Unigram); the score is
            the logit scale × cosine + bias, or the logistic function of that.
Images      PNG, JPEG, GIF (first frame), WebP, BMP, TIFF; found by content, not
            by name. At most 256 MiB, 65,535 pixels a side and 64 Mi pixels, checked
            before decoding. Rewards get them as their originals got them from
            Pillow: alpha dropped or weighing the colours, palettes resized by
            nearest neighbour, 16-bit grey cut at 255 (nearly white), EXIF
            orientation left alone.
Pairs       "winnow label" writes the columns of Pick-a-Pic v2 and behind them score_0,
            score_1 (by the reward, or the judge's strength) and soft_label_0; in JSON lines
            "scores", "label" and "soft". label_0 is 1, 0 or 0.5, also beside soft labels.
            A line of one "image" may have a "label" of its own, 1 for liked and 0 for not:
            "winnow train kto" learns from such.
PNG written Pictures carry their settings: "parameters" in the form of the common
            web interfaces and "winnow" as JSON.
Tensors     --latents, --save-latents and --prompt-embeds are safetensors files:
            "latents" [images, channels, height, width], float32, unit variance;
            "prompt_embeds", "negative_prompt_embeds", and for XL models
            "pooled_prompt_embeds", "negative_pooled_prompt_embeds".
            model run takes and writes tensors under the names of the network's
            inputs and outputs: --inputs one for every input, --cotangents for
            any outputs, --gradients for every floating-point input. float32 may
            be given where a network wants float16 or bfloat16.
Sets        Read by the data commands, format told from the name and first row, or
            named by --format ("winnow data formats" lists them): ImageReward,
            ImageRewardDB, HPDv2, HPDv3, Pick-a-Pic v1 and v2, open-image-preferences,
            GenAI-Bench, EvalMuse, MMRB2; prompts of HPSv2, PartiPrompts, GenEval,
            DrawBench, DPG-Bench; folders of pictures with .txt files beside them;
            WebDataset .tar; CSV; JSON lines. Image paths start from the file's folder,
            from the folder beside it that has its name, or from --images. Addresses
            are kept and never fetched.
            JSON lines, one object a line: "prompt" with "images" and "rank" (lower is
            better, equal is a tie), with two "images" and "label" (1 the first is
            preferred, 0 the second, 0.5 a tie, null unknown, or a share of votes), with
            "chosen" and "rejected", with "image", or alone. An image is a path, an
            address, or {"path", "url", "data", "uid", "model", "ratings"}.
            CSV: columns prompt; image, or chosen and rejected, or image_0, image_1 and
            label; id, category, model, model_0, model_1, weight; others are kept.
            Sets that always put the preferred picture first are read with half of
            their pairs swapped, chosen by a hash of their content; --keep-order.
            Limits: 64 MiB a JSON or CSV row, 1 MiB a line of prompts, 256 MiB a
            picture, 512 MiB a parquet page, 4,096 pictures a prompt.
            Written: .jsonl, which keeps everything, and .parquet with the columns of
            Pick-a-Pic v2; there shares of votes become 0, 0.5 or 1.
Scores      JSON lines {"image", "prompt", "score", …}: written by score, read by eval and
            reference. Pictures inside parquet rows that have no name are called by
            their content, "sha256:…". Beside them lies an SQLite file with all scores
            by content (.cache), which may be removed when no run is to go on.
Pictures    of a model, for eval win-rate and benchmark: PNG files that carry their prompt,
            CATEGORY/NNNNN.jpg or NNNNN.jpg from 0, NNNNN_k.png, NNNNN/samples/0000.png,
            ID.png, ID_k.png.
Writing     Every file is written under a temporary name and renamed when it is
            complete. An existing file is replaced.
`
