#!/usr/bin/env python3
"""Makes tests/golden/ops/ops.safetensors: inputs, outputs and input gradients of every op that has
a counterpart in PyTorch or transformers, for tests/ops/test_goldens.c.

Tensors are named <case>.<role>: an input by its name, outputs out, out1, .., the gradient of the
first output dy, and the gradient of an input grad_<input>. All is computed in f64 from f32 inputs,
and stored as f32, except where a class of transformers computes in f32 itself.

Versions: torch 2.13.0 (CPU), transformers 5.23, safetensors 0.8.0, numpy 2. Seed 20260502.
Usage: make_ops_goldens.py [tests/golden/ops]
"""
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import TopPLogitsWarper
from transformers.activations import QuickGELUActivation
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm, apply_rotary_pos_emb

SEED = 20260502
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
    os.path.dirname(__file__), "..", "..", "tests", "golden", "ops")

tensors = {}


def put(name, t):
    assert name not in tensors, name
    t = t.detach()
    tensors[name] = (t.float() if t.dtype == torch.float64 else t).contiguous().clone()


def rand(*shape, scale=1.0):
    return (torch.randn(*shape) * scale).float()


def case(name, function, inputs, grads=(), dtype=torch.float64):
    """Stores inputs, function(**inputs) and, for a random dy, the gradients of the inputs in grads.
    function gets f32 tensors as f64; it returns one tensor or a tuple (a gradient comes into the
    first only)."""
    wide = {}
    for key, t in inputs.items():
        put(f"{name}.{key}", t)
        wide[key] = t.to(dtype) if t.is_floating_point() else t
        if key in grads:
            wide[key].requires_grad_(True)
    outs = function(**wide)
    outs = outs if isinstance(outs, tuple) else (outs,)
    for i, out in enumerate(outs):
        put(f"{name}.out{i or ''}", out)
    if grads:
        dy = rand(*outs[0].shape)
        put(f"{name}.dy", dy)
        got = torch.autograd.grad(outs[0], [wide[k] for k in grads], dy.to(dtype))
        for key, g in zip(grads, got):
            put(f"{name}.grad_{key}", g)


def elementwise():
    case("add", lambda x, y: x + y, {"x": rand(2, 1, 5, 7), "y": rand(3, 1, 7)}, ("x", "y"))
    case("mul", lambda x, y: x * y, {"x": rand(2, 3, 1, 7), "y": rand(5, 1)}, ("x", "y"))
    case("scale", lambda x, t: x * -0.75 * t, {"x": rand(5, 7), "t": rand(1)}, ("x",))
    case("sum", lambda x: x.sum((0, 2), keepdim=True), {"x": rand(3, 4, 5, 2)}, ("x",))
    acts = {"gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "gelu_erf": lambda x: F.gelu(x),
            "silu": lambda x: F.silu(x)}
    for kind, act in acts.items():
        x = torch.cat([rand(13, 7, scale=3), torch.tensor([[0.0, -0.0, 30, -30, 1e-6, -6, 6]])])
        case(f"activation_{kind}", act, {"x": x}, ("x",))
        case(f"gated_activation_{kind}", lambda gate, up, a=act: a(gate) * up,
             {"gate": rand(9, 7, scale=2), "up": rand(9, 7)}, ("gate", "up"))
    edges = torch.tensor([0.0, -0.0, 1.00048828125, 1.00146484375, 1.00390625, 1.01171875, 65504,
                          65519.99, 65520, -1e6, 6.1e-5, 6.09e-5, 5.96e-8, 2.98e-8, 2.981e-8,
                          8.94e-8, -1.1e-7, 1e-40, 3.38e38, -3.4e38])
    for dtype, word in ((torch.float16, "f16"), (torch.bfloat16, "bf16")):
        x = torch.cat([edges, rand(44, scale=100)])
        case(f"copy_{word}", lambda x, d=dtype: x.to(d), {"x": x}, dtype=torch.float32)


