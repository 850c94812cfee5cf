"""The other side of `peers -train`: torch and PEFT, driven line by line over standard input and output.

    python worker_train.py SEED THREADS INPUT_FOLDER

The network is that of tests/oracle/sd15_unet.py with the same seed, with a LoRA adapter on the modules whose A and B lie in
INPUT_FOLDER as MODULE.lora_A.weight.<dtype>.<d0>x<d1>.in (and lora_B). Prints "ready SECONDS NAME"; each line "run" is one
forward and backward pass from the cotangent, answered by "ran SECONDS CPU_SECONDS"; "save" writes the gradients of all A and B, sorted
by name, to out.f32; "end" prints "peak BYTES" and leaves.
"""

import pathlib
import sys
import time

import numpy as np
import peft
import torch
from diffusers import UNet2DConditionModel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "oracle"))
from sd15_unet import SD15  # noqa: E402


def inputs(folder):
    out = {}
    for f in folder.glob("*.in"):
        name, dtype, shape = f.name[:-3].rsplit(".", 2)
        out[name] = torch.from_numpy(np.fromfile(f, dtype).reshape([int(d) for d in shape.split("x")]))
    return out


def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def adapted(seed, weights):
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(**SD15).eval().requires_grad_(False)
    modules = sorted({n.rsplit(".lora_", 1)[0] for n in weights})
    rank = next(w for n, w in weights.items() if n.endswith("lora_A.weight")).shape[0]
    unet.add_adapter(peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=modules, init_lora_weights=False), "default")
    params = {n.replace(".default.", "."): p for n, p in unet.named_parameters() if "lora_" in n}
    assert set(params) == set(weights), set(params) ^ set(weights)
    with torch.no_grad():
        for n, p in params.items():
            p.copy_(weights[n])
    return unet, params


def main():
    seed, threads, folder = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
    torch.set_num_threads(threads)
    feed = inputs(folder)
    begin = time.perf_counter()
    unet, params = adapted(seed, {n: t for n, t in feed.items() if ".lora_" in n})
    print("ready", time.perf_counter() - begin, f"torch {torch.__version__} PEFT {peft.__version__}", flush=True)
    for line in sys.stdin:
        match line.strip():
            case "run":
                unet.zero_grad(set_to_none=True)
                begin, cpu = time.perf_counter(), time.process_time()
                y = unet(feed["sample"], feed["timestep"], feed["encoder_hidden_states"], return_dict=False)[0]
                y.backward(feed["cotangent"])
                print("ran", time.perf_counter() - begin, time.process_time() - cpu, flush=True)
                del y
            case "save":
                np.concatenate([params[n].grad.numpy().ravel() for n in sorted(params)]).tofile(folder / "out.f32")
                print("saved", flush=True)
            case "end":
                print("peak", peak(), flush=True)
                return


if __name__ == "__main__":
    main()
