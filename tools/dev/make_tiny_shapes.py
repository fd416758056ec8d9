"""Makes share/tiny-shapes, the bundled base, and share/sample, the sample document.

    python tools/dev/make_tiny_shapes.py [--out share] [--stage all|tokenizer|train|sample|check]
                                         [--minutes 80] [--threads 1]
                                         [--resume BASE]

A PaliGemma of about 1.1 M parameters, trained from nothing on drawn shapes, colours, digits and
counts. All images come from tiny_shapes_draw.py and all text from tiny_shapes_text.py: no font,
photograph or third-party data. Versions with which the files in the repository were made: torch
2.13.0, transformers 5.23.0, peft 0.21.2, tokenizers 0.23, Pillow 13, numpy 2.4. Seed 20261121.
The time is a limit in minutes, so that another machine takes another number of steps.

Stages: the tokenizer; the vision tower on dense labels (what fills each patch), then the whole
model on questions; the sample document with held-out images; the check, which trains the document's
adapter with PEFT and prints answers before and after.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

import tiny_shapes_draw as draw
import tiny_shapes_sample as sample
import tiny_shapes_text as text

SEED = 20261121
IMAGE, PATCH = 56, 7
PATCHES = (IMAGE // PATCH) ** 2


def make_config(tok: text.Tokenizer) -> PaliGemmaConfig:
    return PaliGemmaConfig(
        text_config={
            "model_type": "gemma", "hidden_size": 112, "intermediate_size": 288,
            "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 1,
            "head_dim": 32, "vocab_size": tok.size, "pad_token_id": 0, "bos_token_id": 2,
            "eos_token_id": 1, "num_image_tokens": PATCHES,
        },
        vision_config={
            "model_type": "siglip_vision_model", "hidden_size": 96, "intermediate_size": 192,
            "num_hidden_layers": 4, "num_attention_heads": 4, "image_size": IMAGE,
            "patch_size": PATCH, "projection_dim": 112, "vision_use_head": False,
        },
        projection_dim=112, image_token_index=tok.image, pad_token_id=0, bos_token_id=2,
        eos_token_id=1,
    )


def pixels_of(images: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Scheduler:
    """Cosine over wall-clock time, with a short warm-up in steps."""

    def __init__(self, opt, peak: float, seconds: float):
        self.opt, self.peak, self.seconds, self.t0, self.step = opt, peak, seconds, time.time(), 0

    def __call__(self) -> bool:
        """Sets the rate of the next step; False when the time is over."""
        self.step += 1
        done = (time.time() - self.t0) / self.seconds
        rate = self.peak * min(1, self.step / 100) * 0.5 * (1 + np.cos(np.pi * min(done, 1)))
        for g in self.opt.param_groups:
            g["lr"] = (rate + self.peak * 0.01) * g.get("share", 1)
        return done < 1


class DenseLabels(nn.Module):
    """What each patch shows: kind, colour, and whether an object's centre lies in it. It gives the
    tower its eyes, and keeps them while the language model learns; it is no part of the base."""

    def __init__(self):
        super().__init__()
        self.sizes = [len(draw.KINDS) + 1, len(draw.COLOUR_NAMES) + 1, 2]
        self.heads = nn.Linear(96, sum(self.sizes))

    @staticmethod
    def labels(scenes: list[draw.Scene], owners: list[np.ndarray]) -> torch.Tensor:
        """[scenes, PATCHES, 3]; 0 is the background."""
        out = np.zeros((len(scenes), PATCHES, 3), np.int64)
        for labels, scene, owner in zip(out, scenes, owners):
            table = np.array([(0, 0)] + [(draw.KINDS.index(t.kind) + 1,
                                          draw.COLOUR_NAMES.index(t.colour) + 1)
                                         for t in scene.things])
            labels[:, :2] = table[owner.reshape(-1)]
            side = IMAGE // PATCH
            for t in scene.things:
                labels[int(t.y * side) * side + int(t.x * side), 2] = 1
        return torch.from_numpy(out)

    def forward(self, hidden: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, float]:
        """The loss, and the share of object patches whose kind is right."""
        parts = self.heads(hidden).split(self.sizes, -1)
        loss = sum(nn.functional.cross_entropy(p.flatten(0, 1), labels[..., i].flatten())
                   for i, p in enumerate(parts))
        kind = labels[..., 0]
        return loss, (parts[0].argmax(-1) == kind)[kind > 0].float().mean().item()


def sample_images(rng, num: int) -> tuple[list[draw.Scene], torch.Tensor, torch.Tensor]:
    """Scenes with their pixels and dense labels; every other single shape is drawn again, so that
    one to four things are about equally frequent."""
    scenes = []
    while len(scenes) < num:
        scene = text.sample_scene(rng)
        shape = scene.things[0].kind in draw.SHAPES
        if not shape or len(scene.things) > 1 or rng.random() < 0.5:
            scenes.append(scene)
    drawn = [draw.draw(s, IMAGE, PATCH) for s in scenes]
    return scenes, pixels_of([d[0] for d in drawn]), DenseLabels.labels(
        scenes, [d[1] for d in drawn])


def train_tower(model, dense, rng, seconds: float) -> None:
    tower = model.model.vision_tower
    opt = torch.optim.AdamW([*tower.parameters(), *dense.parameters()], weight_decay=0.05)
    rate = Scheduler(opt, 2e-3, seconds)
    while rate():
        _, pixels, labels = sample_images(rng, 48)
        loss, right = dense(tower(pixels).last_hidden_state, labels)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        opt.step()
        if rate.step % 200 == 0:
            print(f"tower {rate.step} loss {loss.item():.3f} kind {right:.3f}", flush=True)


def make_batch(tok: text.Tokenizer, rows: list[tuple]) -> dict:
    """Prefix-LM rows (image or not, prefix, suffix) as PaliGemmaProcessor makes them: image tokens,
    <bos>, prefix, newline | suffix, <eos>. Images that are arrays become pixel_values."""
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
        batch["pixel_values"] = pixels_of(images)
    return batch


def suffix_loss(model, batch: dict, features: torch.Tensor | None) -> torch.Tensor:
    """The loss that PaliGemma computes, with logits only where a label stands."""
    images = {} if features is None else {"image": BaseModelOutputWithPooling(
        pooler_output=features)}
    hidden = model.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
                         token_type_ids=batch["token_type_ids"],
                         mm_encoder_outputs=images).last_hidden_state
    labels = batch["labels"][:, 1:]
    where = labels != -100
    return nn.functional.cross_entropy(model.lm_head(hidden[:, :-1][where]), labels[where])


def train_model(model, dense, tok, rng, seconds: float, save) -> int:
    """Two questions about each image; every eighth step words to copy, without an image."""
    tower = model.model.vision_tower
    slow = [*tower.parameters(), *dense.parameters()]
    rest = [*model.model.multi_modal_projector.parameters(),
            *model.model.language_model.parameters()]
    opt = torch.optim.AdamW([{"params": rest}, {"params": slow, "share": 0.3}],
                            weight_decay=0.02, betas=(0.9, 0.98))
    rate = Scheduler(opt, 2e-3, seconds)
    saved = time.time()
    while rate():
        if rate.step % 8 == 0:
            loss = suffix_loss(model, make_batch(
                tok, [(None, *text.copy_row(rng)) for _ in range(48)]), None)
            total = loss
        else:
            scenes, pixels, labels = sample_images(rng, 24)
            hidden = tower(pixels).last_hidden_state
            rows = [(True, *qa) for s in scenes for qa in text.questions(s, rng)[:2]]
            features = model.model.multi_modal_projector(hidden).repeat_interleave(2, 0)
            loss = suffix_loss(model, make_batch(tok, rows), features)
            total = loss + 0.3 * dense(hidden, labels)[0]
        opt.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(rest + slow, 1.0)
        opt.step()
        if rate.step % 200 in (0, 1):
            print(f"model {rate.step} loss {loss.item():.4f}", flush=True)
        if time.time() - saved > 300:
            save(model)
            saved = time.time()
    return rate.step


@torch.no_grad()
def answer(model, tok, images: list[np.ndarray], prompts: list[str], limit: int = 16) -> list[str]:
    """Greedy answers, one at a time: no padding, no cache, nothing to get wrong."""
    out = []
    for image, prompt in zip(images, prompts):
        ids = [tok.image] * PATCHES + [2] + tok(prompt + "\n")
        start = len(ids)
        while len(ids) - start < limit:
            types = torch.tensor([[0] * start + [1] * (len(ids) - start)])
            logits = model(input_ids=torch.tensor([ids]), token_type_ids=types,
                           attention_mask=torch.ones_like(types),
                           pixel_values=pixels_of([image])).logits
            ids.append(int(logits[0, -1].argmax()))
            if ids[-1] == 1:
                ids.pop()
                break
        out.append(tok.decode(ids[start:]))
    return out


def evaluate(model, tok, num: int = 400) -> dict[str, float]:
    """Held-out accuracy by task: scenes of a seed that training never uses."""
    rng = np.random.default_rng(SEED + 999)
    right: dict[str, list[bool]] = {}
    for _ in range(num):
        scene = text.sample_scene(rng)
        prompt, want = text.questions(scene, rng)[0]
        image = draw.draw(scene, IMAGE)[0]
        got = answer(model, tok, [image], [prompt])[0]
        right.setdefault(text.task_of(prompt), []).append(got == want)
    return {k: round(float(np.mean(v)), 4) for k, v in sorted(right.items())} | {
        "questions": num}


def save_model(model, tok: text.Tokenizer, out: Path) -> None:
    """Hugging Face files, bf16; the model in memory stays f32."""
    out.mkdir(parents=True, exist_ok=True)
    half = PaliGemmaForConditionalGeneration(model.config)
    half.load_state_dict(model.state_dict())
    half.to(torch.bfloat16).save_pretrained(out)
    tok.save(out)
    (out / "preprocessor_config.json").write_text(json.dumps({
        "do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "image_seq_length": PATCHES,
        "image_processor_type": "SiglipImageProcessor", "processor_class": "PaliGemmaProcessor",
        "resample": 3, "rescale_factor": 1 / 255, "size": {"height": IMAGE, "width": IMAGE},
    }, indent=2) + "\n")


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--out", type=Path, default=Path("share"))
    args.add_argument("--stage", default="all")
    args.add_argument("--minutes", type=float, default=80)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--resume", type=Path, help="a base to train on instead of starting anew")
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    torch.set_float32_matmul_precision("medium")  # bf16 products: several times faster here
    base = args.out / "tiny-shapes"
    tok = text.Tokenizer.make(SEED)
    if args.stage in ("all", "train"):
        rng = np.random.default_rng([SEED, 1] if args.resume else SEED)
        model = PaliGemmaForConditionalGeneration.from_pretrained(
            args.resume, dtype=torch.float32) if args.resume else (
            PaliGemmaForConditionalGeneration(make_config(tok)))
        model.set_attn_implementation("eager")  # the fastest one for so few tokens
        dense = DenseLabels()
        print("parameters", sum(p.numel() for p in model.parameters()), "vocabulary", tok.size)
        save_model(model, tok, base)
        began = time.time()
        train_tower(model, dense, rng, args.minutes * 60 * 0.3)
        steps = train_model(model, dense, tok, rng, args.minutes * 60 * 0.7,
                            lambda m: save_model(m, tok, base))
        save_model(model, tok, base)
        print("steps", steps, "minutes", round((time.time() - began) / 60, 1))
    if args.stage in ("all", "sample"):
        sample.write(args.out / "sample", SEED)
    if args.stage in ("all", "train", "check"):
        model = PaliGemmaForConditionalGeneration.from_pretrained(base, dtype=torch.float32).eval()
        torch.set_float32_matmul_precision("highest")
        print("held-out accuracy", json.dumps(evaluate(model, tok)))
    if args.stage in ("all", "check"):
        sample.check(args.out / "sample", base, tok, make_batch, answer)


if __name__ == "__main__":
    main()
