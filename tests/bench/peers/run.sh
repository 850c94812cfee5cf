#!/bin/sh
# Full-size SD1.5 U-Net, random weights, batch 2 at 64x64 latents: Winnow's embedded executor against ONNX Runtime, or with
# -train a LoRA's forward and backward pass against torch and PEFT.
# The network (3.4 GB) is exported once into WINNOW_BENCH_DIR. PYTHON needs tests/oracle/requirements.txt.
set -eu
cd "$(dirname "$0")/../../.."
dir=${WINNOW_BENCH_DIR:-${TMPDIR:-/tmp}/winnow-bench}
PYTHON=${PYTHON:-python3}
if [ ! -s "$dir/model.onnx_data" ]; then
	echo "exporting the U-Net to $dir (takes minutes)" >&2
	"$PYTHON" tests/oracle/sd15_unet.py "$dir" >&2
fi
exec go run ./tests/bench/peers -model "$dir/model.onnx" -python "$PYTHON" "$@"
