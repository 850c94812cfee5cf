"""Golden event files for internal/tensorboard: what torch.utils.tensorboard writes for fixed events at fixed wall times, and what
TensorBoard's own reader makes of a folder with them.

    python tests/oracle/tensorboard_files.py [output folder, default internal/tensorboard/testdata]

first.tfevents is a run of 5 steps that is killed inside its last record; resumed.tfevents starts again at step 4.
In a folder of both, TensorBoard's EventAccumulator must find each step once; the script fails otherwise.
Versions: torch 2.15.0, tensorboard 2.21.0; nothing is drawn at random.
The events that open a file are of 1700000000.25; each one after them is half a second later than the one before.
"""

import io
import os
import pathlib
import shutil
import sys
import tempfile
import unittest.mock

import numpy as np
import tensorboard
import torch
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import scalar, text

START = 1700000000.25
TEXT = "|name|value|\n|---|---|\n|beta|2000|\n|prompt|a \\| b, größer|\n"


def png():
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def loss(step):
    return 0.6931471805599453 / step


def write(folder, purge, steps, picture):
    before = set(os.listdir(folder))
    clock = START

    with unittest.mock.patch("time.time", lambda: START):
        w = SummaryWriter(folder, purge_step=purge)
        writer = w._get_file_writer()

        def add(summary, step):
            nonlocal clock
            clock += 0.5
            writer.add_event(Event(summary=summary), step, clock)

        add(text("settings", TEXT), 0)
        for step in steps:
            add(Summary(value=[Summary.Value(tag="loss", simple_value=loss(step)),
                               Summary.Value(tag="rewards/margins", simple_value=step / 7)]), step)
        im = Image.open(io.BytesIO(picture))
        add(Summary(value=[Summary.Value(tag="preview", image=Summary.Image(height=im.height, width=im.width, colorspace=3, encoded_image_string=picture))]), max(steps))
        add(scalar("nan", float("nan")), max(steps))
        w.close()
    (name,) = set(os.listdir(folder)) - before
    return pathlib.Path(folder, name)


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "internal/tensorboard/testdata")
    out.mkdir(parents=True, exist_ok=True)
    picture = png()
    (out / "picture.png").write_bytes(picture)
    with tempfile.TemporaryDirectory() as run:
        first = write(run, None, range(1, 6), picture)
        data = first.read_bytes()
        (out / "first.tfevents").write_bytes(data)
        shutil.move(first, pathlib.Path(run, "events.out.tfevents.1700000000.host.1.0"))
        resumed = write(run, 4, range(4, 8), picture)
        (out / "resumed.tfevents").write_bytes(resumed.read_bytes())
        shutil.move(resumed, pathlib.Path(run, "events.out.tfevents.1700000001.host.1.0"))
        pathlib.Path(run, "events.out.tfevents.1700000000.host.1.0").write_bytes(data[:-7])
        acc = event_accumulator.EventAccumulator(run, size_guidance={k: 0 for k in ("scalars", "images", "tensors")})
        acc.Reload()
        steps = {t: [e.step for e in acc.Scalars(t)] for t in ("loss", "rewards/margins")}
        assert steps == {t: list(range(1, 8)) for t in steps}, steps  # each step once
        assert [e.value for e in acc.Scalars("loss")] == [float(np.float32(loss(s))) for s in range(1, 8)]
        assert [(e.step, e.width, e.height, e.encoded_image_string) for e in acc.Images("preview")] == [(7, 6, 4, picture)]
        assert acc.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode() == TEXT
    print("written by torch", torch.__version__, "and read by tensorboard", tensorboard.__version__)


main()
