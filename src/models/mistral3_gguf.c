/* Mistral Small 3.1 in llama.cpp: architecture mistral3, projector pixtral. Rotary pairs are
 * neighbours there, in the tower as well, and the row of the token that breaks an image's lines
 * stands in the tower's file. */
#include "models/mistral3_gguf.h"

#include "base/activation.h"
#include "base/log.h"
#include "models/config_rules.h"

#define TOWER "model.vision_tower."
#define BLOCK TOWER "transformer.layers.*."
#define PROJECTOR "model.multi_modal_projector."

static const struct dlm_gguf_rule tower[] = {
    {TOWER "patch_conv.weight", "v.patch_embd.weight", DLM_GGUF_MOVE_NONE, 0},
    {TOWER "ln_pre.weight", "v.pre_ln.weight", DLM_GGUF_MOVE_NONE, 0},
    {PROJECTOR "norm.weight", "mm.input_norm.weight", DLM_GGUF_MOVE_NONE, 0},
    {PROJECTOR "patch_merger.merging_layer.weight", "mm.patch_merger.weight", DLM_GGUF_MOVE_NONE,
     0},
    {PROJECTOR "linear_1.?", "mm.1.?", DLM_GGUF_MOVE_NONE, 0},
    {PROJECTOR "linear_2.?", "mm.2.?", DLM_GGUF_MOVE_NONE, 0},
    {"model.language_model.embed_tokens.weight", "v.token_embd.img_break", DLM_GGUF_MOVE_ROW, 0},
    {BLOCK "attention_norm.weight", "v.blk.*.ln1.weight", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "attention.q_proj.?", "v.blk.*.attn_q.?", DLM_GGUF_MOVE_HEADS, 0},
    {BLOCK "attention.k_proj.?", "v.blk.*.attn_k.?", DLM_GGUF_MOVE_HEADS, 0},
    {BLOCK "attention.v_proj.?", "v.blk.*.attn_v.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "attention.o_proj.?", "v.blk.*.attn_out.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "ffn_norm.weight", "v.blk.*.ln2.weight", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "feed_forward.gate_proj.?", "v.blk.*.ffn_gate.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "feed_forward.up_proj.?", "v.blk.*.ffn_up.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "feed_forward.down_proj.?", "v.blk.*.ffn_down.?", DLM_GGUF_MOVE_NONE, 0},
};
static const struct dlm_gguf_rules tower_rules = {tower, DLM_ARRAY_LEN(tower)};

/* What llama.cpp's graphs have built in: no key says it. */
static const struct dlm_config_rule only[] = {
    {"text_config", "hidden_act", "\"silu\""},
    {"vision_config", "rope_theta", "10000"},
    {"vision_config.rope_parameters", "rope_theta", "10000"},
    {"", "projector_hidden_act", "\"gelu\""},
};

static enum dlm_status read_vision(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                   struct dlm_gguf_vision *v)
{
    const json_t *vision = json_object_get(config, "vision_config");
    const bool is_given = json_is_object(vision); /* else the defaults are Mistral 3's own */

    *v = (struct dlm_gguf_vision){.image = is_given ? 1024 : 1540, .patch = is_given ? 16 : 14,
                                  .width = 1024, .intermediate = 4096, .layers = 24, .heads = 16,
                                  .merge = 2, .act = DLM_ACT_GELU_ERF, .eps = 1e-5};
    const struct dlm_config_int ints[] = {
        {"image_size", 1, 1 << 16, &v->image},
        {"patch_size", 1, 512, &v->patch},
        {"hidden_size", 1, 1 << 16, &v->width},
        {"intermediate_size", 1, 1 << 18, &v->intermediate},
        {"num_hidden_layers", 1, 512, &v->layers},
        {"num_attention_heads", 1, 512, &v->heads},
    };
    const struct dlm_config_int outer[] = {{"spatial_merge_size", 1, 64, &v->merge}};
    enum dlm_status st = dlm_config_check_llama_cpp(ctx, config, path, only, DLM_ARRAY_LEN(only));
    if (!st)
        st = dlm_config_read_ints(ctx, vision, path, ints, DLM_ARRAY_LEN(ints));
    if (!st)
        st = dlm_config_read_ints(ctx, config, path, outer, DLM_ARRAY_LEN(outer));
    return st ? st : dlm_config_read_act(ctx, vision, path, "hidden_act", &v->act);
}

/* The norms of the tower have one eps, whatever config.json says, and so whatever the file does. */
static enum dlm_status write_config(struct dlm_ctx *ctx, struct dlm_gguf_told *told,
                                    json_t *config)
{
    const struct dlm_gguf_vision *v = &told->vision;
    json_t *text = json_object_get(config, "text_config");
    json_t *vision = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "hidden_size", (json_int_t)v->width,
        "intermediate_size", (json_int_t)v->intermediate, "num_hidden_layers",
        (json_int_t)v->layers, "num_attention_heads", (json_int_t)v->heads, "image_size",
        (json_int_t)v->image, "patch_size", (json_int_t)v->patch, "hidden_act",
        dlm_config_act_name(v->act));

    return json_object_set_new(config, "vision_config", vision) ||
                   json_object_set_new(text, "model_type", json_string("mistral")) ||
                   json_object_set_new(config, "spatial_merge_size",
                                       json_integer(v->merge ? v->merge : 1)) ||
                   json_object_set_new(config, "multimodal_projector_bias",
                                       json_boolean(dlm_gguf_find_tensor(told->tower,
                                                                         "mm.1.bias")))
               ? dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory") : DLM_OK;
}

static const char chat[] =
    "{{- range $i, $m := .Messages }}\n"
    "{{- if eq $m.Role \"system\" }}[SYSTEM_PROMPT]{{ $m.Content }}[/SYSTEM_PROMPT]\n"
    "{{- else if eq $m.Role \"user\" }}[INST]{{ $m.Content }}[/INST]\n"
    "{{- else if eq $m.Role \"assistant\" }}{{ $m.Content }}\n"
    "{{- if gt (len (slice $.Messages $i)) 1 }}</s>{{ end }}\n"
    "{{- end }}\n"
    "{{- end }}";
static const char *const stops[] = {"</s>", "[INST]", NULL};

const struct dlm_gguf_family dlm_gguf_mistral3 = {
    .arch = "mistral3",
    .other_arch = "llama", /* of converters before llama.cpp knew Mistral 3 apart */
    .head = "lm_head.weight",
    .projector = "pixtral",
    .pretokenizer = "tekken",
    .pieces = "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*"
              "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?"
              "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|"
              "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    .ignores_merges = true,
    .image_token = "[IMG]",
    .row_token = "[IMG_BREAK]",
    .interleaves_heads = true,
    .has_more_keys = true,
    .context = 131072,
    .text = &dlm_gguf_decoder,
    .vision = &tower_rules,
    .chat = chat,
    .stops = stops,
    .read_vision = read_vision,
    .write_config = write_config,
};
