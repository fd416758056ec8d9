#!/usr/bin/env python3
"""Makes the corpora of tests/fuzz that are GGUF files:
    corpus_gguf/own, adapter, mmproj   small files of the kinds that there are besides models: what
                                       --gguf-anyway writes, an adapter, a tower with the keys of
                                       llama.cpp's converters up to 0c1e57098
    corpus_gguf_base/NAME              the headers of an export, as fuzz_gguf_base.c takes them, of
                                       each FOLDER that `dlm export --gguf-anyway --quant q8_0` of a
                                       document in tests/golden/models/NAME wrote

Versions: gguf 0.19.0, numpy 2.4.6. Nothing in them is random.
Usage: make_gguf_seeds.py NAME=FOLDER...
"""
import pathlib
import struct
import sys

import gguf
import numpy as np

FUZZ = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fuzz"
CONFIG = '{"model_type": "paligemma", "text_config": {"model_type": "gemma"}, "vision_config": {}}'
TOKENIZER = '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}'
K = 256


def matrix(rows, cols):
    return (np.arange(rows * cols, dtype=np.float32).reshape(rows, cols) % 7 - 3) / 8


def write(name, arch, add):
    writer = gguf.GGUFWriter(FUZZ / "corpus_gguf" / name, arch)
    add(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def put(writer, name, data, kind=gguf.GGMLQuantizationType.F32):
    if kind == gguf.GGMLQuantizationType.F32:
        writer.add_tensor(name, data)
    else:
        writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)


def add_own(writer):
    writer.add_type("model")
    writer.add_name("seed")
    writer.add_file_type(7)
    writer.add_quantization_version(2)
    writer.add_string("dlm.file.config.json", CONFIG)
    writer.add_string("dlm.file.tokenizer.json", TOKENIZER)
    writer.add_string("dlm.file.generation_config.json", "{}")
    writer.add_string("dlm.file.preprocessor_config.json", '{"size": {"height": 4, "width": 4}}')
    writer.add_string("dlm.file.tokenizer_config.json", "")
    put(writer, "token_embd.weight", matrix(3, 32), gguf.GGMLQuantizationType.Q8_0)
    put(writer, "blk.0.attn_q.weight", matrix(2, 32), gguf.GGMLQuantizationType.Q4_0)
    put(writer, "output_norm.weight", matrix(1, 32)[0])


def add_adapter(writer):
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 16.0)
    writer.add_array("adapter.lora.invocation_tokens", [1, 2])
    writer.add_string("adapter.lora.task_name", "")
    put(writer, "blk.0.attn_q.weight.lora_a", matrix(2, 8))
    put(writer, "blk.0.attn_q.weight.lora_b", matrix(8, 2), gguf.GGMLQuantizationType.F16)
    put(writer, "blk.1.ffn_down.weight.lora_a", matrix(2, 8), gguf.GGMLQuantizationType.BF16)


def add_mmproj(writer):
    writer.add_type("mmproj")
    writer.add_file_type(1)
    writer.add_string("clip.projector_type", "qwen2vl_merger")
    writer.add_string("clip.vision.projector_type", "qwen2vl_merger")
    writer.add_string("clip.audio.projector_type", "qwen2a")
    for key in ("has_vision_encoder", "has_audio_encoder", "use_gelu", "use_silu"):
        writer.add_bool(f"clip.{key}", key == "has_vision_encoder")
    for key in ("image_size", "patch_size", "embedding_length", "feed_forward_length",
                "block_count", "attention.head_count", "projection_dim", "spatial_merge_size",
                "image_min_pixels", "image_max_pixels", "preproc_image_size", "n_wa_pattern",
                "window_size", "projector.scale_factor"):
        writer.add_uint32(f"clip.vision.{key}", 4)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.25, 0.25, 0.25])
    writer.add_array("clip.vision.feature_layer", [1, 2])
    writer.add_array("clip.vision.wa_layer_indexes", [0])
    writer.add_array("clip.vision.is_deepstack_layers", [True, False])
    put(writer, "v.patch_embd.weight", matrix(4, 12).reshape(4, 3, 2, 2))
    put(writer, "v.patch_embd.weight.1", matrix(4, 12).reshape(4, 3, 2, 2))
    put(writer, "v.blk.0.attn_q.bias", matrix(1, 4)[0])
    put(writer, "v.blk.0.ffn_down.weight", matrix(1, K), gguf.GGMLQuantizationType.Q5_1)
    put(writer, "mm.2.weight", matrix(2, 32), gguf.GGMLQuantizationType.Q8_0)


def header(path):
    return path.read_bytes()[:gguf.GGUFReader(path).data_offset]


def main():
    write("own", "paligemma", add_own)
    write("adapter", "mistral3", add_adapter)
    write("mmproj", "clip", add_mmproj)
    (FUZZ / "corpus_gguf_base").mkdir(exist_ok=True)
    for arg in sys.argv[1:]:
        name, folder = arg.split("=", 1)
        text, tower = (header(pathlib.Path(folder) / f"{part}.Q8_0.gguf")
                       for part in ("base", "mmproj"))
        (FUZZ / "corpus_gguf_base" / name).write_bytes(struct.pack("<I", len(text)) + text + tower)


if __name__ == "__main__":
    main()
