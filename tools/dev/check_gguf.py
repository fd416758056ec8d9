#!/usr/bin/env python3
"""Checks GGUF files against llama.cpp's converter: that `dlm export --quant` writes the same bytes,
and that its files are read as a base.

    tools/dev/check_gguf.py DLM FOLDER_OF_LLAMA_CPP

DLM is the program, the folder one that tools/dev/llama_cpp has made (its sources are enough). For
bases of each family, of tests/golden/models and those of llama_bases.py, an adapter is trained for a
few steps, and exported as merged weights in f32 and as GGUF of each kind that the converter writes.
The converter makes the same of the merged weights. Every tensor must then have the same type, shape
and bytes, every key the same value, but for those of DIFFER. Then `dlm score` gives an answer about
an image, with the converter's f32 files as the base gguf:PATH, the log-probabilities that it has
with the merged weights as dir:PATH, to the last digit; with files of another type those that it has
with our own of that type. Prints a line a file. Made with torch 2.13.0, transformers 5.23, gguf
0.19.0.

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
# which it passes over where tokenizer_config.json says nothing else; and the bounds of an image's
# area, which it leaves out and llama.cpp does not read.
DIFFER = {"qwen2_vl": ["general.name", "general.size_label", "clip.vision.image_min_pixels",
                       "clip.vision.image_max_pixels"],
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


def scores(program, home, image, *base):
    """Of an answer's tokens."""
    command = ["score", "--backend", "cpu", "--precision", "fp32", "--json", "--image", image,
               "--image-size", 56, "--prompt", "what is it?", "--target", "a red ring", "--base"]
    out = subprocess.run([program, "-q", *map(str, command), *map(str, base)], check=True,
                         stdout=subprocess.PIPE, text=True,
                         env={**os.environ, "DLM_HOME": str(home)}).stdout
    return json.loads(out)["logprobs"]


def check_base(program, home, folder, theirs, what, *want):
    """Whether the converter's files are the base `want`, which is `what`."""
    image = sorted(p for p in folder.rglob("*.png") if "home" not in p.parts)[0]
    got = scores(program, home, image, f"gguf:{theirs['base']}", "--mmproj", theirs["mmproj"])
    same = got == scores(program, home, image, *want)
    print(f"{folder.name} {theirs['base'].name} as a base: {len(got)} log-probabilities, "
          f"{'those' if same else 'not those'} of {what}", flush=True)
    return same and len(got) > 1


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
        theirs = {part: folder / f"theirs-{part}.{word}.gguf" for part in ("base", "mmproj")}
        run(program, home, "export", document, "--quant", word, "--out", made)
        for part in ["base", "mmproj"]:
            ours = made / f"{part}.{word.upper()}.gguf"
            with contextlib.redirect_stderr(io.StringIO()):
                CONVERTER.convert(merged, kind, theirs[part], word, part == "mmproj")
            bad, out = compare(ours, theirs[part], DIFFER[kind])
            print(f"{folder.name} {ours.name}: {out.splitlines()[-1][2:]}, {len(bad)} of weight")
            print("".join(f"    {line}\n" for line in bad), end="", flush=True)
            num_bad += bool(bad)
        want = ["the merged weights", f"dir:{merged}"] if word == "f32" else \
            ["our files", f"gguf:{made}/base.{word.upper()}.gguf"]
        num_bad += not check_base(program, home, folder, theirs, *want)
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
