"""Makes tests/golden/flow_sde.json: steps of Flow-GRPO's stochastic sampler for straight paths, and paths of a toy network.

    python tests/oracle/flow_sde.py

Sigmas are those of diffusers' FlowMatchEulerDiscreteScheduler; the arithmetic is float64. A row holds the step as the paper writes it
(Liu et al. 2025, arXiv 2505.05470): with s = a sqrt(sigma / (1 - sigma)) and dt below zero,
    mean = x + (v + s^2 / (2 sigma) (x + (1 - sigma) v)) dt,  deviation = s sqrt(-dt),
and sigma in the root of s is the second one where the first is 1. "x" and "v" are the mean's coefficients. The toy network answers
0.5 x + 0.1 sin(t / 100), paths start at 1, and every draw is 0.25.
"""

import json
import math

import diffusers

CONFIGS = [{}, {"shift": 3.0}, {"shift": 3.0, "shift_terminal": 0.1}, {"use_beta_sigmas": True}, {"shift": 0.6, "num_train_timesteps": 500}]


def run(config, steps, a):
    s = diffusers.FlowMatchEulerDiscreteScheduler.from_config(config)
    s.set_timesteps(steps)
    sigmas, x, rows, path = s.sigmas.double().tolist(), 1.0, [], []
    for i, t in enumerate(s.timesteps.double().tolist()):
        sigma, dt = sigmas[i], sigmas[i + 1] - sigmas[i]
        dev = a * math.sqrt(sigma / (1 - (sigmas[1] if sigma == 1 else sigma)))
        mean = lambda x, v: x + (v + dev**2 / (2 * sigma) * (x + (1 - sigma) * v)) * dt
        rows.append({"x": mean(1, 0), "v": mean(0, 1), "noise": dev * math.sqrt(-dt)})
        x = mean(x, 0.5 * x + 0.1 * math.sin(t / 100)) + 0.25 * rows[-1]["noise"]
        path.append(x)
    return {"config": {"_class_name": "FlowMatchEulerDiscreteScheduler", **config}, "steps": steps, "a": a, "rows": rows, "path": path}


if __name__ == "__main__":
    out = {"made_by": "python tests/oracle/flow_sde.py", "diffusers": diffusers.__version__,
           "runs": [run(c, n, a) for c in CONFIGS for n, a in ((10, 0.7), (4, 1.2), (1, 0.7), (5, 0.0)) if n > 1 or "shift_terminal" not in c]}
    with open("tests/golden/flow_sde.json", "w") as f:
        f.write(json.dumps(out, indent=1) + "\n")
    print(len(out["runs"]), "runs")
