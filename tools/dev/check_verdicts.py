#!/usr/bin/env python3
"""Compares the list of src/api/export_verdict.c with the converter of llama.cpp.

    tools/dev/check_verdicts.py LLAMA

LLAMA: as tools/dev/llama_cpp makes it. Each architecture must be registered on the classes that the
list names, of a language model and of a tower, and on no other.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def registered(source):
    """By architecture: the classes of language models, and those of towers."""
    found = {}
    for path in sorted((source / "conversion").glob("*.py")):
        for names, name, bases in re.findall(
                r"@ModelBase\.register\(([^)]*)\)\s*(?:@[^\n]*\n\s*)*class (\w+)\(([^)]*)\)",
                path.read_text()):
            for architecture in re.findall(r'^[^#\n]*?"([^"]+)"', names, re.M) + \
                    re.findall(r',\s*"([^"]+)"', names):
                kind = 1 if "Mmproj" in bases or "Vision" in bases else 0
                found.setdefault(architecture, [set(), set()])[kind].add(name)
    return found


def main():
    found = registered(pathlib.Path(sys.argv[1]) / "llama.cpp")
    text = (ROOT / "src" / "api" / "export_verdict.c").read_text()
    rows = re.findall(r'^    \{"(\w+)", (NULL|"\w+"), (NULL|"\w+")\}', text, re.M)
    bad = 0
    for architecture, *classes in rows:
        want = [set() if c == "NULL" else {c.strip('"')} for c in classes]
        got = found.get(architecture, [set(), set()])
        print(f"{'same' if got == want else 'DIFFERS'} {architecture}: {got}")
        bad += got != want
    print(f"# {len(rows) - bad} passed, {bad} failed, 0 skipped")
    return bad or not rows


sys.exit(main())
