"""Bases to hold GGUF files against llama.cpp with: the trained ones of share/, and random ones whose
rows are whole blocks of all of its formats. For scripts beside this one.
"""
import pathlib

import torch

import families
from families.common import text_shape, vision_shape
from families.mistral3 import Mistral3Spec
from families.qwen2_vl import Qwen2VLSpec
from families.qwen2_vl import text_shape as qwen2_vl_text_shape
from families.qwen2_vl import vision_shape as qwen2_vl_vision_shape
from make_models_goldens import write_checkpoint

SHARE = pathlib.Path(__file__).resolve().parents[2] / "share"
TRAINED = {"tiny-shapes-qwen2-vl": "qwen2_vl", "tiny-shapes-mistral3": "mistral3"}
# "old" names: of checkpoints with transformers 4.52's llama.cpp's converter leaves out the tower.
COMMON = {"dtype": torch.float32, "num_shards": 1, "names": "old", "patch": 7, "merge": 2,
          "training": {}}
# Qwen2-VL's epsilon of norms is next to nothing here, because llama.cpp (0c1e57098) reads the key of
# it for other architectures and takes 0 for this one.
RANDOM = {
    "qwen2_vl": Qwen2VLSpec(
        name="random-qwen2-vl", seed=3, **COMMON, frames=2, is_tied=True, config="nested",
        text=qwen2_vl_text_shape(256, 512, 8, 4, 2, [8, 12, 12]) | {"rms_norm_eps": 1e-12},
        vision=qwen2_vl_vision_shape(64, 2, 2, 2),
        processor={"min_pixels": 3136, "max_pixels": 7056}),
    "mistral3": Mistral3Spec(
        name="random-mistral3", seed=5, **COMMON, longest=84, is_tied=False, tokenizer="tokenizer",
        text=text_shape(256, 512, 8, 4, 2, 64) | {"rms_norm_eps": 1e-5},
        vision=vision_shape(64, 128, 2, 2) | {"hidden_act": "silu"}),
}

# Width and height of four images that no processor makes larger or smaller; llama.cpp does where
# they had fewer than 8 tokens. Last the size that a base sees in training.
SIZES = {"tiny-shapes-qwen2-vl": [(56, 56)],
         "tiny-shapes-mistral3": [(56, 42), (42, 56), (56, 56)],
         "random-qwen2-vl": [(84, 56), (56, 84), (84, 84)],
         "random-mistral3": [(84, 56), (56, 84), (84, 84)]}
STEPS = {"tiny-shapes-qwen2-vl": 60, "tiny-shapes-mistral3": 60,
         "random-qwen2-vl": 120, "random-mistral3": 120}


def make_random(kind, folder):
    """Writes the random base of a family; returns the base's key for documents."""
    spec = RANDOM[kind]
    write_checkpoint(families.family(kind), folder / spec.name, spec, spec.seed)
    return f"dir:{folder / spec.name}"
