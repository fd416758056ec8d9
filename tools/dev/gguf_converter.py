"""llama.cpp's convert_hf_to_gguf.py on bases of the tests, for scripts beside this one.

Its checks of what real bases have are passed over: the hash of a known tokenizer, and a number of
layers above that of a name's other numbers. One fault is mended: it leaves out Mistral 3's
[IMG_BREAK] row, which llama.cpp's loader wants, because the embedding's name begins with
"language_model.".
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
        import conversion.base as base
        known = base.gguf.get_tensor_name_map
        base.gguf.get_tensor_name_map = lambda arch, blocks: known(arch, max(blocks, 8))
        dropped = base.MmprojModel.filter_tensors.__func__
        base.MmprojModel.filter_tensors = classmethod(
            lambda cls, item: item if item[0].endswith("embed_tokens.weight")
            else dropped(cls, item))
        self.base = base

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

    def convert(self, folder, kind, out, outtype, is_mmproj):
        self.base.TextModel.get_vocab_base_pre = lambda model, tokenizer: KINDS[kind][1]
        sys.argv = ["convert_hf_to_gguf.py", str(folder), "--outtype", outtype, "--outfile",
                    str(out)]
        sys.argv += ["--mmproj"] if is_mmproj else []
        runpy.run_path(os.path.join(self.source, sys.argv[0]), run_name="__main__")
