"""Three optimiser steps of LoRA training in torch, PEFT and diffusers: dpo/training/testdata/*.safetensors, a file for each of CASES.

Run from the repository root:  OMP_NUM_THREADS=1 python tests/oracle/training.py [KIND...]

The U-Nets and text encoders are those of tests/tiny, built again by tests/oracle/pipelines.py (sd2 predicts v). Losses are written
from the papers' formulas in methods below. Everything that a run depends on is drawn here and stored: clean latents, initial factors,
pairs, timesteps, noises, levels, labels, steps and samples of samplers. torch computes in float64 on numbers that float32 holds; the
same run in float32 is made beside it, and how far torch itself is then off is stored under "float32". In the files KIND-text the text
encoders have adapters, too: the policy reads prompts by them, the reference by the frozen ones.

Tensors (float32; P factors of an adapter one after another in the order of "factors" in the metadata)
  clean.chosen, clean.rejected [pairs, 4, 8, 8]   text.hidden [prompts, tokens, dim]   text.pooled (sdxl)
  init.<adapter> [P]                              A by kaiming_uniform(a=√5), B normal; cases without "random_b" begin with B = 0. Names of
                                                  factors of text encoders begin with text_encoder: or text_encoder_2:
  <case>.noise [draws, 4, 8, 8]                   in order of batches, pairs, draws
  <case>.x, .chosen, .rejected                    tailorpo: latents before a step, and two samples of it
  <case>.factors.<adapter> [3, P]                 after each step, those of the case's target modules only
The metadata's "about" is JSON: versions, seed, command, prompts, factors, and for each case its settings and per step loss, norm of
the gradient before clipping, learning rate, and the implicit rewards (reference error minus policy error) of every pair and draw.
"""

import contextlib
import copy
import json
import math
import os
import pathlib
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")

import diffusers
import lora
import numpy as np
import onnx
import peft
import pipelines
import torch
import torch.nn.functional as F
import transformers
from diffusers.optimization import get_scheduler
from onnx import numpy_helper
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers.optimization import Adafactor

ROOT = pathlib.Path(".").resolve()
OUT = ROOT / "dpo/training/testdata"
SEED, STEPS, RANK, ALPHA = 20, 3, 4, 6
ATTENTION, TEXT = ["to_q", "to_k", "to_v", "to_out.0"], ["q_proj", "k_proj", "v_proj", "out_proj"]
FEWER = ["attn1.to_k", "attn2.to_v", "to_out.0"]
PROMPTS = ["a big red circle left of a small blue star", "", "three GREEN triangles on a white background", "a red circle"]
LABELS = [0.73, 0.58, 0.95, 0.64]
PAIRS = 4  # pair i has prompt i

COMMON = {"optimizer": "adamw", "lr": 1e-3, "epsilon": 1e-8, "clip": 1.0, "accumulation": 1, "warmup": 0, "targets": ATTENTION, "rslora": False,
          "random_b": False, "batch": 2, "draws": 1, "beta": 0, "loss": "", "adapters": ["default"], "snr_gamma": 0, "text": False}
