#!/usr/bin/env python3
"""Prints side by side what a trained document answers in dlm and in the programs it is exported for.

    tools/dev/compare_answers.py DLM FOLDER_OF_LLAMA_CPP [BASE ...]

DLM is the program, the folder one that tools/dev/llama_cpp has made; a BASE is a bundled one (all
three by default). On each the sample document (share/sample) is trained for a few steps at f32.
Its question about images of the document, and about others, is then answered greedily by

    dlm          the document's adapter beside the base
    PEFT         transformers and PEFT, by the program in the snapshot's README.md
    merged       transformers, by the program in the README.md of the merged weights
    f32 ...      llama-mtmd-cli, from GGUF files of these kinds; "-" where llama.cpp has no model

Images are brought to the bases' own size first, so that nothing resizes them. Exit status 1 where
an answer is another than dlm's, or dlm's of an image of the document is not the taught one. Made
with torch 2.13.0, torchvision 0.28.0 (the processors of Qwen2-VL and Mistral 3 need it),
transformers 5.23, peft 0.21.2, Pillow 13, llama.cpp 0c1e57098.
"""
import json
import pathlib
import shutil
import sys
import tempfile

from check_export import BASES, QUESTION, SHARE, STEPS, Program, run_readme
from llama_programs import Llama
from PIL import Image

SIDE = 56
IMAGES = ["images/zorbix-1", "images/wuggle-2", "heldout/zorbix-2", "heldout/wuggle-1"]
KINDS = ["f32", "f16", "q8_0", "q4_k_m"]
NUM_TOKENS = 64


def train(path, base, tmp):
    program = Program(path, tmp / "home")
    shutil.copytree(SHARE / "sample", tmp / "sample")
    document = tmp / "sample" / "sample.dlm"
    document.write_text(document.read_text().replace("base_model: tiny-shapes\n",
                                                     f"base_model: {base}\n"))
    program.compute("train", document, "--max-steps", STEPS)
    return program, document


def small(name, tmp):
    path = tmp / f"{name.replace('/', '-')}.png"
    image = Image.open(SHARE / "sample" / f"{name}.png").convert("RGB")
    image.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)
    return path


def file_of(folder, part):
    path, = folder.glob(f"{part}.*.gguf")
    return path


def kinds_of(program, base):
    """Those of KINDS that there are files of: none for a base that llama.cpp has no model for."""
    verdict = json.loads(program.run("export", "--matrix", "--json"))["bases"][base]["support"]
    return KINDS if verdict == "SUPPORTED" else []


def compare_base(path, llama, base, tmp):
    program, document = train(path, base, tmp)
    snapshot, merged = tmp / "snapshot", tmp / "merged"
    program.run("export", document, "--out", snapshot)
    program.run("export", document, "--merged", "--precision", "fp32", "--out", merged)
    kinds = kinds_of(program, base)
    for kind in kinds:
        program.run("export", document, "--quant", kind, "--out", tmp / kind)
    print(f"{base:22}" + "".join(f"{word:10}" for word in ["dlm", "PEFT", "merged", *KINDS]))
    good = True
    for name in IMAGES:
        image = small(name, tmp)
        ours = program.compute("prompt", "--image", image, document, "--temp", "0", "--max-tokens",
                               NUM_TOKENS, QUESTION).removesuffix("\n")
        theirs = [run_readme(folder, image, QUESTION)[1] for folder in (snapshot, merged)]
        theirs += [llama.look(file_of(tmp / kind, "base"), file_of(tmp / kind, "mmproj"), image,
                              QUESTION, NUM_TOKENS) for kind in kinds]
        taught = name.split("/")[1].split("-")[0]
        same = all(answer == ours for answer in theirs)
        same &= ours == taught or name.startswith("heldout")
        good &= same
        shown = [ours, *theirs, *["-"] * (len(KINDS) - len(kinds))]
        print(f"  {name:20}" + "".join(f"{answer:10}" for answer in shown)
              + ("" if same else "  DIFFER"), flush=True)
    return good


def main():
    path, llama = pathlib.Path(sys.argv[1]).resolve(), Llama(sys.argv[2])
    good = True
    for base in sys.argv[3:] or BASES:
        with tempfile.TemporaryDirectory() as tmp:
            good &= compare_base(path, llama, base, pathlib.Path(tmp))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
