"""Pickles as flow_grpo's clients write them, as numpy 1 wrote them, and such as must be refused, for internal/serve.

    python tests/oracle/serve_pickles.py      # writes internal/serve/testdata/pickles.json
"""
import base64, io, json, os, pathlib, pickle, struct, sys
import numpy as np

HERE = pathlib.Path(__file__).resolve().parents[2]
rng = np.random.default_rng(7)
cases = []


def add(name, value, want, protocols=(0, 2, 3, 4, 5), patch=None):
    for p in protocols:
        data = pickle.dumps(value, protocol=p)
        if patch:
            data = patch(data)
        cases.append({"name": f"{name}, protocol {p}", "pickle": base64.b64encode(data).decode(), "want": want})


def b64(b):
    return {"bytes": base64.b64encode(b).decode()}


jpegs = [bytes(rng.integers(0, 256, 40, dtype=np.uint8)) for _ in range(3)]
prompts = ["a red fox", "naïve café", "日本語 \U0001f98a"]
add("DeQA", {"images": jpegs}, {"images": [b64(j) for j in jpegs]}, protocols=(2, 3, 4, 5))
add("UnifiedReward", {"images": jpegs, "prompts": np.array_split(prompts, 1)[0]}, {"images": [b64(j) for j in jpegs], "prompts": prompts}, protocols=(2, 3, 4, 5))
metas = [{"prompt": p, "tag": "counting", "include": [{"class": "fox", "count": 2}], "exclude": None, "ratio": 0.5} for p in prompts]
add("GenEval", {"images": jpegs, "meta_datas": list(np.array_split(metas, 1)[0]), "only_strict": True},
    {"images": [b64(j) for j in jpegs], "meta_datas": metas, "only_strict": True}, protocols=(2, 3, 4, 5))
add("text of protocol 0", {"prompts": ["a", "b"], "n": [1, -5, 300, 70000, 2.5], "t": (True, False, None)},
    {"prompts": ["a", "b"], "n": [1, -5, 300, 70000, 2.5], "t": [True, False, None]}, protocols=(1, 2, 3, 4, 5))
add("integers", [0, 255, 256, 65535, 65536, -1, 2**31 - 1, -(2**31), 2**40, -(2**40), 2**62], [0, 255, 256, 65535, 65536, -1, 2**31 - 1, -(2**31), 2**40, -(2**40), 2**62],
    protocols=(1, 2, 3, 4, 5))
add("numpy scalars", [np.str_("hé"), np.float32(1.5), np.float64(-2.25), np.int64(3), np.uint8(200), np.bool_(True)], ["hé", 1.5, -2.25, 3, 200, True], protocols=(2, 3, 4, 5))
add("object array", np.array([{"a": 1}, {"b": 2}], dtype=object), [{"a": 1}, {"b": 2}], protocols=(2, 3, 4, 5))
add("numbers", np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32), [[1, 2, 3], [4, 5, 6]], protocols=(2, 3, 4, 5))
add("big-endian", np.array([1.5, -2], dtype=">f8"), [1.5, -2], protocols=(2, 3, 4, 5))
add("numpy 1", {"prompts": np.array(prompts)}, {"prompts": prompts}, protocols=(2, 3), patch=lambda d: d.replace(b"numpy._core", b"numpy.core"))
add("bytearray", {"images": [bytearray(b"abc"), b""]}, {"images": [b64(b"abc"), b64(b"")]}, protocols=(2, 3, 4, 5))
same = ["x"] * 2
add("shared", [same, same], [["x", "x"], ["x", "x"]], protocols=(1, 2, 3, 4, 5))


class Runs:
    def __init__(self, f, *args):
        self.f, self.args = f, args

    def __reduce__(self):
        return self.f, self.args


class Plain:
    pass


def refuse(name, value, protocols=(0, 2, 4, 5)):
    add(name, value, None, protocols)


refuse("os.system", {"images": [Runs(os.system, "touch /tmp/owned")]})
refuse("eval", Runs(eval, "1"))
refuse("getattr", Runs(getattr, "text", "upper"))
refuse("an object", Plain())
refuse("a set", {1, 2}, protocols=(0, 2))
refuse("a set of protocol 4", {1, 2}, protocols=(4, 5))
refuse("complex", 1 + 2j)
refuse("a dict with numbers as keys", {1: 2})
refuse("structured array", np.zeros(2, dtype=[("a", "f4")]), protocols=(2, 4))
refuse("Fortran order", np.asfortranarray(np.ones((2, 3))), protocols=(2, 4))
refuse("datetime", np.array(["2020"], dtype="datetime64[D]"), protocols=(2, 4))
refuse("2**70", 2**70, protocols=(0, 2))
io_raw = [
    ("empty", b""), ("cut", pickle.dumps({"images": jpegs})[:-5]), ("no stop", b"\x80\x04}"), ("text", b"hello"), ("persistent id", b"\x80\x04Pabc\n."),
    ("persistent id on the stack", b"\x80\x04K\x01Q."), ("extension", b"\x80\x02\x82\x01."), ("instance", b"(ios\nsystem\n."), ("next buffer", b"\x80\x05\x97."),
    ("length beyond the end", b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b"."), ("get what was not put", b"h\x05."), ("pop of nothing", b"0."), ("append to a number", b"K\x01K\x02a."),
    ("call of an array", pickle.dumps(np.arange(3), protocol=2).replace(b"numpy\nndarray", b"numpy\ndtype")),
]
for name, raw in io_raw:
    cases.append({"name": name, "pickle": base64.b64encode(raw).decode(), "want": None})

out = HERE / "internal/serve/testdata/pickles.json"
out.parent.mkdir(exist_ok=True)
with open(out, "w") as f:
    head = {"command": "python tests/oracle/serve_pickles.py", "python": sys.version.split()[0], "numpy": np.__version__, "seed": 7}
    f.write(json.dumps(head)[:-1] + ', "cases": [\n' + ",\n".join(json.dumps(c) for c in cases) + "\n]}\n")
print(out, len(cases))