# Betas are smaller than published ones, and factors B larger than those of a fresh run, so that margins are well above the rounding of
# float32: at a beta of 5000, torch in float32 is off by 1e-4 in the loss.
DPO = {"method": "dpo", "beta": 200, "loss": "sigmoid"}
CHATS = {"method": "chats", "beta": 20, "adapters": ["chosen", "rejected"], "random_b": True, "null": [False, True, False]}
SMPO = {"method": "smpo", "beta": 30, "gamma": 10, "levels": 5}
TAILOR = {"method": "tailorpo", "beta": 0.1, "loss": "sigmoid", "guidance": 5, "sampler_steps": 20, "steps": [[3, 11], [0, 15], [7, 18]]}
SFT = {"method": "sft", "snr_gamma": 5}
READ = {"text": True, "epsilon": 1e-4}  # derivatives of text encoders are small: with 1e-5, float32 in torch is off by 3e-4 of an update
CASES = {
    "sd15": {
        "dpo": {**DPO, "accumulation": 2},
        "dpo-cdpo": {**DPO, "loss": "cdpo", "smoothing": 0.1, "warmup": 2, "random_b": True, "beta": 50},
        "vrpo": {**DPO, "method": "vrpo", "beta": 100, "draws": 2},
        "chats": CHATS, "smpo": SMPO, "sft": SFT, "tailorpo": TAILOR,
    },
    "sd2": {"dpo": {**DPO, "beta": 60, "epsilon": 1e-5}, "smpo": {**SMPO, "levels": 4, "random_b": True}, "sft": {**SFT, "rslora": True}, "tailorpo": {**TAILOR, "beta": 10, "random_b": True}},
    "sdxl": {
        "dpo-adafactor": {**DPO, "loss": "soft", "optimizer": "adafactor", "clip": -1},
        "chats": {**CHATS, "epsilon": 1e-4, "targets": FEWER}, "smpo": {**SMPO, "epsilon": 1e-4, "levels": 10, "targets": FEWER},
        "tailorpo": {**TAILOR, "beta": 10, "targets": FEWER},
    },
    "sd15-text": {
        "dpo": {**DPO, **READ, "accumulation": 2, "targets": FEWER}, "smpo": {**SMPO, **READ, "random_b": True, "targets": FEWER},
        "tailorpo": {**TAILOR, **READ, "beta": 10, "random_b": True, "targets": FEWER},
    },
    "sdxl-text": {"dpo": {**DPO, **READ, "beta": 20, "random_b": True, "targets": ["attn2.to_v"]}},
}


# ---- model ----------------------------------------------------------------------------------------------------------


class Model:
    """A tiny pipeline: U-Net, text embeddings, schedule."""

    shape = (4, 8, 8)  # of latents

    def __init__(self, kind):
        self.kind = kind = kind.split("-")[0]
        with tempfile.TemporaryDirectory() as tmp:
            pipelines.TINY = pathlib.Path(tmp)
            pipe = pipelines.build(kind, ROOT / "tests/tiny/sd15/tokenizer")
        # The last convolution was fitted by least squares, whose last bits are the machine's own: take the committed one.
        file = onnx.load(str(ROOT / "tests/tiny" / kind / "unet/model.onnx"))
        for t in file.graph.initializer:
            name = t.name.removesuffix("_fp16")
            if name.startswith("conv_out."):
                with torch.no_grad():
                    pipe.unet.get_parameter(name).copy_(torch.from_numpy(numpy_helper.to_array(t).astype(np.float32)))
        with torch.no_grad():
            lora.same_as_committed(kind, pipe)
            rows = [pipelines.encode(kind, pipe, p) for p in PROMPTS]
        self.unet = pipe.unet.requires_grad_(False)
        self.readers = {k: getattr(pipe, k).requires_grad_(False) for k in ("text_encoder", "text_encoder_2") if getattr(pipe, k, None) is not None}
        words = lambda name: getattr(pipe, name)(PROMPTS, padding="max_length", max_length=pipelines.LENGTH, return_tensors="pt").input_ids
        self.ids = {k: words(k.replace("text_encoder", "tokenizer")) for k in self.readers}
        self.hidden = torch.cat([r[0] for r in rows])
        self.pooled = torch.cat([r[2] for r in rows]) if kind == "sdxl" else None
        self.unet.readers = {}  # these embeddings
        with torch.no_grad():
            assert (self.read(self.readers)[0] - self.hidden).abs().max() < 1e-6 * self.hidden.abs().max(), "another reading of prompts than the pipeline's"
        self.config = json.loads((ROOT / "tests/tiny" / kind / "scheduler/scheduler_config.json").read_text())
        self.prediction = self.config.get("prediction_type", "epsilon")
        self.scheduler = diffusers.DDPMScheduler.from_config(self.config)
        self.bar = self.scheduler.alphas_cumprod

    def embeds(self, prompts, net):
        """Rows of text embeddings as a policy reads them; None is no prompt as zeros."""
        hidden, pooled = self.read(net.readers) if net.readers else (self.hidden, self.pooled)
        pick = lambda all: torch.stack([torch.zeros_like(all[0]) if p is None else all[p] for p in prompts])
        return pick(hidden), None if pooled is None else pick(pooled)

    def read(self, readers):
        """Embeddings of all prompts, as diffusers' pipelines put them together."""
        out = {k: net(self.ids[k], output_hidden_states=True) for k, net in readers.items()}
        if self.kind != "sdxl":
            return out["text_encoder"].last_hidden_state, None
        return torch.cat([o.hidden_states[-2] for o in out.values()], -1), out["text_encoder_2"].text_embeds

    def predict(self, net, x, t, embeds):
        hidden, pooled = embeds
        dtype = next(net.parameters()).dtype
        extra = None
        if pooled is not None:
            ids = torch.tensor([[32.0, 32, 0, 0, 32, 32]] * len(x))  # original size, crop, target size, in pixels
            extra = {"text_embeds": pooled.to(dtype), "time_ids": ids}
        return net(x.to(dtype), torch.as_tensor(t), hidden.to(dtype), added_cond_kwargs=extra, return_dict=False)[0]

    def empty(self):
        """The row of the pipeline's own negative prompt: SDXL has zeros, the others encode the empty string."""
        return None if self.kind == "sdxl" else PROMPTS.index("")

    def split(self, x, out, bar):
        """Clean latents and noise that an answer means at a level of that cumulative product."""
        a, s = math.sqrt(bar), math.sqrt(1 - bar)
        if self.prediction == "v_prediction":
            return a * x - s * out, s * x + a * out
        return (x - s * out) / a, out

    def noised(self, clean, t, noise):
        """x_t, what the network should answer, and what it is told."""
        t = torch.tensor(t)
        x = self.scheduler.add_noise(clean, noise, t)
        return x, self.scheduler.get_velocity(clean, noise, t) if self.prediction == "v_prediction" else noise, t.item()

    @torch.no_grad()
    def inverted(self, case, net, x0, prompt, level):
        """DDIM inversion with one ReNoise average a step (SmPO-Diffusion; Garibi et al. 2024), up to a level of the grid exactly."""
        s = diffusers.DDIMInverseScheduler.from_config(self.config, clip_sample=False)
        s.set_timesteps(case["levels"])
        x0 = x = x0.to(next(net.parameters()).dtype)
        low, e = float(s.initial_alpha_cumprod), self.embeds([prompt], net)
        for t in s.timesteps[:level].tolist():
            high = float(s.alphas_cumprod[t])
            up = lambda eps: math.sqrt(high) * (x - math.sqrt(1 - low) * eps) / math.sqrt(low) + math.sqrt(1 - high) * eps
            noise = lambda y, bar: self.split(y, self.predict(net, y[None], torch.tensor([t]), e)[0], bar)[1]
            first = noise(x, low)
            second = noise(up(first), high)
            x, low = up((first + second) / 2), high
        target = (x - math.sqrt(high) * x0) / math.sqrt(1 - high)
        if self.prediction == "v_prediction":
            target = math.sqrt(high) * target - math.sqrt(1 - high) * x0
        return x, target, t


