#!/usr/bin/env python3
"""Reads GGUF files with gguf's Python package. Of one file it lists metadata and tensors, of two it
says in what they differ: keys, their kinds and values, tensors, their types, shapes and bytes, and
the order of both. Exit status 1 when they differ.

Versions: gguf 0.19.0.
Usage: compare_gguf.py FILE [OTHER] [--ignore KEY]...
"""
import argparse
import sys

import gguf
import numpy as np


def read(path):
    """Values {key: (kinds, contents)} and tensors {name: tensor}, in the order of the file."""
    reader = gguf.GGUFReader(path)
    values = {key: (tuple(kind.name for kind in field.types), field.contents())
              for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    for tensor in reader.tensors:
        if tensor.data_offset % reader.alignment:
            sys.exit(f"{path}: tensor '{tensor.name}' is not aligned")
    return values, {tensor.name: tensor for tensor in reader.tensors}


def short(value):
    text = repr(value)
    return text if len(text) < 100 else text[:97] + "..."


def describe(tensor):
    return f"{tensor.tensor_type.name} {[int(n) for n in tensor.shape]}"


def differences(first, second, ignored):
    (values_a, tensors_a), (values_b, tensors_b) = first, second
    for key in sorted(set(values_a) | set(values_b)):
        if key in ignored or values_a.get(key) == values_b.get(key):
            continue
        a, b = (short(v.get(key, "absent")) for v in (values_a, values_b))
        yield f"key '{key}': {a} | {b}"
    if [k for k in values_a if k in values_b] != [k for k in values_b if k in values_a]:
        yield "the keys' order"
    for name in sorted(set(tensors_a) | set(tensors_b)):
        if name not in tensors_a or name not in tensors_b:
            yield f"tensor '{name}': only in the {'first' if name in tensors_a else 'second'}"
            continue
        a, b = tensors_a[name], tensors_b[name]
        if describe(a) != describe(b):
            yield f"tensor '{name}': {describe(a)} | {describe(b)}"
        elif not np.array_equal(a.data.view(np.uint8), b.data.view(np.uint8)):
            bad = np.mean(a.data.view(np.uint8) != b.data.view(np.uint8))
            yield f"tensor '{name}': {describe(a)}, {bad:.2%} of its bytes differ"
    if [n for n in tensors_a if n in tensors_b] != [n for n in tensors_b if n in tensors_a]:
        yield "the tensors' order"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--ignore", action="append", default=[])
    args = parser.parse_args()
    if len(args.files) > 2:
        parser.error("one file or two")
    contents = [read(path) for path in args.files]
    if len(contents) == 1:
        for key, (kinds, value) in contents[0][0].items():
            print(f"{key}  {'/'.join(kinds)}  {short(value)}")
        for tensor in contents[0][1].values():
            print(f"{tensor.name}  {describe(tensor)}")
        return 0
    found = list(differences(*contents, args.ignore))
    print("\n".join(found))
    print(f"# {len(found)} differences, {len(contents[0][1])} and {len(contents[1][1])} tensors")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
