"""What transformers and PEFT compute on a tiny PaliGemma: rows, log-probabilities, gradients of an
adapter, the trainer's steps, greedy answers. Shared by make_paligemma_goldens.py and
compare_paligemma.py; all in f32 with eager attention (f64 to see what rounding does)."""
import json
import math
import os

os.environ["HF_HUB_OFFLINE"] = "1"

import tokenizers
import torch
import transformers
from peft import PeftModel
from PIL import Image
from tokenizers.processors import TemplateProcessing
from transformers import PaliGemmaForConditionalGeneration, PreTrainedTokenizerFast
from transformers.models.paligemma.processing_paligemma import PaliGemmaProcessor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
NUM_STEPS = 20
NUM_NEW_TOKENS = 20


def load_model(folder, dtype=torch.float32):
    model, info = PaliGemmaForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    model = model.eval()
    # Buffers are made again from the f32 ones by .double(): what f32 rounds stays rounded.
    return model.double() if dtype == torch.float64 else model


class Encoder:
    """Rows as PaliGemmaProcessor makes them; those without an image as it would."""

    def __init__(self, base):
        prep = json.loads((base / "preprocessor_config.json").read_text())
        self.backend = tokenizers.Tokenizer.from_file(str(base / "tokenizer.json"))
        self.backend.post_processor = TemplateProcessing(single="$A:0", pair="$A:0 $B:1")
        self.tok = PreTrainedTokenizerFast(
            tokenizer_object=self.backend, bos_token="<bos>", eos_token="<eos>",
            pad_token="<pad>", unk_token="<unk>")
        image_processor = SiglipImageProcessorPil(size=prep["size"], resample=prep["resample"])
        image_processor.image_seq_length = prep["image_seq_length"]
        self.processor = PaliGemmaProcessor(image_processor, self.tok)

    def ids(self, text):
        return self.backend.encode(text, add_special_tokens=False).ids

    def prompt(self, prefix, image=None, newline=True):
        """Input of a question: (ids, pixel values or None)."""
        if image is None:
            return self.ids("<bos>" + prefix + ("\n" if newline else "")), None
        out = self.processor(images=Image.open(image).convert("RGB"), text=prefix,
                             return_tensors="pt")
        return out["input_ids"][0].tolist(), out["pixel_values"]

    def row(self, prefix, suffix, image=None, newline=True):
        """Inputs of one training row, with labels on the suffix and its end token."""
        ids, pixels = self.prompt(prefix, image, newline)
        target = self.ids(suffix + "<eos>")
        if image is not None:
            out = self.processor(images=Image.open(image).convert("RGB"), text=prefix,
                                 suffix=suffix, return_tensors="pt")
            assert out["input_ids"][0].tolist() == ids + target
            assert out["token_type_ids"][0].tolist() == [0] * len(ids) + [1] * len(target)
        inputs = {"input_ids": torch.tensor([ids + target]),
                  "token_type_ids": torch.tensor([[0] * len(ids) + [1] * len(target)]),
                  "attention_mask": torch.ones(1, len(ids) + len(target), dtype=torch.long)}
        if pixels is not None:
            inputs["pixel_values"] = pixels
        return inputs, target


def target_logprobs(model, inputs, target):
    dtype = next(model.parameters()).dtype
    inputs = {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    logits = model(**inputs, use_cache=False).logits[0]
    logprobs = torch.log_softmax(logits[-len(target) - 1:-1].to(dtype), -1)
    return logprobs.gather(1, torch.tensor(target)[:, None])[:, 0]


def load_adapter(base, folder, dtype=torch.float32):
    model = PeftModel.from_pretrained(load_model(base, dtype), folder, is_trainable=True).eval()
    for p in model.parameters():
        assert p.dtype == torch.float32 or dtype == torch.float64
    return model.double() if dtype == torch.float64 else model


def trainable(model):
    return {n.replace(".default.", "."): p for n, p in model.named_parameters() if p.requires_grad}


def gradients(base, adapter, inputs, target, dtype):
    model = load_adapter(base, adapter, dtype)
    logprobs = target_logprobs(model, inputs, target)
    (-logprobs.mean()).backward()
    return logprobs.detach(), {n: p.grad for n, p in trainable(model).items()}


def rate(step, training):
    """Factor of the learning rate in optimiser step `step`, from 0: transformers' schedules."""
    kind, n = training["lr_scheduler"], NUM_STEPS
    warm = math.ceil(n * training["warmup_ratio"])
    if step < warm:
        return step / max(1, warm)
    if kind == "constant":
        return 1.0
    done = (step - warm) / max(1, n - warm)
    return max(0.0, 1 - done if kind == "linear" else 0.5 * (1 + math.cos(math.pi * done)))


def trace(base, adapter, rows, training, dtype):
    """Trainer's steps: losses divided by the labels of the whole step, clipped to 1, AdamW."""
    model = load_adapter(base, adapter, dtype)
    params = list(trainable(model).values())
    optimizer = torch.optim.AdamW(params, lr=training["learning_rate"], betas=(0.9, 0.999),
                                  eps=1e-8, weight_decay=0.0)
    num_items = sum(len(target) for _, target in rows)
    out = {"losses": [], "grad_norms": [], "lrs": [], "num_items": num_items}
    for step in range(NUM_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = training["learning_rate"] * rate(step, training)
        total = 0.0
        for inputs, target in rows:
            loss = -target_logprobs(model, inputs, target).sum() / num_items
            loss.backward()
            total += loss.item()
        out["losses"].append(total)
        out["grad_norms"].append(torch.nn.utils.clip_grad_norm_(params, 1.0).item())
        out["lrs"].append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        optimizer.zero_grad()
    return out


def greedy(model, encoder, prefix, image):
    """Greedy answer with the smallest distance between the best and the second logit."""
    ids, pixels = encoder.prompt(prefix, image)
    inputs = {"input_ids": torch.tensor([ids]),
              "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
              "token_type_ids": torch.zeros(1, len(ids), dtype=torch.long)}
    if pixels is not None:
        inputs["pixel_values"] = pixels
    with torch.no_grad():
        out = model.generate(**inputs, max_new_tokens=NUM_NEW_TOKENS, do_sample=False,
                             output_logits=True, return_dict_in_generate=True)
    new = out.sequences[0, len(ids):].tolist()
    best = [torch.topk(logits[0], 2).values for logits in out.logits]
    return {"ids": new, "margin": min((b[0] - b[1]).item() for b in best),
            "text": encoder.tok.decode(new, skip_special_tokens=True)}
