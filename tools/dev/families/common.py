"""What the families' modules share: the specification of a case, files, tokenizers of few words."""
import json
from dataclasses import dataclass, field

import torch
from safetensors.torch import save_file

CORPUS = """caption en describe en answer en what is this image a red square on a blue ground two
green circles and one small triangle the large star is left of the moon how many shapes are there
three which colour has it the image shows an old house near water detect segment question long
short""".split()


@dataclass(kw_only=True)
class Spec:
    name: str           # of the folder
    seed: int
    dtype: torch.dtype
    num_shards: int
    names: str          # spelling of the tensors' names on disk, as the family calls it
    text: dict          # members of the configs
    vision: dict
    training: dict      # front matter below `training`
    adapter: dict = field(default_factory=dict)       # options of LoraConfig
    adapter_wide: dict = field(default_factory=dict)
    num_pad_rows: int = 0   # rows of the embedding behind the last token
    num_held_out: int = 0   # rows of the document in the validation split
    sequence_len: int = 256
    quant: str | None = None  # form of the base, see quant.py


def text_shape(hidden, inter, layers, heads, kv_heads, head_dim):
    return {"hidden_size": hidden, "intermediate_size": inter, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim}


def vision_shape(hidden, inter, layers, heads):
    return {"hidden_size": hidden, "intermediate_size": inter, "num_hidden_layers": layers,
            "num_attention_heads": heads}


def merges_of(words, num):
    """Byte pair merges of a few words: the most frequent pair first, ties by text."""
    parts = [["▁"] + list(w) for w in words] + [list(w) for w in words]
    merges = []
    while len(merges) < num:
        counts = {}
        for p in parts:
            for pair in zip(p, p[1:]):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        for p in parts:
            i = 0
            while i + 1 < len(p):
                if (p[i], p[i + 1]) == best:
                    p[i:i + 2] = [best[0] + best[1]]
                i += 1
    return merges


def dump(path, obj, indent=1):
    path.write_text(json.dumps(obj, ensure_ascii=False, indent=indent, sort_keys=True,
                               separators=None if indent else (",", ":")) + "\n")


def write_tensors(folder, tensors, num_shards):
    if num_shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    shards = [{} for _ in range(num_shards)]
    for i, (name, t) in enumerate(tensors.items()):
        shards[i * num_shards // len(tensors)][name] = t
    weight_map = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-{num_shards:05}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(shard, file))
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    dump(folder / "model.safetensors.index.json",
         {"metadata": {"total_size": total}, "weight_map": weight_map})


def random_adapter(rng):
    options = {"r": rng.randint(1, 9), "lora_alpha": rng.randint(1, 20),
               "use_rslora": rng.random() < 0.3}
    if rng.random() < 0.4:
        options["rank_pattern"] = {rng.choice(["q_proj", "layers.0.self_attn.v_proj"]): 3}
        options["alpha_pattern"] = {rng.choice(["v_proj", "o_proj"]): 7}
    return options


def random_training(rng):
    return {"learning_rate": rng.choice([2e-4, 5e-4, 1e-3, 2e-3]),
            "lr_scheduler": rng.choice(["constant", "linear", "cosine"]),
            "warmup_ratio": rng.choice([0.0, 0.1, 0.25]), "micro_batch_size": rng.randint(1, 3),
            "grad_accum": rng.randint(1, 3), "gradient_checkpointing": rng.random() < 0.5}


def random_dtype(rng):
    return rng.choice([torch.float32, torch.bfloat16, torch.float16])


def random_sizes(rng):
    """A function of bounds that gives sizes between them, multiples of one random step."""
    step = rng.choice([1, 4, 4, 8])
    return lambda low, high: rng.randint(low // step, high // step) * step
