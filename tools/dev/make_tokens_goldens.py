#!/usr/bin/env python3
"""Makes the goldens of tests/tokens with the `tokenizers` library (made with 0.23.3).

    make_tokens_goldens.py                     all goldens of the synthetic tokenizer.json files
    make_tokens_goldens.py --tekken            goldens of tekken.json files (tiktoken 0.14.0)
    make_tokens_goldens.py --bundled FILE      goldens of the bundled tokenizer, 10,000 strings

Output: tests/golden/tokens/<name>.jsonl.zst, in sections. An object begins one:
    {"name": name, "library": version, "seed": n, "tokenizer": {tokenizer.json} or null,
     "sha256": of the file, "add": [[content, special], ...], "before": [ids], "after": [ids]}
A list is a case of that section:
    [text or null, ids, ids with special tokens as text or null when the same,
     decoded or null when it is the text, decoded without special tokens or null when the same]
A case without a text only decodes. `before` and `after` are what add_special_tokens adds.
"""
import argparse
import base64
import copy
import hashlib
import json
import pathlib
import random
import re
import subprocess

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers

try:
    import tiktoken
except ImportError:
    tiktoken = None  # for --tekken alone

SEED = 20260217
HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent.parent / "tests" / "golden" / "tokens"

# Only characters of Unicode 9: the library's normalization tables end there, and each library has
# its own version for the rest.
SCRIPTS = {
    "latin": [(0x41, 0x5A), (0x61, 0x7A), (0x61, 0x7A), (0x61, 0x7A)],
    "latin1": [(0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x17F)],
    "digit": [(0x30, 0x39), (0x30, 0x39), (0x660, 0x669), (0xB2, 0xB3), (0x2160, 0x216B)],
    "sign": [(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E), (0xA1, 0xBF),
             (0x2010, 0x2027), (0x2200, 0x2210)],
    "greek": [(0x391, 0x3A1), (0x3A3, 0x3C9)],
    "cyrillic": [(0x410, 0x44F), (0x400, 0x45F)],
    "hebrew": [(0x5D0, 0x5EA), (0x5B0, 0x5B9)],
    "arabic": [(0x621, 0x63A), (0x641, 0x652)],
    "devanagari": [(0x905, 0x939), (0x93E, 0x94D), (0x958, 0x95F)],
    "thai": [(0xE01, 0xE3A), (0xE40, 0xE4E)],
    "kana": [(0x3041, 0x3096), (0x30A1, 0x30FA)],
    "cjk": [(0x4E00, 0x9FA5), (0x3400, 0x3410), (0x20000, 0x20100), (0xF900, 0xFA0D)],
    "hangul": [(0xAC00, 0xD7A3), (0x1100, 0x1112), (0x1161, 0x1175), (0x11A8, 0x11C2)],
    "emoji": [(0x1F600, 0x1F64F), (0x1F680, 0x1F6C5), (0x1F3FB, 0x1F3FF), (0x200D, 0x200D),
              (0xFE0F, 0xFE0F), (0x1F1E6, 0x1F1FF)],
    "mark": [(0x300, 0x34E), (0x483, 0x486), (0x20D0, 0x20DC), (0x3099, 0x309A)],
    "control": [(0x0, 0x1F), (0x7F, 0x9F), (0x200B, 0x200F), (0xFEFF, 0xFEFF), (0xFFFD, 0xFFFD)],
    "space": [(0x9, 0xD), (0x20, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x2000, 0x200A),
              (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000),
              (0x180E, 0x180E)],
    "compat": [(0x2100, 0x2138), (0x2460, 0x2473), (0x24B6, 0x24E9), (0xFB00, 0xFB06),
               (0xFF01, 0xFF5E), (0xFDFA, 0xFDFA), (0x1E9B, 0x1E9B), (0x130, 0x131)],
    "any": [(0x80, 0x52F), (0x904, 0x97F), (0x1E00, 0x1FFF), (0xA000, 0xA48C),
            (0x10000, 0x1004D), (0x1D400, 0x1D454), (0xE000, 0xE010), (0x10FFFD, 0x10FFFF)],
}
WORDS = """a an the caption en answer detect segment cat dog square circle red What is shown in this
image ? I'm he'll we'VE 'S don't 'ſ it's 2024 3.14 1,000
foo_bar café naïve Straße İstanbul ﬁne x² <b> </b>

<|im_start|x <loc00 <imag ▁ ▁▁ a▁b <0x41> hello, world! :) -- ... \\n http://a.b/c?d=e&f=g""".split()


