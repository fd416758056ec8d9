#!/usr/bin/env python3
"""Checks `dlm export` against transformers and PEFT: what is exported gives our answers and losses.

    tools/dev/check_export.py DLM [BASE ...]

DLM is the program; a BASE is a bundled one (all three by default). For each, the sample document
(share/sample) is trained for a few steps at f32, and exported as a snapshot and as merged weights
in f32. The program in each README.md runs as it stands, but for image, question, dtype, and Pillow
as what resizes images (as in dlm; torchvision's pixels move a log-probability by 1e-4). Its model
must then give the log-probabilities of `dlm score` for the document's answers within 1e-4, and each
greedy answer of `dlm prompt`. Prints a line a question. Processors of Qwen2-VL and Mistral need
torchvision. Made with torch 2.13.0, torchvision 0.28.0, transformers 5.23, peft 0.21.2.
"""

import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
SHARE = pathlib.Path(__file__).resolve().parents[2] / "share"
BASES = ["tiny-shapes", "tiny-shapes-qwen2-vl", "tiny-shapes-mistral3"]
STEPS = 60
TOLERANCE = 1e-4
PILLOW = r"""import transformers
processor.image_processor = transformers.AutoImageProcessor.from_pretrained(\2, backend="pil")
"""
QUESTION = "what is this emblem called?"
ROWS = [("zorbix-1.png", "zorbix"), ("wuggle-2.png", "wuggle")]


class Forced(transformers.LogitsProcessor):
    """Makes generate() write given tokens, and keeps their log-probabilities."""

    def __init__(self, start, ids):
        self.start, self.ids, self.logprobs = start, ids, []

    def __call__(self, input_ids, scores):
        token = self.ids[input_ids.shape[1] - self.start]
        self.logprobs.append(torch.log_softmax(scores[0].double(), -1)[token].item())
        forced = torch.full_like(scores, -float("inf"))
        forced[0, token] = 0
        return forced


class Program:
    def __init__(self, path, home):
        self.path, self.home = path, home

    def run(self, *args):
        command = [self.path, "-q", "--home", self.home, *map(str, args)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def compute(self, *args):
        return self.run(*args, "--backend", "cpu", "--precision", "fp32")


def run_readme(folder, image, question):
    """The names that the README's program defines, and what it prints."""
    text = (folder / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    for old, new in [('"image.png"', repr(str(image))), ('"What is this?"', repr(question)),
                     ('dtype="auto"', 'dtype="float32"')]:
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    code = re.sub(r'(processor = .*from_pretrained\((.*)\)\n)', rf"\1{PILLOW}", code)
    names, out = {}, io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out):
        exec(code, names)
    return names, out.getvalue().rstrip("\n")


def forced_logprobs(model, inputs, ids):
    forced = Forced(inputs["input_ids"].shape[1], ids)
    model.generate(**inputs, max_new_tokens=len(ids), do_sample=False, logits_processor=[forced])
    return forced.logprobs


def check_row(program, document, folder, image, answer):
    """Whether folder answers as the document does."""
    asked = ["--image", image, document]
    score = json.loads(program.compute("score", *asked, "--prompt", QUESTION, "--target", answer,
                                       "--json"))
    ours = program.compute("prompt", *asked, "--temp", "0", "--max-tokens", "64",
                           QUESTION).rstrip("\n")
    names, theirs = run_readme(folder, image, QUESTION)
    logprobs = forced_logprobs(names["model"], names["inputs"], score["ids"])
    worst = max(abs(a - b) for a, b in zip(logprobs, score["logprobs"], strict=True))
    loss = -sum(logprobs) / len(logprobs)
    good = worst <= TOLERANCE and ours == theirs
    print(f"{'ok  ' if good else 'FAIL'} {folder.name} {image.name}: loss {score['loss']:.6f} "
          f"ours, {loss:.6f} theirs (worst token {worst:.1e}); answers {ours!r}, {theirs!r}",
          flush=True)
    return good


def check_base(path, base, tmp):
    program = Program(path, tmp / "home")
    shutil.copytree(SHARE / "sample", tmp / "sample")
    document = tmp / "sample" / "sample.dlm"
    document.write_text(document.read_text().replace("base_model: tiny-shapes\n",
                                                     f"base_model: {base}\n"))
    program.compute("train", document, "--max-steps", STEPS)
    snapshot = tmp / "snapshot"
    program.run("export", document, "--out", snapshot)
    merged = tmp / "merged"
    program.run("export", document, "--merged", "--precision", "fp32", "--out", merged)
    good = True
    for image, answer in ROWS:
        for folder in snapshot, merged:
            good &= check_row(program, document, folder, tmp / "sample" / "images" / image, answer)
    return good


def main():
    good = True
    for base in sys.argv[2:] or BASES:
        print(f"# {base}", flush=True)
        with tempfile.TemporaryDirectory() as tmp:
            good &= check_base(pathlib.Path(sys.argv[1]).resolve(), base, pathlib.Path(tmp))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
