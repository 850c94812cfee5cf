"""Golden losses and gradients of the training objectives (package dpo), by torch.autograd in float64.

    python tests/oracle/objectives.py

writes dpo/testdata/objectives.json. The formulas are written down anew from the papers and, for the losses of --loss, in
the form that TRL's DPO trainer has them where it does (IPO and SPPO times beta squared, see dpo/loss_ipo.go). Three lists:

- "errors": errors and more of each pair (COLUMNS); derivatives with respect to the policy's errors, and to the drifts of
  objectives that look at them.
- "outputs": network outputs and targets of one batch; derivatives with respect to the outputs of the policy. Products and
  drifts are those of the outputs, so that these rows check that an objective may do with them.
- "steps": means of sampler steps and their samples; derivatives with respect to the means, log-densities by
  torch.distributions.
"""

import json

import torch
from torch.nn.functional import logsigmoid, mse_loss

torch.set_default_dtype(torch.float64)
SEED = 20261127
COLUMNS = ["mw", "ml", "rw", "rl", "label", "dw", "dl", "sw", "sl", "mismatched", "group"]
SMOOTHED = ["cdpo", "robust", "exo", "aot", "aot-unpaired"]
FREE = ["simpo", "cpo", "orpo", "asft"]  # of a reference
SCORED = ["omni-dpo", "mappo", "rpo-reward", "rpo-reward-squared", "listwise", "mpo-set"]
LOSSES = ["sigmoid", "hinge", "ipo", "cdpo", "robust", "soft", "exo", "forward-kl", "js", "alpha", "nca", "bco", "sppo", "sppo-soft", "apo-zero", "apo-down"]
LOSSES += ["simpo", "cpo", "orpo", "asft", "kto", "aot", "aot-unpaired", "dr-dpo", "wpo", "beta-dpo", "discopop"] + SCORED
# Settings besides the defaults, which are tried, too.
OPTIONS = {
    "alpha": [{"alpha": 0.0}, {"alpha": 1.0}, {"alpha": 1.7}], "bco": [{"delta": 0.3}], "simpo": [{"gamma": 2.0}], "orpo": [{"lambda": 3.0}],
    "kto": [{"desirable": 1.5, "undesirable": 0.25}], "dr-dpo": [{"temperature": 0.2}], "wpo": [{"kappa": 0.3}],
    "beta-dpo": [{"share": 1.0, "a": 3.0, "momentum": 0.5}], "discopop": [{"tau": 1.0}], "omni-dpo": [{"eta": 2.0, "tau": 0.5, "gamma": 3.0}],
    "mappo": [{"eta": 0.3}], "rpo-reward": [{"eta": 2.0}], "rpo-reward-squared": [{"eta": 0.5}], "mpo-set": [{"power": 0.0}, {"power": 2.0}],
}
DEFAULTS = {
    "alpha": 0.5, "delta": 0.0, "gamma": 0.5, "lambda": 0.1, "desirable": 1.0, "undesirable": 1.0, "temperature": 1.0, "kappa": 1.0,
    "a": 0.6, "momentum": 0.9, "tau": 0.05, "eta": 1.0, "power": 1.0,
}


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


