"""Train the CLIP-style byte-pair tokenizer on captions of the world and write it in CLIP's files.

    python make_tokenizer.py --out RUN/tokenizer

About 760 entries: the 256 bytes with and without </w>, the merges, start and end. A little general English of drawing
is mixed in, so that other prompts do not fall apart into letters.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, models as bpe, normalizers, pre_tokenizers, trainers

import models
import world

CAPTIONS = 20000
EXTRA = (
    "photo of the in at front behind next to near between big bright dark colour color coloured colored shape object objects simple clean "
    "beautiful sharp high quality blurry noisy ugly bad messy low background four five many few line centre center left right top bottom corner"
).split()
START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def corpus(rng):
    texts = []
    for _ in range(CAPTIONS):
        scene = world.random_scene(rng)
        texts.append(world.caption(world.describe(scene, rng), rng))
    return texts + [" ".join(rng.choice(EXTRA, 6)) for _ in range(300)]


def train_merges(texts):
    tokenizer = Tokenizer(bpe.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=1000, min_frequency=2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), end_of_word_suffix="</w>",
        continuing_subword_prefix="", show_progress=False))
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in merges]


def byte_letters():
    """CLIP's printable stand-ins for the 256 bytes, in CLIP's order."""
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    merges = train_merges(corpus(np.random.default_rng(5)))
    letters = byte_letters()
    vocabulary = letters + [c + "</w>" for c in letters] + ["".join(m) for m in merges] + [START, END]
    if len(set(vocabulary)) != len(vocabulary):
        raise SystemExit("two merges give the same token")
    out.mkdir(parents=True, exist_ok=True)
    special = dict(bos_token=START, eos_token=END, unk_token=END, pad_token=END)
    config = dict(tokenizer_class="CLIPTokenizer", model_max_length=models.PROMPT_LENGTH, **special, do_lower_case=True,
                  errors="replace", add_prefix_space=False)
    (out / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(vocabulary)}, ensure_ascii=False))
    (out / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in merges) + "\n")
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    (out / "special_tokens_map.json").write_text(json.dumps(special, indent=1))
    print(len(vocabulary), "entries,", len(merges), "merges")


if __name__ == "__main__":
    main()
