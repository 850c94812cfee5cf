"""Real clients of `winnow serve`: TRL's GRPOTrainer for two steps with a tiny random language model, and clients with the shapes of
OpenRLHF's, flow_grpo's (pickles with numpy arrays) and UnifiedReward's (chat) requests, whose scores must be those of `winnow score`.

    go build -o winnow ./cmd/winnow && python tests/oracle/serve_clients.py ./winnow

Needs numpy, pillow, requests; for the first part also torch, transformers, tokenizers, datasets and trl (1.16.0 was used).
"""
import base64, io, json, os, pathlib, pickle, re, signal, subprocess, sys, tempfile

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", TRL_EXPERIMENTAL_SILENCE="1", WINNOW_SERVE_KEYS="k-1,k-2")
import numpy as np
import requests
from PIL import Image

binary = os.path.abspath(sys.argv[1])
sys.path[0] = str(pathlib.Path(__file__).resolve().parents[2] / "cmd/winnow/examples")  # not this folder, whose datasets.py hides Hugging Face's
from trl_reward import winnow_reward

rng = np.random.default_rng(3)
arrays = [np.kron(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), np.ones((16, 16, 1), dtype=np.uint8)) for _ in range(70)]
prompts = [["a red circle", "a blue square", "two green triangles"][i % 3] for i in range(70)]


def encoded(array, form):
    b = io.BytesIO()
    Image.fromarray(array).save(b, format=form)
    return b.getvalue()


def by_winnow_score(images):
    """The scores of the command, which does not know of the server."""
    with tempfile.TemporaryDirectory() as d:
        with open(f"{d}/rows.jsonl", "w") as f:
            for i, data in enumerate(images):
                pathlib.Path(f"{d}/{i}.img").write_bytes(data)
                f.write(json.dumps({"prompt": prompts[i], "image": f"{i}.img"}) + "\n")
        out = subprocess.run([binary, "score", f"{d}/rows.jsonl", "--reward", "mini", "-q"], check=True, capture_output=True, text=True).stdout
    return [json.loads(line)["score"] for line in out.splitlines()]


def close(name, got, want):
    worst = max(abs(a - b) for a, b in zip(got, want))
    assert len(got) == len(want) and worst < 1e-4, (name, len(got), len(want), worst)
    print(f"{name}: {len(got)} scores, worst difference {worst:.1e}")


def flow_grpo(url, extra):
    """Batches of at most 64, as numpy splits them; JPEG with Pillow's own quality; one session."""
    session, out = requests.Session(), []
    parts = int(np.ceil(len(arrays) / 64))
    splits = {k: np.array_split(v, parts) for k, v in extra.items()}
    for i, batch in enumerate(np.array_split(arrays, parts)):
        body = {"images": [encoded(a, "JPEG") for a in batch], **{k: v[i] if k == "prompts" else list(v[i]) for k, v in splits.items()}}
        if "meta_datas" in body:
            body["only_strict"] = True
        r = session.post(url, data=pickle.dumps(body), timeout=120)
        assert r.status_code == 200, r.text
        reply = pickle.loads(r.content)
        out += reply["outputs"] if "outputs" in reply else reply["scores"]
    return out


def openrlhf(url):
    query = [f"describe: {p}<|im_end|>\n" for p in prompts]
    labels = [json.dumps({"b64": base64.b64encode(encoded(a, "PNG")).decode()}) for a in arrays]
    r = requests.post(url, json={"query": query, "prompts": ["describe: "] * len(query), "labels": labels}, headers={"Content-Type": "application/json"}, timeout=180)
    r.raise_for_status()
    assert r.json()["rewards"] == r.json()["scores"]
    return r.json()["rewards"]


