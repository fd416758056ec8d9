/* Qwen2-VL in llama.cpp: architecture qwen2vl, projector qwen2vl_merger. Rotary pairs are halves of
 * a head in both, so that no row moves; q, k and v of the tower are three tensors, and so are the
 * two time steps of the patches' convolution. */
#include "models/qwen2_vl_gguf.h"

#include <stdio.h>

#include "base/activation.h"
#include "base/log.h"
#include "models/config_rules.h"

#define TOWER "model.visual."
#define BLOCK TOWER "blocks.*."

static const struct dlm_gguf_rule tower[] = {
    {TOWER "patch_embed.proj.weight", "v.patch_embd.weight", DLM_GGUF_MOVE_FRAME, 0},
    {TOWER "patch_embed.proj.weight", "v.patch_embd.weight.1", DLM_GGUF_MOVE_FRAME, 1},
    {TOWER "merger.ln_q.?", "v.post_ln.?", DLM_GGUF_MOVE_NONE, 0},
    {TOWER "merger.mlp.0.?", "mm.0.?", DLM_GGUF_MOVE_NONE, 0},
    {TOWER "merger.mlp.2.?", "mm.2.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "norm1.?", "v.blk.*.ln1.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "attn.qkv.?", "v.blk.*.attn_q.?", DLM_GGUF_MOVE_PART, 0},
    {BLOCK "attn.qkv.?", "v.blk.*.attn_k.?", DLM_GGUF_MOVE_PART, 1},
    {BLOCK "attn.qkv.?", "v.blk.*.attn_v.?", DLM_GGUF_MOVE_PART, 2},
    {BLOCK "attn.proj.?", "v.blk.*.attn_out.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "norm2.?", "v.blk.*.ln2.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "mlp.fc1.?", "v.blk.*.ffn_up.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "mlp.fc2.?", "v.blk.*.ffn_down.?", DLM_GGUF_MOVE_NONE, 0},
};
static const struct dlm_gguf_rules tower_rules = {tower, DLM_ARRAY_LEN(tower)};

/* Until May 2025 a script of its own made the tower's file (qwen2_vl_surgery.py of llama.cpp's
 * examples/llava): it calls the MLP's matrices the other way round, and a table of positions stands
 * there for nothing. */
static const struct dlm_gguf_rule old_tower[] = {
    {BLOCK "mlp.fc1.?", "v.blk.*.ffn_down.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "mlp.fc2.?", "v.blk.*.ffn_up.?", DLM_GGUF_MOVE_NONE, 0},
    {"", "v.position_embd.weight", DLM_GGUF_MOVE_AWAY, 0},
};
static const struct dlm_gguf_rules old_tower_rules = {old_tower, DLM_ARRAY_LEN(old_tower)};

/* What llama.cpp's graphs have built in: no key says it. */
static const struct dlm_config_rule only[] = {
    {"", "hidden_act", "\"silu\""}, /* of the decoder, where older files have it */
    {"text_config", "hidden_act", "\"silu\""},
    {"vision_config", "spatial_merge_size", "2"},
    {"vision_config", "temporal_patch_size", "2"},
    {"vision_config", "rope_theta", "10000"},
    {"vision_config.rope_parameters", "rope_theta", "10000"},
};

/* The image's size and the MLP's are what the converter writes; llama.cpp looks at neither. */
static enum dlm_status read_vision(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                   struct dlm_gguf_vision *v)
{
    *v = (struct dlm_gguf_vision){.image = 560, .patch = 14, .width = 1280, .intermediate = 3584,
                                  .layers = 32, .heads = 16, .act = DLM_ACT_QUICK_GELU,
                                  .eps = 1e-6};
    const struct dlm_config_int ints[] = {
        {"image_size", 1, 1 << 16, &v->image}, {"patch_size", 1, 512, &v->patch},
        {"embed_dim", 1, 1 << 16, &v->width},  {"hidden_size", 1, 1 << 18, &v->intermediate},
        {"depth", 1, 512, &v->layers},         {"num_heads", 1, 512, &v->heads},
    };
    const json_t *vision = json_object_get(config, "vision_config");

    enum dlm_status st = dlm_config_check_llama_cpp(ctx, config, path, only, DLM_ARRAY_LEN(only));
    if (!st)
        st = dlm_config_read_ints(ctx, vision, path, ints, DLM_ARRAY_LEN(ints));
    return st ? st : dlm_config_read_act(ctx, vision, path, "hidden_act", &v->act);
}

/* Of a matrix: numbers in a row, and rows; 0: there is none of that name. */
static void find_matrix(const struct dlm_gguf *gguf, const char *name, int64_t ne[2])
{
    const struct dlm_gguf_tensor *t = dlm_gguf_find_tensor(gguf, name);
    const bool is_matrix = t && t->ndim == 2;

    ne[0] = is_matrix ? t->ne[0] : 0;
    ne[1] = is_matrix ? t->ne[1] : 0;
}

/* Whatever old_tower renames is there: what is missing later is called by the other names. */
static enum dlm_status check_old(struct dlm_ctx *ctx, const struct dlm_gguf *gguf, int64_t layers)
{
    static const char *const names[] = {"ffn_down.weight", "ffn_down.bias", "ffn_up.weight",
                                        "ffn_up.bias"};
    char name[64];

    for (int64_t i = 0; i < layers; i++)
        for (size_t k = 0; k < DLM_ARRAY_LEN(names); k++) {
            snprintf(name, sizeof(name), "v.blk.%lld.%s", (long long)i, names[k]);
            if (!dlm_gguf_find_tensor(gguf, name))
                return dlm_fail(ctx, DLM_ERR_INVALID, "cannot load '%s': tensor '%s' is missing",
                                dlm_gguf_path(gguf), name);
        }
    return DLM_OK;
}

/* The width of the tower's MLP is told by a tensor alone: as its key the converter writes that of
 * the language model, and the older script 0. */
static enum dlm_status find_mlp(struct dlm_ctx *ctx, struct dlm_gguf_told *told, int64_t *rows)
{
    const struct dlm_gguf_vision *v = &told->vision;
    const char *name = "v.blk.0.ffn_up.weight";
    int64_t up[2], down[2];

    find_matrix(told->tower, name, up);
    find_matrix(told->tower, "v.blk.0.ffn_down.weight", down);
    told->is_old = down[0] == v->width && up[0] != v->width;
    if (told->is_old)
        name = "v.blk.0.ffn_down.weight";
    *rows = told->is_old ? down[1] : up[1];
    if (!*rows || *rows % v->width)
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': '%s' is no matrix of a whole "
                        "multiple of %lld rows", dlm_gguf_path(told->tower), name,
                        (long long)v->width);
    if (v->intermediate && v->intermediate != told->hidden && v->intermediate != *rows)
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': 'clip.vision.feed_forward_length' "
                        "is %lld, neither the language model's %lld nor the %lld rows of '%s'",
                        dlm_gguf_path(told->tower), (long long)v->intermediate,
                        (long long)told->hidden, (long long)*rows, name);
    return told->is_old ? check_old(ctx, told->tower, v->layers) : DLM_OK;
}

