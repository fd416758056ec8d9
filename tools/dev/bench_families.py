"""What bench_torch.py times, a class a family: configurations of the shapes, and what the model
takes for an image and for text. Sizes are those of `dlm bench --shape` of the same name."""


class PaliGemma:
    attention = "sdpa"
    text_type = "gemma"
    shapes = {
        "paligemma-3b-224": (
            {"hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 18,
             "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256,
             "vocab_size": 257216},
            {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
             "num_attention_heads": 16, "image_size": 224, "patch_size": 14}),
        "tiny": (
            {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 16,
             "vocab_size": 640},
            {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
             "num_attention_heads": 4, "image_size": 56, "patch_size": 14}),
    }

    def make(self, text, vision):
        from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

        config = PaliGemmaConfig(
            text_config={"model_type": self.text_type, "pad_token_id": 0, "bos_token_id": 2,
                         "eos_token_id": 1, **text},
            vision_config={"model_type": "siglip_vision_model", "vision_use_head": False,
                           "projection_dim": text["hidden_size"], **vision},
            projection_dim=text["hidden_size"], image_token_index=text["vocab_size"] - 1,
            pad_token_id=0)
        return config, PaliGemmaForConditionalGeneration

    def num_image_tokens(self, vision):
        return (vision["image_size"] // vision["patch_size"]) ** 2

    def image(self, vision, noise):
        """Arguments that show an image; noise(shape): pixels."""
        size = vision["image_size"]
        return {"pixel_values": noise((1, 3, size, size))}

    def sees(self, pixels):
        """Of these, what the model takes beside an image's features."""
        return {}

    def text(self, ids, num_suffix, image_id):
        """Beside the ids: which tokens are not learned."""
        import torch

        types = torch.zeros(1, ids.shape[1], dtype=torch.long)
        if num_suffix:
            types[:, -num_suffix:] = 1
        return {"token_type_ids": types}

    def next_token(self, at):
        import torch

        return {"position_ids": torch.tensor([[at + 1]])}  # positions count from 1


class PaliGemma2(PaliGemma):
    attention = "eager"  # transformers' sdpa has no soft cap
    text_type = "gemma2"
    shapes = {
        "paligemma2-3b-224": (
            {"hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
             "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
             "vocab_size": 257216},
            PaliGemma.shapes["paligemma-3b-224"][1]),
        "tiny-paligemma2": PaliGemma.shapes["tiny"],
    }


class CausalFamily:
    """What has no types of tokens and positions that follow from the image."""
    attention = "sdpa"

    def text(self, ids, num_suffix, image_id):
        return {}

    def next_token(self, at):
        return {}


class Qwen2VL(CausalFamily):
    shapes = {
        "qwen2-vl-2b": (
            {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
             "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936,
             "tie_word_embeddings": True},
            {"depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4, "hidden_size": 1536,
             "image_size": 672, "patch_size": 14}),
        "tiny-qwen2-vl": (
            {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
             "num_attention_heads": 3, "num_key_value_heads": 1, "vocab_size": 640,
             "rope_parameters": {"rope_type": "default", "rope_theta": 1e6,
                                 "mrope_section": [2, 3, 3]}},
            {"depth": 2, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2, "hidden_size": 48,
             "image_size": 56, "patch_size": 14}),
    }

    def make(self, text, vision):
        from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

        rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
        vocab = text["vocab_size"]
        config = Qwen2VLConfig(
            text_config={"rope_parameters": rope, "bos_token_id": 1, "eos_token_id": 2,
                         "pad_token_id": 0, "rms_norm_eps": 1e-6, **text},
            vision_config={k: v for k, v in vision.items() if k != "image_size"},
            tie_word_embeddings=text.get("tie_word_embeddings", False), image_token_id=vocab - 1,
            video_token_id=vocab - 2, vision_start_token_id=vocab - 3, vision_end_token_id=vocab - 4)
        return config, Qwen2VLForConditionalGeneration

    def num_image_tokens(self, vision):
        return (vision["image_size"] // vision["patch_size"] // 2) ** 2

    def image(self, vision, noise):
        import torch

        side = vision["image_size"] // vision["patch_size"]
        return {"pixel_values": noise((side * side, 6 * vision["patch_size"] ** 2)),
                "image_grid_thw": torch.tensor([[1, side, side]])}

    def sees(self, pixels):
        return {"image_grid_thw": pixels["image_grid_thw"]}

    def text(self, ids, num_suffix, image_id):
        return {"mm_token_type_ids": (ids == image_id).int()}

    def next_token(self, at):
        import torch

        return {"position_ids": torch.full((3, 1, 1), at)}  # any place costs the same


class Qwen2(CausalFamily):
    shapes = {"qwen2-1.5b": (Qwen2VL.shapes["qwen2-vl-2b"][0], None)}

    def make(self, text, vision):
        from transformers import Qwen2Config, Qwen2ForCausalLM

        config = Qwen2Config(rope_parameters={"rope_type": "default", "rope_theta": 1e6},
                             bos_token_id=1, eos_token_id=2, pad_token_id=0, rms_norm_eps=1e-6,
                             **text)
        return config, Qwen2ForCausalLM


class Mistral3(CausalFamily):
    shapes = {
        "mistral-small-24b": (
            {"hidden_size": 5120, "intermediate_size": 32768, "num_hidden_layers": 40,
             "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
             "vocab_size": 131072},
            {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
             "num_attention_heads": 16, "head_dim": 64, "image_size": 1540, "patch_size": 14}),
        "tiny-mistral3": (
            {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
             "vocab_size": 640},
            {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
             "num_attention_heads": 3, "head_dim": 16, "image_size": 56, "patch_size": 14}),
    }

    def make(self, text, vision):
        from transformers import Mistral3Config, Mistral3ForConditionalGeneration

        rope = {"rope_type": "default", "rope_theta": 1e9}
        config = Mistral3Config(
            text_config={"model_type": "mistral", "rms_norm_eps": 1e-5, "sliding_window": None,
                         "rope_parameters": rope, **text},
            vision_config={"model_type": "pixtral", "hidden_act": "silu", **vision},
            image_token_index=10, spatial_merge_size=2, vision_feature_layer=-1,
            tie_word_embeddings=False)
        return config, Mistral3ForConditionalGeneration

    def num_image_tokens(self, vision):
        return (vision["image_size"] // vision["patch_size"] // 2) ** 2

    def image(self, vision, noise):
        import torch

        size = vision["image_size"]
        return {"pixel_values": noise((1, 3, size, size)),
                "image_sizes": torch.tensor([[size, size]])}

    def sees(self, pixels):
        return {"image_sizes": pixels["image_sizes"]}


SHAPES = {name: (family, *shape) for family in (PaliGemma(), PaliGemma2(), Qwen2VL(), Qwen2(),
                                                Mistral3())
          for name, shape in family.shapes.items()}
