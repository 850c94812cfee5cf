"""The other side of `peers -dpo`: Diffusion-DPO with torch and PEFT, driven line by line over standard input and output.

    python worker_dpo.py UNET_CONFIG THREADS INPUT_FOLDER

The network has the given config.json of diffusers, random weights and a LoRA as diffusers' training scripts make it. One step is
that of their DPO script for LoRA (float32, the reference is the network with adapters disabled), from latents
and text embeddings that are there already, to which it draws noise and timesteps. INPUT_FOLDER holds settings.*.in, float32: pairs, tokens
and rank. Prints "ready SECONDS NAME"; each line "run" is answered by "ran SECONDS CPU_SECONDS"; "end" prints "peak BYTES" and
leaves.
"""

import json
import pathlib
import sys
import time

import diffusers
import numpy as np
import peft
import torch
import torch.nn.functional as F

BETA = 2000.0


def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


class Step:
    def __init__(self, config, pairs, tokens, rank):
        torch.manual_seed(0)
        config = json.loads(pathlib.Path(config).read_text())
        self.unet = diffusers.UNet2DConditionModel.from_config(config).requires_grad_(False).train()
        self.unet.add_adapter(peft.LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
        self.params = [p for p in self.unet.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.params, lr=1e-4, weight_decay=1e-2)
        self.scheduler = diffusers.DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
        side = config["sample_size"]
        self.latents = torch.randn(2 * pairs, config["in_channels"], side, side)
        self.prompts = torch.randn(pairs, tokens, config["cross_attention_dim"]).repeat(2, 1, 1)

    def errors(self, x, t, noise):
        prediction = self.unet(x, t, self.prompts, return_dict=False)[0]
        return F.mse_loss(prediction, noise, reduction="none").mean(dim=(1, 2, 3)).chunk(2)

    def __call__(self):
        noise = torch.randn_like(self.latents).chunk(2)[0].repeat(2, 1, 1, 1)
        t = torch.randint(0, 1000, (len(noise) // 2,)).repeat(2)
        x = self.scheduler.add_noise(self.latents, noise, t)
        chosen, rejected = self.errors(x, t, noise)
        self.unet.disable_adapters()
        with torch.no_grad():
            ref_chosen, ref_rejected = self.errors(x, t, noise)
        self.unet.enable_adapters()
        loss = -F.logsigmoid(-0.5 * BETA * ((chosen - rejected) - (ref_chosen - ref_rejected))).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


def main():
    config, threads, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
    torch.set_num_threads(threads)
    begin = time.perf_counter()
    step = Step(config, *(int(v) for v in np.fromfile(next(folder.glob("settings.*.in")), np.float32)))
    print("ready", time.perf_counter() - begin, f"torch {torch.__version__} PEFT {peft.__version__}", flush=True)
    for line in sys.stdin:
        match line.strip():
            case "run":
                begin, cpu = time.perf_counter(), time.process_time()
                step()
                print("ran", time.perf_counter() - begin, time.process_time() - cpu, flush=True)
            case "end":
                print("peak", peak(), flush=True)
                return


if __name__ == "__main__":
    main()
