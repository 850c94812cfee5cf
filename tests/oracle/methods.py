"""Golden losses and gradients of objectives that look at more than four errors (package dpo), by torch.autograd in float64.

    python tests/oracle/methods.py

writes dpo/testdata/methods.json. Each row has outputs of policy and reference and targets for the chosen and the rejected pictures of a
few pairs, and the derivatives of the loss with respect to the policy's outputs. Losses are written on the outputs, from the papers and
the published scripts, and know nothing of the errors, drifts and products that package dpo takes them apart into. What scripts detach
is detached here.
"""

import json

import torch
from torch.nn.functional import logsigmoid, mse_loss

torch.set_default_dtype(torch.float64)
SEED, PAIRS, SIZE = 20261128, 4, 16


def mapo(row, policy, ref, target):
    """github.com/mapo-t2i/mapo: snr_value 0.5, 1000 timesteps."""
    w, l = ((policy - target) ** 2).mean(2)
    snr = 0.5
    odds = (snr * w) / (torch.exp(snr * w) - 1) - (snr * l) / (torch.exp(snr * l) - 1)
    return w.mean() - row["beta"] * logsigmoid(1000 * odds).mean()


def inside(row, policy, ref, target, scale=None):
    (mw, ml), (rw, rl) = ((policy - target) ** 2).mean(2), ((ref - target) ** 2).mean(2)
    if scale is not None:
        ml = ml.detach() + scale * (ml - ml.detach())
    return -0.5 * row["beta"] * ((mw - ml) - (rw - rl))


def dspo(row, policy, ref, target):
    z = inside(row, policy, ref, target)
    pull = row["beta"] * (1 - torch.sigmoid(z))[:, None] * (policy[0] - ref[0])
    return (((policy[0] - target[0]) - pull) ** 2).mean(1).mean()


def sdpo(row, policy, ref, target):
    """The safeguard pair by pair, with gradients of the pair's own errors by autograd."""
    scales = []
    for i in range(PAIRS):
        w, l = (policy[k, i].detach().requires_grad_(True) for k in (0, 1))
        (gw,) = torch.autograd.grad(mse_loss(w, target[0, i]), w)
        (gl,) = torch.autograd.grad(mse_loss(l, target[1, i]), l)
        dot = (gw * gl).sum()
        scales.append(((1 - row["mu"]) * (gw**2).sum() / dot).clamp(0, 1) if dot > 0 else torch.tensor(1.0))
    return -logsigmoid(inside(row, policy, ref, target, torch.stack(scales))).mean()


def seppo(row, policy, ref, target):
    (mw, mg), (rw, rg) = ((policy - target) ** 2).mean(2), ((ref - target) ** 2).mean(2)
    s = torch.where(rw < mw, -1.0, 1.0)
    return -logsigmoid(-0.5 * row["beta"] * ((mw - rw) - s * (mg - rg))).mean()


def dpo(row, policy, ref, target):
    return -logsigmoid(inside(row, policy, ref, target)).mean()


def kto(row, policy, ref, target):
    """github.com/jacklishufan/diffusion-kto: the reference point is the batch's mean, at least 0 and detached."""
    g = -(((policy - target) ** 2).mean(2) - ((ref - target) ** 2).mean(2))
    kl = g.mean().clamp(min=0).detach()
    h = torch.sigmoid(row["beta"] * torch.stack([g[0] - kl, -(g[1] - kl)]))
    return (torch.tensor([row["desirable"], row["undesirable"]])[:, None] * (1 - h)).mean()


METHODS = {"mapo": mapo, "dspo": dspo, "sdpo": sdpo, "seppo": seppo, "kto": kto} | dict.fromkeys(("spin", "inpo", "rethinking", "flow-dpo"), dpo)


def settings():
    for beta in (0.1, 2.0):
        yield {"method": "mapo", "beta": beta}
    for beta in (0.001, 0.05, 3.0):
        yield {"method": "dspo", "beta": beta}
    for mu in (0.9, 0.6, 0.2):
        yield {"method": "sdpo", "beta": 10.0, "mu": mu}
    for beta in (3.0, 40.0):
        yield {"method": "seppo", "beta": beta}
    for name in ("spin", "inpo", "rethinking", "flow-dpo"):
        yield {"method": name, "beta": 10.0}
    for beta in (2.0, 40.0):
        yield {"method": "kto", "beta": beta, "desirable": 1.0, "undesirable": 1.0}
    yield {"method": "kto", "beta": 10.0, "desirable": 1.5, "undesirable": 0.5}


def rows(g):
    single = lambda *shape: torch.randn(*shape, generator=g).float().double()
    for row in settings():
        target = single(2, PAIRS, SIZE)
        shared = 0.4 * single(1, PAIRS, SIZE)  # both pictures of a pair are missed alike, so that their gradients are not orthogonal
        policy = (target + shared + 0.3 * single(2, PAIRS, SIZE)).float().double().requires_grad_(True)
        ref = (target + shared + 0.3 * single(2, PAIRS, SIZE)).float().double()
        loss = METHODS[row["method"]](row, policy, ref, target)
        (grad,) = torch.autograd.grad(loss, policy)
        yield row | dict(target=target.tolist(), policy=policy.detach().tolist(), ref=ref.tolist(), value=loss.item(), grad=grad.tolist())


if __name__ == "__main__":
    meta = dict(made_by="python tests/oracle/methods.py", torch=torch.__version__, seed=SEED)
    text = ",\n".join(json.dumps(r) for r in rows(torch.Generator().manual_seed(SEED)))
    with open("dpo/testdata/methods.json", "w") as f:
        f.write('{"meta": %s,\n"rows": [\n%s\n]}\n' % (json.dumps(meta), text))
