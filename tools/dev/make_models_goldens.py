#!/usr/bin/env python3
"""Makes tests/golden/models/: tiny random checkpoints of each family with what transformers and
PEFT compute on them.

    make_models_goldens.py [--out DIR] [--family FAMILY] [NAME ...]

Versions: torch 2.13.0 (CPU), transformers 5.23.0, peft 0.21.2, tokenizers 0.23.3, Pillow 13.0.0;
bitsandbytes 0.50.2 and gguf 0.19.0 for the cases with a quantised base.
Seeds stand in the specifications of the families (families/). All models compute in f32, with eager
attention; f16 and bf16 files are widened while loading. The maker repeats gradients and traces in
f64 and refuses a case that rounding alone could make fail.

A case is one folder:
    base/              the checkpoint
    images/*.png       what the document and the scores look at
    adapter/           PEFT adapter on the language model, random B
    adapter_wide/      the same with modules of the vision tower and the projector
    doc.dlm            the document of the traces
    chats/*.json       conversations of several turns, as OpenAI's messages; not of all families
    expected.json      scores (log-probabilities, loss, gradient file) of questions and of chats,
                       generations (greedy), training (losses, gradient norms and rates of 20 steps, each over all
                       rows), rows
    gradients*.safetensors   d loss / d A and d B under PEFT's names, of the scores with an adapter
compare_models.py makes further cases with random specifications through make_case().
"""
import argparse
import hashlib
import json
import pathlib
import random
import shutil
from dataclasses import dataclass

import peft
import tokenizers
import torch
import transformers
from peft import LoraConfig, get_peft_model
from PIL import Image, ImageDraw
from safetensors.torch import save_file

import families
from families import quant
from families.common import CORPUS, dump, write_tensors
from models_reference import NUM_STEPS, Reference, Row, label_logprobs

OUT = pathlib.Path(__file__).resolve().parent.parent.parent / "tests" / "golden" / "models"
MIN_MARGIN = 4e-3     # between the best and the second logit of a greedy step
MIN_DISTINCT = 12     # different tokens in a greedy answer
MAX_ROUNDING = 1e-4   # relative difference of f32 and f64: a tenth of the tests' tolerances
MAX_LOGPROB_ROUNDING = 3e-5


# --- checkpoint ----------------------------------------------------------------------------------

