#!/usr/bin/env python3
"""Makes tests/golden/models/blocks/model.safetensors: transformer blocks of several families, and
small decoders with a head of their own, for tests/models/test_block.c.

A block case <case> holds the weights of a layer class of transformers under the layer's own names,
LoRA matrices <path>.lora_A and .lora_B of every linear (y += 1.5 B A x), inputs x [2 * 11, hidden],
cos and sin [2 * 11, head_dim / 2] where the layer turns by position, rows [2, 4] (see
src/ops/attention.c), dy; and what comes out: y, grad_x, and the gradients <path>.lora_A.grad. Rows
past a length are zero in y, dy and grad_x.

A decoder case holds a Gemma2ForCausalLM the same way, ids and labels (-1: none) [2 * 11], and
logprob of each label, for the loss sum of weights * -logprob with weights [2 * 11].

All is computed in f64 where the classes let it; they norm and normalise in f32.
Versions: torch 2.13.0 (CPU), transformers 5.23, safetensors 0.8.0. Seed 20261129.
Usage: make_block_goldens.py [tests/golden/models/blocks]
"""
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from safetensors.torch import save_file
from transformers import (CLIPVisionConfig, Gemma2Config, Gemma2ForCausalLM, InternVLVisionConfig,
                          LlamaConfig, PixtralVisionConfig, Qwen2Config, Qwen3Config)
from transformers.models.clip.modeling_clip import CLIPEncoderLayer
from transformers.models.gemma2.modeling_gemma2 import Gemma2DecoderLayer
from transformers.models.internvl.modeling_internvl import InternVLVisionLayer
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.pixtral.modeling_pixtral import PixtralAttentionLayer
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLVisionBlock
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

SEED = 20261129
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
    os.path.dirname(__file__), "..", "..", "tests", "golden", "models", "blocks")
B, T, RANK, SCALING = 2, 11, 3, 1.5
TEXT = dict(hidden_size=42, intermediate_size=26, num_attention_heads=6, num_key_value_heads=2,
            head_dim=8, num_hidden_layers=1, rms_norm_eps=1e-3, attn_implementation="eager")

tensors = {}


def put(name, t):
    assert name not in tensors, name
    t = t.detach()
    tensors[name] = (t.float() if t.dtype == torch.float64 else t).contiguous().clone()


def rand(*shape, scale=1.0):
    """Numbers that f32 holds exactly, as f64."""
    return (torch.randn(*shape) * scale).float().double()


class Adapted(torch.nn.Module):
    """A linear with LoRA."""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear
        self.a = torch.nn.Parameter(rand(RANK, linear.in_features, scale=0.2))
        self.b = torch.nn.Parameter(rand(linear.out_features, RANK, scale=0.2))

    def forward(self, x):
        return self.linear(x) + SCALING * (x @ self.a.T @ self.b.T)


class Part(torch.nn.Module):
    """Some columns of another module's result."""

    def __init__(self, whole, columns):
        super().__init__()
        self.whole, self.columns = [whole], columns # a list: no submodule

    def forward(self, x):
        return self.whole[0](x)[..., self.columns]


def randomise(module):
    """Norms, biases and layer scales begin at zeros and ones, which would hide them."""
    module.double()
    for name, p in module.named_parameters():
        p.requires_grad_(False)
        p.copy_(rand(*p.shape, scale=0.2 if p.dim() > 1 else 0.4))
        if name.endswith("norm.weight") or "norm" in name.split(".")[-2:-1]:
            p.add_(0.7).copy_(p.float().double())


def adapt(module, case, skip=()):
    """Puts the weights, and LoRA on every linear; returns {path: adapted}."""
    for name, p in module.named_parameters():
        put(f"{case}.{name}", p)
    linears = {n: m for n, m in module.named_modules()
               if isinstance(m, torch.nn.Linear) and n not in skip}
    adapted = {}
    for path, linear in linears.items():
        parent = module.get_submodule(path.rpartition(".")[0])
        adapted[path] = Adapted(linear)
        setattr(parent, path.rpartition(".")[2], adapted[path])
        put(f"{case}.{path}.lora_A", adapted[path].a)
        put(f"{case}.{path}.lora_B", adapted[path].b)
    return adapted


