#!/usr/bin/env python3
"""Compares the dlm program with transformers and PEFT on tiny PaliGemma checkpoints.

    compare_paligemma.py --dlm PROGRAM [--backend cpu] [--random N] [--seed S] [--keep DIR]
                         [CASE ...]

Runs the committed cases of tests/golden/models (or the named ones), then N new ones with random
sizes, types, shards, tensor names, adapters and schedules (made by make_paligemma_goldens.py, seeds
S, S + 1, ...; a failure prints its seed). For each case, at fp32 on the backend:
    tokenize   the whole input has the processor's ids
    score      log-probabilities within 1e-4; gradients within 1e-3 (norm of the difference over
               norm, tensor by tensor, under PEFT's names)
    prompt     the greedy answer is the same text
    train      20 losses within 1e-3, gradient norms and rates; the same rows; the adapter that
               comes out loads in PEFT without a missing or unexpected key, with our loss
Needs torch, transformers and peft as make_paligemma_goldens.py does. Exits 1 if anything differs.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore", category=FutureWarning)

import torch
from peft import PeftModel
from safetensors.torch import load_file

from make_paligemma_goldens import OUT, Spec, make_case, text_shape, vision_shape
from paligemma_reference import Encoder, load_model, target_logprobs

LOGPROB_TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-3
LOSS_TOLERANCE = 1e-3


class Report:
    """Counts checks and keeps the worst difference of each kind."""

    def __init__(self):
        self.passed, self.failed, self.worst = 0, 0, {}

    def check(self, ok, what):
        self.passed += ok
        self.failed += not ok
        if not ok:
            print(f"FAIL {what}", flush=True)

    def close(self, kind, diff, tolerance, what):
        if diff > self.worst.get(kind, -1.0):
            self.worst[kind] = diff
        self.check(diff <= tolerance, f"{what}: {kind} differs by {diff:.2e}")  # NaN fails


class Program:
    def __init__(self, path, backend, home):
        self.path, self.backend, self.home = path, backend, home

    def run(self, *args, compute=True):
        command = [self.path, "--home", str(self.home), *map(str, args)]
        if compute:
            command += ["--backend", self.backend, "--precision", "fp32"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")
        return done

    def score(self, base, prompt, target, image=None, adapter=None, gradients=None):
        args = ["score", "--base", f"dir:{base}", "--prompt", prompt, "--target", target, "--json"]
        args += ["--image", image] if image else []
        args += ["--adapter", adapter] if adapter else []
        args += ["--gradients", gradients] if gradients else []
        return json.loads(self.run(*args).stdout)


def compare_gradients(report, what, got, want):
    report.check(set(want) <= set(got), f"{what}: missing {sorted(set(want) - set(got))}")
    for name, g in got.items():
        if name not in want:  # a module that this row does not reach
            report.check(not g.any(), f"{what}: {name} is none of PEFT's, and not 0")
            continue
        norm = want[name].double().norm().item()
        diff = (g.double() - want[name].double()).norm().item() / (norm or 1.0)
        report.close("gradient", diff, GRADIENT_TOLERANCE, f"{what} {name}")


def compare_scores(report, program, folder, expected, tmp):
    for s in expected["scores"]:
        what = f"score {s['prompt']!r} {s['adapter']}"
        image = s["image"] and folder / s["image"]
        adapter = s["adapter"] and folder / s["adapter"]
        file = tmp / "gradients.safetensors" if s["gradients"] else None
        got = program.score(folder / "base", s["prompt"], s["target"], image, adapter, file)
        report.check(got["ids"] == s["ids"], f"{what}: ids")
        diff = max(abs(a - b) for a, b in zip(got["logprobs"], s["logprobs"]))
        report.close("logprob", diff, LOGPROB_TOLERANCE, what)
        report.close("loss", abs(got["loss"] - s["loss"]), LOGPROB_TOLERANCE, what)
        if file:
            compare_gradients(report, what, load_file(file), load_file(folder / s["gradients"]))
        args = ["tokenize", "--base", f"dir:{folder / 'base'}", "--json", s["prompt"]]
        args += ["--image", image] if image else []
        ids = json.loads(program.run(*args, compute=False).stdout)["ids"]
        report.check(ids + s["ids"] == s["input_ids"], f"{what}: ids of the input")


def compare_generations(report, program, folder, expected):
    for g in expected["generations"]:
        args = ["prompt", "--base", f"dir:{folder / 'base'}", "--temp", "0", "--max-tokens",
                len(g["ids"])]
        args += ["--image", folder / g["image"]] if g["image"] else []
        args += ["--adapter", folder / g["adapter"]] if g["adapter"] else []
        text = program.run(*args, g["prompt"]).stdout
        report.check(text == g["text"] + "\n",
                     f"prompt {g['prompt']!r} {g['adapter']}: got {text!r}, want {g['text']!r}")


def read_log(stderr):
    path = next(line.split(":", 1)[1].strip() for line in stderr.splitlines()
                if line.startswith("log:"))
    lines = [json.loads(line) for line in open(path)]
    return [line for line in lines if line["type"] == "step"]


def compare_trace(report, what, steps, want, rows):
    report.check(len(steps) == len(want["losses"]), f"{what}: {len(steps)} steps")
    for i, step in enumerate(steps[:len(want["losses"])]):
        report.close("trace loss", abs(step["loss"] - want["losses"][i]), LOSS_TOLERANCE,
                     f"{what} step {i + 1}")
        norm = want["grad_norms"][i]
        report.close("trace grad_norm", abs(step["grad_norm"] - norm) / norm, 1e-2,
                     f"{what} step {i + 1}")
        lr = want["lrs"][i]
        report.check(abs(step["lr"] - lr) <= 1e-6 * lr, f"{what} step {i + 1}: lr {step['lr']}")
        report.check(step["num_items"] == want["num_items"], f"{what} step {i + 1}: num_items")
        report.check(sorted(step["rows"]) == sorted(rows), f"{what} step {i + 1}: {step['rows']}")


def peft_loss(report, what, folder, adapter, encoder, row):
    """Loss of one row in PEFT with our adapter, after a check of its keys."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(load_model(folder / "base"), adapter).eval()
        result = model.load_adapter(adapter, adapter_name="again")
    for w in caught:
        report.check("adapter key" not in str(w.message), f"{what}: PEFT says {w.message}")
    missing = [k for k in result.missing_keys if ".again." in k or "lora" in k]
    report.check(not missing, f"{what}: PEFT misses {missing[:3]}")
    report.check(not result.unexpected_keys, f"{what}: PEFT finds {result.unexpected_keys[:3]}")
    num = sum(p.numel() for n, p in model.named_parameters() if ".default." in n)
    ours = sum(t.numel() for t in load_file(adapter / "adapter_model.safetensors").values())
    report.check(num == ours, f"{what}: PEFT adapts {num} parameters, the file has {ours}")
    inputs, target = encoder.row(*row)
    with torch.no_grad():
        return -target_logprobs(model, inputs, target).mean().item()


