"""Writes internal/ort/testdata/ort_api.json: which entry of struct OrtApi stands at which place.

Run from the repository root, with a C compiler:  python tests/oracle/ort_api.py onnxruntime_c_api.h

The header is the one of ONNX Runtime 1.24 (API version 24) as the Go module github.com/yalue/onnxruntime_go v1.27.0
ships it; entries are only ever added at the end, so that the header of any release gives the same places. The names are
found in the text of the struct, the places by the compiler's offsetof.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

OUT = pathlib.Path("internal/ort/testdata/ort_api.json")
MEMBER = re.compile(
    r"ORT_API2_STATUS\(\s*(\w+)\s*,|ORT_API_T\([^,]+,\s*(\w+)|ORT_CLASS_RELEASE2?\((\w+)\)|ORT_API_CALL\s*\*\s*(\w+)\s*\)\s*\("
)


def names(header):
    body = re.search(r"^struct OrtApi \{(.*?)^\};", header, re.S | re.M).group(1)
    body = re.sub(r"/\*.*?\*/|//[^\n]*", "", body, flags=re.S)
    for status, typed, release, plain in MEMBER.findall(body):
        yield status or typed or plain or "Release" + release


def main(path):
    header = pathlib.Path(path)
    text = header.read_text()
    entries = list(names(text))
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "offsets.c")
        lines = "\n".join(f'printf("%zu\\n", offsetof(OrtApi, {n}) / sizeof(void*));' for n in entries)
        source.write_text(f'#include <stddef.h>\n#include <stdio.h>\n#include "{header.resolve()}"\nint main(void) {{\n{lines}\n'
                          'printf("%zu\\n", sizeof(OrtApi) / sizeof(void*));\nreturn 0; }\n')
        program = pathlib.Path(folder, "offsets")
        subprocess.run(["cc", "-o", program, source], check=True)
        offsets = [int(v) for v in subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()]
    if offsets != list(range(len(entries) + 1)):
        sys.exit("the names that were found are not all entries of the struct")
    version = int(re.search(r"#define ORT_API_VERSION (\d+)", text).group(1))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"source": header.name, "api_version": version, "entries": entries}, indent=0) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
