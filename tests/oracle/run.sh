#!/bin/sh
# Rewrites every golden file from its independent source. PYTHON needs tests/oracle/requirements.txt; review the diff.
set -eu
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
export OMP_NUM_THREADS=1
for script in rng smalltypes schedulers invert safetensors_files images pixel_gradients optimisers optim tokenizer clip_rows bert_tokenizer unigram_tokenizer clip_reward rewards reward_files onnx_files ops quantization contrib autograd conformance metrics evaluation aggregation softreward ranking judge_pictures objectives methods ratios tensorboard_files; do
	echo "== $script" >&2
	"$PYTHON" "tests/oracle/$script.py"
done
echo "== pipelines" >&2
"$PYTHON" tests/oracle/pipelines.py tests/tiny/sd15/tokenizer
echo "== guided" >&2
"$PYTHON" tests/oracle/guided.py
"$PYTHON" tests/oracle/flow.py
"$PYTHON" tests/oracle/flow_sde.py
"$PYTHON" tests/oracle/sd3_pipeline.py
echo "== lora" >&2
"$PYTHON" tests/oracle/lora.py
"$PYTHON" tests/oracle/lora_write.py
"$PYTHON" tests/oracle/lora_text.py
"$PYTHON" tests/oracle/lora_sd3.py
echo "== training" >&2
"$PYTHON" tests/oracle/training.py
"$PYTHON" tests/oracle/training_flow.py
"$PYTHON" tests/oracle/training_paths.py
"$PYTHON" tests/oracle/training_pictures.py
"$PYTHON" tests/oracle/training_ncp.py
"$PYTHON" tests/oracle/training_sd3.py
echo "== engine" >&2
"$PYTHON" tests/oracle/engine.py
echo "== contrib_models" >&2
"$PYTHON" tests/oracle/contrib_models.py
echo "== gradients" >&2
"$PYTHON" tests/oracle/gradients.py
"$PYTHON" tests/oracle/search_gradients.py
echo "== families" >&2
"$PYTHON" tests/oracle/families
git status --short -- tests internal dpo