def unified_reward(url, key):
    grades = []
    for p, a in list(zip(prompts, arrays))[:12]:
        picture = "data:image;base64," + base64.b64encode(encoded(a, "PNG")).decode()
        parts = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": f"<image>\nassign a score from 1 to 5.\nText Caption: [{p}]"}]
        r = requests.post(url, json={"model": "UnifiedReward-7b-v1.5", "messages": [{"role": "user", "content": parts}], "temperature": 0},
                          headers={"Authorization": "Bearer " + key}, timeout=120)
        r.raise_for_status()
        grades.append(float(re.search(r"Final Score:\s*([1-5](?:\.\d+)?)", r.json()["choices"][0]["message"]["content"]).group(1)))
    return grades


def trl(url):
    from datasets import Dataset
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
    from trl import GRPOConfig, GRPOTrainer
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tk = Tokenizer(models.BPE())
    tk.pre_tokenizer, tk.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tk.train_from_iterator(prompts, trainers.BpeTrainer(vocab_size=300, special_tokens=["<|endoftext|>", "<|im_end|>"],
                                                        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tk, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=320, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                         max_position_embeddings=256, bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))
    seen = []
    reward = winnow_reward(url)

    def winnow(prompts, completions, **kw):
        out = reward(prompts, completions, **kw)
        seen.append(out)
        return out

    with tempfile.TemporaryDirectory() as d:
        args = GRPOConfig(output_dir=d, max_steps=2, per_device_train_batch_size=4, num_generations=4, max_completion_length=8, bf16=False, use_cpu=True,
                          report_to=[], save_strategy="no", logging_steps=1, learning_rate=1e-4, seed=0)
        rows = Dataset.from_dict({"prompt": ["describe: "] * 8, "picture": [encoded(a, "PNG") for a in arrays[:8]]})
        trainer = GRPOTrainer(model=model, reward_funcs=winnow, args=args, train_dataset=rows, processing_class=tokenizer)
        trainer.train()
        log = [h for h in trainer.state.log_history if "reward" in h]
    assert trainer.state.global_step == 2 and len(seen) == 2 and len(log) == 2, (trainer.state.global_step, seen)
    for scores, h in zip(seen, log):
        given = [s for s in scores if s is not None]
        assert given and abs(h["reward"] - sum(given) / len(given)) < 1e-4, (scores, h)
    print("TRL: 2 steps, rewards", [[None if s is None else round(s, 3) for s in g] for g in seen])


server = subprocess.Popen([binary, "serve", "--reward", "mini", "--truncate", "--listen", "127.0.0.1:0", "-q"], stdout=subprocess.PIPE, text=True)
try:
    url = server.stdout.readline().strip()
    host = url.removeprefix("http://")
    assert requests.get(url + "/v1/models", timeout=60).status_code == 401
    keyed = f"http://any:k-2@{host}"
    jpeg = by_winnow_score([encoded(a, "JPEG") for a in arrays])
    close("flow_grpo, UnifiedReward's form", flow_grpo(keyed + "/", {"prompts": prompts}), jpeg)
    close("flow_grpo, GenEval's form", flow_grpo(keyed + "/", {"meta_datas": [{"prompt": p, "tag": "colors"} for p in prompts]}), jpeg)
    png = by_winnow_score([encoded(a, "PNG") for a in arrays])
    close("OpenRLHF", openrlhf(keyed + "/openrlhf"), png)
    grades = unified_reward(url + "/v1/chat/completions", "k-1")
    order = lambda v: sorted(range(12), key=lambda i: v[i])
    by_prompt = [[i for i in range(12) if i % 3 == k] for k in range(3)]
    assert all(1 <= g <= 5 for g in grades) and all((grades[i] - grades[j]) * (png[i] - png[j]) >= 0 for g in by_prompt for i in g for j in g)
    print("UnifiedReward chat form: 12 grades in the order of the scores:", grades)
    os.environ["WINNOW_API_KEY"] = "k-1"
    try:
        import trl as _
    except ImportError:
        print("TRL: not installed, left out")
    else:
        trl(url)
finally:
    server.send_signal(signal.SIGTERM)
    code = server.wait(60)
print("exit code after SIGTERM:", code)
assert code == 0
