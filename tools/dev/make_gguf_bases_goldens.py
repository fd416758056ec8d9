#!/usr/bin/env python3
"""Makes bases in GGUF in tests/golden/models, as they lie on the hub, with what transformers and
PEFT compute on the numbers that the files hold:

    qwen2_vl_gguf    the tower's file as examples/llava/qwen2_vl_surgery.py of llama.cpp made it
                     from December 2024 until May 2025, f16: its names, keys and the table of
                     positions that stands for nothing; the language model in blocks of 32
    mistral3_gguf    files of spring 2025: general.architecture is llama, general.type of the tower
                     clip-vision; the language model in the K types, in rows of 256

    make_gguf_bases_goldens.py FOLDER_OF_LLAMA_CPP [--out DIR] [NAME ...]

What is in a case's folder, make_models_goldens.py says; base/ holds base.gguf and mmproj.gguf.
FOLDER_OF_LLAMA_CPP is one that tools/dev/llama_cpp has made: its converter writes f32, and
libggml-base.so makes the blocks, without importance matrix. The converter is run again on the
numbers that blocks and halves stand for, which transformers computes with: each tensor of the files
must be one of those.

Versions: llama.cpp 0c1e57098 with its gguf, torch 2.13.0 (CPU), transformers 5.23.0, peft 0.21.2,
tokenizers 0.23.3, Pillow 13.0.0. Seeds stand below.
"""
import argparse
import ctypes
import pathlib
import random
import re
import shutil
import sys
import tempfile

from gguf_converter import Converter

LLAMA = pathlib.Path(sys.argv[1])
CONVERTER = Converter(LLAMA)
import gguf  # noqa: E402 - llama.cpp's own
import numpy as np  # noqa: E402
import peft  # noqa: E402
import tokenizers  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from gguf.quants import dequantize  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

import families  # noqa: E402
import make_models_goldens as cases  # noqa: E402
from families.common import dump, text_shape, vision_shape  # noqa: E402
from families.mistral3 import Mistral3Spec  # noqa: E402
from families.qwen2_vl import Qwen2VLSpec  # noqa: E402
from families.qwen2_vl import text_shape as qwen2_vl_text_shape  # noqa: E402
from families.qwen2_vl import vision_shape as qwen2_vl_vision_shape  # noqa: E402
from models_reference import Reference  # noqa: E402

GGML = ctypes.CDLL(str(LLAMA / "libggml-base.so"))
KIND = gguf.GGMLQuantizationType
COMMON = {"dtype": torch.float32, "num_shards": 1, "names": "old", "patch": 7, "merge": 2,
          "training": {"learning_rate": 1e-3, "lr_scheduler": "constant", "warmup_ratio": 0.0,
                       "micro_batch_size": 2, "grad_accum": 2}}
# A file that says no bounds of an image's size has the processor class's own.
SPECS = {
    "qwen2_vl": Qwen2VLSpec(
        name="qwen2_vl_gguf", seed=211, **COMMON, frames=2, is_tied=True, config="nested",
        text=qwen2_vl_text_shape(64, 96, 1, 4, 2, [2, 3, 3]),
        vision=qwen2_vl_vision_shape(32, 2, 2, 2),
        processor={"min_pixels": 56 * 56, "max_pixels": 28 * 28 * 1280},
        adapter={"r": 3, "lora_alpha": 6}, adapter_wide={"r": 2, "lora_alpha": 5}),
    "mistral3": Mistral3Spec(
        name="mistral3_gguf", seed=223, **COMMON, longest=56, is_tied=False, tokenizer="tokenizer",
        text=text_shape(256, 256, 1, 8, 1, 32) | {"rms_norm_eps": 1e-5},
        vision=vision_shape(32, 64, 1, 2) | {"hidden_act": "silu"},
        adapter={"r": 2, "lora_alpha": 4}, adapter_wide={"r": 1, "lora_alpha": 2}),
}
# Of queries, keys and values, and of gate and up, some have a type and some have not.
TYPES = {
    "qwen2_vl": {"embed_tokens": "Q8_0", "q_proj": "Q4_0", "k_proj": "Q4_0", "v_proj": "Q5_0",
                 "o_proj": "Q8_0", "gate_proj": "Q4_0", "up_proj": "Q4_0", "down_proj": "Q5_1"},
    "mistral3": {"embed_tokens": "Q4_K", "q_proj": "Q4_K", "k_proj": "Q4_K", "v_proj": "Q6_K",
                 "o_proj": "Q5_K", "gate_proj": "Q4_K", "up_proj": "Q5_K", "down_proj": "Q6_K",
                 "lm_head": "Q6_K"},
}
NAMES = {"embed_tokens": "token_embd", "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v",
         "o_proj": "attn_output", "gate_proj": "ffn_gate", "up_proj": "ffn_up",
         "down_proj": "ffn_down", "lm_head": "output"}
