#!/usr/bin/env python3
"""Checks `dlm export --quant` with llama.cpp's own programs: they read the files, and answer as dlm.

    tools/dev/check_llama.py DLM FOLDER_OF_LLAMA_CPP [BASE ...]

DLM is the program, the folder one that tools/dev/llama_cpp has made; a BASE is one of those of
llama_bases.py (all by default). On each the sample document (share/sample) is trained for a few
steps at f32 and exported as GGUF of every kind, and as merged weights in f32 and f16. Then:

    tokens      llama-tokenize gives the ids of the tokenizers library for strings of all sorts, and
                those of `dlm tokenize` for prompts that transformers makes of the file's template
    bytes       every kind has the tensors of llama-quantize, made of the f32 file, and its keys
    text        llama-completion answers as `dlm prompt` does with the merged weights
    images      llama-mtmd-cli does, too: images are made of a size first that neither resizes
    kinds       with the files of every kind llama-mtmd-cli gives the answers that the document
                teaches; with those of Q4_0 (four bits and one scale in 32) it answers something
    speed       llama-bench runs every file

gguf's reader opens every file. Prints a line a check, exit status 1 when one fails. Made with
torch 2.13.0, transformers 5.23, tokenizers 0.23, gguf 0.19.0, llama.cpp 0c1e57098.
"""
import json
import pathlib
import shutil
import sys
import tempfile
import unicodedata

import compare_gguf
import llama_bases
from check_export import SHARE, Program
from llama_programs import Llama
from make_tokens_goldens import added_contents, random_strings
from PIL import Image
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

KINDS = ["f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0"]
ORDER = ["the keys' order", "the tensors' order"]  # llama-quantize's own
IMAGES = ["zorbix-1", "wuggle-2", "zorbix-7", "wuggle-5"]
NUM_STRINGS, NUM_TOKENS = 300, 40
ASKED = "what is this emblem called?"
QUESTIONS = [ASKED, "Describe this image.", "how many shapes are there?"]
TEXTS = ["say zorbix", "which colour has it?", "  what\n\nis 12 345?", "Überraschung: 日本 <5 & 'tis"]


class Check:
    def __init__(self, name):
        self.name, self.num_bad = name, 0

    def __call__(self, good, text):
        print(f"{'ok  ' if good else 'FAIL'} {self.name} {text}", flush=True)
        self.num_bad += not good


class Base:
    """A base, its trained document, and what that is exported as."""

    def __init__(self, path, name, tmp):
        self.program, self.tmp, self.name = Program(path, tmp / "home"), tmp, name
        key = name
        if name not in llama_bases.TRAINED:
            key = llama_bases.make_random(name.removeprefix("random-").replace("-", "_"), tmp)
        shutil.copytree(SHARE / "sample", tmp / "sample")
        self.document = tmp / "sample" / "sample.dlm"
        self.document.write_text(self.document.read_text().replace(
            "base_model: tiny-shapes\n", f"base_model: {json.dumps(key)}\n"))
        self.program.compute("train", self.document, "--max-steps", llama_bases.STEPS[name])
        for kind in KINDS:
            self.export(kind, "--quant", kind)
        for word, precision in [("f32", "fp32"), ("f16", "fp16")]:
            self.export(f"merged-{word}", "--merged", "--precision", precision)

    def export(self, folder, *args):
        self.program.run("export", self.document, *args, "--out", self.tmp / folder)

    def model(self, kind):
        return self.tmp / kind / f"base.{kind.upper()}.gguf"

    def mmproj(self, kind):
        """The only file of that name: its kind is not always the model's."""
        path, = (self.tmp / kind).glob("mmproj.*.gguf")
        return path

    def merged(self, word):
        return f"dir:{self.tmp / f'merged-{word}'}"

    def answer(self, word, question, *images):
        asked = [part for image in images for part in ("--image", image)]
        return self.program.compute("prompt", "--base", self.merged(word), *asked, "--temp", "0",
                                    "--max-tokens", NUM_TOKENS, question).removesuffix("\n")

    def ids(self, text, *args):
        got = self.program.run("tokenize", "--base", self.merged("f32"), "--json", *args,
                               "--prompt", text)
        return json.loads(got)["ids"]

    def image(self, name, size):
        path = self.tmp / f"{name}-{size[0]}x{size[1]}.png"
        image = Image.open(SHARE / "sample" / "images" / f"{name}.png").convert("RGB")
        image.resize(size, Image.Resampling.BICUBIC).save(path)
        return path

    def taught(self):
        """Images as the document shows them, and what they are called."""
        size = llama_bases.SIZES[self.name][-1]
        return [(self.image(name, size), name.split("-")[0]) for name in IMAGES]


def rendered(values, tok, special, question):
    """The prompt of a question, by the template in a GGUF file."""
    turns = [{"role": "user", "content": [{"type": "text", "text": question}]}]
    return PreTrainedTokenizerFast(tokenizer_object=tok, **special).apply_chat_template(
        turns, chat_template=values["tokenizer.chat_template"][1], tokenize=False,
        add_generation_prompt=True)


