#!/usr/bin/env python3
"""Makes in tests/golden/gguf
    plain.gguf          a file of gguf's Python package: every kind of value, several types
    plain.json          what it holds
    blocks.safetensors  numbers, ordinary and extreme, as blocks of ggml's reference quantisers;
                        in the metadata, hashes of what ggml makes of the blocks ("Q4_K"), of the
                        blocks of many more numbers ("Q4_K.many"), and of the values of blocks of
                        any bits ("Q4_K.bits")

Versions: gguf 0.19.0, numpy 2.4.6, safetensors 0.8.0; ggml as built by tools/dev/llama_cpp.
Seed 20261101.
Usage: make_gguf_goldens.py FOLDER_OF_LLAMA_CPP/libggml-base.so [tests/golden/gguf]
"""
import ctypes
import hashlib
import json
import os
import sys

import gguf
import numpy as np
from safetensors.numpy import save_file

SEED = 20261101
GGML = ctypes.CDLL(sys.argv[1])
OUT = sys.argv[2] if len(sys.argv) > 2 else os.path.join(
    os.path.dirname(__file__), "..", "..", "tests", "golden", "gguf")
KINDS = {"u8": gguf.GGUFValueType.UINT8, "i8": gguf.GGUFValueType.INT8,
         "u16": gguf.GGUFValueType.UINT16, "i16": gguf.GGUFValueType.INT16,
         "u32": gguf.GGUFValueType.UINT32, "i32": gguf.GGUFValueType.INT32,
         "f32": gguf.GGUFValueType.FLOAT32, "bool": gguf.GGUFValueType.BOOL,
         "string": gguf.GGUFValueType.STRING, "u64": gguf.GGUFValueType.UINT64,
         "i64": gguf.GGUFValueType.INT64, "f64": gguf.GGUFValueType.FLOAT64}
SCALARS = {
    "u8": 200, "i8": -100, "u16": 60000, "i16": -30000, "u32": 4000000000, "i32": -2000000000,
    "f32": 0.15625, "bool": True, "string": "a \u2581 b\n", "u64": 2**62 + 1, "i64": -2**62,
    "f64": 0.1}
ARRAYS = {
    "u8": [1, 2, 255], "i8": [-1, 0, 1], "u16": [65535], "i16": [-32768, 32767], "u32": [7, 8, 9],
    "i32": [16, 24, -24, 0], "f32": [0.5, -0.25], "bool": [True, False],
    "string": ["", "a", "\u0120hello"], "u64": [2**40], "i64": [-2**40, 3], "f64": [0.1, 1e300]}
TENSORS = {
    "f32": ((3, 5), "F32"), "f16": ((2, 3, 4), "F16"), "bf16": ((2, 7), "BF16"),
    "q8_0": ((3, 64), "Q8_0"), "q4_0": ((2, 32), "Q4_0"), "one.weight": ((5,), "F32"),
    "four": ((2, 3, 1, 4), "F32")}
FORMATS = ["Q4_0", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
K = 256
MANY = K * 2048
NUM_BITS = 512  # blocks
F16_AT = {"Q4_0": [0], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2],
          "Q6_K": [208]}


def make_plain():
    rng = np.random.default_rng(SEED)
    path = os.path.join(OUT, "plain.gguf")
    writer = gguf.GGUFWriter(path, "test")
    want = {"values": {}, "tensors": {}}
    for kind, value in SCALARS.items():
        writer.add_key_value(f"test.{kind}", value, KINDS[kind])
        want["values"][f"test.{kind}"] = [kind, value]
    for kind, values in ARRAYS.items():
        writer.add_key_value(f"test.{kind}s", values, gguf.GGUFValueType.ARRAY, KINDS[kind])
        want["values"][f"test.{kind}s"] = [kind, values]
    for name, (shape, type_name) in TENSORS.items():
        x = rng.standard_normal(shape).astype(np.float32)
        data = gguf.quants.quantize(x, gguf.GGMLQuantizationType[type_name])
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[type_name])
        want["tensors"][name] = {"type": type_name, "ne": list(reversed(shape)),
                                 "sha256": hashlib.sha256(data.tobytes()).hexdigest()}
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open(os.path.join(OUT, "plain.json"), "w") as f:
        json.dump(want, f, indent=1)
        f.write("\n")


def ordinary(rng):
    """What weights look like, and other numbers of one size: [sets, K]."""
    normal = rng.standard_normal((4, K)) * 0.02
    return np.concatenate([
        normal, normal[:1].astype(np.float16), rng.uniform(0.5, 1, (1, K)),
        -rng.uniform(0.99, 1, (1, K)), rng.standard_t(1.5, (1, K)).clip(-1e3, 1e3),
        rng.integers(-3, 4, (1, K)), np.linspace(-1, 1, K)[None], rng.uniform(-6e4, 6e4, (1, K))])


