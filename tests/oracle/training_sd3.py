"""Three optimiser steps of LoRA training of Stable Diffusion 3 in torch, PEFT and diffusers: dpo/training/testdata/sd3*.safetensors.

    OMP_NUM_THREADS=1 python tests/oracle/training_sd3.py [sd3] [sd3-text] [sd3-paths]

The files are laid out as those of tests/oracle/training.py, with the flow of training_flow.py, the paths of training_paths.py, and latents of
16 channels. The pipeline is that of sd3_pipeline.py, with "sequence" tokens of T5. In sd3-text both CLIPs have adapters.
"""

import pathlib
import sys
import tempfile

import diffusers
import sd3_pipeline
import torch
import training
import training_flow
import training_paths
from training import PROMPTS

SEQUENCE = 24
JOINT = [*training.ATTENTION, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"]
FEWER = ["attn.to_k", "add_v_proj", "attn2.to_out.0"]
CASES = {
    "sd3": {
        "flow-dpo": {**training.DPO, "method": "flow-dpo", "beta": 20, "epsilon": 1e-4, "random_b": True, "targets": JOINT},
        "dpo": {**training.DPO, "beta": 20, "epsilon": 1e-5, "accumulation": 2},
    },
    "sd3-text": {"dpo": {**training.DPO, **training.READ, "beta": 20, "random_b": True, "targets": FEWER}},
    "sd3-paths": {"flow-grpo": {**training_paths.GRPO, "random_b": True, "targets": JOINT, "clip_range": 0.001}},
}


class SD3(training_flow.Flow):
    shape = (sd3_pipeline.CHANNELS, 8, 8)

    def __init__(self):
        self.kind, self.config, self.prediction = "sd3", sd3_pipeline.SCHEDULER, "flow"
        self.scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_config(self.config)
        self.sigmas = self.scheduler.sigmas.flip(0)
        with tempfile.TemporaryDirectory() as tmp, torch.no_grad():
            sd3_pipeline.TINY = pathlib.Path(tmp)
            pipe = sd3_pipeline.build()
            sd3_pipeline.same_as_committed(pipe)
            rows = [pipe.encode_prompt(p, None, None, do_classifier_free_guidance=False, max_sequence_length=SEQUENCE) for p in PROMPTS]
        self.unet = pipe.transformer.requires_grad_(False)
        self.readers = {k: getattr(pipe, k).requires_grad_(False) for k in ("text_encoder", "text_encoder_2")}
        words = lambda name: getattr(pipe, name)(PROMPTS, padding="max_length", max_length=sd3_pipeline.LENGTH, return_tensors="pt").input_ids
        self.ids = {k: words(k.replace("text_encoder", "tokenizer")) for k in self.readers}
        self.hidden, self.pooled = torch.cat([r[0] for r in rows]), torch.cat([r[2] for r in rows])
        self.unet.readers = {}
        with torch.no_grad():
            for got, want in zip(self.read(self.readers), (self.hidden, self.pooled)):
                assert (got - want).abs().max() < 1e-6 * want.abs().max(), "another reading of prompts than the pipeline's"

    def read(self, readers):
        out = [net(self.ids[k], output_hidden_states=True) for k, net in readers.items()]
        states = torch.cat([o.hidden_states[-2] for o in out], -1)
        states = torch.nn.functional.pad(states, (0, sd3_pipeline.JOINT - states.shape[-1]))
        behind = self.hidden[:, sd3_pipeline.LENGTH :].to(states.dtype)
        return torch.cat([states, behind], 1), torch.cat([o.text_embeds for o in out], -1)

    def predict(self, net, x, t, embeds):
        hidden, pooled = embeds
        dtype = next(net.parameters()).dtype
        return net(x.to(dtype), hidden.to(dtype), pooled.to(dtype), torch.as_tensor(t).expand(len(x)), return_dict=False)[0]

    def empty(self):
        return PROMPTS.index("")


if __name__ == "__main__":
    for kind in sys.argv[1:] or CASES:
        model = SD3()
        if kind == "sd3-paths":
            training_paths.use()
            training_paths.START.update(training.initial(model, CASES[kind]))
        training.one(kind, model, CASES[kind], "training_sd3.py", {"scheduler": model.config, "sequence": SEQUENCE})
