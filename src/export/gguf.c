/* GGUF: the language model with the adapter folded in, and the tower with its projector, for
 * llama.cpp. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "export/gguf_base.h"
#include "export/gguf_file.h"
#include "export/kept.h"
#include "export/manifest.h"
#include "export/modelfile.h"
#include "export/place.h"
#include "export/snapshot.h"

#define DLM_EXPORT_VERDICT "vl_gguf.json"

enum { TEXT, VISION, NUM_FILES };

struct gguf {
    const struct dlm_export_job *job;
    struct dlm_gguf_base about;
    struct dlm_str readme, modelfile;
    struct dlm_checkpoint *base;
    struct dlm_adapter *adapter;
    struct dlm_merge merge;
    struct dlm_gguf_weight *weights; /* those of merge, in its order */
    bool is_tied;                    /* the head is the embedding */
    struct dlm_gguf_file files[NUM_FILES];
    struct dlm_gguf_blocks blocks;
    char identity[65];
    struct dlm_sink *sink;
};

/* --- what is written --- */

static enum dlm_status list_weights(struct dlm_ctx *ctx, struct gguf *g)
{
    const struct dlm_name_map *names = &g->job->model->family->names;

    g->weights = dlm_alloc_array(ctx, g->merge.num, sizeof(*g->weights));
    if (!g->weights)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < g->merge.num; i++) {
        const struct dlm_merge_tensor *t = &g->merge.tensors[i];
        struct dlm_gguf_weight *w = &g->weights[i];
        w->name = dlm_name_canonical(ctx, names, t->info->name);
        if (!w->name)
            return DLM_ERR_MEMORY;
        w->ndim = t->ndim;
        for (int d = 0; d < t->ndim && d < DLM_GGUF_MAX_WEIGHT_DIMS; d++)
            w->shape[d] = t->shape[d];
    }
    return DLM_OK;
}

static const struct dlm_merge_tensor *find_weight(const struct gguf *g, const char *name)
{
    for (size_t i = 0; i < g->merge.num; i++)
        if (!strcmp(g->weights[i].name, name))
            return &g->merge.tensors[i];
    return NULL;
}

/* A tied head that the base also holds counts where it is another matrix than the embedding, as in
 * dlm_decoder_declare(), or becomes one. */
static enum dlm_status find_head(struct dlm_ctx *ctx, struct gguf *g)
{
    const struct dlm_family *f = g->job->model->family;
    char *name = dlm_strf(ctx, "%s.embed_tokens.weight", f->language);

    if (!name)
        return DLM_ERR_MEMORY;
    const struct dlm_merge_tensor *head = find_weight(g, f->gguf->head);
    const struct dlm_merge_tensor *embed = find_weight(g, name);
    dlm_free(name);
    g->is_tied = !head;
    if (!head || !embed || !g->job->model->decoder.config.is_tied || head->module)
        return DLM_OK;
    g->is_tied = head->info->dtype == embed->info->dtype &&
                 head->info->bytes == embed->info->bytes &&
                 !memcmp(head->info->data, embed->info->data, head->info->bytes);
    dlm_checkpoint_drop(g->base, head->info);
    dlm_checkpoint_drop(g->base, embed->info);
    return DLM_OK;
}

static enum dlm_status plan_tensors(struct dlm_ctx *ctx, const struct gguf *g, bool is_text,
                                    struct dlm_gguf_file *file)
{
    const struct dlm_family *f = g->job->model->family;
    const struct dlm_decoder_config *decoder = &g->job->model->decoder.config;
    const struct dlm_gguf_plan_params params = {
        .rules = is_text ? f->gguf->text : f->gguf->vision,
        .language = f->language,
        .head = f->gguf->head,
        .weights = g->weights,
        .num_weights = g->merge.num,
        .heads = is_text ? decoder->block.heads : g->about.vision.heads,
        .kv_heads = is_text ? decoder->block.kv_heads : g->about.vision.heads,
        .keeps_heads = is_text && !f->gguf->interleaves_heads,
        .is_tied = g->is_tied,
        .row = g->about.row,
    };
    const struct dlm_gguf_mixture mixture = {g->job->quant, decoder->layers, g->is_tied};
    enum dlm_status st = dlm_gguf_plan_make(ctx, &file->plan, &params);

