#!/usr/bin/env python3
"""Makes tests/golden/family/: a tiny random Qwen2-VL, which tests/models/family_grid.c computes,
with what transformers and PEFT make of conversations about images of different sizes.

    make_family_goldens.py [--out DIR]

Versions: torch 2.13.0 (CPU), transformers 5.23.0, peft 0.21.2, tokenizers 0.23.3, Pillow 13.0.0.
Seed 41. Everything computes in f32, with eager attention; gradients and the trace are repeated in
f64, and what rounding alone could make fail is refused.

    base/            the checkpoint, under the names that transformers 5 has in memory
    images/*.png     37 x 23 and 25 x 47 pixels, which become grids of 4 x 6 and 8 x 4 patches
    adapter/         PEFT adapter on the language model
    adapter_wide/    the same with modules of the tower and the merger
    expected.json    rows (ids, labels, positions, log-probabilities), greedy answers, traces
    gradients*.safetensors   d loss / d A and d B over all rows, under PEFT's names
"""
import argparse
import json
import math
import pathlib

import peft
import tokenizers
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent / "tests" / "golden"
TOKENIZER = ROOT / "models" / "f32_old" / "base" / "tokenizer.json"
SEED = 42
NUM_STEPS = 8
NUM_TOKENS = 12
LR = 4e-3
PATCH, MERGE, FRAMES = 6, 2, 2
MIN_MARGIN = 2e-3     # between the best and the second logit of a greedy step
MIN_DISTINCT = 6      # different tokens in a greedy answer
MAX_ROUNDING = 1e-4
IMAGES = {"wide": (37, 23), "tall": (25, 47)}
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
CAPTION = "describe the image"

# Turns of (role, parts); a part is ("image", name), ("text", words) or ("caption",).
ROWS = [
    [("system", [("text", "the answer is short")]),
     ("user", [("image", "wide"), ("text", "which is large?"), ("image", "tall")]),
     ("assistant", [("text", "the red square")]),
     ("user", [("text", "how many shapes are there?")]),
     ("assistant", [("text", "three green circles")])],
    [("user", [("image", "tall"), ("caption",)]), ("assistant", [("text", "an old house")])],
    [("user", [("text", "which colour has it?")]), ("assistant", [("text", "blue")])],
]
PROMPTS = [ROWS[0][:4], ROWS[1][:1], ROWS[2][:1]]


