#!/usr/bin/env python3
"""Compares `dlm tokenize` with the `tokenizers` library on real vocabularies, and with tiktoken on
tekken.json files (those of PyPI's mistral-common).

    check_real_tokenizers.py --dlm PROGRAM [--paligemma] [--special-as-text ARG] FILE...

FILE is a tokenizer.json or tekken.json, or one compressed as .json.xz. Each goes through
`PROGRAM tokenize --tokenizer FILE --raw --json -`, which reads one JSON string a line and prints
{"ids": [...]} for each. If a line also has "text", it is compared with the library's decoding.
--paligemma adds <image>, <loc0000..1023> and <seg000..127> first, as PaliGemmaProcessor does.
--special-as-text passes ARG to the program and compares with the library's encode_special_tokens.
Exits 1 if anything differs.
"""
import argparse
import json
import lzma
import pathlib
import subprocess
import sys
import tempfile

from tokenizers import AddedToken, Tokenizer

from make_tokens_goldens import Tekken, added_contents, random_strings


def read(path):
    data = pathlib.Path(path).read_bytes()
    return lzma.decompress(data) if path.endswith(".xz") else data


def strings_for(added, count):
    """Random strings, and lines of text long enough for merges far from their ends."""
    strings = random_strings(1, count, added)
    strings += ["".join(strings[i:i + 40]) for i in range(0, len(strings), 400)]
    strings += ["x" * 20000, " " * 5000, "\n" * 5000, "ab " * 5000, "é" * 5000, "\u0301" * 2000]
    return strings


def check_tekken(args, path, data):
    tok = Tekken(json.loads(data))
    strings = strings_for(tok.special[:25], args.count)
    want = [tok.words(s) if args.special_as_text else tok.encode(s) for s in strings]
    return compare(args, path, data.decode(), strings, want, lambda ids: tok.decode(ids, False))


def check(args, path):
    data = read(path)
    if "vocab" in json.loads(data):
        return check_tekken(args, path, data)
    tok = Tokenizer.from_str(data.decode())
    if args.paligemma:
        tok.add_special_tokens([AddedToken("<image>", normalized=False, special=True)])
        tok.add_tokens([f"<loc{i:04}>" for i in range(1024)] + [f"<seg{i:03}>" for i in range(128)])
    tok.encode_special_tokens = bool(args.special_as_text)
    strings = strings_for(added_contents(tok), args.count)
    want = [tok.encode(s, add_special_tokens=False).ids for s in strings]
    return compare(args, path, tok.to_str(), strings, want,
                   lambda ids: tok.decode(ids, skip_special_tokens=False))


def compare(args, path, spec, strings, wanted, decode):
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as f:
        f.write(spec)
        f.flush()
        command = [args.dlm, "tokenize", "--tokenizer", f.name, "--raw", "--json"]
        command += [args.special_as_text] if args.special_as_text else []
        run = subprocess.run(command + ["-"], text=True, encoding="utf-8", stdout=subprocess.PIPE,
                             input="".join(json.dumps(s) + "\n" for s in strings))
    lines = run.stdout.rstrip("\n").split("\n")
    bad = 0
    for text, line, want in zip(strings, lines, wanted):
        got = json.loads(line)
        same = got.get("ids") == want
        if same and "text" in got:
            same = got["text"] == decode(want)
        bad += not same
        if not same and bad <= 5:
            print(f"{text!r}\n  got  {got}\n  want {want}")
    bad += abs(len(lines) - len(strings)) + bool(run.returncode)
    print(f"{path}: {len(strings)} strings, {bad} differ")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dlm", required=True, metavar="PROGRAM")
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--paligemma", action="store_true")
    parser.add_argument("--special-as-text", metavar="ARG")
    parser.add_argument("files", nargs="+", metavar="FILE")
    args = parser.parse_args()
    sys.exit(1 if sum([check(args, path) for path in args.files]) else 0)


if __name__ == "__main__":
    main()
