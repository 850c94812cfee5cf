"""Golden losses and gradients of the training objectives (package dpo), by torch.autograd in float64.

    python tests/oracle/objectives.py

writes dpo/testdata/objectives.json. The formulas are written down anew from the papers and, for the losses of --loss, in
the form that TRL's DPO trainer has them (IPO times beta squared, see dpo/loss_ipo.go). Three lists:

- "errors": four errors and a label for each pair; derivatives with respect to the policy's errors.
- "outputs": network outputs and targets of one batch; derivatives with respect to the outputs of the policy.
- "steps": means of sampler steps and their samples; derivatives with respect to the means, log-densities by
  torch.distributions.
"""

import json

import torch
from torch.nn.functional import logsigmoid, mse_loss

torch.set_default_dtype(torch.float64)
SEED = 20261127
LOSSES = ["sigmoid", "hinge", "ipo", "cdpo", "robust", "soft"]


def trl(loss, delta, beta, eps, label):
    """Per-pair losses of delta = log ratio of chosen minus log ratio of rejected."""
    if loss == "sigmoid":
        return -logsigmoid(beta * delta)
    if loss == "hinge":
        return torch.relu(1 - beta * delta)
    if loss == "ipo":
        return (delta - 1 / (2 * beta)) ** 2 * beta**2
    if loss == "cdpo":
        return -logsigmoid(beta * delta) * (1 - eps) - logsigmoid(-beta * delta) * eps
    if loss == "robust":
        return (-logsigmoid(beta * delta) * (1 - eps) + logsigmoid(-beta * delta) * eps) / (1 - 2 * eps)
    if loss == "soft":
        return torch.nn.functional.binary_cross_entropy_with_logits(beta * delta, label, reduction="none")
    raise KeyError(loss)


def objective(row, mw, ml, rw, rl, label):
    """The mean loss over the batch. Draws of a pair stand side by side."""
    if (n := row.get("draws", 1)) > 1:
        mw, ml, rw, rl, label = (v.reshape(-1, n).mean(1) for v in (mw, ml, rw, rl, label))
    beta, loss, eps = row.get("beta", 0), row.get("loss", "sigmoid"), row.get("label_smoothing", 0.1)
    model_diff, ref_diff = mw - ml, rw - rl
    name = row["method"]
    if name in ("dpo", "vrpo"):
        return trl(loss, -(model_diff - ref_diff), 0.5 * beta, eps, label).mean()
    if name == "tailorpo":
        return trl(loss, (-mw + rw) - (-ml + rl), beta, eps, label).mean()
    if name == "chats":
        return -logsigmoid(-beta * ((mw - rw) + (ml - rl))).mean()
    if name == "smpo":
        return -logsigmoid(-0.5 * beta * row["gamma"] * (2 * label - 1) * (model_diff - ref_diff)).mean()
    if name == "sft":
        return mw.mean()
    raise KeyError(name)


def settings():
    for method, betas in (("dpo", (20.0, 2000.0, 5000.0)), ("tailorpo", (0.1, 10.0, 500.0)), ("vrpo", (5000.0,))):
        draws = {"draws": 3} if method == "vrpo" else {}
        for beta in betas:
            for loss in LOSSES:
                for eps in (0.1, 0.25) if loss in ("cdpo", "robust") else (None,):
                    extra = {"label_smoothing": eps} if eps else {}
                    yield {"method": method, "beta": beta, "loss": loss} | extra | draws
    for beta in (10.0, 1000.0):
        yield {"method": "chats", "beta": beta}
    yield {"method": "chats", "beta": 1000.0, "draws": 2}
    for beta, gamma in ((2000.0, 10.0), (2000.0, 1.0), (5000.0, 4.5)):
        yield {"method": "smpo", "beta": beta, "gamma": gamma}
    yield {"method": "sft"}
    yield {"method": "sft", "draws": 2}


def errors(g):
    for row in settings():
        n = 4 * row.get("draws", 1)
        # Errors of about 0.1 whose margins times beta are about 1, and one pair far out on either side.
        spread = 1 / max(row.get("beta", 0), 10)
        ref = 0.1 + 0.05 * torch.rand(2, n, generator=g)
        policy = ref + spread * torch.randn(2, n, generator=g)
        policy[0, 0] += 20 * spread
        policy[0, 1] -= 20 * spread
        label = torch.rand(n, generator=g)
        if d := row.get("draws"):
            label = label.reshape(-1, d)[:, :1].repeat(1, d).reshape(-1)
        policy.requires_grad_(True)
        loss = objective(row, policy[0], policy[1], ref[0], ref[1], label)
        (grad,) = torch.autograd.grad(loss, policy)
        if grad[1].isnan().any():
            raise ValueError(row)
        terms = torch.stack([policy[0].detach(), policy[1].detach(), ref[0], ref[1], label], 1)
        yield row | dict(terms=terms.tolist(), value=loss.item(), grad=grad.T.tolist())


def single(g, *shape):
    """Random numbers that float32 holds exactly."""
    return torch.randn(*shape, generator=g).float().double()


def outputs(g):
    for row in ({"method": "dpo", "beta": 40.0, "loss": "sigmoid"}, {"method": "chats", "beta": 20.0}, {"method": "smpo", "beta": 20.0, "gamma": 10.0}):
        target = single(g, 2, 3, 4, 2, 2)  # chosen and rejected, pairs, C, H, W
        policy = (target + 0.3 * single(g, *target.shape)).float().double().requires_grad_(True)
        ref = (target + 0.3 * single(g, *target.shape)).float().double()
        label = torch.rand(3, generator=g)
        err = lambda x: mse_loss(x, target, reduction="none").mean((2, 3, 4))
        (mw, ml), (rw, rl) = err(policy), err(ref)
        loss = objective(row, mw, ml, rw, rl, label)
        (grad,) = torch.autograd.grad(loss, policy)
        flat = lambda x: x.detach().reshape(2, 3, -1).tolist()
        yield row | dict(target=flat(target), policy=flat(policy), ref=flat(ref), label=label.tolist(), value=loss.item(), grad=flat(grad))


def steps(g):
    for shared in (True, False):
        row = {"method": "tailorpo", "beta": 3.0, "loss": "sigmoid", "shared": shared, "sigma": 0.4}
        means = 1 if shared else 2  # siblings share theirs, samples of two trajectories do not
        policy = single(g, means, 3, 16).requires_grad_(True)
        ref = (policy.detach() + 0.2 * single(g, means, 3, 16)).float().double()
        x = (ref + row["sigma"] * single(g, 2, 3, 16)).float().double()
        density = lambda mean: torch.distributions.Normal(mean, row["sigma"]).log_prob(x).mean(2)
        (mw, ml), (rw, rl) = -density(policy), -density(ref)
        loss = objective(row, mw, ml, rw, rl, torch.ones(3))
        (grad,) = torch.autograd.grad(loss, policy)
        flat = lambda x: x.detach().tolist()
        yield row | dict(x=flat(x), policy=flat(policy), ref=flat(ref), value=loss.item(), grad=flat(grad))


def lines(rows):
    return "[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]"


if __name__ == "__main__":
    g = torch.Generator().manual_seed(SEED)
    meta = dict(made_by="python tests/oracle/objectives.py", torch=torch.__version__, seed=SEED)
    with open("dpo/testdata/objectives.json", "w") as f:
        f.write('{"meta": %s,\n"errors": %s,\n"outputs": %s,\n"steps": %s}\n' % (json.dumps(meta), lines(errors(g)), lines(outputs(g)), lines(steps(g))))
