"""Real readers of `winnow judge dataset`: Hugging Face's datasets and TRL's message preparation, and the rules by which verl and
LLaMA-Factory find pictures; then TRL's GRPOTrainer for two steps with cmd/winnow/examples/judge_reward.py against `winnow serve`, and
OpenEnv's own client against its WebSocket.

    go build -o winnow ./cmd/winnow && python tests/oracle/judge_dataset.py ./winnow [FOLDER]

FOLDER is a judge of vlm_judge.py: then GRPOTrainer also trains that one, with the pictures of the set.
Needs pillow, numpy, requests, datasets, trl (1.16.0 was used), torch, transformers, tokenizers; for the last part openenv-core (0.3.0).
"""
import base64, io, json, os, pathlib, re, signal, subprocess, sys, tempfile

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", TRL_EXPERIMENTAL_SILENCE="1", WINNOW_SERVE_KEYS="k-1")
import numpy as np
import requests
from PIL import Image

binary = os.path.abspath(sys.argv[1])
sys.path[0] = str(pathlib.Path(__file__).resolve().parents[2] / "cmd/winnow/examples")  # not this folder, whose datasets.py hides Hugging Face's
from datasets import load_dataset
from judge_reward import compute_score, judge_reward

rng = np.random.default_rng(5)


def png(seed):
    b = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(b, format="PNG")
    return b.getvalue()


def pixels(image):
    return np.asarray(image.convert("RGB")).tobytes()


def preferences(folder):
    """24 pairs of 12 prompts; pictures are files. Truth by the pair of pictures."""
    truth = {}
    with open(f"{folder}/pairs.jsonl", "w") as f:
        for i in range(24):
            names = [f"{2 * i}.png", f"{2 * i + 1}.png"]
            for k, n in enumerate(names):
                pathlib.Path(folder, n).write_bytes(png(2 * i + k))
            share = [0.9, 0.25, 1.0, 0.0][i % 4]
            truth[tuple(pixels(Image.open(f"{folder}/{n}")) for n in names)] = share
            f.write(json.dumps({"prompt": f"a picture of {i % 12} <image> foxes", "images": names, "label": share}) + "\n")
    pathlib.Path(folder, "test.txt").write_text("A picture of 3 <image>  foxes.\n")
    return truth


def make(folder, layout, form, *more):
    out = f"{folder}/{layout}-{len(more)}.{form}"
    subprocess.run([binary, "judge", "dataset", "--data", f"{folder}/pairs.jsonl", "--exclude", f"{folder}/test.txt", "--layout", layout, "--output", out, *more], check=True)
    return load_dataset("json" if form == "jsonl" else "parquet", data_files=out, cache_dir=f"{folder}/hf")["train"]


def check(name, rows, images, truth, want):
    """images and truth read a row; every pair is there in both orders, with its share."""
    seen = {}
    for row in rows:
        pair = tuple(pixels(im) for im in images(row))
        seen[pair] = json.loads(truth(row))["share"]
    full = {}
    for (a, b), share in want.items():
        full[a, b], full[b, a] = share, 1 - share
    kept = {p: s for p, s in full.items() if p in seen}
    assert len(seen) == len(rows) == 44 and all(abs(seen[p] - s) < 1e-9 for p, s in kept.items()) and len(kept) == 44, (name, len(rows), len(kept))
    print(f"{name}: {len(rows)} questions, pictures and shares right")


def readers(folder):
    from trl.data_utils import prepare_multimodal_messages

    want = preferences(folder)
    opened = lambda row: [Image.open(p) for p in row["images"]]
    for form, images in (("parquet", lambda r: r["images"]), ("jsonl", opened)):
        rows = make(folder, "trl", form)
        check(f"TRL, {form}", rows, images, lambda r: r["truth"], want)
        drop = lambda m: [{**x, "content": [{k: v for k, v in c.items() if v is not None} for c in x["content"]]} for x in m]
        for row in rows:
            messages = prepare_multimodal_messages(drop(row["prompt"]), images(row))
            parts = messages[1]["content"]
            assert [p["type"] for p in parts] == ["text", "text", "image", "text", "image", "text"] and parts[1]["text"] == "Image 1:"
            assert pixels(parts[2]["image"]) == pixels(images(row)[0]) and "< image>" in parts[0]["text"]
    rows = make(folder, "verl", "parquet")
    check("verl", rows, lambda r: r["images"], lambda r: r["reward_model"]["ground_truth"], want)
    for row in rows:  # verl splits the text at <image>, and needs as many as there are pictures
        assert re.split("(<image>)", row["prompt"][1]["content"]).count("<image>") == len(row["images"]) == 2
    rows = make(folder, "llama-factory", "jsonl")
    check("LLaMA-Factory", rows, opened, lambda r: r["truth"], want)
    for row in rows:
        roles = [m["role"] for m in row["messages"]]
        right = "1" if json.loads(row["truth"])["share"] > 0.5 else "2"
        assert roles == ["system", "user", "assistant"] and row["messages"][2]["content"] == right and row["messages"][1]["content"].count("<image>") == 2
    share = make(folder, "trl", "parquet", "--share", "0.25")
    again = make(folder, "trl", "jsonl", "--share", "0.25", "--orders", "one")
    assert 0 < len(share) < 44 and set(share["prompt_id"]) == set(again["prompt_id"]) and len(share) == 2 * len(again)
    print(f"a quarter: {len(set(share['prompt_id']))} of 11 prompts, the same in two runs")
    return [load_dataset("parquet", data_files=f"{folder}/trl-0.parquet", cache_dir=f"{folder}/hf2")["train"], make(folder, "trl", "parquet", "--question", "direct")]


