"""Three optimiser steps of further objectives on pictures in torch, PEFT and diffusers: dpo/training/testdata/*-pictures.safetensors.

    OMP_NUM_THREADS=1 python tests/oracle/training_pictures.py [sd15-pictures] [sd2-flow-pictures]

The files are laid out as those of tests/oracle/training.py, whose models, runs and tolerances these are. Losses are written on the network's
outputs, from the papers and the published scripts. Besides the tensors there:
  <case>.noise       kto: a noise for each picture of a pair, the chosen one's first, and two timesteps for each draw in "t"
  <case>.inversion   inpo: what steps of an inversion add, in order of batches, pairs, pictures (chosen first) and levels
  <case>.start [pairs, 4, 8, 8]   seppo, spin: the noise that earlier states begin a pair's picture with
"refresh" is the number of updates after which the policy becomes the reference, "snapshots" that from one state that is kept to the next, and
"opponent" in a batch the state, 0 for the base model, that makes its pictures and is its reference.
"""

import contextlib
import math
import sys

import diffusers
import torch
import torch.nn.functional as F
import training
import training_flow

MORE = {"mu": 0, "refresh": 0, "snapshots": 0, "self_steps": 3, "guidance": 3, "eta": 0.0, "levels": 0, "targets": training.FEWER, "epsilon": 1e-5, "loss": "", "random_b": True}
DPO = {"beta": 50, "loss": "sigmoid"}
CASES = {
    "sd15-pictures": {
        "kto": {"method": "kto", "beta": 20}, "mapo": {"method": "mapo", "beta": 0.1}, "dspo": {"method": "dspo", "beta": 0.05},
        "sdpo": {"method": "sdpo", **DPO, "mu": 0.6}, "rethinking": {"method": "rethinking", **DPO, "refresh": 2},
        "inpo": {"method": "inpo", "beta": 50, "levels": 4, "eta": 0.1},
        "seppo": {"method": "seppo", "beta": 50, "snapshots": 1, "opponents": [0, 1, 1]}, "spin": {"method": "spin", "beta": 50, "snapshots": 1, "opponents": [0, 1, 2]},
    },
    "sd2-flow-pictures": {"flow-dpo": {"method": "flow-dpo", **DPO, "beta": 20, "targets": training.ATTENTION}},
}
CASES = {kind: {name: {**MORE, **case} for name, case in cases.items()} for kind, cases in CASES.items()}


# ---- states ---------------------------------------------------------------------------------------------------------


def copied(net):
    return [p.detach().clone() for p in training.factors(net).values()]


@contextlib.contextmanager
def under(net, state):
    """Makes a policy what it was in an earlier state; None is the base model."""
    if state is None:
        with training.frozen(net):
            yield
        return
    with torch.no_grad():
        own = copied(net)
        put = lambda values: [p.copy_(v) for p, v in zip(training.factors(net).values(), values)]
        put(state)
        yield
        put(own)


@torch.no_grad()
def pictured(model, case, net, state, prompt, start):
    """Latents that a state makes with the model's own scheduler under guidance."""
    kind = getattr(diffusers, model.config["_class_name"])
    s = kind.from_config(model.config)
    s.set_timesteps(case["self_steps"])
    x = start.to(next(net.parameters()).dtype) * s.init_noise_sigma
    with under(net, state):
        for t in s.timesteps:
            out = model.predict(net, torch.stack([x, x]), torch.stack([t, t]), model.embeds([model.empty(), prompt], net))
            x = s.step(out[0] + case["guidance"] * (out[1] - out[0]), t, x).prev_sample
    return x


# ---- samples --------------------------------------------------------------------------------------------------------


def draw(model, case, clean, g):
    batches, tensors, noises, steps = [], {}, [], []
    each = 2 if case["method"] == "kto" else 1  # timesteps and noises of a pair
    for k in range(training.STEPS):
        pairs = torch.randperm(training.PAIRS, generator=g)[: case["batch"]].tolist()
        b = {"pairs": pairs}
        if case["method"] == "inpo":
            b["level"] = torch.randint(1, case["levels"] + 1, (len(pairs),), generator=g).tolist()
            b["samples"] = [[torch.randn(level, 4, 8, 8, generator=g) for _ in range(2)] for level in b["level"]]
            steps += [x for pair in b["samples"] for x in pair]
        else:
            b["t"] = torch.randint(0, 1000, (len(pairs), each), generator=g).tolist()
            b["noise"] = torch.randn(len(pairs), each, 4, 8, 8, generator=g)
            noises.append(b["noise"].flatten(0, 1))
        if "opponents" in case:
            b["opponent"] = case["opponents"][k]
        batches.append(b)
    if noises:
        tensors["noise"] = torch.cat(noises)
    if steps:
        tensors["inversion"] = torch.cat(steps)
    if "opponents" in case:
        tensors["start"] = torch.randn(training.PAIRS, 4, 8, 8, generator=g)
        model.start = tensors["start"]
    return batches, tensors


