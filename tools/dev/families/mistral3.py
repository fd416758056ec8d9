"""Mistral 3: a Pixtral tower, a projector that merges patches, a Mistral decoder."""
import base64
import json
import math
import random
import re
from dataclasses import dataclass, field

import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import (Mistral3Config, Mistral3ForConditionalGeneration,
                          PreTrainedTokenizerFast)
from transformers.integrations.mistral.tokenizer import MistralConverter
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil

from families.common import (CORPUS, Spec, dump, merges_of, random_adapter, random_dtype,
                             random_sizes, random_training, text_shape, vision_shape)

MODEL = Mistral3ForConditionalGeneration
CAPTION = "Describe this image."
ATTENTION = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj)"
TOWER = r"(.*language_model.*\.(q_proj|v_proj)" \
        r"|.*vision_tower.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)" \
        r"|.*multi_modal_projector.*\.(merging_layer|linear_1|linear_2))"
SEVERAL_IMAGES = True
SPECIAL = """<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS]
[/TOOL_RESULTS] [TOOL_CALLS] [IMG] <pad> [IMG_BREAK] [IMG_END] [PREFIX] [MIDDLE] [SUFFIX]
[SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT]""".split()
PATTERN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
           r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
           r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

# What the template of Mistral-Small-3.1-24B-Instruct-2503 writes; without a system turn that one
# puts a text with the day's date in its place, this one nothing.
TEMPLATE = (
    "{{ bos_token }}{% for turn in messages %}"
    "{% if turn['content'] is string %}{% set parts = [{'type': 'text', 'text': turn['content']}] %}"
    "{% else %}{% set parts = turn['content'] %}{% endif %}"
    "{{ {'system': '[SYSTEM_PROMPT]', 'user': '[INST]', 'assistant': ''}[turn['role']] }}"
    "{% for part in parts %}"
    "{{ part['text'] if part['type'] == 'text' else '[IMG]' }}{% endfor %}"
    "{{ {'system': '[/SYSTEM_PROMPT]', 'user': '[/INST]', 'assistant': eos_token}[turn['role']] }}"
    "{% endfor %}")


@dataclass(kw_only=True)
class Mistral3Spec(Spec):
    """names: "old" or "new" (4.52 and up)."""
    patch: int
    merge: int
    longest: int            # edge of an image
    is_tied: bool
    tokenizer: str          # "tokenizer" or "tekken": the file's name
    top: dict = field(default_factory=dict)  # members of config.json


