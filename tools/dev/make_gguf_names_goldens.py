#!/usr/bin/env python3
"""Makes tests/golden/gguf/names.json: what llama.cpp's converter makes of two bases of
tests/golden/models, as language model and as mmproj, in several types: names, types, shapes and
hashes of tensors, and metadata.

Versions: llama.cpp and its gguf as fetched by tools/dev/llama_cpp; torch 2.13.0, transformers
5.23.0.
Usage: make_gguf_names_goldens.py FOLDER_OF_LLAMA_CPP [tests/golden/gguf]
"""
import hashlib
import json
import os
import shutil
import sys
import tempfile

from gguf_converter import Converter

CONVERTER = Converter(sys.argv[1])
import gguf  # noqa: E402 - llama.cpp's own
import numpy as np  # noqa: E402

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden")
OUT = sys.argv[2] if len(sys.argv) > 2 else os.path.join(TESTS, "gguf")
BASES = {"qwen2_vl_f32_old": "qwen2_vl", "mistral3_f32_old": "mistral3"}
TYPES = ["f32", "f16", "q8_0"]


def short_hash(data):
    return hashlib.sha256(data).hexdigest()[:16]


def describe_value(field):
    kinds = [kind.name for kind in field.types]
    value = field.contents()
    if isinstance(value, list) and len(value) > 16:
        text = "\n".join(str(v) for v in value)
        value = f"{len(value)} of {short_hash(text.encode())}"
    return ["/".join(kinds), value]


def read(path, with_values):
    reader = gguf.GGUFReader(path)
    out = {"tensors": {
        t.name: [t.tensor_type.name, [int(n) for n in t.shape],
                 short_hash(np.ascontiguousarray(t.data).tobytes())] for t in reader.tensors}}
    if with_values:
        out["values"] = {key: describe_value(field) for key, field in reader.fields.items()
                         if not key.startswith("GGUF.")}
    return out


def one_a_line(value, depth):
    """JSON in which what lies `depth` objects deep is a line."""
    if not depth or not isinstance(value, dict):
        return json.dumps(value)
    inner = (f"{json.dumps(k)}: {one_a_line(v, depth - 1)}" for k, v in value.items())
    return "{\n" + ",\n".join(inner) + "}"


def main():
    want = {}
    with tempfile.TemporaryDirectory() as tmp:
        for name, base in BASES.items():
            folder = os.path.join(tmp, name)
            shutil.copytree(os.path.join(TESTS, "models", name, "base"), folder)
            CONVERTER.prepare(folder, base)
            want[name] = {}
            for outtype in TYPES:
                for kind in ["text", "mmproj"]:
                    out = os.path.join(tmp, f"{name}-{kind}-{outtype}.gguf")
                    CONVERTER.convert(folder, base, out, outtype, kind == "mmproj")
                    want[name][f"{kind}_{outtype}"] = read(out, outtype == "f32")
    with open(os.path.join(OUT, "names.json"), "w") as f:
        f.write(one_a_line(want, 4) + "\n")


main()
