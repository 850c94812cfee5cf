"""Three optimiser steps of NCP-DPO, NCP-CPO and NCP-SFT in torch, PEFT and diffusers: dpo/training/testdata/{sd15,sd2,sdxl}-ncp.safetensors.

    OMP_NUM_THREADS=1 python tests/oracle/training_ncp.py [KIND...]

The files are laid out as those of tests/oracle/training.py, with one tensor more: <case>.step [draws, 4, 8, 8], the noise of the DDPM step behind
each draw. Errors are those of Gambashidze et al. 2024 (arXiv 2406.17636) with the mid block's output as the feature: torch's own mid block, by a
hook, of a copy of the base U-Net in the precision of the run. The folder's scheduler gives way to the metadata's "scheduler", of 20 long steps: a
step of a thousand moves the features of these networks by so little that float32, in torch as well, keeps two digits of a margin. One pair is
at timestep 0, whose step is none.
"""

import copy
import sys

import diffusers
import torch
import torch.nn.functional as F
import training

NCP = {"method": "ncp", "loss": "sigmoid", "beta": 200}
CONFIG = {"_class_name": "DDIMScheduler", "num_train_timesteps": 20, "beta_start": 0.02, "beta_end": 0.5, "beta_schedule": "scaled_linear",
          "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
CASES = {
    "sd15-ncp": {
        "ncp": {**NCP, "accumulation": 2, "zero": True},
        "ncp-cpo": {**NCP, "loss": "cpo", "sft_weight": 10, "random_b": True},
        "ncp-sft": {"method": "ncp-sft", "random_b": True},
        "ncp-text": {**NCP, **training.READ, "beta": 80, "epsilon": 1e-3, "random_b": True, "targets": training.FEWER},
    },
    "sd2-ncp": {"ncp": {**NCP, "random_b": True}},
    "sdxl-ncp": {"ncp": {**NCP, "beta": 100, "epsilon": 1e-3, "random_b": True, "draws": 2, "targets": training.FEWER}},
}
eyes = {}


class Long(training.Model):
    def __init__(self, kind):
        super().__init__(kind)
        self.config = {**CONFIG, "prediction_type": self.prediction}
        self.scheduler = diffusers.DDPMScheduler.from_config(self.config)
        self.bar = self.scheduler.alphas_cumprod


def draw(model, case, clean, g):
    batches, tensors = plain_draw(model, case, clean, g)
    steps = []
    for i, b in enumerate(batches):
        b["t"] = [[t % 20 for t in row] for row in b["t"]]
        if case.get("zero") and i == 1:
            b["t"][0][0] = 0
        b["step"] = torch.randn(b["noise"].shape, generator=g)
        steps.append(b["step"].flatten(0, 1))
    return batches, tensors | {"step": torch.cat(steps)}


def step(model, x, out, t, z):
    """Latents one step of DDPM further (Ho et al. 2020, equation 7, fixed_small variance); from timestep 0 where they are."""
    a, p = float(model.bar[t]), float(model.bar[max(t - 1, 0)])
    alpha, x = a / p, x.to(out.dtype)
    data, _ = model.split(x, out, a)
    mean = p**0.5 * (1 - alpha) / (1 - a) * data + alpha**0.5 * (1 - p) / (1 - a) * x
    moved = mean + ((1 - p) / (1 - a) * (1 - alpha)) ** 0.5 * z
    if t > 0:
        s = diffusers.DDPMScheduler.from_config(model.config, clip_sample=False, variance_type="fixed_small")
        where = diffusers.schedulers.scheduling_ddpm
        drawn, where.randn_tensor = where.randn_tensor, lambda *_, **__: z.to(out.dtype)
        with torch.no_grad():
            same = s.step(out, t, x).prev_sample
        where.randn_tensor = drawn
        assert (same - moved).abs().max() < 1e-4 * moved.abs().max(), "diffusers' step leads elsewhere"
    return moved


def features(model, x, t, prompt):
    key = (model.kind, x.dtype)
    if key not in eyes:
        net = eyes[key] = copy.deepcopy(model.unet).to(x.dtype).requires_grad_(False)
        net.readers = {}
        net.seen = []
        net.mid_block.register_forward_hook(lambda _, __, out: net.seen.append(out))
    net = eyes[key]
    net.seen.clear()
    model.predict(net, x[None], torch.tensor([max(t - 1, 0)]), model.embeds([prompt], net))
    return net.seen[0][0]


def measure(model, case, nets, clean, batch):
    """Errors [pairs, draws] of policy and reference on both pictures: m_w, m_l, r_w, r_l."""
    net, rows = nets["default"], []
    for i, pair in enumerate(batch["pairs"]):
        for d in range(case["draws"]):
            row, z = [], batch["step"][i, d]
            for latents in (clean[0][pair], clean[1][pair]):
                x, target, t = model.noised(latents, batch["t"][i][d], batch["noise"][i, d])

                def ask():
                    out = model.predict(net, x[None], torch.tensor([t]), model.embeds([pair], net))[0]
                    seen = lambda answer: features(model, step(model, x, answer.to(out.dtype), t, z), t, pair)
                    return ((seen(out) - seen(target)) ** 2).mean()

                policy = ask()
                with training.frozen(net):
                    row.append((policy, ask()))
            rows.append(torch.stack([row[0][0], row[1][0], row[0][1], row[1][1]]))
    return torch.stack(rows).view(len(batch["pairs"]), -1, 4).unbind(-1)


def objective(model, case, nets, clean, batch):
    mw, ml, rw, rl = measure(model, case, nets, clean, batch)
    rewards = torch.stack([rw - mw, rl - ml], -1).detach()
    mw, ml, rw, rl = (v.mean(1) for v in (mw, ml, rw, rl))
    if case["method"] == "ncp-sft":
        return mw.mean(), rewards
    if case["loss"] == "cpo":
        return (-F.logsigmoid(-case["beta"] * (mw - ml)) + case["sft_weight"] * mw).mean(), rewards
    return -F.logsigmoid(-case["beta"] * ((mw - ml) - (rw - rl))).mean(), rewards


plain_draw, training.draw, training.objective = training.draw, draw, objective

if __name__ == "__main__":
    for kind in sys.argv[1:] or CASES:
        model = Long(kind)
        training.one(kind, model, CASES[kind], "training_ncp.py", {"scheduler": model.config})
