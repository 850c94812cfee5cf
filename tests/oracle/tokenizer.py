"""Golden token ids of transformers' CLIPTokenizer for internal/tokenizer.

    python tests/oracle/tokenizer.py

writes tests/golden/tokenizer: a small CLIP-style vocabulary trained here on a
fixed text, the same tokenizer as the single file that transformers 5 writes, a
variant with added tokens and another padding token (as SDXL's second
tokenizer has), and token ids of ordinary prompts and random Unicode strings.

    python tests/oracle/tokenizer.py --clip bpe_simple_vocab_16e6.txt.gz OUT

writes the same goldens into OUT for OpenAI's full vocabulary (49,408 tokens),
to be checked by hand: WINNOW_TOKENIZER_GOLDEN=OUT go test ./internal/tokenizer
"""

import gzip
import json
import os
import random
import sys
import unicodedata

import tokenizers
import transformers
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

SEED = 20
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "golden", "tokenizer")
START, END = "<|startoftext|>", "<|endoftext|>"
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

TEXT = """
a photo of a cat sitting on the mat, two dogs running through the meadow at dawn
a painting of an ocean with clouds and birds, day time, low depth field effect
portrait of an astronaut riding a horse, highly detailed, sharp focus, 4k, trending
it's raining and they're late; we've said that we'll go, I'm sure, he'd know, don't
the café was naïve about the façade; über große Straßen, señor, smörgåsbord, crème brûlée
красный круг над синим квадратом и зелёная звезда слева от жёлтого кольца
一只红色的狐狸在雪地里 猫坐在椅子上 赤い丸と青い四角 こんにちは世界 빨간 원과 파란 사각형
a red circle above a blue square, three small green stars on a striped background
close-up of a watercolour landscape (soft light:1.3), [masterpiece], {best quality}, 8k uhd
"""

PROMPTS = [
    "", " ", "a photo of a cat", "A cat with two horns on its head", "Hello,   World!", "it's 2024: 1,000 dogs & cats",
    "&amp;lt;b&gt;", "naïve café ☕ 猫 中文", "don't DON'T we'LL I'M he'd they've it’s “hi”", "foo_bar-baz/qux",
    "İstanbul ΣΑΣ", "\u00a0x\u3000y\u2028z\u0085w\u200bv\u1680u", "x²½Ⅷ 12", "!!!", "''''s 's' '''t x's!'s", "e\u0301clair E\u0301 ﬁne ① ｆｕｌｌ",
    "tab\tnew\nline\r\nform\x0cfeed\x0bv\x1c\x1d\x1e\x1f\x00\x7f", "<|startoftext|> x", "<|STARTOFTEXT|> x", "a<|endoftext|>b<|endoftext|>",
    "<|EndOfText|>!x", "x!<|ENDOFTEXT|>!", "<|endoftext", "|>", "<start_of_text>", "각각 한국어 \u1112\u1161\u11ab",
    "a" + "\u0301" * 5, "zalgo " + "o" + "\u0301\u0323\u0308" * 15 + " x", "q" + "\u0323" * 40 + "\u0301", "\u0301\u0323 lone marks",
    "a" + "\u0316" * 33 + "\u0301\u0315", "Å Å \u212b ΰ \u1fe3 \u0958 \u2126 \ufb1d", "👩‍🚀 🏳️‍🌈 👍🏽", "ǅ ǈ ẞ ß ŉ ǰ ΐ", "𝓐𝓑 𝟙𝟚 𐐀𐐁 Ⴀ Ꭰ",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z", "(soft light:1.3), [masterpiece], {best quality}", "a" * 300, "ab" * 150, "0123456789 ٣ ४ ௪",
]


def train_vocabulary():
    tk = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    tk.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tk.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    trainer = trainers.BpeTrainer(vocab_size=1100, min_frequency=1, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                                  end_of_word_suffix="</w>", continuing_subword_prefix="", show_progress=False)
    tk.train_from_iterator(TEXT.split("\n"), trainer)
    return [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in json.loads(tk.to_str())["model"]["merges"]]


def clip_merges(path):
    lines = gzip.open(path, "rt", encoding="utf-8").read().split("\n")
    return [tuple(line.split(" ")) for line in lines[1:49152 - 256 - 2 + 1]]


def vocabulary(merges):
    codes = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    chars = [chr(c) for c in codes] + [chr(256 + i) for i in range(256 - len(codes))]
    tokens = chars + [c + "</w>" for c in chars]
    for pair in merges:
        if "".join(pair) not in tokens[-1:]:
            tokens.append("".join(pair))
    tokens = list(dict.fromkeys(tokens)) + [START, END]
    return {t: i for i, t in enumerate(tokens)}


def write(path, text):
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write(text)


