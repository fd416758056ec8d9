#!/usr/bin/env python3
"""Makes tests/golden/export/merged.json: the SHA-256 of each weight that a merge changes.

    tools/dev/make_export_goldens.py

For adapters of tests/golden/models, made by PEFT: W + scaling B A in f64, rounded to f32 and then
to the type that the base is stored in (bf16 for one that bitsandbytes saved in 4 bits), under the
name that the weight has on disk. Each is first compared with PEFT's merge_and_unload() in that
type, which rounds B A to it before it adds: they may differ by the rounding of the two terms and of
the sum, and do not by more. Made with torch 2.13.0, transformers 5.23, peft 0.21.2; no randomness.
"""

import hashlib
import json
import pathlib
import warnings

warnings.filterwarnings("ignore")

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file

import families
from models_reference import Reference

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
CASES = {"f32_old/adapter_wide": "paligemma", "bf16_new/adapter_wide": "paligemma",
         "f16_patch7/adapter": "paligemma", "paligemma2_bf16_v5/adapter_wide": "paligemma2",
         "qwen2_vl_f32_old/adapter_wide": "qwen2_vl",
         "qwen2_vl_f16_merge3/adapter_wide": "qwen2_vl",
         "qwen2_vl_bnb/adapter": "qwen2_vl", "mistral3_bf16_new/adapter_wide": "mistral3",
         "mistral3_f32_old/adapter": "mistral3"}


def spacing(x, dtype):
    """The distance of numbers of a type around x."""
    info = torch.finfo(dtype)
    return torch.exp2(torch.floor(torch.log2(x.abs().clamp(min=info.tiny)))) * info.eps


def load_disk(base):
    tensors = {}
    for file in sorted(base.glob("*.safetensors")):
        tensors.update(load_file(file))
    return tensors


def load_model(name, base, disk):
    """The model in the type that its weights are stored in, and that of its merge."""
    family = families.family(name)
    if any("quant_state" in key for key in disk):
        return Reference(family, base, "bnb").model(), torch.bfloat16
    dtype = next(t.dtype for key, t in disk.items() if key.endswith("q_proj.weight"))
    return family.MODEL.from_pretrained(base, dtype=dtype), dtype


def disk_name(path, weight, disk):
    """Under which name the weight of a module lies in the base: by its bytes."""
    if f"{path}.weight" in disk and disk[f"{path}.weight"].dtype == torch.uint8:
        return f"{path}.weight"
    hits = [key for key, t in disk.items() if t.shape == weight.shape and torch.equal(t, weight)]
    assert len(hits) == 1, (path, hits)
    return hits[0]


def check(path, merged, exact, weight, delta, rank, dtype):
    """merge_and_unload()'s weight is the exact one but for roundings."""
    terms = [weight.double(), delta, exact.double()]
    allowed = sum(spacing(t, dtype).double() / 2 for t in terms[1:]) + spacing(terms[2], dtype) / 2
    allowed += rank * 2.0 ** -24 * delta.abs().max()  # PEFT's product is summed in f32
    diff = (merged.to(dtype).double() - exact.double()).abs()
    assert (diff <= allowed).all(), (path, (diff / allowed).max())


def make_case(name, family):
    base = GOLDEN / "models" / name.split("/")[0] / "base"
    disk = load_disk(base)
    model, dtype = load_model(family, base, disk)
    model = PeftModel.from_pretrained(model, GOLDEN / "models" / name)
    exact, hashes, kept = {}, {}, {}
    for key, module in model.named_modules():
        if not isinstance(module, LoraLayer):
            continue
        path = key.removeprefix("base_model.model.")
        weight = module.base_layer.weight.detach().clone()
        a, b = (m["default"].weight.detach().double() for m in (module.lora_A, module.lora_B))
        delta = module.scaling["default"] * (b @ a)
        exact[path] = (weight.double() + delta).float().to(dtype)
        kept[path] = (weight, delta, a.shape[0])
        data = exact[path].view(torch.int32
                                if dtype == torch.float32 else torch.int16)
        hashes[disk_name(path, weight, disk)] = hashlib.sha256(data.numpy().tobytes()).hexdigest()
    merged = dict(model.merge_and_unload().named_parameters())
    for path, (weight, delta, rank) in kept.items():
        check(path, merged[f"{path}.weight"].detach(), exact[path], weight, delta, rank, dtype)
    print(f"{name}: {len(hashes)} weights, {dtype}")
    return hashes


def main():
    out = GOLDEN / "export" / "merged.json"
    out.parent.mkdir(exist_ok=True)
    made = {name: make_case(name, family) for name, family in CASES.items()}
    out.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
