#!/usr/bin/env python3
"""Makes tests/golden/processors: sizes and pixel values that transformers' image processors of
images of any size give, with their Pillow backend.

    make_processor_goldens.py

A line `CLASS SETTINGS` holds for those that follow; SETTINGS are the members of a
preprocessor_config.json. In sizes.txt these are `WIDTH HEIGHT -> WIDTH HEIGHT`, or `-> error` where
the processor raises; in pixels.txt `IMAGE WIDTH HEIGHT SHA256`, of the float32 pixel values before
they are cut into patches.
Made with Python 3.11, Pillow 13.0.0, transformers 5.23.0, numpy 2.4.6; the images are those of
tests/golden/images, which make_images_goldens.py draws.
"""
import hashlib
import json
import pathlib

import numpy as np
from transformers.image_utils import load_image
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

TESTS = pathlib.Path(__file__).resolve().parents[2] / "tests"
GOLDEN = TESTS / "golden" / "processors"
IMAGES = TESTS / "golden" / "images"
SEED = 20261129
CLASSES = {"area": Qwen2VLImageProcessorPil, "longest": PixtralImageProcessorPil}
SETTINGS = {
    "area": ({}, {"min_pixels": 3136, "max_pixels": 12845056}, {"min_pixels": 451584,
                                                                "max_pixels": 451584},
             {"size": {"shortest_edge": 65536, "longest_edge": 400000}, "patch_size": 16},
             {"min_pixels": 784, "max_pixels": 20000, "patch_size": 7, "merge_size": 3}),
    "longest": ({}, {"size": {"longest_edge": 1540}, "patch_size": {"height": 28, "width": 28}},
                {"size": {"longest_edge": 300}, "patch_size": 14},
                {"size": {"height": 200, "width": 500}, "patch_size": 10}),
}
PIXEL_SETTINGS = {
    "area": ({}, {"min_pixels": 3136, "max_pixels": 40000, "image_mean": [0.5, 0.4, 0.3]},
             {"min_pixels": 784, "max_pixels": 20000, "patch_size": 7, "merge_size": 3}),
    "longest": SETTINGS["longest"][1:],
}
PICTURES = ("rgb8.png", "rgb8_key.png", "rgba8.png", "size_3x200.png", "size_200x3.png",
            "size_5x90.png", "exif6.jpg", "big.jpg")


def sides(rng):
    """(width, height): ordinary ones, those near a tie or a bound, and extreme ones."""
    for _ in range(60):
        yield tuple(int(x) for x in rng.integers(1, 2500, 2))
    for _ in range(30):
        k = rng.integers(1, 90, 2) * 14 + rng.integers(-1, 2, 2)
        yield tuple(int(max(1, x)) for x in k)
    for _ in range(20):
        long, ratio = int(rng.integers(200, 9000)), float(rng.uniform(150, 260))
        pair = (long, max(1, round(long / ratio)))
        yield pair if rng.random() < 0.5 else pair[::-1]
    yield from ((1, 1), (200, 1), (201, 1), (1, 200), (1, 201), (28, 28), (14, 14), (42, 70),
                (378, 378), (672, 672), (640, 480), (480, 640), (300, 1000), (4000, 3000),
                (12000, 9000), (1540, 1540), (1541, 1540), (20, 3000), (1, 4000))


class Size(Exception):
    pass


def resized(kind, settings, width, height):
    """The size that the processor resizes to, as (width, height); None where it raises."""
    processor = CLASSES[kind](**settings)
    sizes = []

    def stop(_self, image, size, **_):
        sizes.append(size)
        raise Size

    # the class's own rule, and the resize of its base stopped before it computes
    base = CLASSES[kind].__mro__[1]
    old, base.resize = base.resize, stop
    try:
        processor(images=np.broadcast_to(np.uint8(0), (3, height, width)),
                  input_data_format="channels_first", return_tensors="np", do_convert_rgb=False)
    except Size:
        size = sizes[0]
        return (size.width, size.height) if size.width and size.height else None
    except ValueError:
        return None
    finally:
        base.resize = old
    raise AssertionError("nothing was resized")


def pixels(kind, settings, image):
    """float32 [3, height, width]: what the class does but cutting it into patches."""
    processor = CLASSES[kind](**settings)
    if kind == "longest":
        return processor(images=image, return_tensors="np")["pixel_values"][0]
    kept = []
    old = CLASSES[kind].patchify

    def keep(self, image, **more):
        kept.append(np.asarray(image))
        return old(self, image, **more)

    CLASSES[kind].patchify = keep
    try:
        processor(images=image, return_tensors="np")
    finally:
        CLASSES[kind].patchify = old
    return kept[0]


def each(groups):
    return ((kind, settings) for kind, list_of in groups.items() for settings in list_of)


def main():
    rng = np.random.default_rng(SEED)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    with (GOLDEN / "sizes.txt").open("w") as out:
        for kind, settings in each(SETTINGS):
            print(kind, json.dumps(settings), file=out)
            for width, height in sides(rng):
                to = resized(kind, settings, width, height)
                print(width, height, "->", f"{to[0]} {to[1]}" if to else "error", file=out)
    with (GOLDEN / "pixels.txt").open("w") as out:
        for kind, settings in each(PIXEL_SETTINGS):
            print(kind, json.dumps(settings), file=out)
            for name in PICTURES:
                values = pixels(kind, settings, load_image(str(IMAGES / name)))
                assert values.dtype == np.float32 and values.shape[0] == 3
                sha = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
                print(name, values.shape[2], values.shape[1], sha, file=out)


if __name__ == "__main__":
    main()