def char(rng, script):
    low, high = rng.choice(SCRIPTS[script])
    return chr(rng.randint(low, high))


def piece(rng, added):
    kind = rng.random()
    if kind < 0.30:
        return rng.choice(WORDS)
    if kind < 0.42 and added:
        text = rng.choice(added)
        return text * rng.choice([1, 1, 1, 2, 3])
    if kind < 0.50:
        return rng.choice([" ", "\n", "\t", "\r\n", " \n", "▁"]) * rng.randint(1, 5)
    if kind < 0.53:
        return rng.choice([" ", "\n"]) * rng.randint(20, 40)
    if kind < 0.55:  # every byte of UTF-8 in odd neighbourhoods
        return "".join(chr(rng.choice([rng.randint(0, 0x7F), rng.randint(0x80, 0x7FF),
                                       rng.randint(0xF00, 0xFBC)])) for _ in range(4))
    script = rng.choice(list(SCRIPTS))
    return "".join(char(rng, script) for _ in range(rng.randint(1, 7)))


def random_string(rng, added):
    joins = rng.choice([("",), (" ",), ("", " "), ("", " ", "  ", "\n")])
    text = ""
    for _ in range(rng.choice([1, 1, 2, 3, 4, 6])):
        text += piece(rng, added) + rng.choice(joins)
    return text


def random_strings(seed, count, added):
    rng = random.Random(seed)
    fixed = ["", " ", "  ", "\n", "\0", "a", "▁", " a", "a ", "e\u0301", "\u1100\u1161",
             "\r\n\r\n a", "!!\n\n x", "'S's 'LL", "'Tis I'More", "\ufeffhi"]
    seen, strings = set(fixed), list(fixed)
    while len(strings) < count:
        text = random_string(rng, added)
        if text not in seen and len(text.encode()) < 400:
            seen.add(text)
            strings.append(text)
    return strings[:count]


def added_contents(tok):
    return [t.content for _, t in sorted(tok.get_added_tokens_decoder().items())]


def random_ids(seed, count, tok):
    """Sequences that no text gives: byte runs cut anywhere, specials, unknown ids."""
    rng = random.Random(seed)
    vocab = tok.get_vocab()
    size = max(vocab.values()) + 1
    groups = [list(range(size)), [i for t, i in vocab.items() if t.startswith("<0x")],
              [vocab[t] for t in added_contents(tok)],
              [i for t, i in vocab.items() if len(t) == 1 and 0x80 <= ord(t) < 0x180],
              [size + 1]]
    groups = [g for g in groups if g]
    sequences = []
    for _ in range(count):
        ids = []
        for _ in range(rng.randint(1, 4)):
            group = rng.choice(groups)
            ids += [rng.choice(group) for _ in range(rng.randint(1, 5))]
        sequences.append(ids)
    return sequences


def encode(tok, text, special_as_text, add_special=False):
    tok.encode_special_tokens = special_as_text
    ids = tok.encode(text, add_special_tokens=add_special).ids
    tok.encode_special_tokens = False
    return ids


def decode_fields(tok, text, ids):
    plain = tok.decode(ids, skip_special_tokens=False)
    skipped = tok.decode(ids, skip_special_tokens=True)
    return [None if plain == text else plain, None if skipped == plain else skipped]