/* A patch has two frames, as in llama.cpp. The norms' eps is not taken from the file, where the
 * converter puts the language model's. */
static enum dlm_status write_config(struct dlm_ctx *ctx, struct dlm_gguf_told *told,
                                    json_t *config)
{
    const struct dlm_gguf_vision *v = &told->vision;
    int64_t rows = 0;

    enum dlm_status st = find_mlp(ctx, told, &rows);
    if (!st && !dlm_gguf_find_tensor(told->tower, "v.patch_embd.weight.1"))
        st = dlm_fail(ctx, DLM_ERR_INVALID, "cannot load '%s': tensor 'v.patch_embd.weight.1', of "
                      "a patch's second frame, is missing", dlm_gguf_path(told->tower));
    if (st)
        return st;
    json_t *vision = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "embed_dim", (json_int_t)v->width,
        "depth", (json_int_t)v->layers, "num_heads", (json_int_t)v->heads, "patch_size",
        (json_int_t)v->patch, "mlp_ratio", (json_int_t)(rows / v->width),
        "temporal_patch_size", (json_int_t)2, "spatial_merge_size",
        (json_int_t)(v->merge ? v->merge : 2), "hidden_size", (json_int_t)told->hidden,
        "hidden_act", dlm_config_act_name(v->act));
    return json_object_set_new(config, "vision_config", vision)
               ? dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory") : DLM_OK;
}

static const char *const ends[] = {"<|endoftext|>", NULL};

static const char chat[] =
    "{{- range $i, $m := .Messages }}{{ $is_last := eq (len (slice $.Messages $i)) 1 }}\n"
    "{{- if and (eq $i 0) (ne $m.Role \"system\") }}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n"
    "{{ end }}<|im_start|>{{ $m.Role }}\n"
    "{{ $m.Content }}\n"
    "{{- if not (and $is_last (eq $m.Role \"assistant\")) }}<|im_end|>\n"
    "{{ end }}\n"
    "{{- if and $is_last (ne $m.Role \"assistant\") }}<|im_start|>assistant\n"
    "{{ end }}\n"
    "{{- end }}";
static const char *const stops[] = {"<|im_end|>", "<|endoftext|>", NULL};

const struct dlm_gguf_family dlm_gguf_qwen2_vl = {
    .arch = "qwen2vl",
    .head = "lm_head.weight",
    .projector = "qwen2vl_merger",
    .has_untold_mlp = true,
    .pretokenizer = "qwen2",
    .normalizer = "NFC",
    .pieces = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
              " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    .image_token = "<|image_pad|>",
    .ends = ends,
    .context = 32768,
    .text = &dlm_gguf_decoder,
    .vision = &tower_rules,
    .old_vision = &old_tower_rules,
    .chat = chat,
    .stops = stops,
    .read_vision = read_vision,
    .write_config = write_config,
};
