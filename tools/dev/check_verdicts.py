#!/usr/bin/env python3
"""Compares the list of src/api/export_verdict.c with the converter of llama.cpp.

    tools/dev/check_verdicts.py LLAMA

LLAMA: as tools/dev/llama_cpp makes it. Each architecture must be registered on the classes that the
list names, of a language model and of a tower, and on no other. As in the converter (base.py,
get_model_architecture), the architecture of a part's own config goes before that of the whole.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def registered(source):
    """By architecture: the classes of language models, and those of towers."""
    found = {}
    for path in sorted((source / "conversion").glob("*.py")):
        # Other decorators and comments may stand between, and other names of the same class.
        text = path.read_text()
        rows = re.findall(r"^@ModelBase\.register\(([^)]*)\)"
                          r"(?=(?:(?!class )[^\n]*\n)*?class (\w+)\(([^)]*)\))", text, re.M)
        if len(rows) != len(re.findall(r"^@ModelBase\.register\(", text, re.M)):
            sys.exit(f"cannot read the classes of {path}")
        for names, name, bases in rows:
            for architecture in re.findall(r'^[^#\n]*?"([^"]+)"', names, re.M) + \
                    re.findall(r',\s*"([^"]+)"', names):
                kind = 1 if "Mmproj" in bases or "Vision" in bases else 0
                found.setdefault(architecture, [set(), set()])[kind].add(name)
    return found


def main():
    found = registered(pathlib.Path(sys.argv[1]) / "llama.cpp")
    text = (ROOT / "src" / "api" / "export_verdict.c").read_text()
    table, = re.findall(r"^} converters\[\] = \{\n(.*?)^\};", text, re.M | re.S)
    rows = [[None if word == "NULL" else word.strip('"')
             for word in re.findall(r'NULL|"[^"]+"', row)]
            for row in re.findall(r"\{(.*?)\}", table, re.S)]
    bad = 0
    for architecture, text_class, tower_class, *parts in rows:
        _, *own = parts or (None, architecture, architecture)
        want = [{c} if c else set() for c in (text_class, tower_class)]
        got = [found.get(own[kind], [set(), set()])[kind] for kind in (0, 1)]
        print(f"{'same' if got == want else 'DIFFERS'} {architecture}: {got}")
        bad += got != want
    print(f"# {len(rows) - bad} passed, {bad} failed, 0 skipped")
    return bad or not rows


sys.exit(main())