def frame(tok):
    """What add_special_tokens puts before and after a text."""
    ids = encode(tok, "a", False, True)
    inner = encode(tok, "a", False)
    at = next(i for i in range(len(ids) + 1) if ids[i:i + len(inner)] == inner)
    return ids[:at], ids[at + len(inner):]


def section(name, tok, strings, num_decode, add=(), spec=None, sha256=None):
    """The lines of one tokenizer. spec: its tokenizer.json as an object, embedded in the golden."""
    for content, special in add:
        token = AddedToken(content, normalized=False, special=True) if special else content
        (tok.add_special_tokens if special else tok.add_tokens)([token])
    before, after = frame(tok)
    lines = [{"name": name, "library": tokenizers.__version__, "seed": SEED, "tokenizer": spec,
              "sha256": sha256, "add": list(add), "before": before, "after": after}]
    for text in strings:
        ids = encode(tok, text, False)
        assert encode(tok, text, False, True) == before + ids + after
        as_text = encode(tok, text, True)
        lines.append([text, ids, None if as_text == ids else as_text,
                      *decode_fields(tok, text, ids)])
    for ids in random_ids(SEED, num_decode, tok):
        lines.append([None, ids, None, *decode_fields(tok, None, ids)])
    return lines


def write(name, lines):
    data = "".join(json.dumps(l, ensure_ascii=False, separators=(",", ":")) + "\n" for l in lines)
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.jsonl.zst"
    subprocess.run(["zstd", "-q", "-f", "-19", "-o", str(path)], input=data.encode(), check=True)
    cases = sum(isinstance(line, list) for line in lines)
    print(f"{path.name}: {cases} cases, {path.stat().st_size} bytes")


# ---- synthetic tokenizers ----------------------------------------------------------------------

def token(ident, content, special=True, normalized=False, **flags):
    return {"id": ident, "content": content, "single_word": flags.get("single_word", False),
            "lstrip": flags.get("lstrip", False), "rstrip": flags.get("rstrip", False),
            "normalized": normalized, "special": special}


def train(corpus, vocab_size, specials, byte_level):
    """The vocab and merges of a BPE trained on whole strings, so that merges cross words."""
    tok = Tokenizer(models.BPE())
    if byte_level:
        tok.normalizer = normalizers.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=specials,
                                  show_progress=False, limit_alphabet=256 if byte_level else 150)
    tok.train_from_iterator(corpus, trainer)
    model = json.loads(tok.to_str())["model"]
    return model["vocab"], model["merges"]


def bpe(vocab, merges, **fields):
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
             "ignore_merges": False, "vocab": vocab, "merges": merges}
    model.update(fields)
    return model