def rows():
    case("layer_norm", lambda x, weight, bias: F.layer_norm(x, (33,), weight, bias, 0.01),
         {"x": rand(5, 33), "weight": rand(33), "bias": rand(33)}, ("x",))
    case("rms_norm", lambda x, weight: F.rms_norm(x, (33,), weight, 0.01),
         {"x": rand(5, 33), "weight": rand(33)}, ("x",))

    def gemma(x, weight):
        norm = GemmaRMSNorm(33, eps=1e-6)
        norm.weight.data = weight
        return norm(x)

    case("rms_norm_gemma", gemma, {"x": rand(5, 33), "weight": rand(33)}, ("x",), torch.float32)

    angle = rand(6, 4, scale=10).double()
    turn = {"cos": angle.cos().float(), "sin": angle.sin().float()}

    def rope(x, cos, sin):
        q, _ = apply_rotary_pos_emb(x[None], x[None], torch.cat([cos, cos], -1)[None],
                                    torch.cat([sin, sin], -1)[None], unsqueeze_dim=2)
        return q[0]

    case("rope", rope, {"x": rand(6, 3, 8), **turn}, ("x",))
    case("rope_inverse", lambda x, cos, sin: rope(x, cos, -sin), {"x": rand(6, 3, 8), **turn},
         ("x",))

    labels = torch.tensor([0, 28, 5, -100, 11, 29, 7], dtype=torch.int32)
    weights = rand(7).abs()

    def cross_entropy(logits, labels, weights):
        counts = (labels >= 0) & (labels < 29)
        target = torch.where(counts, labels, -100).long()
        loss = F.cross_entropy(logits, target, reduction="none", ignore_index=-100)
        logits_grad, = torch.autograd.grad((weights * loss).sum(), logits)
        return -loss, logits_grad

    logits = rand(7, 29, scale=3)
    wide = logits.double().requires_grad_(True)
    out, dlogits = cross_entropy(wide, labels, weights.double())
    for key, t in (("logits", logits), ("labels", labels), ("weights", weights), ("out", out),
                   ("out1", dlogits)):
        put(f"cross_entropy.{key}", t)


def products():
    case("matmul", lambda a, b: a @ b, {"a": rand(5, 7), "b": rand(7, 9)}, ("a", "b"))
    case("matmul_batched", lambda a, b: 0.5 * (a @ b), {"a": rand(2, 3, 5, 7), "b": rand(3, 7, 4)},
         ("a", "b"))
    case("linear", lambda x, w, c, bias: F.linear(x, w, bias) + c,
         {"x": rand(2, 5, 7), "w": rand(6, 7), "c": rand(2, 5, 6), "bias": rand(6)},
         ("x", "w", "c"))
    for dtype, word in ((torch.float16, "f16"), (torch.bfloat16, "bf16")):
        case(f"linear_{word}", lambda x, w, d=dtype: F.linear(x.to(d).double(), w),
             {"x": rand(5, 7), "w": rand(6, 7).to(dtype)})

    case("conv", lambda pixels, w, bias: F.conv2d(pixels, w, bias, stride=3),
         {"pixels": rand(2, 3, 10, 7), "w": rand(4, 3, 3, 3), "bias": rand(4)}, ("w",))

    attention_case("full", [[0, 9, 0, 5], [0, 4, 0, 5], [3, 0, 0, 5], [0, 9, 0, 2]])
    attention_case("prefix", [[0, 5, 3, 5], [4, 9, 0, 5], [4, 9, 6, 4], [0, 2, 0, 5]])


