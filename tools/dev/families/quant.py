"""The decoder's linear layers as bitsandbytes and gguf quantise them: checkpoints as bitsandbytes
saves them, and the numbers that quantised weights stand for.

bitsandbytes 0.50.2, gguf 0.19.0. Of double quantised scales the nearest entries of the map are taken,
as on CUDA; on a CPU bitsandbytes looks them up in a table of 65536 bins."""
import json

import bitsandbytes.functional as bnb
import gguf
import torch
from safetensors.torch import load_file

FORMS = {"nf4": {"quant": "nf4", "double_quant": False}, "nf4_dq": {"quant": "nf4"},
         "q8_0": {"quant": "q8_0"}, "bnb": {}}
CONFIG = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False,
          "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True,
          "bnb_4bit_compute_dtype": "bfloat16", "bnb_4bit_quant_storage": "uint8",
          "llm_int8_skip_modules": ["lm_head", "visual", "vision_tower", "multi_modal_projector"]}


def is_quantised(name):
    return "language_model.layers." in name and name.endswith("proj.weight")


def double_quantise(absmax):
    code = bnb.create_dynamic_map()
    offset = absmax.mean()
    rest = absmax - offset
    out = []
    for block in rest.split(256):
        scale = block.abs().max()
        at = torch.bucketize(block / scale, (code[1:] + code[:-1]) / 2)
        out.append(code[at] * scale + offset)
    return torch.cat(out)


def dequantised(w, form):
    """What a matrix stands for in a form, f32."""
    if form == "q8_0":
        kind = gguf.GGMLQuantizationType.Q8_0
        blocks = gguf.quants.quantize(w.float().numpy(), kind)
        return torch.from_numpy(gguf.quants.dequantize(blocks, kind)).reshape(w.shape)
    codes, state = bnb.quantize_4bit(w.float(), blocksize=64, quant_type="nf4")
    if form == "nf4_dq":
        state.absmax = double_quantise(state.absmax)
    return bnb.dequantize_4bit(codes, state)


def saved(name, w):
    """The tensors that bitsandbytes saves of a matrix."""
    codes, state = bnb.quantize_4bit(w, blocksize=64, quant_type="nf4", compress_statistics=True)
    return {name: codes, **{f"{name}.{k}": v for k, v in state.as_dict(packed=True).items()}}


def mark_config(folder):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": CONFIG},
                               indent=2, sort_keys=True) + "\n")


def load_saved(folder):
    """The state dict of a checkpoint that bitsandbytes saved, in f32."""
    tensors = {k: v for file in sorted(folder.glob("*.safetensors"))
               for k, v in load_file(file).items()}
    out = {}
    for name, t in tensors.items():
        parts = {k[len(name) + 1:]: v for k, v in tensors.items() if k.startswith(name + ".")}
        if parts:
            state = bnb.QuantState.from_dict(parts, device="cpu")
            state.dtype = torch.float32
            out[name] = bnb.dequantize_4bit(t, state)
        elif not any(name.startswith(k + ".") for k in tensors):
            out[name] = t.float()
    return out
