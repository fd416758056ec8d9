#!/usr/bin/env python3
"""Makes tests/golden/models/mistral3_large.json: log-probabilities of an answer about an image of
12,100 patches, as many as one of 1540 x 1540 is to Mistral Small 3.1, by the case mistral3_f32_old
with 770 as its longest edge.

    make_mistral3_goldens.py

Versions and arithmetic are make_models_goldens.py's. The image is a formula, which the test has,
too. Needs 4 GB of memory: torch holds the scores of all pairs of patches.
"""
import json
import pathlib
import shutil
import tempfile

import numpy
import torch
from PIL import Image

import families
from families.common import dump
from models_reference import Reference, Row, label_logprobs

CASES = pathlib.Path(__file__).resolve().parent.parent.parent / "tests" / "golden" / "models"
LONGEST = 770
SIDE = 901  # of the image, which is shrunk
QUESTION, ANSWER = "Which colour?", "a red square"


def draw():
    y, x = numpy.mgrid[:SIDE, :SIDE]
    planes = [(3 * x + y) % 256, (x // 8 ^ y // 4) % 256, (x * y // 700) % 256]
    return Image.fromarray(numpy.stack(planes, -1).astype(numpy.uint8))


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        base = folder / "base"
        shutil.copytree(CASES / "mistral3_f32_old" / "base", base)
        config = json.loads((base / "preprocessor_config.json").read_text())
        dump(base / "preprocessor_config.json", config | {"size": {"longest_edge": LONGEST}})
        draw().save(folder / "large.png")
        reference = Reference(families.family("mistral3"), base)
        inputs, labels = reference.encoder.row(Row(QUESTION, ANSWER, (folder / "large.png",)))
        assert inputs["pixel_values"].shape[-2:] == (LONGEST, LONGEST)
        with torch.no_grad():
            logprobs = label_logprobs(reference.model(), inputs, labels)
    dump(CASES / "mistral3_large.json",
         {"image_size": LONGEST, "prompt": QUESTION, "target": ANSWER,
          "num_ids": inputs["input_ids"].shape[1], "logprobs": logprobs.tolist()})


if __name__ == "__main__":
    main()