def tokenizer_json(model, added=(), normalizer=None, pre=None, post=None, decoder=None):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": list(added),
            "normalizer": normalizer, "pre_tokenizer": pre, "post_processor": post,
            "decoder": decoder, "model": model}


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def replace(pattern, content, kind="String"):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def split(pattern, behavior, invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def byte_level(prefix=False, regex=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": False,
            "use_regex": regex}


def template(before, after=()):
    names = list(before) + list(after)
    pieces = [{"SpecialToken": {"id": n, "type_id": 0}} for n, _ in before]
    pieces.append({"Sequence": {"id": "A", "type_id": 0}})
    pieces += [{"SpecialToken": {"id": n, "type_id": 0}} for n, _ in after]
    return {"type": "TemplateProcessing", "single": pieces,
            "pair": pieces + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {n: {"id": n, "ids": [i], "tokens": [n]} for n, i in names}}


SPACE_TO_BAR = replace(" ", "▁")
BAR_TO_SPACE = replace("▁", " ")
BYTE_FALLBACK = {"type": "ByteFallback"}
FUSE = {"type": "Fuse"}
BYTES = [f"<0x{i:02X}>" for i in range(256)]
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

TEKKEN_SPECIAL = """<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS]
[TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CALLS] [IMG] <pad> [IMG_BREAK] [IMG_END] [PREFIX] [MIDDLE]
[SUFFIX] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT]""".split()


def corpus(space="▁"):
    rng = random.Random(SEED + 1)
    words = [w for w in WORDS] + ["".join(char(rng, s) for _ in range(4))
                                  for s in SCRIPTS if s not in ("control", "space", "any")]
    return [space.join(rng.choice(words) for _ in range(6)) for _ in range(1500)]


def gemma_like():
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>"]
    newlines = ["\n" * n for n in range(1, 10)]
    bars = ["▁" * n for n in range(2, 8)]
    vocab, merges = train(corpus(), 900, specials + newlines + bars + ["<table>"] + BYTES, False)
    merges = [["▁" * a, "▁"] for a in range(1, 7)] + [m for m in merges if set("".join(m)) != {"▁"}]
    added = [token(vocab[t], t) for t in specials]
    added += [token(vocab[t], t, special=False) for t in newlines + bars + ["<table>"]]
    model = bpe(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    return tokenizer_json(model, added, SPACE_TO_BAR,
                          split(" ", "MergedWithPrevious", kind="String"),
                          template([("<bos>", vocab["<bos>"])]),
                          sequence("decoders", BAR_TO_SPACE, BYTE_FALLBACK, FUSE))


def qwen_like():
    vocab, merges = train(corpus(" "), 1200, [], True)
    merges = [" ".join(m) for m in merges]  # the older spelling
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>"]
    added = [token(len(vocab) + i, t) for i, t in enumerate(names)]
    added += [token(len(vocab) + len(names) + i, t, special=False)
              for i, t in enumerate(["<tool_call>", "<think>", "naïve"])]
    model = bpe(vocab, merges, continuing_subword_prefix="", end_of_word_suffix="")
    return tokenizer_json(model, added, {"type": "NFC"},
                          sequence("pretokenizers", split(QWEN, "Isolated"), byte_level()),
                          byte_level(), byte_level())


def llama_like():
    specials = ["<unk>", "<s>", "</s>"]
    vocab, merges = train(corpus(), 700, specials + BYTES, False)
    model = bpe(vocab, [" ".join(m) for m in merges], unk_token="<unk>", fuse_unk=True,
                byte_fallback=True)
    del model["ignore_merges"]
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    return tokenizer_json(model, [token(vocab[t], t) for t in specials],
                          sequence("normalizers", {"type": "Prepend", "prepend": "▁"},
                                   SPACE_TO_BAR),
                          None, template([("<s>", 1)], [("</s>", 2)]),
                          sequence("decoders", BAR_TO_SPACE, BYTE_FALLBACK, FUSE, strip))


def variants():
    """(name, tokenizer.json): each part that the reader knows, in settings that matter."""
    vocab, merges = train(corpus(), 420, ["<unk>", "<s>"], False)
    flat = bpe(vocab, merges, unk_token="<unk>")
    vocab_b, merges_b = train(corpus(" "), 700, [], True)
    bytes_model = bpe(vocab_b, merges_b)
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    plain = sequence("decoders", FUSE)
    out = []

    def flags_added(base):
        return [token(base, "<s>", normalized=False), token(base + 1, "cat", special=False,
                                                            normalized=True, single_word=True),
                token(base + 2, "<l>", lstrip=True), token(base + 3, "<r>", rstrip=True),
                token(base + 4, "<lr>", special=False, lstrip=True, rstrip=True, normalized=True),
                token(base + 5, "café", special=False, normalized=True),
                token(base + 6, "a b", special=True, normalized=True),
                token(base + 7, "é", special=False), token(base + 8, "<lrx>", single_word=True)]

    for scheme in ("always", "first", "never"):
        for cut in (True, False):
            m = dict(metaspace, prepend_scheme=scheme, split=cut)
            out.append((f"metaspace-{scheme}-{cut}",
                        tokenizer_json(flat, flags_added(420), None, m, None, m)))
    out.append(("metaspace-after-split",
                tokenizer_json(flat, flags_added(420), {"type": "Strip", "strip_left": True,
                                                        "strip_right": False},
                               sequence("pretokenizers", split("[a-c]", "Isolated"),
                                        dict(metaspace, prepend_scheme="first")), None,
                               sequence("decoders", FUSE, metaspace))))
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            out.append((f"split-{behavior}-{invert}",
                        tokenizer_json(flat, [], None,
                                       split(r"[\s▁]|\d{2}|(?=x)", behavior, invert), None, None)))
    out.append(("split-string", tokenizer_json(flat, [], SPACE_TO_BAR,
                                               split("▁", "MergedWithNext", kind="String"), None,
                                               plain)))
    for kind in ("NFC", "NFD", "NFKC", "NFKD"):
        out.append((kind.lower(), tokenizer_json(bytes_model, flags_added(700), {"type": kind},
                                                 byte_level(), None, byte_level())))
    strip = {"type": "Strip", "strip_left": True, "strip_right": True}
    out.append(("lowercase", tokenizer_json(bytes_model, flags_added(700),
                                            sequence("normalizers", {"type": "Lowercase"}, strip),
                                            byte_level(True, True), None, byte_level())))
    out.append(("replace-regex",
                tokenizer_json(bytes_model, flags_added(700),
                               sequence("normalizers", replace(r"\s+", " ", "Regex"),
                                        replace(r"\bthe\b|\w(?=!)", "Θ", "Regex"),
                                        replace("\u0301", "")),
                               sequence("pretokenizers", {"type": "Digits",
                                                          "individual_digits": True},
                                        byte_level(False, True)),
                               sequence("processors", byte_level(), template([("cat", 9)])),
                               sequence("decoders", byte_level(), BAR_TO_SPACE))))
    for name, pre in (("whitespace", {"type": "Whitespace"}),
                      ("whitespace-split", {"type": "WhitespaceSplit"}),
                      ("digits", {"type": "Digits", "individual_digits": False}),
                      ("punctuation", {"type": "Punctuation", "behavior": "Isolated"}),
                      ("tekken", sequence("pretokenizers", split(TEKKEN, "Isolated"),
                                          byte_level()))):
        out.append((name, tokenizer_json(bytes_model, flags_added(700), None,
                                         sequence("pretokenizers", pre, byte_level(True)), None,
                                         byte_level())))
    some_bytes = dict(vocab, **{b: 420 + i for i, b in enumerate(BYTES[0x60:0xC8])})
    for name, fields in (("unk-fused", {"fuse_unk": True}), ("unk-single", {}),
                         ("unk-none", {"unk_token": None}),
                         ("some-bytes", {"vocab": some_bytes, "byte_fallback": True}),
                         ("some-bytes-fused", {"vocab": some_bytes, "byte_fallback": True,
                                               "fuse_unk": True})):
        out.append((name, tokenizer_json(dict(flat, **fields), [token(1, "<s>")], SPACE_TO_BAR,
                                         None, None, sequence("decoders", BYTE_FALLBACK, BAR_TO_SPACE))))
    whole = copy.deepcopy(bytes_model)
    whole["vocab"]["Ġimagexy"] = 700
    whole["vocab"]["xyz"] = 701
    whole["ignore_merges"] = True
    out.append(("ignore-merges", tokenizer_json(whole, [], None, byte_level(False, True), None,
                                                byte_level())))
    affixed = "<unk> a b ##a ##b a</w> ##b</w> ab ##ba abba ##ab</w> ##a</w>".split()
    affixed = {t: i for i, t in enumerate(affixed)}
    out.append(("affixes", tokenizer_json(
        bpe(affixed, [["a", "##b"], ["##b", "##a"], ["ab", "##ba"], ["##a", "##b</w>"]],
            unk_token="<unk>", continuing_subword_prefix="##", end_of_word_suffix="</w>"), [], None,
        {"type": "WhitespaceSplit"}, None, None)))
    for name, decoder in (
            ("strip", {"type": "Strip", "content": "a", "start": 2, "stop": 0}),
            ("fuse-strip", sequence("decoders", FUSE, {"type": "Strip", "content": "▁", "start": 3,
                                                       "stop": 0}, BAR_TO_SPACE)),
            ("fuse-replace", sequence("decoders", BYTE_FALLBACK, FUSE,
                                      replace(r"\s+|▁+", "_", "Regex"))),
            ("bytes-metaspace", sequence("decoders", BYTE_FALLBACK, metaspace))):
        model = dict(flat, vocab=some_bytes, byte_fallback=True)
        out.append((f"decode-{name}", tokenizer_json(model, [token(1, "<s>")], SPACE_TO_BAR, None,
                                                     None, decoder)))
    return out


def make_synthetic():
    loc = [["<image>", True]] + [[f"<loc{i:04}>", False] for i in range(64)]
    loc += [[f"<seg{i:03}>", False] for i in range(16)] + [["<bos>", False]]
    more = [["<image>", True], ["<x>", False]]
    for name, build, add, count in (("gemma-like", gemma_like, loc, 1200),
                                    ("qwen-like", qwen_like, [], 1200),
                                    ("llama-like", llama_like, more, 600)):
        spec = build()
        tok = Tokenizer.from_str(json.dumps(spec))
        contents = added_contents(tok) + [c for c, _ in add]
        write(name, section(name, tok, random_strings(SEED + 2, count, contents), 300, add, spec))
    parts = []
    for i, (name, spec) in enumerate(variants()):
        tok = Tokenizer.from_str(json.dumps(spec))
        ab = ["ab", "abba", "ba ab", "aabb abab b"] if name == "affixes" else []
        strings = ab + random_strings(SEED + 3 + i, 80, added_contents(tok))
        if name == "ignore-merges":
            strings += ["an imagexy", "xyz", "imagexy xyz"]
        parts += section(name, tok, strings, 40, (), spec)
    write("parts", parts)


# ---- tekken.json ---------------------------------------------------------------------------------

class Tekken:
    """What mistral_common makes of a tekken.json: tiktoken between special tokens."""

    def __init__(self, spec):
        config = spec["config"]
        self.first = config["default_num_special_tokens"]
        self.size = config["default_vocab_size"]
        named = [t["token_str"] for t in spec.get("special_tokens") or []] or TEKKEN_SPECIAL
        self.special = named + [f"<SPECIAL_{i}>" for i in range(len(named), self.first)]
        self.tokens = [base64.b64decode(t["token_bytes"]) for t in spec["vocab"]]
        self.tokens = self.tokens[:self.size - self.first]
        self.model = tiktoken.Encoding(
            "tekken", pat_str=config["pattern"], special_tokens={},
            mergeable_ranks={t: i for i, t in enumerate(self.tokens)})
        longest_first = sorted(self.special, key=len, reverse=True)
        self.finder = re.compile("(" + "|".join(re.escape(s) for s in longest_first) + ")")

    def words(self, text):
        return [i + self.first for i in self.model.encode(text)]

    def encode(self, text):
        parts = self.finder.split(text)
        return [i for k, part in enumerate(parts)
                for i in ([self.special.index(part)] if k % 2 else self.words(part))]

    def decode(self, ids, skip):
        text, pending = "", b""
        for i in [i for i in ids if i < self.size] + [0]:
            if i >= self.first:
                pending += self.tokens[i - self.first]
                continue
            if not skip:
                text += pending.decode(errors="replace") + self.special[i]
                pending = b""
        if skip:  # as in the tokenizers library: bytes on both sides of what is left out join
            return pending.decode(errors="replace")
        return text[:-len(self.special[0])]


def tekken_tokens():
    """Bytes, tokens with more cuts than one, what training finds, and one that no merge reaches."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(TEKKEN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(vocab_size=1100, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator(corpus(" ") + corpus(" ")[::-1], trainer)
    byte_of = {c: i for i, c in enumerate(byte_chars())}
    merges = ["".join(m) for m in json.loads(tok.to_str())["model"]["merges"]]
    tokens = [bytes([i]) for i in range(256)] + [b"bb", b"bab", b"ab", b"aba", b"ba", b"abba"]
    tokens += [bytes(byte_of[c] for c in m) for m in merges] + [b" imagexy"]
    return list(dict.fromkeys(tokens))


def byte_chars():
    """The character of each byte in byte-level vocabularies."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    return [chr(i if i in shown else next(rest)) for i in range(256)]


def tekken_json(tokens, special, num_special, version):
    spec = {"config": {"pattern": TEKKEN, "num_vocab_tokens": len(tokens),
                       "default_vocab_size": len(tokens) + num_special,
                       "default_num_special_tokens": num_special, "version": version},
            "vocab": [{"rank": i, "token_bytes": base64.b64encode(t).decode(),
                       "token_str": None} for i, t in enumerate(tokens + [b"the cat", b"dog!"])]}
    spec["vocab"][0]["token_str"] = "\0"
    if special:
        spec["special_tokens"] = [{"rank": i, "token_str": s, "is_control": True}
                                  for i, s in enumerate(special)]
    return spec


def tekken_section(name, spec, strings, num_decode):
    tok = Tekken(spec)
    lines = [{"name": name, "library": f"tiktoken {tiktoken.__version__}", "seed": SEED,
              "tokenizer": spec, "sha256": None, "add": [], "before": [], "after": []}]
    rng = random.Random(SEED)
    cases = [(text, tok.encode(text)) for text in strings]
    cases += [(None, [rng.choice([rng.randrange(tok.first), tok.first + rng.randrange(256),
                                  rng.randrange(tok.size + 2)]) for _ in range(rng.randint(1, 12))])
              for _ in range(num_decode)]
    for text, ids in cases:
        as_text = None if text is None else tok.words(text)
        plain, skipped = tok.decode(ids, False), tok.decode(ids, True)
        lines.append([text, ids, None if as_text == ids else as_text,
                      None if plain == text else plain, None if skipped == plain else skipped])
    return lines


def make_tekken():
    rng = random.Random(SEED)
    few = ["<unk>", "<s>", "</s>", "[INST]", "[INST", "[IMG]", "[IM"]
    ties = ["".join(rng.choice("ab") for _ in range(rng.randint(3, 14))) for _ in range(150)]
    ties += [" imagexy", "an imagexy", "<s", "naïve <s>", "a?\n/b", "'Tis I'More नमस्ते สวัสดี"]
    lines = []
    for name, special, num, version, count in (("tekken", None, 40, "v7", 1000),
                                               ("tekken named", few, 9, "v11", 200)):
        spec = tekken_json(tekken_tokens(), special, num, version)
        strings = random_strings(SEED + 4, count, Tekken(spec).special)
        lines += tekken_section(name, spec, strings + ties, 200)
    write("tekken", lines)


def make_bundled(path):
    data = pathlib.Path(path).read_bytes()
    tok = Tokenizer.from_str(data.decode())
    strings = random_strings(SEED, 10000, added_contents(tok))
    sha256 = hashlib.sha256(data).hexdigest()
    write("bundled", section("bundled", tok, strings, 500, (), None, sha256))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundled", metavar="FILE")
    parser.add_argument("--tekken", action="store_true")
    args = parser.parse_args()
    if args.tekken:
        make_tekken()
    elif args.bundled:
        make_bundled(args.bundled)
    else:
        make_synthetic()


if __name__ == "__main__":
    main()
