/* The registry's rows: constants only. Keys, revisions and licences are those of the Python dlm's
 * registry, so that its documents name the same bases here. */
#include "registry/registry.h"

#include <string.h>

#define QKVO .target_modules = {"q_proj", "k_proj", "v_proj", "o_proj"}
#define GEMMA_TERMS "https://ai.google.dev/gemma/terms"

static const struct dlm_base_row rows[] = {
    /* Bundled with dlm: image size and number of image tokens are in its config.json. */
    {.key = "tiny-shapes",
     .architecture = "PaliGemmaForConditionalGeneration", .family = "paligemma",
     .modality = DLM_MODALITY_VISION_LANGUAGE, .template_name = "paligemma",
     .license_spdx = "MIT", .redistributable = true, .image_token = "<image>", QKVO},
    {.key = "tiny-shapes-qwen2-vl",
     .architecture = "Qwen2VLForConditionalGeneration", .family = "qwen2_vl",
     .modality = DLM_MODALITY_VISION_LANGUAGE, .template_name = "qwen2-vl",
     .license_spdx = "MIT", .redistributable = true, .image_token = "<|image_pad|>", QKVO},
    {.key = "tiny-shapes-mistral3",
     .architecture = "Mistral3ForConditionalGeneration", .family = "mistral3",
     .modality = DLM_MODALITY_VISION_LANGUAGE, .template_name = "mistral",
     .license_spdx = "MIT", .redistributable = true, .image_token = "[IMG]", QKVO},
    {.key = "paligemma-3b-mix-224",
     .hf_id = "google/paligemma-3b-mix-224",
     .revision = "d1d8734c9c3ad0ccfeea4afc270faa356c2ba515",
     .architecture = "PaliGemmaForConditionalGeneration", .family = "paligemma", .params = 2.9e9,
     .modality = DLM_MODALITY_VISION_LANGUAGE, .template_name = "paligemma",
     .gguf_arch = "paligemma", .tokenizer_pre = "gemma", .license_spdx = "Other",
     .license_url = GEMMA_TERMS, .requires_acceptance = true, .size_gb_fp16 = 6.5,
     .context_length = 8192, .recommended_seq_len = 2048, .target_height = 224,
     .target_width = 224, .image_token = "<image>", .num_image_tokens = 256,
     .shape = "paligemma-3b-224", .file_dtype = "float32", QKVO},
    {.key = "paligemma2-3b-mix-224",
     .hf_id = "google/paligemma2-3b-mix-224",
     .revision = "8e40ab4cc5df93dfb7fd2fff754bcdff8b62ee78",
     .architecture = "PaliGemmaForConditionalGeneration", .family = "paligemma", .params = 3.0e9,
     .modality = DLM_MODALITY_VISION_LANGUAGE, .template_name = "paligemma",
     .gguf_arch = "paligemma", .tokenizer_pre = "gemma", .license_spdx = "Other",
     .license_url = GEMMA_TERMS, .requires_acceptance = true, .size_gb_fp16 = 6.1,
     .context_length = 8192, .recommended_seq_len = 2048, .target_height = 224,
     .target_width = 224, .image_token = "<image>", .num_image_tokens = 256,
     .shape = "paligemma2-3b-224", .file_dtype = "bfloat16", QKVO},
    {.key = "qwen2-vl-2b-instruct",
     .hf_id = "Qwen/Qwen2-VL-2B-Instruct",
     .revision = "895c3a49bc3fa70a340399125c650a463535e71c",
     .architecture = "Qwen2VLForConditionalGeneration", .family = "qwen2_vl", .params = 2.2e9,
     .modality = DLM_MODALITY_VISION_LANGUAGE, .template_name = "qwen2-vl",
     .gguf_arch = "qwen2-vl", .tokenizer_pre = "qwen2", .license_spdx = "Apache-2.0",
     .redistributable = true, .size_gb_fp16 = 4.5, .context_length = 32768,
     .recommended_seq_len = 2048, .target_height = 672, .target_width = 672,
     .image_token = "<|image_pad|>", .num_image_tokens = 576,
     .shape = "qwen2-vl-2b", .file_dtype = "bfloat16", QKVO},
    {.key = "qwen2-vl-7b-instruct", /* not in the Python dlm's registry */
     .hf_id = "Qwen/Qwen2-VL-7B-Instruct",
     .revision = "eed13092ef92e448dd6875b2a00151bd3f7db0ac",
     .architecture = "Qwen2VLForConditionalGeneration", .family = "qwen2_vl", .params = 8.3e9,
     .modality = DLM_MODALITY_VISION_LANGUAGE, .template_name = "qwen2-vl",
     .gguf_arch = "qwen2-vl", .tokenizer_pre = "qwen2", .license_spdx = "Apache-2.0",
     .redistributable = true, .size_gb_fp16 = 16.6, .context_length = 32768,
     .recommended_seq_len = 2048, .target_height = 672, .target_width = 672,
     .image_token = "<|image_pad|>", .num_image_tokens = 576,
     .shape = "qwen2-vl-7b", .file_dtype = "bfloat16", QKVO},
    {.key = "internvl2-2b",
     .hf_id = "OpenGVLab/InternVL2-2B",
     .revision = "e4f6747bd20f139e637642c6a058c6bd00b36919",
     .architecture = "InternVLChatModel", .params = 2.2e9,
     .modality = DLM_MODALITY_VISION_LANGUAGE, .template_name = "internvl2",
     .gguf_arch = "internvl2", .tokenizer_pre = "internvl2", .license_spdx = "MIT",
     .redistributable = true, .trust_remote_code = true, .size_gb_fp16 = 4.4,
     .context_length = 8192, .recommended_seq_len = 2048, .target_height = 448,
     .target_width = 448, .image_token = "<IMG_CONTEXT>", .num_image_tokens = 256, QKVO},
    {.key = "internvl3-2b",
     .hf_id = "OpenGVLab/InternVL3-2B",
     .revision = "899155015275a9b7338c7f4677e19c784e0e5a21",
     .architecture = "InternVLChatModel", .params = 2.0e9,
     .modality = DLM_MODALITY_VISION_LANGUAGE, .template_name = "internvl2",
     .gguf_arch = "internvl3", .tokenizer_pre = "internvl3", .license_spdx = "Apache-2.0",
     .redistributable = true, .trust_remote_code = true, .size_gb_fp16 = 4.0,
     .context_length = 32768, .recommended_seq_len = 2048, .target_height = 448,
     .target_width = 448, .resize_policy = DLM_RESIZE_DYNAMIC, .image_token = "<image>",
     .num_image_tokens = 256, QKVO},
    {.key = "mistral-small-3.1-24b-instruct",
     .hf_id = "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
     .revision = "68faf511d618ef198fef186659617cfd2eb8e33a",
     .architecture = "Mistral3ForConditionalGeneration", .family = "mistral3", .params = 24e9,
     .modality = DLM_MODALITY_VISION_LANGUAGE, .template_name = "mistral",
     .gguf_arch = "mistral3", .tokenizer_pre = "tekken", .license_spdx = "Apache-2.0",
     .redistributable = true, .size_gb_fp16 = 48.0, .context_length = 131072,
     .recommended_seq_len = 4096, .target_height = 1540, .target_width = 1540,
     .image_token = "[IMG]", .num_image_tokens = 3025,
     .shape = "mistral-small-24b", .file_dtype = "bfloat16", QKVO},
    /* Text and audio bases: known by name, so that messages can say what they are. */
    {.key = "qwen2-audio-7b-instruct",
     .hf_id = "Qwen/Qwen2-Audio-7B-Instruct",
     .revision = "0a095220c30b7b31434169c3086508ef3ea5bf0a",
     .params = 8.4e9, .modality = DLM_MODALITY_AUDIO_LANGUAGE, .license_spdx = "Apache-2.0",
     .redistributable = true, QKVO},
    {.key = "qwen2.5-0.5b",
     .hf_id = "Qwen/Qwen2.5-0.5B-Instruct",
     .revision = "7ae557604adf67be50417f59c2c2f167def9a775",
     .params = 0.5e9, .template_name = "chatml", .gguf_arch = "qwen2",
     .tokenizer_pre = "qwen2", .license_spdx = "Apache-2.0",
     .size_gb_fp16 = 1.0, .context_length = 32768,
     .redistributable = true, QKVO},
    {.key = "qwen2.5-1.5b",
     .hf_id = "Qwen/Qwen2.5-1.5B-Instruct",
     .revision = "989aa7980e4cf806f80c7fef2b1adb7bc71aa306",
     .params = 1.5e9, .template_name = "chatml", .gguf_arch = "qwen2",
     .tokenizer_pre = "qwen2", .license_spdx = "Apache-2.0",
     .size_gb_fp16 = 3.1, .context_length = 32768,
     .redistributable = true, QKVO},
    {.key = "qwen2.5-3b",
     .hf_id = "Qwen/Qwen2.5-3B-Instruct",
     .revision = "aa8e72537993ba99e69dfaafa59ed015b17504d1",
     .params = 3e9, .template_name = "chatml", .gguf_arch = "qwen2",
     .tokenizer_pre = "qwen2", .license_spdx = "Other",
     .size_gb_fp16 = 6.2, .context_length = 32768,
     .redistributable = true, QKVO},
    {.key = "qwen2.5-coder-1.5b",
     .hf_id = "Qwen/Qwen2.5-Coder-1.5B-Instruct",
     .revision = "2e1fd397ee46e1388853d2af2c993145b0f1098a",
     .params = 1.5e9, .template_name = "chatml", .gguf_arch = "qwen2",
     .tokenizer_pre = "qwen2", .license_spdx = "Apache-2.0",
     .size_gb_fp16 = 3.1, .context_length = 32768,
     .redistributable = true, QKVO},
    {.key = "qwen3-1.7b",
     .hf_id = "Qwen/Qwen3-1.7B",
     .revision = "70d244cc86ccca08cf5af4e1e306ecf908b1ad5e",
     .params = 1.7e9, .template_name = "chatml", .gguf_arch = "qwen3",
     .tokenizer_pre = "qwen2", .license_spdx = "Apache-2.0",
     .size_gb_fp16 = 3.4, .context_length = 32768,
     .redistributable = true, .reasoning_tuned = true, QKVO},
    {.key = "qwen3-1.7b-thinking",
     .hf_id = "Qwen/Qwen3-1.7B",
     .revision = "70d244cc86ccca08cf5af4e1e306ecf908b1ad5e",
     .params = 1.7e9, .template_name = "qwen3thinking", .gguf_arch = "qwen3",
     .tokenizer_pre = "qwen2", .license_spdx = "Apache-2.0",
     .size_gb_fp16 = 3.4, .context_length = 32768,
     .redistributable = true, .reasoning_tuned = true, QKVO},
    {.key = "qwen3-4b",
     .hf_id = "Qwen/Qwen3-4B",
     .revision = "1cfa9a7208912126459214e8b04321603b3df60c",
     .params = 4e9, .template_name = "chatml", .gguf_arch = "qwen3",
     .tokenizer_pre = "qwen2", .license_spdx = "Apache-2.0",
     .size_gb_fp16 = 8.0, .context_length = 32768,
     .redistributable = true, .reasoning_tuned = true, QKVO},
    {.key = "qwen3-8b",
     .hf_id = "Qwen/Qwen3-8B",
     .revision = "b968826d9c46dd6066d109eabc6255188de91218",
     .params = 8e9, .template_name = "chatml", .gguf_arch = "qwen3",
     .tokenizer_pre = "qwen2", .license_spdx = "Apache-2.0",
     .size_gb_fp16 = 16.0, .context_length = 32768,
     .redistributable = true, .reasoning_tuned = true, QKVO},
    {.key = "llama-3.2-1b",
     .hf_id = "meta-llama/Llama-3.2-1B-Instruct",
     .revision = "9213176726f574b556790deb65791e0c5aa438b6",
     .params = 1e9, .template_name = "llama3", .gguf_arch = "llama",
     .tokenizer_pre = "llama-bpe", .license_spdx = "Other",
     .size_gb_fp16 = 2.5, .context_length = 131072,
     .requires_acceptance = true, QKVO},
    {.key = "llama-3.2-3b",
     .hf_id = "meta-llama/Llama-3.2-3B-Instruct",
     .revision = "0cb88a4f764b7a12671c53f0838cd831a0843b95",
     .params = 3e9, .template_name = "llama3", .gguf_arch = "llama",
     .tokenizer_pre = "llama-bpe", .license_spdx = "Other",
     .size_gb_fp16 = 6.5, .context_length = 131072,
     .requires_acceptance = true, QKVO},
    {.key = "llama-3.3-8b-instruct",
     .hf_id = "allura-forge/Llama-3.3-8B-Instruct",
     .revision = "df95224cf87c32d9f4958dd284a07ded620aa4fc",
     .params = 8e9, .template_name = "llama3", .gguf_arch = "llama",
     .tokenizer_pre = "llama-bpe", .license_spdx = "Other",
     .size_gb_fp16 = 16.5, .context_length = 131072,
     .requires_acceptance = true, QKVO},
    {.key = "smollm3-3b",
     .hf_id = "HuggingFaceTB/SmolLM3-3B",
     .revision = "a07cc9a04f16550a088caea529712d1d335b0ac1",
     .params = 3e9, .template_name = "smollm3", .gguf_arch = "llama",
     .tokenizer_pre = "smollm", .license_spdx = "Apache-2.0",
     .size_gb_fp16 = 6.2, .context_length = 65536,
     .redistributable = true, .reasoning_tuned = true, QKVO},
    {.key = "olmo-2-7b-instruct",
     .hf_id = "allenai/OLMo-2-1124-7B-Instruct",
     .revision = "470b1fba1ae01581f270116362ee4aa1b97f4c84",
     .params = 7e9, .template_name = "olmo2", .gguf_arch = "olmo2",
     .tokenizer_pre = "superbpe", .license_spdx = "Apache-2.0",
     .size_gb_fp16 = 14.6, .context_length = 4096,
     .redistributable = true, QKVO},
    {.key = "gemma-2-2b-it",
     .hf_id = "google/gemma-2-2b-it",
     .revision = "299a8560bedf22ed1c72a8a11e7dce4a7f9f51f8",
     .params = 2.6e9, .template_name = "gemma2", .gguf_arch = "gemma2",
     .tokenizer_pre = "gemma", .license_spdx = "Gemma",
     .size_gb_fp16 = 5.2, .context_length = 8192,
     .requires_acceptance = true, .license_url = GEMMA_TERMS, QKVO},
    {.key = "gemma-2-9b-it",
     .hf_id = "google/gemma-2-9b-it",
     .revision = "11c9b309abf73637e4b6f9a3fa1e92e615547819",
     .params = 9e9, .template_name = "gemma2", .gguf_arch = "gemma2",
     .tokenizer_pre = "gemma", .license_spdx = "Gemma",
     .size_gb_fp16 = 18.0, .context_length = 8192,
     .requires_acceptance = true, .license_url = GEMMA_TERMS, QKVO},
    {.key = "smollm2-135m",
     .hf_id = "HuggingFaceTB/SmolLM2-135M-Instruct",
     .revision = "12fd25f77366fa6b3b4b768ec3050bf629380bac",
     .params = 0.135e9, .template_name = "chatml", .gguf_arch = "llama",
     .tokenizer_pre = "smollm", .license_spdx = "Apache-2.0",
     .size_gb_fp16 = 0.27, .context_length = 8192,
     .redistributable = true, QKVO},
    {.key = "smollm2-360m",
     .hf_id = "HuggingFaceTB/SmolLM2-360M-Instruct",
     .revision = "a10cc1512eabd3dde888204e902eca88bddb4951",
     .params = 0.36e9, .template_name = "chatml", .gguf_arch = "llama",
     .tokenizer_pre = "smollm", .license_spdx = "Apache-2.0",
     .size_gb_fp16 = 0.72, .context_length = 8192,
     .redistributable = true, QKVO},
    {.key = "smollm2-1.7b",
     .hf_id = "HuggingFaceTB/SmolLM2-1.7B-Instruct",
     .revision = "31b70e2e869a7173562077fd711b654946d38674",
     .params = 1.7e9, .template_name = "chatml", .gguf_arch = "llama",
     .tokenizer_pre = "smollm", .license_spdx = "Apache-2.0",
     .size_gb_fp16 = 3.4, .context_length = 8192,
     .redistributable = true, QKVO},
    {.key = "phi-3.5-mini",
     .hf_id = "microsoft/Phi-3.5-mini-instruct",
     .revision = "2fe192450127e6a83f7441aef6e3ca586c338b77",
     .params = 3.8e9, .template_name = "phi3", .gguf_arch = "phi3",
     .tokenizer_pre = "phi-2", .license_spdx = "MIT",
     .size_gb_fp16 = 7.6, .context_length = 131072,
     .redistributable = true,
     .target_modules = {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}},
    {.key = "phi-4-mini-reasoning",
     .hf_id = "microsoft/Phi-4-mini-reasoning",
     .revision = "0e3b1e2d02ee478a3743abe3f629e9c0cb722e0a",
     .params = 3.8e9, .template_name = "phi4mini", .gguf_arch = "phi3",
     .tokenizer_pre = "phi-2", .license_spdx = "MIT",
     .size_gb_fp16 = 7.6, .context_length = 131072,
     .redistributable = true, .reasoning_tuned = true,
     .target_modules = {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}},
    {.key = "mixtral-8x7b-instruct",
     .hf_id = "mistralai/Mixtral-8x7B-Instruct-v0.1",
     .revision = "eba92302a2861cdc0098cc54bc9f17cb2c47eb61",
     .params = 46.7e9, .template_name = "mistral", .gguf_arch = "llama",
     .tokenizer_pre = "llama-bpe", .license_spdx = "Apache-2.0",
     .size_gb_fp16 = 93.4, .context_length = 32768,
     .redistributable = true, QKVO, .modality = DLM_MODALITY_TEXT_MOE},
};

