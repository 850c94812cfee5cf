"""Writes tests/golden/schedulers/*.json: trajectories of diffusers' schedulers on a toy network.

Run from the repository root:  OMP_NUM_THREADS=1 python tests/oracle/schedulers.py

Per case the file holds the scheduler_config.json text that both sides read, and per number of steps the timesteps, the
sigmas, init_noise_sigma, the latents after every step and the predicted clean latents (where the class returns them).
Arrays are base64 of little-endian float32 (float64 for timesteps). "fails" marks runs that diffusers refuses or that
give no finite numbers.

The latents are two images of four numbers. The toy network and the noise are formulas in double precision, rounded to
float32; the Go test evaluates the same ones:
    o(x, t)   = 0.5 x + 0.3 x / (1 + x^2) + 0.1 sin(t / 100)
    start[j]  = sqrt(2) sin(1 + 2.3 j)
    z[k, j]   = sqrt(2) sin(0.7 + 12.9898 k + 4.1414 j)      in the k-th draw of a run
"""

import base64
import importlib
import json
import math
import pathlib
import sys
import warnings

import diffusers
import numpy as np
import torch

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()

OUT = pathlib.Path("tests/golden/schedulers")
STEPS = (1, 2, 5, 7, 10, 25, 50)
SHAPE = (2, 1, 2, 2)
N = 8
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
MODULES = {
    "DDIMScheduler": "scheduling_ddim",
    "DDPMScheduler": "scheduling_ddpm",
    "PNDMScheduler": "scheduling_pndm",
    "EulerDiscreteScheduler": "scheduling_euler_discrete",
    "EulerAncestralDiscreteScheduler": "scheduling_euler_ancestral_discrete",
    "DPMSolverMultistepScheduler": "scheduling_dpmsolver_multistep",
}


def toy(x, t):
    x = x.double()
    return (0.5 * x + 0.3 * x / (1 + x * x) + 0.1 * math.sin(float(t) / 100)).float()


def start():
    return torch.tensor([math.sqrt(2) * math.sin(1 + 2.3 * j) for j in range(N)], dtype=torch.float32).reshape(SHAPE)


class Draws:
    """Stands in for randn_tensor and counts."""

    def __init__(self):
        self.count = 0

    def __call__(self, shape, **kwargs):
        k = self.count
        self.count += 1
        z = [math.sqrt(2) * math.sin(0.7 + 12.9898 * k + 4.1414 * j) for j in range(N)]
        return torch.tensor(z, dtype=torch.float32).reshape(shape)


def b64(a, dtype="<f4"):
    return base64.b64encode(np.asarray(a, dtype=dtype).tobytes()).decode()


def sigmas_of(s):
    if hasattr(s, "sigmas"):
        return s.sigmas.numpy()[: len(s.timesteps) + 1]
    return []


def run(scheduler, steps, eta):
    module = importlib.import_module("diffusers.schedulers." + MODULES[type(scheduler).__name__])
    draws = Draws()
    module.randn_tensor = draws
    scheduler.set_timesteps(steps)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)  # else a first timestep that occurs twice makes diffusers skip a sigma and fail
    x = start() * scheduler.init_noise_sigma
    xs, cleans, counts = [], [], []
    for t in scheduler.timesteps:
        o = toy(scheduler.scale_model_input(x, t), t)
        kwargs = {"eta": eta} if type(scheduler).__name__ == "DDIMScheduler" else {}
        out = scheduler.step(o, t, x, **kwargs)
        x = out.prev_sample
        xs.append(x.numpy().reshape(-1))
        clean = getattr(out, "pred_original_sample", None)
        if clean is not None:
            cleans.append(clean.numpy().reshape(-1))
        counts.append(draws.count)
    xs = np.array(xs)
    if not np.isfinite(xs).all():
        raise ArithmeticError("not finite")
    return {
        "steps": steps,
        "timesteps": b64(scheduler.timesteps.double().numpy(), "<f8"),
        "sigmas": b64(sigmas_of(scheduler)),
        "init": float(scheduler.init_noise_sigma),
        "draws": counts[-1],
        "x": b64(xs),
        "clean": b64(np.array(cleans)) if cleans else "",
    }


def make(case):
    first = getattr(diffusers, case["config"]["_class_name"])
    s = first.from_config(case["config"])
    for to in case.get("switch", []):
        s = getattr(diffusers, to["class"]).from_config(s.config, **to.get("set", {}))
    return s


