"""Makes a bundled base, share/tiny-shapes and its sisters, and share/sample, the sample document.

    python tools/dev/make_tiny_shapes.py [--family paligemma|qwen2-vl|mistral3] [--out share]
                                         [--stage all|train|sample|check] [--minutes 80]
                                         [--threads 1] [--resume BASE]

Models of about a million parameters, trained on drawn shapes, colours, digits and counts: the
first, a PaliGemma, from nothing; the others begin with what the first has learnt and their form can
hold. All images come from tiny_shapes_draw.py and all text from tiny_shapes_text.py: no font,
photograph or third-party data. Versions with which the files in the repository were made: torch
2.13.0, transformers 5.23.0, peft 0.21.2, tokenizers 0.23, Pillow 13, numpy 2.4. Seed 20261121. The
time is a limit in minutes of the processor, so that another machine takes another number of steps.

Stages: the vision tower on dense labels (what fills each patch), then the whole model on questions;
the sample document with held-out images; the check, which trains the document's adapter with PEFT
and prints answers before and after.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import tiny_shapes_draw as draw
import tiny_shapes_sample as sample
import tiny_shapes_text as text
from tiny_shapes_mistral3 import Mistral3
from tiny_shapes_paligemma import IMAGE, PATCH, PATCHES, PaliGemma
from tiny_shapes_qwen2_vl import Qwen2VL

SEED = 20261121
FAMILIES = {"paligemma": PaliGemma, "qwen2-vl": Qwen2VL, "mistral3": Mistral3}
POOL = 12000


class Scheduler:
    """Cosine over the processor's time, with a short warm-up in steps."""

    def __init__(self, opt, peak: float, seconds: float):
        self.opt, self.peak, self.seconds, self.step = opt, peak, seconds, 0
        self.t0 = time.process_time()

    def __call__(self) -> bool:
        """Sets the rate of the next step; False when the time is over."""
        self.step += 1
        done = (time.process_time() - self.t0) / self.seconds
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
    def labels(scene: draw.Scene, owner: np.ndarray) -> np.ndarray:
        """[PATCHES, 3]; 0 is the background."""
        labels = np.zeros((PATCHES, 3), np.int64)
        table = np.array([(0, 0)] + [(draw.KINDS.index(t.kind) + 1,
                                      draw.COLOUR_NAMES.index(t.colour) + 1)
                                     for t in scene.things])
        labels[:, :2] = table[owner.reshape(-1)]
        side = IMAGE // PATCH
        for t in scene.things:
            labels[int(t.y * side) * side + int(t.x * side), 2] = 1
        return labels

    def forward(self, seen: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, float]:
        """The loss, and the share of object patches whose kind is right."""
        parts = self.heads(seen).split(self.sizes, -1)
        loss = sum(nn.functional.cross_entropy(p.flatten(0, 1), labels[..., i].flatten())
                   for i, p in enumerate(parts))
        kind = labels[..., 0]
        return loss, (parts[0].argmax(-1) == kind)[kind > 0].float().mean().item()