def extreme(rng):
    """Zeros, constants, outliers, denormals, sub-blocks of different sizes: [sets, K]."""
    sub = np.repeat(rng.standard_normal(K // 32), 32)
    one = np.zeros(K)
    one[77] = -3.5
    outlier = rng.standard_normal(K) * 1e-3
    outlier[130] = 40
    step = sub.astype(np.float32) * (1 + rng.integers(0, 2, K).astype(np.float32) * 2.0**-23)
    return np.stack([
        np.zeros(K), np.full(K, 0.3), np.full(K, -0.7), sub, one, outlier, step,
        sub + rng.standard_normal(K) * 1e-6, rng.standard_normal(K) * (rng.random(K) < 0.03),
        rng.standard_normal(K) * np.repeat(10.0**np.linspace(-12, 4, K // 32), 32),
        rng.standard_normal(K) * np.repeat(10.0**np.linspace(-17, -13, K // 16), 16),
        rng.standard_normal(K) * np.repeat(10.0**np.linspace(-45, -36, K // 32), 32),
        rng.standard_normal(K) * 10.0**rng.uniform(-40, 4, K), rng.standard_normal(K) * 1e-9])


def mix(n):
    """The last steps of MurmurHash3: bits of n spread over 32."""
    n = (n ^ n >> 16) * 0x85ebca6b & 0xffffffff
    n = (n ^ n >> 13) * 0xc2b2ae35 & 0xffffffff
    return n ^ n >> 16


def many():
    """Numbers that the test makes as well, without rounding: of 24 bits, of very different sizes,
    some rows of them of one sign."""
    n = np.arange(MANY, dtype=np.uint64)
    bits, sub = mix(n), mix(n // 32 + 0x9e3779b9)
    fraction = (bits >> 8).astype(np.float64) / 2**23 - 1
    fraction = np.where(sub >> 8 & 7, fraction, np.abs(fraction) / 4 - 1)
    exponent = (bits & 7) * (sub >> 16 & 1) + (sub >> 24 & 15)
    return np.ldexp(fraction, -exponent.astype(np.int64)).astype(np.float32).reshape(-1, K)


def bit_blocks(name):
    """Blocks that the test makes as well: random bytes, or all the same, with finite scales."""
    size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]][1]
    n = np.arange(NUM_BITS * size, dtype=np.uint64)
    blocks = (mix(n) & 255).astype(np.uint8).reshape(NUM_BITS, size)
    blocks[5::8], blocks[6::8], blocks[7::8] = 0, 128, 255
    for at in F16_AT[name]:
        scale = (mix(np.arange(NUM_BITS, dtype=np.uint64) + 1000000 * (at + 1)) & 0xfbff)
        blocks[:, at], blocks[:, at + 1] = scale & 255, scale >> 8
    return blocks


def call_ggml(function, x, out, count):
    getattr(GGML, function)(x.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
                            ctypes.c_int64(count))


def to_blocks(name, x):
    length, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    blocks = np.zeros((x.shape[0], K // length * size), np.uint8)
    call_ggml(f"quantize_row_{name.replace('Q', 'q')}_ref", x, blocks, x.size)
    return blocks


def make_blocks():
    rng = np.random.default_rng(SEED)
    with np.errstate(all="ignore"):
        plain = ordinary(rng).astype(np.float32)
        x = np.ascontiguousarray(np.concatenate([plain, extreme(rng).astype(np.float32)]))
    tensors, hashes = {"x": x}, {}
    for name in FORMATS:
        kind = gguf.GGMLQuantizationType[name]
        blocks = to_blocks(name, x)
        values = np.zeros_like(x)
        call_ggml(f"dequantize_row_{name.replace('Q', 'q')}", blocks, values, x.size)
        assert np.array_equal(gguf.quants.dequantize(blocks, kind), values)
        if not name.endswith("_K"):  # which the Python package cannot make
            assert np.array_equal(gguf.quants.quantize(plain, kind), blocks[:len(plain)])
        tensors[name] = blocks
        hashes[name] = hashlib.sha256(values.tobytes()).hexdigest()
        bits = bit_blocks(name)
        values = np.zeros(NUM_BITS * gguf.GGML_QUANT_SIZES[kind][0], np.float32)
        call_ggml(f"dequantize_row_{name.replace('Q', 'q')}", bits, values, values.size)
        hashes[name + ".bits"] = hashlib.sha256(values.tobytes()).hexdigest()
        hashes[name + ".many"] = hashlib.sha256(to_blocks(name, many()).tobytes()).hexdigest()
    for name in ["F16", "BF16"]:
        kind = gguf.GGMLQuantizationType[name]
        tensors[name] = np.ascontiguousarray(gguf.quants.quantize(plain[:10], kind)).view(np.uint8)
    save_file(tensors, os.path.join(OUT, "blocks.safetensors"), metadata=hashes)


os.makedirs(OUT, exist_ok=True)
make_plain()
make_blocks()