def zoo(loss, a, b, eps, o, t):
    """Per-pair losses of a and b, beta times the implicit rewards, or minus beta times the policy's errors."""
    z, gap = a - b, t["sw"] - t["sl"]
    if loss == "exo":
        q = torch.stack([torch.sigmoid(z), torch.sigmoid(-z)])
        return torch.distributions.kl_divergence(torch.distributions.Categorical(q.T), torch.distributions.Categorical(torch.tensor([1 - eps, eps])))
    if loss == "forward-kl":
        return -logsigmoid((1 - torch.exp(-a)) - (1 - torch.exp(-b)))
    if loss == "js":
        return -logsigmoid(logsigmoid(a) - logsigmoid(b))
    if loss == "alpha":
        k = o["alpha"] - 1
        return -logsigmoid((torch.exp(k * a) - torch.exp(k * b)) / k) if k else -logsigmoid(z)
    if loss == "nca":
        return -logsigmoid(a) - 0.5 * logsigmoid(-a) - 0.5 * logsigmoid(-b)
    if loss == "bco":
        return -logsigmoid(a - o["delta"]) - logsigmoid(-(b - o["delta"]))
    if loss in ("sppo", "sppo-soft"):
        p = t["label"] if loss == "sppo-soft" else 1.0
        return (a - (p - 0.5)) ** 2 + (b - ((1 - p) - 0.5)) ** 2
    if loss == "apo-zero":
        return 1 - torch.sigmoid(a) + torch.sigmoid(b)
    if loss == "apo-down":
        return torch.sigmoid(a) + 1 - torch.sigmoid(z)
    if loss == "simpo":
        return -logsigmoid(z - o["gamma"])
    if loss == "cpo":
        return -logsigmoid(z)
    if loss == "orpo":
        odds = lambda l: l - torch.log1p(-torch.exp(l))
        return -a - o["lambda"] * logsigmoid(odds(a) - odds(b))
    if loss == "asft":  # -log sigmoid of the log odds, and of minus them
        odds = lambda l: l - torch.log1p(-torch.exp(l))
        return -logsigmoid(odds(a)) - logsigmoid(-odds(b))
    if loss == "discopop":
        mix = torch.sigmoid(z / o["tau"])
        return -logsigmoid(z) * (1 - mix) + torch.exp(-z) * mix
    if loss == "omni-dpo":
        weight = torch.sigmoid(o["eta"] * gap) * (1 - torch.sigmoid(z - o["tau"])) ** o["gamma"]
        return -weight.detach() * logsigmoid(z)
    if loss == "mappo":
        return -logsigmoid(a - torch.sigmoid(o["eta"] * gap) * b)
    if loss == "rpo-reward":
        want, have = torch.distributions.Bernoulli(logits=o["eta"] * gap), torch.distributions.Bernoulli(logits=z)
        return torch.distributions.kl_divergence(want, have)
    if loss == "rpo-reward-squared":
        return (z - o["eta"] * gap) ** 2
    raise KeyError(loss)


def batch(loss, beta, eps, o, t):
    """Losses of a whole batch."""
    a, b = beta * (t["rw"] - t["mw"]), beta * (t["rl"] - t["ml"])
    cdpo = lambda d: -logsigmoid(d) * (1 - eps) - logsigmoid(-d) * eps
    if loss == "kto":
        return (kto(a, o["desirable"], True, q := ahead(torch.cat([a, b]))) + kto(b, o["undesirable"], False, q)).mean() / 2
    if loss == "aot":
        return cdpo(beta * (torch.sort(t["ml"] - t["mw"])[0] - torch.sort(t["rl"] - t["rw"])[0])).mean()
    if loss == "aot-unpaired":
        return cdpo(torch.sort(a)[0] - torch.sort(b)[0]).mean()
    if loss == "dr-dpo":
        return -o["temperature"] * torch.log(torch.exp(logsigmoid(a - b) / o["temperature"]).mean())
    if loss == "wpo":
        w = torch.exp(o["kappa"] * (a + b) / 2).clamp(max=1).detach()
        return -(w / w.mean() * logsigmoid(a - b)).mean()
    if loss == "beta-dpo":  # all pairs, behind a batch with the mean of STATE
        mean = o["momentum"] * STATE[1] + (1 - o["momentum"]) * (a - b).mean()
        return -logsigmoid((1 + o["a"] * ((a - b).mean() - mean)).clamp(min=0.01).detach() * (a - b)).mean()
    losses = []
    for g in t["group"].unique():
        at = t["group"] == g
        reward, score = torch.cat([a[at], b[at]]), torch.cat([t["sw"][at], t["sl"][at]])
        if loss == "listwise":
            reward = reward[score.argsort(descending=True)]
            losses.append(-sum(reward[k] - torch.logsumexp(reward[k:], 0) for k in range(len(reward))))
        else:
            w = (score - score.mean()).abs() ** o["power"] * torch.exp(reward)
            losses.append(-torch.log(w[score > score.mean()].sum() / w.sum()))
    return torch.stack(losses).mean()


