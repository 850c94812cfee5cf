#!/bin/sh
# Winnow's embedded executor against its peers on full-size networks with random weights:
#   run.sh            SD1.5 U-Net, batch 2 at 64x64 latents, against ONNX Runtime
#   run.sh -train     a LoRA's forward and backward pass on it against torch and PEFT
#   run.sh -dpo       a step of Diffusion-DPO on the embedded model, 32 pairs, against torch and PEFT; exports nothing
#   run.sh -reward    vision tower of HPSv2 (ViT-H/14), batch 8, against ONNX Runtime; besides, from files to scores
# The networks (3.4 and 2.5 GB) are exported once into WINNOW_BENCH_DIR. PYTHON needs tests/oracle/requirements.txt.
set -eu
cd "$(dirname "$0")/../../.."
dir=${WINNOW_BENCH_DIR:-${TMPDIR:-/tmp}/winnow-bench}
PYTHON=${PYTHON:-python3}

# once FILE SCRIPT FOLDER runs an export unless its last file is there.
once() {
	if [ ! -s "$1" ]; then
		echo "exporting a network to $3 (takes minutes)" >&2
		"$PYTHON" "tests/oracle/$2" "$3" >&2
	fi
}

if [ "${1:-}" = -dpo ]; then
	exec go run ./tests/bench/peers -batch 32 -repeats 20 -python "$PYTHON" "$@"
fi
if [ "${1:-}" = -reward ]; then
	shift
	once "$dir/vith/vision_model.onnx.data" vith_vision.py "$dir/vith"
	exec go run ./tests/bench/peers -reward "$dir/vith" -batch 8 -repeats 5 -python "$PYTHON" "$@"
fi
once "$dir/model.onnx_data" sd15_unet.py "$dir"
exec go run ./tests/bench/peers -model "$dir/model.onnx" -python "$PYTHON" "$@"
