#!/usr/bin/env bash
# Trains the adapters of ALIGN.md in the folder that is named and prints its tables: pictures of 1,500 captions that are in no other set,
# pairs of them by the exact checker, five methods and a variant, three seeds each: two and a half hours of one core. A run that was stopped goes on where it was.
set -euo pipefail
configs=$(cd "$(dirname "$0")/../../cmd/winnow/configs" && pwd)
winnow=${WINNOW:-winnow}
mkdir -p "$1" && cd "$1"

# Eight pictures of each prompt without guidance and eight with it; up to four pairs of each eight.
[ -e prompts.txt ] || $winnow bench prompts --count 1500 >prompts.txt
pool() { # guidance scale, seed of the first picture
	[ -e "pool-$1.parquet" ] || $winnow label --prompts prompts.txt --num-images 8 --steps 10 --guidance-scale "$1" --seed "$2" \
		--reward checker --pairs all --pairs-per-prompt 4 --min-gap 0.1 --soft-labels 0.15 --output "pool-$1.parquet"
}
pool 1 200000
pool 3 100000

train() { # name, seed, configuration, more flags
	local run=$1-$2
	shift
	[ -e "$run/$run.safetensors" ] || $winnow train --config "$configs/mini-$2.yaml" --seed "$1" --threads 1 --checkpointing-steps 100 \
		--cache cache.sqlite --output "$run" --resume-from-checkpoint latest "${@:3}"
}
for seed in 1 2 3; do
	for method in dpo sft chats smpo; do
		train $method $seed $method --data pool-1.parquet --data pool-3.parquet
	done
	train dpo-guided $seed dpo --data pool-3.parquet --beta-dpo 500 --max-train-steps 800
	train tailorpo $seed tailorpo --prompts prompts.txt --reward checker
done

runs() { echo "$1=$1-1,$1-2,$1-3"; }
compare() {
	$winnow bench align --steps 10 --markdown "$@"
}
# The guidance scale of each recipe, by its first seed.
first=()
all=()
for name in dpo dpo-guided chats tailorpo smpo sft; do
	first+=(--adapter "$name=$name-1")
	all+=(--adapter "$(runs $name)")
done
compare --prompts validation --guidance-scale 1,2,3 "${first[@]}" >validation.md
compare --guidance-scale 1,3 "${all[@]}" >heldout.md
# CHATS' rule with both adapters against classifier-free guidance with the winner's alone.
compare --guidance-scale 2,3 --over winner --adapter winner=chats-1/chosen,chats-2/chosen,chats-3/chosen --adapter "$(runs chats)" >chats.md
cat validation.md heldout.md chats.md
