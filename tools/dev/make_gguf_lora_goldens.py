#!/usr/bin/env python3
"""Makes tests/golden/gguf/lora.json: what llama.cpp's convert_lora_to_gguf.py makes of adapters of
tests/golden/models, PEFT's own: names, types, shapes and hashes of tensors, and metadata.

It scales every module by lora_alpha and the rank of its B. Where PEFT scales otherwise (rsLoRA), B
is multiplied by what is missing, in f64, and rounded: the factor is 2 here, of which nothing is.

Versions: llama.cpp and its gguf as fetched by tools/dev/llama_cpp; torch 2.13.0, transformers
5.23.0, safetensors 0.8.
Usage: make_gguf_lora_goldens.py FOLDER_OF_LLAMA_CPP [tests/golden/gguf]
"""
import hashlib
import json
import math
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
CASES = {"qwen2_vl_f32_old/adapter": ("qwen2_vl", ["f32", "f16", "q8_0"]),
         "qwen2_vl_f16_merge3/adapter": ("qwen2_vl", ["f32"]),
         "mistral3_f32_old/adapter": ("mistral3", ["f32", "bf16"]),
         "mistral3_bf16_new/adapter": ("mistral3", ["f32"]),
         "mistral3_f16_merge3/adapter": ("mistral3", ["f32"])}
KEYS = ["general.architecture", "general.type", "adapter.type", "adapter.lora.alpha",
        "general.quantization_version"]


def factor(config):
    """What is missing in alpha / r; no case has patterns of its own."""
    return math.sqrt(config["r"]) if config["use_rslora"] else 1.0


def describe(path, missing):
    reader = gguf.GGUFReader(path)
    tensors = {}
    for t in reader.tensors:
        data = np.ascontiguousarray(t.data)
        if missing != 1 and t.name.endswith(".lora_b"):
            data = (data.astype(np.float64) * missing).astype(np.float32)
        tensors[t.name] = [t.tensor_type.name, [int(n) for n in t.shape],
                           hashlib.sha256(data.tobytes()).hexdigest()[:16]]
    return {"values": {key: reader.fields[key].contents() for key in KEYS}, "tensors": tensors}


def main():
    goldens = {}
    for case, (kind, types) in CASES.items():
        with tempfile.TemporaryDirectory() as tmp:
            base, made = os.path.join(tmp, "base"), os.path.join(tmp, "adapter.gguf")
            adapter = os.path.join(TESTS, "models", case)
            shutil.copytree(os.path.join(os.path.dirname(adapter), "base"), base)
            CONVERTER.prepare(base, kind)
            with open(os.path.join(adapter, "adapter_config.json")) as f:
                config = json.load(f)
            for word in types:
                CONVERTER.convert_lora(adapter, kind, base, made, word)
                goldens[f"{case} {word}"] = describe(made, factor(config))
    with open(os.path.join(OUT, "lora.json"), "w") as f:
        f.write("{\n" + ",\n".join(
            f'"{case}": {{"values": {json.dumps(g["values"])},\n"tensors": {{\n' +
            ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in g["tensors"].items()) +
            "}}" for case, g in goldens.items()) + "}\n")


main()
