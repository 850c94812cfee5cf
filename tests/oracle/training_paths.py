"""Three optimiser steps on the policy's own paths in torch, PEFT and diffusers: dpo/training/testdata/*-paths.safetensors.

    OMP_NUM_THREADS=1 python tests/oracle/training_paths.py [FILE...]

The files are laid out as those of tests/oracle/training.py. SPO has its siblings as TailorPO has them there. D3PO, DDPO and Flow-GRPO
learn three times from one batch of whole paths: "<case>.states" [paths, steps + 1, 4, 8, 8] are drawn by the policy at its start, those of a
prompt side by side; "rewards" are made up, and "old" are minus the log-densities of the steps under that policy, in float64. Log-densities
are means over elements without constants. Losses are written from the papers' formulas.
"""

import math
import sys

import diffusers
import numpy as np
import torch
import torch.nn.functional as F
import training
import training_flow
from training import PROMPTS, frozen

SPO = {**training.TAILOR, "method": "spo", "beta": 10, "loss": "", "clip_range": 0.1}
PATHS = {"guidance": 3, "sampler_steps": 4, "first": 2, "paths": 2, "loss": ""}
# Derivatives are small beside those of TailorPO, and Adam turns the sign of what is all rounding into a whole step: hence D3PO's beta and
# the epsilons. Ranges are so narrow that some ratios leave them within three steps.
D3PO = {**PATHS, "method": "d3po", "beta": 10, "clip_range": 0.001, "epsilon": 1e-4}
DDPO = {**PATHS, "method": "ddpo", "paths": 3, "clip_range": 2e-4, "epsilon": 1e-4}
GRPO = {**PATHS, "method": "flow-grpo", "paths": 3, "first": 3, "clip_range": 5e-5, "flow_noise": 0.7, "epsilon": 1e-4}
CASES = {
    "sd15-paths": {"spo": {**SPO, "clip_range": 0.003, "steps": [[3, 11], [0, 12], [7, 9]]}, "d3po": D3PO, "ddpo": {**DDPO, "clip_range": 2e-3}},
    "sd2-paths": {"spo": {**SPO, "random_b": True}, "ddpo": {**DDPO, "random_b": True}},
    "sd2-flow-paths": {
        "flow-grpo": GRPO, "flow-grpo-kl": {**GRPO, "kl_weight": 0.5, "random_b": True, "clip_range": 0.05},
        "d3po": {**D3PO, "flow_noise": 0.7},
    },
}


# ---- sampler --------------------------------------------------------------------------------------------------------


def step(model, case, i):
    """Timestep, deviation, and a function of latents and answer that gives the mean, of step i of a sampler that draws noise."""
    if model.prediction == "flow":
        s = diffusers.FlowMatchEulerDiscreteScheduler.from_config(model.config)
        s.set_timesteps(case["sampler_steps"])
        sigmas = s.sigmas.double().tolist()
        sigma, dt = sigmas[i], sigmas[i + 1] - sigmas[i]
        dev = case["flow_noise"] * math.sqrt(sigma / (1 - (sigmas[1] if sigma == 1 else sigma)))
        mean = lambda x, v: x + (v + dev**2 / (2 * sigma) * (x + (1 - sigma) * v)) * dt
        return s.timesteps[i].item(), dev * math.sqrt(-dt), mean
    _, t, a, p, sigma = training.ddim(model, case, i)

    def mean(x, out):
        data, noise = model.split(x, out, a)
        return math.sqrt(p) * data + math.sqrt(1 - p - sigma**2) * noise

    return t, sigma, mean


def step_mean(model, case, net, x, prompt, i):
    t, sigma, mean = step(model, case, i)
    out = model.predict(net, torch.stack([x, x]), torch.tensor([t, t]), model.embeds([model.empty(), prompt], net))
    x = x.to(out.dtype)
    guided = out[0] + case["guidance"] * (out[1] - out[0])
    if model.prediction != "flow":
        s = diffusers.DDIMScheduler.from_config(model.config)
        s.set_timesteps(case["sampler_steps"])
        with torch.no_grad():
            same = s.step(guided, t, x, eta=1.0, variance_noise=torch.zeros_like(x)).prev_sample
            assert (same - mean(x, guided)).abs().max() < 1e-5 * same.abs().max(), "diffusers' step has another mean"
    return mean(x, guided), sigma


def error(model, case, net, states, prompt, i):
    mean, sigma = step_mean(model, case, net, states[i], prompt, i)
    return ((states[i + 1].to(mean.dtype) - mean) ** 2).mean() / (2 * sigma**2)


# ---- samples --------------------------------------------------------------------------------------------------------

plain_draw, plain_deviation = training.draw, training.deviation
START = {}  # factors at the start of the file's runs


