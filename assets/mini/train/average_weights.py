"""Average the weights of two checkpoints that share their beginning.

    python average_weights.py RUN/unet_stage2 RUN/unet_stage3 --out RUN/unet_final
"""

import argparse
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

FILES = {"unet": "diffusion_pytorch_model.safetensors", "text_encoder": "model.safetensors"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    for part, name in FILES.items():
        a, b = load_file(args.first / part / name), load_file(args.second / part / name)
        (args.out / part).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(args.first / part / "config.json", args.out / part / "config.json")
        save_file({key: (a[key] + b[key]) / 2 for key in a}, args.out / part / name, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
