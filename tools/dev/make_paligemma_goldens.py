#!/usr/bin/env python3
"""Makes tests/golden/models/: tiny random PaliGemma checkpoints with what transformers and PEFT
compute on them.

    make_paligemma_goldens.py [--out DIR] [NAME ...]

Versions: torch 2.13.0 (CPU), transformers 5.23.0, peft 0.21.2, tokenizers 0.23.3, Pillow 13.0.0.
Seeds stand in the specifications below. All models compute in f32, with eager attention; f16 and
bf16 files are widened while loading. The maker repeats gradients and traces in f64 and refuses a
case that rounding alone could make fail.

A case is one folder:
    base/              the checkpoint
    images/*.png       what the document and the scores look at
    adapter/           PEFT adapter on the language model, random B
    adapter_wide/      the same with modules of the vision tower and the projector
    doc.dlm            the document of the traces
    expected.json      scores (log-probabilities, loss, gradient file), generations (greedy),
                       training (losses, gradient norms and rates of 20 steps, each over all
                       rows), rows
    gradients*.safetensors   d loss / d A and d B under PEFT's names, of the scores with an adapter
compare_paligemma.py makes further cases with random specifications through make_case().
"""
import argparse
import hashlib
import json
import math
import pathlib
import random
import re
import shutil
from dataclasses import dataclass, field

import peft
import tokenizers
import torch
import transformers
from peft import LoraConfig, get_peft_model
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

from paligemma_reference import (NUM_STEPS, Encoder, gradients, greedy, load_adapter, load_model,
                                 target_logprobs, trace)

OUT = pathlib.Path(__file__).resolve().parent.parent.parent / "tests" / "golden" / "models"
LM_ATTENTION = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj)"
TOWER = r"(.*language_model.*\.(q_proj|v_proj)" \
        r"|.*vision_tower.*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)" \
        r"|.*multi_modal_projector\.linear)"
MIN_MARGIN = 4e-3     # between the best and the second logit of a greedy step
MIN_DISTINCT = 12     # different tokens in a greedy answer
MAX_ROUNDING = 1e-4   # relative difference of f32 and f64: a tenth of the tests' tolerances
MAX_LOGPROB_ROUNDING = 3e-5

CORPUS = """caption en describe en answer en what is this image a red square on a blue ground two
green circles and one small triangle the large star is left of the moon how many shapes are there
three which colour has it the image shows an old house near water detect segment question long
short""".split()