#undef QKVO
#undef GEMMA_TERMS

size_t dlm_registry_num_rows(void)
{
    return DLM_ARRAY_LEN(rows);
}

const struct dlm_base_row *dlm_registry_row(size_t i)
{
    return &rows[i];
}

const struct dlm_base_row *dlm_registry_find(const char *key)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++)
        if (!strcmp(rows[i].key, key))
            return &rows[i];
    return NULL;
}

const char *dlm_modality_name(enum dlm_modality modality)
{
    switch (modality) {
    case DLM_MODALITY_TEXT: return "text";
    case DLM_MODALITY_TEXT_MOE: return "text-moe";
    case DLM_MODALITY_VISION_LANGUAGE: return "vision-language";
    case DLM_MODALITY_AUDIO_LANGUAGE: return "audio-language";
    }
    return "?";
}

/* One part of org/name: what the hub allows, so that no part is a path of its own. */
static bool is_repo_part(const char *s, size_t len)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

    return len > 0 && len <= 96 && strspn(s, allowed) >= len && *s != '.' && *s != '-';
}

bool dlm_base_is_hf_id(const char *id)
{
    const char *slash = strchr(id, '/');

    return slash && is_repo_part(id, (size_t)(slash - id)) &&
           is_repo_part(slash + 1, strlen(slash + 1)) && !strstr(id, "..") && !strstr(id, "--");
}