def compare_training(report, program, folder, expected, tmp):
    encoder = Encoder(folder / "base")
    image = folder / "images" / "one.png"
    runs = [(want, ["--init-adapter", folder / want["adapter"]]) for want in expected["training"]]
    runs.append((None, ["--max-steps", 3]))  # of its own, with what the document says
    runs.append((None, ["--max-steps", 1, "--init-adapter", folder / "adapter_wide",
                        "--adapter-names", "v4"]))
    for want, args in runs:
        what = f"train {' '.join(map(str, args))}"
        program.home = pathlib.Path(tempfile.mkdtemp(dir=tmp))
        done = program.run("train", folder / "doc.dlm", *args)
        if want:
            compare_trace(report, what, read_log(done.stderr), want, expected["rows"])
        adapter = pathlib.Path(next(line.split(":", 1)[1].strip()
                                    for line in done.stderr.splitlines()
                                    if line.startswith("adapter:")))
        ours = program.score(folder / "base", "caption en", "a red star", image, adapter)["loss"]
        theirs = peft_loss(report, what, folder, adapter, encoder,
                           ("caption en", "a red star", image))
        report.close("loss in PEFT", abs(ours - theirs), LOGPROB_TOLERANCE, what)


def compare_case(report, program, folder):
    expected = json.loads((folder / "expected.json").read_text())
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        program.home = tmp / "home"
        for name, call in (
                ("score", lambda: compare_scores(report, program, folder, expected, tmp)),
                ("prompt", lambda: compare_generations(report, program, folder, expected)),
                ("train", lambda: compare_training(report, program, folder, expected, tmp))):
            try:
                call()
            except (RuntimeError, subprocess.TimeoutExpired, OSError, ValueError, KeyError,
                    StopIteration) as e:
                report.check(False, f"{folder.name} {name}: {type(e).__name__}: {e}")


