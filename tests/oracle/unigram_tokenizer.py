"""Golden token ids of SentencePiece's Unigram tokenizers for internal/tokenizer.

    python tests/oracle/unigram_tokenizer.py

writes tests/golden/tokenizer/unigram: a vocabulary trained here with sentencepiece on a fixed text and nmt_nfkc
(spiece.model.gz), the same as transformers' T5Tokenizer saves it (tokenizer.json.gz), a second model with byte fallback,
user-defined pieces and white space behind words (bytes.model), and the token ids of ordinary texts and of 5,000 random
Unicode strings: by the library, by SiglipTokenizer, and where T5Tokenizer, which is a setting of the Rust library
tokenizers, gives others. For the ids the first vocabulary is extended by the characters in "extra" with the scores of
extra_score, so that normalization shows instead of drowning in <unk>.
"""

import gzip
import json
import os
import random
import sys
import tempfile
import unicodedata

import sentencepiece
import tokenizers
import transformers
from sentencepiece import sentencepiece_model_pb2
from transformers import SiglipTokenizer, T5Tokenizer

from bert_tokenizer import settled
from tokenizer import HERE, PROMPTS, TEXT, alphabet

SEED, COUNT = 41, 5000
OUT = os.path.join(HERE, "..", "golden", "tokenizer", "unigram")
MORE = ["!! hello", "  ...a", "ΑΣ ΑΣ. ΑΣΑ Σ ΑΣ' Σ1 1Σ Α\u0301Σ", "a▁b ▁▁ ▁", "</s> x <unk>", "<sks>cat<sks>", "猫犬 猫犬x", "<0x41>", "a\u200db\u200b", "\u1100\u1161\u11a8",
        "①② ㍿ ﷺ", "a\u0301\u0301 q\u0301", "\x85a\x85", "\x00a\x01", "a" * 300, "x \u3000 \u2003 y  ", "東京タワー ｶﾞ", "\u0345", "Don't STOP-now, (ok)?", "🙂🙂 🙂"]


def lines():
    """TEXT, and words of it in random order, some of them cut and joined anew, so that pieces of many lengths pay."""
    rng, words = random.Random(SEED), TEXT.split()
    cut = lambda w: w[:rng.randint(1, len(w))]
    mixed = [" ".join(rng.choice([w, w, w.lower(), cut(w), cut(w) + cut(rng.choice(words))]) for w in rng.choices(words, k=12)) for _ in range(600)]
    return TEXT.strip().split("\n") + mixed


def train(**options):
    """The model file of a Unigram vocabulary; ids of the special tokens as in T5."""
    with tempfile.TemporaryDirectory() as tmp:
        text = os.path.join(tmp, "text")
        with open(text, "w", encoding="utf-8") as f:
            f.write("\n".join(lines()) + "\n")
        options = dict(vocab_size=700, hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="nmt_nfkc") | options
        sentencepiece.SentencePieceTrainer.train(input=text, model_prefix=os.path.join(tmp, "m"), model_type="unigram", character_coverage=1.0,
                                                 num_threads=1, minloglevel=2, **options)
        m = sentencepiece_model_pb2.ModelProto()
        with open(os.path.join(tmp, "m.model"), "rb") as f:
            m.ParseFromString(f.read())
    m.trainer_spec.ClearField("input")  # paths of this machine
    m.trainer_spec.ClearField("model_prefix")
    m.normalizer_spec.ClearField("normalization_rule_tsv")
    return m


def extra_score(c):
    """Different for neighbours and exact in float32."""
    return -6 - ord(c) * 7919 % 1024 / 128


def extended(m):
    """The model with letters, marks, numbers, punctuation and symbols below U+3000 that it lacks, and those characters."""
    have = {p.piece for p in m.pieces}
    extra = [chr(c) for c in range(0x21, 0x3000) if unicodedata.category(chr(c))[0] in "LMNPS" and chr(c) not in have]
    whole = sentencepiece_model_pb2.ModelProto()
    whole.CopyFrom(m)
    for c in extra:
        p = whole.pieces.add()
        p.piece, p.score = c, extra_score(c)
    return whole, "".join(extra)