def randomise(family, model, tokens, seed):
    """Every parameter random, so that none can be left out unnoticed."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(family.shape_noise(name, torch.randn(p.shape, generator=gen), tokens))
    return model


def write_checkpoint(family, folder, spec, seed):
    folder.mkdir(parents=True)
    tokens = family.write_files(folder, spec)
    model = randomise(family, family.MODEL(family.make_config(spec, tokens)), tokens, seed)
    model = model.to(spec.dtype)
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    family.rewrite_config(folder, spec)
    tensors = {family.disk_name(n, spec.names): p.detach().contiguous()
               for n, p in model.named_parameters()}
    if spec.quant == "bnb":
        tensors = {k: v for n, p in tensors.items()
                   for k, v in (quant.saved(n, p) if quant.is_quantised(n) else {n: p}).items()}
        quant.mark_config(folder)
    write_tensors(folder, tensors, spec.num_shards)
    if spec.quant == "bnb":
        return
    loaded = Reference(family, folder).model()
    for (n, a), (m, b) in zip(model.named_parameters(), loaded.named_parameters()):
        assert n == m and torch.equal(a.float(), b), f"transformers does not read {n}"


def make_image(path, rng):
    w, h = rng.randint(12, 60), rng.randint(12, 60)
    im = Image.new("RGB", (w, h), tuple(rng.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(im)
    for _ in range(4):
        x, y = rng.randrange(w), rng.randrange(h)
        box = (x, y, x + rng.randint(3, w // 2), y + rng.randint(3, h // 2))
        shape = rng.choice([draw.rectangle, draw.ellipse])
        shape(box, fill=tuple(rng.randrange(256) for _ in range(3)))
    im.save(path)


# --- document ------------------------------------------------------------------------------------

@dataclass
class SectionRow(Row):
    section_id: str = ""
    index: int = 0

    @property
    def name(self):
        return f"{self.section_id}:{self.index}"


def section_id(kind, text):
    return hashlib.sha256(f"{kind}\n{text}".encode()).hexdigest()[:16]


def is_held_out(seed, row):
    digest = hashlib.sha256(f"{seed}\0{row.section_id}\0{row.index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2 ** 64 < 0.1


def phrase(rng, low, high):
    return " ".join(rng.choice(CORPUS) for _ in range(rng.randint(low, high)))


def make_body(family, images, num_rows, rng):
    """Text of the body, and its rows: sections in turn an image with caption,
    a question about it, prose, a question without image."""
    parts, rows = [], []
    while len(rows) < num_rows:
        kind = ["image", "about", "prose", "question"][len(parts) % 4]
        if kind == "image":
            image = images[len(parts) // 4 % len(images)]
            path = f"images/{image.name}"
            blob = hashlib.sha256(image.read_bytes()).hexdigest()
            caption = phrase(rng, 2, 5)
            parts.append(f'::image path="{path}" alt="a drawing"::\n{caption}\n')
            sid = section_id("image", f"{path}\n{blob}")
            index = sum(r.section_id == sid for r in rows)
            rows.append(SectionRow(family.CAPTION, caption, (image,), sid, index))
        elif kind == "prose":
            text = phrase(rng, 4, 8).capitalize() + ".\n"
            parts.append("::prose::\n" + text)
            rows.append(SectionRow(None, text.strip(), (), section_id("prose", text)))
        else:
            num = 2 if kind == "about" and num_rows - len(rows) > 1 else 1
            pairs = [(phrase(rng, 2, 4) + "?", phrase(rng, 1, 4)) for _ in range(num)]
            text = "\n".join(f"### Q\n{q}\n### A\n{a}" for q, a in pairs) + "\n"
            parts.append("::instruction::\n" + text)
            for i, (q, a) in enumerate(pairs):
                rows.append(SectionRow(q, a, (image,) if kind == "about" else (),
                                       section_id("instruction", text), i))
    # One blank line between sections ends the content of each with "\n"; the last one has its own.
    return "\n".join(parts) + "\n", rows


def make_document(family, folder, spec, images, rng):
    """Writes doc.dlm; returns seed, trained rows and rows held out. Every optimiser step takes all
    trained rows, so that their order does not matter."""
    t = spec.training
    num_rows = t["micro_batch_size"] * t["grad_accum"] + spec.num_held_out
    body, rows = make_body(family, images, num_rows, rng)
    seed = next(s for s in range(100000)
                if sum(is_held_out(s, r) for r in rows) == spec.num_held_out)
    ulid = "".join(rng.choice("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(25))
    lora = spec.adapter
    lines = ["---", f"dlm_id: 0{ulid}", "dlm_version: 15", 'base_model: "dir:base"', "training:",
             f"  lora_r: {lora['r']}", f"  lora_alpha: {lora['lora_alpha']}", "  lora_dropout: 0.0",
             f"  sequence_len: {spec.sequence_len}", f"  num_epochs: {NUM_STEPS}", f"  seed: {seed}"]
    form = {"adapter": "qlora", **quant.FORMS[spec.quant]} if spec.quant else {}
    lines += [f"  {k}: {json.dumps(v)}" for k, v in {**t, **form}.items()]
    (folder / "doc.dlm").write_text("\n".join(lines) + "\n---\n\n" + body)
    held_out = [r for r in rows if is_held_out(seed, r)]
    return seed, [r for r in rows if r not in held_out], held_out


# --- adapters ------------------------------------------------------------------------------------

def make_adapter(folder, reference, options, targets, seed):
    torch.manual_seed(seed)
    config = LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0,
                        **{"target_modules": targets, **options})
    model = get_peft_model(reference.model(), config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.copy_(torch.randn(p.shape) * 0.1)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    saved = json.loads((folder / "adapter_config.json").read_text())
    saved["base_model_name_or_path"] = None  # the path of this machine
    if isinstance(saved["target_modules"], list):
        saved["target_modules"].sort()  # a set: its order changes from run to run
    dump(folder / "adapter_config.json", saved, 2)


# --- cases ---------------------------------------------------------------------------------------

def check_rounding(what, single, double):
    diff = (torch.as_tensor(single).double() - torch.as_tensor(double).double()).norm()
    norm = torch.as_tensor(double).double().norm().item()
    rel = diff.item() / norm if norm else diff.item()
    assert rel < MAX_ROUNDING, f"{what}: f32 and f64 differ by {rel:.2e}"


def image_member(images):
    """Of expected.json: null, a name, or several."""
    return images[0] if len(images) == 1 else list(images) or None


def make_generations(folder, reference, questions):
    out = []
    for adapter in (None, "adapter", "adapter_wide"):
        model = reference.adapted(folder / adapter) if adapter else reference.model()
        for question, images in questions:
            got = reference.greedy(model, question, [folder / image for image in images])
            out.append({"adapter": adapter, "prompt": question, "image": image_member(images),
                        **got})
    return out


def score_gradients(folder, reference, adapter, inputs, labels):
    """Log-probabilities and gradients with an adapter, which rounding changes little."""
    logprobs, grads = reference.gradients(folder / adapter, inputs, labels, torch.float32)
    exact, double = reference.gradients(folder / adapter, inputs, labels, torch.float64)
    diff = (logprobs - exact).abs().max().item()
    assert diff < MAX_LOGPROB_ROUNDING, f"f32 and f64 differ by {diff:.2e}"
    grads = {n: g for n, g in grads.items() if g is not None}  # tower without an image
    for n, g in grads.items():
        check_rounding(n, g, double[n])
    return logprobs, grads


def make_scores(folder, reference, questions):
    out = []
    for adapter in (None, "adapter", "adapter_wide"):
        for i, (question, images, answer) in enumerate(questions):
            paths = tuple(folder / image for image in images)
            inputs, labels = reference.encoder.row(Row(question, answer, paths))
            file = None
            if adapter:
                logprobs, grads = score_gradients(folder, reference, adapter, inputs, labels)
                if i == 0:
                    file = f"gradients{adapter[len('adapter'):]}.safetensors"
                    save_file(grads, folder / file)
            else:
                with torch.no_grad():
                    logprobs = label_logprobs(reference.model(), inputs, labels)
            ids = inputs["input_ids"][0].tolist()
            end = max(i for i, learned in enumerate(labels) if learned) + 1
            out.append({"adapter": adapter, "prompt": question, "image": image_member(images),
                        "target": answer, "input_ids": ids[:end],
                        "ids": [i for i, learned in zip(ids, labels) if learned],
                        "logprobs": logprobs.tolist(), "loss": -logprobs.mean().item(),
                        "gradients": file})
    return out


def make_chats(folder, reference):
    """System prompts, several turns and images, images among texts, a text in two parts."""
    def text(words):
        return {"type": "text", "text": words}

    def image(name):
        return {"type": "image", "path": f"../images/{name}.png"}

    def turn(role, *parts):
        return {"role": role, "content": list(parts)}

    system = turn("system", text("Answer in one word, don't explain: 1 < 2."))
    red, two = turn("assistant", text("A red\nsquare.")), turn("assistant", text("two"))
    chats = [
        [system, turn("user", image("one"), text("which colour has it?")), red,
         turn("user", text("how many shapes are there?")), two],
        [turn("user", text("is this "), image("two"), text(" or that\n"), image("one"),
              text("?")), two, turn("user", image("two"), text("\nand th"), text("is?")), red],
        [system, turn("user", text(" short"))],
    ]
    out = []
    (folder / "chats").mkdir(exist_ok=True)
    for i, messages in enumerate(chats):
        file = f"chats/{i}.json"
        dump(folder / file, messages)
        out.append({"file": file, **score_chat(folder / "chats", reference, messages)})
    return out


def score_chat(folder, reference, messages):
    def encoded(num):
        paths = [folder / part["path"] for turn in messages[:num] for part in turn["content"]
                 if part["type"] == "image"]
        return reference.encoder.conversation(messages[:num], paths)

    inputs = encoded(len(messages))
    ids = inputs["input_ids"][0].tolist()
    labels = [False] * len(ids)
    for i, turn in enumerate(messages):
        if turn["role"] == "assistant":
            begin, end = (encoded(num)["input_ids"].shape[1] for num in (i, i + 1))
            labels[begin:end] = [True] * (end - begin)
    logprobs = []
    if any(labels):
        with torch.no_grad():
            logprobs = label_logprobs(reference.model(), inputs, labels).tolist()
    return {"input_ids": ids, "ids": [i for i, learned in zip(ids, labels) if learned],
            "logprobs": logprobs}


def make_training(folder, reference, rows, spec):
    batch = [reference.encoder.row(row) for row in rows]
    out = []
    for adapter in ("adapter", "adapter_wide"):
        got = reference.trace(folder / adapter, batch, spec.training, torch.float32)
        double = reference.trace(folder / adapter, batch, spec.training, torch.float64)
        check_rounding(adapter, got["losses"], double["losses"])
        out.append({"adapter": adapter, **got})
    return out


def make_base(family, folder, spec, seed, rng):
    """Checkpoint, images and adapters from one seed."""
    shutil.rmtree(folder, ignore_errors=True)
    write_checkpoint(family, folder / "base", spec, seed)
    (folder / "images").mkdir()
    images = [folder / "images" / n for n in ("one.png", "two.png")]
    for image in images:
        make_image(image, rng)
    reference = Reference(family, folder / "base", spec.quant)
    for name, options, targets in (("adapter", spec.adapter, family.ATTENTION),
                                   ("adapter_wide", spec.adapter_wide, family.TOWER)):
        make_adapter(folder / name, reference, options, targets, seed)
    return images, reference


def is_proof(generation):
    return generation["margin"] > MIN_MARGIN and "\ufffd" not in generation["text"] and \
        len(set(generation["ids"])) >= MIN_DISTINCT


def make_case(family, folder, spec):
    """Makes one case; takes the first seed from spec.seed on whose greedy answers are a proof."""
    one, two = ("images/one.png",), ("images/two.png",)
    questions = [(family.CAPTION, one, "a red square on a blue ground"),
                 ("Which colour?", two, "Grün, 3."),
                 ("how many shapes are there?", (), "two small circles")]
    prompts = [(family.CAPTION, one), ("What is this Überraschung?", two),
               ("how many shapes are there?", ())]
    if family.SEVERAL_IMAGES:
        questions.append(("which is large?", two + one, "the blue star"))
        prompts.append(("which is large?", two + one))
    for seed in range(spec.seed, spec.seed + 10000, 100):
        rng = random.Random(seed)
        images, reference = make_base(family, folder, spec, seed, rng)
        # of a quantised base numbers alone are compared: what follows from them is proved without
        generations = [] if spec.quant else make_generations(folder, reference, prompts)
        if all(is_proof(g) for g in generations):
            break
    else:
        raise SystemExit(f"{spec.name}: every seed gives answers that repeat or hang on rounding")
    scores = make_scores(folder, reference, questions)
    doc_seed, rows, held_out = make_document(family, folder, spec, images, rng)
    dump(folder / "expected.json", {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                     "peft": peft.__version__, "tokenizers": tokenizers.__version__},
        **({"quant": spec.quant} if spec.quant else {}),
        "seed": seed, "document_seed": doc_seed, "scores": scores, "generations": generations,
        **({"chats": make_chats(folder, reference)}
           if hasattr(reference.encoder, "conversation") else {}),
        "rows": [r.name for r in rows], "held_out": [r.name for r in held_out],
        "training": make_training(folder, reference, rows, spec)})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=OUT)
    parser.add_argument("--family", choices=families.NAMES)
    parser.add_argument("--only-chats", action="store_true", help="of cases that are there")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in [args.family] if args.family else families.NAMES:
        family = families.family(name)
        for spec in family.SPECS:
            folder = args.out / spec.name
            if args.names and spec.name not in args.names:
                continue
            if args.only_chats:
                expected = json.loads((folder / "expected.json").read_text())
                expected["chats"] = make_chats(
                    folder, Reference(family, folder / "base", spec.quant))
                dump(folder / "expected.json", expected)
            else:
                make_case(family, folder, spec)
                size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
                print(f"{spec.name}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
