"""Times PyTorch (oneDNN, MKL) and ONNX Runtime on the shapes of the Go benchmarks of this package.

Run beside `go test -run XXX -bench 'Gemm|Conv|Attention' ./internal/kernel`, on the same machine in the same
minutes:  OMP_NUM_THREADS=1 python peers.py 1     (torch 2.15, onnxruntime 1.32, onnx)
Prints GFLOP per second of processor time and of wall-clock time, best of five.
"""
import sys
import time

import numpy as np
import onnxruntime as ort
import torch
from onnx import TensorProto, helper

threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
torch.set_num_threads(threads)


def rate(f, flop):
    f()
    best_cpu = best_wall = 0.0
    for _ in range(5):
        n, c0, t0 = 0, time.process_time(), time.perf_counter()
        while time.perf_counter() - t0 < 0.25:
            f()
            n += 1
        c, t = time.process_time() - c0, time.perf_counter() - t0
        best_cpu, best_wall = max(best_cpu, n * flop / c / 1e9), max(best_wall, n * flop / t / 1e9)
    return f"{best_cpu:6.1f} {best_wall:6.1f}"


def session(node, inputs, consts):
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info(k, TensorProto.FLOAT, v.shape) for k, v in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor(k, TensorProto.FLOAT, v.shape, v.tobytes(), raw=True) for k, v in consts.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    opt = ort.SessionOptions()
    opt.intra_op_num_threads = threads
    s = ort.InferenceSession(model.SerializeToString(), opt, providers=["CPUExecutionProvider"])
    return lambda: s.run(None, inputs)


def gemm(m, n, k):
    a, b = np.random.randn(m, k).astype(np.float32), np.random.randn(k, n).astype(np.float32)
    ta, tb = torch.from_numpy(a), torch.from_numpy(b)
    run = session(helper.make_node("MatMul", ["a", "b"], ["y"]), {"a": a}, {"b": b})
    print(f"gemm m={m} n={n} k={k}: torch {rate(lambda: ta @ tb, 2 * m * n * k)}  ort {rate(run, 2 * m * n * k)}", flush=True)


def conv(n, side, cin, cout):
    x, w = np.random.randn(n, cin, side, side).astype(np.float32), np.random.randn(cout, cin, 3, 3).astype(np.float32)
    tx, tw = torch.from_numpy(x), torch.from_numpy(w)
    run = session(helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]), {"x": x}, {"w": w})
    flop = 2 * n * side * side * cout * cin * 9
    print(f"conv n={n} side={side} cin={cin} cout={cout}: "
          f"torch {rate(lambda: torch.conv2d(tx, tw, padding=1), flop)}  ort {rate(run, flop)}", flush=True)


def attention(b, h, q, k, d):
    tq, tk, tv = (torch.randn(b, n, h, d).transpose(1, 2) for n in (q, k, k))
    f = lambda: torch.nn.functional.scaled_dot_product_attention(tq, tk, tv)  # noqa: E731
    print(f"attention b={b} h={h} q={q} k={k} d={d}: torch {rate(f, 4 * b * h * q * k * d)}", flush=True)


with torch.no_grad():
    for s in [(4096, 320, 320), (8192, 1280, 320), (8192, 2560, 320), (8192, 320, 1280), (2048, 640, 640),
              (128, 1280, 1280), (2, 1280, 1280), (320, 4096, 2880), (1280, 256, 11520), (640, 1024, 5760)]:
        gemm(*s)
    for s in [(2, 64, 320, 320), (2, 64, 960, 320), (2, 32, 640, 640), (2, 16, 1280, 1280), (2, 8, 1280, 1280), (1, 256, 128, 128)]:
        conv(*s)
    for s in [(2, 8, 4096, 4096, 40), (2, 8, 4096, 77, 40), (2, 8, 1024, 1024, 80), (2, 8, 256, 256, 160)]:
        attention(*s)