def random_strings(rng):
    kinds = [[c for c in kind if settled(c)] for kind in alphabet(rng)]
    return ["".join(rng.choice(rng.choice(some)) for _ in range(rng.randint(1, 14)))
            for some in (rng.sample(kinds, rng.randint(1, 3)) for _ in range(COUNT))]


def folder(tmp, name, model, **config):
    path = os.path.join(tmp, name)
    os.makedirs(path)
    with open(f"{path}/spiece.model", "wb") as f:
        f.write(model.SerializeToString())
    with open(f"{path}/tokenizer_config.json", "w") as f:
        json.dump(config, f)
    return path


def write_gz(name, data):
    with gzip.GzipFile(f"{OUT}/{name}", "wb", mtime=0) as f:
        f.write(data)


def main():
    os.makedirs(OUT, exist_ok=True)
    base = train()
    whole, extra = extended(base)
    special = train(normalization_rule_name="identity", byte_fallback=True, treat_whitespace_as_suffix=True, remove_extra_whitespaces=False,
                    user_defined_symbols=["<sks>", "猫犬", "猫犬x"], vocab_size=900)
    write_gz("spiece.model.gz", base.SerializeToString())
    with open(f"{OUT}/bytes.model", "wb") as f:
        f.write(special.SerializeToString())
    texts = PROMPTS + MORE + random_strings(random.Random(SEED))
    library = sentencepiece.SentencePieceProcessor(model_proto=whole.SerializeToString())
    fallback = sentencepiece.SentencePieceProcessor(model_proto=special.SerializeToString())
    with tempfile.TemporaryDirectory() as tmp:
        siglip = SiglipTokenizer.from_pretrained(folder(tmp, "siglip", whole, tokenizer_class="SiglipTokenizer", model_max_length=64))
        T5Tokenizer.from_pretrained(folder(tmp, "base", base, tokenizer_class="T5Tokenizer")).save_pretrained(f"{tmp}/json")
        with open(f"{tmp}/json/tokenizer.json", "rb") as f:
            write_gz("tokenizer.json.gz", f.read())
        t5 = T5Tokenizer.from_pretrained(folder(tmp, "t5", whole, tokenizer_class="T5Tokenizer"))
        # T5Tokenizer has no switch for special tokens in texts; the others see them as text.
        plain = [t for t in texts if "</s>" not in t]
        rust = {t: t5(t, add_special_tokens=False)["input_ids"] for t in plain}
        rows = dict(
            extra=extra,
            library=[[t, library.encode(t)] for t in texts],
            siglip=[siglip(t, split_special_tokens=True)["input_ids"][:-1] for t in texts],
            bytes=[fallback.encode(t) for t in texts[:1500]],
            t5_differs=[k for k, t in enumerate(texts) if t in rust and rust[t] != library.encode(t)],
            siglip_padded=[[t, siglip(t, split_special_tokens=True, padding="max_length", truncation=True, max_length=16)["input_ids"]] for t in PROMPTS],
            t5_padded=[[t, p["input_ids"], p["attention_mask"]] for t in PROMPTS if rust[t] == library.encode(t)
                       for p in [t5(t, padding="max_length", truncation=True, max_length=16)]],
            meta=dict(made_by="python tests/oracle/unigram_tokenizer.py", sentencepiece=sentencepiece.__version__, transformers=transformers.__version__,
                      tokenizers=tokenizers.__version__, unicode=unicodedata.unidata_version, seed=SEED))
    write_gz("golden.json.gz", json.dumps(rows, separators=(",", ":")).encode())
    print(f"{len(base.pieces)} pieces, {len(extra)} more; T5Tokenizer differs on {len(rows['t5_differs'])} of {len(rust)} texts; "
          f"<unk> in {sum(2 in ids for _, ids in rows['library'])}")


if __name__ == "__main__":
    sys.exit(main())