@torch.no_grad()
def inverted(model, case, net, x0, prompt, level, noise):
    """DDIM inversion with one answer a step, behind which a share of DDPM's noise for the way back is added (InPO)."""
    s = diffusers.DDIMInverseScheduler.from_config(model.config, clip_sample=False)
    s.set_timesteps(case["levels"])
    x0 = x = x0.to(next(net.parameters()).dtype)
    low, e = float(s.initial_alpha_cumprod), model.embeds([prompt], net)
    for z, t in zip(noise, s.timesteps[:level].tolist()):
        high = float(s.alphas_cumprod[t])
        eps = model.split(x, model.predict(net, x[None], torch.tensor([t]), e)[0], low)[1]
        x = math.sqrt(high) * (x - math.sqrt(1 - low) * eps) / math.sqrt(low) + math.sqrt(1 - high) * eps
        x = x + case["eta"] * math.sqrt((1 - low) / (1 - high) * (1 - high / low)) * z
        low = high
    return x, (x - math.sqrt(high) * x0) / math.sqrt(1 - high), t


def rows(model, case, net, state, clean, b):
    """For each pair and picture: what the network sees, should answer and is told."""
    for i, pair in enumerate(b["pairs"]):
        for side in (0, 1):
            latents = clean[side][pair]
            if side == 1 and "opponents" in case:
                latents = pictured(model, case, net, state, pair, model.start[pair])
            if case["method"] == "inpo":
                yield pair, inverted(model, case, net, latents, pair, b["level"][i], b["samples"][i][side])
                continue
            at = side % len(b["t"][i])
            yield pair, model.noised(latents, b["t"][i][at], b["noise"][i, at])


# ---- losses ---------------------------------------------------------------------------------------------------------


def measure(model, case, net, state, clean, b):
    """What policy and reference miss their targets by, [pairs, pictures, numbers]."""
    all = list(rows(model, case, net, state, clean, b))
    ask = lambda pair, x, target, t: (model.predict(net, x[None], torch.tensor([t]), model.embeds([pair], net)) - target[None]).flatten()
    misses = lambda: torch.stack([ask(pair, *row) for pair, row in all]).view(len(b["pairs"]), 2, -1)
    with under(net, state):
        reference = misses()
    return misses(), reference


def louder(model, b):
    """The weight of Rethinking DPO: 1 to 2 with 1/sqrt(SNR)."""
    noisy = ((1 - model.bar.double()) / model.bar.double()).sqrt()
    return 1 + ((noisy - noisy.min()) / (noisy.max() - noisy.min()))[torch.tensor(b["t"])[:, 0]]


def objective(model, case, net, state, clean, b):
    e, r = measure(model, case, net, state, clean, b)
    m, ref, beta, method = e.pow(2).mean(2), r.pow(2).mean(2), case["beta"], case["method"]
    if method == "rethinking":
        m, ref = m * louder(model, b)[:, None], ref * louder(model, b)[:, None]
    rewards = ref - m
    if method == "kto":
        kl = rewards.mean().clamp(min=0).detach()
        return (1 - torch.sigmoid(beta * (rewards - kl) * torch.tensor([1.0, -1.0]))).mean(), rewards.detach()
    if method == "mapo":
        phi = 0.5 * m / (torch.exp(0.5 * m) - 1)
        return m[:, 0].mean() - beta * F.logsigmoid(1000 * (phi[:, 0] - phi[:, 1])).mean(), rewards.detach()
    z = 0.5 * beta * (rewards[:, 0] - rewards[:, 1])
    if method == "dspo":
        pull = beta * (1 - torch.sigmoid(z))[:, None] * (e[:, 0] - r[:, 0])
        return (e[:, 0] - pull).pow(2).mean(), rewards.detach()
    if method == "seppo":
        s = torch.where(ref[:, 0] < m[:, 0], -1.0, 1.0)
        z = 0.5 * beta * (rewards[:, 0] - s * rewards[:, 1])
    if method == "sdpo":
        w, l = e.detach().unbind(1)
        dot = (w * l).sum(1)
        share = torch.where(dot > 0, ((1 - case["mu"]) * (w * w).sum(1) / dot).clamp(0, 1), torch.ones_like(dot))
        held = m[:, 1].detach() + share * (m[:, 1] - m[:, 1].detach())
        z = 0.5 * beta * (rewards[:, 0] - (ref[:, 1] - held))
    return -F.logsigmoid(z).mean(), rewards.detach()


# ---- runs -----------------------------------------------------------------------------------------------------------


def train(model, case, init, clean, batches, dtype):
    net = training.policies(model, case, init, dtype)["default"]
    params = list(training.factors(net).values())
    o = torch.optim.AdamW(params, lr=case["lr"], eps=case["epsilon"])
    steps, after, reference, states = [], [], None, [None]
    for k, b in enumerate(batches):
        if case["refresh"] and k and k % case["refresh"] == 0:
            reference = copied(net)
        if case["snapshots"] and k and k % case["snapshots"] == 0:
            states.append(copied(net))
        o.zero_grad()
        loss, rewards = objective(model, case, net, states[b["opponent"]] if "opponent" in b else reference, clean, b)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(params, case["clip"]).item()
        steps.append({"loss": loss.item(), "grad_norm": norm, "lr": case["lr"], "rewards": rewards.tolist()})
        o.step()
        after.append(torch.cat([p.detach().flatten() for p in params]).clone())
    return steps, {"default": torch.stack(after)}


def one(kind, model, more={}):
    training.draw, training.train = draw, train
    training.one(kind, model, CASES[kind], "training_pictures.py", more)


if __name__ == "__main__":
    for kind in sys.argv[1:] or CASES:
        if kind.startswith("sd2-flow"):
            one(kind, training_flow.Flow(), {"scheduler": training_flow.CONFIG})
        else:
            one(kind, training.Model(kind))
