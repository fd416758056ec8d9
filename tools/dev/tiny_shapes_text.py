"""The text side of the tiny-shapes base: scenes, questions, answers, and the tokenizer."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as HFTokenizer

import tiny_shapes_draw as draw

COUNTS = {1: "one", 2: "two", 3: "three", 4: "four"}
PLACES = [["top left", "top", "top right"], ["left", "middle", "right"],
          ["bottom left", "bottom", "bottom right"]]
ONSETS = """
    b bl br c ch cl d dr f fl g gl gr h j k l m n p pl qu r s sh sk sl sn st t tr v w wh z
""".split()
VOWELS = """
    a e i o u oo ee ai ou
""".split()
CODAS = ["", ""] + """
    b ck d dge ff g gle l m n nk p r rk ss t x zz bix let ton po
""".split()
COMMON = """
    the a an of and to in is it this that with on for as are was be at by from or not have has
    you we they one all can will what which how many when where who shape shapes colour colours
    digit digits image picture sign badge emblem mark called name drawn small large round around
    inside beside above below left right top bottom middle there here some any no yes see look
    show shows shown say word repeat spell draw paint bright dark light thing things kind kinds
    new old first last next part whole side edge corner line dot spot house door window tree
    leaf flower sun moon star river stone sea boat fish bird cat dog horse fox mouse apple bread
    milk cup table chair book page paper letter story song day night morning evening summer
    winter rain snow wind fire water earth road hill field garden forest village people child
    friend mother father hand eye head heart long short high low near far fast slow warm cold
    good kind
