"""The tiny Mistral 3: V7 instruct turns without a system block, a Pixtral tower, rows of [IMG]."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from transformers import Mistral3Config, Mistral3ForConditionalGeneration

import tiny_shapes_bpe as bpe
from tiny_shapes_chat import (GRID, IMAGE, MEAN, MERGE, PATCH, SIDE, STD, ChatFamily, attention,
                              normalised, rms_norm)


class Mistral3(ChatFamily):
    base = "tiny-shapes-mistral3"
    model_class = Mistral3ForConditionalGeneration
    tower_share = 0.25  # of the time
    pipeline = bpe.Pipeline(
        pattern=r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
                r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
                r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
                r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        specials=["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]",
                  "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]",
                  "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]",
                  "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
                  *(f"<SPECIAL_{i}>" for i in range(20, 32))],
        specials_first=True, normalizer=None, ignore_merges=True,
        names={"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>",
               "unk_token": "<unk>"})
    preprocessor = {
        "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": MEAN, "image_std": STD, "image_processor_type": "PixtralImageProcessor",
        "processor_class": "PixtralProcessor", "patch_size": PATCH, "resample": 3,
        "rescale_factor": 1 / 255, "size": {"longest_edge": IMAGE},
    }
    processor = {
        "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]", "image_token": "[IMG]",
        "patch_size": PATCH, "processor_class": "PixtralProcessor", "spatial_merge_size": MERGE,
    }
    template = (
        "<s>{% for message in messages %}{% if message['role'] == 'assistant' %}"
        "{{ message['content'] }}</s>{% else %}"
        "{{ '[SYSTEM_PROMPT]' if message['role'] == 'system' else '[INST]' }}"
        "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        "{% for part in message['content'] %}{% if part['type'] == 'image' %}[IMG]"
        "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
        "{{ '[/SYSTEM_PROMPT]' if message['role'] == 'system' else '[/INST]' }}"
        "{% endif %}{% endfor %}")

    def __init__(self, seed: int):
        super().__init__(seed)
        self.tok.image, self.end = self.tok.special["[IMG]"], self.tok.special["</s>"]
        self.teacher = None

    def config(self) -> Mistral3Config:
        return Mistral3Config(
            text_config={
                "model_type": "mistral", "hidden_size": 112, "intermediate_size": 288,
                "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
                "head_dim": 32, "vocab_size": self.tok.size, "max_position_embeddings": 1024,
                "rms_norm_eps": 1e-5, "sliding_window": None, "tie_word_embeddings": False,
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
                "bos_token_id": 1, "eos_token_id": self.end, "pad_token_id": 11,
            },
            vision_config={
                "model_type": "pixtral", "hidden_size": 96, "intermediate_size": 128,
                "num_hidden_layers": 4, "num_attention_heads": 4, "head_dim": 24,
                "image_size": IMAGE, "patch_size": PATCH, "hidden_act": "silu",
            },
            image_token_index=self.tok.image, spatial_merge_size=MERGE, vision_feature_layer=-1,
            projector_hidden_act="gelu", multimodal_projector_bias=False,
            tie_word_embeddings=False,
        )

    def generation_config(self) -> dict:
        return {"bos_token_id": 1, "do_sample": False, "eos_token_id": self.end,
                "pad_token_id": 11}

    def begin(self, model, first, first_tok) -> None:
        """The tower's form differs from the first base's: norms without mean and bias, gated
        layers. What fits is taken over, and learn_to_see() teaches what layers make of images."""
        super().begin(model, first, first_tok)
        self.teacher, new = first.model.vision_tower, model.model.vision_tower
        conv = self.teacher.embeddings.patch_embedding.weight
        new.patch_conv.weight[:] = conv * 2 * torch.tensor(STD).view(3, 1, 1)
        for to, of in zip(new.transformer.layers, self.teacher.encoder.layers):
            for name in "qkv":
                getattr(to.attention, f"{name}_proj").weight[:] = getattr(
                    of.self_attn, f"{name}_proj").weight
            to.attention.o_proj.weight[:] = of.self_attn.out_proj.weight
            to.attention_norm.weight[:] = of.layer_norm1.weight
            to.ffn_norm.weight[:] = of.layer_norm2.weight

    def language(self, model):
        return model.model.language_model

    def tower_parameters(self, model) -> list[nn.Parameter]:
        return [*model.model.vision_tower.parameters(),
                *model.model.multi_modal_projector.norm.parameters()]

    def see(self, model, images: list[np.ndarray], layers: list | None = None) -> torch.Tensor:
        """`layers`, if given, gets what comes out of each layer."""
        tower = model.model.vision_tower
        x = rms_norm(tower.ln_pre, tower.patch_conv(normalised(images)).flatten(2).transpose(1, 2))
        at = torch.arange(SIDE * SIDE)
        cos, sin = tower.patch_positional_embedding(x, torch.stack([at // SIDE, at % SIDE], -1))
        for layer in tower.transformer.layers:
            a, h = layer.attention, rms_norm(layer.attention_norm, x)
            q, k, v = (p(h).unflatten(-1, (4, -1)).transpose(1, 2)
                       for p in (a.q_proj, a.k_proj, a.v_proj))
            x = x + a.o_proj(attention(q, k, v, cos, sin))
            x = x + layer.feed_forward(rms_norm(layer.ffn_norm, x))
            if layers is not None:
                layers.append(x)
        return rms_norm(model.model.multi_modal_projector.norm, x)

    def learn_to_see(self, model, images: list[np.ndarray]) -> tuple[torch.Tensor, object]:
        """Beside the labels: each layer comes near the first base's, as far as images differ at a
        place (positions are added there and turned here) and channels differ from their mean."""
        layers: list[torch.Tensor] = []
        seen = self.see(model, images, layers)
        if self.teacher is None:
            return seen, 0.0
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            shown = self.teacher(pixels, output_hidden_states=True).hidden_states[1:]
        taught = 0.0
        for mine, want in zip(layers, shown):
            want = want - want.mean(-1, keepdim=True)
            want = want - want.mean(0)
            taught += 0.5 * ((mine - mine.mean(0) - want) ** 2).mean() / (want ** 2).mean()
        return seen, taught

    def features(self, model, seen: torch.Tensor) -> torch.Tensor:
        """The projector; a merged token's channels stand apart, its four patches side by side."""
        project = model.model.multi_modal_projector
        x = seen.reshape(-1, GRID, MERGE, GRID, MERGE, seen.shape[-1]).permute(0, 1, 3, 5, 2, 4)
        x = project.patch_merger.merging_layer(x.reshape(-1, seen.shape[-1] * MERGE * MERGE))
        return project.linear_2(project.act(project.linear_1(x)))

    def head(self, image: bool) -> tuple[list[int], list[int]]:
        special = self.tok.special
        row = [self.tok.image] * GRID + [special["[IMG_BREAK]"]]
        seen = row * GRID if image else []
        return [1, special["[INST]"], *seen[:-1], *([special["[IMG_END]"]] if image else [])], [
            special["[/INST]"]]

    def positions(self, ids: list[int]) -> list[int]:
        return [*range(len(ids))]

    def vision_inputs(self, ids: torch.Tensor, images: list[np.ndarray]) -> dict:
        return {"pixel_values": normalised(images),
                "image_sizes": torch.tensor([[IMAGE, IMAGE]] * len(images))}
