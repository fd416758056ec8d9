"""Qwen2-VL: a tower of images of any size, a merger, a Qwen2 decoder; turns in ChatML."""
import json
import math
import random
import re
from dataclasses import dataclass, field

import torch
from PIL import Image
from transformers import (PreTrainedTokenizerFast, Qwen2VLConfig,
                          Qwen2VLForConditionalGeneration)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from families.common import (CORPUS, Spec, dump, merges_of, random_adapter, random_dtype,
                             random_sizes, random_training)

MODEL = Qwen2VLForConditionalGeneration
CAPTION = "Describe this image."
ATTENTION = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj)"
TOWER = r"(.*language_model.*\.(q_proj|v_proj)|.*visual\.blocks.*\.(qkv|proj|fc1|fc2)" \
        r"|.*visual\.merger\.mlp\.(0|2))"
SEVERAL_IMAGES = True
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>",
           "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>",
           "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>",
           "<|video_pad|>"]

# chat_template.json of Qwen/Qwen2-VL-2B-Instruct, without videos and add_vision_id.
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}<|im_end|>\n{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in content %}"
    "{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


@dataclass(kw_only=True)
class Qwen2VLSpec(Spec):
    """names: "old" or "new" (4.52 and up)."""
    patch: int
    merge: int
    frames: int
    is_tied: bool
    config: str            # how config.json says it: "flat", "nested" (v5)
    processor: dict = field(default_factory=dict)  # how preprocessor_config.json says the bounds


def text_shape(hidden, inter, layers, heads, kv_heads, sections):
    return {"hidden_size": hidden, "intermediate_size": inter, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4,
                                "mrope_section": sections}}


def vision_shape(width, ratio, layers, heads):
    return {"embed_dim": width, "mlp_ratio": ratio, "depth": layers, "num_heads": heads}


SPECS = [
    Qwen2VLSpec(
        name="qwen2_vl_f32_old", seed=17, dtype=torch.float32, num_shards=1, names="old",
        text=text_shape(32, 60, 2, 2, 1, [1, 3, 4]), vision=vision_shape(24, 2, 2, 2), patch=7,
        merge=2, frames=2, is_tied=True, config="flat",
        processor={"min_pixels": 784, "max_pixels": 3136},
        training={"learning_rate": 2e-3, "lr_scheduler": "constant", "warmup_ratio": 0.0,
                  "micro_batch_size": 2, "grad_accum": 2},
        adapter={"r": 4, "lora_alpha": 8}, adapter_wide={"r": 3, "lora_alpha": 5}),
    Qwen2VLSpec(
        name="qwen2_vl_bf16_new", seed=29, dtype=torch.bfloat16, num_shards=3, names="new",
        text=text_shape(64, 88, 2, 4, 2, [2, 3, 3]), vision=vision_shape(32, 3, 2, 2), patch=14,
        merge=2, frames=2, is_tied=False, config="nested",
        processor={"size": {"shortest_edge": 784, "longest_edge": 3136}},
        training={"learning_rate": 1e-3, "lr_scheduler": "cosine", "warmup_ratio": 0.1,
                  "micro_batch_size": 2, "grad_accum": 3},
        adapter={"r": 5, "lora_alpha": 9},
        adapter_wide={"r": 4, "lora_alpha": 6,
                      "rank_pattern": {"layers.1.self_attn.q_proj": 2, "fc1": 3},
                      "alpha_pattern": {"proj": 11}},
        num_pad_rows=7),
    Qwen2VLSpec(
        name="qwen2_vl_f16_merge3", seed=41, dtype=torch.float16, num_shards=2, names="old",
        text=text_shape(60, 100, 2, 6, 3, [1, 2, 2]), vision=vision_shape(16, 4, 2, 1), patch=5,
        merge=3, frames=1, is_tied=False, config="flat",
        processor={"min_pixels": 784, "max_pixels": 3136},
        training={"learning_rate": 5e-4, "lr_scheduler": "linear", "warmup_ratio": 0.0,
                  "micro_batch_size": 4, "grad_accum": 1, "gradient_checkpointing": True},
        adapter={"r": 4, "lora_alpha": 4, "use_rslora": True, "target_modules":
                 r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"},
        adapter_wide={"r": 2, "lora_alpha": 3,
                      "target_modules": ["fc1", "k_proj", "mlp.0", "o_proj"]},
        num_held_out=1),
    Qwen2VLSpec(
        name="qwen2_vl_bnb", seed=107, dtype=torch.bfloat16, num_shards=2, names="new",
        text=text_shape(128, 128, 2, 4, 4, [4, 6, 6]), vision=vision_shape(24, 2, 1, 2), patch=7,
        merge=2, frames=2, is_tied=True, config="nested", quant="bnb",
        processor={"min_pixels": 784, "max_pixels": 3136},
        training={"learning_rate": 1e-3, "lr_scheduler": "constant", "warmup_ratio": 0.0,
                  "micro_batch_size": 2, "grad_accum": 2},
        adapter={"r": 4, "lora_alpha": 8}, adapter_wide={"r": 3, "lora_alpha": 5}),
]


# --- tokenizer -----------------------------------------------------------------------------------

def byte_chars():
    """Byte to the character that stands for it in a byte-level vocabulary."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in kept]
    return {b: chr(b) for b in kept} | {b: chr(256 + i) for i, b in enumerate(others)}


def make_tokenizer():
    """Qwen2's pipeline with few merges."""
    chars = byte_chars()
    words = ["".join(chars[b] for b in (lead + word).encode())
             for word in CORPUS + ["system", "user", "assistant"] for lead in ("", " ")]
    merges = [m for m in merges_of(words, 90) if "▁" not in m[0] + m[1]]
    content = sorted(chars.values()) + [a + b for a, b in merges]
    vocab = {t: i for i, t in enumerate(dict.fromkeys(content))}
    added = [{"id": len(vocab) + i, "content": t, "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": False, "special": True}
             for i, t in enumerate(SPECIAL)]
    regex = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" \
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                  "use_regex": False}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated",
             "invert": False}, byte_level]},
        "post_processor": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False, "vocab": vocab,
                  "merges": [" ".join(m) for m in merges]},
    }