@dataclass
class Spec:
    name: str
    seed: int
    dtype: torch.dtype
    num_shards: int
    names: str          # of the tensors on disk: "old", "new" (4.52 and up) or "v5"
    has_locations: bool  # <loc> and <seg> tokens in the vocabulary
    text: dict
    vision: dict
    image_size: int
    patch: int
    training: dict
    adapter: dict = field(default_factory=dict)
    adapter_wide: dict = field(default_factory=dict)
    num_pad_rows: int = 0  # rows of the embedding behind the last token
    num_held_out: int = 0  # rows of the document in the validation split

    @property
    def num_image_tokens(self):
        return (self.image_size // self.patch) ** 2


def text_shape(hidden, inter, layers, heads, kv_heads, head_dim):
    return {"hidden_size": hidden, "intermediate_size": inter, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim}


def vision_shape(hidden, inter, layers, heads):
    return {"hidden_size": hidden, "intermediate_size": inter, "num_hidden_layers": layers,
            "num_attention_heads": heads}


SPECS = [
    Spec("f32_old", 11, torch.float32, 1, "old", False, text_shape(72, 136, 2, 4, 1, 18),
         vision_shape(40, 72, 2, 4), 28, 14,
         {"learning_rate": 2e-3, "lr_scheduler": "constant", "warmup_ratio": 0.0,
          "micro_batch_size": 2, "grad_accum": 2},
         {"r": 4, "lora_alpha": 8}, {"r": 3, "lora_alpha": 5}),
    Spec("bf16_new", 23, torch.bfloat16, 3, "new", True, text_shape(88, 120, 2, 6, 1, 32),
         vision_shape(60, 100, 2, 3), 42, 14,
         {"learning_rate": 1e-3, "lr_scheduler": "cosine", "warmup_ratio": 0.1,
          "micro_batch_size": 2, "grad_accum": 3},
         {"r": 5, "lora_alpha": 9}, {"r": 4, "lora_alpha": 6,
                                     "rank_pattern": {"layers.1.self_attn.q_proj": 2, "fc1": 3},
                                     "alpha_pattern": {"out_proj": 11}},
         num_pad_rows=7),
    Spec("f16_patch7", 37, torch.float16, 2, "old", False, text_shape(100, 148, 2, 6, 2, 24),
         vision_shape(72, 132, 2, 4), 35, 7,
         {"learning_rate": 5e-4, "lr_scheduler": "linear", "warmup_ratio": 0.0,
          "micro_batch_size": 4, "grad_accum": 1, "gradient_checkpointing": True},
         {"r": 4, "lora_alpha": 4, "use_rslora": True, "target_modules":
             r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"},
         {"r": 2, "lora_alpha": 3, "target_modules": ["fc1", "k_proj", "linear", "o_proj"]},
         num_held_out=1),
]


# --- tokenizer -----------------------------------------------------------------------------------

def merges_of(words, num):
    """Byte pair merges of a few words: the most frequent pair first, ties by text."""
    parts = [["▁"] + list(w) for w in words] + [list(w) for w in words]
    merges = []
    while len(merges) < num:
        counts = {}
        for p in parts:
            for pair in zip(p, p[1:]):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        for p in parts:
            i = 0
            while i + 1 < len(p):
                if (p[i], p[i + 1]) == best:
                    p[i:i + 2] = [best[0] + best[1]]
                i += 1
    return merges


def make_tokenizer(has_locations):
    """Gemma's pipeline: no dummy prefix, byte fallback, newlines as added tokens. Capitals and
    whatever is not ASCII fall back to bytes."""
    merges = merges_of(CORPUS, 60)
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    newlines = ["\n", "\n\n"]
    content = special + newlines + [f"<0x{b:02X}>" for b in range(256)]
    content += [a + b for a, b in merges] + ["▁"]
    content += list("abcdefghijklmnopqrstuvwxyz0123456789.,?!'-")
    content = list(dict.fromkeys(content))
    extra = [f"<loc{i:04}>" for i in range(1024)] + [f"<seg{i:03}>" for i in range(128)]
    content += (extra if has_locations else []) + ["<image>"]
    vocab = {t: i for i, t in enumerate(content)}
    added = [{"id": vocab[t], "content": t, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": t in extra, "special": t in special or t == "<image>"}
             for t in special + newlines + (extra if has_locations else []) + ["<image>"]]
    return {
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
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
                  "byte_fallback": True, "ignore_merges": False, "vocab": vocab,
                  "merges": [list(m) for m in merges]},
    }


# --- checkpoint ----------------------------------------------------------------------------------

def make_config(spec, vocab_size, image_id):
    return PaliGemmaConfig(
        text_config={"model_type": "gemma", "vocab_size": vocab_size, "pad_token_id": 0,
                     "bos_token_id": 2, "eos_token_id": 1,
                     "num_image_tokens": spec.num_image_tokens, **spec.text},
        vision_config={"model_type": "siglip_vision_model", "image_size": spec.image_size,
                       "patch_size": spec.patch, "projection_dim": spec.text["hidden_size"],
                       "vision_use_head": False, **spec.vision},
        projection_dim=spec.text["hidden_size"], hidden_size=spec.text["hidden_size"],
        image_token_index=image_id, pad_token_id=0, bos_token_id=2, eos_token_id=1)


def gain(name):
    """Scale of a matrix, where 1 keeps the variance. The language model's attention is sharp and
    its MLPs strong, so that a new token changes what comes next: greedy answers do not repeat."""
    if "language_model" in name:
        for part, value in (("q_proj", 1.8), ("k_proj", 1.8), ("v_proj", 0.9), ("o_proj", 0.9),
                            ("mlp", 2.0)):
            if part in name:
                return value
    return 1.2


def randomise(model, tokens, seed):
    """Every parameter random, so that none can be left out unnoticed. Layers outweigh the
    embedding, or greedy decoding only repeats its input; ids without a text are unlikely."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=gen)
            if name.endswith("embed_tokens.weight"):
                noise *= 0.05
                for i, token in enumerate(tokens):
                    if re.fullmatch(r"<0x[89A-F].>|<0x[01].>|<0x7F>|<(pad|eos|bos|unk|mask|image)>",
                                    token):
                        noise[i] *= 0.2
            elif name.endswith("language_model.norm.weight"):
                noise = 40 / math.sqrt(len(p)) - 1 + noise  # logits of about 2
            elif "norm" in name and name.endswith("bias"):
                noise *= 0.1
            elif "norm" in name:
                noise = noise * 0.3 + (1 if "vision_tower" in name else 0)
            elif name.endswith("position_embedding.weight"):
                noise *= 0.5
            elif name.endswith("bias"):
                noise *= 0.2
            else:
                noise *= gain(name) / math.sqrt(p[0].numel())
            p.copy_(noise)
    return model


def disk_name(name, names):
    """Name on disk of what transformers 5 calls model.vision_tower.encoder... and the like."""
    if names == "v5":
        return name
    name = re.sub(r"^model\.vision_tower\.", "model.vision_tower.vision_model.", name)
    if names == "new":
        return name
    name = re.sub(r"^model\.language_model\.", "language_model.model.", name)
    return re.sub(r"^model\.", "", name)


def dump(path, obj, indent=1):
    path.write_text(json.dumps(obj, ensure_ascii=False, indent=indent, sort_keys=True,
                               separators=None if indent else (",", ":")) + "\n")


def write_tensors(folder, tensors, num_shards):
    if num_shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    shards = [{} for _ in range(num_shards)]
    for i, (name, t) in enumerate(tensors.items()):
        shards[i * num_shards // len(tensors)][name] = t
    weight_map = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-{num_shards:05}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(shard, file))
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    dump(folder / "model.safetensors.index.json",
         {"metadata": {"total_size": total}, "weight_map": weight_map})


def write_checkpoint(folder, spec, seed):
    folder.mkdir(parents=True)
    tok = make_tokenizer(spec.has_locations)
    tokens = list(tok["model"]["vocab"])
    config = make_config(spec, len(tokens) + spec.num_pad_rows, tokens.index("<image>"))
    model = randomise(PaliGemmaForConditionalGeneration(config), tokens, seed).to(spec.dtype)
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tensors = {disk_name(n, spec.names): p.detach().contiguous()
               for n, p in model.named_parameters()}
    write_tensors(folder, tensors, spec.num_shards)
    dump(folder / "tokenizer.json", tok, None)
    dump(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "eos_token": "<eos>",
        "pad_token": "<pad>", "unk_token": "<unk>", "clean_up_tokenization_spaces": False})
    dump(folder / "preprocessor_config.json", {
        "image_processor_type": "SiglipImageProcessor", "processor_class": "PaliGemmaProcessor",
        "image_seq_length": spec.num_image_tokens, "do_resize": True, "do_rescale": True,
        "do_normalize": True, "do_convert_rgb": None, "resample": 3, "rescale_factor": 1 / 255,
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
        "size": {"height": spec.image_size, "width": spec.image_size}})
    loaded = load_model(folder)
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
class Row:
    section_id: str
    index: int
    prefix: str
    suffix: str
    image: pathlib.Path | None = None
    newline: bool = True


def section_id(kind, text):
    return hashlib.sha256(f"{kind}\n{text}".encode()).hexdigest()[:16]


def is_held_out(seed, row):
    digest = hashlib.sha256(f"{seed}\0{row.section_id}\0{row.index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2 ** 64 < 0.1


def phrase(rng, low, high):
    return " ".join(rng.choice(CORPUS) for _ in range(rng.randint(low, high)))


def make_body(folder, images, num_rows, rng):
    """Text of the body, and its rows as spec/rows has them: sections in turn an image with caption,
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
            rows.append(Row(sid, index, "caption en", caption, image))
        elif kind == "prose":
            text = phrase(rng, 4, 8).capitalize() + ".\n"
            parts.append("::prose::\n" + text)
            rows.append(Row(section_id("prose", text), 0, "", text.strip(), newline=False))
        else:
            num = 2 if kind == "about" and num_rows - len(rows) > 1 else 1
            pairs = [(phrase(rng, 2, 4) + "?", phrase(rng, 1, 4)) for _ in range(num)]
            text = "\n".join(f"### Q\n{q}\n### A\n{a}" for q, a in pairs) + "\n"
            parts.append("::instruction::\n" + text)
            for i, (q, a) in enumerate(pairs):
                rows.append(Row(section_id("instruction", text), i, q, a,
                                image if kind == "about" else None))
    # One blank line between sections ends the content of each with "\n"; the last one has its own.
    return "\n".join(parts) + "\n", rows


def make_document(folder, spec, images, rng):
    """Writes doc.dlm; returns seed, trained rows and rows held out. Every optimiser step takes all
    trained rows, so that their order does not matter."""
    t = spec.training
    num_rows = t["micro_batch_size"] * t["grad_accum"] + spec.num_held_out
    body, rows = make_body(folder, images, num_rows, rng)
    seed = next(s for s in range(100000)
                if sum(is_held_out(s, r) for r in rows) == spec.num_held_out)
    ulid = "".join(rng.choice("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(25))
    lora = spec.adapter
    lines = ["---", f"dlm_id: 0{ulid}", "dlm_version: 15", 'base_model: "dir:base"', "training:",
             f"  lora_r: {lora['r']}", f"  lora_alpha: {lora['lora_alpha']}", "  lora_dropout: 0.0",
             "  sequence_len: 256", f"  num_epochs: {NUM_STEPS}", f"  seed: {seed}"]
    lines += [f"  {k}: {json.dumps(v)}" for k, v in t.items()]
    (folder / "doc.dlm").write_text("\n".join(lines) + "\n---\n\n" + body)
    held_out = [r for r in rows if is_held_out(seed, r)]
    return seed, [r for r in rows if r not in held_out], held_out


# --- adapters ------------------------------------------------------------------------------------

def make_adapter(folder, base, options, targets, seed):
    torch.manual_seed(seed)
    config = LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0,
                        **{"target_modules": targets, **options})
    model = get_peft_model(load_model(base), config)
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


def make_generations(folder, encoder, questions):
    out = []
    for adapter in (None, "adapter", "adapter_wide"):
        base = folder / "base"
        model = load_adapter(base, folder / adapter) if adapter else load_model(base)
        for prefix, image in questions:
            got = greedy(model, encoder, prefix, image and folder / image)
            out.append({"adapter": adapter, "prompt": prefix, "image": image, **got})
    return out


def make_scores(folder, encoder, questions):
    out = []
    for adapter in (None, "adapter", "adapter_wide"):
        for i, (prefix, image, suffix) in enumerate(questions):
            inputs, target = encoder.row(prefix, suffix, image and folder / image)
            base, file = folder / "base", None
            if adapter:
                logprobs, grads = gradients(base, folder / adapter, inputs, target, torch.float32)
                exact, double = gradients(base, folder / adapter, inputs, target, torch.float64)
                diff = (logprobs - exact).abs().max().item()
                assert diff < MAX_LOGPROB_ROUNDING, f"f32 and f64 differ by {diff:.2e}"
                grads = {n: g for n, g in grads.items() if g is not None}  # tower without an image
                for n, g in grads.items():
                    check_rounding(n, g, double[n])
                if i == 0:
                    file = f"gradients{adapter[len('adapter'):]}.safetensors"
                    save_file(grads, folder / file)
            else:
                with torch.no_grad():
                    logprobs = target_logprobs(load_model(base), inputs, target)
            out.append({"adapter": adapter, "prompt": prefix, "image": image, "target": suffix,
                        "input_ids": inputs["input_ids"][0].tolist(), "ids": target,
                        "logprobs": logprobs.tolist(), "loss": -logprobs.mean().item(),
                        "gradients": file})
    return out


def make_training(folder, encoder, rows, spec):
    batch = [encoder.row(r.prefix, r.suffix, r.image, r.newline) for r in rows]
    out = []
    for adapter in ("adapter", "adapter_wide"):
        got = trace(folder / "base", folder / adapter, batch, spec.training, torch.float32)
        double = trace(folder / "base", folder / adapter, batch, spec.training, torch.float64)
        check_rounding(adapter, got["losses"], double["losses"])
        out.append({"adapter": adapter, **got})
    return out


def make_base(folder, spec, seed, rng):
    """Checkpoint, images and adapters from one seed."""
    shutil.rmtree(folder, ignore_errors=True)
    write_checkpoint(folder / "base", spec, seed)
    (folder / "images").mkdir()
    images = [folder / "images" / n for n in ("one.png", "two.png")]
    for image in images:
        make_image(image, rng)
    for name, options, targets in (("adapter", spec.adapter, LM_ATTENTION),
                                   ("adapter_wide", spec.adapter_wide, TOWER)):
        make_adapter(folder / name, folder / "base", options, targets, seed)
    return images


def make_case(folder, spec):
    """Makes one case; takes the first seed from spec.seed on whose greedy answers are a proof."""
    for seed in range(spec.seed, spec.seed + 10000, 100):
        rng = random.Random(seed)
        images = make_base(folder, spec, seed, rng)
        encoder = Encoder(folder / "base")
        generations = make_generations(folder, encoder, [
            ("caption en", "images/one.png"), ("What is this Überraschung?", "images/two.png"),
            ("how many shapes are there?", None)])
        if all(g["margin"] > MIN_MARGIN and len(set(g["ids"])) >= MIN_DISTINCT and
               "\ufffd" not in g["text"] for g in generations):
            break
    else:
        raise SystemExit(f"{spec.name}: every seed gives answers that repeat or hang on rounding")
    scores = make_scores(folder, encoder, [
        ("caption en", "images/one.png", "a red square on a blue ground"),
        ("Which colour?", "images/two.png", "Grün, 3."),
        ("how many shapes are there?", None, "two small circles")])
    doc_seed, rows, held_out = make_document(folder, spec, images, rng)
    dump(folder / "expected.json", {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                     "peft": peft.__version__, "tokenizers": tokenizers.__version__},
        "seed": seed, "document_seed": doc_seed, "scores": scores, "generations": generations,
        "rows": [f"{r.section_id}:{r.index}" for r in rows],
        "held_out": [f"{r.section_id}:{r.index}" for r in held_out],
        "training": make_training(folder, encoder, rows, spec)})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=OUT)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for spec in SPECS:
        if not args.names or spec.name in args.names:
            make_case(args.out / spec.name, spec)
            size = sum(f.stat().st_size for f in (args.out / spec.name).rglob("*") if f.is_file())
            print(f"{spec.name}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
