"""A reward function for TRL that asks `winnow serve`: how well does what the model wrote fit the picture of its row?

    winnow serve --reward mini --truncate

    from trl_reward import winnow_reward
    GRPOTrainer(model=..., reward_funcs=winnow_reward("http://127.0.0.1:8400"), train_dataset=..., ...)

The data set has a column `picture`: PNG, JPEG or other encoded bytes, or PIL images. (Columns named `image` or `images` make TRL
train a vision-language model, which is something else; name the column for that case: winnow_reward(url, column="image").) A completion without a score (too long for
the reward, say) is None, which TRL leaves out of the group's mean. A key comes from the environment, WINNOW_API_KEY.
"""
import base64
import io
import json
import os
import time
import urllib.error
import urllib.request


def encode(image):
    if not isinstance(image, (bytes, bytearray)):
        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        image = buffer.getvalue()
    return base64.b64encode(image).decode()


def text_of(completion):
    """The text of a completion: a string, or in conversations the content of the last message."""
    return completion if isinstance(completion, str) else completion[-1]["content"]


def ask(url, items, timeout=120, tries=5):
    """Posts items and returns a float or None for each. A server that is busy or restarts is asked again."""
    headers = {"Content-Type": "application/json"}
    if os.environ.get("WINNOW_API_KEY"):
        headers["Authorization"] = "Bearer " + os.environ["WINNOW_API_KEY"]
    request = urllib.request.Request(url.rstrip("/") + "/v1/score", json.dumps({"items": items}).encode(), headers)
    for attempt in range(tries):
        try:
            with urllib.request.urlopen(request, timeout=timeout) as reply:
                return json.load(reply)["scores"]
        except urllib.error.HTTPError as e:
            if e.code not in (429, 503) or attempt == tries - 1:
                raise RuntimeError(f"{url}: {e.code}: {e.read()[:500]!r}") from e
            time.sleep(float(e.headers.get("Retry-After", 1)))
        except urllib.error.URLError:
            if attempt == tries - 1:
                raise
            time.sleep(2**attempt)


def winnow_reward(url, column="picture"):
    def winnow(prompts, completions, log_metric=None, **columns):
        scores = ask(url, [{"prompt": text_of(c), "image": encode(i)} for c, i in zip(completions, columns[column])])
        if log_metric:
            log_metric("winnow_missing", sum(s is None for s in scores) / len(scores))
        return scores

    return winnow