def trl(url, rows):
    """Text only: a tiny random language model reads the question without its pictures."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
    from trl import GRPOConfig, GRPOTrainer
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tk = Tokenizer(models.BPE())
    tk.pre_tokenizer, tk.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tk.train_from_iterator(["<think>x</think><answer>1</answer>"], trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>", "<|im_end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tk, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=320, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                         max_position_embeddings=256, bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))
    seen, reward = [], judge_reward(url, format=0.2)
    answers = ["<think>x</think><answer>1</answer>", "<think>x</think><answer>2</answer>", "<answer>1</answer>"]

    def winnow_judge(prompts, completions, truth, **kw):
        written = [answers[i] if i < len(answers) else c for i, c in enumerate(completions)]  # a random model writes nothing readable
        out = reward(prompts, written, truth, **kw)
        seen.append((written, truth, out))
        return out

    text = rows.remove_columns(["images"]).map(lambda r: {"prompt": "which? "})
    with tempfile.TemporaryDirectory() as d:
        args = GRPOConfig(output_dir=d, max_steps=2, per_device_train_batch_size=4, num_generations=4, max_completion_length=8, bf16=False, use_cpu=True,
                          report_to=[], save_strategy="no", logging_steps=1, learning_rate=1e-4, seed=0)
        trainer = GRPOTrainer(model=model, reward_funcs=winnow_judge, args=args, train_dataset=text, processing_class=tokenizer)
        trainer.train()
        log = [h for h in trainer.state.log_history if "reward" in h]
    assert trainer.state.global_step == 2 and len(seen) == 2 and len(log) == 2
    for (written, truth, out), h in zip(seen, log):
        for w, t, r in zip(written, truth, out):
            q, said = json.loads(t)["share"], {"1": 1, "2": 0}.get((re.findall("<answer>(.)", w) or [""])[0])
            want = 0 if said is None else 0.5 * ((said > 0.5) == (q > 0.5)) + 0.5 * (1 - (said - q) ** 2) + 0.2 * w.startswith("<think>")
            assert abs(r - want) < 1e-9, (w, t, r, want)
        assert abs(h["reward"] - sum(out) / len(out)) < 1e-4 and "winnow_order" in str(h), h
    print("TRL: 2 steps, rewards", [[round(r, 3) for r in out] for _, _, out in seen])


def trl_sees(url, rows, folder):
    """The set as it was written, pictures and all, trains a judge that sees them."""
    from transformers import AutoProcessor, Qwen2VLForConditionalGeneration
    from trl import GRPOConfig, GRPOTrainer
    import torch

    torch.manual_seed(0)
    model, given, seen, looks = Qwen2VLForConditionalGeneration.from_pretrained(folder), judge_reward(url, format=0.2), [], []
    before = {k: v.detach().clone() for k, v in model.named_parameters() if "visual" in k}
    model.model.visual.register_forward_hook(lambda *_: looks.append(1))

    def winnow_judge(prompts, completions, truth, **kw):
        seen.append(([c[-1]["content"].strip() for c in completions], given(prompts, completions, truth, **kw)))
        return seen[-1][1]

    with tempfile.TemporaryDirectory() as d:
        args = GRPOConfig(output_dir=d, max_steps=2, per_device_train_batch_size=8, num_generations=8, max_completion_length=4, bf16=False, use_cpu=True,
                          activation_checkpointing=False, report_to=[], save_strategy="no", logging_steps=1, learning_rate=1e-3, seed=0)
        trainer = GRPOTrainer(model=model, reward_funcs=winnow_judge, args=args, train_dataset=rows, processing_class=AutoProcessor.from_pretrained(folder))
        trainer.train()
    moved = max((model.get_parameter(k) - v).abs().max().item() for k, v in before.items())
    assert trainer.state.global_step == 2 and len(seen) == 2 and looks and moved > 1e-4 and len({r for _, out in seen for r in out}) > 1, (seen, looks, moved)
    print("TRL, a judge that sees: 2 steps,", [[f"{w!r} {r:.3f}" for w, r in zip(*s)] for s in seen], "weights of its eyes moved by", f"{moved:.0e}")


def openenv(url):
    from openenv.core.generic_client import GenericEnvClient

    image = base64.b64encode(png(1)).decode()
    with GenericEnvClient(base_url=url).sync() as env:
        first = env.reset()
        step = env.step({"prompt": "a red circle", "images": [image]})
        assert not first.done and step.done and step.reward == step.observation["scores"][0] and env.state()["step_count"] == 1, (first, step)
    plain = requests.post(url + "/step", json={"action": {"prompt": "a red circle", "images": [image]}}, timeout=60)
    assert plain.status_code == 200 and plain.json()["done"] and abs(plain.json()["reward"] - step.reward) < 1e-6, plain.text
    print("OpenEnv's client, WebSocket, and plain HTTP: reward", round(step.reward, 4))


with tempfile.TemporaryDirectory() as folder:
    rows, direct = readers(folder)
    server = subprocess.Popen([binary, "serve", "--reward", "mini", "--listen", "127.0.0.1:0", "-q"], stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        os.environ.update(WINNOW_API_KEY="k-1", WINNOW_URL=url)
        got = compute_score("winnow/judge", "<think>x</think><answer>1</answer>", '{"share": 0.8}')
        assert abs(got["score"] - (0.5 + 0.5 * 0.96 + 0.1)) < 1e-9, got
        print("verl's reward function:", got)
        trl(url, rows)
        if len(sys.argv) > 2:
            trl_sees(url, direct, sys.argv[2])
        try:
            import openenv as _
        except ImportError:
            print("OpenEnv: not installed, left out")
        else:
            openenv(url.replace("http://", "http://any:k-1@") + "/openenv")
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(120)
    assert code == 0, code
