#!/usr/bin/env python3
"""Checks `dlm export --quant` against llama.cpp's converter: the same bytes, of the same adapter.

    tools/dev/check_gguf.py DLM FOLDER_OF_LLAMA_CPP

DLM is the program, the folder one that tools/dev/llama_cpp has made (its sources are enough). For
bases of each family, of tests/golden/models and those of llama_bases.py, an adapter is trained for a
few steps, and exported as merged weights in f32 and as GGUF of each kind that the converter writes.
The converter makes the same of the merged weights. Every tensor must then have the same type, shape
and bytes, every key the same value, but for those of DIFFER. Prints a line a file. Made with torch
2.13.0, transformers 5.23, gguf 0.19.0.

Their order is the converter's own: by kind of weight there, by what comes first in the model here.
Merged weights in less than f32 would differ by a rounding: GGUF does not pass through their type.
"""
import contextlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from gguf_converter import Converter

CONVERTER = Converter(sys.argv[2])
import llama_bases  # noqa: E402 - which imports gguf: llama.cpp's own

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE.parents[1] / "tests" / "golden" / "models"
BASES = {"qwen2_vl_f32_old": "qwen2_vl", "mistral3_f32_old": "mistral3"}
RANDOM = {spec.name: kind for kind, spec in llama_bases.RANDOM.items()}
TYPES = ["f32", "f16", "bf16", "q8_0"]
# What the converter guesses from the folder's name and the number of weights; and a chat template,
# which it passes over where tokenizer_config.json says nothing else.
DIFFER = {"qwen2_vl": ["general.name", "general.size_label"],
          "mistral3": ["general.name", "general.size_label", "tokenizer.chat_template"]}


def run(program, home, *args):
    subprocess.run([program, "-q", *map(str, args)], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "DLM_HOME": str(home)})


def compare(ours, theirs, ignored):
    """What differs, but for the order of keys and tensors."""
    command = [sys.executable, str(HERE / "compare_gguf.py"), str(ours), str(theirs)]
    for key in ignored:
        command += ["--ignore", key]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
    return [line for line in out.splitlines() if line.startswith(("key '", "tensor '"))], out


def golden(name, folder):
    """The document of a base of the tests."""
    shutil.copytree(MODELS / name, folder, dirs_exist_ok=True)
    return folder / "doc.dlm"


def sample(key, folder):
    """The sample document on a base."""
    shutil.copytree(llama_bases.SHARE / "sample", folder / "sample")
    document = folder / "sample" / "sample.dlm"
    document.write_text(document.read_text().replace("base_model: tiny-shapes\n",
                                                     f"base_model: {json.dumps(key)}\n"))
    return document


def check_document(program, document, kind, folder):
    """How many files differ."""
    home, merged, num_bad = folder / "home", folder / "merged", 0
    run(program, home, "train", "--backend", "cpu", "--max-steps", 3, document)
    run(program, home, "export", document, "--merged", "--precision", "fp32", "--out", merged)
    CONVERTER.prepare(merged, kind)
    for word in TYPES:
        made = folder / word
        run(program, home, "export", document, "--quant", word, "--out", made)
        for part in ["base", "mmproj"]:
            ours, theirs = made / f"{part}.{word.upper()}.gguf", folder / "theirs.gguf"
            with contextlib.redirect_stderr(io.StringIO()):
                CONVERTER.convert(merged, kind, theirs, word, part == "mmproj")
            bad, out = compare(ours, theirs, DIFFER[kind])
            print(f"{folder.name} {ours.name}: {out.splitlines()[-1][2:]}, {len(bad)} of weight")
            print("".join(f"    {line}\n" for line in bad), end="", flush=True)
            num_bad += bool(bad)
    return num_bad


def main():
    program, num_bad = os.path.abspath(sys.argv[1]), 0
    for name, kind in (BASES | llama_bases.TRAINED | RANDOM).items():
        with tempfile.TemporaryDirectory() as tmp:
            folder = pathlib.Path(tmp) / name
            folder.mkdir()
            if name in BASES:
                document = golden(name, folder)
            else:
                document = sample(llama_bases.make_random(kind, pathlib.Path(tmp) / "bases")
                                  if name in RANDOM else name, folder)
            num_bad += check_document(program, document, kind, folder)
    return 1 if num_bad else 0


sys.exit(main())