def error(out, target):
    return ((out - target) ** 2).flatten(1).mean(1)


# ---- policies -------------------------------------------------------------------------------------------------------


def adapted(model, targets, text, rslora=False):
    """The U-Net with an adapter, and as its readers the text encoders with theirs."""
    put = lambda net, to: get_peft_model(copy.deepcopy(net), LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=to, use_rslora=rslora))
    net = put(model.unet, targets)
    net.readers = {k: put(v, TEXT) for k, v in model.readers.items()} if text else {}
    return net


def policies(model, case, init, dtype):
    """One PEFT model for each adapter, with the recorded factors."""
    out = {}
    for name in case["adapters"]:
        net = adapted(model, case["targets"], case["text"], case["rslora"]).to(dtype)
        for reader in net.readers.values():
            reader.to(dtype)
        with torch.no_grad():
            for key, p in factors(net).items():
                p.copy_(init[name][key] if "lora_A" in key or case["random_b"] else torch.zeros_like(p))
        out[name] = net
    return out


def factors(net):
    of = lambda net: {k.removeprefix("base_model.model.").replace(".default.weight", ".weight"): p for k, p in net.named_parameters() if "lora_" in k}
    return of(net) | {f"{name}:{k}": p for name, reader in net.readers.items() for k, p in of(reader).items()}


@contextlib.contextmanager
def frozen(net):
    """Makes the frozen networks of a policy."""
    with torch.no_grad(), contextlib.ExitStack() as stack:
        for part in (net, *net.readers.values()):
            stack.enter_context(part.disable_adapter())
        yield


