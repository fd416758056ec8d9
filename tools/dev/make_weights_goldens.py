#!/usr/bin/env python3
"""Makes tests/golden/weights/: safetensors files by the safetensors library, and LoRA adapters by
PEFT on a tiny random PaliGemma, with what PEFT itself says about them.

Versions: torch 2.13.0, transformers 5.23, peft 0.21.2, safetensors 0.8.0. Seed 20260501.
Usage: make_weights_goldens.py [tests/golden/weights]
"""
import json
import os
import shutil
import sys

if os.environ.get("PYTHONHASHSEED") != "0":  # PEFT writes a set as a list
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.tuners_utils import (_maybe_include_all_linear_layers,
                                      check_target_module_exists)
from peft.utils.other import get_pattern_key
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

SEED = 20260501
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
    os.path.dirname(__file__), "..", "..", "tests", "golden", "weights")


def path(*parts):
    p = os.path.join(OUT, *parts)
    os.makedirs(os.path.dirname(p), exist_ok=True)
    return p


def dump(obj, *parts):
    with open(path(*parts), "w") as f:
        json.dump(obj, f, indent=1, sort_keys=True)
        f.write("\n")


def tensors_all():
    """Every type that torch and the format share, odd shapes, names that need escapes."""
    torch.manual_seed(SEED)
    x = torch.randn(3, 5)
    return {
        "f32": x,
        "f16": x.half(),
        "bf16": x.bfloat16(),
        "f64": x.double(),
        "i64": torch.arange(-3, 4),
        "i32": torch.arange(-3, 4, dtype=torch.int32),
        "i16": torch.arange(-3, 4, dtype=torch.int16),
        "i8": torch.arange(-3, 4, dtype=torch.int8),
        "u8": torch.arange(0, 7, dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "f8": torch.tensor([1.0, -2.0, 0.5]).to(torch.float8_e4m3fn),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(2, 0, 3),
        "five.d": torch.arange(32, dtype=torch.float32).reshape(2, 2, 2, 2, 2),
        'quote"back\\slash\ttab': torch.ones(1),
        "ümlaut.重み": torch.full((2,), 7.0),
    }


def make_plain():
    t = tensors_all()
    save_file(t, path("plain.safetensors"), metadata={"format": "pt"})
    with safe_open(path("plain.safetensors"), "pt") as f:
        dump({n: {"shape": list(f.get_tensor(n).shape), "dtype": f.get_slice(n).get_dtype(),
                  "sum": float(f.get_tensor(n).double().sum())} for n in f.keys()}, "plain.json")


def make_writer():
    """Only types that dlm writes; the values are functions of the index, so that a test can make
    them again: x = i * 0.25 - 1."""
    def seq(*shape):
        n = 1
        for s in shape:
            n *= s
        return (torch.arange(n, dtype=torch.float32) * 0.25 - 1).reshape(shape)

    t = {
        "b.f32": seq(2, 3), "a.f32": seq(4), "z.f16": seq(3, 1).half(), "a.bf16": seq(5).bfloat16(),
        "m.u8": torch.arange(0, 7, dtype=torch.uint8),
        "c.i32": torch.arange(0, 3, dtype=torch.int32),
        "d.u32": torch.arange(0, 3, dtype=torch.int32).to(torch.uint32),
        "scalar": seq(1).reshape(()), "empty": seq(0, 4), 'q"\\\n': seq(1),
    }
    save_file(t, path("writer.safetensors"), metadata={"format": "pt"})
    save_file({}, path("writer_empty.safetensors"))


def make_sharded():
    torch.manual_seed(SEED)
    a, b = {"x.weight": torch.randn(2, 3), "y.bias": torch.randn(4).half()}, {
        "z.weight": torch.randn(2, 2).bfloat16()}
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    save_file(a, path("sharded", names[0]), metadata={"format": "pt"})
    save_file(b, path("sharded", names[1]), metadata={"format": "pt"})
    weight_map = {**{k: names[0] for k in a}, **{k: names[1] for k in b}}
    total = sum(t.numel() * t.element_size() for t in {**a, **b}.values())
    dump({"metadata": {"total_size": total}, "weight_map": weight_map}, "sharded",
         "model.safetensors.index.json")
    dump({k: [float(v) for v in t.double().flatten()] for k, t in {**a, **b}.items()}, "sharded",
         "values.json")


def tiny_model():
    torch.manual_seed(SEED)
    cfg = PaliGemmaConfig(
        text_config={"model_type": "gemma", "hidden_size": 32, "intermediate_size": 48,
                     "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 1,
                     "head_dim": 16, "vocab_size": 64, "pad_token_id": 0, "bos_token_id": 2,
                     "eos_token_id": 1},
        vision_config={"model_type": "siglip_vision_model", "hidden_size": 24,
                       "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                       "image_size": 28, "patch_size": 14, "projection_dim": 32,
                       "vision_use_head": False},
        projection_dim=32, image_token_index=63, pad_token_id=0)
    return PaliGemmaForConditionalGeneration(cfg).eval()


def make_adapter(name, dtype=None, **kwargs):
    model = tiny_model()
    torch.manual_seed(SEED + 1)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **kwargs))
    modules = []
    for n, m in model.named_modules():
        if not hasattr(m, "lora_A") or "default" not in m.lora_A:
            continue
        a, b = m.lora_A["default"].weight, m.lora_B["default"].weight
        with torch.no_grad():
            b.copy_(torch.randn_like(b))
        modules.append({
            "path": n.removeprefix("base_model.model."), "r": m.r["default"],
            "alpha": m.lora_alpha["default"], "scaling": m.scaling["default"],
            "in": a.shape[1], "out": b.shape[0],
            "a_sum": float(a.double().sum()), "b_sum": float(b.double().sum())})
    model.peft_config["default"].base_model_name_or_path = "org/tiny"
    model.save_pretrained(path(name, "x")[:-2])
    for extra in ("README.md",):
        f = path(name, extra)
        if os.path.exists(f):
            os.remove(f)
    if dtype is not None:
        f = path(name, "adapter_model.safetensors")
        with safe_open(f, "pt") as s:
            t = {k: s.get_tensor(k).to(dtype) for k in s.keys()}
        save_file(t, f, metadata={"format": "pt"})
        for m in modules:
            m["a_sum"] = float(t["base_model.model.%s.lora_A.weight" % m["path"]].double().sum())
            m["b_sum"] = float(t["base_model.model.%s.lora_B.weight" % m["path"]].double().sum())
    dump(sorted(modules, key=lambda m: m["path"]), name, "expected.json")
    return model


