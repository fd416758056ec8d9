#!/usr/bin/env python3
"""Makes tests/golden/gguf/types.json: the types that llama-quantize gives the tensors of a language
model in each kind of quantisation, as a letter each in order of their names, and a hash of the
tensors' bytes. The models are made here, of the same numbers as the test's: of several numbers of
layers, with and without a head of their own, and with rows that are no whole blocks.

Versions: llama.cpp and its gguf as built by tools/dev/llama_cpp; numpy 2.4.6.
Usage: make_gguf_types_goldens.py FOLDER_OF_LLAMA_CPP [tests/golden/gguf]
"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile

FOLDER = os.path.abspath(sys.argv[1])
sys.path.insert(0, os.path.join(FOLDER, "llama.cpp", "gguf-py"))
import gguf  # noqa: E402
import numpy as np  # noqa: E402

OUT = sys.argv[2] if len(sys.argv) > 2 else os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "gguf")
QUANTS = ["f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0"]
LETTERS = {"F32": "f", "F16": "h", "BF16": "b", "Q8_0": "8", "Q6_K": "6", "Q5_K": "5", "Q4_K": "4",
           "Q4_0": "q", "Q5_0": "v", "Q5_1": "w"}
# layers, width, width of the MLP, tied: rows of 256, 320 (blocks of 32 alone) and 336 (of neither)
MODELS = [(28, 256, 256, True), (40, 256, 256, False), (5, 320, 256, True), (9, 256, 320, False),
          (2, 256, 336, False)]


def mix(n):
    n = (n ^ n >> 16) * 0x85ebca6b & 0xffffffff
    n = (n ^ n >> 13) * 0xc2b2ae35 & 0xffffffff
    return n ^ n >> 16


def numbers(index, shape):
    """24 bits each, as tests/gguf/test_mixture.c makes them."""
    n = np.arange(int(np.prod(shape)), dtype=np.uint64) + index * 0x10000
    return ((mix(n) >> 8).astype(np.float64) / 2**23 - 1).astype(np.float32).reshape(shape)


def tensors(layers, width, mlp, tied):
    yield "token_embd.weight", (8, width)
    yield "output_norm.weight", (width,)
    if not tied:
        yield "output.weight", (8, width)
    for i in range(layers):
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"]:
            yield f"blk.{i}.{name}.weight", (width, width) if i < 1 else (8, width)
        yield f"blk.{i}.attn_q.bias", (width,)
        yield f"blk.{i}.attn_norm.weight", (width,)
        yield f"blk.{i}.ffn_norm.weight", (width,)
        yield f"blk.{i}.ffn_gate.weight", (8, width)
        yield f"blk.{i}.ffn_up.weight", (8, width)
        yield f"blk.{i}.ffn_down.weight", (8, mlp)


def write(path, model):
    layers, width, mlp, tied = model
    w = gguf.GGUFWriter(path, "qwen2vl")
    w.add_block_count(layers)
    w.add_context_length(64)
    w.add_embedding_length(width)
    w.add_feed_forward_length(mlp)
    w.add_head_count(4)
    w.add_head_count_kv(4)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(10000.0)
    w.add_rope_dimension_sections([16, 8, 8, 0])
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    for i, (name, shape) in enumerate(tensors(*model)):
        w.add_tensor(name, numbers(i, shape))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def describe(path):
    types, digest = "", hashlib.sha256()
    for t in sorted(gguf.GGUFReader(path).tensors, key=lambda t: t.name):
        types += LETTERS[t.tensor_type.name]
        digest.update(np.ascontiguousarray(t.data).tobytes())
    return {"types": types, "sha256": digest.hexdigest()}


def main():
    quantize = os.path.join(FOLDER, "bin", "llama-quantize")
    want = []
    with tempfile.TemporaryDirectory() as tmp:
        for model in MODELS:
            source = os.path.join(tmp, "source.gguf")
            write(source, model)
            entry = dict(zip(["layers", "width", "mlp", "tied"], model))
            for quant in QUANTS:
                out = os.path.join(tmp, f"{quant}.gguf")
                subprocess.run([quantize, source, out, quant, "1"], check=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                entry[quant] = describe(out)
            want.append(entry)
    with open(os.path.join(OUT, "types.json"), "w") as f:
        f.write("[" + ",\n".join(json.dumps(entry) for entry in want) + "]\n")


main()
