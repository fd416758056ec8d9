/* A LoRA adapter as GGUF, by itself: what llama.cpp lays over the base's own file (--lora). */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "export/gguf_plan.h"
#include "export/manifest.h"
#include "export/place.h"
#include "export/snapshot.h"
#include "gguf/writer.h"
#include "weights/adapter.h"

#define FILE_NAME "adapter.gguf"

struct lora {
    const struct dlm_export_job *job;
    struct dlm_adapter *adapter;
    struct dlm_gguf_weight *weights; /* those of the adapter's modules, in their order */
    struct dlm_gguf_plan plan;       /* of the weights, each of which stands for its A and B */
    struct dlm_gguf_writer *w;
    double alpha; /* of all modules, as the file has it */
    struct dlm_str readme;
    float *values, *moved; /* of one A or B */
    struct dlm_sink *sink;
};

/* --- what is written --- */

static enum dlm_status list_weights(struct dlm_ctx *ctx, struct lora *l)
{
    const size_t num = l->adapter->num_modules;

    l->weights = dlm_alloc_array(ctx, num, sizeof(*l->weights));
    for (size_t i = 0; l->weights && i < num; i++) {
        const struct dlm_adapter_module *m = &l->adapter->modules[i];
        l->weights[i] = (struct dlm_gguf_weight){.name = dlm_strf(ctx, "%s.weight", m->path),
                                                 .ndim = 2, .shape = {m->out, m->in}};
        if (!l->weights[i].name)
            return DLM_ERR_MEMORY;
    }
    return l->weights ? DLM_OK : DLM_ERR_MEMORY;
}

/* Whatever the adapter changes is a matrix of the language model's file. */
static enum dlm_status check_modules(struct dlm_ctx *ctx, const struct lora *l)
{
    const size_t num = l->adapter->num_modules;
    const char *first = NULL;
    size_t num_missing = 0;

    for (size_t i = 0; i < num; i++) {
        bool is_there = false;
        for (size_t k = 0; !is_there && k < l->plan.num; k++)
            is_there = l->plan.tensors[k].weight == i;
        num_missing += !is_there;
        if (!is_there && !first)
            first = l->adapter->modules[i].path;
    }
    if (!first)
        return DLM_OK;
    dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot write the adapter by itself: llama.cpp lays one "
             "over the language model alone, and %zu of its %zu modules are elsewhere, as "
             "'%.200s'", num_missing, num, first);
    dlm_log(ctx, DLM_LOG_HINT, "--quant without --adapter-only folds all of it into the base");
    return DLM_ERR_UNSUPPORTED;
}

static enum dlm_status plan_weights(struct dlm_ctx *ctx, struct lora *l)
{
    const struct dlm_family *f = l->job->model->family;
    const struct dlm_decoder_config *decoder = &l->job->model->decoder.config;
    const struct dlm_gguf_plan_params params = {
        .rules = f->gguf->text,
        .language = f->language,
        .head = f->gguf->head,
        .weights = l->weights,
        .num_weights = l->adapter->num_modules,
        .heads = decoder->block.heads,
        .kv_heads = decoder->block.kv_heads,
        .keeps_heads = !f->gguf->interleaves_heads,
        .is_tied = decoder->is_tied,
        .row = -1,
    };

    enum dlm_status st = dlm_gguf_plan_make(ctx, &l->plan, &params);
    return st ? st : check_modules(ctx, l);
}

/* f32 stays; 16 bits are 16 bits; of q8_0, rows that are no whole blocks are f16. */
static enum dlm_ggml_type type_of(const struct lora *l, const int64_t *ne)
{
    return dlm_gguf_mmproj_type(l->job->quant, ".weight", 2, ne);
}

/* A [r, in] and B [out, r] of each weight. */
static enum dlm_status put_tensors(struct dlm_ctx *ctx, struct lora *l)
{
    size_t len = 1;
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < l->plan.num; i++) {
        const struct dlm_gguf_planned *t = &l->plan.tensors[i];
        const struct dlm_adapter_module *m = &l->adapter->modules[t->weight];
        const int64_t a[] = {m->in, m->r}, b[] = {m->r, t->rows};
        char name[192];
        snprintf(name, sizeof(name), "%.180s.lora_a", t->name);
        st = dlm_gguf_put_tensor(ctx, l->w, name, type_of(l, a), 2, a);
        snprintf(name, sizeof(name), "%.180s.lora_b", t->name);
        if (!st)
            st = dlm_gguf_put_tensor(ctx, l->w, name, type_of(l, b), 2, b);
        len = DLM_MAX(len, (size_t)(m->r * DLM_MAX(m->in, m->out)));
    }
    if (st)
        return st;
    l->values = dlm_alloc_array(ctx, len, sizeof(*l->values));
    l->moved = dlm_alloc_array(ctx, len, sizeof(*l->moved));
    return l->values && l->moved ? DLM_OK : DLM_ERR_MEMORY;
}

/* The keys are those of llama.cpp's converter, in its order. */
static enum dlm_status put_values(struct dlm_ctx *ctx, struct lora *l)
{
    const struct dlm_base *base = l->job->base;
    const struct dlm_model *model = l->job->model;
    const char *const texts[][2] = {
        {"general.architecture", model->gguf_arch ? model->gguf_arch : model->family->gguf->arch},
        {"general.type", "adapter"},
        {"adapter.type", "lora"},
        {"general.name", dlm_path_basename(base->hf_id ? base->hf_id : base->dir)},
    };
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(texts); i++)
        st = dlm_gguf_put_string(ctx, l->w, texts[i][0], texts[i][1]);
    if (!st)
        st = dlm_gguf_put_number(ctx, l->w, "adapter.lora.alpha", DLM_GGUF_KIND_F32, l->alpha);
    return st ? st : dlm_gguf_put_int(ctx, l->w, "general.quantization_version", DLM_GGUF_KIND_U32,
                                      2); /* of the block formats */
}