def make_old_names():
    """The first adapter under the names of transformers < 4.52."""
    os.makedirs(path("adapter_old", "x")[:-2], exist_ok=True)
    shutil.copy(path("adapter", "adapter_config.json"), path("adapter_old", "adapter_config.json"))
    with safe_open(path("adapter", "adapter_model.safetensors"), "pt") as s:
        t = {k.replace("model.model.language_model.", "model.language_model.model."):
             s.get_tensor(k) for k in s.keys()}
    save_file(t, path("adapter_old", "adapter_model.safetensors"), metadata={"format": "pt"})


def make_matches():
    """What PEFT says about which modules fit, which are "all-linear", and about rank patterns."""
    model = tiny_model()
    keys = [n for n, _ in model.named_modules() if n]
    linears = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    all_linear = _maybe_include_all_linear_layers(
        LoraConfig(target_modules="all-linear"), model).target_modules
    specs = [
        ["q_proj"], ["self_attn.q_proj", "fc1"], ["linear"], ["proj"],
        r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj)", r".*q_proj", r"q_proj",
        r"model\.vision_tower\..*\.(fc1|fc2)", r".*layers\.[01]\.mlp\.(?:up|down)_proj",
        r"model|.*o_proj", r".*(?<!out)_proj$", r"(?i).*Q_PROJ",
    ]

    class Config:
        pass

    out = []
    for spec in specs:
        c = Config()
        c.target_modules = spec
        out.append({"spec": spec,
                    "hits": [k for k in keys if check_target_module_exists(c, k)]})
    patterns = ["q_proj", "layers.1.self_attn.q_proj", "1.self_attn.(q|k)_proj", "^model.*v_proj"]
    dump({"keys": keys, "linears": linears, "all_linear": sorted(all_linear), "targets": out,
          "patterns": [{"pattern": p, "hits": [k for k in keys if get_pattern_key([p], k) == p]}
                       for p in patterns]}, "matches.json")


def main():
    make_plain()
    make_writer()
    make_sharded()
    regex = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj)"
    make_adapter("adapter", r=2, lora_alpha=4, lora_dropout=0.05, target_modules=regex)
    make_adapter("adapter_patterns", dtype=torch.bfloat16, r=4, lora_alpha=6, use_rslora=True,
                 target_modules=["q_proj", "fc1", "linear"],
                 rank_pattern={"layers.1.self_attn.q_proj": 2, "fc1": 3},
                 alpha_pattern={"linear": 2.5, "vision_tower.*q_proj": 9})
    make_adapter("adapter_dora", r=2, lora_alpha=4, use_dora=True, target_modules=regex)
    make_old_names()
    make_matches()
    for folder, _, files in os.walk(OUT):
        for f in files:
            os.chmod(os.path.join(folder, f), 0o644)


if __name__ == "__main__":
    main()
