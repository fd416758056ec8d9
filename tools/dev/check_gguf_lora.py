#!/usr/bin/env python3
"""Checks `dlm export --adapter-only` with llama.cpp: its converter makes the same file of the
adapter, and its programs answer with the base and that file as dlm does with the adapter.

    tools/dev/check_gguf_lora.py DLM FOLDER_OF_LLAMA_CPP [BASE ...]

DLM is the program, the folder one that tools/dev/llama_cpp has made; a BASE is one of the trained
ones of llama_bases.py (all by default). On each the sample document is trained for a few steps at
f32. The base's own f32 files are llama.cpp's converter's. Prints a line a check, exit status 1 when
one fails. Made with torch 2.13.0, transformers 5.23, gguf 0.19.0, llama.cpp 0c1e57098.
"""
import contextlib
import io
import json
import pathlib
import shutil
import sys
import tempfile

from gguf_converter import Converter

CONVERTER = Converter(sys.argv[2])  # first: llama.cpp's own gguf
import compare_gguf  # noqa: E402
import llama_bases  # noqa: E402
from check_export import SHARE, Program  # noqa: E402
from check_llama import (ASKED, IMAGES, NUM_TOKENS, QUESTIONS, TEXTS, Check,  # noqa: E402
                         as_typed, rendered)
from llama_programs import Llama  # noqa: E402
from PIL import Image  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

# What the converter takes of the folder's name and README.
IGNORED = ["general.name", "general.size_label", "general.base_model.count"]


def quietly(convert, *args):
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        convert(*args)


class Trained:
    """A document trained on a base, its adapter by itself, and the base in f32."""

    def __init__(self, path, name, tmp):
        self.program, self.tmp, self.name = Program(path, tmp / "home"), tmp, name
        shutil.copytree(SHARE / "sample", tmp / "sample")
        self.document = tmp / "sample" / "sample.dlm"
        self.document.write_text(self.document.read_text().replace(
            "base_model: tiny-shapes\n", f"base_model: {json.dumps(name)}\n"))
        self.program.compute("train", self.document, "--max-steps", llama_bases.STEPS[name])
        self.program.run("export", self.document, "--no-verify", "--out", tmp / "snapshot")
        self.program.run("export", self.document, "--adapter-only", "--out", tmp / "made")
        kind = llama_bases.TRAINED[name]
        shutil.copytree(SHARE / name, tmp / "base")
        CONVERTER.prepare(tmp / "base", kind)
        quietly(CONVERTER.convert, tmp / "base", kind, tmp / "base.gguf", "f32", False)
        quietly(CONVERTER.convert, tmp / "base", kind, tmp / "mmproj.gguf", "f32", True)
        quietly(CONVERTER.convert_lora, tmp / "snapshot" / "adapter", kind, tmp / "base",
                tmp / "theirs.gguf", "f32")

    def answer(self, question, *args):
        return self.program.compute("prompt", self.document, *args, "--temp", "0", "--max-tokens",
                                    NUM_TOKENS, question).removesuffix("\n")


def check_file(check, it):
    pair = [compare_gguf.read(path)
            for path in (it.tmp / "made" / "adapter.gguf", it.tmp / "theirs.gguf")]
    found = [what for what in compare_gguf.differences(*pair, IGNORED) if "order" not in what]
    check(not found, f"{len(pair[0][1])} tensors and {len(pair[0][0])} keys, {len(found)} differ "
          "from the converter's")
    print("".join(f"    {line}\n" for line in found), end="")


def check_answers(check, it, llama):
    base, lora = it.tmp / "base.gguf", ["--lora", it.tmp / "made" / "adapter.gguf"]
    values = compare_gguf.read(base)[0]
    tok = Tokenizer.from_file(str(it.tmp / "base" / "tokenizer.json"))
    special = {f"{name}_token": tok.id_to_token(values[f"tokenizer.ggml.{name}_token_id"][1])
               for name in ("bos", "eos") if f"tokenizer.ggml.{name}_token_id" in values}
    num_changed = 0
    for question in QUESTIONS + TEXTS:
        prompt = as_typed(llama, base, rendered(values, tok, special, question),
                          special.get("bos_token"))
        theirs, ours = llama.complete(base, prompt, NUM_TOKENS, *lora), it.answer(question)
        num_changed += theirs != llama.complete(base, prompt, NUM_TOKENS)
        check(ours == theirs, f"text {question!r}: {ours!r} ours, {theirs!r} theirs")
    check(num_changed, f"{num_changed} answers are others without the adapter")
    for name in IMAGES:
        path = it.tmp / f"{name}.png"
        image = Image.open(SHARE / "sample" / "images" / f"{name}.png").convert("RGB")
        image.resize(llama_bases.SIZES[it.name][-1], Image.Resampling.BICUBIC).save(path)
        theirs = llama.look(base, it.tmp / "mmproj.gguf", path, ASKED, NUM_TOKENS, *lora)
        ours = it.answer(ASKED, "--image", path)
        check(ours == theirs == name.split("-")[0],
              f"{name}: {ours!r} ours, {theirs!r} theirs")


def main():
    path, llama = pathlib.Path(sys.argv[1]).resolve(), Llama(sys.argv[2])
    num_bad = 0
    for name in sys.argv[3:] or llama_bases.TRAINED:
        check = Check(name)
        with tempfile.TemporaryDirectory() as tmp:
            it = Trained(path, name, pathlib.Path(tmp))
            check_file(check, it)
            check_answers(check, it, llama)
        num_bad += check.num_bad
    print(f"# {num_bad} failed")
    return 1 if num_bad else 0


sys.exit(main())
