"""The other side of tests/bench/peers: ONNX Runtime, driven line by line over standard input and output.

    python worker.py MODEL THREADS INPUT_FOLDER

Reads NAME.<dtype>.<d0>x<d1>... files of raw little-endian numbers from INPUT_FOLDER, loads MODEL and prints "ready
SECONDS NAME". Each line "run" is answered by "ran SECONDS CPU_SECONDS"; "save" writes out.f32 beside the inputs; "end" prints
"peak BYTES" and leaves.
"""

import pathlib
import sys
import time

import numpy as np
import onnxruntime as ort


def inputs(folder):
    out = {}
    for f in folder.glob("*.in"):
        name, dtype, shape = f.name[:-3].split(".")
        dims = [int(d) for d in shape.split("x")] if shape else []
        out[name] = np.fromfile(f, dtype).reshape(dims)
    return out


def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def main():
    model, threads, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
    feed = inputs(folder)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    begin = time.perf_counter()
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    print("ready", time.perf_counter() - begin, "ONNX Runtime", ort.__version__, flush=True)
    result = None
    for line in sys.stdin:
        match line.strip():
            case "run":
                begin, cpu = time.perf_counter(), time.process_time()
                result = session.run(None, feed)[0]
                print("ran", time.perf_counter() - begin, time.process_time() - cpu, flush=True)
            case "save":
                result.astype(np.float32).tofile(folder / "out.f32")
                print("saved", flush=True)
            case "end":
                print("peak", peak(), flush=True)
                return


if __name__ == "__main__":
    main()