def draw_images(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for k, (name, size) in enumerate(IMAGES.items()):
        image = Image.new("RGB", size, (40 + 90 * k, 90, 160))
        pen = ImageDraw.Draw(image)
        pen.rectangle((3, 4, size[0] // 2, size[1] // 2), fill=(220, 40, 30))
        pen.ellipse((size[0] // 3, size[1] // 3, size[0] - 3, size[1] - 2), fill=(30, 200, 60 + k))
        image.save(folder / f"{name}.png")


def make_tokenizer():
    tok = tokenizers.Tokenizer.from_file(str(TOKENIZER))
    tok.add_special_tokens([tokenizers.AddedToken(s, special=True) for s in SPECIAL])
    return tok


def make_config(vocab, ids):
    return Qwen2VLConfig(
        text_config={"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2,
                     "num_attention_heads": 3, "num_key_value_heads": 1, "vocab_size": vocab,
                     "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
                     "rope_parameters": {"rope_type": "default", "rope_theta": 1e4,
                                         "mrope_section": [2, 3, 3]},
                     "tie_word_embeddings": False, "bos_token_id": 2, "eos_token_id": 1,
                     "pad_token_id": 0},
        vision_config={"depth": 2, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2,
                       "hidden_size": 48, "patch_size": PATCH, "temporal_patch_size": FRAMES,
                       "spatial_merge_size": MERGE, "in_channels": 3, "hidden_act": "quick_gelu"},
        tie_word_embeddings=False, image_token_id=ids["<|image_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
        video_token_id=vocab - 1)


def randomize(model):
    for name, p in model.named_parameters():
        if "norm" in name or "ln_q" in name:
            p.data = (0.0 if name.endswith("bias") else 1.0) + 0.2 * torch.randn_like(p)
        elif p.ndim == 1:
            p.data = 0.3 * torch.randn_like(p)
        elif "embed_tokens" in name:
            p.data = 0.5 * torch.randn_like(p)
        else:
            gain = 4.0 if "lm_head" in name else 1.6
            p.data = gain * torch.randn_like(p) / math.sqrt(p[0].numel())


class Encoder:
    def __init__(self, tok, processor):
        self.tok, self.processor = tok, processor
        self.ids = {s: tok.token_to_id(s) for s in SPECIAL}

    def words(self, text):
        self.tok.encode_special_tokens = True
        return self.tok.encode(text, add_special_tokens=False).ids

    def part(self, part, grids):
        if part[0] == "text":
            return self.words(part[1])
        if part[0] == "caption":
            return self.words(CAPTION)
        t, h, w = grids.pop(0)
        return [self.ids["<|vision_start|>"]] + \
            [self.ids["<|image_pad|>"]] * (t * h * w // MERGE ** 2) + [self.ids["<|vision_end|>"]]

    def row(self, turns, images):
        names = [p[1] for _, parts in turns for p in parts if p[0] == "image"]
        seen = [self.processor(images=[images[n]], return_tensors="pt") for n in names]
        grids = [s["image_grid_thw"][0].tolist() for s in seen]
        left = list(grids)
        ids, labels = [], []
        for role, parts in turns:
            head = [self.ids["<|im_start|>"]] + self.words(role + "\n")
            body = [i for p in parts for i in self.part(p, left)] + [self.ids["<|im_end|>"]]
            tail = self.words("\n")
            ids += head + body + tail
            labels += [0] * len(head) + [int(role == "assistant")] * len(body) + [0] * len(tail)
        if turns[-1][0] == "user":
            head = [self.ids["<|im_start|>"]] + self.words("assistant\n")
            ids += head
            labels += [0] * len(head)
        out = {"input_ids": torch.tensor([ids]), "labels": labels}
        if seen:
            out["pixel_values"] = torch.cat([s["pixel_values"] for s in seen])
            out["image_grid_thw"] = torch.tensor(grids)
        return out


def forward(model, row, extra=()):
    ids = torch.cat([row["input_ids"], torch.tensor([list(extra)], dtype=torch.long)], dim=1)
    kinds = (ids == model.config.image_token_id).int()
    kinds[:, row["input_ids"].shape[1]:] = 0
    images = {k: row[k] for k in ("pixel_values", "image_grid_thw") if k in row}
    if images:
        images["pixel_values"] = images["pixel_values"].to(next(model.parameters()).dtype)
        images["mm_token_type_ids"] = kinds
    return model(input_ids=ids, **images).logits[0]


def logprobs(model, row):
    logits = torch.log_softmax(forward(model, row).to(torch.float64), dim=-1)
    ids = row["input_ids"][0]
    at = [t for t, learned in enumerate(row["labels"]) if learned]
    return torch.stack([logits[t - 1, ids[t]] for t in at])


def mean_loss(model, rows):
    return -torch.cat([logprobs(model, r) for r in rows]).mean()


def greedy(model, row):
    out, margins = [], []
    for _ in range(NUM_TOKENS):
        best = forward(model, row, out)[-1].topk(2)
        margins.append((best.values[0] - best.values[1]).item())
        out.append(best.indices[0].item())
        assert out[-1] != model.config.image_token_id
    assert min(margins) > MIN_MARGIN, margins
    assert len(set(out)) >= MIN_DISTINCT, out
    return out


def lora_params(model):
    return [(n.replace(".default", ""), p) for n, p in model.named_parameters() if "lora_" in n]


def gradients(model, rows):
    model.zero_grad()
    mean_loss(model, rows).backward()
    return {n: p.grad.detach().clone() for n, p in lora_params(model)}


def trace(model, rows):
    params = [p for _, p in lora_params(model)]
    optimizer = torch.optim.AdamW(params, lr=LR, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    losses, norms = [], []
    for _ in range(NUM_STEPS):
        optimizer.zero_grad()
        loss = mean_loss(model, rows)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(params, 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    return {"losses": losses, "grad_norms": norms}


def load(base, adapter=None, dtype=torch.float32):
    model = Qwen2VLForConditionalGeneration.from_pretrained(
        base, dtype=dtype, attn_implementation="eager")
    if adapter:
        model = PeftModel.from_pretrained(model, adapter, is_trainable=True)
    return model.eval()


def make_adapter(base, path, targets, seed):
    torch.manual_seed(seed)
    model = get_peft_model(load(base), LoraConfig(r=4, lora_alpha=6, target_modules=targets))
    for name, p in lora_params(model):
        if "lora_B" in name:
            p.data = 0.2 * torch.randn_like(p)
    model.peft_config["default"].base_model_name_or_path = "base"
    model.save_pretrained(path)
    (path / "README.md").unlink(missing_ok=True)


def check_rounding(name, a, b):
    worst = max(((a[n].double() - b[n]).norm() / b[n].norm()).item() for n in b)
    assert worst < MAX_ROUNDING, (name, worst)
    print(f"{name}: gradients differ from f64 by {worst:.1e}")


def positions(model, row):
    ids = row["input_ids"]
    kinds = (ids == model.config.image_token_id).int()
    at, delta = model.model.get_rope_index(
        ids, mm_token_type_ids=kinds, image_grid_thw=row.get("image_grid_thw"))
    return at[:, 0].T.tolist(), int(delta[0, 0]) + ids.shape[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "family")
    out = parser.parse_args().out
    torch.manual_seed(SEED)
    draw_images(out / "images")
    tok = make_tokenizer()
    ids = {s: tok.token_to_id(s) for s in SPECIAL}
    vocab = tok.get_vocab_size() + 3
    config = make_config(vocab, ids)
    model = Qwen2VLForConditionalGeneration(config)
    randomize(model)
    base = out / "base"
    base.mkdir(parents=True, exist_ok=True)
    save_file({n: t.contiguous() for n, t in model.state_dict().items()},
              base / "model.safetensors", {"format": "pt"})
    config.save_pretrained(base)
    processor = Qwen2VLImageProcessorPil(
        patch_size=PATCH, merge_size=MERGE, temporal_patch_size=FRAMES, min_pixels=144,
        max_pixels=1 << 20, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    (base / "preprocessor_config.json").write_text(json.dumps(
        {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3}, indent=1) + "\n")
    images = {n: Image.open(out / "images" / f"{n}.png") for n in IMAGES}
    encoder = Encoder(tok, processor)
    rows = [encoder.row(turns, images) for turns in ROWS]
    prompts = [encoder.row(turns, images) for turns in PROMPTS]
    attention = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj)"
    wide = r"(.*language_model.*\.(q_proj|up_proj)|.*visual.*\.(qkv|fc1)|.*visual\.merger\.mlp\.2)"
    make_adapter(base, out / "adapter", attention, SEED + 1)
    make_adapter(base, out / "adapter_wide", wide, SEED + 2)
    expected = {"rows": [], "answers": [], "adapters": {}}
    plain = load(base)
    for row in rows + prompts:
        at, following = positions(plain, row)
        expected["rows"].append({"ids": row["input_ids"][0].tolist(), "labels": row["labels"],
                                 "positions": at, "next": following})
    for adapter in (None, "adapter", "adapter_wide"):
        model = load(base, out / adapter if adapter else None)
        result = {"logprobs": [logprobs(model, r).tolist() for r in rows],
                  "answers": [greedy(model, p) for p in prompts]}
        if adapter:
            exact = load(base, out / adapter, torch.float64)
            got = gradients(model, rows)
            check_rounding(adapter, got, gradients(exact, rows))
            suffix = "_wide" if "wide" in adapter else ""
            save_file({n: g.contiguous() for n, g in got.items()},
                      out / f"gradients{suffix}.safetensors")
            result["trace"] = trace(model, rows)
            worst = max(abs(a - b) for a, b in zip(result["trace"]["losses"],
                                                   trace(exact, rows)["losses"]))
            assert worst < MAX_ROUNDING, worst
            print(f"{adapter}: losses {result['trace']['losses'][0]:.4f} to "
                  f"{result['trace']['losses'][-1]:.4f}, from f64 by {worst:.1e}")
        expected["adapters"][adapter or "none"] = result
    del expected["answers"]
    (out / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
    print("versions:", torch.__version__, peft.__version__, tokenizers.__version__)


if __name__ == "__main__":
    main()
