#!/usr/bin/env python3
"""Compares the dlm program with transformers and PEFT on tiny checkpoints of a family.

    compare_models.py --dlm PROGRAM --family FAMILY [--backend cpu] [--random N] [--seed S]
                      [--keep DIR] [CASE ...]

Runs the family's cases of tests/golden/models (or the named ones), then N new ones with random
sizes, types, shards, tensor names, adapters and schedules (made by make_models_goldens.py, seeds
S, S + 1, ...; a failure prints its seed). For each case, at fp32 on the backend:
    tokenize   the whole input has the processor's ids
    score      log-probabilities within 1e-4; gradients within 1e-3 (norm of the difference over
               norm, tensor by tensor, under PEFT's names)
    prompt     the greedy answer is the same text
    train      20 losses within 1e-3, gradient norms and rates; the same rows; the adapter that
               comes out loads in PEFT without a missing or unexpected key, with our loss
A case with a base in 4 or 8 bits is compared with one whose weights are dequantised.
Needs torch, transformers and peft as make_models_goldens.py does. Exits 1 if anything differs.
"""
import argparse
import json
import os
import pathlib
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

import families
from make_models_goldens import OUT, make_case
from models_reference import Reference, Row, label_logprobs

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
        self.form = []  # of the base, where no document says it

    def run(self, *args, compute=True):
        command = [self.path, "--home", str(self.home), *map(str, args)]
        if compute:
            command += ["--backend", self.backend, "--precision", "fp32"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")
        return done

    def score(self, base, prompt, target, images=(), adapter=None, gradients=None):
        args = ["score", "--base", f"dir:{base}", "--prompt", prompt, "--target", target, "--json"]
        args += self.form
        args += image_args(images)
        args += ["--adapter", adapter] if adapter else []
        args += ["--gradients", gradients] if gradients else []
        return json.loads(self.run(*args).stdout)


def images_of(folder, member):
    """Paths of what expected.json says: null, a name, or several."""
    return [folder / name for name in ([member] if isinstance(member, str) else member or [])]


def image_args(images):
    return [arg for image in images for arg in ("--image", image)]


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
        images = images_of(folder, s["image"])
        adapter = s["adapter"] and folder / s["adapter"]
        file = tmp / "gradients.safetensors" if s["gradients"] else None
        got = program.score(folder / "base", s["prompt"], s["target"], images, adapter, file)
        report.check(got["ids"] == s["ids"], f"{what}: ids")
        diff = max(abs(a - b) for a, b in zip(got["logprobs"], s["logprobs"]))
        report.close("logprob", diff, LOGPROB_TOLERANCE, what)
        report.close("loss", abs(got["loss"] - s["loss"]), LOGPROB_TOLERANCE, what)
        if file:
            compare_gradients(report, what, load_file(file), load_file(folder / s["gradients"]))
        args = ["tokenize", "--base", f"dir:{folder / 'base'}", "--json", s["prompt"]]
        args += image_args(images)
        ids = json.loads(program.run(*args, compute=False).stdout)["ids"]
        report.check(ids + s["ids"] == s["input_ids"], f"{what}: ids of the input")


def compare_generations(report, program, folder, expected):
    for g in expected["generations"]:
        args = ["prompt", "--base", f"dir:{folder / 'base'}", "--temp", "0", "--max-tokens",
                len(g["ids"]), *program.form]
        args += image_args(images_of(folder, g["image"]))
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


def peft_loss(report, what, reference, adapter, row):
    """Loss of one row in PEFT with our adapter, after a check of its keys."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(reference.model(), adapter).eval()
        result = model.load_adapter(adapter, adapter_name="again")
    for w in caught:
        report.check("adapter key" not in str(w.message), f"{what}: PEFT says {w.message}")
    missing = [k for k in result.missing_keys if ".again." in k or "lora" in k]
    report.check(not missing, f"{what}: PEFT misses {missing[:3]}")
    report.check(not result.unexpected_keys, f"{what}: PEFT finds {result.unexpected_keys[:3]}")
    num = sum(p.numel() for n, p in model.named_parameters() if ".default." in n)
    ours = sum(t.numel() for t in load_file(adapter / "adapter_model.safetensors").values())
    report.check(num == ours, f"{what}: PEFT adapts {num} parameters, the file has {ours}")
    inputs, labels = reference.encoder.row(row)
    with torch.no_grad():
        return -label_logprobs(model, inputs, labels).mean().item()


def compare_training(report, program, reference, folder, expected, tmp):
    row = Row(reference.family.CAPTION, "a red star", (folder / "images" / "one.png",))
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
        ours = program.score(folder / "base", row.question, row.answer, row.images, adapter)["loss"]
        theirs = peft_loss(report, what, reference, adapter, row)
        report.close("loss in PEFT", abs(ours - theirs), LOGPROB_TOLERANCE, what)


def compare_case(report, program, family, folder):
    expected = json.loads((folder / "expected.json").read_text())
    quant = expected.get("quant")
    reference = Reference(family, folder / "base", quant)
    program.form = ["--quant", quant] if quant and quant != "bnb" else []
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        program.home = tmp / "home"
        for name, call in (
                ("score", lambda: compare_scores(report, program, folder, expected, tmp)),
                ("prompt", lambda: compare_generations(report, program, folder, expected)),
                ("train", lambda: compare_training(report, program, reference, folder, expected,
                                                   tmp))):
            try:
                call()
            except (RuntimeError, subprocess.TimeoutExpired, OSError, ValueError, KeyError,
                    StopIteration) as e:
                report.check(False, f"{folder.name} {name}: {type(e).__name__}: {e}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dlm", required=True)
    parser.add_argument("--family", required=True, choices=families.NAMES)
    parser.add_argument("--backend", default="cpu", choices=["cpu", "opencl", "vulkan"])
    parser.add_argument("--random", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the random cases")
    parser.add_argument("cases", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    report = Report()
    program = Program(os.path.abspath(args.dlm), args.backend, None)
    family = families.family(args.family)
    names = args.cases or [spec.name for spec in family.SPECS]
    folders = [(OUT / name, None) for name in names]
    made = args.keep or pathlib.Path(tempfile.mkdtemp())
    folders += [(made / f"random_{s}", s) for s in range(args.seed, args.seed + args.random)]
    for folder, seed in folders:
        if seed is not None and not (folder / "expected.json").exists():
            try:
                make_case(family, folder, family.random_spec(seed))
            except (AssertionError, SystemExit) as e:  # of the reference itself: no comparison
                print(f"{folder.name}: left out, {e}", flush=True)
                continue
        before = report.failed
        compare_case(report, program, family, folder)
        print(f"{folder.name} on {args.backend}: {report.failed - before} failed", flush=True)
    if not args.keep:
        shutil.rmtree(made)
    for kind, diff in report.worst.items():
        print(f"largest difference, {kind}: {diff:.2e}")
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed or not report.passed else 0)


if __name__ == "__main__":
    main()
