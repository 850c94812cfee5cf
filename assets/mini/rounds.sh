#!/usr/bin/env bash
# Trains the embedded model in rounds in the folder that is named: the policy makes pictures, a judge compares them, the policy learns from
# the pairs, and the next round starts from what it has become. ROUNDS.md has the output. A run that was stopped goes on where it was.
set -euo pipefail
winnow=${WINNOW:-winnow}
rounds=${ROUNDS:-3} prompts=${PROMPTS:-100} updates=${UPDATES:-40}
judge=(--judge "${JUDGE:-mini}") # JUDGE=http://localhost:8000 asks a vision-language model instead
[ -z "${JUDGE_MODEL:-}" ] || judge+=(--judge-model "$JUDGE_MODEL" --judge-cache answers.sqlite)
mkdir -p "${1:?name a folder}" && cd "$1"

# Other prompts in every round, none of which is in a set that figures are made with.
[ -e all.txt ] || $winnow bench prompts --count $((rounds * prompts)) >all.txt
policy=() # flags of what the round before has made
start=()
for round in $(seq "$rounds"); do
	sed -n "$(((round - 1) * prompts + 1)),$((round * prompts))p" all.txt >"prompts-$round.txt"
	[ -e "pairs-$round.parquet" ] || $winnow label --prompts "prompts-$round.txt" --num-images 4 --steps 10 --guidance-scale 1 --seed "$((round * 100000))" \
		"${policy[@]}" "${judge[@]}" --pairs all --pairs-per-prompt 4 --min-gap 0.5 --output "pairs-$round.parquet"
	[ -e "round-$round/round-$round.safetensors" ] || $winnow train dpo --data "pairs-$round.parquet" --output "round-$round" --beta-dpo 400 --rank 8 \
		--learning-rate 1e-3 --lr-scheduler cosine --max-train-steps "$updates" --train-batch-size 32 --checkpointing-steps 20 --seed "$round" \
		--resume-from-checkpoint latest "${start[@]}"
	policy=(--lora "round-$round/round-$round.safetensors")
	start=(--init-lora "round-$round" --reference-lora "round-$round/round-$round.safetensors")
done

adapters=()
for round in $(seq "$rounds"); do adapters+=(--adapter "round-$round=round-$round"); done
$winnow bench align --steps 10 --guidance-scale 1 --limit "${LIMIT:-200}" --markdown "${adapters[@]}" >rounds.md
cat rounds.md
