"""PaliGemma: a SigLIP tower, one projector, a Gemma decoder."""
import json
import math
import random
import re
from dataclasses import dataclass

import tokenizers
import torch
from PIL import Image
from tokenizers.processors import TemplateProcessing
from transformers import (PaliGemmaConfig, PaliGemmaForConditionalGeneration,
                          PreTrainedTokenizerFast)
from transformers.models.paligemma.processing_paligemma import PaliGemmaProcessor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from families.common import (CORPUS, Spec, dump, merges_of, random_adapter, random_dtype,
                             random_sizes, random_training, text_shape, vision_shape)

MODEL = PaliGemmaForConditionalGeneration
CAPTION = "caption en"
ATTENTION = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj)"
TOWER = r"(.*language_model.*\.(q_proj|v_proj)" \
        r"|.*vision_tower.*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)" \
        r"|.*multi_modal_projector\.linear)"
SEVERAL_IMAGES = False


@dataclass(kw_only=True)
class PaliGemmaSpec(Spec):
    """names: "old", "new" (4.52 and up) or "v5"."""
    has_locations: bool  # <loc> and <seg> tokens in the vocabulary
    image_size: int
    patch: int

    @property
    def num_image_tokens(self):
        return (self.image_size // self.patch) ** 2


SPECS = [
    PaliGemmaSpec(
        name="f32_old", seed=11, dtype=torch.float32, num_shards=1, names="old",
        has_locations=False, text=text_shape(72, 136, 2, 4, 1, 18),
        vision=vision_shape(40, 72, 2, 4), image_size=28, patch=14,
        training={"learning_rate": 2e-3, "lr_scheduler": "constant", "warmup_ratio": 0.0,
                  "micro_batch_size": 2, "grad_accum": 2},
        adapter={"r": 4, "lora_alpha": 8}, adapter_wide={"r": 3, "lora_alpha": 5}),
    PaliGemmaSpec(
        name="bf16_new", seed=23, dtype=torch.bfloat16, num_shards=3, names="new",
        has_locations=True, text=text_shape(88, 120, 2, 6, 1, 32),
        vision=vision_shape(60, 100, 2, 3), image_size=42, patch=14,
        training={"learning_rate": 1e-3, "lr_scheduler": "cosine", "warmup_ratio": 0.1,
                  "micro_batch_size": 2, "grad_accum": 3},
        adapter={"r": 5, "lora_alpha": 9},
        adapter_wide={"r": 4, "lora_alpha": 6,
                      "rank_pattern": {"layers.1.self_attn.q_proj": 2, "fc1": 3},
                      "alpha_pattern": {"out_proj": 11}},
        num_pad_rows=7),
    PaliGemmaSpec(
        name="f16_patch7", seed=37, dtype=torch.float16, num_shards=2, names="old",
        has_locations=False, text=text_shape(100, 148, 2, 6, 2, 24),
        vision=vision_shape(72, 132, 2, 4), image_size=35, patch=7,
        training={"learning_rate": 5e-4, "lr_scheduler": "linear", "warmup_ratio": 0.0,
                  "micro_batch_size": 4, "grad_accum": 1, "gradient_checkpointing": True},
        adapter={"r": 4, "lora_alpha": 4, "use_rslora": True, "target_modules":
                 r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"},
        adapter_wide={"r": 2, "lora_alpha": 3,
                      "target_modules": ["fc1", "k_proj", "linear", "o_proj"]},
        num_held_out=1),
    PaliGemmaSpec(
        name="paligemma_nf4_dq", seed=101, dtype=torch.bfloat16, num_shards=1, names="new",
        has_locations=False, text=text_shape(128, 128, 2, 4, 4, 32), quant="nf4_dq",
        vision=vision_shape(40, 72, 1, 4), image_size=28, patch=14,
        training={"learning_rate": 1e-3, "lr_scheduler": "constant", "warmup_ratio": 0.0,
                  "micro_batch_size": 2, "grad_accum": 2},
        adapter={"r": 4, "lora_alpha": 8}, adapter_wide={"r": 3, "lora_alpha": 5}),
]


# --- tokenizer -----------------------------------------------------------------------------------

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

def write_files(folder, spec):
    tok = make_tokenizer(spec.has_locations)
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
    return list(tok["model"]["vocab"])


def make_config(spec, tokens, text_type="gemma"):
    return PaliGemmaConfig(
        text_config={"model_type": text_type, "vocab_size": len(tokens) + spec.num_pad_rows,
                     "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1,
                     "num_image_tokens": spec.num_image_tokens, **spec.text},
        vision_config={"model_type": "siglip_vision_model", "image_size": spec.image_size,
                       "patch_size": spec.patch, "projection_dim": spec.text["hidden_size"],
                       "vision_use_head": False, **spec.vision},
        projection_dim=spec.text["hidden_size"], hidden_size=spec.text["hidden_size"],
        image_token_index=tokens.index("<image>"), pad_token_id=0, bos_token_id=2, eos_token_id=1)


def rewrite_config(_folder, _spec):
    """All versions write it alike."""


def gain(name):
    """Scale of a matrix, where 1 keeps the variance. The language model's attention is sharp and
    its MLPs strong, so that a new token changes what comes next: greedy answers do not repeat."""
    if "language_model" in name:
        for part, value in (("q_proj", 1.8), ("k_proj", 1.8), ("v_proj", 0.9), ("o_proj", 0.9),
                            ("mlp", 2.0)):
            if part in name:
                return value
    return 1.2


def shape_noise(name, noise, tokens):
    """Layers outweigh the embedding, or greedy decoding only repeats its input; ids without a text
    are unlikely."""
    if name.endswith("embed_tokens.weight"):
        noise *= 0.05
        for i, token in enumerate(tokens):
            if re.fullmatch(r"<0x[89A-F].>|<0x[01].>|<0x7F>|<(pad|eos|bos|unk|mask|image)>", token):
                noise[i] *= 0.2
    elif name.endswith("language_model.norm.weight"):
        noise = 40 / math.sqrt(len(noise)) - 1 + noise  # logits of about 2
    elif "norm" in name and name.endswith("bias"):
        noise *= 0.1
    elif "norm" in name:
        noise = noise * 0.3 + (1 if "vision_tower" in name else 0)
    elif name.endswith("position_embedding.weight"):
        noise *= 0.5
    elif name.endswith("bias"):
        noise *= 0.2
    else:
        noise *= gain(name) / math.sqrt(noise[0].numel())
    return noise


def disk_name(name, names):
    """Name on disk of what transformers 5 calls model.vision_tower.encoder... and the like."""
    if names == "v5":
        return name
    name = re.sub(r"^model\.vision_tower\.", "model.vision_tower.vision_model.", name)
    if names == "new":
        return name
    name = re.sub(r"^model\.language_model\.", "language_model.model.", name)
    return re.sub(r"^model\.", "", name)


# --- rows ----------------------------------------------------------------------------------------

class Encoder:
    """Rows as PaliGemmaProcessor makes them; those without an image as it would."""

    def __init__(self, base):
        prep = json.loads((base / "preprocessor_config.json").read_text())
        self.backend = tokenizers.Tokenizer.from_file(str(base / "tokenizer.json"))
        self.backend.post_processor = TemplateProcessing(single="$A:0", pair="$A:0 $B:1")
        self.tok = PreTrainedTokenizerFast(
            tokenizer_object=self.backend, bos_token="<bos>", eos_token="<eos>",
            pad_token="<pad>", unk_token="<unk>")
        image_processor = SiglipImageProcessorPil(size=prep["size"], resample=prep["resample"])
        image_processor.image_seq_length = prep["image_seq_length"]
        self.processor = PaliGemmaProcessor(image_processor, self.tok)

    def ids(self, text):
        return self.backend.encode(text, add_special_tokens=False).ids

    def processed(self, images, **texts):
        return self.processor(images=[Image.open(image).convert("RGB") for image in images],
                              return_tensors="pt", **texts)

    def inputs(self, text, images):
        """Of a request, text with its newline."""
        ids, pixels = self.ids("<bos>" + text), {}
        if images:
            out = self.processed(images, text=text.removesuffix("\n"))
            ids, pixels = out["input_ids"][0].tolist(), {"pixel_values": out["pixel_values"]}
        return {"input_ids": torch.tensor([ids]),
                "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
                "token_type_ids": torch.zeros(1, len(ids), dtype=torch.long), **pixels}

    def prompt(self, question, images):
        return self.inputs(question + "\n", images)

    def row(self, row):
        """Learned are the answer and its end token."""
        inputs = self.inputs("" if row.question is None else row.question + "\n", row.images)
        target = self.ids(row.answer + "<eos>")
        labels = [False] * inputs["input_ids"].shape[1] + [True] * len(target)
        ids = inputs["input_ids"][0].tolist() + target
        if row.images:
            out = self.processed(row.images, text=row.question, suffix=row.answer)
            assert out["input_ids"][0].tolist() == ids
            assert out["token_type_ids"][0].tolist() == [int(x) for x in labels]
        return {**inputs, "input_ids": torch.tensor([ids]),
                "token_type_ids": torch.tensor([labels]).long(),
                "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}, labels

    def decode(self, ids):
        return self.tok.decode(ids, skip_special_tokens=True)


# --- random cases --------------------------------------------------------------------------------

def random_spec(seed):
    rng = random.Random(seed)
    heads = rng.choice([1, 2, 3, 4, 6, 8])
    kv_heads = rng.choice([k for k in range(1, heads + 1) if heads % k == 0])
    vision_heads = rng.choice([1, 2, 3, 4])
    patch = rng.choice([7, 14, 14, 16])
    size = random_sizes(rng)
    wide = random_adapter(rng)
    if rng.random() < 0.5:
        wide["target_modules"] = rng.sample(
            ["q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "fc1", "fc2", "linear",
             "gate_proj", "up_proj", "down_proj"], 4)
    return PaliGemmaSpec(
        name=f"random_{seed}", seed=seed, dtype=random_dtype(rng), num_shards=rng.randint(1, 4),
        names=rng.choice(["old", "new", "v5"]), has_locations=rng.random() < 0.5,
        text=text_shape(size(40, 160), size(64, 240), rng.randint(1, 3), heads, kv_heads,
                        2 * rng.randint(4, 24)),
        vision=vision_shape(vision_heads * rng.randint(8, 30), size(48, 200), rng.randint(1, 3),
                            vision_heads),
        image_size=patch * rng.randint(1, 5), patch=patch, training=random_training(rng),
        adapter=random_adapter(rng), adapter_wide=wide, num_pad_rows=rng.choice([0, 0, 5, 64]),
        num_held_out=rng.randint(0, 1))
