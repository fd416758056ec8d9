#!/usr/bin/env python3
"""Learning rates of transformers' schedulers, for tests/train/test_schedule.c.

    python3 tools/dev/make_train_goldens.py tests/golden/train/schedules.json

Each case lists the rate of every optimiser step; the number of warm-up steps is the Trainer's,
ceil(steps * warmup_ratio). Made with torch 2.13.0 and transformers 5.23.0; there is no randomness.
"""
import json
import math
import os
import sys

import torch
import transformers

CASES = [  # kind, rate, steps, warm-up ratio
    ("cosine", 2e-4, 20, 0.1),
    ("cosine", 5e-4, 7, 0.0),
    ("cosine", 1e-3, 33, 0.25),
    ("cosine", 1e-3, 3, 1.0),
    ("linear", 2e-4, 20, 0.1),
    ("linear", 3e-5, 11, 0.34),
    ("linear", 1e-3, 1, 0.0),
    ("linear", 1e-3, 1, 0.5),
    ("constant", 2e-4, 12, 0.3),
    ("constant", 1e-4, 5, 0.0),
]
NAMES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def rates(kind, rate, steps, ratio):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    scheduler = transformers.get_scheduler(
        NAMES[kind], optimizer, num_warmup_steps=math.ceil(steps * ratio), num_training_steps=steps)
    out = []
    for _ in range(steps):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return out


def main():
    cases = [{"kind": k, "lr": lr, "steps": n, "warmup_ratio": w, "lrs": rates(k, lr, n, w)}
             for k, lr, n, w in CASES]
    data = {"versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "cases": cases}
    os.makedirs(os.path.dirname(sys.argv[1]) or ".", exist_ok=True)
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        json.dump(data, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