class Scenes:
    """Scenes with images and dense labels. Drawing takes a third of a step's time, so that only
    a third of each batch is new and the rest are drawn from those of before."""

    def __init__(self, rng: np.random.Generator):
        self.rng, self.pool = rng, []

    def new(self) -> tuple[draw.Scene, np.ndarray, np.ndarray]:
        """Every other single shape is drawn again: one to four things are about as frequent."""
        while True:
            scene = text.sample_scene(self.rng)
            shape = scene.things[0].kind in draw.SHAPES
            if not shape or len(scene.things) > 1 or self.rng.random() < 0.5:
                image, owner = draw.draw(scene, IMAGE, PATCH)
                return scene, image, DenseLabels.labels(scene, owner)

    def batch(self, num: int) -> tuple[list[draw.Scene], list[np.ndarray], torch.Tensor]:
        fresh = [self.new() for _ in range(num if len(self.pool) < POOL // 4 else num // 3)]
        old = [self.pool[i] for i in self.rng.integers(len(self.pool), size=num - len(fresh))
               ] if len(fresh) < num else []
        for made in fresh:
            if len(self.pool) < POOL:
                self.pool.append(made)
            else:
                self.pool[int(self.rng.integers(POOL))] = made
        scenes, images, labels = zip(*fresh, *old)
        return [*scenes], [*images], torch.from_numpy(np.stack(labels))


def train_tower(family, model, dense, scenes: Scenes, seconds: float) -> int:
    params = family.tower_parameters(model)
    opt = torch.optim.AdamW([*params, *dense.parameters()], weight_decay=0.05)
    rate = Scheduler(opt, 2e-3, seconds)
    while rate():
        _, images, labels = scenes.batch(48)
        seen, taught = family.learn_to_see(model, images)
        loss, right = dense(seen, labels)
        opt.zero_grad()
        (loss + taught).backward()
        nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        if rate.step % 200 == 0:
            print(f"tower {rate.step} loss {loss.item():.3f} kind {right:.3f}", flush=True)
    return rate.step


def train_model(family, model, dense, scenes: Scenes, seconds: float, save) -> int:
    """Some questions about each image; every eighth step words to copy, without an image."""
    rng = scenes.rng
    many, some = family.images_a_step, family.questions_an_image
    slow = [*family.tower_parameters(model), *dense.parameters()]
    known = {id(p) for p in slow}
    rest = [p for p in model.parameters() if id(p) not in known]
    opt = torch.optim.AdamW([{"params": rest}, {"params": slow, "share": 0.3}],
                            weight_decay=0.02, betas=(0.9, 0.98))
    rate = Scheduler(opt, 2e-3, seconds)
    saved = time.process_time()
    while rate():
        if rate.step % 8 == 0:
            loss = family.loss(model, [[text.copy_row(rng)] for _ in range(48)], None)
            total = loss
        else:
            drawn, images, labels = scenes.batch(many)
            seen = family.see(model, images)
            rows = [text.questions(s, rng, family.caption) for s in drawn]
            loss = family.loss(model, [(row + row)[:some] for row in rows], seen)
            total = loss + 0.3 * dense(seen, labels)[0]
        opt.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(rest + slow, 1.0)
        opt.step()
        if rate.step % 200 in (0, 1):
            print(f"model {rate.step} loss {loss.item():.4f}", flush=True)
        if time.process_time() - saved > 120:
            save(model)
            saved = time.process_time()
    return rate.step


def evaluate(family, model, num: int = 400) -> dict[str, float]:
    """Held-out accuracy by task: scenes of a seed that training never uses."""
    rng = np.random.default_rng(SEED + 999)
    right: dict[str, list[bool]] = {}
    for _ in range(num):
        scene = text.sample_scene(rng)
        prompt, want = text.questions(scene, rng, family.caption)[0]
        image = draw.draw(scene, IMAGE)[0]
        got = family.answer(model, image, prompt)
        right.setdefault(text.task_of(prompt), []).append(got == want)
    return {k: round(float(np.mean(v)), 4) for k, v in sorted(right.items())} | {
        "questions": num}


def save_model(family, model, out: Path) -> None:
    """Hugging Face files, bf16; the model in memory stays f32."""
    out.mkdir(parents=True, exist_ok=True)
    half = family.model_class(model.config)
    half.load_state_dict(model.state_dict())
    half.to(torch.bfloat16).save_pretrained(out)
    family.tok.save(out)
    family.save_settings(out)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--family", choices=FAMILIES, default="paligemma")
    args.add_argument("--out", type=Path, default=Path("share"))
    args.add_argument("--stage", choices=["all", "train", "sample", "check"], default="all")
    args.add_argument("--minutes", type=float, default=80)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--resume", type=Path, help="a base to train on instead of starting anew")
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    torch.set_float32_matmul_precision("medium")  # bf16 products: several times faster here
    family = FAMILIES[args.family](SEED)
    base = args.out / family.base
    if args.stage in ("all", "train"):
        scenes = Scenes(np.random.default_rng([SEED, 1] if args.resume else SEED))
        model = family.model_class.from_pretrained(args.resume, dtype=torch.float32) if (
            args.resume) else family.new_model(args.out)
        model.set_attn_implementation("eager")  # the fastest one for so few tokens
        dense = DenseLabels()
        print("parameters", sum(p.numel() for p in model.parameters()), "vocabulary",
              family.tok.size)
        save_model(family, model, base)
        began = time.process_time()
        seconds = args.minutes * 60
        first = seconds * family.tower_share
        steps = [train_tower(family, model, dense, scenes, first),
                 train_model(family, model, dense, scenes, seconds - first,
                             lambda m: save_model(family, m, base))]
        save_model(family, model, base)
        print("steps", steps, "minutes", round((time.process_time() - began) / 60, 1))
    if args.stage in ("all", "sample"):
        sample.write(args.out / "sample", SEED)
    if args.stage in ("all", "train", "check"):
        model = family.model_class.from_pretrained(base, dtype=torch.float32).eval()
        torch.set_float32_matmul_precision("highest")
        print("held-out accuracy", json.dumps(evaluate(family, model)))
    if args.stage in ("all", "check"):
        sample.check(args.out / "sample", base, family)


if __name__ == "__main__":
    main()
