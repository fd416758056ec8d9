#!/usr/bin/env python3
"""Draws tests/golden/first/: the pictures of somebody's first document, two invented things with
ten pictures each to learn from and three each to be asked about afterwards, and the document with
no key set but those that `dlm init` writes.

    make_first_document.py

Version: Pillow 13.0.0, seed 5. A blik is a cross with a black dot, a wom three bars.
"""
import pathlib
import random

from PIL import Image, ImageDraw

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/first"
SIZE, LEARNED, ASKED = 112, 20, 6


def draw_blik(pen, x, y, size, colour):
    pen.line((x - size, y - size, x + size, y + size), fill=colour, width=4)
    pen.line((x - size, y + size, x + size, y - size), fill=colour, width=4)
    pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill="black")


def draw_wom(pen, x, y, size, colour):
    for row in (-12, 0, 12):
        pen.rectangle((x - size, y + row - 4, x + size, y + row + 4), fill=colour)


THINGS = {"blik": draw_blik, "wom": draw_wom}


def main():
    rng = random.Random(5)
    FOLDER.mkdir(parents=True, exist_ok=True)
    sections = []
    for number in range(LEARNED + ASKED):
        name = list(THINGS)[number % 2]
        image = Image.new("RGB", (SIZE, SIZE), rng.choice(["white", "#eeeeee", "#dddeee"]))
        THINGS[name](ImageDraw.Draw(image), rng.randint(35, 75), rng.randint(35, 75),
                     rng.randint(15, 27), rng.choice(["red", "blue", "green", "orange"]))
        is_asked = number >= LEARNED
        file = f"{'ask' if is_asked else 'learn'}-{name}-{number:02d}.png"
        image.save(FOLDER / file, optimize=True)
        if not is_asked:
            sections.append(f'::image path="{file}" alt="{name}"::\n\n'
                            f"::instruction::\n### Q\nwhat is this?\n### A\na {name}\n")
    front = ("---\ndlm_id: 01KAJ2T0F1RSTD0CTWENTYR0WS\ndlm_version: 15\nbase_model: tiny-shapes\n"
             "---\n\n")
    (FOLDER / "first.dlm").write_text(front + "\n".join(sections))


if __name__ == "__main__":
    main()
