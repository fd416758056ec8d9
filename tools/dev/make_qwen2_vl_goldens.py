#!/usr/bin/env python3
"""Makes tests/golden/models/qwen2_vl_positions.json: positions on three axes that
Qwen2VLModel.get_rope_index of transformers 5.23 gives sequences of text and images, seed 7.

A row has the merge of the tower, the runs of the sequence (a number: text tokens; a pair: height
and width of an image's grid in patches), each token's positions, and that of the one behind.
Prints how many parameters the shapes of src/models/qwen2_vl.c have, which
tests/models/test_qwen2_vl.c knows.
"""
import json
import pathlib
import random

import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLModel

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/models/qwen2_vl_positions.json"
IMAGE = 9


def text_shape(hidden, inter, heads, kv_heads, vocab):
    return {"hidden_size": hidden, "intermediate_size": inter, "num_hidden_layers": 28,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": vocab}


SHAPES = (("qwen2-vl-2b", text_shape(1536, 8960, 12, 2, 151936), {"hidden_size": 1536}, True),
          ("qwen2-vl-7b", text_shape(3584, 18944, 28, 4, 152064), {}, False))


def small(merge):
    return Qwen2VLModel(Qwen2VLConfig(
        text_config={"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
                     "num_attention_heads": 1, "num_key_value_heads": 1, "vocab_size": 16,
                     "rope_parameters": {"rope_type": "default", "rope_theta": 1e4,
                                         "mrope_section": [1, 1, 2]}},
        vision_config={"depth": 1, "embed_dim": 8, "num_heads": 1, "mlp_ratio": 1,
                       "hidden_size": 8, "spatial_merge_size": merge},
        image_token_id=IMAGE))


def count(text, vision, is_tied):
    """Parameters of the hub's checkpoint with this config.json."""
    text = {**text, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6,
                                        "mrope_section": [16, 24, 24]}}
    with torch.device("meta"):
        model = Qwen2VLForConditionalGeneration(Qwen2VLConfig(
            text_config=text, vision_config=vision, tie_word_embeddings=is_tied))
    return sum(p.numel() for p in model.parameters())


def row(rng):
    merge = rng.choice([1, 2, 2, 2, 3])
    runs = [rng.randint(1, 6)]
    for _ in range(rng.randint(0, 4)):
        runs += [[merge * rng.randint(1, 5), merge * rng.randint(1, 5)], rng.randint(1, 6)]
    ids, grids = [], []
    for run in runs:
        if isinstance(run, int):
            ids += [1] * run
        else:
            ids += [IMAGE] * (run[0] * run[1] // merge ** 2)
            grids.append([1, *run])
    ids = torch.tensor([ids])
    at, delta = small(merge).get_rope_index(
        ids, mm_token_type_ids=(ids == IMAGE).int(),
        image_grid_thw=torch.tensor(grids) if grids else None)
    return {"merge": merge, "runs": runs, "positions": at[:, 0].T.tolist(),
            "next": int(delta[0, 0]) + ids.shape[1]}


def main():
    for name, text, vision, is_tied in SHAPES:
        print(name, count(text, vision, is_tied), "parameters")
    rng = random.Random(7)
    rows = [row(rng) for _ in range(12)]
    OUT.write_text(json.dumps(rows, separators=(",", ":")).replace('{"merge', '\n{"merge') + "\n")


if __name__ == "__main__":
    main()
