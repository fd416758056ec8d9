#!/usr/bin/env python3
"""Makes tests/golden/chat/: conversations of several turns, about images of tests/golden/models,
with the ids that a family's chat template gives, and which of them answers are.

    make_chat_goldens.py CASE... [--out DIR]

CASE is a folder of tests/golden/models; a family of tools/dev/families has it. Versions:
transformers 5.23.0, tokenizers 0.23.3, Pillow 13.0.0. Nothing is random.

    CASE.json    a list of {"messages": as in OpenAI's interface, "ids", "labels"}; paths are
                 relative to the case's folder. A conversation that a user ends is a prompt.
"""
import argparse
import json
import pathlib

from families import qwen2_vl

FAMILIES = [qwen2_vl]
ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden"


def image(name):
    return {"type": "image", "path": f"images/{name}.png"}


def text(words):
    return {"type": "text", "text": words}


def turn(role, *parts):
    content = parts[0] if isinstance(parts[0], str) else list(parts)
    return {"role": role, "content": content}


CONVERSATIONS = [
    [turn("system", "be brief"), turn("user", image("one"), image("two"), text("which is large?")),
     turn("assistant", "the first"), turn("user", "and what is the other?")],
    [turn("user", "how are you?"), turn("assistant", "gut, dänke ☕"),
     turn("user", text("what is this?"), image("two")), turn("assistant", "a red circle")],
    [turn("user", text("here"), image("two"), text(" and there "), image("one"), text("?"))],
    [turn("system", ""), turn("user", "\n a \n\n")],
    [turn("system", text("be "), text("long")), turn("user", image("one")),
     turn("assistant", text("a"), text(" house")), turn("user", image("one"), text("again"))],
]


def encode(encoder, folder, messages):
    """A conversation that ends with an answer ends with the answer's end."""
    ends = messages[-1]["role"] == "assistant"
    shown = [folder / part["path"] for m in messages if isinstance(m["content"], list)
             for part in m["content"] if part["type"] == "image"]
    written = encoder.tok.apply_chat_template(messages, tokenize=False,
                                              add_generation_prompt=not ends)
    if ends:
        written = written.removesuffix("\n")
    return encoder.inputs(written, shown)["input_ids"][0].tolist()


def label(encoder, folder, messages, ids):
    labels = [0] * len(ids)
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        given, whole = (encode(encoder, folder, messages[:n]) for n in (i, i + 1))
        assert ids[:len(whole)] == whole and whole[:len(given)] == given
        labels[len(given):len(whole)] = [1] * (len(whole) - len(given))
    return labels


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "chat")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for case in args.cases:
        folder = ROOT / "models" / case
        family = next(f for f in FAMILIES if any(s.name == case for s in f.SPECS))
        encoder = family.Encoder(folder / "base")
        rows = []
        for messages in CONVERSATIONS:
            ids = encode(encoder, folder, messages)
            rows.append({"messages": messages, "ids": ids,
                         "labels": label(encoder, folder, messages, ids)})
        lines = ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows)
        (args.out / f"{case}.json").write_text(f"[{lines}]\n")


if __name__ == "__main__":
    main()