STATE = [4.0, 0.3, 1.5]  # of beta-dpo: batches, mean and standard deviation of gaps


def ahead(rewards):
    """What KTO measures rewards against."""
    return rewards.mean().clamp(min=0).detach()


def kto(reward, weight, desirable, against):
    return weight * (1 - torch.sigmoid(reward - against if desirable else against - reward))


def named_loss(row, scale, t):
    loss, eps, o = row["loss"], row.get("label_smoothing", 0.0 if "aot" in row["loss"] else 0.1), DEFAULTS | row.get("options", {})
    if loss == "omni-dpo" and "options" not in row:
        o = {"eta": 1.0, "tau": 0.0, "gamma": 1.0}
    if loss in LOSSES[:6]:
        return trl(loss, -((t["mw"] - t["ml"]) - (t["rw"] - t["rl"])), scale, eps, t["label"]).mean()
    if loss in ("kto", "aot", "aot-unpaired", "dr-dpo", "wpo", "beta-dpo", "listwise", "mpo-set"):
        return batch(loss, scale, eps, o, t)
    if loss in FREE:
        value = zoo(loss, -scale * t["mw"], -scale * t["ml"], eps, o, t).mean()
        return value + t["mw"].mean() if loss == "cpo" and "sft_weight" not in row else value
    return zoo(loss, scale * (t["rw"] - t["mw"]), scale * (t["rl"] - t["ml"]), eps, o, t).mean()


def objective(row, t):
    """The mean loss over the batch of terms by COLUMNS. Draws of a pair stand side by side."""
    if (n := row.get("draws", 1)) > 1:
        t = {k: v.reshape(-1, n).mean(1) for k, v in t.items()}
    name, beta = row["method"], row.get("beta", 0)
    mw, ml, rw, rl, label = (t[k] for k in COLUMNS[:5])
    if name in ("dpo", "vrpo", "tailorpo"):
        return named_loss(row, beta if name == "tailorpo" else 0.5 * beta, t) + row.get("sft_weight", 0) * mw.mean()
    model_diff, ref_diff = mw - ml, rw - rl
    if name == "chats":
        return -logsigmoid(-beta * ((mw - rw) + (ml - rl))).mean()
    if name == "smpo":
        return -logsigmoid(-0.5 * beta * row["gamma"] * (2 * label - 1) * (model_diff - ref_diff)).mean()
    if name == "sft":
        return mw.mean()
    if name == "mapo":
        phi = lambda l: 0.5 * l / torch.expm1(0.5 * l)
        return mw.mean() - beta * logsigmoid(1000 * (phi(mw) - phi(ml))).mean()
    if name == "seppo":
        s = torch.where(rw < mw, -1.0, 1.0)
        return -logsigmoid(-0.5 * beta * ((mw - rw) - s * (ml - rl))).mean()
    if name == "pmpo":
        return (row["alpha"] * mw - (1 - row["alpha"]) * ml + row["kl"] * 0.5 * (t["dw"] + t["dl"])).mean()
    if name == "diffusion-kto":
        g, good = beta * (rw - mw), label > 0.5
        against = {
            "batch": ahead(g), "others": ahead(beta * t["mismatched"]), "classes": ((g[good].mean() + g[~good].mean()) / 2).detach(),
        }[row["against"]]
        return torch.where(good, kto(g, row["desirable"], True, against), kto(g, row["undesirable"], False, against)).mean()
    raise KeyError(name)


def variants(loss):
    """Settings of a loss: label smoothing and options."""
    if loss in SMOOTHED:
        return [{}, {"label_smoothing": 0.25}]
    if loss == "beta-dpo":
        return [{"options": {"share": 1.0}}] + [{"options": o} for o in OPTIONS[loss]]
    return [{}] + [{"options": o} for o in OPTIONS.get(loss, [])]