# --- checkpoint ----------------------------------------------------------------------------------

def write_files(folder, spec):
    tok = make_tokenizer()
    dump(folder / "tokenizer.json", tok, None)
    dump(folder / "tokenizer_config.json", {
        "tokenizer_class": "Qwen2Tokenizer", "bos_token": None, "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>", "unk_token": None, "clean_up_tokenization_spaces": False})
    dump(folder / "chat_template.json", {"chat_template": TEMPLATE})
    dump(folder / "preprocessor_config.json", {
        "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2VLProcessor",
        "patch_size": spec.patch, "merge_size": spec.merge, "temporal_patch_size": spec.frames,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711], **spec.processor})
    return list(tok["model"]["vocab"]) + SPECIAL


def make_config(spec, tokens):
    ids = {t: tokens.index(t) for t in SPECIAL}
    vision = {"hidden_size": spec.text["hidden_size"], "patch_size": spec.patch,
              "spatial_merge_size": spec.merge, "temporal_patch_size": spec.frames}
    return Qwen2VLConfig(
        text_config={"vocab_size": len(tokens) + spec.num_pad_rows, "rms_norm_eps": 1e-6,
                     "max_position_embeddings": 512, "bos_token_id": ids["<|endoftext|>"],
                     "eos_token_id": ids["<|im_end|>"], "pad_token_id": ids["<|endoftext|>"],
                     "tie_word_embeddings": spec.is_tied, **spec.text},
        vision_config={**vision, **spec.vision}, tie_word_embeddings=spec.is_tied,
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"])


def rewrite_config(folder, spec):
    """What save_pretrained() writes as the hub's checkpoint spells it."""
    if spec.config == "nested":
        return
    config = json.loads((folder / "config.json").read_text())
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    vision = config["vision_config"]
    vision["in_chans"] = vision.pop("in_channels")
    for key in ("model_type", "rope_parameters", "initializer_range"):
        vision.pop(key, None)
    config |= {k: v for k, v in text.items() if k not in ("model_type", "layer_types")}
    config |= {"rope_theta": rope["rope_theta"], "use_sliding_window": False,
               "sliding_window": 32768, "max_window_layers": 28,
               "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]}}
    dump(folder / "config.json", config, 2)


def gain(name):
    """Scale of a matrix, where 1 keeps the variance; see paligemma.py."""
    if "language_model" in name:
        for part, value in (("q_proj", 1.8), ("k_proj", 1.8), ("v_proj", 1.0), ("o_proj", 1.0),
                            ("mlp", 1.8)):
            if part in name:
                return value
    return 1.2


def shape_noise(name, noise, tokens):
    """Layers outweigh the embedding, or greedy decoding only repeats its input; ids that are no
    text are unlikely: half a character, a special token."""
    if name.endswith("embed_tokens.weight") or name.endswith("lm_head.weight"):
        noise *= 0.05
        printable = re.compile(r"[\x21-\x7eĠĊ]+")
        for i, token in enumerate(tokens):
            if token in SPECIAL or not printable.fullmatch(token):
                noise[i] *= 0.2
    elif name.endswith("language_model.norm.weight"):
        noise = 40 / math.sqrt(len(noise)) + noise  # logits of about 2
    elif ("norm" in name or "ln_q" in name) and name.endswith("bias"):
        noise *= 0.1
    elif "norm" in name or "ln_q" in name:
        noise = noise * 0.3 + 1
    elif name.endswith("bias"):
        noise *= 0.2
    else:
        noise *= gain(name) / math.sqrt(noise[0].numel())
    return noise


def disk_name(name, names):
    """Name on disk of what transformers 5 calls model.visual... and model.language_model..."""
    if names == "new":
        return name
    return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")


# --- rows ----------------------------------------------------------------------------------------

def message(role, text, images=()):
    parts = [{"type": "image"} for _ in images] + [{"type": "text", "text": text}]
    return {"role": role, "content": parts}


class Encoder:
    """Conversations as the template writes them; Qwen2VLProcessor itself needs torchvision, so
    images get their tokens here."""

    def __init__(self, base):
        prep = json.loads((base / "preprocessor_config.json").read_text())
        self.processor = Qwen2VLImageProcessorPil(
            **{k: v for k, v in prep.items() if k not in ("image_processor_type",
                                                          "processor_class")})
        template = json.loads((base / "chat_template.json").read_text())["chat_template"]
        self.tok = PreTrainedTokenizerFast(
            tokenizer_file=str(base / "tokenizer.json"), eos_token="<|im_end|>",
            pad_token="<|endoftext|>", chat_template=template)
        self.image_id = self.tok.convert_tokens_to_ids("<|image_pad|>")

    def inputs(self, text, images):
        out = {}
        if images:
            out = dict(self.processor(images=[Image.open(i).convert("RGB") for i in images],
                                      return_tensors="pt"))
        for t, h, w in out.get("image_grid_thw", torch.zeros(0, 3)).tolist():
            text = text.replace("<|image_pad|>",
                                "<|place|>" * (t * h * w // self.processor.merge_size ** 2), 1)
        ids = self.tok(text.replace("<|place|>", "<|image_pad|>"), return_tensors="pt",
                       add_special_tokens=False)["input_ids"]
        if images:
            out["mm_token_type_ids"] = (ids == self.image_id).int()
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **out}

    def conversation(self, messages, images):
        """Up to an answer's end, or where one would begin."""
        text = self.tok.apply_chat_template(messages, tokenize=False,
                                            add_generation_prompt=messages[-1]["role"] == "user")
        return self.inputs(text.removesuffix("\n") if text.endswith("<|im_end|>\n") else text,
                           images)

    def prompt(self, question, images):
        return self.conversation([message("user", question, images)], images)

    def row(self, row):
        """Learned are the answer and its end; the newline behind that is left out. Of prose, all
        that something stands before."""
        if row.question is None:
            inputs = self.inputs(row.answer + "<|endoftext|>", ())
            return inputs, [t > 0 for t in range(inputs["input_ids"].shape[1])]
        inputs = self.conversation([message("user", row.question, row.images),
                                    message("assistant", row.answer)], row.images)
        given = self.prompt(row.question, row.images)["input_ids"][0]
        ids = inputs["input_ids"][0]
        assert torch.equal(ids[:len(given)], given)
        return inputs, [t >= len(given) for t in range(len(ids))]

    def decode(self, ids):
        return self.tok.decode(ids, skip_special_tokens=True)


# --- random cases --------------------------------------------------------------------------------

def random_spec(seed):
    rng = random.Random(seed)
    heads = rng.choice([1, 2, 3, 4, 6])
    kv_heads = rng.choice([k for k in range(1, heads + 1) if heads % k == 0])
    sections = [rng.randint(1, 5) for _ in range(3)]
    vision_heads = rng.choice([1, 2, 3])
    size = random_sizes(rng)
    patch, merge = rng.choice([(14, 2), (14, 2), (7, 2), (8, 1), (5, 3), (4, 4)])
    low = (patch * merge) ** 2 * rng.randint(1, 3)
    bounds = low, low * rng.randint(3, 9)
    wide = random_adapter(rng)
    if rng.random() < 0.5:
        wide["target_modules"] = rng.sample(
            ["q_proj", "k_proj", "v_proj", "o_proj", "qkv", "attn.proj", "fc1", "fc2", "mlp.0",
             "mlp.2", "gate_proj", "up_proj", "down_proj"], 4)
    spelling = rng.choice([{"min_pixels": bounds[0], "max_pixels": bounds[1]},
                           {"size": {"shortest_edge": bounds[0], "longest_edge": bounds[1]}}])
    return Qwen2VLSpec(
        name=f"random_{seed}", seed=seed, dtype=random_dtype(rng), num_shards=rng.randint(1, 4),
        names=rng.choice(["old", "new"]), config=rng.choice(["flat", "nested"]),
        text=text_shape(heads * 2 * sum(sections), size(64, 240), rng.randint(1, 3), heads,
                        kv_heads, sections),
        vision=vision_shape(vision_heads * 4 * rng.randint(2, 6), rng.randint(1, 4),
                            rng.randint(1, 3), vision_heads),
        patch=patch, merge=merge, frames=rng.randint(1, 2), is_tied=rng.random() < 0.5,
        processor=spelling, training=random_training(rng), adapter=random_adapter(rng),
        adapter_wide=wide, num_pad_rows=rng.choice([0, 0, 5, 64]),
        num_held_out=rng.randint(0, 1))
