#!/usr/bin/env python3
"""Planned memory beside what is taken, of bases in the shapes of the released ones.

    measure_memory.py --dlm PROGRAM [--backend cpu] [--keep DIR] [SHAPE ...]

Makes each shape (paligemma-3b-224, qwen2-vl-2b) as a checkpoint of bf16 zeros: the tensors that
transformers' model of that config has, in a file that is one hole. Asks it about an image, and
trains one step of one row on it, with weights in bf16 and nf4 and under the fp32 policy. Prints a
table of MiB: device memory as planned and as the backend counted it, the process's as planned and
as the kernel counted it. The bundled bases lend tokenizer and processor, the sample its images.
Exits 1 if device memory is off by more than 2 %, the process's by more than 5 %.
Needs torch and transformers as make_models_goldens.py does.
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
}

DOCUMENT = """---
dlm_id: 01KAJ2T0SHAPESEMB1EMSZQRBX
dlm_version: 15
base_model: dir:base
training:
  micro_batch_size: 1
  grad_accum: 1
  num_epochs: 1
  warmup_ratio: 0
---
""" + "".join(f"""
::image path="images/zorbix-{i}.png" alt="zorbix"::
a zorbix
""" for i in (1, 2))


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
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder))
    header, at = {}, 0
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":  # tied
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
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True,
                          env=os.environ | {"DLM_HOME": str(folder / "home")})
    if done.returncode:
        sys.exit(done.stderr)
    patterns = [r"memory: ([\d.]+) MiB \(", r"memory: at most ([\d.]+) MiB",
                r"process: ([\d.]+) MiB resident at most, as planned",
                r"process: ([\d.]+) MiB were resident at most"]
    return [float(re.search(pattern, done.stderr).group(1)) for pattern in patterns]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dlm", required=True)
    parser.add_argument("--backend", default="cpu")
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
        folder.mkdir(parents=True)
        make_base(shape, folder / "base")
        shutil.copytree(SHARE / "sample/images", folder / "images")
        (folder / "doc.dlm").write_text(DOCUMENT)
        for precision, quant in ("bf16", "none"), ("bf16", "nf4"), ("fp32", "none"):
            how = ["--backend", args.backend, "--precision", precision, "--quant", quant]
            form = precision + ("" if quant == "none" else ", " + quant)
            runs = {
                "answer": ["prompt", "--base", "dir:base", "--image", "images/zorbix-1.png",
                           "--max-tokens", "4", *how, "what is it"],
                "train": ["train", "doc.dlm", "--force", "--max-steps", "1", "--ask", "0", *how],
            }
            for run, command in runs.items():
                shutil.rmtree(folder / "home", ignore_errors=True)
                a, b, c, d = measure(dlm + command, folder)
                failed |= abs(a - b) > 0.02 * b or abs(c - d) > 0.05 * d
                print(f"| {shape} | {run}, {form} | {a:.1f} | {b:.1f} | {c:.0f} | {d:.0f} "
                      f"| {100 * (c - d) / d:+.1f} % |", flush=True)
    if not args.keep:
        shutil.rmtree(root)
    return failed


if __name__ == "__main__":
    sys.exit(main())
