#!/usr/bin/env python3
"""Planned memory beside what is taken, of bases in the shapes of the released ones.

    measure_memory.py --dlm PROGRAM [--backend cpu] [--runs REGEX] [--most MIB] [--keep DIR]
                      [SHAPE ...]

Makes each shape as a checkpoint of bf16 zeros: the tensors that transformers' model of that config
has, in a file that is one hole. Asks it about an image, trains a step of one row and of four, with
and without checkpoints, the tower trained or not, and a step each of rows of many lengths. Prints a
table of MiB: device memory as planned and as the backend counted it, the process's as planned and
as the kernel counted it. The bundled bases lend tokenizer and processor, the sample its images.
Runs are chosen by a part of their name; one that needs more than --most is told, and not made.
Exits 1 if device memory is off by more than 2 %, the process's by more than 5 % on the CPU: what a
GPU's driver takes is not planned. Needs torch and transformers as make_models_goldens.py does.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

SHARE = pathlib.Path(__file__).resolve().parents[2] / "share"

# What differs from the bundled base of the family: config.json, then its processor.
SHAPES = {
    "paligemma-3b-224": ("tiny-shapes", {
        "projection_dim": 2048,
        "text_config": {"hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 18,
                        "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256,
                        "num_image_tokens": 256, "vocab_size": 257216},
        "vision_config": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
                          "num_attention_heads": 16, "patch_size": 14, "image_size": 224,
                          "projection_dim": 2048},
    }, {"image_seq_length": 256, "size": {"height": 224, "width": 224}}),
    "qwen2-vl-2b": ("tiny-shapes-qwen2-vl", {
        "text_config": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
                        "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936,
                        "layer_types": ["full_attention"] * 28,
                        "rope_parameters": {"mrope_section": [16, 24, 24], "rope_theta": 1e6,
                                            "rope_type": "default"}},
        "vision_config": {"depth": 32, "embed_dim": 1280, "hidden_size": 1536, "mlp_ratio": 4,
                          "num_heads": 16, "patch_size": 14},
    }, {"patch_size": 14, "min_pixels": 672 * 672, "max_pixels": 672 * 672}),
    # Mistral Small 3.1 with 3 of its 40 layers: 3.5 B
    "mistral3-3-layers": ("tiny-shapes-mistral3", {
        "text_config": {"hidden_size": 5120, "intermediate_size": 32768, "num_hidden_layers": 3,
                        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
                        "vocab_size": 131072},
        "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
                          "num_attention_heads": 16, "head_dim": 64, "patch_size": 14,
                          "image_size": 1540},
    }, {"patch_size": 14, "size": {"longest_edge": 560}}),
}

FRONT = """---
dlm_id: 01KAJ2T0SHAPESEMB1EMSZQRBX
dlm_version: 15
base_model: dir:base
training:
  micro_batch_size: {batch}
  grad_accum: 1
  num_epochs: 1
  warmup_ratio: 0
  gradient_checkpointing: {checkpoint}
  target_modules: {modules}
