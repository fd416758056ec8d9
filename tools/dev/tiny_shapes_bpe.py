"""Byte-level tokenizers of the tiny chat bases: a family's pipeline over a small vocabulary that is
learnt from the questions, answers and copies of tiny_shapes_text.py."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Regex
from tokenizers import Tokenizer as HFTokenizer
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

import tiny_shapes_text as text

PIECES = 640


@dataclass
class Pipeline:
    """What tells one family's tokenizer from another's."""
    pattern: str  # cuts a text into pieces
    specials: list[str]
    specials_first: bool  # their ids stand before those of bytes and merges, in the vocabulary
    normalizer: dict | None
    ignore_merges: bool
    names: dict  # bos_token and its like


def byte_chars() -> list[str]:
    """The character that stands for each byte: itself where it can be seen, else from U+0100 on."""
    seen = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = iter(range(256, 512))
    return [chr(b if b in seen else next(hidden)) for b in range(256)]


def corpus(pattern: str, seed: int, often: list[str]) -> Counter:
    """Pieces with their counts, in the characters of byte_chars. `often` are texts of every row."""
    cut = Sequence([Split(Regex(pattern), "isolated"),
                    ByteLevel(add_prefix_space=False, use_regex=False)])
    rng = np.random.default_rng(seed)
    texts: Counter = Counter(dict.fromkeys(often, 1000))
    for _ in range(3000):
        for qa in text.questions(text.sample_scene(rng), rng):
            texts.update(qa)
        texts.update(text.copy_row(rng))
    for word in text.COMMON:
        texts.update({word: 10, " " + word: 40})
    words: Counter = Counter()
    for string, n in texts.items():
        for piece, _ in cut.pre_tokenize_str(string):
            words[tuple(piece)] += n
    return words


class Tokenizer:
    """What text.Tokenizer is to the first base; `special` maps names to ids."""

    def __init__(self, spec: dict, config: dict):
        self.spec, self.config = spec, config
        self.hf = HFTokenizer.from_str(json.dumps(spec))
        self.hf.encode_special_tokens = True
        self.special = {t["content"]: t["id"] for t in spec["added_tokens"]}
        self.size = self.hf.get_vocab_size()

    def __call__(self, string: str) -> list[int]:
        return self.hf.encode(string, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        return self.hf.decode(ids)

    def plain(self, index: int) -> str:
        """The text of one id; nothing for special tokens and parts of characters."""
        said = self.hf.decode([index])
        return "" if "\ufffd" in said else said

    def save(self, out: Path) -> None:
        (out / "tokenizer.json").write_text(json.dumps(self.spec, ensure_ascii=False) + "\n")
        (out / "tokenizer_config.json").write_text(json.dumps(self.config, indent=2) + "\n")


def make(pipeline: Pipeline, seed: int, often: list[str]) -> Tokenizer:
    merges, made = text.learn_merges(corpus(pipeline.pattern, seed, often), PIECES)
    pieces, specials = [*byte_chars(), *made], pipeline.specials
    vocab = [*specials, *pieces] if pipeline.specials_first else pieces
    start = 0 if pipeline.specials_first else len(pieces)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                  "use_regex": False}
    return Tokenizer({
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [text.added_token(start + i, s, True) for i, s in enumerate(specials)],
        "normalizer": pipeline.normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pipeline.pattern}, "behavior": "Isolated",
             "invert": False}, byte_level]},
        "post_processor": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": pipeline.ignore_merges,
                  "vocab": {piece: i for i, piece in enumerate(vocab)}, "merges": merges},
    }, pipeline.names | {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": False,
                         "clean_up_tokenization_spaces": False, "model_max_length": 1024})
