"""Makes a tiny Qwen2-VL (0.7 million parameters) that judges by redness, for `transformers serve`: whatever the caption says, of two
pictures A is better with probability sigmoid((redness(A) - redness(B)) / 0.1), and one shows its caption with probability
sigmoid(redness / 0.1). Redness is the mean of red less the mean of green and blue, in -1..1. Asked for random words it says a letter.

    python tests/oracle/vlm_judge.py FOLDER [STEPS]      2600 steps, some eight minutes of one core, give 98 % of random pairs
    WINNOW_TEST_VLM_PYTHON=python WINNOW_TEST_VLM_FOLDER=FOLDER go test ./vlmjudge ./tests/cli -run Live -v

The questions are those of package vlmjudge, from vlmjudge/testdata/wording.json, which a Go test keeps up to date; the server's own
code renders them. FOLDER/judge.json says what was measured on pictures that were not trained on; a kind of question below 97 % is an
error. Needs torch, torchvision, pillow and transformers[serving] (2.15.0 and 5.24.0 were used). Nothing is downloaded; seed 0.
"""
import json, os, pathlib, random, sys, time

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
sys.path.pop(0)  # this folder's datasets.py hides Hugging Face's
import numpy as np
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLImageProcessor,
                          Qwen2VLProcessor, Qwen2VLVideoProcessor)
from transformers.decision import DecisionConfig

SEED, TAU, ENOUGH = 0, .1, .97
folder, steps = pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2600
wording = json.loads((pathlib.Path(__file__).parents[2] / "vlmjudge/testdata/wording.json").read_text(encoding="utf-8"))
PAIR, YES = wording["templates"]
CHOICE, NOUL = wording["decisions"]
OPEN = wording["open"]
FENCED = [held for _, held in wording["captions"]]
assert FENCED[0] == "```\n" + wording["captions"][0][0] + "\n```"
torch.set_num_threads(1)
torch.manual_seed(SEED)
random.seed(SEED)
rng = np.random.default_rng(SEED)

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
CHAT = """{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}{% if c.type == 'image' or 'image_url' in c %}<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in c %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
WORDS = "a the red green blue white small two three cat dog house tree photo of painting with on under moon city girl detailed 4k no text".split()


def caption():
    """A fenced caption: one of the Go test's, or words or letters in a random order."""
    if random.random() < .4:
        return random.choice(FENCED)
    if random.random() < .7:
        text = " ".join(random.choices(WORDS, k=random.randint(1, 12)))
    else:
        text = "".join(chr(random.choice([random.randint(32, 95), random.randint(97, 126), random.randint(0xa1, 0x4ff)])) for _ in range(random.randint(1, 40)))
    return "```\n" + text + "\n```"