---
"""
IMAGE_ROW = """
::image path="images/{name}.png" alt="{name}"::
{text}
"""
TEXT_ROW = """
::instruction::
### Q
{question}
### A
{answer}
"""
WORDS = "a ring is "
MANY_LENGTHS = 116  # some of them are for validation: a hundred steps and more


def image_rows():
    return "".join(IMAGE_ROW.format(name=f"{kind}-{i}", text=f"a {kind}")
                   for i in (1, 2, 3, 4) for kind in ("zorbix", "wuggle"))


def rows_of_many_lengths():
    rows = [TEXT_ROW.format(question=WORDS * (1 + i % 12 * 3), answer=WORDS * (1 + i // 12 * 4))
            for i in range(MANY_LENGTHS)]
    return "".join(rows) + "".join(
        IMAGE_ROW.format(name=f"zorbix-{i}", text=WORDS * (3 * i - 2)) for i in (1, 2, 3, 4))


def document(batch=1, checkpoint=False, tower=False, rows=None):
    modules = "'.*\\.(q_proj|qkv|o_proj)'" if tower else "[q_proj, v_proj]"
    return FRONT.format(batch=batch, checkpoint=str(checkpoint).lower(),
                        modules=modules) + (rows or image_rows())


def runs_of(shape):
    """Name, document or None for an answer, options."""
    forms = [("bf16", ["--precision", "bf16", "--quant", "none"]),
             ("fp32", ["--precision", "fp32", "--quant", "none"]),
             ("bf16, nf4", ["--precision", "bf16", "--quant", "nf4"])]
    for form, how in forms:
        yield f"answer, {form}", None, how
        yield f"train 1, {form}", document(), how
    # four large images, or a tower that is trained on one, take minutes a step on a CPU
    small = ["--image-size", "336"] if shape == "qwen2-vl-2b" else []
    size = ", 336 px" if small else ""
    for form, how in forms[:2]:
        for tower in False, True:
            for batch in 1, 4:
                for checkpoint in False, True:
                    if (tower, batch, checkpoint) == (False, 1, False):
                        continue
                    how_far = ", tower" * tower + ", checkpoints" * checkpoint
                    name = f"train {batch}{how_far}, {form}{size}"
                    yield name, document(batch, checkpoint, tower), how + small
    yield "train 1, many lengths, bf16", document(rows=rows_of_many_lengths()), forms[0][1]


def update(old, new):
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            update(old[key], value)
        else:
            old[key] = value


def edit(path, change):
    content = json.loads(path.read_text())
    update(content, change)
    path.write_text(json.dumps(content))


def make_base(shape, folder):
    bundled, config, processor = SHAPES[shape]
    folder.mkdir()
    for file in (SHARE / bundled).glob("*.json"):
        shutil.copy(file, folder)
    edit(folder / "config.json", config)
    edit(folder / "preprocessor_config.json", processor)
    if (folder / "processor_config.json").exists():
        edit(folder / "processor_config.json", {"patch_size": processor["patch_size"]})
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder))
    is_tied = AutoConfig.from_pretrained(folder).tie_word_embeddings
    header, at = {}, 0
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and is_tied:
            continue
        end = at + 2 * tensor.numel()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)


def measure(command, folder):
    """Four figures and the number of programs; None and what is needed, where that is too much."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True,
                          env=os.environ | {"DLM_HOME": str(folder / "home")})
    needs = re.search(r"this needs (\d+) MiB", done.stderr)
    if done.returncode and needs:
        return None, needs.group(1)
    if done.returncode:
        sys.exit(done.stderr)
    patterns = [r"memory: ([\d.]+) MiB \(", r"memory: at most ([\d.]+) MiB",
                r"process: ([\d.]+) MiB resident at most, as planned",
                r"process: ([\d.]+) MiB were resident at most"]
    figures = [float(re.search(pattern, done.stderr).group(1)) for pattern in patterns]
    return figures, len(re.findall(r"program \d+: ", done.stderr))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dlm", required=True)
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--runs", default="", help="a part of the runs' names, as a regex")
    parser.add_argument("--most", default="1048576", help="MiB that a run may take")
    parser.add_argument("--keep", help="make the bases here, and leave them")
    parser.add_argument("shape", nargs="*", default=list(SHAPES))
    args = parser.parse_args()
    dlm = [str(pathlib.Path(args.dlm).resolve()), "-v"]
    root = pathlib.Path(args.keep or tempfile.mkdtemp(prefix="dlm-memory-"))
    failed = False

    print("| base | run | device: planned | taken | process: planned | taken | off by |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for shape in args.shape:
        folder = root / shape
        if not (folder / "base").exists():
            folder.mkdir(parents=True)
            make_base(shape, folder / "base")
            shutil.copytree(SHARE / "sample/images", folder / "images")
        for name, text, how in runs_of(shape):
            if not re.search(args.runs, name):
                continue
            how = how + ["--backend", args.backend, "--max-memory", args.most]
            if text:
                (folder / "doc.dlm").write_text(text)
                steps = [] if "many lengths" in name else ["--max-steps", "1"]
                command = ["train", "doc.dlm", "--force", "--ask", "0", *steps, *how]
            else:
                command = ["prompt", "--base", "dir:base", "--image", "images/zorbix-1.png",
                           "--max-tokens", "4", *how, "what is it"]
            shutil.rmtree(folder / "home", ignore_errors=True)
            figures, num = measure(dlm + command, folder)
            if not figures:
                print(f"| {shape} | {name} | {num} | not run | | | |", flush=True)
                continue
            a, b, c, d = figures
            failed |= abs(a - b) > 0.02 * b or (args.backend == "cpu" and abs(c - d) > 0.05 * d)
            shapes = f" ({num} programs)" if "many lengths" in name else ""
            print(f"| {shape} | {name}{shapes} | {a:.1f} | {b:.1f} | {c:.0f} | {d:.0f} "
                  f"| {100 * (c - d) / d:+.1f} % |", flush=True)
    if not args.keep:
        shutil.rmtree(root)
    return failed


if __name__ == "__main__":
    sys.exit(main())
