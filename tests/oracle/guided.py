"""Makes tests/golden/guided/{sd15,sdxl}.json: final latents under the guidance rules that diffusers' pipelines lack.

    OMP_NUM_THREADS=1 python tests/oracle/guided.py

The loop is written out here: networks of tests/tiny run in ONNX Runtime, schedulers are diffusers', the rules are numpy.
CHATS (arXiv 2502.12579): proxy = (1 + alpha) null - alpha prompt, prediction = win + s (win - lose). With one network win and
lose are the same. An interval guides steps of low < sigma <= high, or steps whose middle lies within shares of the run.
"""

import base64
import json
import pathlib

import diffusers
import numpy as np
import onnxruntime
import torch
import transformers

GOLDEN = pathlib.Path("tests/golden/guided")
TINY = pathlib.Path("tests/tiny")
PROMPTS = ["a big red circle left of a small blue star", "three GREEN triangles on a white background"]
SCHEDULERS = {"ddim": diffusers.DDIMScheduler, "euler": diffusers.EulerDiscreteScheduler}
SEED = 77
CASES = [
    {"name": "chats", "guidance": "chats", "scale": 4.0},
    {"name": "chats-zeros", "guidance": "chats", "scale": 2.5, "alpha": 0.8, "null": "zeros", "scheduler": "euler"},
    {"name": "chats-no-proxy", "guidance": "chats", "scale": 3.0, "alpha": 0.0},
    {"name": "chats-negative", "guidance": "chats", "scale": 0.5, "alpha": 0.25, "negative": "blurry, low quality", "rescale": 0.6},
    {"name": "chats-middle", "guidance": "chats", "scale": 4.0, "share": [0.2, 0.7]},
    {"name": "cfg-sigmas", "guidance": "cfg", "scale": 7.0, "sigmas": [0.5, 4.0], "scheduler": "euler"},
    {"name": "cfg-zeros", "guidance": "cfg", "scale": 5.0, "null": "zeros"},
    {"name": "cfg-encoded", "guidance": "cfg", "scale": 5.0, "null": "encoded"},
]


class Folder:
    """A tiny pipeline in ONNX Runtime."""

    def __init__(self, kind):
        self.kind, self.xl, self.root = kind, kind == "sdxl", TINY / kind
        suffixes = ("", "_2") if self.xl else ("",)
        self.tokenizers = [transformers.CLIPTokenizer.from_pretrained(self.root / f"tokenizer{s}") for s in suffixes]
        self.texts = [self.session(f"text_encoder{s}") for s in suffixes]
        self.unet = self.session("unet")

    def session(self, name):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(str(self.root / name / "model.onnx"), options, providers=["CPUExecutionProvider"])

    def encode(self, prompt):
        hidden, pooled = [], None
        for i, (tokenizer, text) in enumerate(zip(self.tokenizers, self.texts)):
            ids = tokenizer(prompt, padding="max_length", max_length=32, truncation=True, return_tensors="np").input_ids
            names = [o.name for o in text.get_outputs()]
            out = dict(zip(names, text.run(names, {"input_ids": ids.astype(np.int64)})))
            last = max((int(n.split(".")[1]) for n in names if n.startswith("hidden_states.")), default=0)
            hidden.append(out[f"hidden_states.{last - 1}"] if self.xl else out["last_hidden_state"])
            if i == 1:
                pooled = out["text_embeds"]
        return np.concatenate(hidden, -1), pooled

    def predict(self, x, t, embeds):
        hidden, pooled = embeds
        port = next(i for i in self.unet.get_inputs() if i.name == "timestep")
        step = np.array(int(t), np.int64) if port.type == "tensor(int64)" else np.array(t, np.float32)
        inputs = {"sample": x, "timestep": step, "encoder_hidden_states": hidden}
        if self.xl:
            height, width = 4 * x.shape[2], 4 * x.shape[3]
            inputs |= {"text_embeds": pooled, "time_ids": np.array([[height, width, 0, 0, height, width]], np.float32)}
        return self.unet.run(None, inputs)[0]