def record(case):
    runs = []
    for steps in STEPS:
        try:
            runs.append(run(make(case), steps, case.get("eta", 0.0)))
        except (ArithmeticError, IndexError, ValueError) as e:
            runs.append({"steps": steps, "fails": f"{type(e).__name__}: {str(e)[:80]}"})
    case = dict(case)
    case["config"] = json.dumps(case["config"])  # the text, with Python's Infinity if there is any
    case["alphas"] = b64(make_alphas(json.loads(case["config"]), case))
    case["runs"] = runs
    return case


def make_alphas(config, case):
    s = make({**case, "config": config})
    return s.alphas_cumprod[:: max(1, len(s.alphas_cumprod) // 40)].numpy()


def c(name, cls, eta=0.0, **kw):
    out = {"name": name, "config": {"_class_name": cls, **kw}}
    if eta:
        out["eta"] = eta
    return out


def grid(cls, base):
    return [
        c(f"{p[:3]} {s} offset {o}", cls, **base, prediction_type=p, timestep_spacing=s, steps_offset=o)
        for p, s, o in (
            ("epsilon", "leading", 1),
            ("epsilon", "trailing", 0),
            ("epsilon", "linspace", 0),
            ("v_prediction", "leading", 1),
            ("v_prediction", "trailing", 0),
            ("v_prediction", "linspace", 0),
        )
    ]


def ddim():
    cls, base = "DDIMScheduler", {**SD, "clip_sample": False, "set_alpha_to_one": False}
    v = {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    return grid(cls, base) + [
        c("class defaults", cls),
        c("eta 1", cls, 1.0, **base, steps_offset=1),
        c("eta 0.4 v", cls, 0.4, **base, **v),
        c("set_alpha_to_one", cls, 0.3, **{**base, "set_alpha_to_one": True}),
        c("sample prediction", cls, **base, prediction_type="sample", steps_offset=1),
        c("clip range 0.7", cls, **{**base, "clip_sample": True, "clip_sample_range": 0.7}),
        c("thresholding", cls, **base, thresholding=True, sample_max_value=1.5, dynamic_thresholding_ratio=0.8),
        c("zero snr v trailing", cls, **base, **v, rescale_betas_zero_snr=True),
        c("zero snr epsilon trailing", cls, **base, timestep_spacing="trailing", rescale_betas_zero_snr=True),
        c("squaredcos", cls, **{**base, "beta_schedule": "squaredcos_cap_v2"}),
        c("linear", cls, **{**base, "beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}),
        c("trained betas", cls, **{**base, "num_train_timesteps": 100}, trained_betas=[0.0002 + 0.0004 * i for i in range(100)]),
        c("few timesteps", cls, **{**base, "num_train_timesteps": 64}, steps_offset=1),
    ]


def ddpm():
    cls, base = "DDPMScheduler", {**SD, "clip_sample": False}
    v = {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    return grid(cls, base) + [
        c("class defaults", cls),
        c("fixed_small_log", cls, **base, variance_type="fixed_small_log", steps_offset=1),
        c("fixed_large", cls, **base, variance_type="fixed_large"),
        c("sample prediction", cls, **base, prediction_type="sample", steps_offset=1),
        c("clip", cls, **{**base, "clip_sample": True, "clip_sample_range": 0.7}),
        c("thresholding", cls, **base, thresholding=True, sample_max_value=2.0, dynamic_thresholding_ratio=0.9),
        c("zero snr v", cls, **base, **v, rescale_betas_zero_snr=True),
        c("squaredcos", cls, **{**base, "beta_schedule": "squaredcos_cap_v2"}),
        c("sigmoid", cls, **{**base, "beta_schedule": "sigmoid"}),
        c("laplace", cls, **{**base, "beta_schedule": "laplace"}, timestep_spacing="linspace"),
    ]


def pndm():
    cls, base = "PNDMScheduler", {**SD, "skip_prk_steps": True, "set_alpha_to_one": False}
    return grid(cls, base) + [
        c("class defaults", cls),
        c("set_alpha_to_one", cls, **{**base, "set_alpha_to_one": True}, steps_offset=1),
        c("prk sd", cls, **{**base, "skip_prk_steps": False}, steps_offset=1),
        c("prk v", cls, **{**base, "skip_prk_steps": False}, prediction_type="v_prediction"),
        c("sd15 file", cls, **base, steps_offset=1, clip_sample=False, trained_betas=None, _diffusers_version="0.6.0"),
    ]


def euler():
    cls = "EulerDiscreteScheduler"
    v = {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    return grid(cls, SD) + [
        c("class defaults", cls),
        c("sample prediction", cls, **SD, prediction_type="sample"),
        c("karras leading", cls, **SD, use_karras_sigmas=True, timestep_spacing="leading", steps_offset=1),
        c("karras linspace", cls, **SD, use_karras_sigmas=True),
        c("exponential", cls, **SD, use_exponential_sigmas=True),
        c("beta", cls, **SD, use_beta_sigmas=True),
        c("karras limits", cls, **SD, use_karras_sigmas=True, sigma_min=0.1, sigma_max=10.0),
        c("log_linear", cls, **SD, interpolation_type="log_linear"),
        c("continuous v", cls, **SD, prediction_type="v_prediction", timestep_type="continuous", use_karras_sigmas=True,
          sigma_min=0.002, sigma_max=700.0),
        c("final sigma_min", cls, **SD, final_sigmas_type="sigma_min"),
        c("zero snr v trailing", cls, **SD, **v, rescale_betas_zero_snr=True),
        c("zero snr epsilon", cls, **SD, timestep_spacing="trailing", rescale_betas_zero_snr=True),
        c("squaredcos", cls, **{**SD, "beta_schedule": "squaredcos_cap_v2"}),
    ]


def ancestral():
    cls = "EulerAncestralDiscreteScheduler"
    v = {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    return grid(cls, SD) + [
        c("class defaults", cls),
        c("zero snr v trailing", cls, **SD, **v, rescale_betas_zero_snr=True),
        c("zero snr epsilon", cls, **SD, timestep_spacing="trailing", rescale_betas_zero_snr=True),
        c("linear", cls, beta_schedule="linear", beta_start=0.0001, beta_end=0.02),
    ]


def dpm():
    cls = "DPMSolverMultistepScheduler"
    v = {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    inf = {"lambda_min_clipped": -math.inf}
    return grid(cls, {**SD, **inf}) + [
        c("class defaults", cls),
        c("order 1", cls, **SD, solver_order=1),
        c("order 3", cls, **SD, solver_order=3),
        c("order 3 v sigma_min", cls, **SD, **v, solver_order=3, final_sigmas_type="sigma_min"),
        c("heun", cls, **SD, solver_type="heun"),
        c("sde", cls, **SD, algorithm_type="sde-dpmsolver++"),
        c("sde heun v", cls, **SD, **v, algorithm_type="sde-dpmsolver++", solver_type="heun"),
        c("sde order 3", cls, **SD, algorithm_type="sde-dpmsolver++", solver_order=3, timestep_spacing="leading"),
        c("sde order 1", cls, **SD, algorithm_type="sde-dpmsolver++", solver_order=1),
        c("noise form", cls, **SD, algorithm_type="dpmsolver", final_sigmas_type="sigma_min"),
        c("noise form heun v", cls, **SD, **v, algorithm_type="dpmsolver", solver_type="heun", final_sigmas_type="sigma_min"),
        c("noise form order 3", cls, **SD, algorithm_type="dpmsolver", solver_order=3, final_sigmas_type="sigma_min"),
        c("noise form thresholding", cls, **SD, algorithm_type="dpmsolver", final_sigmas_type="sigma_min", thresholding=True,
          sample_max_value=1.5),
        c("noise sde", cls, **SD, algorithm_type="sde-dpmsolver", final_sigmas_type="sigma_min"),
        c("noise sde heun", cls, **SD, algorithm_type="sde-dpmsolver", solver_type="heun", final_sigmas_type="sigma_min"),
        c("sigma_min", cls, **SD, final_sigmas_type="sigma_min"),
        c("not lower order", cls, **SD, lower_order_final=False, final_sigmas_type="sigma_min"),
        c("euler_at_final", cls, **SD, euler_at_final=True, final_sigmas_type="sigma_min", lower_order_final=False),
        c("karras", cls, **SD, use_karras_sigmas=True),
        c("karras sde", cls, **SD, use_karras_sigmas=True, algorithm_type="sde-dpmsolver++"),
        c("exponential", cls, **SD, use_exponential_sigmas=True),
        c("beta", cls, **SD, use_beta_sigmas=True),
        c("lu", cls, **SD, use_lu_lambdas=True),
        c("thresholding", cls, **SD, thresholding=True, sample_max_value=1.5, dynamic_thresholding_ratio=0.8),
        c("sample prediction", cls, **SD, prediction_type="sample"),
        c("zero snr v", cls, **SD, **v, rescale_betas_zero_snr=True),
        c("zero snr epsilon", cls, **SD, timestep_spacing="trailing", rescale_betas_zero_snr=True),
        c("squaredcos clipped", cls, **{**SD, "beta_schedule": "squaredcos_cap_v2"}, lambda_min_clipped=-5.1),
        c("squaredcos karras", cls, **{**SD, "beta_schedule": "squaredcos_cap_v2"}, use_karras_sigmas=True),
        c("deis words", cls, **SD, algorithm_type="deis", solver_type="logrho", final_sigmas_type="sigma_min"),
    ]


def switch():
    """from_config from one class to another: which keys travel."""
    sd15 = {"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", **SD, "skip_prk_steps": True, "set_alpha_to_one": False,
            "steps_offset": 1, "clip_sample": False, "trained_betas": None}
    sdxl = {"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0", **SD, "clip_sample": False,
            "interpolation_type": "linear", "prediction_type": "epsilon", "sample_max_value": 1.0, "set_alpha_to_one": False,
            "skip_prk_steps": True, "steps_offset": 1, "timestep_spacing": "leading", "trained_betas": None,
            "use_karras_sigmas": False}
    sparse = {"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "_use_default_values": ["beta_end"], "beta_end": 0.5}
    eul = {"_class_name": "EulerDiscreteScheduler", **SD, "sigma_min": 0.05, "sigma_max": 9.0, "use_karras_sigmas": True}
    out = []
    for name, base in (("sd15", sd15), ("sdxl", sdxl), ("sparse", sparse)):
        for to in MODULES:
            out.append({"name": f"{name} to {to}", "config": base, "switch": [{"class": to}]})
    out.append({"name": "karras set", "config": sdxl,
                "switch": [{"class": "DPMSolverMultistepScheduler", "set": {"use_karras_sigmas": True, "algorithm_type": "sde-dpmsolver++"}}]})
    out.append({"name": "sigma limits travel", "config": eul, "switch": [{"class": "DPMSolverMultistepScheduler"}]})
    out.append({"name": "there and back", "config": sd15, "switch": [{"class": "EulerAncestralDiscreteScheduler"}, {"class": "DDIMScheduler"}]})
    return out


def guidance():
    """Classifier-free guidance as the pipelines write it, and their rescale_noise_cfg."""
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    g = torch.Generator().manual_seed(1)
    uncond, cond = torch.randn(2, 4, 3, 3, generator=g), torch.randn(2, 4, 3, 3, generator=g) * 1.3 + 0.2
    out = []
    for scale, factor in ((1.0, 0.0), (7.5, 0.0), (7.5, 0.7), (3.0, 1.0), (0.0, 0.0)):
        guided = uncond + scale * (cond - uncond)
        if factor > 0:
            guided = rescale_noise_cfg(guided, cond, guidance_rescale=factor)
        out.append({"scale": scale, "rescale": factor, "guided": b64(guided.numpy())})
    return {"images": 2, "uncond": b64(uncond.numpy()), "cond": b64(cond.numpy()), "cases": out}


def main():
    path = pathlib.Path("tests/golden/guidance.json")
    origin = {"made_by": "OMP_NUM_THREADS=1 python tests/oracle/schedulers.py", "diffusers": diffusers.__version__,
              "torch": torch.__version__}
    path.write_text(json.dumps(origin | guidance(), indent=0, separators=(",", ":")) + "\n")
    OUT.mkdir(parents=True, exist_ok=True)
    for make_cases in (ddim, ddpm, pndm, euler, ancestral, dpm, switch):
        doc = {
            "made_by": "OMP_NUM_THREADS=1 python tests/oracle/schedulers.py",
            "diffusers": diffusers.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": sys.version.split()[0],
            "cases": [record(case) for case in make_cases()],
        }
        path = OUT / f"{make_cases.__name__}.json"
        path.write_text(json.dumps(doc, indent=0, separators=(",", ":")) + "\n")
        fails = [(k["name"], r["steps"], r["fails"]) for k in doc["cases"] for r in k["runs"] if "fails" in r]
        print(path, path.stat().st_size, len(doc["cases"]), "cases; fails:", fails)


if __name__ == "__main__":
    main()