    for (size_t i = 0; !st && i < file->plan.num; i++) {
        const struct dlm_gguf_planned *t = &file->plan.tensors[i];
        const enum dlm_ggml_type type =
            is_text ? dlm_gguf_mixture_type(&mixture, t->name, t->ndim, t->ne)
                    : dlm_gguf_mmproj_type(g->job->quant, t->name, t->ndim, t->ne);
        st = dlm_gguf_put_tensor(ctx, file->w, t->name, type, t->ndim, t->ne);
    }
    return st;
}

static enum dlm_status plan_file(struct dlm_ctx *ctx, struct gguf *g, int which)
{
    const bool is_text = which == TEXT;
    const enum dlm_gguf_quant quant = is_text ? g->job->quant
                                              : dlm_export_gguf_vision(g->job->quant);
    struct dlm_gguf_file *file = &g->files[which];
    char word[16];

    dlm_export_gguf_name(quant, word);
    snprintf(file->name, sizeof(file->name), "%s.%s.gguf", is_text ? "base" : "mmproj", word);
    enum dlm_status st = dlm_gguf_writer_create(ctx, &file->w, file->name);
    if (!st)
        st = dlm_gguf_base_put(ctx, file->w, &g->about, is_text, quant);
    return st ? st : plan_tensors(ctx, g, is_text, file);
}

/* Whatever the adapter changes is in one of the files. */
static enum dlm_status check_modules(struct dlm_ctx *ctx, const struct gguf *g)
{
    for (size_t i = 0; i < g->merge.num; i++) {
        bool is_there = !g->merge.tensors[i].module;
        for (int f = 0; f < NUM_FILES; f++)
            for (size_t k = 0; !is_there && k < g->files[f].plan.num; k++)
                is_there = g->files[f].plan.tensors[k].weight == i;
        if (!is_there)
            return dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot write '%s' as GGUF: it has no place "
                            "for '%.200s', which the adapter adapts", g->job->base->key,
                            g->weights[i].name);
    }
    return DLM_OK;
}

static enum dlm_status collect(struct dlm_ctx *ctx, struct gguf *g)
{
    const struct dlm_export_job *job = g->job;
    const struct dlm_name_map *names = &job->model->family->names;

    enum dlm_status st = dlm_checkpoint_open(ctx, &g->base, job->base->dir);
    if (!st)
        st = dlm_kept_identity(ctx, job, g->base, g->identity);
    if (!st)
        st = dlm_adapter_open(ctx, &g->adapter, job->adapter, names);
    if (!st)
        st = dlm_merge_init(ctx, &g->merge, g->base, g->adapter, names);
    if (!st)
        st = list_weights(ctx, g);
    if (!st)
        st = find_head(ctx, g);
    if (!st)
        st = dlm_gguf_base_read(ctx, &g->about, job);
    for (int i = 0; !st && i < NUM_FILES; i++)
        st = plan_file(ctx, g, i);
    if (!st)
        st = check_modules(ctx, g);
    if (!st)
        st = dlm_gguf_blocks_make(ctx, &g->blocks, g->files, NUM_FILES);
    if (!st && !job->model->family->gguf->is_own)
        st = dlm_modelfile_append(ctx, &g->about, g->files[TEXT].name, g->files[VISION].name,
                                  &g->modelfile);
    return st ? st : dlm_export_readme(ctx, job, NULL, &g->readme);
}

/* --- the whole --- */

/* As the Python dlm has it, with the tower's file. */
static enum dlm_status write_verdict(struct dlm_ctx *ctx, const struct gguf *g)
{
    const struct dlm_export_verdict *v = g->job->verdict;
    const char *sha = NULL;
    size_t num;
    const struct dlm_export_file *files = dlm_sink_files(g->sink, &num);

