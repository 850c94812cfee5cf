"""Makes tests/golden/concentration.json: the regulariser of direct noise optimisation (arXiv 2405.18881, section 4) with its gradient.

    OMP_NUM_THREADS=1 python tests/oracle/concentration.py

Written from the formulas, in torch's float64 with autograd: for m vectors of k numbers, minus the mean over orders of
ln p1 + ln p2, where ln p1 = -m |mean|^2 / (2 k), ln p2 = -m max(sqrt(1 + M) - 1 - sqrt(k/m), 0)^2 / 2 with M the spectral norm of
the covariance less the identity, and neither is more than -ln 2.
"""

import json
import math
import pathlib

import torch

OUT = pathlib.Path("tests/golden/concentration.json")
SEED = 21


def log_bounds(z, k):
    m = z.numel() // k
    v = z[: m * k].reshape(m, k)
    cov = torch.einsum("ia,ib->ab", v, v) / m - torch.eye(k, dtype=z.dtype)
    spread = torch.linalg.svdvals(cov).max()
    mean = -m * v.mean(0).square().sum() / (2 * k)
    deviation = -m * torch.relu(torch.sqrt(1 + spread) - 1 - math.sqrt(k / m)) ** 2 / 2
    return torch.clamp(mean, max=-math.log(2)) + torch.clamp(deviation, max=-math.log(2))


def case(g, size, k, scale, shift, orders):
    z = (scale * torch.randn(size, generator=g) + shift).to(torch.float32)
    perms = [torch.randperm(size, generator=g) for _ in range(orders)]
    x = z.double().requires_grad_()
    value = -sum(log_bounds(x[p], k) for p in perms) / orders if orders else -log_bounds(x, k)
    (grad,) = torch.autograd.grad(value, x) if value.requires_grad else (torch.zeros_like(x),)
    return {"dims": k, "noise": z.tolist(), "orders": [p.tolist() for p in perms], "value": value.item(), "gradient": grad.tolist()}


def main():
    g = torch.Generator().manual_seed(SEED)
    cases = [case(g, *c) for c in [(64, 4, 2, 0, 0), (66, 4, 1, 0.9, 2), (96, 16, 2, 0.3, 3), (40, 1, 2.5, 0, 2), (128, 4, 1, 0, 0), (256, 4, 0.1, 0, 1)]]
    OUT.write_text(json.dumps({"made_by": "OMP_NUM_THREADS=1 python tests/oracle/concentration.py", "torch": torch.__version__,
                               "seed": SEED, "cases": cases}) + "\n")
    print(OUT, OUT.stat().st_size, [c["value"] for c in cases])


if __name__ == "__main__":
    main()
