#!/usr/bin/env python3
"""How far the 16-bit policies are from exact: log-probabilities of the cases of tests/golden/models
under bf16 and fp16, beside what transformers says in f32, as a table with torch's own error.

    compare_precision.py --run NAME=COMMAND [--run ...] [--family FAMILY ...]

COMMAND is the dlm program with the options of a device ("dlm score" wants them behind it), such as
--run 'cpu=build/tools/dlm --backend cpu'. The error of a policy is the root of the mean square over
every learned token of every score of a family, with and without adapters. torch's is that of the
model loaded in bf16 (f16) with eager attention and its adapter in f32, as PEFT has it: the logits
are rounded, the softmax behind them is f32. A policy's error may be 1.5 times torch's in bf16.

Needs torch, transformers and peft as make_models_goldens.py does. Exits 1 if an error is larger.
"""
import argparse
import json
import math
import pathlib
import shlex
import subprocess
import sys
import tempfile

import torch
from peft import PeftModel

import families
from compare_models import image_args, images_of
from make_models_goldens import OUT
from models_reference import Reference, Row

MOST = 1.5
POLICIES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def torch_logprobs(reference, adapter, score, folder, dtype):
    model = reference.family.MODEL.from_pretrained(reference.base, dtype=dtype,
                                                   attn_implementation="eager")
    if adapter:
        model = PeftModel.from_pretrained(model, folder / adapter)
    row = Row(score["prompt"], score["target"], tuple(images_of(folder, score["image"])))
    inputs, labels = reference.encoder.row(row)
    at = torch.tensor(labels).nonzero()[:, 0]
    inputs = {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    with torch.no_grad():
        logits = model.eval()(**inputs, use_cache=False).logits[0]
    logprobs = torch.log_softmax(logits[at - 1].float(), -1)
    return logprobs.gather(1, inputs["input_ids"][0, at][:, None])[:, 0].tolist()


def dlm_logprobs(command, home, folder, score, policy):
    program, *options = shlex.split(command)
    args = [program, "--home", home, "-q", "score", "--base", f"dir:{folder / 'base'}", "--prompt",
            score["prompt"], "--target", score["target"], "--json", "--precision", policy, *options]
    args += image_args(images_of(folder, score["image"]))
    args += ["--adapter", folder / score["adapter"]] if score["adapter"] else []
    out = subprocess.run(list(map(str, args)), stdout=subprocess.PIPE, check=True).stdout
    return json.loads(out)["logprobs"]


def rms(differences):
    return math.sqrt(sum(d * d for d in differences) / len(differences))


def errors_of(family_name, runs, home):
    """{(who, policy): differences from f32}"""
    family, found = families.family(family_name), {}
    for spec in family.SPECS:
        if spec.quant:  # its golden numbers are of the dequantised weights
            continue
        folder = OUT / spec.name
        reference = Reference(family, folder / "base")
        for score in json.loads((folder / "expected.json").read_text())["scores"]:
            for policy, dtype in POLICIES.items():
                got = {"torch": torch_logprobs(reference, score["adapter"], score, folder, dtype)}
                for name, command in runs.items():
                    got[name] = dlm_logprobs(command, home, folder, score, policy)
                for name, logprobs in got.items():
                    found.setdefault((name, policy), []).extend(
                        a - b for a, b in zip(logprobs, score["logprobs"], strict=True))
        print(f"{spec.name}: done", file=sys.stderr, flush=True)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", action="append", required=True, metavar="NAME=COMMAND")
    parser.add_argument("--family", action="append", choices=families.NAMES)
    args = parser.parse_args()
    runs = dict(run.split("=", 1) for run in args.run)
    torch.set_num_threads(1)
    bad = 0
    print("| family | by | bf16 | of torch's bf16 | fp16 | of torch's bf16 | largest, bf16 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as home:
        for family in args.family or families.NAMES:
            found = errors_of(family, runs, home)
            allowed = rms(found["torch", "bf16"])
            for name in ["torch", *runs]:
                error = {policy: rms(found[name, policy]) for policy in POLICIES}
                # NaN counts as larger
                bad += sum(not e <= MOST * allowed for e in error.values()) * (name != "torch")
                largest = max(abs(d) for d in found[name, "bf16"])
                print(f"| {family} | {name} | {error['bf16']:.2e} | {error['bf16'] / allowed:.2f} "
                      f"| {error['fp16']:.2e} | {error['fp16'] / allowed:.2f} | {largest:.2e} |",
                      flush=True)
    print(f"{bad} errors are larger than {MOST} times torch's", file=sys.stderr)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