    for (size_t i = 0; i < num; i++)
        if (!strcmp(files[i].path, g->files[TEXT].name))
            sha = files[i].sha256;
    return dlm_export_manifest(
        ctx, g->sink, DLM_EXPORT_VERDICT,
        json_pack("{s:i, s:{s:s?, s:s, s:s, s:s}, s:s, s:s}", "schema", 1, "arch_verdict",
                  "architecture", v->architecture, "support", v->support, "llama_cpp_tag",
                  dlm_export_llama_cpp, "reason", v->reason, "mmproj_path", g->files[VISION].name,
                  "gguf_sha256", sha));
}

static json_t *manifest(const struct gguf *g)
{
    const struct dlm_export_job *job = g->job;
    char quant[16];

    dlm_export_gguf_name(job->quant, quant);
    return json_pack(
        "{s:I, s:o, s:o, s:o, s:s, s:s+, s:b, s:s?, s:b, s:n, s:s, s:s}", "adapter_version",
        (json_int_t)job->version, "artifacts", dlm_export_artifacts(g->sink), "base_model_hf_id",
        dlm_json_text(job->base->hf_id), "base_model_revision", dlm_json_text(job->base->revision),
        "created_at", job->created_at, "created_by", "dlm-", dlm_version_text(), "dequantized",
        (int)g->merge.is_dequantized, "llama_cpp_tag", dlm_export_llama_cpp_of(job), "merged", 1,
        "ollama_name", "quant", quant, "target", "gguf");
}

static enum dlm_status open_sink(struct dlm_ctx *ctx, struct gguf *g)
{
    struct dlm_sink_params to = g->job->to;

    to.identity = g->identity;
    to.num_files = NUM_FILES + 2 + (g->modelfile.len > 0) + (g->job->verdict != NULL);
    to.bytes = g->readme.len + g->modelfile.len;
    for (int i = 0; i < NUM_FILES; i++)
        to.bytes += dlm_gguf_writer_bytes(g->files[i].w);
    return dlm_sink_open(ctx, &g->sink, &to);
}

static void finish(struct gguf *g)
{
    dlm_sink_close(&g->sink);
    dlm_gguf_blocks_finish(&g->blocks);
    for (int i = 0; i < NUM_FILES; i++)
        dlm_gguf_file_finish(&g->files[i]);
    for (size_t i = 0; g->weights && i < g->merge.num; i++)
        dlm_free((char *)g->weights[i].name); /* ours, const for the plan only */
    dlm_free(g->weights);
    dlm_str_finish(&g->readme);
    dlm_str_finish(&g->modelfile);
    dlm_gguf_base_finish(&g->about);
    dlm_merge_finish(&g->merge);
    dlm_adapter_destroy(&g->adapter);
    dlm_checkpoint_destroy(&g->base);
}

enum dlm_status dlm_export_gguf(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                struct dlm_export_result *result)
{
    struct gguf g = {.job = job};

    enum dlm_status st = collect(ctx, &g);
    if (!st)
        st = open_sink(ctx, &g);
    if (!st) /* the first file, by which an archive is known */
        st = dlm_sink_text(ctx, g.sink, DLM_EXPORT_README, g.readme.data, g.readme.len);
    for (int i = 0; !st && i < NUM_FILES; i++)
        st = dlm_gguf_file_write(ctx, &g.files[i], &g.merge, &g.blocks, g.sink);
    if (!st && g.modelfile.len)
        st = dlm_sink_text(ctx, g.sink, DLM_EXPORT_MODELFILE, g.modelfile.data, g.modelfile.len);
    if (!st && job->verdict)
        st = write_verdict(ctx, &g);
    if (!st) /* the last: a folder with it is whole */
        st = dlm_export_manifest(ctx, g.sink, DLM_EXPORT_MANIFEST, manifest(&g));
    if (!st)
        st = dlm_sink_commit(ctx, g.sink, result);
    finish(&g);
    return st;
}
