"""A judge for the server of llama.cpp, with label probabilities in its chat: the folder that vlm_judge.py makes, as GGUF files; and what
the server replies about it, for vlmjudge/testdata/llamacpp.

    pip download --no-binary llama-cpp-python --no-deps llama-cpp-python && tar xzf llama_cpp_python-*.tar.gz     # 0.3.36 was used
    cd llama_cpp_python-*/vendor/llama.cpp && cmake -B build -DCMAKE_BUILD_TYPE=Release -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \\
      -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DBUILD_SHARED_LIBS=OFF && cmake --build build -j2 --target llama-server
    python tests/oracle/vlm_judge.py judge
    python tests/oracle/llama_server.py …/vendor/llama.cpp judge gguf [vlmjudge/testdata/llamacpp/replies.json]
    WINNOW_TEST_LLAMA_SERVER=…/build/bin/llama-server WINNOW_TEST_LLAMA_MODEL=gguf/judge.gguf WINNOW_TEST_LLAMA_MMPROJ=gguf/mmproj.gguf \\
      go test -count=1 -v -run TestLlamaServer ./vlmjudge

Needs torch, transformers, numpy, pillow. llama.cpp's folder is left as it is: two things are changed in memory, the pre-tokenizer, which it
knows by a table of published models, and the names of the picture's last layers, which it knows for models of three layers and more.
"""
import base64, io, json, math, pathlib, runpy, signal, socket, subprocess, sys, time, urllib.error, urllib.request

source, judge, out = (pathlib.Path(a).resolve() for a in sys.argv[1:4])
root = pathlib.Path(__file__).resolve().parents[2]


def convert():
    sys.path[:0] = [str(source), str(source / "gguf-py")]
    from conversion import base

    base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"  # the same splitting as tokenizers' ByteLevel
    names = base.gguf.get_tensor_name_map
    base.gguf.get_tensor_name_map = lambda arch, blocks: names(arch, max(blocks, 3))
    out.mkdir(parents=True, exist_ok=True)
    for more, name in ([], "judge.gguf"), (["--mmproj"], "mmproj.gguf"):
        sys.argv = ["convert_hf_to_gguf.py", str(judge), "--outtype", "f32", "--outfile", str(out / name), *more]
        runpy.run_path(str(source / "convert_hf_to_gguf.py"), run_name="__main__")


def serve(*more):
    """Four slots, as is usual; pictures as small as the judge is used to."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [source / "build/bin/llama-server", "-m", out / "judge.gguf", "--alias", "tiny-judge", "--host", "127.0.0.1", "--port", str(port), "-c", "8192", "-np", "4",
               "-t", "1", *more]
    server = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        time.sleep(.2)
        try:
            if urllib.request.urlopen(f"http://127.0.0.1:{port}/health").status == 200:
                return server, f"http://127.0.0.1:{port}"
        except OSError:
            assert server.poll() is None, "the server has ended"
    raise TimeoutError


def post(url, path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return {"status": reply.status, "body": json.load(reply)}
    except urllib.error.HTTPError as e:
        return {"status": e.code, "body": json.load(e)}


wording = json.loads((root / "vlmjudge/testdata/wording.json").read_text(encoding="utf-8"))
PAIR, YES = wording["templates"][:2]


def png(colour):
    from PIL import Image

    b = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(b, "PNG")
    return base64.b64encode(b.getvalue()).decode()


def messages(template, pictures):
    parts, rest = [], list(pictures)
    for text in template["parts"]:
        if text != "{picture}":
            parts.append({"type": "text", "text": text.replace("{prompt}", "```\na red cube\n```")})
        elif rest:
            parts.append({"type": "image_url", "image_url": {"url": "data:image/png;base64," + rest.pop(0)}})
    return [{"role": "system", "content": template["system"]}, {"role": "user", "content": parts}]


def first(labels, listed):
    """The probability of the first label among both, and of both."""
    p = [sum(math.exp(t["logprob"]) for t in listed if t["token"].strip().casefold() == label.casefold()) for label in labels]
    return {"p": p[0] / sum(p), "mass": sum(p)}


def record(url):
    red, blue = png((220, 20, 20)), png((20, 20, 220))
    cases = {"pair red blue": (PAIR, [red, blue]), "pair blue red": (PAIR, [blue, red]), "yes red": (YES, [red]), "yes": (YES, [])}
    soft, replies = {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 20}, {}
    for name, (template, pictures) in cases.items():
        got = post(url, "/v1/chat/completions", {"messages": messages(template, pictures), **soft})
        listed = got["body"]["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        replies["chat, " + name] = {**got, "want": first(template["labels"], listed)}
    for name, (template, pictures) in cases.items():
        stand = messages(template, pictures)
        got = post(url, "/apply-template", {"messages": stand})
        replies["template, " + name] = got
        got = post(url, "/completion", {"prompt": {"prompt_string": got["body"]["prompt"], "multimodal_data": pictures}, "n_predict": 1, "n_probs": 20, "temperature": 0,
                                        "stream": False, "cache_prompt": False})
        for key in ("generation_settings", "timings"):  # long, and another machine's
            got["body"].pop(key)
        listed = got["body"]["completion_probabilities"][0]["top_logprobs"]
        replies["completion, " + name] = {**got, "want": first(template["labels"], listed)}
    pair = messages(PAIR, [red, blue])
    replies["chat, five at once"] = post(url, "/v1/chat/completions", {"messages": pair, "max_tokens": 16, "temperature": 1, "n": 5, "seed": 0})
    replies["chat, one sample"] = post(url, "/v1/chat/completions", {"messages": pair, "max_tokens": 16, "temperature": 1, "seed": 0})
    replies["chat, three samples"] = post(url, "/v1/chat/completions", {"messages": pair, "max_tokens": 16, "temperature": 1, "n": 3, "seed": 0})
    schema = {"type": "object", "properties": {"answer": {"type": "string", "enum": PAIR["labels"]}}, "required": ["answer"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}
    got = post(url, "/v1/chat/completions", {"messages": pair, "max_tokens": 32, "temperature": 0, "response_format": form})
    said = json.loads(got["body"]["choices"][0]["message"]["content"])["answer"]  # the judge has learned no JSON: any label
    replies["chat, schema"] = {**got, "want": {"p": float(said == PAIR["labels"][0]), "mass": 1}}
    broken = messages(YES, [red[:200]])
    replies["chat, broken picture"] = post(url, "/v1/chat/completions", {"messages": broken, **soft})
    return replies


def main(target):
    server, url = serve("--mmproj", out / "mmproj.gguf", "--image-min-tokens", "4", "--image-max-tokens", "16")
    try:
        replies = record(url)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    server, url = serve()
    try:  # a model without its picture part
        replies["chat, no mmproj"] = post(url, "/v1/chat/completions", {"messages": messages(YES, [png((220, 20, 20))]), "max_tokens": 1})
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    for r in replies.values():
        r["body"].pop("timings", None)
    version = subprocess.run([source / "build/bin/llama-server", "--version"], capture_output=True, text=True).stderr.split("\n")[0]
    pathlib.Path(target).write_text(json.dumps({"llama.cpp": version, "source": source.parents[1].name, "replies": replies}, indent=1) + "\n")


target = sys.argv[4] if len(sys.argv) > 4 else ""
convert()
if target:
    main(target)