def put_gradients(case, adapted):
    for path, m in adapted.items():
        put(f"{case}.{path}.lora_A.grad", m.a.grad)
        put(f"{case}.{path}.lora_B.grad", m.b.grad)


def prefix_mask(prefix, window=0):
    """Additive [1, 1, T, T]: causal within the window, both ways within the prefix."""
    q, k = torch.arange(T)[:, None], torch.arange(T)[None]
    allowed = (k <= q) & ((k > q - window) if window else True)
    allowed |= (q < prefix) & (k < prefix)
    return torch.where(allowed, 0.0, -torch.inf).double()[None, None]


def block(case, layer, call, hidden, lens, prefixes, head_dim=0):
    """call(layer, x [1, t, hidden], b, cos, sin) -> [1, t, hidden]; head_dim 0: not turned."""
    adapted = adapt(layer, case)
    x = rand(B * T, hidden).view(B, T, hidden).requires_grad_(True)
    dy = rand(B * T, hidden).view(B, T, hidden)
    y = torch.zeros(B, T, hidden).double()
    if head_dim:
        angle = rand(B, T, head_dim // 2, scale=3)
        cos, sin = angle.cos().float().double(), angle.sin().float().double()
        put(f"{case}.cos", cos.view(B * T, -1))
        put(f"{case}.sin", sin.view(B * T, -1))
    outs = []
    for b, t in enumerate(lens):
        turn = [torch.cat([a[b:b + 1, :t]] * 2, -1) for a in (cos, sin)] if head_dim else [None] * 2
        outs.append(call(layer, x[b:b + 1, :t], b, *turn))
        dy[b, t:] = 0
        y[b, :t] = outs[-1].detach()[0]
    sum((out * dy[b:b + 1, :t]).sum() for b, (out, t) in enumerate(zip(outs, lens))).backward()
    put(f"{case}.x", x.view(B * T, hidden))
    put(f"{case}.rows", torch.tensor([[0, t, p, t] for t, p in zip(lens, prefixes)],
                                     dtype=torch.int32))
    put(f"{case}.y", y.view(B * T, hidden))
    put(f"{case}.dy", dy.view(B * T, hidden))
    put(f"{case}.grad_x", x.grad.view(B * T, hidden))
    put_gradients(case, adapted)


def text_block(case, kind, config, prefixes=(0, 4), window=0):
    def call(layer, x, b, cos, sin):
        return layer(x, position_embeddings=(cos, sin),
                     attention_mask=prefix_mask(prefixes[b], window))

    layer = kind(config, 0)
    randomise(layer)
    block(case, layer, call, config.hidden_size, [T, T], prefixes, config.head_dim)


def packed_block():
    """InternLM2's order of heads in wqkv, with LLaMA's layer."""
    config = LlamaConfig(**TEXT)
    layer = LlamaDecoderLayer(config, 0)
    attention, d = layer.self_attn, config.head_dim
    attention.wqkv = torch.nn.Linear(42, 10 * d, bias=False)
    place = torch.arange(10 * d).view(2, 5, d) # kv heads: three queries, key, value
    del attention.q_proj, attention.k_proj, attention.v_proj
    randomise(layer)

    def call(l, x, b, cos, sin):
        for name, part in (("q", place[:, :3]), ("k", place[:, 3]), ("v", place[:, 4])):
            setattr(l.self_attn, f"{name}_proj", Part(l.self_attn.wqkv, part.reshape(-1)))
        return l(x, position_embeddings=(cos, sin), attention_mask=prefix_mask((0, 4)[b]))

    block("packed", layer, call, 42, [T, T], (0, 4), d)


def tower_blocks():
    lens, none = [T, 7], (0, 0)
    zero = torch.zeros(1, 1, 1, 1).double()

    config = CLIPVisionConfig(hidden_size=36, intermediate_size=30, num_attention_heads=3,
                              layer_norm_eps=1e-3, attn_implementation="eager")
    layer = CLIPEncoderLayer(config)
    randomise(layer)
    block("clip", layer, lambda l, x, b, cos, sin: l(x, None), 36, lens, none)

    config = Qwen2VLVisionConfig(embed_dim=36, num_heads=3, mlp_ratio=2)
    config._attn_implementation = "eager"
    layer = Qwen2VLVisionBlock(config)
    randomise(layer)
    block("qwen2_vl", layer, lambda l, x, b, cos, sin:
          l(x[0], torch.tensor([0, x.shape[1]]), position_embeddings=(cos[0], sin[0]))[None],
          36, lens, none, 12)

    for norm, qk in (("layer_norm", False), ("rms_norm", True)):
        config = InternVLVisionConfig(hidden_size=36, intermediate_size=30, num_attention_heads=3,
                                      attention_bias=not qk, use_qk_norm=qk, norm_type=norm,
                                      layer_norm_eps=1e-6)
        config._attn_implementation = "eager"
        layer = InternVLVisionLayer(config)
        randomise(layer)
        block("internvl_rms" if qk else "internvl", layer, lambda l, x, b, cos, sin: l(x), 36,
              lens, none)

    config = PixtralVisionConfig(hidden_size=36, intermediate_size=30, num_attention_heads=3,
                                 hidden_act="silu")
    config._attn_implementation = "eager"
    layer = PixtralAttentionLayer(config)
    randomise(layer)
    block("pixtral", layer, lambda l, x, b, cos, sin:
          l(x, attention_mask=zero, position_embeddings=(cos, sin)), 36, lens, none, 12)


def decoder(case, **more):
    """Untied, with a cap of the logits small enough to matter."""
    config = Gemma2Config(**{**TEXT, "num_hidden_layers": 3}, vocab_size=176, rope_theta=1e4,
                          query_pre_attn_scalar=20, final_logit_softcapping=1.5,
                          tie_word_embeddings=False, **more)
    window = more.get("sliding_window", 0)
    model = Gemma2ForCausalLM(config)
    randomise(model)
    for weight in (model.model.embed_tokens.weight, model.lm_head.weight):
        weight.mul_(0.3).copy_(weight.float())
    adapted = adapt(model, case, skip=("lm_head",))
    ids = torch.randint(0, 176, (B, T))
    labels = torch.where(torch.rand(B, T) < 0.6, torch.randint(0, 176, (B, T)), -1)
    weights = rand(B, T).abs()
    prefixes = (0, 4)
    masks = {name: torch.cat([prefix_mask(p, w) for p in prefixes])
             for name, w in (("full_attention", 0), ("sliding_attention", window))}
    logits = model(input_ids=ids, attention_mask=masks, use_cache=False).logits
    logprob = logits.log_softmax(-1).gather(-1, labels.clamp(0)[..., None])[..., 0]
    (-weights * logprob * (labels >= 0)).sum().backward()
    put(f"{case}.ids", ids.int().view(-1))
    put(f"{case}.labels", labels.int().view(-1))
    put(f"{case}.weights", weights.view(-1))
    put(f"{case}.rows", torch.tensor([[0, T, p, T] for p in prefixes], dtype=torch.int32))
    put(f"{case}.logits", logits.view(B * T, -1))
    put(f"{case}.logprob", (logprob * (labels >= 0)).view(-1))
    put_gradients(case, adapted)


torch.manual_seed(SEED)
text_block("llama", LlamaDecoderLayer, LlamaConfig(**TEXT))
text_block("qwen2", Qwen2DecoderLayer, Qwen2Config(**TEXT))
text_block("qwen3", Qwen3DecoderLayer, Qwen3Config(**TEXT))
text_block("gemma2", Gemma2DecoderLayer, Gemma2Config(
    **TEXT, query_pre_attn_scalar=20, attn_logit_softcapping=None))
packed_block()
tower_blocks()
decoder("decoder", attn_logit_softcapping=None, sliding_window=64)
text_block("capped", Gemma2DecoderLayer, Gemma2Config(
    **TEXT, query_pre_attn_scalar=20, attn_logit_softcapping=0.8), window=3)
decoder("windowed", attn_logit_softcapping=0.8, sliding_window=3)
os.makedirs(OUT, exist_ok=True)
save_file(tensors, os.path.join(OUT, "model.safetensors"), metadata={"format": "pt"})
print(len(tensors), "tensors")
