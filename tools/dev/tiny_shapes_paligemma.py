"""The first tiny base: a PaliGemma, whose rows are an image, a prefix and a suffix."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

import tiny_shapes_text as text

IMAGE, PATCH = 56, 7
PATCHES = (IMAGE // PATCH) ** 2


class PaliGemma:
    base = "tiny-shapes"
    model_class = PaliGemmaForConditionalGeneration
    tower_share = 0.3  # of the time
    caption = "caption en"
    images_a_step, questions_an_image = 24, 2
    preprocessor = {
        "do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "image_seq_length": PATCHES,
        "image_processor_type": "SiglipImageProcessor", "processor_class": "PaliGemmaProcessor",
        "resample": 3, "rescale_factor": 1 / 255, "size": {"height": IMAGE, "width": IMAGE},
    }

    def __init__(self, seed: int):
        self.tok = text.Tokenizer.make(seed)

    def new_model(self, share: Path) -> PaliGemmaForConditionalGeneration:
        return PaliGemmaForConditionalGeneration(PaliGemmaConfig(
            text_config={
                "model_type": "gemma", "hidden_size": 112, "intermediate_size": 288,
                "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 1,
                "head_dim": 32, "vocab_size": self.tok.size, "pad_token_id": 0, "bos_token_id": 2,
                "eos_token_id": 1, "num_image_tokens": PATCHES,
            },
            vision_config={
                "model_type": "siglip_vision_model", "hidden_size": 96, "intermediate_size": 192,
                "num_hidden_layers": 4, "num_attention_heads": 4, "image_size": IMAGE,
                "patch_size": PATCH, "projection_dim": 112, "vision_use_head": False,
            },
            projection_dim=112, image_token_index=self.tok.image, pad_token_id=0, bos_token_id=2,
            eos_token_id=1,
        ))

    def save_settings(self, out: Path) -> None:
        (out / "preprocessor_config.json").write_text(
            json.dumps(self.preprocessor, indent=2) + "\n")

    def pixels(self, images: list[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1

    def tower_parameters(self, model) -> list[nn.Parameter]:
        return [*model.model.vision_tower.parameters()]

    def see(self, model, images: list[np.ndarray]) -> torch.Tensor:
        """[images, PATCHES, 96]: what the tower makes of the images, normalised, row by row."""
        return model.model.vision_tower(self.pixels(images)).last_hidden_state

    def learn_to_see(self, model, images: list[np.ndarray]) -> tuple[torch.Tensor, float]:
        return self.see(model, images), 0.0

    def row_batch(self, rows: list[tuple]) -> dict:
        """Prefix-LM rows (image or not, prefix, suffix) as PaliGemmaProcessor makes them: image
        tokens, <bos>, prefix, newline | suffix, <eos>. Images that are arrays become pixels."""
        tok = self.tok
        ids, types, images = [], [], []
        for image, prefix, suffix in rows:
            head = ([tok.image] * PATCHES if image is not None else []) + [2] + tok(prefix + "\n")
            tail = tok(suffix) + [1]
            ids.append(head + tail)
            types.append([0] * len(head) + [1] * len(tail))
            if isinstance(image, np.ndarray):
                images.append(image)
        width = max(map(len, ids))
        pad = [width - len(r) for r in ids]
        input_ids = torch.tensor([r + [0] * p for r, p in zip(ids, pad)])
        token_types = torch.tensor([t + [0] * p for t, p in zip(types, pad)])
        mask = torch.tensor([[1] * len(r) + [0] * p for r, p in zip(ids, pad)])
        batch = {"input_ids": input_ids, "token_type_ids": token_types, "attention_mask": mask,
                 "labels": torch.where(token_types == 1, input_ids, -100)}
        if images:
            batch["pixel_values"] = self.pixels(images)
        return batch

    def loss(self, model, rows: list[list[tuple]], seen: torch.Tensor | None) -> torch.Tensor:
        """The loss that PaliGemma computes of each image's questions, with logits only where a
        label stands. Without `seen` the rows have no image."""
        images = {}
        if seen is not None:
            features = model.model.multi_modal_projector(seen)
            images["image"] = BaseModelOutputWithPooling(
                pooler_output=features.repeat_interleave(len(rows[0]), 0))
        batch = self.row_batch([(True if images else None, *qa) for some in rows for qa in some])
        hidden = model.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
                             token_type_ids=batch["token_type_ids"],
                             mm_encoder_outputs=images).last_hidden_state
        labels = batch["labels"][:, 1:]
        where = labels != -100
        return nn.functional.cross_entropy(model.lm_head(hidden[:, :-1][where]), labels[where])

    @torch.no_grad()
    def answer(self, model, image: np.ndarray, prompt: str, limit: int = 16) -> str:
        """The greedy answer: no padding, no cache, nothing to get wrong."""
        ids = [self.tok.image] * PATCHES + [2] + self.tok(prompt + "\n")
        start = len(ids)
        while len(ids) - start < limit:
            types = torch.tensor([[0] * start + [1] * (len(ids) - start)])
            logits = model(input_ids=torch.tensor([ids]), token_type_ids=types,
                           attention_mask=torch.ones_like(types),
                           pixel_values=self.pixels([image])).logits
            ids.append(int(logits[0, -1].argmax()))
            if ids[-1] == 1:
                ids.pop()
                break
        return self.tok.decode(ids[start:])
