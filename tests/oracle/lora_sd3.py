"""Makes tests/golden/lora/sd3-diffusers.safetensors and sd3.json: an adapter of Stable Diffusion 3 as diffusers writes it, and latents under it.

    OMP_NUM_THREADS=1 python tests/oracle/lora_sd3.py

The pipeline is that of sd3_pipeline.py. The adapter has random factors for the transformer's attention and for both CLIPs, of other ranks and
alphas each; StableDiffusion3Pipeline.save_lora_weights writes it, load_lora_weights reads it, and the pipeline makes the latents.
"""

import base64
import json
import pathlib
import tempfile

import diffusers
import lora_text
import peft
import sd3_pipeline
import torch
import transformers
from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

GOLDEN = pathlib.Path("tests/golden/lora")
JOINT = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"]
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj"]
ADAPTERS = {"transformer": (3, 4.5, JOINT), "text_encoder": (2, 1.0, TEXT), "text_encoder_2": (2, 1.0, TEXT)}
RUN = {"prompt": "a big red circle", "seed": 5, "steps": 10, "guidance_scale": 5.0}


def build():
    """The pipeline, without writing over the committed folder."""
    lora_text.accept_peft()
    with tempfile.TemporaryDirectory() as tmp, torch.no_grad():
        sd3_pipeline.TINY = pathlib.Path(tmp)
        pipe = sd3_pipeline.build()
    sd3_pipeline.same_as_committed(pipe)
    return pipe


def adapt(pipe):
    """Gives every network an adapter of random factors that float16 holds."""
    torch.manual_seed(7)
    for name, (rank, alpha, targets) in ADAPTERS.items():
        net = getattr(pipe, name)
        net.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets))
        for key, p in net.named_parameters():
            if "lora_" in key:
                fan = p[0].numel() if "lora_A" in key else 4 * p.shape[1]
                p.data.copy_((torch.randn(p.shape) / fan**0.5).half().float())


def save(pipe, folder, name):
    nets = {k: getattr(pipe, k) for k in ADAPTERS}
    layers = {f"{k}_lora_layers": get_peft_model_state_dict(net, adapter_name="default") for k, net in nets.items()}
    pipe.save_lora_weights(folder, weight_name=name, **layers, **_collate_lora_metadata(nets))


@torch.no_grad()
def latents(pipe):
    return pipe(RUN["prompt"], height=32, width=32, num_inference_steps=RUN["steps"], guidance_scale=RUN["guidance_scale"], output_type="latent",
                generator=torch.Generator("cpu").manual_seed(RUN["seed"])).images


def main():
    pipe = build()
    plain = latents(pipe)
    adapt(pipe)
    save(pipe, GOLDEN, "sd3-diffusers.safetensors")
    drawn = latents(pipe)
    again = build()
    again.load_lora_weights(str(GOLDEN), weight_name="sd3-diffusers.safetensors")
    out = latents(again)
    print("adapter changes", float((out - plain).norm() / plain.norm()), "reading again", float((out - drawn).norm() / drawn.norm()))
    assert (out - drawn).abs().max() < 1e-5 * out.abs().max()
    about = {"made_by": "OMP_NUM_THREADS=1 python tests/oracle/lora_sd3.py", "diffusers": diffusers.__version__, "peft": peft.__version__,
             "transformers": transformers.__version__, "torch": torch.__version__, **RUN,
             "latents": base64.b64encode(out.numpy().astype("<f4").tobytes()).decode()}
    (GOLDEN / "sd3.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
