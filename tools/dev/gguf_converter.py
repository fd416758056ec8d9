"""llama.cpp's convert_hf_to_gguf.py on bases of the tests, for scripts beside this one.

Its checks of what real bases have are passed over: the hash of a known tokenizer, and a number of
layers above that of a name's other numbers. Two faults are mended: it leaves out Mistral 3's
[IMG_BREAK] row, which llama.cpp's loader wants, because the embedding's name begins with
"language_model."; and of an adapter of Mistral 3 it writes the base instead, because its class
hands all to another that knows of none.
"""
import json
import os
import runpy
import sys

# the architecture that config.json states, and the name of the tokenizer's pattern
KINDS = {"qwen2_vl": ("Qwen2VLForConditionalGeneration", "qwen2"),
         "mistral3": ("Mistral3ForConditionalGeneration", "tekken")}


class Converter:
    def __init__(self, folder):
        """folder: as tools/dev/llama_cpp makes it."""
        self.source = os.path.join(os.path.abspath(folder), "llama.cpp")
        sys.path[:0] = [self.source, os.path.join(self.source, "gguf-py")]
        import conversion
        import conversion.base as base
        known = base.gguf.get_tensor_name_map
        base.gguf.get_tensor_name_map = lambda arch, blocks: known(arch, max(blocks, 8))
        dropped = base.MmprojModel.filter_tensors.__func__
        base.MmprojModel.filter_tensors = classmethod(
            lambda cls, item: item if item[0].endswith("embed_tokens.weight")
            else dropped(cls, item))
        self.base, self.conversion = base, conversion

    @staticmethod
    def prepare(folder, kind):
        """Says in a base's folder what the converter asks for."""
        path = os.path.join(folder, "config.json")
        with open(path) as f:
            config = json.load(f)
        config["architectures"] = [KINDS[kind][0]]
        with open(path, "w") as f:
            json.dump(config, f)
        path = os.path.join(folder, "tokenizer_config.json")
        if not os.path.exists(path):
            with open(path, "w") as f:
                f.write("{}")

    def run(self, kind, script, *args):
        self.base.TextModel.get_vocab_base_pre = lambda model, tokenizer: KINDS[kind][1]
        sys.argv = [script, *map(str, args)]
        runpy.run_path(os.path.join(self.source, script), run_name="__main__")

    def convert(self, folder, kind, out, outtype, is_mmproj):
        self.run(kind, "convert_hf_to_gguf.py", folder, "--outtype", outtype, "--outfile", out,
                 *(["--mmproj"] if is_mmproj else []))

    def convert_lora(self, folder, kind, base, out, outtype):
        """folder: of the adapter; base: that of its base, prepared."""
        classes = self.base.ModelBase._model_classes[self.base.ModelType.TEXT]
        name = KINDS[kind][0]
        own = self.conversion.get_model_class(name) if kind == "mistral3" else None
        if own:
            classes[name] = own.Ministral3Model
        self.run(kind, "convert_lora_to_gguf.py", folder, "--base", base, "--outtype", outtype,
                 "--outfile", out)
        if own:
            classes[name] = own