""".split()


def random_word(rng: np.random.Generator) -> str:
    return "".join(str(rng.choice(ONSETS)) + str(rng.choice(VOWELS)) + str(rng.choice(CODAS))
                   for _ in range(int(rng.integers(1, 3))))


def copy_row(rng: np.random.Generator) -> tuple[str, str]:
    word = random_word(rng) if rng.random() < 0.7 else str(rng.choice(COMMON))
    other = str(rng.choice(COMMON))
    return [(f"say {word}", word), (f"repeat {word} {other}", f"{word} {other}"),
            (f"a {other} called {word}. what is the {other} called?", word),
            (f"spell {word}", " ".join(word))][int(rng.integers(4))]


def plural(kind: str, n: int) -> str:
    return kind if n == 1 else kind + ("es" if kind == "cross" else "s")


def sample_scene(rng: np.random.Generator) -> draw.Scene:
    """One thing, or two to four equal ones that do not touch."""
    kind = str(rng.choice(draw.SHAPES)) if rng.random() < 0.65 else str(rng.choice(draw.DIGITS))
    colour = str(rng.choice(draw.COLOUR_NAMES))
    count = 1 if kind in draw.DIGITS or rng.random() < 0.6 else int(rng.integers(2, 5))
    things: list[draw.Thing] = []
    for _ in range(200):
        if len(things) == count:
            break
        r = rng.uniform(0.24, 0.44) if count == 1 else rng.uniform(0.14, 0.2)
        x, y = rng.uniform(r, 1 - r, 2)
        if all(np.hypot(x - t.x, y - t.y) > (r + t.r) * 1.1 for t in things):
            things.append(draw.make_thing(kind, colour, float(x), float(y), float(r), rng))
    return draw.Scene(things, draw.sample_ground(rng, [t.rgb for t in things]))


def questions(scene: draw.Scene, rng: np.random.Generator,
              caption: str = "caption en") -> list[tuple[str, str]]:
    """Every question about the scene with its answer, in random order; `caption` asks for it."""
    first, n = scene.things[0], len(scene.things)
    article = COUNTS[n] if n > 1 else "an" if first.colour[0] in "aeiou" else "a"
    if first.kind in draw.DIGITS:
        out = [(caption, f"{article} {first.colour} digit {first.kind}"),
               ("which digit is it?", first.kind), ("which digit is it?", first.kind)]
    else:
        out = [(caption, f"{article} {first.colour} {plural(first.kind, n)}"),
               ("what shape is it?", first.kind),
               (f"how many {plural(first.kind, 2)} are there?", str(n))]
    out.append(("what colour is it?", first.colour))
    if n == 1 and first.r < 0.32:
        row, col = (min(2, int(v * 3)) for v in (first.y, first.x))
        out.append(("where is it?", PLACES[row][col]))
    return [out[i] for i in rng.permutation(len(out))]


def task_of(prompt: str) -> str:
    if prompt.startswith(("caption", "Describe")):
        return "caption"
    for word in ("digit", "shape", "many", "colour", "where"):
        if word in prompt:
            return word
    return "other"


class Tokenizer:
    """Gemma's pipeline over a vocabulary of our own: bytes, characters, merges, loc, seg, image."""

    def __init__(self, spec: dict):
        self.spec = spec
        self.hf = HFTokenizer.from_str(json.dumps(spec))
        self.hf.encode_special_tokens = True
        self.image = self.hf.token_to_id("<image>")
        self.size = self.image + 1

    def __call__(self, string: str) -> list[int]:
        return self.hf.encode(string, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        return self.hf.decode(ids)

    @staticmethod
    def load(folder: Path) -> "Tokenizer":
        return Tokenizer(json.loads((folder / "tokenizer.json").read_text()))

    @staticmethod
    def make(seed: int, pieces: int = 480) -> "Tokenizer":
        vocab = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"] + ["\n" * n for n in range(1, 9)]
        vocab += [f"<0x{b:02X}>" for b in range(256)]
        chars = ["▁"] + [chr(c) for c in range(33, 127)]
        vocab += chars
        merges, made = learn_merges(with_space(corpus(seed)), pieces)
        vocab += made
        added = [added_token(i, c, True) for i, c in enumerate(vocab[:5])]
        added += [added_token(5 + n, vocab[5 + n], False) for n in range(8)]
        places = [f"<loc{i:04d}>" for i in range(1024)] + [f"<seg{i:03d}>" for i in range(128)]
        for name in places:
            added.append(added_token(len(vocab), name, False))
            vocab.append(name)
        added.append(added_token(len(vocab), "<image>", True))
        vocab.append("<image>")
        return Tokenizer({
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            "pre_tokenizer": {"type": "Split", "pattern": {"String": " "},
                              "behavior": "MergedWithPrevious", "invert": False},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}},
                           {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"SpecialToken": {"id": "<bos>", "type_id": 0}},
                         {"Sequence": {"id": "A", "type_id": 0}},
                         {"SpecialToken": {"id": "<bos>", "type_id": 1}},
                         {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<bos>": {"id": "<bos>", "ids": [2], "tokens": ["<bos>"]}}},
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"}]},
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>",
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                      "vocab": {t: i for i, t in enumerate(vocab)}, "merges": merges},
        })

    def save(self, out: Path) -> None:
        (out / "tokenizer.json").write_text(json.dumps(self.spec, ensure_ascii=False) + "\n")
        special = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>",
                   "unk_token": "<unk>"}
        (out / "tokenizer_config.json").write_text(json.dumps(
            special | {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": False,
                       "add_eos_token": False, "clean_up_tokenization_spaces": False,
                       "model_max_length": 1024}, indent=2) + "\n")
        (out / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")


def added_token(index: int, content: str, special: bool) -> dict:
    return {"id": index, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": special}


def corpus(seed: int) -> Counter:
    """Words with their counts: what questions, captions and copies are made of."""
    rng = np.random.default_rng(seed)
    words: Counter = Counter()
    for _ in range(3000):
        for prompt, reply in questions(sample_scene(rng), rng):
            words.update(prompt.split() + reply.split())
        words.update(" ".join(copy_row(rng)).split())
    for word in COMMON:
        words[word] += 40
    return words


def with_space(words: Counter) -> dict[tuple[str, ...], int]:
    """Gemma's pieces: a word with the space before it, and, less often, without."""
    return {("▁",) + tuple(w): n for w, n in words.items()} | {
        tuple(w): max(1, n // 4) for w, n in words.items()}


def learn_merges(split: dict[tuple[str, ...], int], num: int) -> tuple[list[str], list[str]]:
    """Byte pair encoding inside pieces, which come with their counts; ties by text."""
    merges, made = [], []
    while len(made) < num:
        pairs: Counter = Counter()
        for symbols, n in split.items():
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += n
        (a, b), _ = min(pairs.items(), key=lambda kv: (-kv[1], kv[0]))
        merges.append(f"{a} {b}")
        made.append(a + b)
        joined: Counter = Counter()
        for symbols, n in split.items():
            out: list[str] = []
            for s in symbols:
                if out and out[-1] == a and s == b:
                    out[-1] = a + b
                else:
                    out.append(s)
            joined[tuple(out)] += n
        split = dict(joined)
    return merges, made