def mix(a, x, b, y):
    """a x + b y on hidden states and pooled embeddings."""
    return tuple(None if u is None else (np.float32(a) * u + np.float32(b) * v).astype(np.float32) for u, v in zip(x, y))


def null_of(folder, case):
    if "negative" in case:
        return folder.encode(case["negative"])
    empty = folder.encode("")
    default = "encoded" if case["guidance"] == "chats" or not folder.xl else "zeros"
    return empty if case.get("null", default) == "encoded" else mix(0, empty, 0, empty)


def covered(case, sigma, i, n):
    if "share" in case:
        return case["share"][0] <= (i + 0.5) / n <= case["share"][1]
    low, high = case.get("sigmas", (0, np.inf))
    return low < sigma <= high


def sigma_of(scheduler, i, t):
    if isinstance(scheduler, diffusers.EulerDiscreteScheduler):
        return float(scheduler.sigmas[i])
    bar = float(scheduler.alphas_cumprod[int(t)])
    return ((1 - bar) / bar) ** 0.5


def guide(case, win, lose):
    """win is the prediction for the prompt; lose for the proxy prompt, the negative prompt, or by the weaker network."""
    s = np.float32(case["scale"])
    out = win + s * (win - lose) if case["guidance"] == "chats" else lose + s * (win - lose)
    f = case.get("rescale", 0)
    return (f * out * win.std(ddof=1) / out.std(ddof=1) + (1 - f) * out).astype(np.float32) if f else out


def run(case, kind, prompt, seed, win, lose, embeds, negative):
    """One picture: win and lose predict from (x, t, embeds)."""
    scheduler = SCHEDULERS[case.get("scheduler", "ddim")].from_pretrained(TINY / kind / "scheduler")
    scheduler.set_timesteps(10)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator("cpu").manual_seed(seed))
    x, nfe = noise * scheduler.init_noise_sigma, 0
    for i, t in enumerate(scheduler.timesteps):
        given = scheduler.scale_model_input(x, t).numpy()
        out = win(given, float(t), embeds)
        nfe += 1
        if covered(case, sigma_of(scheduler, i, t), i, len(scheduler.timesteps)):
            out = guide(case, out, lose(given, float(t), negative))
            nfe += 1
        x = scheduler.step(torch.from_numpy(np.ascontiguousarray(out)), t, x).prev_sample
    return x.numpy(), nfe


def pictures(case, kind, folder, win, lose):
    latents = []
    for k, prompt in enumerate(PROMPTS):
        embeds = folder.encode(prompt)
        negative = null_of(folder, case)
        if case["guidance"] == "chats":
            alpha = case.get("alpha", 0.5)
            negative = mix(-alpha, embeds, 1 + alpha, negative)
        if case["guidance"] == "auto":
            negative = embeds
        x, nfe = run(case, kind, prompt, SEED, win, lose, embeds, negative)
        latents.append(x)
    return {**case, "nfe": nfe, "latents": base64.b64encode(np.concatenate(latents).astype("<f4").tobytes()).decode()}


def write(path, cases, **versions):
    origin = {"made_by": "OMP_NUM_THREADS=1 python tests/oracle/guided.py", "torch": torch.__version__, "diffusers": diffusers.__version__,
              "transformers": transformers.__version__, "onnxruntime": onnxruntime.__version__, "numpy": np.__version__, **versions}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**origin, "seed": SEED, "steps": 10, "prompts": PROMPTS, "cases": cases}, indent=1) + "\n")
    print(path, path.stat().st_size, "bytes;", [c["nfe"] for c in cases])


def main():
    for kind in ("sd15", "sdxl"):
        folder = Folder(kind)
        write(GOLDEN / f"{kind}.json", [pictures(c, kind, folder, folder.predict, folder.predict) for c in CASES])


if __name__ == "__main__":
    main()