def random_adapter(rng):
    options = {"r": rng.randint(1, 9), "lora_alpha": rng.randint(1, 20),
               "use_rslora": rng.random() < 0.3}
    if rng.random() < 0.4:
        options["rank_pattern"] = {rng.choice(["q_proj", "layers.0.self_attn.v_proj"]): 3}
        options["alpha_pattern"] = {rng.choice(["v_proj", "o_proj"]): 7}
    return options


def random_spec(seed):
    rng = random.Random(seed)
    heads = rng.choice([1, 2, 3, 4, 6, 8])
    kv_heads = rng.choice([k for k in range(1, heads + 1) if heads % k == 0])
    vision_heads = rng.choice([1, 2, 3, 4])
    patch = rng.choice([7, 14, 14, 16])
    step = rng.choice([1, 4, 4, 8])
    size = lambda low, high: rng.randint(low // step, high // step) * step
    wide = random_adapter(rng)
    if rng.random() < 0.5:
        wide["target_modules"] = rng.sample(
            ["q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "fc1", "fc2", "linear",
             "gate_proj", "up_proj", "down_proj"], 4)
    return Spec(
        f"random_{seed}", seed, rng.choice([torch.float32, torch.bfloat16, torch.float16]),
        rng.randint(1, 4), rng.choice(["old", "new", "v5"]), rng.random() < 0.5,
        text_shape(size(40, 160), size(64, 240), rng.randint(1, 3), heads, kv_heads,
                   2 * rng.randint(4, 24)),
        vision_shape(vision_heads * rng.randint(8, 30), size(48, 200), rng.randint(1, 3),
                     vision_heads),
        patch * rng.randint(1, 5), patch,
        {"learning_rate": rng.choice([2e-4, 5e-4, 1e-3, 2e-3]),
         "lr_scheduler": rng.choice(["constant", "linear", "cosine"]),
         "warmup_ratio": rng.choice([0.0, 0.1, 0.25]), "micro_batch_size": rng.randint(1, 3),
         "grad_accum": rng.randint(1, 3), "gradient_checkpointing": rng.random() < 0.5},
        random_adapter(rng), wide, num_pad_rows=rng.choice([0, 0, 5, 64]),
        num_held_out=rng.randint(0, 1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dlm", required=True)
    parser.add_argument("--backend", default="cpu", choices=["cpu", "opencl", "vulkan"])
    parser.add_argument("--random", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the random cases")
    parser.add_argument("cases", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    report = Report()
    program = Program(os.path.abspath(args.dlm), args.backend, None)
    names = args.cases or sorted(p.name for p in OUT.iterdir() if p.is_dir())
    folders = [(OUT / name, None) for name in names]
    made = args.keep or pathlib.Path(tempfile.mkdtemp())
    folders += [(made / f"random_{s}", s) for s in range(args.seed, args.seed + args.random)]
    for folder, seed in folders:
        if seed is not None and not (folder / "expected.json").exists():
            try:
                make_case(folder, random_spec(seed))
            except (AssertionError, SystemExit) as e:  # of the reference itself: no comparison
                print(f"{folder.name}: left out, {e}", flush=True)
                continue
        before = report.failed
        compare_case(report, program, folder)
        print(f"{folder.name} on {args.backend}: {report.failed - before} failed", flush=True)
    if not args.keep:
        shutil.rmtree(made)
    for kind, diff in report.worst.items():
        print(f"largest difference, {kind}: {diff:.2e}")
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed or not report.passed else 0)


if __name__ == "__main__":
    main()
