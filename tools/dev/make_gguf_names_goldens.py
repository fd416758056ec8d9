#!/usr/bin/env python3
"""Makes tests/golden/gguf/names.json: what llama.cpp's converter makes of two bases of
tests/golden/models, as language model and as mmproj, in several types: names, types, shapes and
hashes of tensors, and metadata.

The converter's checks of what real bases have are passed over: the hash of a known tokenizer, and
a number of layers above that of a name's other numbers. One fault is mended: it leaves out Mistral
3's [IMG_BREAK] row, which llama.cpp's loader wants, because the embedding's name begins with
"language_model.".

Versions: llama.cpp and its gguf as fetched by tools/dev/llama_cpp; torch 2.13.0, transformers
5.23.0.
Usage: make_gguf_names_goldens.py FOLDER_OF_LLAMA_CPP [tests/golden/gguf]
"""
import hashlib
import json
import os
import runpy
import shutil
import sys
import tempfile

SOURCE = os.path.join(os.path.abspath(sys.argv[1]), "llama.cpp")
sys.path[:0] = [SOURCE, os.path.join(SOURCE, "gguf-py")]
import conversion.base as base  # noqa: E402
import gguf  # noqa: E402
import numpy as np  # noqa: E402

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden")
OUT = sys.argv[2] if len(sys.argv) > 2 else os.path.join(TESTS, "gguf")
BASES = {"qwen2_vl_f32_old": ("Qwen2VLForConditionalGeneration", "qwen2"),
         "mistral3_f32_old": ("Mistral3ForConditionalGeneration", "tekken")}
TYPES = ["f32", "f16", "q8_0"]


def convert(folder, out, outtype, is_mmproj):
    sys.argv = ["convert_hf_to_gguf.py", folder, "--outtype", outtype, "--outfile", out]
    sys.argv += ["--mmproj"] if is_mmproj else []
    runpy.run_path(os.path.join(SOURCE, sys.argv[0]), run_name="__main__")


def copy_base(name, architecture, to):
    shutil.copytree(os.path.join(TESTS, "models", name, "base"), to)
    path = os.path.join(to, "config.json")
    with open(path) as f:
        config = json.load(f)
    config["architectures"] = [architecture]
    with open(path, "w") as f:
        json.dump(config, f)
    path = os.path.join(to, "tokenizer_config.json")
    if not os.path.exists(path):
        with open(path, "w") as f:
            f.write("{}")


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
    known = base.gguf.get_tensor_name_map
    base.gguf.get_tensor_name_map = lambda arch, blocks: known(arch, max(blocks, 8))
    dropped = base.MmprojModel.filter_tensors.__func__
    base.MmprojModel.filter_tensors = classmethod(
        lambda cls, item: item if item[0].endswith("embed_tokens.weight") else dropped(cls, item))
    want = {}
    with tempfile.TemporaryDirectory() as tmp:
        for name, (architecture, pre) in BASES.items():
            folder = os.path.join(tmp, name)
            copy_base(name, architecture, folder)
            base.TextModel.get_vocab_base_pre = lambda self, tokenizer, pre=pre: pre
            want[name] = {}
            for outtype in TYPES:
                for kind in ["text", "mmproj"]:
                    out = os.path.join(tmp, f"{name}-{kind}-{outtype}.gguf")
                    convert(folder, out, outtype, kind == "mmproj")
                    want[name][f"{kind}_{outtype}"] = read(out, outtype == "f32")
    with open(os.path.join(OUT, "names.json"), "w") as f:
        f.write(one_a_line(want, 4) + "\n")


main()
