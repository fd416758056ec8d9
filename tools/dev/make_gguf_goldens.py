#!/usr/bin/env python3
"""Makes tests/golden/gguf/plain.gguf, a file of gguf's Python package with every kind of value and
several types of tensors, and plain.json, what it holds.

Versions: gguf 0.19.0, numpy 2.4.6. Seed 20261101.
Usage: make_gguf_goldens.py [tests/golden/gguf]
"""
import hashlib
import json
import os
import sys

import gguf
import numpy as np

SEED = 20261101
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
    os.path.dirname(__file__), "..", "..", "tests", "golden", "gguf")
KINDS = {"u8": gguf.GGUFValueType.UINT8, "i8": gguf.GGUFValueType.INT8,
         "u16": gguf.GGUFValueType.UINT16, "i16": gguf.GGUFValueType.INT16,
         "u32": gguf.GGUFValueType.UINT32, "i32": gguf.GGUFValueType.INT32,
         "f32": gguf.GGUFValueType.FLOAT32, "bool": gguf.GGUFValueType.BOOL,
         "string": gguf.GGUFValueType.STRING, "u64": gguf.GGUFValueType.UINT64,
         "i64": gguf.GGUFValueType.INT64, "f64": gguf.GGUFValueType.FLOAT64}
SCALARS = {"u8": 200, "i8": -100, "u16": 60000, "i16": -30000, "u32": 4000000000, "i32": -2000000000,
           "f32": 0.15625, "bool": True, "string": "a \u2581 b\n", "u64": 2**62 + 1,
           "i64": -2**62, "f64": 0.1}
ARRAYS = {"u8": [1, 2, 255], "i8": [-1, 0, 1], "u16": [65535], "i16": [-32768, 32767],
          "u32": [7, 8, 9], "i32": [16, 24, -24, 0], "f32": [0.5, -0.25], "bool": [True, False],
          "string": ["", "a", "\u0120hello"], "u64": [2**40], "i64": [-2**40, 3], "f64": [0.1, 1e300]}
TENSORS = {"f32": ((3, 5), "F32"), "f16": ((2, 3, 4), "F16"), "bf16": ((2, 7), "BF16"),
           "q8_0": ((3, 64), "Q8_0"), "q4_0": ((2, 32), "Q4_0"), "one.weight": ((5,), "F32"),
           "four": ((2, 3, 1, 4), "F32")}


def main():
    os.makedirs(OUT, exist_ok=True)
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


main()
