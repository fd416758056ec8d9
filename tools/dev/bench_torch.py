#!/usr/bin/env python3
"""Times a model of a family in torch (transformers + PEFT, bf16, CPU or CUDA) with random weights,
and beside it `dlm bench` doing the same work.

    bench_torch.py [--shape paligemma-3b-224] [--layers N] [--dlm PROGRAM] [--threads 2]
                   [--torch-device cuda] [--repeat 3] [PART ...]

Shapes are those of bench_families.py; the tiny ones try this script, with --torch-only, which also
leaves dlm out. --layers leaves so many of the decoder's.

Parts: vision (one image through tower and projector), prefill (image + --prompt-tokens of text),
decode (--decode-tokens one after another, behind the prefill's KV cache), train_step (forward and
backward of one row of image, --prompt-tokens and 48 labelled tokens, LoRA r=8 on q, k, v, o of the
language model, clipping, AdamW), train_step_checkpointed (the same), train_step_with_vision (what
torch really does: the tower runs again in each step). A decoder alone has no image. Like dlm, whose vision features are cached,
prefill and the other steps get the image's features. Weights bf16, adapters f32, as PEFT has them;
the best of --repeat runs counts.

Prints one JSON object: {"torch": {...}, "dlm": {...}, "ratio": {part: tokens a second of dlm / of
torch}, "memory_ratio": peak of dlm / of torch}; "ratio" has the epochs of a training, too: in the
first dlm sees each image once and then steps, in later ones it steps alone, and torch does
train_step_with_vision in all. torch runs in a process of its own, which has ended
when dlm begins, so that the two never share memory. paligemma-3b-224 takes about 6 GB for the
weights and up to 9 GB in all.
"""
import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time

from bench_families import SHAPES

os.environ["HF_HUB_OFFLINE"] = "1"
PARTS = ["vision", "prefill", "decode", "train_step", "train_step_with_vision",
         "train_step_checkpointed"]  # checkpointing stays on, so it comes last
SUFFIX_TOKENS = 48  # labelled tokens of a training row, as in `dlm bench`

def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", default="paligemma-3b-224", choices=SHAPES)
    parser.add_argument("--layers", type=int, help="of the decoder, instead of all")
    parser.add_argument("--dlm", help="program to time beside torch")
    parser.add_argument("--backend", default="cpu", help="of dlm")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--prompt-tokens", type=int, default=16)
    parser.add_argument("--decode-tokens", type=int, default=32)
    parser.add_argument("--torch-device", default="cpu", help="cpu or cuda")
    parser.add_argument("--torch-only", action="store_true", help="in this process; no dlm")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; none: all")
    args = parser.parse_args()
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    args.parts = args.parts or PARTS
    return args


def cpu_name():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


# --- torch ---------------------------------------------------------------------------------------

def make_model(family, text, vision, device):
    """Weights are made in place, in bf16, layer by layer: no f32 copy of the whole ever exists."""
    import torch

    config, model_class = family.make(text, vision)
    config._attn_implementation = family.attention
    with torch.device("meta"):
        model = model_class(config)
    buffers = {n: b.clone() if b.device.type != "meta" else None for n, b in model.named_buffers()}
    model = model.to(torch.bfloat16).to_empty(device=device)
    model.tie_weights()
    # A random block, repeated: drawing three thousand million numbers would take minutes.
    block = torch.randn(1 << 20, generator=torch.Generator().manual_seed(1))
    block = block.to(device, torch.bfloat16)
    with torch.no_grad():
        for name, p in model.named_parameters():
            flat, scale = p.view(-1), 0.02 if p.dim() > 1 else 0.1
            for i in range(0, flat.numel(), block.numel()):
                n = min(block.numel(), flat.numel() - i)
                torch.mul(block[:n], scale, out=flat[i:i + n])
    restore_buffers(model, config, buffers)
    return model.eval(), config


