"""PaliGemma 2: PaliGemma with a Gemma 2 decoder. Windows and caps are so small that every case
depends on them."""
import dataclasses
import random

import torch

from families import paligemma
from families.common import text_shape, vision_shape
from families.paligemma import (ATTENTION, CAPTION, MODEL, SEVERAL_IMAGES, TOWER, Encoder,
                                PaliGemmaSpec, disk_name, rewrite_config, write_files)


def gemma2_shape(*shape, window, scalar, score_cap=50.0, logit_cap=30.0):
    return {**text_shape(*shape), "sliding_window": window, "query_pre_attn_scalar": scalar,
            "attn_logit_softcapping": score_cap, "final_logit_softcapping": logit_cap}


EMBED = 0.45  # of PaliGemma's
SPECS = [
    PaliGemmaSpec(
        name="paligemma2_f32_new", seed=51, dtype=torch.float32, num_shards=1, names="new",
        has_locations=False,
        text=gemma2_shape(24, 40, 3, 2, 1, 18, window=5, scalar=12, score_cap=4.0),
        vision=vision_shape(20, 28, 2, 2), image_size=28, patch=14,
        training={"learning_rate": 2e-3, "lr_scheduler": "constant", "warmup_ratio": 0.0,
                  "micro_batch_size": 2, "grad_accum": 2},
        adapter={"r": 4, "lora_alpha": 8}, adapter_wide={"r": 3, "lora_alpha": 5}),
    PaliGemmaSpec(
        name="paligemma2_f16_old", seed=67, dtype=torch.float16, num_shards=2, names="old",
        has_locations=False,
        text=gemma2_shape(48, 72, 3, 4, 4, 20, window=12, scalar=20, logit_cap=8.0),
        vision=vision_shape(24, 36, 2, 3), image_size=21, patch=7,
        training={"learning_rate": 5e-4, "lr_scheduler": "linear", "warmup_ratio": 0.0,
                  "micro_batch_size": 4, "grad_accum": 1, "gradient_checkpointing": True},
        adapter={"r": 4, "lora_alpha": 4, "use_rslora": True, "target_modules":
                 r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"},
        adapter_wide={"r": 2, "lora_alpha": 3,
                      "target_modules": ["fc1", "k_proj", "linear", "o_proj"]},
        num_held_out=1),
    PaliGemmaSpec(
        name="paligemma2_bf16_v5", seed=83, dtype=torch.bfloat16, num_shards=3, names="v5",
        has_locations=False,
        text=gemma2_shape(32, 48, 3, 4, 2, 20, window=9, scalar=31, score_cap=6.0, logit_cap=12.0),
        vision=vision_shape(24, 40, 2, 3), image_size=42, patch=14,
        training={"learning_rate": 1e-3, "lr_scheduler": "cosine", "warmup_ratio": 0.1,
                  "micro_batch_size": 2, "grad_accum": 3},
        adapter={"r": 5, "lora_alpha": 9},
        adapter_wide={"r": 4, "lora_alpha": 6,
                      "rank_pattern": {"layers.1.self_attn.q_proj": 2, "fc1": 3},
                      "alpha_pattern": {"out_proj": 11}},
        num_pad_rows=7),
    PaliGemmaSpec(
        name="paligemma2_nf4", seed=103, dtype=torch.float32, num_shards=1, names="new",
        has_locations=False, quant="nf4",
        text=gemma2_shape(64, 128, 2, 2, 1, 32, window=9, scalar=31),
        vision=vision_shape(20, 28, 1, 2), image_size=28, patch=14,
        training={"learning_rate": 1e-3, "lr_scheduler": "constant", "warmup_ratio": 0.0,
                  "micro_batch_size": 2, "grad_accum": 2},
        adapter={"r": 4, "lora_alpha": 8}, adapter_wide={"r": 3, "lora_alpha": 5}),
]


def make_config(spec, tokens):
    return paligemma.make_config(spec, tokens, "gemma2")


def shape_noise(name, noise, tokens):
    """Norms behind the layers hold them down: an embedding of PaliGemma's size would outweigh
    them."""
    noise = paligemma.shape_noise(name, noise, tokens)
    if name.endswith("embed_tokens.weight"):
        return noise * EMBED
    return noise / EMBED if name.endswith("language_model.norm.weight") else noise


def random_spec(seed):
    rng = random.Random(f"gemma2 {seed}")
    spec = paligemma.random_spec(seed)
    shape = spec.text
    heads = shape["num_attention_heads"]  # divide the hidden size of a Gemma2Config
    text = {**shape, "hidden_size": heads * (shape["hidden_size"] // heads),
            "sliding_window": rng.choice([1, 3, 8, 20, 4096]),
            "query_pre_attn_scalar": rng.randint(4, 64),
            "attn_logit_softcapping": rng.choice([None, 3.0, 8.0, 50.0]),
            "final_logit_softcapping": rng.choice([None, 5.0, 30.0])}
    return dataclasses.replace(spec, text=text)