SPECS = [
    Mistral3Spec(
        name="mistral3_f32_old", seed=19, dtype=torch.float32, num_shards=1, names="old",
        text=text_shape(32, 52, 2, 4, 2, 12) | {"rms_norm_eps": 1e-5},
        vision=vision_shape(24, 40, 2, 2) | {"hidden_act": "silu"}, patch=7, merge=2, longest=56,
        is_tied=False, tokenizer="tokenizer",
        training={"learning_rate": 2e-3, "lr_scheduler": "constant", "warmup_ratio": 0.0,
                  "micro_batch_size": 2, "grad_accum": 2},
        adapter={"r": 4, "lora_alpha": 8}, adapter_wide={"r": 3, "lora_alpha": 5}),
    Mistral3Spec(
        name="mistral3_bf16_new", seed=31, dtype=torch.bfloat16, num_shards=3, names="new",
        text=text_shape(56, 80, 2, 3, 1, 24) | {"rms_norm_eps": 1e-6},
        vision=vision_shape(36, 60, 2, 3) | {"hidden_act": "gelu"}, patch=6, merge=2, longest=50,
        is_tied=True, tokenizer="tekken",
        training={"learning_rate": 1e-3, "lr_scheduler": "cosine", "warmup_ratio": 0.1,
                  "micro_batch_size": 2, "grad_accum": 3},
        adapter={"r": 5, "lora_alpha": 9},
        adapter_wide={"r": 4, "lora_alpha": 6,
                      "rank_pattern": {"layers.1.self_attn.q_proj": 2, "down_proj": 3},
                      "alpha_pattern": {"linear_1": 11}},
        num_pad_rows=7),
    Mistral3Spec(
        name="mistral3_f16_merge3", seed=43, dtype=torch.float16, num_shards=2, names="new",
        text=text_shape(48, 88, 2, 6, 3, 20) | {"rms_norm_eps": 1e-2, "sliding_window": 21},
        vision=vision_shape(32, 44, 2, 1) | {"hidden_act": "silu"}, patch=5, merge=3, longest=50,
        is_tied=False, tokenizer="tokenizer", top={"multimodal_projector_bias": True},
        training={"learning_rate": 5e-4, "lr_scheduler": "linear", "warmup_ratio": 0.0,
                  "micro_batch_size": 4, "grad_accum": 1, "gradient_checkpointing": True},
        adapter={"r": 4, "lora_alpha": 4, "use_rslora": True, "target_modules":
                 r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"},
        adapter_wide={"r": 2, "lora_alpha": 3,
                      "target_modules": ["q_proj", "linear_2", "down_proj", "merging_layer"]},
        num_held_out=1),
    Mistral3Spec(
        name="mistral3_q8_0", seed=109, dtype=torch.float16, num_shards=1, names="new",
        text=text_shape(64, 96, 2, 4, 2, 16) | {"rms_norm_eps": 1e-5}, quant="q8_0",
        vision=vision_shape(24, 40, 1, 2) | {"hidden_act": "silu"}, patch=7, merge=2, longest=56,
        is_tied=False, tokenizer="tokenizer",
        training={"learning_rate": 1e-3, "lr_scheduler": "constant", "warmup_ratio": 0.0,
                  "micro_batch_size": 2, "grad_accum": 2},
        adapter={"r": 4, "lora_alpha": 8}, adapter_wide={"r": 3, "lora_alpha": 5}),
]


# --- tokenizer -----------------------------------------------------------------------------------

def byte_chars():
    """The character of each byte in a byte-level vocabulary."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    return [chr(i if i in shown else next(rest)) for i in range(256)]


def make_tekken():
    """Few words; a token's bytes by rank, as tekken.json has them."""
    words = [lead + w for w in CORPUS + ["Describe", "this", "Which"] for lead in ("", " ")]
    merges = [a + b for a, b in merges_of(words, 110) if "▁" not in a + b]
    tokens = [bytes([b]) for b in range(256)] + [t.encode() for t in dict.fromkeys(merges)]
    return {"config": {"pattern": PATTERN, "num_vocab_tokens": len(tokens),
                       "default_vocab_size": len(tokens) + len(SPECIAL),
                       "default_num_special_tokens": len(SPECIAL), "version": "v7"},
            "vocab": [{"rank": i, "token_bytes": base64.b64encode(t).decode(), "token_str": None}
                      for i, t in enumerate(tokens)],
            "special_tokens": [{"rank": i, "token_str": t, "is_control": True}
                               for i, t in enumerate(SPECIAL)],
            "image": {"image_patch_size": 14, "max_image_size": 1540, "spatial_merge_size": 2}}


def to_tokenizer_json(tekken):
    """As transformers converts the file; the shipped one frames texts by <s>, too."""
    out = json.loads(MistralConverter(str(tekken)).converted().to_str())
    out["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                   {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    return out


# --- checkpoint ----------------------------------------------------------------------------------

def write_files(folder, spec):
    tekken = make_tekken()
    dump(folder / "tekken.json", tekken, None)
    if spec.tokenizer == "tokenizer":
        dump(folder / "tokenizer.json", to_tokenizer_json(folder / "tekken.json"), None)
        (folder / "tekken.json").unlink()
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    dump(folder / "preprocessor_config.json", {
        "image_processor_type": "PixtralImageProcessor", "processor_class": "PixtralProcessor",
        "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "resample": 3, "rescale_factor": 1 / 255, "size": {"longest_edge": spec.longest},
        "patch_size": {"height": spec.patch, "width": spec.patch},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711]})
    dump(folder / "processor_config.json", {
        "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]", "image_token": "[IMG]",
        "patch_size": spec.patch, "processor_class": "PixtralProcessor",
        "spatial_merge_size": spec.merge})
    chars = byte_chars()
    return SPECIAL + ["".join(chars[b] for b in base64.b64decode(t["token_bytes"]))
                      for t in tekken["vocab"]]


def make_config(spec, tokens):
    return Mistral3Config(
        text_config={"model_type": "mistral", "vocab_size": len(tokens) + spec.num_pad_rows,
                     "max_position_embeddings": 512, "sliding_window": None,
                     "rope_parameters": {"rope_type": "default", "rope_theta": 1e5},
                     "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 11, **spec.text},
        vision_config={"model_type": "pixtral", "image_size": spec.longest,
                       "patch_size": spec.patch, **spec.vision},
        spatial_merge_size=spec.merge, image_token_index=SPECIAL.index("[IMG]"),
        tie_word_embeddings=spec.is_tied, **spec.top)


def rewrite_config(folder, spec):
    """The hub's file says theta as older versions do, and nothing about tied heads."""
    if spec.names == "new":
        return
    config = json.loads((folder / "config.json").read_text())
    del config["tie_word_embeddings"]
    for section in ("text_config", "vision_config"):
        rope = config[section].pop("rope_parameters")
        config[section]["rope_theta"] = rope["rope_theta"]
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
        noise *= 0.05 if "lm_head" in name else 0.08
        printable = re.compile(r"[\x21-\x7eĠĊ]+")
        for i, token in enumerate(tokens):
            if token in SPECIAL or not printable.fullmatch(token):
                noise[i] *= 0.2
    elif name.endswith("language_model.norm.weight"):
        noise = 40 / math.sqrt(len(noise)) + noise  # logits of about 2
    elif "norm" in name or "ln_pre" in name:
        noise = noise * 0.3 + 1
    elif name.endswith("bias"):
        noise *= 0.2
    else:
        noise *= gain(name) / math.sqrt(noise[0].numel())
    return noise


def disk_name(name, names):
    """Name on disk of what transformers 5 calls model.vision_tower... and the like."""
    if names == "new":
        return name
    name = re.sub(r"^model\.language_model\.", "language_model.model.", name)
    name = re.sub(r"^lm_head\.", "language_model.lm_head.", name)
    return re.sub(r"^model\.", "", name)


# --- rows ----------------------------------------------------------------------------------------

def message(role, text, images=()):
    parts = [{"type": "image"} for _ in images] + [{"type": "text", "text": text}]
    return {"role": role, "content": parts}


class Encoder:
    """Conversations as the template writes them. PixtralProcessor itself needs torchvision, so
    images get their tokens here."""

    def __init__(self, base):
        prep = json.loads((base / "preprocessor_config.json").read_text())
        config = json.loads((base / "processor_config.json").read_text())
        self.side = config["patch_size"] * config["spatial_merge_size"]
        self.processor = PixtralImageProcessorPil(
            size=prep["size"], patch_size={"height": self.side, "width": self.side})
        tekken = base / "tekken.json"
        spec = json.dumps(to_tokenizer_json(tekken)) if tekken.exists() else \
            (base / "tokenizer.json").read_text()
        self.tok = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(spec), bos_token="<s>", eos_token="</s>", pad_token="<pad>",
            unk_token="<unk>", chat_template=(base / "chat_template.jinja").read_text())

    def inputs(self, text, images):
        out = {}
        if images:
            out = dict(self.processor(images=[Image.open(i).convert("RGB") for i in images],
                                      return_tensors="pt"))
        for height, width in [[int(x) for x in size] for size in out.get("image_sizes", [])]:
            row = "[PLACE]" * (width // self.side)
            rows = [row] * (height // self.side)
            text = text.replace("[IMG]", "[IMG_BREAK]".join(rows) + "[IMG_END]", 1)
        ids = self.tok(text.replace("[PLACE]", "[IMG]"), return_tensors="pt",
                       add_special_tokens=False)["input_ids"]
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **out}

    def conversation(self, messages, images):
        return self.inputs(self.tok.apply_chat_template(messages, tokenize=False), images)

    def prompt(self, question, images):
        return self.conversation([message("user", question, images)], images)

    def row(self, row):
        """Learned are the answer and its end; of prose, all that something stands before."""
        if row.question is None:
            inputs = self.inputs("<s>" + row.answer + "</s>", ())
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
    vision_heads = rng.choice([1, 2, 3])
    size = random_sizes(rng)
    # transformers 5.23 stops at an image of one token: none is as small as that
    patch, merge = rng.choice([(6, 2), (5, 2), (3, 4), (4, 3), (12, 1), (7, 1)])
    wide = random_adapter(rng)
    if rng.random() < 0.5:
        wide["target_modules"] = rng.sample(
            ["q_proj", "k_proj", "v_proj", "o_proj", "linear_1", "linear_2", "merging_layer",
             "gate_proj", "up_proj", "down_proj"], 4)
    text = text_shape(size(40, 120), size(64, 200), rng.randint(1, 3), heads, kv_heads,
                      2 * rng.randint(4, 20))
    text |= {"rms_norm_eps": rng.choice([1e-5, 1e-2]),
             "sliding_window": rng.choice([None, None, rng.randint(3, 40)])}
    vision = vision_shape(vision_heads * 4 * rng.randint(2, 8), size(32, 120), rng.randint(1, 3),
                          vision_heads)
    return Mistral3Spec(
        name=f"random_{seed}", seed=seed, dtype=random_dtype(rng), num_shards=rng.randint(1, 4),
        names=rng.choice(["old", "new"]), text=text,
        vision=vision | {"hidden_act": rng.choice(["silu", "gelu"])}, patch=patch, merge=merge,
        longest=patch * merge * rng.randint(1, 4) + rng.randint(0, 9), is_tied=False,
        tokenizer=rng.choice(["tokenizer", "tekken"]),
        top={"multimodal_projector_bias": rng.random() < 0.5,
             "projector_hidden_act": rng.choice(["gelu", "silu"])},
        training=random_training(rng), adapter=random_adapter(rng), adapter_wide=wide,
        num_pad_rows=rng.choice([0, 0, 5, 64]), num_held_out=rng.randint(0, 1))
