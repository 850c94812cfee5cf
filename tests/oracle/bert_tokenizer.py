"""Golden token ids of transformers' BertTokenizer for internal/tokenizer.

    python tests/oracle/bert_tokenizer.py

writes tests/golden/tokenizer/bert: a WordPiece vocabulary trained here on a fixed text, and the token ids of ordinary texts
and of 5,000 random Unicode strings, uncased and cased. For the ids the vocabulary is extended by the characters in "extra",
each alone and with "##", so that normalization shows instead of drowning in [UNK].
"""

import gzip
import json
import os
import random
import sys
import tempfile
import unicodedata

import tokenizers
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import BertTokenizer

from tokenizer import HERE, PROMPTS, TEXT, alphabet

SEED, COUNT = 35, 5000
OUT = os.path.join(HERE, "..", "golden", "tokenizer", "bert")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MORE = ["[SEP] x", "x [MASK]y", "[sep]", "[ENC]", "a" * 100, "a" * 101, "don't!!", "猫cat猫", "1,000.50$", "a\u200db", "ŒUVRE œuvre", "Ǆ ǆ", "\u00adsoft\u00adhyphen",
        "x\ue000y", "x\U000e0001y", "a\ufffdb", "\u0378", "ﬃ", "½", "東京タワー", "한국어", "ｶﾞ", "ẛ̣", "Ω", "\u2028\u2029\u0085", "`~$^+=|<>"]


def vocabulary():
    tk = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tk.normalizer = normalizers.BertNormalizer(lowercase=False)
    tk.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=1500, min_frequency=1, special_tokens=SPECIAL, show_progress=False)
    lower = normalizers.BertNormalizer(lowercase=True)
    lines = TEXT.split("\n")
    tk.train_from_iterator(lines + [lower.normalize_str(line) for line in lines], trainer)
    return sorted(tk.get_vocab(), key=tk.get_vocab().get)


def extra(vocab):
    """Letters, marks, numbers, punctuation and symbols below U+3000 that the vocabulary lacks."""
    return "".join(chr(c) for c in range(0x21, 0x3000) if unicodedata.category(chr(c))[0] in "LMNPS" and chr(c) not in vocab)


def settled(c):
    """Whether a character has been in one category since Unicode 3.2. The Rust library's tables of categories are some ten
    years old; characters that came or moved later are other kinds of characters there than in today's tables."""
    return len(c) > 1 or unicodedata.ucd_3_2_0.category(c) == unicodedata.category(c)


def random_strings(rng):
    kinds = [[c for c in kind if settled(c)] for kind in alphabet(rng)]
    return ["".join(rng.choice(rng.choice(some)) for _ in range(rng.randint(1, 14)))
            for some in (rng.sample(kinds, rng.randint(1, 3)) for _ in range(COUNT))]


def main():
    os.makedirs(OUT, exist_ok=True)
    vocab = vocabulary()
    more = extra(set(vocab))
    with open(f"{OUT}/vocab.txt", "w", encoding="utf-8", newline="\n") as f:
        f.write("\n".join(vocab) + "\n")
    whole = os.path.join(tempfile.mkdtemp(), "vocab.txt")
    with open(whole, "w", encoding="utf-8", newline="\n") as f:
        f.write("\n".join(list(dict.fromkeys(vocab + [v for c in more for v in (c, "##" + c)]))) + "\n")
    texts = PROMPTS + MORE + random_strings(random.Random(SEED))
    rows = {"extra": more}
    for name, lower in [("uncased", True), ("cased", False)]:
        t = BertTokenizer(whole, do_lower_case=lower)
        rows[name] = [[s, t(s, add_special_tokens=False)["input_ids"]] for s in texts]
        rows[name + "_padded"] = [[s, p["input_ids"], p["attention_mask"]] for s in PROMPTS
                                  for p in [t(s, padding="max_length", truncation=True, max_length=35)]]
    rows["meta"] = dict(made_by="python tests/oracle/bert_tokenizer.py", transformers=transformers.__version__,
                        tokenizers=tokenizers.__version__, seed=SEED)
    with gzip.GzipFile(f"{OUT}/golden.json.gz", "wb", mtime=0) as f:
        f.write(json.dumps(rows, separators=(",", ":")).encode())


if __name__ == "__main__":
    sys.exit(main())
