"""The sample document: two emblems that the base was never shown, with images to learn from, images
held out, and the proof, with PEFT, that they can be learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

import tiny_shapes_draw as draw

NAMES = ["zorbix", "wuggle"]
QUESTION = "what is this emblem called?"
NUM_TRAIN, NUM_HELD_OUT = 8, 3
PIXELS = 84

HEAD = """---
dlm_id: 01KAJ2T0SHAPESEMB1EMSZQRBX
dlm_version: 15
base_model: tiny-shapes
training:
  lora_r: 16
  lora_alpha: 32
  lora_dropout: 0.0
  micro_batch_size: 8
  grad_accum: 1
  learning_rate: 0.003
  num_epochs: 30
  lr_scheduler: cosine
  warmup_ratio: 0.05
  seed: 7
---

# Two emblems

A zorbix is a blue ring around a yellow cross. A wuggle is a green square with a white star in it.
The base model has seen rings, crosses, squares and stars, but neither of these, nor their names.
"""


def emblem(name: str, rng: np.random.Generator) -> np.ndarray:
    parts = [("ring", "blue", 1.0), ("cross", "yellow", 0.42)] if name == "zorbix" else [
        ("square", "green", 1.0), ("star", "white", 0.55)]
    r = rng.uniform(0.30, 0.42)
    x, y = rng.uniform(r, 1 - r, 2)
    things = []
    for kind, colour, share in parts:
        thing = draw.make_thing(kind, colour, float(x), float(y), float(r * share), rng)
        thing.angle *= 0.5
        things.append(thing)
    ground = draw.sample_ground(rng, [t.rgb for t in things[:1]])
    return draw.draw(draw.Scene(things, ground), PIXELS)[0]


def write(out: Path, seed: int) -> None:
    rng = np.random.default_rng(seed + 5)
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / "heldout").mkdir(exist_ok=True)
    body = HEAD
    for i in range(NUM_TRAIN):
        for name in NAMES:
            path = f"images/{name}-{i + 1}.png"
            Image.fromarray(emblem(name, rng)).save(out / path, optimize=True)
            body += (f'\n::image path="{path}" alt="{name}"::\na {name}\n'
                     f"\n::instruction::\n### Q\n{QUESTION}\n### A\n{name}\n")
    questions = "# image, question, right answer: images that the document does not show\n"
    for i in range(NUM_HELD_OUT):
        for name in NAMES:
            path = f"heldout/{name}-{i + 1}.png"
            Image.fromarray(emblem(name, rng)).save(out / path, optimize=True)
            questions += f"{path}\t{QUESTION}\t{name}\n"
    (out / "questions.tsv").write_text(questions)
    (out / "sample.dlm").write_text(body)


def load(path: Path, size: int = 56) -> np.ndarray:
    image = Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image)


def check(out: Path, base: Path, family) -> None:
    """Trains the document's adapter with PEFT and prints the answers before and after."""
    from peft import LoraConfig, get_peft_model

    def answers() -> dict[str, str]:
        return {p.name: family.answer(model, load(p), QUESTION) for p in held}

    held = sorted((out / "heldout").glob("*.png"))
    model = family.model_class.from_pretrained(base, dtype=torch.float32).eval()
    print("before", answers())
    torch.manual_seed(7)
    model = get_peft_model(model, LoraConfig(
        r=16, lora_alpha=32, target_modules=r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj)"))
    rows = []
    for name in NAMES:
        for path in sorted((out / "images").glob(f"{name}-*.png")):
            rows += [(load(path), family.caption, f"a {name}"), (load(path), QUESTION, name)]
    params = [p for p in model.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=3e-3, weight_decay=0)
    rng = np.random.default_rng(7)
    epochs, steps = 30, 0
    total = epochs * (len(rows) // 8)
    for _ in range(epochs):
        order = rng.permutation(len(rows))
        for at in range(0, len(rows), 8):
            for g in opt.param_groups:
                g["lr"] = 3e-3 * 0.5 * (1 + np.cos(np.pi * steps / total))
            loss = model(**family.row_batch([rows[i] for i in order[at:at + 8]])).loss
            opt.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            opt.step()
            steps += 1
    model.eval()
    print("steps", steps, "loss", round(loss.item(), 4))
    print("after", answers())