TOWER = {"mm.2.weight": "Q8_0"}  # of Mistral 3: as large as all else; the rest is f16
# What the hub's cards made files say of what they are: a copy of the model itself, and a model that
# was tuned from another.
HUB = "https://huggingface.co/"
GENERAL = {"qwen2_vl": {"finetune": "Instruct", "repo_url": HUB + "unsloth",
                        "base_model.0.repo_url": HUB + "Qwen/Qwen2-VL-2B-Instruct"},
           "mistral3": {"finetune": "Instruct", "base_model.0.repo_url":
                        HUB + "mistralai/Mistral-Small-3.1-24B-Base-2503"}}
IMATRIX = {"file": "/models/model.imatrix", "dataset": "/calibration.txt", "entries_count": 7,
           "chunks_count": 3}


# --- numbers -------------------------------------------------------------------------------------

def stored(w, kind):
    """What a file of this kind holds of a matrix."""
    if kind in ("F32", "F16"):
        return np.ascontiguousarray(w, np.float32 if kind == "F32" else np.float16)
    length, size = gguf.GGML_QUANT_SIZES[KIND[kind]]
    w = np.ascontiguousarray(w, np.float32)
    blocks = np.zeros((w.shape[0], w.shape[1] // length * size), np.uint8)
    quantise = getattr(GGML, f"quantize_row_{kind.replace('Q', 'q')}_ref")
    quantise(*(x.ctypes.data_as(ctypes.c_void_p) for x in (w, blocks)), ctypes.c_int64(w.size))
    return blocks


def meant(w, kind):
    """What that stands for, f32."""
    data = stored(w, kind)
    return data.astype(np.float32) if kind in ("F32", "F16") else \
        dequantize(data, KIND[kind]).reshape(w.shape)


def kind_of_weight(kind, name):
    """By the name in the checkpoint's file, as the older versions of transformers wrote it."""
    if re.match(r"(visual|vision_tower|multi_modal_projector)\.", name):
        return TOWER["mm.2.weight"] if name.endswith("linear_2.weight") else "F16"
    return TYPES[kind][name.split(".")[-2]]


def write_reference(kind, plain, folder):
    """The checkpoint `plain` with the numbers that the files stand for."""
    shutil.copytree(plain, folder)
    tensors = {n: w if w.ndim < 2 else
               torch.from_numpy(meant(w.numpy(), kind_of_weight(kind, n)))
               for n, w in load_file(plain / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


# --- files ---------------------------------------------------------------------------------------

def read(path):
    reader = gguf.GGUFReader(path)
    return reader, {t.name: dequantize(t.data, t.tensor_type).reshape(t.shape[::-1].tolist())
                    for t in reader.tensors}


def write(path, arch, values, tensors, kind_of):
    """values: (key, value, kind, kind of an array's elements)"""
    writer = gguf.GGUFWriter(path, arch)
    for key, value, kind, element in values:
        writer.add_key_value(key, value, kind, element)
    for name, w in tensors.items():
        kind = kind_of(name) if w.ndim > 1 else "F32"
        writer.add_tensor(name, stored(w, kind), raw_dtype=KIND[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def values_of(reader, changed):
    """Those of a converter's file; changed: key -> key or None."""
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture" or not changed(key):
            continue
        kind = field.types[0]
        yield (changed(key), field.contents(), kind,
               field.types[1] if kind == gguf.GGUFValueType.ARRAY else None)


def write_text(kind, f32, out):
    """As llama-quantize would make it with an importance matrix."""
    reader, tensors = read(f32)
    arch = reader.fields["general.architecture"].contents()
    new_arch = "llama" if arch == "mistral3" else arch
    types = {NAMES[n]: t for n, t in TYPES[kind].items()}
    values = [v for v in values_of(reader, lambda key: re.sub(f"^{arch}\\.", f"{new_arch}.", key))
              if v[0] not in ("general.name", "general.file_type", "general.size_label",
                              "general.finetune")]
    values += [(f"quantize.imatrix.{k}", v, gguf.GGUFValueType.STRING if isinstance(v, str)
                else gguf.GGUFValueType.INT32, None) for k, v in IMATRIX.items()]
    values += [(f"general.{k}", v, gguf.GGUFValueType.STRING, None)
               for k, v in GENERAL[kind].items()]
    values += [("general.file_type", 15, gguf.GGUFValueType.UINT32, None)]
    write(out, new_arch, values, tensors, lambda name: types[name.split(".")[-2]])


def write_tower_of_2025(f32, out):
    """As the converter's first version with Mistral 3 wrote it."""
    reader, tensors = read(f32)
    values = [v if v[0] != "general.type" else ("general.type", "clip-vision", *v[2:])
              for v in values_of(reader, lambda key: key) if v[0] != "general.name"]
    write(out, "clip", values, tensors, lambda name: TOWER.get(name, "F16"))


def old_name(name):
    """What the script for Qwen2-VL called a weight below "visual."."""
    for ours, theirs in (("merger.ln_q.", "v.post_ln."), ("merger.mlp.", "mm."),
                         ("blocks.", "v.blk."), ("attn.proj.", "attn_out."), ("attn.", "attn_"),
                         ("mlp.fc1.", "ffn_down."), ("mlp.fc2.", "ffn_up."), ("norm", "ln")):
        name = name.replace(ours, theirs)
    return name


def write_old_tower(spec, plain, out):
    """The file of that script: f16, vectors f32."""
    tensors = {}
    for name, w in load_file(plain / "model.safetensors").items():
        name, w = name.removeprefix("visual."), w.numpy()
        if name.startswith("model."):
            continue
        if name == "patch_embed.proj.weight":
            tensors |= {"v.patch_embd.weight": w[:, :, 0], "v.patch_embd.weight.1": w[:, :, 1]}
        elif "qkv" in name:
            for part, rows in zip("qkv", np.split(w, 3)):
                tensors[old_name(name).replace("qkv", part)] = rows
        else:
            tensors[old_name(name)] = w
    tensors["v.position_embd.weight"] = np.zeros((10, 10), np.float32)
    number, flag, text = (gguf.GGUFValueType[k] for k in ("UINT32", "BOOL", "STRING"))
    numbers = {"patch_size": spec.patch, "image_size": 560,
               "embedding_length": spec.vision["embed_dim"],
               "projection_dim": spec.text["hidden_size"],
               "attention.head_count": spec.vision["num_heads"],
               "block_count": spec.vision["depth"], "feed_forward_length": 0}
    flags = {"has_text_encoder": False, "has_vision_encoder": True, "has_qwen2vl_merger": True,
             "use_silu": False, "use_gelu": False}
    array, real = gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.FLOAT32
    values = [("general.description", "image encoder for Qwen2VL", text, None),
              ("general.file_type", 1, number, None),
              *((f"clip.{k}", v, flag, None) for k, v in flags.items()),
              ("clip.projector_type", "qwen2vl_merger", text, None),
              *((f"clip.vision.{k}", v, number, None) for k, v in numbers.items()),
              ("clip.vision.attention.layer_norm_epsilon", 1e-6, real, None),
              ("general.name", "Qwen/Qwen2-VL-2B-Instruct", text, None),
              ("clip.vision.image_mean", [0.48145466, 0.4578275, 0.40821073], array, real),
              ("clip.vision.image_std", [0.26862954, 0.26130258, 0.27577711], array, real)]
    write(out, "clip", values, tensors,
          lambda name: "F32" if "position" in name else "F16")


def check_tensors(path, want_path):
    """Each tensor of a file stands for one of the other's, but for its name's sake."""
    _, got = read(path)
    _, want = read(want_path)
    if "v.position_embd.weight" in got:
        del got["v.position_embd.weight"]
        swapped = {"ffn_up": "ffn_down", "ffn_down": "ffn_up"}
        got = {re.sub("ffn_up|ffn_down", lambda m: swapped[m[0]], n): w for n, w in got.items()}
    assert set(got) == set(want), set(got) ^ set(want)
    for name, w in got.items():
        # which the tower's file has as it was
        assert name == "v.token_embd.img_break" or np.array_equal(w, want[name]), name


def write_files(kind, spec, tmp, out):
    """From tmp / "plain": out/base.gguf and mmproj.gguf, and tmp / "reference"."""
    plain, reference = tmp / "plain", tmp / "reference"
    CONVERTER.prepare(plain, kind)
    write_reference(kind, plain, reference)
    for folder in (plain, reference):
        for is_mmproj in (False, True):
            CONVERTER.convert(folder, kind, tmp / f"{folder.name}-{int(is_mmproj)}.gguf", "f32",
                              is_mmproj)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    write_text(kind, tmp / "plain-0.gguf", out / "base.gguf")
    if kind == "qwen2_vl":
        write_old_tower(spec, plain, out / "mmproj.gguf")
    else:
        write_tower_of_2025(tmp / "plain-1.gguf", out / "mmproj.gguf")
    check_tensors(out / "base.gguf", tmp / "reference-0.gguf")
    check_tensors(out / "mmproj.gguf", tmp / "reference-1.gguf")


# --- cases ---------------------------------------------------------------------------------------

def make_case(kind, spec, folder):
    family, rng = families.family(kind), random.Random(spec.seed)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    images = [folder / "images" / n for n in ("one.png", "two.png")]
    for image in images:
        cases.make_image(image, rng)
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        cases.write_checkpoint(family, tmp / "plain", spec, spec.seed)
        write_files(kind, spec, tmp, folder / "base")
        reference = Reference(family, tmp / "reference")
        for name, options, targets in (("adapter", spec.adapter, family.ATTENTION),
                                       ("adapter_wide", spec.adapter_wide, family.TOWER)):
            cases.make_adapter(folder / name, reference, options, targets, spec.seed)
        questions = [(family.CAPTION, ("images/one.png",), "a red square on a blue ground"),
                     ("how many shapes are there?", (), "two small circles"),
                     ("which is large?", ("images/two.png", "images/one.png"), "the blue star")]
        scores = cases.make_scores(folder, reference, questions)
        seed, rows, held_out = cases.make_document(family, folder, spec, images, rng)
        training = cases.make_training(folder, reference, rows, spec)
    document = folder / "doc.dlm"
    document.write_text(document.read_text().replace('"dir:base"', '"gguf:base/base.gguf"'))
    dump(folder / "expected.json", {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                     "peft": peft.__version__, "tokenizers": tokenizers.__version__},
        "quant": "gguf", "seed": spec.seed, "document_seed": seed, "scores": scores,
        "generations": [], "rows": [r.name for r in rows],
        "held_out": [r.name for r in held_out], "training": training})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("llama_cpp")
    parser.add_argument("--out", type=pathlib.Path, default=cases.OUT)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for kind, spec in SPECS.items():
        if args.names and spec.name not in args.names:
            continue
        make_case(kind, spec, args.out / spec.name)
        size = sum(f.stat().st_size for f in (args.out / spec.name).rglob("*") if f.is_file())
        print(f"{spec.name}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
