#!/usr/bin/env python3
"""Makes tests/golden/quant/blocks.safetensors: codes and scales that bitsandbytes gives for NF4, with
and without double quantisation, and gguf's Python package for Q8_0.

Versions: torch 2.13.0, bitsandbytes 0.50.2 (CPU), gguf 0.19.0, safetensors 0.8.0. Seed 20260901.
Usage: make_quant_goldens.py [tests/golden/quant]
"""
import os
import sys

import bitsandbytes.functional as bnb
import gguf
import numpy as np
import torch
from safetensors.torch import save_file

SEED = 20260901
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
    os.path.dirname(__file__), "..", "..", "tests", "golden", "quant")


def near_thresholds():
    """Blocks whose largest element is 1 or 3 and whose others lie at the midpoints of the table, or
    one unit in the last place beside them."""
    table = bnb.get_4bit_type("nf4", device="cpu")
    middle = (table[1:] + table[:-1]) / 2
    up, down = torch.tensor(float("inf")), torch.tensor(float("-inf"))
    block = torch.cat([torch.tensor([1.0]), middle, torch.nextafter(middle, up),
                       torch.nextafter(middle, down), table[:15], middle[:3]])
    return torch.cat([block, block * 3, -block])


def extremes():
    ones = torch.ones(64)
    one = torch.zeros(64)
    one[17] = -2.5
    ramp = torch.linspace(-1, 1, 64)
    return torch.cat([ramp, torch.zeros(64), ones * 0.3, -ones, one, ramp * 1e-36, ramp * 2e-38,
                      ramp * 1e-40, ramp * 3e38, torch.cat([ones[:63] * 1e-30, ones[:1] * 1e30]),
                      torch.where(ramp > 0, ramp, torch.tensor(-0.0))])


def halves():
    """Q8_0 at the ties of its rounding: n + 1/2 steps."""
    x = torch.arange(-16, 16) * 4.0 + 0.5
    x[5] = 127.0
    return torch.cat([x, x / 1024, torch.zeros(32), torch.full((32,), 1e-9)])


def put(tensors, name, x):
    codes, state = bnb.quantize_4bit(x, blocksize=64, quant_type="nf4")
    tensors[name + ".x"] = x
    tensors[name + ".nf4"] = codes.flatten()
    tensors[name + ".absmax"] = state.absmax
    if x.numel() % 32 == 0 and x.abs().max() < 8e6:
        q8 = gguf.quants.quantize(x.float().numpy(), gguf.GGMLQuantizationType.Q8_0).reshape(-1, 34)
        tensors[name + ".q8_0"] = torch.from_numpy(q8[:, 2:].copy()).flatten()
        tensors[name + ".q8_0.scale"] = torch.from_numpy(
            q8[:, :2].copy().view(np.float16)).flatten()


def main():
    torch.manual_seed(SEED)
    tensors = {}
    put(tensors, "random", torch.randn(64 * 12) * 0.02)
    put(tensors, "tails", (torch.randn(64 * 12).pow(3) * 0.01).bfloat16())
    put(tensors, "halves", halves())
    put(tensors, "thresholds", near_thresholds())
    put(tensors, "extremes", extremes())
    put(tensors, "short", torch.randn(64 + 37))
    put(tensors, "single", torch.randn(1))

    # 600 scales in three nested blocks, one of them short; few columns of each block are needed
    x = torch.randn(600, 64) * torch.rand(600, 1).pow(2) * 0.1
    x[100] = 0
    x[300, 5] = 40
    x = x.bfloat16()
    plain = bnb.quantize_4bit(x, blocksize=64, quant_type="nf4")[1]
    codes, state = bnb.quantize_4bit(x, blocksize=64, quant_type="nf4", compress_statistics=True)
    tensors["double.absmax"] = plain.absmax
    tensors["double.codes"] = state.absmax
    tensors["double.nested"] = state.state2.absmax
    tensors["double.offset"] = state.offset.reshape(1)
    tensors["double.map"] = state.state2.code
    tensors["double.decoded"] = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset
    tensors["double.nf4"] = codes.flatten()[:32 * 8].contiguous()
    tensors["double.values_bf16"] = bnb.dequantize_4bit(codes, state)[:8].contiguous()
    state.dtype = torch.float32
    tensors["double.values"] = bnb.dequantize_4bit(codes, state)[:8].contiguous()
    os.makedirs(OUT, exist_ok=True)
    save_file(tensors, os.path.join(OUT, "blocks.safetensors"))


main()