def settings():
    for method, betas in (("dpo", (20.0, 2000.0, 5000.0)), ("tailorpo", (0.1, 10.0, 500.0)), ("vrpo", (5000.0,))):
        draws = {"draws": 3} if method == "vrpo" else {}
        for beta in betas:
            for loss in LOSSES:
                if beta == 2000.0 and loss not in LOSSES[:6] or method == "tailorpo" and (loss in SCORED + FREE or beta != 10.0 and loss not in LOSSES[:6]):
                    continue
                for more in variants(loss)[: 3 if method == "dpo" else 1]:
                    yield {"method": method, "beta": beta, "loss": loss} | more | draws
    for loss in ("sigmoid", "kto", "cpo"):
        yield {"method": "dpo", "beta": 200.0, "loss": loss, "sft_weight": 12.5}
        yield {"method": "dpo", "beta": 200.0, "loss": loss, "sft_weight": 12.5, "draws": 2}
    for beta in (10.0, 1000.0):
        yield {"method": "chats", "beta": beta}
    yield {"method": "chats", "beta": 1000.0, "draws": 2}
    for beta, gamma in ((2000.0, 10.0), (2000.0, 1.0), (5000.0, 4.5)):
        yield {"method": "smpo", "beta": beta, "gamma": gamma}
    yield {"method": "sft"}
    yield {"method": "sft", "draws": 2}
    for beta in (0.1, 5.0):
        yield {"method": "mapo", "beta": beta}
    yield {"method": "mapo", "beta": 0.1, "draws": 2}
    for beta in (20.0, 2000.0):
        yield {"method": "seppo", "beta": beta}
    for alpha, kl in ((0.5, 1.0), (1.0, 0.0), (0.0, 7.0)):
        yield {"method": "pmpo", "alpha": alpha, "kl": kl}
    for against in ("batch", "others", "classes"):
        for good, bad in ((1.0, 1.0), (0.3, 2.0)):
            yield {"method": "diffusion-kto", "beta": 1000.0, "against": against, "desirable": good, "undesirable": bad}


def errors(g):
    for row in settings():
        n = 5 * row.get("draws", 1)
        # Errors of about 0.1 whose margins times beta are about 1, and one pair far out on either side.
        spread = 1 / max(row.get("beta", 0), 10)
        ref = 0.1 + 0.05 * torch.rand(2, n, generator=g)
        policy = ref + spread * torch.randn(2, n, generator=g)
        policy[0, 0] += 20 * spread
        policy[0, 1] -= 20 * spread
        if row.get("loss") in ("orpo", "asft"):
            policy = policy.abs()  # an error below 0 is no likelihood
        label = torch.rand(n, generator=g)
        drift, scores, other = torch.rand(2, n, generator=g), torch.randn(2, n, generator=g), spread * torch.randn(n, generator=g)
        group = torch.tensor([0.0, 1.0, 0.0, 2.0, 0.0]).repeat_interleave(row.get("draws", 1))
        label[0], label[1] = 0.9, 0.2  # both kinds for KTO
        if d := row.get("draws"):
            label = label.reshape(-1, d)[:, :1].repeat(1, d).reshape(-1)
        ref, policy, label, drift, scores, other = (v.mul(1e9).round().div(1e9) for v in (ref, policy, label, drift, scores, other))  # short numbers
        learnt = torch.cat([policy, drift]).requires_grad_(True)
        t = dict(zip(COLUMNS, [learnt[0], learnt[1], ref[0], ref[1], label, learnt[2], learnt[3], scores[0], scores[1], other, group]))
        loss = objective(row, t)
        (grad,) = torch.autograd.grad(loss, learnt)
        if grad.isnan().any():
            raise ValueError(row)
        looks = 11 if row.get("loss") in SCORED or row["method"] in ("pmpo", "diffusion-kto") else 5
        terms = torch.stack([t[k].detach() for k in COLUMNS[:looks]], 1)
        state = {"state": STATE} if row.get("loss") == "beta-dpo" else {}
        yield row | state | dict(terms=terms.tolist(), value=loss.item(), grad=grad.T[:, : 4 if looks > 5 else 2].tolist())


def single(g, *shape):
    """Random numbers that float32 holds exactly."""
    return torch.randn(*shape, generator=g).float().double()