def draw(model, case, clean, g):
    if case["method"] == "spo":
        return plain_draw(model, {**case, "method": "tailorpo"}, clean, g)
    net = training.policies(model, case, START, torch.float64)["default"]
    prompts = torch.randperm(len(PROMPTS), generator=g)[: case["batch"]].tolist()
    states, old = [], []
    with torch.no_grad():
        for prompt in prompts:
            first = torch.randn(*model.shape, generator=g)
            for _ in range(case["paths"]):
                x = [first if case["method"] == "d3po" else torch.randn(*model.shape, generator=g)]
                for i in range(case["first"]):
                    mean, sigma = step_mean(model, case, net, x[i], prompt, i)
                    x.append((mean + sigma * torch.randn(*model.shape, generator=g)).float())
                x += [x[-1]] * (case["sampler_steps"] - case["first"])  # nobody looks at the rest
                states.append(torch.stack(x))
                old.append([error(model, case, net, states[-1], prompt, i).item() for i in range(case["first"])])
    rewards = torch.randn(len(states), generator=g).tolist()
    batch = {"pairs": prompts, "rewards": rewards, "old": old, "samples": states}
    return [batch] * training.STEPS, {"states": torch.stack(states)}


def advantages(case, rewards):
    of = lambda r, eps: (r - r.mean()) / (r.std() + eps)
    r = np.array(rewards)
    if case["method"] == "flow-grpo":
        out = np.concatenate([of(group, 1e-4) for group in r.reshape(-1, case["paths"])])
    else:
        out = of(r, 1e-8)
    return torch.from_numpy(np.clip(out, -5, 5))


def deviation(model, case, init, a, b):
    """A loss of advantages is about 0: what it is off by counts in their unit."""
    shift = 1 if case["method"] in ("ddpo", "flow-grpo") else 0
    lift = lambda run: ([{**s, "loss": s["loss"] + shift} for s in run[0]], run[1])
    return plain_deviation(model, case, init, lift(a), lift(b))


# ---- losses ---------------------------------------------------------------------------------------------------------


def preferred(case, chosen, rejected):
    """The loss of log ratios of both steps."""
    inside = lambda log: torch.exp(log).clamp(1 - case["clip_range"], 1 + case["clip_range"]).log()
    outside = torch.stack([(torch.exp(v) - 1).abs() > case["clip_range"] for v in (chosen, rejected)])
    print(f"outside {outside.float().mean().item():.2f} ", end="")
    return -F.logsigmoid(case["beta"] * (inside(chosen) - inside(rejected))).mean()


def objective(model, case, nets, clean, batch):
    net = nets["default"]
    if case["method"] == "spo":
        mw, ml, rw, rl = training.measure(model, {**case, "method": "tailorpo"}, nets, clean, batch)
        return preferred(case, rw - mw, rl - ml), torch.stack([rw - mw, rl - ml], -1).detach()
    prompts = [p for p in batch["pairs"] for _ in range(case["paths"])]
    all = lambda: torch.stack([torch.stack([error(model, case, net, s, p, i) for i in range(case["first"])]) for s, p in zip(batch["samples"], prompts)])
    now, none = all(), torch.zeros(1, 1, 2)
    if case["method"] == "d3po":
        with frozen(net):
            base = all()
        log = base - now
        order = [(a, a + 1) if batch["rewards"][a] > batch["rewards"][a + 1] else (a + 1, a) for a in range(0, len(prompts), 2)]
        return preferred(case, torch.cat([log[w] for w, _ in order]), torch.cat([log[l] for _, l in order])), none
    ratio = torch.exp(torch.tensor(batch["old"]).to(now) - now)
    a = advantages(case, batch["rewards"]).to(now)[:, None]
    free, clipped = -a * ratio, -a * ratio.clamp(1 - case["clip_range"], 1 + case["clip_range"])
    print(f"clipped {(clipped > free).float().mean().item():.2f} ", end="")
    loss = torch.maximum(free, clipped).mean()
    return loss + case.get("kl_weight", 0) * divergence(model, case, net, batch, prompts), none


def divergence(model, case, net, batch, prompts):
    """Of every step's normal distribution from the reference's, mean over elements."""
    if not case.get("kl_weight"):
        return 0
    rows = []
    for s, p in zip(batch["samples"], prompts):
        for i in range(case["first"]):
            mean, sigma = step_mean(model, case, net, s[i], p, i)
            with frozen(net):
                base, _ = step_mean(model, case, net, s[i], p, i)
            rows.append(((mean - base) ** 2).mean() / (2 * sigma**2))
    return torch.stack(rows).mean()


def use():
    """Makes training.py learn from paths."""
    training.draw, training.objective, training.deviation = draw, objective, deviation


if __name__ == "__main__":
    use()
    for kind in sys.argv[1:] or CASES:
        flow = "flow" in kind
        model = training_flow.Flow() if flow else training.Model(kind)
        START.update(training.initial(model, CASES[kind]))
        training.one(kind, model, CASES[kind], "training_paths.py", {"scheduler": training_flow.CONFIG} if flow else {})