def initial(model, cases):
    """Factors of all modules that a case adapts, as arrays: for the adapters of every case."""
    cases = [{**COMMON, **c} for c in cases.values()]
    out, used, targets = {}, {a for c in cases for a in c["adapters"]}, sorted({to for c in cases for to in c["targets"]})
    for seed, name in enumerate(("default", "chosen", "rejected")):
        if name not in used:
            continue
        torch.manual_seed(SEED + max(seed - 1, 0))  # "default" and "chosen" are the same
        net = adapted(model, targets, any(c["text"] for c in cases))
        with torch.no_grad():
            for key, p in factors(net).items():
                if "lora_B" in key:
                    p.copy_(torch.randn(p.shape) * 0.2)
        out[name] = {k: p.detach().clone() for k, p in factors(net).items()}
    return out


# ---- samples --------------------------------------------------------------------------------------------------------


def draw(model, case, clean, g):
    """Everything that chance decides about a run: a list of batches, and the tensors to store."""
    batches, tensors, noises, samples = [], {}, [], []
    for k in range(STEPS * case["accumulation"]):
        pairs = torch.randperm(PAIRS, generator=g)[: case["batch"]].tolist()
        b = {"pairs": pairs}
        if case["method"] == "tailorpo":
            b["steps"] = case["steps"][k]
            samples += [siblings(model, case, clean, i, step, g) for i, step in zip(pairs, b["steps"])]
            b["samples"] = samples[-len(pairs):]
        elif case["method"] == "smpo":
            b["level"] = torch.randint(1, case["levels"] + 1, (len(pairs),), generator=g).tolist()
        else:
            b["t"] = torch.randint(0, 1000, (len(pairs), case["draws"]), generator=g).tolist()
            b["noise"] = torch.randn(len(pairs), case["draws"], *model.shape, generator=g)
            noises.append(b["noise"].flatten(0, 1))
        if "null" in case:
            b["null"] = case["null"][k]
        batches.append(b)
    if noises:
        tensors["noise"] = torch.cat(noises)
    if samples:
        tensors |= {name: torch.stack([s[name] for s in samples]) for name in ("x", "chosen", "rejected")}
    return batches, tensors


def ddim(model, case, step):
    """Timestep, cumulative products before and after, and the deviation of a step of DDIM with eta 1 (Song et al., equation 16)."""
    s = diffusers.DDIMScheduler.from_config(model.config)
    s.set_timesteps(case["sampler_steps"])
    t, after = s.timesteps[step].item(), s.timesteps[step + 1].item()
    a, p = float(s.alphas_cumprod[t]), float(s.alphas_cumprod[after])
    return s, t, a, p, math.sqrt((1 - p) / (1 - a) * (1 - a / p))


def step_mean(model, case, net, x, prompt, step):
    """The mean of a step under guidance: the network's answer is that without a prompt plus guidance times the difference."""
    s, t, a, p, sigma = ddim(model, case, step)
    out = model.predict(net, torch.stack([x, x]), torch.tensor([t, t]), model.embeds([model.empty(), prompt], net))
    guided = out[0] + case["guidance"] * (out[1] - out[0])
    data, noise = model.split(x.to(out.dtype), guided, a)
    mean = math.sqrt(p) * data + math.sqrt(1 - p - sigma**2) * noise
    with torch.no_grad():
        same = s.step(guided, t, x.to(out.dtype), eta=1.0, variance_noise=torch.zeros_like(mean)).prev_sample
        assert (same - mean).abs().max() < 1e-5 * mean.abs().max(), "diffusers' step has another mean"
    return mean, sigma


@torch.no_grad()
def siblings(model, case, clean, pair, step, g):
    _, t, *_ = ddim(model, case, step)
    x = model.scheduler.add_noise(clean[0][pair], torch.randn(4, 8, 8, generator=g), torch.tensor(t))
    mean, sigma = step_mean(model, case, model.unet, x, pair, step)
    two = mean + sigma * torch.randn(2, 4, 8, 8, generator=g)
    return {"x": x, "chosen": two[0].float(), "rejected": two[1].float()}


# ---- methods --------------------------------------------------------------------------------------------------------


