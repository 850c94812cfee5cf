"""Parquet files as pyarrow writes them, for the readers of the datasets package.

    python tests/oracle/datasets.py

writes tests/golden/datasets/*.parquet: the layouts of Pick-a-Pic v2, of open-image-preferences and of ImageRewardDB with
made-up rows. Codecs, page versions, dictionaries, nulls, lists and row groups differ on purpose. pyarrow 26.0.1.
"""

import datetime
import os

import pyarrow as pa
import pyarrow.parquet as pq

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "datasets")
NOT_A_PICTURE = b"\xff\xd8corrupt"
PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def pick_a_pic():
    """Win, loss, tie, no label, best_image_uid "tie" with a decided label, null picture with and without a URL."""
    stamp = [datetime.datetime(2023, 3, 1, 12, 30, 15, 123456) + datetime.timedelta(days=i) for i in range(7)]
    rows = {
        "are_different": pa.array([True, True, False, False, True, True, True]),
        "best_image_uid": ["a0", "b1", "tie", "", "tie", "f0", "g0"],
        "caption": ["a fox", "a fox", "a fox, \u00e9t\u00e9 \U0001f98a", "an owl", "an owl", "a cat", "a cat"],
        "created_at": pa.array(stamp, pa.timestamp("us")),
        "has_label": [True, True, True, False, True, True, True],
        "image_0_uid": [c + "0" for c in "abcdefg"],
        "image_0_url": ["https://example.org/%s0.jpg" % c for c in "abcdef"] + [None],
        "image_1_uid": [c + "1" for c in "abcdefg"],
        "image_1_url": ["https://example.org/%s1.jpg" % c for c in "abcdefg"],
        "jpg_0": pa.array([b"A0", b"B0", b"C0", b"D0", b"E0", None, None], pa.binary()),
        "jpg_1": pa.array([b"A1", b"B1", b"C1", b"D1", b"E1", NOT_A_PICTURE, b"G1"], pa.binary()),
        "label_0": [1.0, 0.0, 0.5, 0.0, 1.0, 1.0, 1.0],
        "label_1": [0.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0],
        "model_0": ["sd15"] * 7,
        "model_1": ["sdxl"] * 6 + [None],
        "ranking_id": pa.array(range(100, 107), pa.int64()),
        "user_id": pa.array([1, 1, 2, 2, 3, 3, 3], pa.int64()),
        "num_example_per_prompt": pa.array([3, 3, 3, 2, 2, 2, 2], pa.int64()),
        "__index_level_0__": pa.array(range(7), pa.int64()),
    }
    table = pa.table(rows)
    for name, options in {
        "pickapic": {"compression": "snappy", "row_group_size": 3},
        "pickapic_zstd_v2": {"compression": "zstd", "data_page_version": "2.0", "use_dictionary": False},
        "pickapic_gzip": {"compression": "gzip", "data_page_size": 1, "version": "2.4"},
        "pickapic_plain": {"compression": "none", "write_statistics": False},
    }.items():
        pq.write_table(table, os.path.join(OUT, name + ".parquet"), **options)


def open_image_preferences():
    picture = lambda *items: pa.array([None if b is None else {"bytes": b, "path": p} for b, p in items], PICTURE)
    pq.write_table(pa.table({
        "prompt": ["a fox", "an owl", None],
        "chosen": picture((b"C0", "c0.jpg"), (b"C1", None), (b"C2", "c2.jpg")),
        "rejected": picture((b"R0", "r0.jpg"), (None, None), (b"R2", None)),
        "chosen_model": ["dev", "sd3.5", "dev"],
        "rejected_model": ["sd3.5", "dev", "dev"],
        "evolution": ["quality", "simplified", "quality"],
        "category": ["Cinematic", "Anime", None],
        "sub_category": ["x", "y", "z"],
    }), os.path.join(OUT, "open_image_preferences.parquet"))


def image_reward_db():
    pq.write_table(pa.table({
        "image": pa.array([{"bytes": b"I%d" % i, "path": "%d.webp" % i} for i in range(6)], PICTURE),
        "prompt_id": ["1-1"] * 3 + ["1-2"] * 2 + ["1-3"],
        "prompt": ["a fox"] * 3 + ["an owl"] * 2 + [""],
        "classification": ["Animals"] * 6,
        "image_amount_in_total": pa.array([3] * 3 + [2] * 2 + [1], pa.int64()),
        "rank": pa.array([2, 1, 2, 1, None, 1], pa.int64()),
        "overall_rating": pa.array([5, 7, 5, 3, 1, 1], pa.int64()),
        "image_text_alignment_rating": pa.array([5, 7, 4, 3, 1, 1], pa.int64()),
        "fidelity_rating": pa.array([6, 7, 5, 3, None, 1], pa.int64()),
    }), os.path.join(OUT, "imagerewarddb.parquet"), row_group_size=2)
    pq.write_table(pa.table({
        "prompt_id": ["1-1", "1-2"],
        "prompt": ["a fox", "an owl"],
        "classification": ["Animals", "Animals"],
        "image": pa.array([[{"bytes": b"I0", "path": None}, {"bytes": b"I1", "path": None}, {"bytes": b"I2", "path": None}],
                           [{"bytes": b"I3", "path": None}]], pa.list_(PICTURE)),
        "rank": pa.array([[2, 1, 2], [1, 2]], pa.list_(pa.int64())),
        "overall_rating": pa.array([[5, 7, 5], [3]], pa.list_(pa.int64())),
    }), os.path.join(OUT, "imagerewarddb_group.parquet"))
    pq.write_table(pa.table({
        "prompt_id": ["1-1"],
        "prompt": ["a fox"],
        "classification": ["Animals"],
        "img_better": pa.array([{"bytes": b"I1", "path": "1.webp"}], PICTURE),
        "img_worse": pa.array([{"bytes": b"I0", "path": "0.webp"}], PICTURE),
    }), os.path.join(OUT, "imagerewarddb_pair.parquet"))


def genai_bench():
    picture = lambda *items: pa.array([{"bytes": b, "path": None} for b in items], PICTURE)
    pq.write_table(pa.table({
        "prompt": ["a fox"] * 5,
        "left_model": ["l"] * 5,
        "left_image": picture(b"L0", b"L1", b"L2", b"L3", b"L4"),
        "right_model": ["r"] * 5,
        "right_image": picture(b"R0", b"R1", b"R2", b"R3", b"R4"),
        "vote_type": ["leftvote", "rightvote", "tievote", "bothbad_vote", "flag"],
    }), os.path.join(OUT, "genai_bench.parquet"), compression="brotli")


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    pick_a_pic()
    open_image_preferences()
    image_reward_db()
    genai_bench()
