"""Golden losses and gradients of objectives with clamped density ratios (package dpo), by torch.autograd in float64.

    python tests/oracle/ratios.py

writes dpo/testdata/ratios.json. "clamped" is the loss of D3PO and SPO, "ppo" that of DDPO and Flow-GRPO, written down from the papers;
log-densities are means over elements. Each row has terms (errors of policy and reference, chosen before rejected; for ppo error of the
policy, of the one that drew the step, advantage, drift), the mean loss, and derivatives with respect to the policy's errors (ppo: error and
drift). "advantages" are rewards less their mean over numpy's standard deviation, as both published codes have it.
"""

import json
import math

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
SEED = 28


def clamped(g, beta, clip):
    n = 12
    ref = 0.5 + 0.05 * torch.rand(n, 2, generator=g)
    policy = (ref + clip * torch.randn(n, 2, generator=g)).requires_grad_(True)  # about a third of the ratios are outside
    ratio = torch.exp(ref - policy).clamp(1 - clip, 1 + clip)
    loss = -torch.nn.functional.logsigmoid(beta * ratio[:, 0].log() - beta * ratio[:, 1].log()).mean()
    (grad,) = torch.autograd.grad(loss, policy)
    return {"beta": beta, "clip": clip, "terms": torch.cat([policy.detach(), ref], 1).tolist(), "value": loss.item(), "grad": grad.tolist()}


def ppo(g, clip, kl):
    n = 16
    old = 0.5 + 0.05 * torch.rand(n, generator=g)
    policy = (old + clip * torch.randn(n, generator=g)).requires_grad_(True)
    drift = (0.01 * torch.rand(n, generator=g)).requires_grad_(True)
    advantage = torch.randn(n, generator=g).mul(2).clamp(-5, 5)
    ratio = torch.exp(old - policy)
    loss = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - clip, 1 + clip)).mean() + kl * 0.5 * drift.mean()
    grad = torch.stack(torch.autograd.grad(loss, [policy, drift]), 1)
    terms = torch.stack([policy.detach(), old, advantage, drift.detach()], 1)
    return {"clip": clip, "kl": kl, "terms": terms.tolist(), "value": loss.item(), "grad": grad.tolist()}


def advantages(g, n, eps):
    rewards = np.array(torch.randn(n, generator=g).mul(3).tolist())
    rewards[0] += 40  # beyond the clamp
    want = np.clip((rewards - rewards.mean()) / (rewards.std() + eps), -5, 5)
    return {"eps": eps, "rewards": rewards.tolist(), "want": want.tolist()}


def lines(rows):
    return "[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]"


if __name__ == "__main__":
    g = torch.Generator().manual_seed(SEED)
    meta = {"made_by": "python tests/oracle/ratios.py", "torch": torch.__version__, "numpy": np.__version__, "seed": SEED}
    parts = {
        "clamped": [clamped(g, b, c) for b, c in ((0.1, 0.1), (10.0, 0.1), (3.0, 0.4))],
        "ppo": [ppo(g, c, kl) for c, kl in ((1e-4, 0.0), (0.2, 0.0), (1e-3, 0.04))],
        "advantages": [advantages(g, n, e) for n, e in ((64, 1e-8), (40, 1e-4), (2, 1e-8))],
    }
    with open("dpo/testdata/ratios.json", "w") as f:
        f.write('{"meta": %s' % json.dumps(meta) + "".join(',\n"%s": %s' % (k, lines(v)) for k, v in parts.items()) + "}\n")
    low = -math.log(1 / (1 + math.exp(-10 * math.log(1.1 / 0.9))))
    print("bound at beta 10:", low)
