"""Three optimiser steps of LoRA training of a flow in torch, PEFT and diffusers: dpo/training/testdata/sd2-flow.safetensors.

    OMP_NUM_THREADS=1 python tests/oracle/training_flow.py

The file is laid out as those of tests/oracle/training.py. The U-Net is that of tests/tiny/sd2 under the scheduler of the metadata's
"scheduler". Timesteps count from 0 for the least noise: x = (1 - sigma) clean + sigma noise with sigma of diffusers' scheduler, the
network is told 1000 sigma and should answer noise - clean.
"""

import diffusers
import torch
import training

CONFIG = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
CASES = {
    "dpo": {**training.DPO, "beta": 20, "epsilon": 1e-5},
    "smpo": {**training.SMPO, "levels": 4, "random_b": True},
    "vrpo-text": {**training.DPO, **training.READ, "method": "vrpo", "beta": 20, "draws": 2, "random_b": True, "targets": training.FEWER},
}


class Flow(training.Model):
    def __init__(self):
        super().__init__("sd2")
        self.config, self.prediction = CONFIG, "flow"
        self.scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_config(CONFIG)
        self.sigmas = self.scheduler.sigmas.flip(0)  # of the training range, the least first

    def noised(self, clean, t, noise):
        told = 1000 * self.sigmas[t]
        x = self.scheduler.scale_noise(clean[None], self.scheduler.timesteps.flip(0)[t][None], noise[None])[0]
        return x, noise - clean, told.item()

    @torch.no_grad()
    def inverted(self, case, net, x0, prompt, level):
        """Euler's method from clean latents up, each step with the mean of the velocities before and behind it (ReNoise)."""
        s = diffusers.FlowMatchEulerDiscreteScheduler.from_config(CONFIG)
        s.set_timesteps(case["levels"])
        x0 = x = x0.to(next(net.parameters()).dtype)
        low, e = 0.0, self.embeds([prompt], net)
        for t, high in self.steps(s, level):
            ask = lambda y: self.predict(net, y[None], torch.tensor([t]), e)[0]
            first = ask(x)
            second = ask(x + (high - low) * first)
            x, low = x + (high - low) * (first + second) / 2, high
        return x, (x - (1 - high) * x0) / high - x0, t

    def steps(self, s, level):
        """Timesteps and levels, the least noise first."""
        return list(zip(s.timesteps.flip(0).tolist(), s.sigmas[:-1].flip(0).tolist()))[:level]


if __name__ == "__main__":
    training.one("sd2-flow", Flow(), CASES, "training_flow.py", {"scheduler": CONFIG})
