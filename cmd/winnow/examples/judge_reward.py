"""Reward functions that ask `winnow serve` to grade what a judge in training wrote, for TRL, verl and OpenRLHF.

    winnow judge dataset --data train.json --share 0.25 --exclude test.json --output train.parquet
    winnow serve

TRL: the data set's column `truth` goes to the reward function, and its images to the model.

    from judge_reward import judge_reward
    GRPOTrainer(model=..., reward_funcs=judge_reward("http://127.0.0.1:8400"), train_dataset=load_dataset("parquet", data_files="train.parquet")["train"], ...)

verl, of a set with --layout verl: custom_reward_function.path=judge_reward.py custom_reward_function.name=compute_score; the address
comes from the environment, WINNOW_URL.

OpenRLHF needs no function: --reward.remote_url http://127.0.0.1:8400/v1/judge-reward, with the column `truth` as label.

Weights of order, Brier score and form stand in the address: judge_reward("http://127.0.0.1:8400", order=1, brier=0, format=0.2). A key
comes from the environment, WINNOW_API_KEY.
"""
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request


def grade(url, items, timeout=120, tries=5, **weights):
    """Posts items and returns their grades: reward, order, brier, format, answer, error. A server that is busy or restarts is asked again."""
    headers = {"Content-Type": "application/json"}
    if os.environ.get("WINNOW_API_KEY"):
        headers["Authorization"] = "Bearer " + os.environ["WINNOW_API_KEY"]
    address = url.rstrip("/") + "/v1/judge-reward" + ("?" + urllib.parse.urlencode(weights) if weights else "")
    request = urllib.request.Request(address, json.dumps({"items": items}).encode(), headers)
    for attempt in range(tries):
        try:
            with urllib.request.urlopen(request, timeout=timeout) as reply:
                return json.load(reply)["items"]
        except urllib.error.HTTPError as e:
            if e.code not in (429, 503) or attempt == tries - 1:
                raise RuntimeError(f"{url}: {e.code}: {e.read()[:500]!r}") from e
            time.sleep(float(e.headers.get("Retry-After", 1)))
        except urllib.error.URLError:
            if attempt == tries - 1:
                raise
            time.sleep(2**attempt)


def judge_reward(url, **weights):
    """A reward function for TRL. A truth that cannot be read gives None, which TRL leaves out of the group's mean."""

    def winnow_judge(prompts, completions, truth, log_metric=None, **columns):
        grades = grade(url, [{"completion": c, "truth": t} for c, t in zip(completions, truth)], **weights)
        if log_metric:
            for part in ("order", "brier", "format"):
                known = [g[part] for g in grades if g[part] is not None]
                if known:
                    log_metric("winnow_" + part, sum(known) / len(known))
        return [g["reward"] for g in grades]

    return winnow_judge


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    """A reward function for verl: the score, and its parts for the log."""
    got = grade(os.environ.get("WINNOW_URL", "http://127.0.0.1:8400"), [{"completion": solution_str, "truth": ground_truth}])[0]
    if got["reward"] is None:
        raise ValueError(got["error"])
    return {"score": got["reward"], "order": got["order"] or 0.0, "brier": got["brier"] or 0.0, "format": got["format"]}