def measure(model, case, nets, clean, batch):
    """Errors of policy and reference on both pictures, [pairs, draws] each: m_w, m_l, r_w, r_l."""
    win, lose = nets[case["adapters"][0]], nets[case["adapters"][-1]]
    rows = []
    for i, pair in enumerate(batch["pairs"]):
        if case["method"] == "tailorpo":
            rows.append(measure_step(model, case, win, batch["samples"][i], pair, batch["steps"][i]))
            continue
        for d in range(case["draws"]):
            row = []
            for net, latents, c in ((win, clean[0][pair], pair), (lose, clean[1][pair], None if batch.get("null") else pair)):
                if case["method"] == "smpo":
                    x, target, t = model.inverted(case, net, latents, c, batch["level"][i])
                else:
                    x, target, t = model.noised(latents, batch["t"][i][d], batch["noise"][i, d])
                ask = lambda: error(model.predict(net, x[None], torch.tensor([t]), model.embeds([c], net)), target[None])[0]
                policy = ask()
                with frozen(net):
                    row.append((policy, ask()))
            rows.append(torch.stack([row[0][0], row[1][0], row[0][1], row[1][1]]))
    return torch.stack(rows).view(len(batch["pairs"]), -1, 4).unbind(-1)


def measure_step(model, case, net, sample, prompt, step):
    """Minus log-densities of both samples, means over elements and without constants."""
    density = lambda mean, sigma: [((sample[k] - mean) ** 2).mean() / (2 * sigma**2) for k in ("chosen", "rejected")]
    policy = density(*step_mean(model, case, net, sample["x"], prompt, step))
    with frozen(net):
        reference = density(*step_mean(model, case, net, sample["x"], prompt, step))
    return torch.stack(policy + reference)


def objective(model, case, nets, clean, batch):
    """Mean loss of a batch, and the implicit rewards [pairs, draws, 2]."""
    mw, ml, rw, rl = measure(model, case, nets, clean, batch)
    rewards = torch.stack([rw - mw, rl - ml], -1).detach()
    label = torch.tensor([LABELS[p] for p in batch["pairs"]], dtype=mw.dtype)
    beta = case["beta"]
    if case["method"] == "sft":
        weight = torch.ones_like(mw)
        if case["snr_gamma"]:
            bar = model.bar[torch.tensor(batch["t"])].double()
            snr = bar / (1 - bar)
            weight = snr.clamp(max=case["snr_gamma"]) / (snr + 1 if model.prediction == "v_prediction" else snr)
        return (weight * mw).mean(), rewards
    mw, ml, rw, rl = (v.mean(1) for v in (mw, ml, rw, rl))  # VRPO: before the logarithm of the sigmoid
    if case["method"] == "chats":
        return -F.logsigmoid(-beta * ((mw - rw) + (ml - rl))).mean(), rewards
    margin = -((mw - ml) - (rw - rl))
    if case["method"] == "smpo":
        return -F.logsigmoid(0.5 * beta * case["gamma"] * (2 * label - 1) * margin).mean(), rewards
    z = beta * margin if case["method"] == "tailorpo" else 0.5 * beta * margin
    share = {"sigmoid": 1, "cdpo": 1 - case.get("smoothing", 0), "soft": label}[case["loss"]]
    return -(share * F.logsigmoid(z) + (1 - share) * F.logsigmoid(-z)).mean(), rewards


# ---- runs -----------------------------------------------------------------------------------------------------------


def train(model, case, init, clean, batches, dtype):
    nets = policies(model, case, init, dtype)
    params = [p for net in nets.values() for p in factors(net).values()]
    if case["optimizer"] == "adafactor":
        o = Adafactor(params, lr=case["lr"], scale_parameter=False, relative_step=False, warmup_init=False)
    else:
        o = torch.optim.AdamW(params, lr=case["lr"], eps=case["epsilon"])
    schedule = get_scheduler("constant_with_warmup", o, num_warmup_steps=case["warmup"])
    steps, after = [], {name: [] for name in nets}
    for k in range(STEPS):
        o.zero_grad()
        losses, rewards = [], []
        for b in batches[k * case["accumulation"] : (k + 1) * case["accumulation"]]:
            loss, r = objective(model, case, nets, clean, b)
            (loss / case["accumulation"]).backward()
            losses.append(loss.item())
            rewards += r.flatten(0, 1).tolist()
        norm = torch.nn.utils.clip_grad_norm_(params, case["clip"] if case["clip"] > 0 else math.inf).item()
        steps.append({"loss": sum(losses) / len(losses), "grad_norm": norm, "lr": schedule.get_last_lr()[0], "rewards": rewards})
        o.step()
        schedule.step()
        for name, net in nets.items():
            after[name].append(torch.cat([p.detach().flatten() for p in factors(net).values()]).clone())
    return steps, {name: torch.stack(v) for name, v in after.items()}