def save_folder(out, merges):
    os.makedirs(out, exist_ok=True)
    vocab = vocabulary(merges)
    write(f"{out}/vocab.json", json.dumps(vocab, ensure_ascii=False))
    write(f"{out}/merges.txt", "#version: 0.2\n" + "\n".join(" ".join(m) for m in merges) + "\n")
    roles = dict(bos_token=START, eos_token=END, unk_token=END, pad_token=END)
    write(f"{out}/special_tokens_map.json", json.dumps(roles))
    write(f"{out}/tokenizer_config.json", json.dumps(dict(tokenizer_class="CLIPTokenizer", model_max_length=24, **roles)))
    return vocab


def save_variant(out, base, vocab):
    """As SDXL's second tokenizer: pads with "!"; plus two added tokens, one of them matched after lower case."""
    os.makedirs(out, exist_ok=True)
    for name in ("vocab.json", "merges.txt"):
        write(f"{out}/{name}", open(f"{base}/{name}", encoding="utf-8").read())
    n = len(vocab)
    entry = lambda c, normalized, special, single=False: dict(content=c, lstrip=False, rstrip=False, normalized=normalized, single_word=single, special=special)
    added = {str(vocab["!"]): entry("!", False, True), str(n - 2): entry(START, False, True), str(n - 1): entry(END, False, True),
             str(n): entry("<sks-Dog>", True, False), str(n + 1): entry("<Style>", False, False), str(n + 2): entry("zedqx", False, False, True)}
    roles = dict(bos_token=START, eos_token=END, unk_token=END, pad_token="!")
    write(f"{out}/tokenizer_config.json", json.dumps(dict(tokenizer_class="CLIPTokenizer", model_max_length=10**30, added_tokens_decoder=added, **roles)))


def alphabet(rng):
    """Code points by the kinds that matter. Marks are those of Unicode 3.2, because the normalization tables of the Rust
    library stop at Unicode 9: it leaves newer marks unordered, where Unicode (and Go) order them by class."""
    every = [chr(c) for c in range(0x20000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    every = [c for c in every if not unicodedata.combining(c) or unicodedata.ucd_3_2_0.combining(c)]
    marks = [c for c in every if unicodedata.combining(c)]
    upper = [c for c in every if c.lower() != c]
    decomposable = [c for c in every if unicodedata.decomposition(c) and not unicodedata.decomposition(c).startswith("<")]
    numbers = [c for c in every if unicodedata.category(c)[0] == "N"]
    spaces = [c for c in every if c.isspace()]
    ascii_text = [chr(c) for c in range(32, 127)]
    return [every, marks, upper, decomposable, numbers, spaces, ascii_text, ascii_text, list("'stredvml "), ["'s", "'re", "<sks-dog>", "<Style>", "<style>", "zedqx", " zedqx ", "cat", "!"]]


def random_strings(count):
    rng = random.Random(SEED)
    kinds = alphabet(rng)
    out = []
    for _ in range(count):
        some = rng.sample(kinds, rng.randint(1, 3))
        out.append("".join(rng.choice(rng.choice(some)) for _ in range(rng.randint(1, 14))))
    return out


def goldens(tokenizer, texts):
    frame = lambda ids: ids[1:-1]
    rows = [[t, frame(tokenizer(t)["input_ids"])] for t in texts]
    padded = []
    for t in PROMPTS:
        p = tokenizer(t, padding="max_length", truncation=True, max_length=24)
        padded.append([t, p["input_ids"], p["attention_mask"]])
    return rows, padded


def save_goldens(out, tokenizer, texts, command):
    rows, padded = goldens(tokenizer, texts)
    head = dict(made_by=command, transformers=transformers.__version__, tokenizers=tokenizers.__version__, seed=SEED, unicode=unicodedata.unidata_version)
    lines = [json.dumps(r, ensure_ascii=True, separators=(",", ":")) for r in rows]
    plines = [json.dumps(r, ensure_ascii=True, separators=(",", ":")) for r in padded]
    write(f"{out}/golden.json", '{"meta":' + json.dumps(head) + ',\n"encode":[\n' + ",\n".join(lines) + '\n],\n"padded":[\n' + ",\n".join(plines) + "\n]}\n")


def main():
    if sys.argv[1:2] == ["--clip"]:
        out, merges, count = sys.argv[3], clip_merges(sys.argv[2]), 20000
    else:
        out, merges, count = OUT, train_vocabulary(), 1500
    command = "python tests/oracle/tokenizer.py"
    base = f"{out}/plain"
    vocab = save_folder(base, merges)
    tokenizer = CLIPTokenizer.from_pretrained(base)
    save_goldens(base, tokenizer, PROMPTS + random_strings(count), command)
    tokenizer.save_pretrained(f"{out}/single")
    write(f"{out}/single/tokenizer_config.json", json.dumps(dict(tokenizer_class="CLIPTokenizer", model_max_length=24)))
    save_variant(f"{out}/added", base, vocab)
    save_goldens(f"{out}/added", CLIPTokenizer.from_pretrained(f"{out}/added"), PROMPTS + random_strings(count)[:count // 3], command)


if __name__ == "__main__":
    main()