def attention_case(mode, table, softcap=0, window=0):
    """A row of table: q_start, kv_len, prefix_len, num_q."""
    B, T, S, H, HKV, D = 4, 5, 9, 4, 2, 6
    table = torch.tensor(table, dtype=torch.int32)
    s, t = torch.arange(S)[None, None], torch.arange(T)[None, :, None]
    start, length, prefix, num = (table[:, i, None, None] for i in range(4))
    at = start + t
    allowed = (s < length) & (t < num)
    if mode != "full":
        causal = (s <= at) & (s > at - window) if window else s <= at
        allowed = allowed & (causal | ((at < prefix) & (s < prefix)))
    some = allowed.any(-1, keepdim=True)
    mask = (allowed | ~some)[:, None]

    def attention(q, k, v, rows):
        k, v = (x.repeat_interleave(H // HKV, 2).transpose(1, 2) for x in (k, v))
        score = 0.6 * q.transpose(1, 2) @ k.transpose(2, 3)
        if softcap:
            score = softcap * torch.tanh(score / softcap)
            out = torch.where(mask, score, -torch.inf).softmax(-1) @ v
        else:
            out = F.scaled_dot_product_attention(q.transpose(1, 2), k, v, scale=0.6,
                                                 attn_mask=mask)
        lse = torch.where(allowed[:, None], score, -torch.inf).logsumexp(-1)
        return (out.transpose(1, 2) * some[..., None],
                torch.where(some[:, None, :, 0].expand_as(lse), lse, 0.0))

    case(f"attention_{mode}", attention,
         {"q": rand(B, T, H, D), "k": rand(B, S, HKV, D), "v": rand(B, S, HKV, D),
          "rows": table}, ("q", "k", "v"))


def gathers():
    ids = torch.tensor([7, 10, 4, -1, 12, -3, 5, -4, 14, 0], dtype=torch.int32)
    slot_rows = torch.tensor([3, -1, 5], dtype=torch.int32)

    def embedding(ids, table, features, base, slot_rows):
        first = 5
        rows = (ids - first).clamp(0, 7).long()
        slots = (-1 - ids).clamp(0, 2).long()
        in_table = ((ids >= first) & (ids < first + 8))[:, None]
        in_slots = ((ids < 0) & (-1 - ids < 3))[:, None]
        out = torch.where(in_table, F.embedding(rows, table) * 3, base)
        return torch.where(in_slots, features[slots], out)

    for word, dtype in (("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16)):
        case(f"embedding_{word}", embedding,
             {"ids": ids, "table": rand(8, 6).to(dtype), "features": rand(3, 6),
              "base": rand(10, 6), "slot_rows": slot_rows}, ("features",))

    idx = torch.tensor([3, -1, 0, 5], dtype=torch.int32)
    back = torch.tensor([2, -1, -1, 0, -1, 3], dtype=torch.int32)
    case("gather_rows", lambda x, idx, idx_back:
         x.index_select(0, idx.clamp(0).long()) * (idx >= 0)[:, None],
         {"x": rand(6, 5), "idx": idx, "idx_back": back}, ("x",))

    for word, dtype in (("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16)):
        dst, x = rand(7, 4).to(dtype), rand(5, 4)
        out = dst.clone()
        out[4:7] = x[:3].to(dtype)
        for key, t in (("dst", dst), ("x", x), ("out", out),
                       ("start", torch.tensor([4, 4], dtype=torch.int32))):
            put(f"store_rows_{word}.{key}", t)


def philox(counter, key):
    """Philox4x32-10 of Salmon et al. (2011) in NumPy, over arrays of counters."""
    c = [np.asarray(x, dtype=np.uint64) for x in np.broadcast_arrays(*counter)]
    k = list(key)
    mask = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), p1 & mask,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), p0 & mask]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return [x.astype(np.uint32) for x in c]


def random_ops():
    # known answers of the Random123 library
    assert [hex(int(x)) for x in philox([0] * 4, [0] * 2)] == [
        "0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
    assert [hex(int(x)) for x in philox([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2)] == [
        "0x408f276d", "0x41c83b0e", "0xa20bc7c6", "0x6d5451fd"]

    # rng: seed low, seed high, step; 3 batch rows of 4 tokens
    rng = torch.tensor([123456, 789, 11, 0], dtype=torch.int32)
    ids = torch.tensor([17, 2, 2000000000], dtype=torch.int32)
    t, c = np.meshgrid(np.arange(4), np.arange(10), indexing="ij")
    words = np.stack([philox([t * 10 + c, int(i), 77, 11], [123456, 789])[0] for i in ids])
    kept = torch.from_numpy((words >> 8).astype(np.float64) / 2**24 >= 0.25).reshape(12, 10)
    case("dropout", lambda x, rng, row_ids: torch.where(kept, x / 0.75, 0.0),
         {"x": rand(12, 10), "rng": rng, "row_ids": ids}, ("x",))

    def choose(logits, sampling, rng):
        temperature, top_p = sampling.tolist()
        if temperature <= 0:
            return logits.argmax(-1).int()
        scores = logits / temperature
        if 0 < top_p < 1:
            scores = TopPLogitsWarper(top_p=top_p)(None, scores)
        p = F.softmax(scores, -1)
        seed = [int(x) for x in rng[:3]]
        u = philox([np.arange(len(p)), 0, 0x73656C65, seed[2]], seed[:2])[0]
        u = torch.from_numpy((u >> 8).astype(np.float64) / 2**24)
        return (p.cumsum(-1) > u[:, None]).int().argmax(-1).int()

    for word, sampling in (("greedy", [0, 0.9]), ("plain", [1, 1]), ("cool", [0.7, 0.9]),
                           ("narrow", [2, 0.3])):
        case(f"select_{word}", choose, {"logits": rand(60, 41, scale=2),
                                        "sampling": torch.tensor(sampling, dtype=torch.float32),
                                        "rng": rng})


def more_activations():
    acts = {"quick_gelu": lambda x: QuickGELUActivation()(x), "tanh": torch.tanh}
    for kind, act in acts.items():
        x = torch.cat([rand(13, 7, scale=3), torch.tensor([[0.0, -0.0, 30, -30, 1e-6, -6, 6]])])
        case(f"activation_{kind}", act, {"x": x}, ("x",))
        case(f"gated_activation_{kind}", lambda gate, up, a=act: a(gate) * up,
             {"gate": rand(9, 7, scale=2), "up": rand(9, 7)}, ("gate", "up"))


def more_attention():
    attention_case("softcap", [[0, 5, 3, 5], [4, 9, 0, 5], [4, 9, 6, 4], [0, 2, 0, 5]],
                   softcap=0.7)
    attention_case("window", [[0, 5, 3, 5], [4, 9, 0, 5], [4, 9, 6, 4], [3, 4, 0, 5]], window=3)


def training():
    p = torch.nn.Parameter(rand(40).double())
    put("adamw.p", p)
    optimizer = torch.optim.AdamW([p], lr=0.01, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1)
    for step in range(5):
        grad = rand(40, scale=3)
        put(f"adamw.grad{step}", grad)
        p.grad = grad.double()
        norm = torch.nn.utils.clip_grad_norm_([p], 4.0 if step < 3 else 100.0)
        put(f"adamw.norm{step}", norm.reshape(1))
        optimizer.step()
        put(f"adamw.out{step}", p)


def views():
    # six dimensions, no two of which stay together
    case("permute", lambda x: x.permute(3, 0, 5, 1, 4, 2), {"x": rand(2, 3, 4, 5, 2, 3)}, ("x",))

    # rows of 2 x 2 patches side by side, as InternVL's pixel shuffle makes them
    def shuffle(x):
        b, h, w, c = x.shape
        x = x.reshape(b, h, w // 2, c * 2).permute(0, 2, 1, 3)
        return x.reshape(b, w // 2, h // 2, c * 4).permute(0, 2, 1, 3)

    case("pixel_shuffle", shuffle, {"x": rand(2, 4, 6, 3)}, ("x",))


torch.manual_seed(SEED)
elementwise()
rows()
products()
gathers()
random_ops()
training()
more_activations()
views()
more_attention()
os.makedirs(OUT, exist_ok=True)
save_file(tensors, os.path.join(OUT, "ops.safetensors"))
print(len(tensors), "tensors")
