"""The human ranks of ImageReward's official test split, without prompts and pictures, for rewards/metric.

    python tests/oracle/imagereward_ranks.py data/test.json

reads the file of the repository THUDM/ImageReward (Apache-2.0) and writes tests/golden/imagereward_ranks.json.
"""

import hashlib
import json
import os
import sys

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "imagereward_ranks.json")

raw = open(sys.argv[1], "rb").read()
head = dict(made_by="python tests/oracle/imagereward_ranks.py data/test.json", source="THUDM/ImageReward data/test.json (Apache-2.0)",
            sha256=hashlib.sha256(raw).hexdigest())
with open(OUT, "w") as f:
    ranks = [group["ranking"] for group in json.loads(raw)]
    f.write(json.dumps(dict(head, ranking=ranks), separators=(",", ":")) + "\n")
