"""What the tiny chat bases share: rows that are a user's turn and an answer, a forward pass in
which the questions of one image share its tokens, and a start from the first base's weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import PaliGemmaForConditionalGeneration

import tiny_shapes_bpe as bpe
import tiny_shapes_text as text

IMAGE, PATCH, MERGE = 56, 7, 2
SIDE = IMAGE // PATCH
GRID = SIDE // MERGE
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]


def normalised(images: list[np.ndarray]) -> torch.Tensor:
    """[images, 3, IMAGE, IMAGE] with CLIP's mean and deviation."""
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def attention(q, k, v, cos, sin, mask=0.0) -> torch.Tensor:
    """q [B, H, T, D], k and v of as many heads or fewer; [B, T, H * D]. Written out: for so few
    tokens it is five times faster than torch's fused attention."""
    q, k = rotated(q, cos, sin), rotated(k, cos, sin)
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v))
    scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5 + mask
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def rms_norm(norm, x: torch.Tensor) -> torch.Tensor:
    return nn.functional.rms_norm(x, x.shape[-1:], norm.weight, norm.variance_epsilon)


class ChatFamily:
    """A family's file says: base, model_class, tower_share, pipeline, template, preprocessor,
    config(), generation_config(), language(), tower_parameters(), see(), features(), head(),
    positions(), vision_inputs()."""

    caption = "Describe this image."
    images_a_step, questions_an_image = 16, 4
    often: list[str] = []
    processor: dict = {}

    def __init__(self, seed: int):
        self.tok = bpe.make(self.pipeline, seed, [*self.often, self.caption])
        self.tok.config["chat_template"] = self.template

    def new_model(self, share: Path):
        """A model that begins with the first base's decoder."""
        model = self.model_class(self.config())
        first = PaliGemmaForConditionalGeneration.from_pretrained(share / "tiny-shapes",
                                                                  dtype=torch.float32)
        first.set_attn_implementation("eager")
        with torch.no_grad():
            self.begin(model, first, text.Tokenizer.load(share / "tiny-shapes"))
        return model

    def begin(self, model, first, first_tok: text.Tokenizer) -> None:
        """Gemma's layers as Llama's: norms of weight 1 + w, embeddings that carry their factor of
        sqrt(width), and gelu(x) = silu(1.702 x) / 1.702, nearly. A wider model has the first one's
        numbers in its first channels; its mean square is smaller by the share of them."""
        old, new = first.model.language_model, self.language(model)
        width, wide = old.config.hidden_size, new.config.hidden_size
        share = (width / wide) ** 0.5
        for to, of in zip(new.layers, old.layers):
            for name in ("input_layernorm", "post_attention_layernorm"):
                getattr(to, name).weight[:width] = (1 + getattr(of, name).weight) * share
            for name in "qkvo":
                weight = getattr(of.self_attn, f"{name}_proj").weight
                target = getattr(to.self_attn, f"{name}_proj").weight
                if name in "kv":
                    weight = weight.repeat(target.shape[0] // weight.shape[0], 1)
                target[:weight.shape[0], :weight.shape[1]] = weight
            to.mlp.gate_proj.weight[:, :width] = of.mlp.gate_proj.weight * 1.702
            to.mlp.up_proj.weight[:, :width] = of.mlp.up_proj.weight
            to.mlp.down_proj.weight[:width] = of.mlp.down_proj.weight / 1.702
        rows = old.embed_tokens.weight
        mine = torch.stack([rows[first_tok(self.tok.plain(i)) or [3]].mean(0)
                            for i in range(self.tok.size)])
        new.embed_tokens.weight[:, :width] = mine * width ** 0.5
        tied = model.lm_head.weight is new.embed_tokens.weight
        new.norm.weight[:width] = (1 + old.norm.weight) * share / (width ** 0.5 if tied else 1)
        if not tied:
            model.lm_head.weight[:, :width] = mine

    def save_settings(self, out: Path) -> None:
        for name, values in (("preprocessor_config", self.preprocessor),
                             ("processor_config", self.processor),
                             ("generation_config", self.generation_config())):
            if values:
                (out / f"{name}.json").write_text(json.dumps(values, indent=2) + "\n")

    def turn(self, image: bool, question: str) -> tuple[list[int], list[int]]:
        """The ids before the question, and from the question to where the answer begins."""
        before, after = self.head(image)
        return before, self.tok(question) + after

    def layout(self, image: bool, questions: list[tuple]) -> tuple[list, list, list, list]:
        """One row in which each question follows the shared beginning: ids, labels, the question to
        which an id belongs (0 the beginning), positions."""
        before, _ = self.turn(image, "")
        ids, labels, owner = [*before], [-100] * len(before), [0] * len(before)
        places = self.positions(before)
        for i, (question, answer) in enumerate(questions):
            _, asked = self.turn(image, question)
            said = self.tok(answer) + [self.end]
            ids += asked + said
            labels += [-100] * len(asked) + said
            owner += [i + 1] * (len(asked) + len(said))
            places += self.positions(before + asked + said)[len(before):]
        return ids, labels, owner, places

    def loss(self, model, rows: list[list[tuple]], seen: torch.Tensor | None) -> torch.Tensor:
        """The mean loss of the answers' tokens. A question sees its image and itself, at the
        positions that it has alone. Without `seen` the rows have no image."""
        made = [self.layout(seen is not None, row) for row in rows]
        width = max(len(m[0]) for m in made)

        def padded(which: int, fill) -> torch.Tensor:
            return torch.tensor([m[which] + [fill] * (width - len(m[which])) for m in made])

        ids, labels, owner = padded(0, 0), padded(1, -100), padded(2, -1)
        mine = (owner[:, None] == 0) | (owner[:, None] == owner[:, :, None])
        mask = torch.where(mine.tril(), 0.0, -1e30)[:, None]
        language = self.language(model)
        x = language.embed_tokens(ids)
        if seen is not None:
            x = x.masked_scatter((ids == self.tok.image)[..., None], self.features(model, seen))
        places = padded(3, self.positions([0])[0])
        cos, sin = language.rotary_emb(x, places.permute(2, 0, 1) if places.dim() == 3 else places)
        cos, sin = cos[:, None], sin[:, None]
        for layer in language.layers:
            a, h = layer.self_attn, rms_norm(layer.input_layernorm, x)
            q, k, v = (p(h).unflatten(-1, (-1, a.head_dim)).transpose(1, 2)
                       for p in (a.q_proj, a.k_proj, a.v_proj))
            x = x + a.o_proj(attention(q, k, v, cos, sin, mask))
            x = x + layer.mlp(rms_norm(layer.post_attention_layernorm, x))
        labels = labels[:, 1:]
        where = labels != -100
        logits = model.lm_head(rms_norm(language.norm, x[:, :-1][where]))
        return nn.functional.cross_entropy(logits, labels[where])

    def learn_to_see(self, model, images: list[np.ndarray]) -> tuple[torch.Tensor, object]:
        """see(), and a loss beside that of the labels while the tower learns alone."""
        return self.see(model, images), 0.0

    def row_batch(self, rows: list[tuple]) -> dict:
        """Rows (image, question, answer) as transformers takes them."""
        made = [self.layout(True, [(question, answer)]) for _, question, answer in rows]
        width = max(len(m[0]) for m in made)
        ids = torch.tensor([m[0] + [0] * (width - len(m[0])) for m in made])
        mask = torch.tensor([[1] * len(m[0]) + [0] * (width - len(m[0])) for m in made])
        labels = torch.tensor([m[1] + [-100] * (width - len(m[1])) for m in made])
        return {"input_ids": ids, "attention_mask": mask, "labels": labels,
                **self.vision_inputs(ids, [image for image, _, _ in rows])}

    @torch.no_grad()
    def answer(self, model, image: np.ndarray, prompt: str, limit: int = 16) -> str:
        """The greedy answer: no padding, no cache, nothing to get wrong."""
        before, asked = self.turn(True, prompt)
        said: list[int] = []
        while len(said) < limit:
            ids = torch.tensor([before + asked + said])
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids),
                           **self.vision_inputs(ids, [image])).logits
            said.append(int(logits[0, -1].argmax()))
            if said[-1] == self.end:
                said.pop()
                break
        return self.tok.decode(said)
