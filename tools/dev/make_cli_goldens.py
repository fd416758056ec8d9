#!/usr/bin/env python3
"""Makes tests/golden/cli/: what `dlm tokenize` and `dlm preprocess` print for the checkpoint
tests/golden/models/f32_old/base, as transformers' PaliGemmaProcessor and the tokenizers library
have it.

    make_cli_goldens.py

Versions: transformers 5.23.0, tokenizers 0.23.3, Pillow 13.0.0. Nothing is random.

    lines.jsonl          texts, one JSON string a line
    one_image.jsonl      {"ids": [...]} of each with one image, two_images.jsonl with two,
    no_image.jsonl       and without
    raw.jsonl            the ids of the text alone
    pixels.f32           pixel_values of images/one.png, little-endian float32
    suffix.json          training inputs: num_images, prefix, suffix, ids, prefix_len
"""
import json
import pathlib

import transformers
from PIL import Image
from tokenizers import Tokenizer

TESTS = pathlib.Path(__file__).resolve().parent.parent.parent / "tests"
CASE = TESTS / "golden" / "models" / "f32_old"
OUT = TESTS / "golden" / "cli"

# Without special tokens; the processor itself says what these are.
PLAIN = ["caption en", "how many shapes are there", "", " ", "two\nlines", "answer en\n",
         "a  b   c", "detect <loc0001> and <seg127>", "naïve café", "\u4f60\u597d \U0001f642",
         "tab\tand \"quotes\"", "nul \u0000 inside"]
PAIRS = [(1, "caption en", "a red square"), (2, "how many\n", "three"), (1, "", " two  words "),
         (1, "detect <loc0001>", "<loc0002><loc1023> moon\n"), (1, "x", "")]
# With special tokens: the library with encode_special_tokens on the user's words says it.
INJECTED = ["say <eos> now", "<bos>", "an <image> of <image>"]


def ids_line(ids):
    return json.dumps({"ids": ids}) + "\n"


def main():
    OUT.mkdir(exist_ok=True)
    processor = transformers.AutoProcessor.from_pretrained(CASE / "base")
    library = processor.tokenizer._tokenizer
    picture = Image.open(CASE / "images" / "one.png")
    image, bos = (processor.tokenizer.convert_tokens_to_ids(t) for t in ("<image>", "<bos>"))
    raw = Tokenizer.from_file(str(CASE / "base" / "tokenizer.json"))

    def words(text):
        library.encode_special_tokens = True
        ids = library.encode(text + "\n", add_special_tokens=False).ids
        library.encode_special_tokens = False
        return ids

    def model_input(text, num):
        ids = [image] * (num * processor.image_seq_length) + [bos] + words(text)
        if num and text in PLAIN:
            want = processor(images=[[picture] * num], text=[text])["input_ids"][0]
            assert list(want) == ids, (text, list(want), ids)
        return ids

    texts = PLAIN + INJECTED
    (OUT / "lines.jsonl").write_text("".join(json.dumps(t) + "\n" for t in texts))
    for name, num in (("no_image", 0), ("one_image", 1), ("two_images", 2)):
        (OUT / f"{name}.jsonl").write_text("".join(ids_line(model_input(t, num)) for t in texts))
    (OUT / "raw.jsonl").write_text(
        "".join(ids_line(raw.encode(t, add_special_tokens=False).ids) for t in texts))
    cases = []
    for num, prefix, suffix in PAIRS:
        batch = processor(images=[[picture] * num], text=[prefix], suffix=[suffix])
        ids, types = batch["input_ids"][0], batch["token_type_ids"][0]
        cases.append({"num_images": num, "prefix": prefix, "suffix": suffix, "ids": list(ids),
                      "prefix_len": list(types).index(1)})
    (OUT / "suffix.json").write_text(json.dumps(cases, indent=0) + "\n")
    pixels = processor(images=picture, text="x", return_tensors="np")["pixel_values"]
    assert pixels.shape[0] == 1 and pixels.dtype == "float32"
    (OUT / "pixels.f32").write_bytes(pixels.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