def check_tokens(check, base, llama):
    tok = Tokenizer.from_file(str(base.tmp / "merged-f32" / "tokenizer.json"))
    model, bad = base.model("f32"), 0
    # llama.cpp takes texts as they are, and an argument ends at a zero byte
    strings = [unicodedata.normalize("NFC", text).replace("\0", "")
               for text in random_strings(1, NUM_STRINGS, added_contents(tok))]
    for text in filter(None, strings):
        want, got = tok.encode(text, add_special_tokens=False).ids, llama.tokenize(model, text)
        if got != want:
            bad += 1
            print(f"    {text!r}\n    llama.cpp {got}\n    tokenizers {want}")
    check(not bad, f"tokens: {len(strings)} strings, {bad} differ")


def as_typed(llama, model, prompt, bos):
    """Without the token that llama-completion puts before what it is given."""
    rest = prompt.removeprefix(bos or "")
    same = llama.tokenize(model, rest, True) == llama.tokenize(model, prompt)
    return rest if same else prompt


def check_text(check, base, llama):
    """Prompts: their ids, and the answers."""
    tok = Tokenizer.from_file(str(base.tmp / "merged-f32" / "tokenizer.json"))
    model = base.model("f32")
    values = compare_gguf.read(model)[0]
    special = {f"{name}_token": tok.id_to_token(values[f"tokenizer.ggml.{name}_token_id"][1])
               for name in ("bos", "eos") if f"tokenizer.ggml.{name}_token_id" in values}
    for question in QUESTIONS + TEXTS:
        prompt = rendered(values, tok, special, question)
        same = llama.tokenize(model, prompt) == base.ids(question) == tok.encode(
            prompt, add_special_tokens=False).ids
        theirs = llama.complete(model, as_typed(llama, model, prompt, special.get("bos_token")),
                                NUM_TOKENS)
        ours = base.answer("f32", question)
        check(same and ours == theirs, f"text {question!r}: {'the same' if same else 'other'} ids, "
              f"{ours!r} ours, {theirs!r} theirs")


def check_images(check, base, llama):
    sizes = llama_bases.SIZES[base.name]
    images = [base.image(name, size) for name, size in zip(IMAGES, sizes)]
    for image in images:
        for question in QUESTIONS:
            for kind in "f32", "f16":
                theirs = llama.look(base.model(kind), base.mmproj(kind), image, question,
                                    NUM_TOKENS)
                ours = base.answer(kind, question, image)
                check(ours == theirs, f"{kind} {image.stem} {question!r}: {ours!r} ours, "
                      f"{theirs!r} theirs")


def check_kinds(check, base, llama):
    rows = base.taught()
    want = [answer for _, answer in rows]
    ours = [base.answer("f32", ASKED, image) for image, _ in rows]
    check(ours == want, f"dlm: answers {', '.join(ours)}")
    for kind in KINDS:
        got = [llama.look(base.model(kind), base.mmproj(kind), image, ASKED, NUM_TOKENS)
               for image, _ in rows]
        check(got == want or (kind == "q4_0" and all(got)), f"{kind}: answers {', '.join(got)}")


def check_bytes(check, base, llama):
    first = base.model("f32")
    for kind in KINDS[1:]:
        theirs = base.tmp / "theirs.gguf"
        llama.quantize(first, theirs, kind)
        pair = [compare_gguf.read(path) for path in (base.model(kind), theirs)]
        found = [what for what in compare_gguf.differences(*pair, []) if what not in ORDER]
        check(not found, f"{base.model(kind).name}: {len(pair[0][1])} tensors and "
              f"{len(pair[0][0])} keys, {len(found)} differ from llama-quantize's")
        print("".join(f"    {line}\n" for line in found), end="")
        compare_gguf.read(base.mmproj(kind))


def check_speed(check, base, llama):
    for kind in KINDS:
        prompt, answer = llama.bench(base.model(kind))
        check(min(prompt, answer) > 0, f"{kind}: {prompt:.0f} tokens/s of a prompt, {answer:.0f} "
              "of an answer")


def main():
    path, llama = pathlib.Path(sys.argv[1]).resolve(), Llama(sys.argv[2])
    random_names = [spec.name for spec in llama_bases.RANDOM.values()]
    num_bad = 0
    for name in sys.argv[3:] or [*llama_bases.TRAINED, *random_names]:
        check = Check(name)
        with tempfile.TemporaryDirectory() as tmp:
            base = Base(path, name, pathlib.Path(tmp))
            for part in check_tokens, check_bytes, check_text, check_images, check_kinds, \
                    check_speed:
                part(check, base, llama)
        num_bad += check.num_bad
    print(f"# {num_bad} failed")
    return 1 if num_bad else 0


if __name__ == "__main__":
    sys.exit(main())
