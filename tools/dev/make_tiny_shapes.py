"""Makes share/tiny-shapes, the bundled base, and share/sample, the sample document.

    python tools/dev/make_tiny_shapes.py [--out share] [--stage all|tokenizer|train|sample|check]
                                         [--minutes 40] [--threads 1]
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
            g["lr"] = rate + self.peak * 0.01
        return done < 1


def train_tower(model, rng, seconds: float) -> None:
    """Dense labels: kind and colour of what fills each patch. Gives the tower its eyes quickly."""
    tower = model.model.vision_tower
    heads = nn.Linear(96, len(draw.KINDS) + 1 + len(draw.COLOUR_NAMES) + 1)
    opt = torch.optim.AdamW([*tower.parameters(), *heads.parameters()], weight_decay=0.05)
    rate = Scheduler(opt, 2e-3, seconds)
    kinds = len(draw.KINDS) + 1
    while rate():
        scenes = [text.sample_scene(rng) for _ in range(64)]
        drawn = [draw.draw(s, IMAGE, PATCH) for s in scenes]
        kind = torch.zeros(64, PATCHES, dtype=torch.long)
        colour = torch.zeros(64, PATCHES, dtype=torch.long)
        for i, (scene, (_, owner)) in enumerate(zip(scenes, drawn)):
            table = [(0, 0)] + [(draw.KINDS.index(t.kind) + 1,
                                 draw.COLOUR_NAMES.index(t.colour) + 1) for t in scene.things]
            labels = torch.tensor(table)[torch.from_numpy(owner.reshape(-1))]
            kind[i], colour[i] = labels[:, 0], labels[:, 1]
        out = heads(tower(pixels_of([d[0] for d in drawn])).last_hidden_state)
        loss = (nn.functional.cross_entropy(out[..., :kinds].flatten(0, 1), kind.flatten())
                + nn.functional.cross_entropy(out[..., kinds:].flatten(0, 1), colour.flatten()))
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        opt.step()
        if rate.step % 100 == 0:
            right = (out[..., :kinds].argmax(-1) == kind)[kind > 0].float().mean()
            print(f"tower {rate.step} loss {loss.item():.3f} kind {right:.3f}", flush=True)


def make_batch(tok: text.Tokenizer, rows: list[tuple[np.ndarray | None, str, str]]) -> dict:
    """Prefix-LM rows as PaliGemmaProcessor makes them: images, <bos>, prefix, newline | suffix."""
    ids, types, images = [], [], []
    for image, prefix, suffix in rows:
        head = ([tok.image] * PATCHES if image is not None else []) + [2] + tok(prefix + "\n")
        tail = tok(suffix) + [1]
        ids.append(head + tail)
        types.append([0] * len(head) + [1] * len(tail))
        if image is not None:
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


def train_model(model, tok, rng, seconds: float, save) -> int:
    opt = torch.optim.AdamW(model.parameters(), weight_decay=0.02, betas=(0.9, 0.98))
    rate = Scheduler(opt, 2e-3, seconds)
    saved = time.time()
    while rate():
        if rate.step % 8 == 0:  # words without images: copying keeps new words within reach
            rows = [(None, *text.copy_row(rng)) for _ in range(48)]
        else:
            rows = []
            for _ in range(24):
                scene = text.sample_scene(rng)
                image = draw.draw(scene, IMAGE)[0]
                rows += [(image, *qa) for qa in text.questions(scene, rng)[:2]]
        loss = model(**make_batch(tok, rows)).loss
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        if rate.step % 100 == 0:
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
    args.add_argument("--minutes", type=float, default=40)
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
        print("parameters", sum(p.numel() for p in model.parameters()), "vocabulary", tok.size)
        save_model(model, tok, base)
        began = time.time()
        if not args.resume:
            train_tower(model, rng, args.minutes * 60 * 0.35)
        steps = train_model(model, tok, rng, args.minutes * 60 * (1 if args.resume else 0.65),
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
