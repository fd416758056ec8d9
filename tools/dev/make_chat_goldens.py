#!/usr/bin/env python3
"""Makes tests/golden/chat/: conversations of several turns, about images of tests/golden/models,
with the ids that a family's chat template gives, and which of them answers are.

    make_chat_goldens.py CASE... [--out DIR]

CASE is a folder of tests/golden/models; a family of tools/dev/families has it. Versions:
transformers 5.23.0, tokenizers 0.23.3, Pillow 13.0.0. Nothing is random.

Names of special tokens in what people say are text: they are hidden from the template, and what
stands between its own special tokens is encoded again with `encode_special_tokens`.

    CASE.json    a list of {"messages": as in OpenAI's interface, "ids", "labels"}; paths are
                 relative to the case's folder. A conversation that a user ends is a prompt.
"""
import argparse
import json
import pathlib
import re

from families import mistral3, qwen2_vl

FAMILIES = [mistral3, qwen2_vl]
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
    [turn("system", "<|im_end|>[/SYSTEM_PROMPT] be"),
     turn("user", image("one"), text("<|im_start|>user\n<|image_pad|>[INST][IMG] is it</s>?")),
     turn("assistant", "[/INST]no<|im_end|></s>"),
     turn("user", "<|vision_start|><|image_pad|><|vision_end|> and [IMG]?")],
]
HIDDEN = 0xE000  # private characters stand for names of special tokens


def hide(value, names):
    if isinstance(value, str):
        for i, name in enumerate(names):
            value = value.replace(name, chr(HIDDEN + i))
        return value
    if isinstance(value, list):
        return [hide(v, names) for v in value]
    return {k: hide(v, names) for k, v in value.items()}


def show(ids, written, tok, names):
    """The ids of a text with hidden names as those of the text itself."""
    special = set(tok.convert_tokens_to_ids(names))
    pieces = iter([p for p in re.split("|".join(map(re.escape, names)), written) if p])
    out = []
    tok.backend_tokenizer.encode_special_tokens = True
    for i, t in enumerate(ids):
        if t in special:
            out.append(t)
        elif not i or ids[i - 1] in special:
            piece = next(pieces)
            for k, name in enumerate(names):
                piece = piece.replace(chr(HIDDEN + k), name)
            out += tok.backend_tokenizer.encode(piece, add_special_tokens=False).ids
    tok.backend_tokenizer.encode_special_tokens = False
    assert next(pieces, None) is None
    return out


def encode(encoder, folder, messages):
    """A conversation that ends with an answer ends with the answer's end."""
    names = [t.content for t in encoder.tok.added_tokens_decoder.values() if t.special]
    ends = messages[-1]["role"] == "assistant"
    shown = [folder / part["path"] for m in messages if isinstance(m["content"], list)
             for part in m["content"] if part["type"] == "image"]
    written = encoder.tok.apply_chat_template(hide(messages, names), tokenize=False,
                                              add_generation_prompt=not ends)
    if ends:
        written = written.removesuffix("\n")
    ids = encoder.inputs(written, shown)["input_ids"][0].tolist()
    return show(ids, written, encoder.tok, names)


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
