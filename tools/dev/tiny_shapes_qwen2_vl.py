"""The tiny Qwen2-VL: ChatML, M-RoPE, a tower whose patches come in blocks of 2 x 2."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

import tiny_shapes_bpe as bpe
from tiny_shapes_chat import (GRID, IMAGE, MEAN, MERGE, PATCH, SIDE, STD, ChatFamily, attention,
                              normalised)

SYSTEM = "You are a helpful assistant."


class Qwen2VL(ChatFamily):
    base = "tiny-shapes-qwen2-vl"
    model_class = Qwen2VLForConditionalGeneration
    tower_share = 0.12  # of the time
    pipeline = bpe.Pipeline(
        pattern=r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
                r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        specials=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>",
                  "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>",
                  "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
                  "<|image_pad|>", "<|video_pad|>"],
        specials_first=False, normalizer={"type": "NFC"}, ignore_merges=False,
        names={"bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
               "unk_token": None})
    often = [f"system\n{SYSTEM}", "user\n", "assistant\n"]
    preprocessor = {
        "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": MEAN, "image_std": STD, "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor", "max_pixels": IMAGE * IMAGE,
        "min_pixels": IMAGE * IMAGE, "merge_size": MERGE, "patch_size": PATCH, "resample": 3,
        "rescale_factor": 1 / 255, "temporal_patch_size": 2,
    }
    template = (
        "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
        "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
        "{{ message['content'] }}{% else %}{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
        "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")

    def __init__(self, seed: int):
        super().__init__(seed)
        special = self.tok.special
        self.tok.image, self.end = special["<|image_pad|>"], special["<|im_end|>"]
        # Blocks of MERGE x MERGE, each row by row: where a patch of the tower stands in the grid.
        order = np.arange(SIDE * SIDE).reshape(GRID, MERGE, GRID, MERGE).swapaxes(1, 2).reshape(-1)
        self.order = torch.from_numpy(order)

    def config(self) -> Qwen2VLConfig:
        special = self.tok.special
        return Qwen2VLConfig(
            text_config={
                "hidden_size": 128, "intermediate_size": 288, "num_hidden_layers": 4,
                "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": self.tok.size,
                "max_position_embeddings": 1024, "rms_norm_eps": 1e-6,
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0,
                                    "mrope_section": [4, 6, 6]},
                "bos_token_id": special["<|endoftext|>"], "eos_token_id": self.end,
                "pad_token_id": special["<|endoftext|>"], "tie_word_embeddings": True,
            },
            vision_config={
                "depth": 4, "embed_dim": 96, "hidden_size": 128, "mlp_ratio": 2, "num_heads": 4,
                "patch_size": PATCH, "spatial_merge_size": MERGE, "temporal_patch_size": 2,
            },
            image_token_id=self.tok.image, video_token_id=special["<|video_pad|>"],
            vision_start_token_id=special["<|vision_start|>"],
            vision_end_token_id=special["<|vision_end|>"], tie_word_embeddings=True,
        )

    def generation_config(self) -> dict:
        special = self.tok.special
        return {"bos_token_id": special["<|endoftext|>"], "do_sample": False,
                "eos_token_id": [self.end, special["<|endoftext|>"]],
                "pad_token_id": special["<|endoftext|>"]}

    def begin(self, model, first, first_tok) -> None:
        """The tower too begins with the first base's: its layers have the same form. That knew
        positions from a table where this one turns queries and keys, and had a bias in front."""
        super().begin(model, first, first_tok)
        old, new = first.model.vision_tower, model.model.visual
        conv = old.embeddings.patch_embedding.weight * 2 * torch.tensor(STD).view(3, 1, 1)
        new.patch_embed.proj.weight[:] = conv[:, :, None] / 2
        for to, of in zip(new.blocks, old.encoder.layers):
            to.norm1.load_state_dict(of.layer_norm1.state_dict())
            to.norm2.load_state_dict(of.layer_norm2.state_dict())
            a = of.self_attn
            to.attn.qkv.weight[:] = torch.cat([p.weight for p in (a.q_proj, a.k_proj, a.v_proj)])
            to.attn.qkv.bias[:] = torch.cat([p.bias for p in (a.q_proj, a.k_proj, a.v_proj)])
            to.attn.proj.load_state_dict(a.out_proj.state_dict())
            to.mlp.load_state_dict(of.mlp.state_dict())
        new.merger.ln_q.load_state_dict(old.post_layernorm.state_dict())

    def language(self, model):
        return model.model.language_model

    def tower_parameters(self, model) -> list[nn.Parameter]:
        visual = model.model.visual
        return [*visual.patch_embed.parameters(), *visual.blocks.parameters(),
                *visual.merger.ln_q.parameters()]

    def pixels(self, images: list[np.ndarray]) -> torch.Tensor:
        """[images * patches, 3 * 2 * PATCH * PATCH] in the tower's order."""
        x = normalised(images).reshape(-1, 3, SIDE, PATCH, SIDE, PATCH).permute(0, 2, 4, 1, 3, 5)
        x = x.reshape(-1, SIDE * SIDE, 3, 1, PATCH, PATCH)[:, self.order]
        return x.expand(-1, -1, -1, 2, -1, -1).reshape(len(images) * SIDE * SIDE, -1)

    def see(self, model, images: list[np.ndarray]) -> torch.Tensor:
        visual = model.model.visual
        x = visual.patch_embed(self.pixels(images)).unflatten(0, (-1, SIDE * SIDE))
        places = torch.stack([self.order // SIDE, self.order % SIDE], -1)
        cos, sin = visual.rotary_pos_emb(x, places)
        for block in visual.blocks:
            q, k, v = (t.transpose(1, 2) for t in
                       block.attn.qkv(block.norm1(x)).unflatten(-1, (3, 4, -1)).unbind(2))
            x = x + block.attn.proj(attention(q, k, v, cos, sin))
            x = x + block.mlp(block.norm2(x))
        return visual.merger.ln_q(x)[:, self.order.argsort()]

    def features(self, model, seen: torch.Tensor) -> torch.Tensor:
        merged = seen[:, self.order].reshape(-1, MERGE * MERGE * seen.shape[-1])
        return model.model.visual.merger.mlp(merged)

    def head(self, image: bool) -> tuple[list[int], list[int]]:
        tok, special = self.tok, self.tok.special
        start, line = special["<|im_start|>"], tok("\n")
        seen = [special["<|vision_start|>"], *[tok.image] * GRID * GRID,
                special["<|vision_end|>"]] if image else []
        return ([start, *tok(f"system\n{SYSTEM}"), self.end, *line, start, *tok("user\n"), *seen],
                [self.end, *line, start, *tok("assistant\n")])

    def positions(self, ids: list[int]) -> list[tuple[int, int, int]]:
        out: list[tuple[int, int, int]] = []
        now = 0
        for i, token in enumerate(ids):
            if token != self.tok.image:
                out.append((now,) * 3)
                now += 1
            elif not out or ids[i - 1] != token:
                out += [(now, now + r, now + c) for r in range(GRID) for c in range(GRID)]
                now += GRID
        return out

    def vision_inputs(self, ids: torch.Tensor, images: list[np.ndarray]) -> dict:
        return {"pixel_values": self.pixels(images),
                "image_grid_thw": torch.tensor([[1, SIDE, SIDE]] * len(images)),
                "mm_token_type_ids": (ids == self.tok.image).int()}