def safeguarded(row, policy, ref, target, mw, ml, rw, rl):
    """Diffusion-SDPO as its authors write it: the rejected error enters by a share, from gradients in the outputs."""
    (gw,), (gl,) = torch.autograd.grad(mw.sum(), policy, retain_graph=True), torch.autograd.grad(ml.sum(), policy, retain_graph=True)
    gw, gl = gw[0].flatten(1), gl[1].flatten(1)
    dot = (gw * gl).sum(1)
    share = torch.where(dot > 0, ((1 - row["mu"]) * (gw**2).sum(1) / dot).clamp(0, 1), torch.ones_like(dot))
    ml = ml.detach() + share * (ml - ml.detach())
    return -logsigmoid(-0.5 * row["beta"] * ((mw - ml) - (rw - rl))).mean()


def scores_matched(row, policy, ref, target, mw, ml, rw, rl):
    """DSPO as its authors write it for SD1.5: vectors, not errors."""
    inside = -0.5 * row["beta"] * ((mw - ml) - (rw - rl))
    pull = row["beta"] * (1 - torch.sigmoid(inside))[:, None, None, None] * (policy[0] - ref[0])
    return ((policy[0] - target[0]) - pull).pow(2).mean((1, 2, 3)).mean()


def pulled(row, policy, ref, target, mw, ml, rw, rl):
    drift = mse_loss(policy, ref, reduction="none").mean((2, 3, 4))
    return (row["alpha"] * mw - (1 - row["alpha"]) * ml + row["kl"] * drift.mean(0)).mean()


def outputs(g):
    vectors = {"sdpo": safeguarded, "dspo": scores_matched, "pmpo": pulled}
    for row in (
        {"method": "dpo", "beta": 40.0, "loss": "sigmoid"}, {"method": "chats", "beta": 20.0}, {"method": "smpo", "beta": 20.0, "gamma": 10.0},
        {"method": "sdpo", "beta": 40.0, "mu": 0.9}, {"method": "sdpo", "beta": 40.0, "mu": 0.2}, {"method": "dspo", "beta": 0.05},
        {"method": "dspo", "beta": 3.0}, {"method": "pmpo", "alpha": 0.3, "kl": 2.0},
    ):
        target = single(g, 2, 3, 4, 2, 2)  # chosen and rejected, pairs, C, H, W
        miss = 0.3 * single(g, *target.shape)
        if row["method"] == "sdpo":
            miss[1] = (miss[1] + torch.tensor([1.0, 0.2, -1.0])[:, None, None, None] * miss[0]).float().double()  # with, across, against
        policy = (target + miss).float().double().requires_grad_(True)
        ref = (target + 0.3 * single(g, *target.shape)).float().double()
        label = torch.rand(3, generator=g)
        err = lambda x: mse_loss(x, target, reduction="none").mean((2, 3, 4))
        (mw, ml), (rw, rl) = err(policy), err(ref)
        if row["method"] in vectors:
            loss = vectors[row["method"]](row, policy, ref, target, mw, ml, rw, rl)
        else:
            loss = objective(row, dict(mw=mw, ml=ml, rw=rw, rl=rl, label=label))
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
        loss = objective(row, dict(mw=mw, ml=ml, rw=rw, rl=rl, label=torch.ones(3)))
        (grad,) = torch.autograd.grad(loss, policy)
        flat = lambda x: x.detach().tolist()
        yield row | dict(x=flat(x), policy=flat(policy), ref=flat(ref), value=loss.item(), grad=flat(grad))


def lines(rows):
    return "[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]"


if __name__ == "__main__":
    g = torch.Generator().manual_seed(SEED)
    meta = dict(made_by="python tests/oracle/objectives.py", torch=torch.__version__, seed=SEED, columns=COLUMNS)
    with open("dpo/testdata/objectives.json", "w") as f:
        f.write('{"meta": %s,\n"errors": %s,\n"outputs": %s,\n"steps": %s}\n' % (json.dumps(meta), lines(errors(g)), lines(outputs(g)), lines(steps(g))))