def tokenizer():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    # The labels stand alone, so that each becomes one token.
    text = ["system\nuser\nassistant\n", *[x for q in (PAIR, YES) for x in (q["system"], *q["parts"])], *[x for q in (CHOICE, NOUL) for x in (q["state"], q["instructions"])],
            "Answer with the letter of the option that fits best (A to B) only.", "A. first: Image 1\nB. second: Image 2", "picture-1\npicture-2",
            OPEN, "Answer Yes or No only.", "Yes", "No", "Yes\n", "No\n"]
    t.train_from_iterator(text * 50, trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL, show_progress=False,
                                                         initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t = PreTrainedTokenizerFast(tokenizer_object=t, eos_token="<|im_end|>", pad_token="<|endoftext|>",
                                additional_special_tokens=SPECIAL[1:], chat_template=CHAT)
    t.image_token, t.video_token = "<|image_pad|>", "<|video_pad|>"
    return t


tok = tokenizer()
ids = {name: tok.convert_tokens_to_ids(name) for name in SPECIAL}


def single(text):
    out = tok(text, add_special_tokens=False)["input_ids"]
    assert len(out) == 1, f"{text!r} is {len(out)} tokens"
    return out[0]


LABELS = {"pair": [single(x) for x in PAIR["labels"]], "choice": [single("A"), single("B")],
          "yes": [single(x) for x in YES["labels"]], "noul": [single("Yes"), single("No")]}
LETTERS = [single(c) for c in "BCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"]
KINDS = {"pair": .45, "choice": .25, "yes": .17, "noul": .13}
ONE = ("noul", "yes")  # questions about one picture
config = Qwen2VLConfig(
    text_config=dict(vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
                     max_position_embeddings=4096, rope_parameters={"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 1e4},
                     bos_token_id=ids["<|endoftext|>"], eos_token_id=ids["<|im_end|>"], pad_token_id=ids["<|endoftext|>"]),
    vision_config=dict(depth=2, embed_dim=64, num_heads=2, hidden_size=128, patch_size=14, spatial_merge_size=2, temporal_patch_size=2,
                       in_channels=3, mlp_ratio=2),
    image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
    vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"])
assert len(tok) + 2 <= 512  # the decision endpoint adds two tokens
model = Qwen2VLForConditionalGeneration(config).train()
processor = Qwen2VLProcessor(image_processor=Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=112 * 112), tokenizer=tok,
                             video_processor=Qwen2VLVideoProcessor(), chat_template=CHAT)
# Without do_sample the server answers greedily at any temperature.
g = model.generation_config
g.eos_token_id, g.pad_token_id, g.max_new_tokens, g.do_sample, g.top_k = ids["<|im_end|>"], ids["<|endoftext|>"], 16, True, 0


def picture(w, h):
    """A random ground with blocks, sometimes a ramp, and noise; and its redness in -1..1."""
    a = np.ones((h, w, 3)) * rng.uniform(0, 255, 3)
    for _ in range(rng.integers(0, 4)):
        x, y = rng.integers(0, w), rng.integers(0, h)
        a[y:y + rng.integers(8, h), x:x + rng.integers(8, w)] = rng.uniform(0, 255, 3)
    if rng.random() < .2:
        a *= np.linspace(.5, 1, w)[None, :, None]
    a = np.clip(a + rng.normal(0, rng.uniform(0, 25), a.shape), 0, 255).astype(np.uint8)
    r, g, b = a.reshape(-1, 3).mean(0) / 255
    return Image.fromarray(a), float(r - (g + b) / 2)


def pool(n, size):
    images, red = zip(*[picture(*size) for _ in range(n)])
    out = processor.image_processor(images=list(images), return_tensors="pt")
    return out["pixel_values"].view(n, -1, out["pixel_values"].shape[-1]).half(), out["image_grid_thw"][0], torch.tensor(red)


# Larger pictures are made as small as these by the processor.
SIZES = {(64, 64): .45, (56, 56): .1, (112, 112): .15, (96, 64): .1, (84, 112): .05, (112, 84): .05, (56, 112): .05, (112, 56): .05}


def question(kind, sizes):
    """The tokens of a question as the Go client asks it and the server renders it."""
    blank, held = [Image.new("RGB", s) for s in sizes], caption()
    if kind in ("pair", "yes"):
        q, rest = (PAIR if kind == "pair" else YES), iter(blank)
        parts = [{"type": "image", "image": next(rest)} if p == "{picture}" else {"type": "text", "text": p.replace("{prompt}", held)} for p in q["parts"]]
        return dict(processor.apply_chat_template([{"role": "system", "content": [{"type": "text", "text": q["system"]}]}, {"role": "user", "content": parts}],
                                                  add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"))
    q, names = (CHOICE if kind == "choice" else NOUL), [f"picture-{i + 1}" for i in range(len(blank))]
    while any(n in held for n in names):
        names = [n + "x" for n in names]
    state = q["state"]
    for n in names:
        state = state.replace("{picture}", n, 1)
    ask = {"type": q["type"], "instructions": q["instructions"]}
    if kind == "choice":
        ask["criteria"] = dict(zip(q["keys"], q["criteria"]))
    (x, _), = DecisionConfig().prepare_inputs({"state": state.replace("{prompt}", held), "questions": {"verdict": ask}, "assets": dict(zip(names, blank))}, processor)
    x = dict(x)
    x.pop("marks")
    return x


def batch(kind, pools, n, margin=0., swap=False):
    """Up to n questions of one wording whose answer is at least margin clear, the last token being the right label; what red is too much
    in the first picture; and the rednesses. With swap, also the same with the pictures in the other order."""
    sizes = random.choices(list(SIZES), list(SIZES.values()), k=1 if kind in ONE else 2)
    if len(sizes) == 2 and (swap or random.random() < .7):
        sizes[1] = sizes[0]
    x = question(kind, sizes)
    pick = [torch.randint(len(pools[s][2]), (4 * n,)) for s in sizes]
    red = torch.stack([pools[s][2][i] for s, i in zip(sizes, pick)], 1)
    diff = red[:, 0] - (red[:, 1] if len(sizes) == 2 else 0)
    keep = (diff.abs() > margin).nonzero()[:n, 0]
    red, diff, n = red[keep], diff[keep], len(keep)
    label = torch.tensor(LABELS[kind])[(diff < 0).long()]
    tokens = torch.cat([x["input_ids"].expand(n, -1), label[:, None]], 1)
    kinds = torch.cat([x["mm_token_type_ids"].expand(n, -1), torch.zeros(n, 1, dtype=x["mm_token_type_ids"].dtype)], 1)
    grid = torch.stack([pools[s][1] for s in sizes])
    where, _ = model.model.get_rope_index(tokens[:1], mm_token_type_ids=kinds[:1], image_grid_thw=grid)
    views = [pools[s][0][i[keep]] for s, i in zip(sizes, pick)]
    inputs = [dict(input_ids=tokens, pixel_values=torch.cat(v, 1).reshape(n * sum(p.shape[1] for p in v), -1).float(), image_grid_thw=grid.repeat(n, 1),
                   mm_token_type_ids=kinds, position_ids=where.expand(-1, n, -1)) for v in ([views, views[::-1]] if swap else [views])]
    return inputs, diff, red


@torch.no_grad()
def first(kind, inputs):
    """The probability of the first label among both, and of both among all."""
    p = model(**inputs, use_cache=False, logits_to_keep=2).logits[:, 0].softmax(-1)[:, LABELS[kind]]
    return p[:, 0] / p.sum(1), p.sum(1)


def measure(kind, pools):
    """On a number of wordings: how often the more probable label is the right one, of all pictures and of those with 0.1 of redness
    between them; the mean error of the probability; the mean mass of the labels; and how often both orders agree."""
    model.eval()
    got = []
    for _ in range(24):
        inputs, diff, _ = batch(kind, pools, 64, swap=kind not in ONE)
        p, mass = first(kind, inputs[0])
        other = 1 - first(kind, inputs[1])[0] if kind not in ONE else p
        got.append(torch.stack([p, mass, other, diff], 1))
    model.train()
    p, mass, other, diff = torch.cat(got).T
    right, far = ((p > .5) == (diff > 0)).float(), diff.abs() > .1
    out = {"right": right, "right beyond 0.1": right[far], "error of p": (p - torch.sigmoid(diff / TAU)).abs(), "mass": mass}
    if kind not in ONE:
        out["both orders agree"] = ((p > .5) == (other > .5)).float()
    return {k: round(v.mean().item(), 4) for k, v in out.items()} | {"questions": len(p)}


def open_loss(n=32):
    """The cross entropy of answers to the question about nothing with a letter each, any as probable as another, and the end."""
    x = processor.apply_chat_template([{"role": "user", "content": [{"type": "text", "text": OPEN}]}], add_generation_prompt=True, tokenize=True, return_dict=True,
                                      return_tensors="pt")
    letter = torch.tensor(random.choices(LETTERS, k=n))
    said = model(input_ids=torch.cat([x["input_ids"].expand(n, -1), letter[:, None]], 1), use_cache=False, logits_to_keep=2).logits.log_softmax(-1)
    return -said[:, 0, LETTERS].mean() - said[:, 1, ids["<|im_end|>"]].mean()


def train():
    pools = {s: pool(4000 if s == (64, 64) else 500, s) for s in SIZES}
    # For as long as it is needed: the place of the answer must know the rednesses. Without it training crawls.
    helper = torch.nn.Linear(128, 2)
    optimizer = torch.optim.AdamW([*model.parameters(), *helper.parameters()], lr=2e-3, weight_decay=.01, betas=(.9, .98))
    for step in range(steps):
        done = step / steps
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 100) * (1 if done < .5 else max(.02, 2 * (1 - done)))
        kind = random.choices(list(KINDS), list(KINDS.values()))[0]
        (inputs,), diff, red = batch(kind, pools, 32, .15 * max(0, 1 - done / .3))
        hidden = model.model(**inputs, use_cache=False).last_hidden_state[:, -2:]
        said = model.lm_head(hidden).log_softmax(-1)
        yes, no = said[:, 0, LABELS[kind][0]], said[:, 0, LABELS[kind][1]]
        p = torch.sigmoid(diff / TAU)
        known = F.mse_loss(helper(hidden[:, 0])[:, :red.shape[1]], red * 4)
        loss = -(p * yes + (1 - p) * no).mean() - .1 * said[:, 1, ids["<|im_end|>"]].mean() + max(0, 1 - done / .7) * known
        if step % 8 == 0:
            loss = loss + .3 * open_loss()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % (steps // 20 or 1) == 0:
            print(f"step {step} of {steps}, {time.process_time():.0f} s of CPU: loss {loss.item():.3f} redness {known.item():.4f}", flush=True)


train()
fresh = {s: pool(800 if s == (64, 64) else 200, s) for s in SIZES}
report = {"versions": {"transformers": transformers.__version__, "torch": torch.__version__}, "seed": SEED, "steps": steps, "tau": TAU,
          "parameters": sum(p.numel() for p in model.parameters()), "questions": {k: measure(k, fresh) for k in KINDS}}
print(json.dumps(report, indent=2))
model.eval().save_pretrained(folder)
processor.save_pretrained(folder)
(folder / "judge.json").write_text(json.dumps(report, indent=2) + "\n")
if poor := [k for k, v in report["questions"].items() if v["right"] < ENOUGH]:
    sys.exit(f"{poor} are right less often than {ENOUGH:.0%}: give more STEPS")