def restore_buffers(model, config, buffers):
    """Buffers that are computed, not stored, are empty after to_empty()."""
    import torch

    for name, module in model.named_modules():
        for key, buffer in list(module._buffers.items()):
            if buffer is None:
                continue
            full = f"{name}.{key}" if name else key
            if "inv_freq" in key:
                compute = getattr(module, "compute_axial_rope_parameters", None) or \
                    module.compute_default_rope_parameters
                value, _ = compute(module.config)
            elif key == "position_ids":
                value = torch.arange(buffer.shape[-1]).expand(buffer.shape).clone()
            elif key == "embed_scale":
                value = torch.tensor(config.text_config.hidden_size ** 0.5, dtype=torch.bfloat16)
            else:
                value = buffers.get(full)
                assert value is not None, f"buffer {full} is not known to this script"
            module._buffers[key] = value.to(buffer.device)


def to_device(inputs, device):
    return {k: v.to(device) if hasattr(v, "to") else v for k, v in inputs.items()}


def clock():
    """Seconds, when all that was asked of a device is done."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def best(call, repeat, what):
    """Seconds of the fastest of `repeat` calls, after one that does not count."""
    seconds = []
    for i in range(repeat + 1):
        begin = clock()
        call()
        seconds.append(clock() - begin)
        print(f"torch {what}: {seconds[-1]:.3f} s", file=sys.stderr, flush=True)
    return min(seconds[1:])


def token_inputs(family, image_id, num_image, num_text, num_suffix=0):
    import torch

    words = [3 + i % 400 for i in range(num_text)]
    ids = [image_id] * num_image + [w if w != image_id else 2 for w in words]
    ids = torch.tensor([ids])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids),
            **family.text(ids, num_suffix, image_id)}


def time_decode(family, model, inputs, count, repeat):
    import torch

    seconds = []
    for _ in range(repeat):
        out = model(**inputs, use_cache=True, logits_to_keep=1)
        cache, token = out.past_key_values, out.logits[:, -1:].argmax(-1)
        mask = inputs["attention_mask"]
        length, begin = mask.shape[1], clock()
        for i in range(count):
            mask = torch.cat([mask, mask.new_ones(1, 1)], 1)
            out = model(input_ids=token, attention_mask=mask, past_key_values=cache, use_cache=True,
                        **to_device(family.next_token(length + i), mask.device))
            cache, token = out.past_key_values, out.logits[:, -1:].argmax(-1)
        seconds.append(clock() - begin)
        print(f"torch decode: {seconds[-1]:.3f} s", file=sys.stderr, flush=True)
    return min(seconds)


def make_step(model, inputs, labels):
    """One optimiser step of a PEFT model on one row."""
    import torch

    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=1e-4, weight_decay=0.0)

    def step():
        loss = model(**inputs, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def time_steps(model, inputs, image, pixels, parts, repeat):
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0,
                      target_modules=r"(?!.*vision).*\.(q_proj|k_proj|v_proj|o_proj)")
    peft_model = get_peft_model(model, lora)
    labels = inputs["input_ids"].clone()
    labels[:, :-SUFFIX_TOKENS] = -100
    out = {}
    for part in parts:
        if part == "train_step_checkpointed":
            peft_model.enable_input_require_grads()
            peft_model.gradient_checkpointing_enable({"use_reentrant": False})
            peft_model.train()  # transformers checkpoints only in training mode
        seen = pixels if part == "train_step_with_vision" else image
        out[part] = best(make_step(peft_model, {**inputs, **seen}, labels), repeat, part)
    return out


def bench_torch(args):
    import importlib.metadata

    import torch

    torch.set_num_threads(args.threads)
    family, text, vision = SHAPES[args.shape]
    if args.layers:
        text = {**text, "num_hidden_layers": min(args.layers, text["num_hidden_layers"])}
    begin = time.perf_counter()
    model, config = make_model(family, text, vision, args.torch_device)
    print(f"torch weights: {time.perf_counter() - begin:.1f} s", file=sys.stderr, flush=True)
    noise = torch.Generator().manual_seed(2)
    num_image = family.num_image_tokens(vision) if vision else 0
    pixels = family.image(vision, lambda shape: (torch.rand(shape, generator=noise) * 2 - 1).to(
        torch.bfloat16)) if vision else {}
    pixels = to_device(pixels, args.torch_device)
    image_id = config.image_token_id if vision else -1
    prompt = to_device(token_inputs(family, image_id, num_image, args.prompt_tokens),
                       args.torch_device)
    row = to_device(token_inputs(family, image_id, num_image, args.prompt_tokens + SUFFIX_TOKENS,
                                 SUFFIX_TOKENS), args.torch_device)
    seconds = {}
    with torch.no_grad():
        image = {}
        if vision:
            image = {"mm_encoder_outputs": {"image": model.get_image_features(**pixels)},
                     **family.sees(pixels)}
        if vision and "vision" in args.parts:
            seconds["vision"] = best(lambda: model.get_image_features(**pixels), args.repeat,
                                     "vision")
        if "prefill" in args.parts:
            seconds["prefill"] = best(lambda: model(**prompt, **image, use_cache=True,
                                                    logits_to_keep=1), args.repeat, "prefill")
        if "decode" in args.parts:
            seconds["decode"] = time_decode(family, model, {**prompt, **image},
                                            args.decode_tokens, args.repeat)
    steps = [p for p in PARTS if p.startswith("train_step") and p in args.parts and
             (vision or p != "train_step_with_vision")]
    if steps:
        seconds.update(time_steps(model, row, image, pixels, steps, args.repeat))
    tokens = {"vision": num_image, "prefill": prompt["input_ids"].numel(),
              "decode": args.decode_tokens, **dict.fromkeys(steps, row["input_ids"].numel())}
    on_cuda = args.torch_device.startswith("cuda")
    return {"model": args.shape, "precision": "bf16", "threads": torch.get_num_threads(),
            "device": torch.cuda.get_device_name() if on_cuda else cpu_name(),
            "peak_device_bytes": torch.cuda.max_memory_allocated() if on_cuda else 0,
            "versions": {name: importlib.metadata.version(name) for name in
                         ["torch", "transformers"] + (["peft"] if steps else [])},
            "peak_host_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            **{p: {"seconds": s, "tokens_per_sec": tokens[p] / s} for p, s in seconds.items()}}


# --- dlm -----------------------------------------------------------------------------------------

def run_json(command):
    print(" ".join(command), file=sys.stderr, flush=True)
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def bench_dlm(args):
    return run_json([args.dlm, "--threads", str(args.threads), "bench", "--shape", args.shape,
                     "--backend", args.backend, "--precision", "bf16", "--json",
                     "--repeat", str(args.repeat), "--prompt-tokens", str(args.prompt_tokens),
                     "--decode-tokens", str(args.decode_tokens),
                     *(["--layers", str(args.layers)] if args.layers else [])])


def ratios(torch_result, dlm_result):
    """How many times as many tokens a second dlm does in the same part."""
    out = {}
    for part in PARTS:
        ours, theirs = dlm_result.get(part), torch_result.get(part)
        if ours and theirs and ours["seconds"] > 0:
            out[part] = ours["tokens_per_sec"] / theirs["tokens_per_sec"]
    whole, step, vision = (torch_result.get("train_step_with_vision"), dlm_result.get("train_step"),
                           dlm_result.get("vision"))
    if whole and step and vision:
        out["first_epoch"] = whole["seconds"] / (vision["seconds"] + step["seconds"])
        out["later_epochs"] = whole["seconds"] / step["seconds"]
    return out


def main():
    args = parse_args()
    if args.torch_only:
        print(json.dumps(bench_torch(args)))
        return
    out = {"cpu": cpu_name(), "threads": args.threads}
    out["torch"] = run_json([sys.executable, __file__, *sys.argv[1:], "--torch-only"])
    if args.dlm:
        out["dlm"] = bench_dlm(args)
        out["ratio"] = ratios(out["torch"], out["dlm"])
        out["memory_ratio"] = out["dlm"]["peak_host_bytes"] / out["torch"]["peak_host_bytes"]
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