static enum dlm_status collect(struct dlm_ctx *ctx, struct lora *l)
{
    const struct dlm_export_job *job = l->job;

    enum dlm_status st = dlm_adapter_open(ctx, &l->adapter, job->adapter,
                                          &job->model->family->names);
    if (st)
        return st;
    /* llama.cpp takes an alpha of 0 for none at all: scaling is 1 then, without rank */
    l->alpha = l->adapter->config.alpha ? l->adapter->config.alpha : 1;
    st = list_weights(ctx, l);
    if (!st)
        st = plan_weights(ctx, l);
    if (!st)
        st = dlm_gguf_writer_create(ctx, &l->w, FILE_NAME);
    if (!st)
        st = put_values(ctx, l);
    if (!st)
        st = put_tensors(ctx, l);
    return st ? st : dlm_export_readme(ctx, job, NULL, &l->readme);
}

/* --- the bytes --- */

/* B's rows as the weight's lie in GGUF. The file scales every module by alpha / r: what a module is
 * scaled by otherwise (rsLoRA, patterns of alpha) is in its B. */
static void move_rows(struct lora *l, const struct dlm_gguf_planned *t,
                      const struct dlm_adapter_module *m)
{
    const double factor = m->scaling * (double)m->r / l->alpha;

    for (int64_t row = 0; row < t->rows; row++) {
        const float *from = l->values + dlm_gguf_source_row(t, row) * m->r;
        for (int64_t k = 0; k < m->r; k++)
            l->moved[row * m->r + k] = (float)(factor * (double)from[k]);
    }
}

static enum dlm_status write_module(struct dlm_ctx *ctx, struct lora *l,
                                    const struct dlm_gguf_planned *t)
{
    const struct dlm_adapter_module *m = &l->adapter->modules[t->weight];

    enum dlm_status st = dlm_tensor_to_f32(ctx, m->a, l->values);
    if (!st)
        st = dlm_gguf_writer_rows(ctx, l->w, l->values, m->r);
    if (!st)
        st = dlm_tensor_to_f32(ctx, m->b, l->values);
    if (st)
        return st;
    move_rows(l, t, m);
    return dlm_gguf_writer_rows(ctx, l->w, l->moved, t->rows);
}

static enum dlm_status append(struct dlm_ctx *ctx, void *user, const void *data, size_t bytes)
{
    return dlm_sink_write(ctx, user, data, bytes);
}

static enum dlm_status write_file(struct dlm_ctx *ctx, struct lora *l)
{
    enum dlm_status st = dlm_sink_begin(ctx, l->sink, FILE_NAME, dlm_gguf_writer_bytes(l->w));

    if (!st)
        st = dlm_gguf_writer_begin(ctx, l->w, append, l->sink);
    for (size_t i = 0; !st && i < l->plan.num; i++)
        st = write_module(ctx, l, &l->plan.tensors[i]);
    if (!st)
        st = dlm_gguf_writer_end(ctx, l->w);
    return st ? st : dlm_sink_end(ctx, l->sink);
}

/* --- the whole --- */

static json_t *manifest(const struct lora *l)
{
    const struct dlm_export_job *job = l->job;
    char quant[16];

    dlm_export_gguf_name(job->quant, quant);
    return json_pack(
        "{s:I, s:o, s:o, s:o, s:s, s:s+, s:b, s:s, s:b, s:n, s:s, s:s}", "adapter_version",
        (json_int_t)job->version, "artifacts", dlm_export_artifacts(l->sink), "base_model_hf_id",
        dlm_json_text(job->base->hf_id), "base_model_revision", dlm_json_text(job->base->revision),
        "created_at", job->created_at, "created_by", "dlm-", dlm_version_text(), "dequantized", 0,
        "llama_cpp_tag", dlm_export_llama_cpp, "merged", 0, "ollama_name", "quant", quant, "target",
        "gguf_adapter");
}

static enum dlm_status open_sink(struct dlm_ctx *ctx, struct lora *l)
{
    struct dlm_sink_params to = l->job->to;

    to.num_files = 3;
    to.bytes = l->readme.len + dlm_gguf_writer_bytes(l->w);
    return dlm_sink_open(ctx, &l->sink, &to);
}

static void finish(struct lora *l)
{
    dlm_sink_close(&l->sink);
    dlm_gguf_writer_destroy(&l->w);
    dlm_gguf_plan_finish(&l->plan);
    for (size_t i = 0; l->weights && i < l->adapter->num_modules; i++)
        dlm_free((char *)l->weights[i].name); /* ours, const for the plan only */
    dlm_free(l->weights);
    dlm_free(l->values);
    dlm_free(l->moved);
    dlm_str_finish(&l->readme);
    dlm_adapter_destroy(&l->adapter);
}

enum dlm_status dlm_export_gguf_lora(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                     struct dlm_export_result *result)
{
    struct lora l = {.job = job};

    enum dlm_status st = collect(ctx, &l);
    if (!st)
        st = open_sink(ctx, &l);
    if (!st) /* the first file, by which an archive is known */
        st = dlm_sink_text(ctx, l.sink, DLM_EXPORT_README, l.readme.data, l.readme.len);
    if (!st)
        st = write_file(ctx, &l);
    if (!st) /* the last: a folder with it is whole */
        st = dlm_export_manifest(ctx, l.sink, DLM_EXPORT_MANIFEST, manifest(&l));
    if (!st)
        st = dlm_sink_commit(ctx, l.sink, result);
    finish(&l);
    return st;
}
