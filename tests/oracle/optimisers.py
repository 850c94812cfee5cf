"""Golden steps of torch's optimisers for searches over noise (sampling/search_reno.go, sampling/search_dno.go).

    python tests/oracle/optimisers.py

writes tests/golden/optimisers.json: five numbers after each of eight steps. The gradient of step k is
cos(i + 0.7k) * (1 + k % 3) + x[i], cut to the length "clip" by clip_grad_norm_.
"""

import json

import torch

ROWS = {
    "nesterov": (lambda p: torch.optim.SGD(p, lr=5.0, momentum=0.9, nesterov=True), 0.1),
    "nesterov without clip": (lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True), 0.0),
    "adam": (lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.0), 1.0),
}


def steps(make, clip):
    x = torch.tensor([0.5, -1.0, 2.0, 0.0, -0.25], requires_grad=True)
    optimiser, out = make([x]), []
    for k in range(8):
        x.grad = torch.cos(torch.arange(5) + 0.7 * k) * (1 + k % 3) + x.detach()
        if clip:
            torch.nn.utils.clip_grad_norm_([x], clip)
        optimiser.step()
        out.append([float(f"{v:.8g}") for v in x.tolist()])
    return out


if __name__ == "__main__":
    rows = [dict(name=n, clip=c, x=steps(m, c)) for n, (m, c) in ROWS.items()]
    meta = dict(made_by="python tests/oracle/optimisers.py", torch=torch.__version__, seed=None)
    with open("tests/golden/optimisers.json", "w") as f:
        f.write('{"meta":' + json.dumps(meta) + ',\n"rows":[\n' + ",\n".join(json.dumps(r) for r in rows) + "\n]}\n")
