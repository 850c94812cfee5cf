"""Golden gradients for the graph operators, by torch.autograd.

Every case is one ONNX node with inputs, outputs, cotangents and the gradients of its floating-point inputs, in float64
unless the case is about another type. The outputs are there to show that the torch function of a case is the operator.
Kinks are part of the contract: what torch passes on at relu(0), at clip bounds and at ties of a maximum is expected here.

Usage: python tests/oracle/autograd.py [output folder, default internal/graph/testdata/grads]
Writes <family>.safetensors in the form of ops.py, with "cot" (by output) and "grad" (by input) beside "in" and "out".
"""

import pathlib
import sys

import numpy as np
import ops
import torch
import torch.nn.functional as F
from onnx import helper

LIMIT = 300 << 10  # bytes of all families together


class Gradients:
    """Makes the cases of one family."""

    def __init__(self, name):
        self.family = ops.Family(name)
        self.rng = np.random.default_rng([ops.SEED, *name.encode()])
        self.count = {}

    def randn(self, *shape, scale=1.0):
        return self.rng.standard_normal(shape) * scale

    def positive(self, *shape):
        return np.abs(self.randn(*shape)) + 0.25

    def case(self, op, ins, fn, opset=17, domain="", note="", fixed=(), **attrs):
        """Enters a node: fn computes its outputs (a tensor or a tuple) from torch tensors; None is an absent input. The
        gradient is taken for every floating-point input that is not in fixed."""
        given = [None if v is None else torch.from_numpy(np.array(v)) for v in ins]
        wrt = [i for i, v in enumerate(given) if v is not None and v.is_floating_point() and i not in fixed]
        for i in wrt:
            given[i].requires_grad_()
        outs = fn(*given)
        outs = outs if isinstance(outs, tuple) else (outs,)
        cots = [torch.from_numpy(np.asarray(self.randn(*y.shape))).to(y.dtype) if y.is_floating_point() else None for y in outs]
        live = [(y, c) for y, c in zip(outs, cots) if c is not None and y.requires_grad]
        grads = torch.autograd.grad([y for y, _ in live], [given[i] for i in wrt], [c for _, c in live], allow_unused=True)
        by_input = {i: torch.zeros_like(given[i]) if g is None else g for i, g in zip(wrt, grads)}
        array = lambda v: None if v is None else np.ascontiguousarray(v.detach().numpy()).reshape(v.shape)  # noqa: E731
        node = helper.make_node(op, [f"x{i}" if v is not None else "" for i, v in enumerate(ins)],
                                [f"y{i}" for i in range(len(outs))], domain=domain, **attrs)
        k = self.count[op] = self.count.get(op, 0) + 1
        name = f"{op.lower()}_{k}_opset{opset}" + (f"_{note}" if note else "")
        before = len(self.family.cases)
        self.family.add(name, node, opset, [array(v) for v in given], [array(y) for y in outs], "torch")
        assert len(self.family.cases) == before + 1, self.family.skipped
        refs = {"cot": [self.family.tensor(array(c)) for c in cots],
                "grad": [self.family.tensor(array(by_input.get(i))) for i in range(len(ins))]}
        self.family.cases[-1].update(refs)


def arithmetic(g):
    for a, b in [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (4,)), ((3, 1), (2, 1, 4)), ((), (3,)), ((2, 1, 1), (1, 5))]:
        g.case("Add", [g.randn(*a), g.randn(*b)], torch.add)
        g.case("Sub", [g.randn(*a), g.randn(*b)], torch.sub)
        g.case("Mul", [g.randn(*a), g.randn(*b)], torch.mul)
        g.case("Div", [g.randn(*a), g.positive(*b)], torch.div)


FAMILIES = {"arithmetic": arithmetic}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "internal/graph/testdata/grads")
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    made = []
    for name, make in FAMILIES.items():
        g = Gradients(name)
        make(g)
        made.append(g.family)
    for old in folder.glob("*.safetensors"):
        old.unlink()
    for family in made:
        ops.write(folder, family, "python tests/oracle/autograd.py", oracle=f"torch {torch.__version__}")
    total = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
    print(f"{total} bytes in all")
    assert total <= LIMIT


if __name__ == "__main__":
    main()
