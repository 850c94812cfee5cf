"""Token ids under OpenAI's own CLIP vocabulary for internal/tokenizer: the rows that documentation and bug reports quote.

    python tests/oracle/clip_rows.py [bpe_simple_vocab_16e6.txt.gz, default the copy (MIT licence) inside open_clip]

writes tests/golden/tokenizer/clip_rows.json. It holds the part of the vocabulary that the rows can use, with its true ids:
the byte tokens, and every merge whose result occurs in one of the texts. That part gives the same ids as the whole, which
is checked here. Columns: "bare" is open_clip's tokenizer with ftfy switched off and OpenAI's special
tokens, thus OpenAI's; "open_clip" is open_clip as installed, with ftfy; "hf" is transformers'.
"""

import html
import importlib.metadata
import json
import os
import sys
import tempfile
import unicodedata

import ftfy
import open_clip
import open_clip.tokenizer as oc
import regex
import tokenizers
import transformers
from transformers import CLIPTokenizer

import tokenizer as plain

OUT = os.path.join(plain.HERE, "..", "golden", "tokenizer", "clip_rows.json")

TEXTS = [
    "a photo of a cat", "A cat with two horns on its head", "Hello,   World!", "it's 2024: 1,000 dogs & cats", "&amp;lt;b&gt;",
    "naïve café ☕ 猫 中文", "don't DON'T we'LL", "foo_bar-baz/qux", "İstanbul ΣΑΣ", "\u00a0x\u3000y", "x²½Ⅷ 12", "<|startoftext|> x", "", "!!!",
    "a painting of an ocean with clouds and birds, day time, low depth field effect", "ﬁne ① ｆｕｌｌ", "e\u0301clair", "it’s", "“hi”",
    "a b c d e f g h i j k l",
    # Entities that the standard libraries of Python and Go resolve differently, or the same.
    "a&#x1;b", "&#x80;5", "a&#0;b", "a&#xD800;b", "&notit; x", "1&#150;2", "a&#11;b", "&#xFDD0;x", "a&#4294967393;b", "&#1114112;", "&#38;lt;", "a&#x7f;b", "a&#13;b", "&#128512;", "&#;", "&#x;", "&#65x", "&#38;amp;#65;", "rock &amp;amp; roll",
    # Casing: the final sigma of one word and of many, capital sharp s, a title-case digraph, dotted and dotless i.
    "ΟΔΟΣ ΑΣ Σ ΣΑ", "ẞ STRASSE", "ǅ", "IıİI", "ΑΣ.", "ΑΣ.Β", "ΑΣ\u0301Β", "1Σ", "ΑΣ\u00adΣ", "ΑΣ'Β",
    "<start_of_text> x", "a<|endoftext|>b", "tab\tnew\nline", "x\u200by", "a\x01b\x0bc", "it&#8217;s", "it&#8217;s <b>", "&ldquo;hi&rdquo; &quot;x&quot;", "so\x85 \x93hi\x94", "a\x7fb", "\ufeffa\ufff9b\u206ac", "l‘x’ „y‟",
]


def subset(merges, texts):
    mapped = "\n".join("".join(oc.bytes_to_unicode()[b] for b in t.encode()) for t in texts)
    return [m for m in merges if "".join(m).replace("</w>", "") in mapped]


def open_clip_ids():
    tok = oc.SimpleTokenizer()
    return [tok.encode(t) for t in TEXTS]


def openai_ids():
    """open_clip's code is OpenAI's but for the names of the special tokens; ftfy is switched off."""
    tok = oc.SimpleTokenizer()
    specials = [plain.START, plain.END]
    tok.encoder.update({s: 49406 + i for i, s in enumerate(specials)})
    tok.cache = {s: s for s in specials}
    tok.pat = regex.compile("|".join(map(regex.escape, specials)) + "|" + plain.PATTERN, regex.IGNORECASE)
    saved, oc.ftfy.fix_text = oc.ftfy.fix_text, lambda t: t
    try:
        return [tok.encode(t) for t in TEXTS]
    finally:
        oc.ftfy.fix_text = saved


def hf_ids(merges, ids):
    with tempfile.TemporaryDirectory() as tmp:
        plain.save_folder(tmp, merges)
        plain.write(f"{tmp}/vocab.json", json.dumps(ids, ensure_ascii=False))
        tok = CLIPTokenizer.from_pretrained(tmp)
        rows = [tok(t)["input_ids"][1:-1] for t in TEXTS]
        short = tok("a b c d e f g h i j k l", truncation=True, max_length=8)["input_ids"]
    return rows, short


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else oc.default_bpe()
    merges = plain.clip_merges(path)
    vocab = plain.vocabulary(merges)
    assert len(vocab) == 49408 and vocab[plain.END] == 49407
    variants = TEXTS + [v for t in TEXTS for v in (t.lower(), oc.basic_clean(t).lower(), html.unescape(html.unescape(t)).lower(), ftfy.fix_text(t))]
    variants += [unicodedata.normalize("NFC", v) for v in variants]
    few = subset(merges, variants)
    keep = set(list(vocab)[:512]) | {"".join(m) for m in few} | {plain.START, plain.END}
    small = {t: i for t, i in vocab.items() if t in keep}
    rows, short = hf_ids(merges, vocab)
    # With sparse ids transformers cannot build its table of added tokens, so the smaller vocabulary is checked by renumbering.
    dense = {t: n for n, t in enumerate(small)}
    back = {n: small[t] for t, n in dense.items()}
    assert [[back[i] for i in r] for r in hf_ids(few, dense)[0]] == rows, "the part of the vocabulary is too small"
    bare, full = openai_ids(), open_clip_ids()
    head = dict(made_by="python tests/oracle/clip_rows.py", open_clip=open_clip.__version__, ftfy=importlib.metadata.version("ftfy"),
                transformers=transformers.__version__, tokenizers=tokenizers.__version__, vocabulary="bpe_simple_vocab_16e6.txt.gz of openai/CLIP, MIT licence")
    lines = [json.dumps(dict(text=t, bare=a, open_clip=b, hf=c), separators=(",", ":")) for t, a, b, c in zip(TEXTS, bare, full, rows)]
    plain.write(OUT, '{"meta":' + json.dumps(head) + ',\n"truncated":' + json.dumps(short) + ',\n"vocab":' + json.dumps(small) + ',\n"merges":'
                + json.dumps([" ".join(m) for m in few]) + ',\n"rows":[\n' + ",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()
