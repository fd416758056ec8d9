"""What transformers and PEFT compute on a tiny checkpoint of any family: log-probabilities,
gradients of an adapter, the trainer's steps, greedy answers. Shared by make_models_goldens.py and
compare_models.py; all in f32 with eager attention (f64 to see what rounding does)."""
import math
import os
import pathlib
from dataclasses import dataclass

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from families import quant as quantiser
from peft import PeftModel

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
NUM_STEPS = 20
NUM_NEW_TOKENS = 20


@dataclass
class Row:
    question: str | None  # None: prose, which is the answer
    answer: str
    images: tuple[pathlib.Path, ...] = ()


class Reference:
    """A checkpoint folder of a family. quant: a form of families/quant.py."""

    def __init__(self, family, base, quant=None):
        self.family, self.base, self.encoder = family, base, family.Encoder(base)
        self.quant = quant

    def quantised(self, model):
        """With what its decoder's linear layers stand for when they are quantised."""
        with torch.no_grad():
            for name, p in model.named_parameters():
                if quantiser.is_quantised(name):
                    p.copy_(quantiser.dequantised(p, self.quant))
        return model

    def saved(self):
        """From a checkpoint that bitsandbytes saved, whose names are those of transformers 5."""
        config = self.family.MODEL.config_class.from_pretrained(self.base)
        del config.quantization_config
        config._attn_implementation = "eager"
        model = self.family.MODEL(config)
        lost = model.load_state_dict(quantiser.load_saved(self.base), strict=False)
        assert not lost.unexpected_keys and lost.missing_keys in ([], ["lm_head.weight"]), lost
        model.tie_weights()
        return model

    def model(self, dtype=torch.float32):
        if self.quant == "bnb":
            model = self.saved().eval()
            return model.double() if dtype == torch.float64 else model
        model, info = self.family.MODEL.from_pretrained(
            self.base, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"], info
        model = self.quantised(model.eval()) if self.quant else model.eval()
        # Buffers are made again from the f32 ones by .double(): what f32 rounds stays rounded.
        return model.double() if dtype == torch.float64 else model

    def adapted(self, adapter, dtype=torch.float32):
        model = PeftModel.from_pretrained(self.model(dtype), adapter, is_trainable=True).eval()
        for p in model.parameters():
            assert p.dtype == torch.float32 or dtype == torch.float64
        return model.double() if dtype == torch.float64 else model

    def gradients(self, adapter, inputs, labels, dtype):
        model = self.adapted(adapter, dtype)
        logprobs = label_logprobs(model, inputs, labels)
        (-logprobs.mean()).backward()
        return logprobs.detach(), {n: p.grad for n, p in trainable(model).items()}

    def trace(self, adapter, rows, training, dtype):
        """Trainer's steps: losses divided by the labels of the whole step, clipped to 1, AdamW."""
        model = self.adapted(adapter, dtype)
        params = list(trainable(model).values())
        optimizer = torch.optim.AdamW(params, lr=training["learning_rate"], betas=(0.9, 0.999),
                                      eps=1e-8, weight_decay=0.0)
        num_items = sum(sum(labels) for _, labels in rows)
        out = {"losses": [], "grad_norms": [], "lrs": [], "num_items": num_items}
        for step in range(NUM_STEPS):
            for group in optimizer.param_groups:
                group["lr"] = training["learning_rate"] * rate(step, training)
            total = 0.0
            for inputs, labels in rows:
                loss = -label_logprobs(model, inputs, labels).sum() / num_items
                loss.backward()
                total += loss.item()
            out["losses"].append(total)
            out["grad_norms"].append(torch.nn.utils.clip_grad_norm_(params, 1.0).item())
            out["lrs"].append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            optimizer.zero_grad()
        return out

    def greedy(self, model, question, images):
        """Greedy answer with the smallest distance between the best and the second logit."""
        inputs = self.encoder.prompt(question, images)
        with torch.no_grad():
            out = model.generate(**inputs, max_new_tokens=NUM_NEW_TOKENS, do_sample=False,
                                 output_logits=True, return_dict_in_generate=True)
        new = out.sequences[0, inputs["input_ids"].shape[1]:].tolist()
        best = [torch.topk(logits[0], 2).values for logits in out.logits]
        return {"ids": new, "margin": min((b[0] - b[1]).item() for b in best),
                "text": self.encoder.decode(new)}


def label_logprobs(model, inputs, labels):
    """Of the learned tokens, in order."""
    dtype = next(model.parameters()).dtype
    inputs = {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    at = torch.tensor(labels).nonzero()[:, 0]
    logits = model(**inputs, use_cache=False).logits[0]
    logprobs = torch.log_softmax(logits[at - 1].to(dtype), -1)
    return logprobs.gather(1, inputs["input_ids"][0, at][:, None])[:, 0]


def trainable(model):
    return {n.replace(".default.", "."): p for n, p in model.named_parameters() if p.requires_grad}


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