def deviation(model, case, init, a, b):
    """How far run a is from run b: largest relative differences, of factors by their norm, and of single numbers by the largest that
    their factor has moved, at least the learning rate."""
    off = {k: max(abs(p[k] - q[k]) / abs(q[k]) for p, q in zip(a[0], b[0])) for k in ("loss", "grad_norm")} | {"factor": 0, "update": 0}
    for name, net in policies(model, case, init, torch.float64).items():
        begin, sizes = factors(net), [p.numel() for p in factors(net).values()]
        for x, y in zip(a[1][name], b[1][name]):
            for p, q, start in zip(x.double().split(sizes), y.split(sizes), begin.values()):
                off["factor"] = max(off["factor"], ((p - q).norm() / q.norm().clamp(min=1e-30)).item())
                moved = max((q - start.flatten()).abs().max().item(), case["lr"])
                off["update"] = max(off["update"], (p - q).abs().max().item() / moved)
    return off


# Draws whose float32 run is further off in torch itself are made again: Adam's first steps turn the sign of a derivative that is all
# rounding into a whole step.
STEADY = {"loss": 3e-6, "grad_norm": 3e-5, "factor": 2e-5, "update": 2e-4}


def steady(model, case, init, clean, seed):
    for attempt in range(20):
        batches, stored = draw(model, case, clean, torch.Generator().manual_seed(seed + attempt))
        wide = train(model, case, init, clean, batches, torch.float64)
        off = deviation(model, case, init, train(model, case, init, clean, batches, torch.float32), wide)
        rewards = [abs(x) for s in wide[0] for r in s["rewards"] for x in r]
        print(model.kind, case["method"], seed + attempt, [round(s["loss"], 5) for s in wide[0]], "norm", [round(s["grad_norm"], 4) for s in wide[0]],
              f"reward {max(rewards):.1e}", {k: float(f"{v:.1e}") for k, v in off.items()}, flush=True)
        if all(off[k] <= v for k, v in STEADY.items()):
            return seed + attempt, batches, stored, wide, off
    raise SystemExit("no steady run")


def one(kind, model, cases, command="training.py", more={}):
    g = torch.Generator().manual_seed(SEED)
    clean = [F.interpolate(torch.randn(PAIRS, model.shape[0], 4, 4, generator=g), size=(8, 8), mode="bilinear")
             + 0.3 * torch.randn(PAIRS, *model.shape, generator=g)
             for _ in range(2)]
    init = initial(model, cases)
    tensors = {"clean.chosen": clean[0], "clean.rejected": clean[1], "text.hidden": model.hidden}
    if model.pooled is not None:
        tensors["text.pooled"] = model.pooled
    for name in init:
        tensors[f"init.{name}"] = torch.cat([v.flatten() for v in init[name].values()])
    about = {
        "command": f"OMP_NUM_THREADS=1 python tests/oracle/{command}", **more, "seed": SEED, "torch": torch.__version__, "peft": peft.__version__,
        "diffusers": diffusers.__version__, "transformers": transformers.__version__, "prompts": PROMPTS, "labels": LABELS,
        "rank": RANK, "alpha": ALPHA, "factors": [[k, list(v.shape)] for k, v in init["default"].items()], "cases": [],
    }
    for name, settings in cases.items():
        case = {**COMMON, **settings}
        seed, batches, stored, wide, off = steady(model, case, init, clean, SEED + 100 * len(about["cases"]))
        tensors |= {f"{name}.{k}": v for k, v in stored.items()} | {f"{name}.factors.{k}": v for k, v in wide[1].items()}
        plain = [{k: v for k, v in b.items() if k not in ("noise", "samples", "step")} for b in batches]
        about["cases"].append({"name": name, "seed": seed, **case, "batches": plain, "results": wide[0], "float32": off})
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{kind}.safetensors"
    save_file({k: v.detach().float().contiguous().clone() for k, v in tensors.items()}, path, metadata={"about": json.dumps(about)})
    print(path, path.stat().st_size >> 10, "KiB")


if __name__ == "__main__":
    for kind in sys.argv[1:] or CASES:
        one(kind, Model(kind), CASES[kind])
