/* Weights compared, and one row scored twice. The sessions are those that `dlm score` opens, one
 * after the other: no more than one model is in memory. */
#include "api/export_proof.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/session_impl.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "dlm/score.h"
#include "export/compare.h"
#include "export/snapshot.h"
#include "rows/rows.h"
#include "store/store.h"

#define PROGRESS_SECONDS 0.1
#define EXPORTED "exported" /* the adapter that was written, by this name beside the other */

struct proof {
    struct dlm_ctx *ctx;
    const struct dlm_proof_params *params;
    const char *folder;
    struct dlm_export_proof *out;
    struct dlm_doc_sources sources;
    struct dlm_rows rows;
    const struct dlm_row *row;            /* one of them */
    struct dlm_session *s;                /* of the base, then of the files */
    struct dlm_score_result memory, files; /* what each says */
    double unit; /* of the coarsest type that the files have weights in */
    struct dlm_processor processor; /* the base's */
    struct dlm_export_progress progress;
    double began, told;
};

/* --- progress: bytes of base and files as they are read --- */

static void tell(struct proof *p)
{
    if (p->params->progress)
        p->params->progress(p->params->user, &p->progress);
}

static void on_read(void *user, uint64_t bytes)
{
    struct proof *p = user;
    const double now = dlm_now();

    p->progress.bytes_done = DLM_MIN(p->progress.bytes_done + bytes, p->progress.bytes);
    if (now - p->told < PROGRESS_SECONDS)
        return;
    p->told = now;
    p->progress.bytes_per_sec = (double)p->progress.bytes_done / (now - p->began);
    tell(p);
}

/* The base is loaded, then the files' weights are compared, and loaded. */
static enum dlm_status begin_progress(struct proof *p)
{
    const struct dlm_weights *w = p->s->model->weights;
    const bool has_weights = p->params->is_merged || p->params->is_gguf;
    uint64_t bytes = 0;

    enum dlm_status st = has_weights ? dlm_path_bytes(p->ctx, p->folder, false, &bytes) : DLM_OK;
    bytes *= 2;
    for (size_t i = 0; i < w->num; i++)
        bytes += dlm_weight_file_bytes(w->list[i]);
    p->progress.bytes = bytes;
    p->began = p->told = dlm_now();
    return st;
}

static void end_progress(struct proof *p)
{
    if (p->told == p->began)
        return; /* of what takes no time at all, nothing */
    p->progress.bytes_done = p->progress.bytes;
    tell(p);
}

static enum dlm_status skip(struct proof *p, const char *fmt, ...) DLM_PRINTF(2, 3);

static enum dlm_status skip(struct proof *p, const char *fmt, ...)
{
    char text[256];
    va_list args;

    if (p->out->skipped)
        return DLM_OK;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    p->out->skipped = dlm_strdup(p->ctx, text);
    return p->out->skipped ? DLM_OK : DLM_ERR_MEMORY;
}

/* --- the row --- */

static enum dlm_status hash_image(struct dlm_ctx *ctx, void *user, const char *abs_path,
                                  char sha[65])
{
    (void)user; /* there is no store to put it in */
    return dlm_file_sha256(ctx, abs_path, sha, NULL);
}

/* What no other row can help. */
static bool is_over(enum dlm_status st)
{
    return st == DLM_ERR_MEMORY || st == DLM_ERR_CANCELLED;
}

/* The document's own rows, or those of its sources too. What cannot be read gives none. */
static enum dlm_status read_rows(struct proof *p, bool with_sources)
{
    const struct dlm_family *family = p->s->model->family;
    const struct dlm_rows_options options = {.put_image = hash_image,
                                             .sources = with_sources ? &p->sources : NULL,
                                             .seed = p->params->doc->training.seed};
    const struct dlm_row *lost;
    enum dlm_status st = DLM_OK;

    if (with_sources)
        st = dlm_doc_sources_read(p->ctx, p->params->doc, &p->sources);
    dlm_rows_finish(&p->rows);
    if (!st)
        st = dlm_rows_from_doc(p->ctx, &p->rows, p->params->doc, &options);
    if (!st && !family->has_system_turn)
        dlm_rows_drop_system(&p->rows);
    if (!st && family->has_one_image)
        st = dlm_rows_keep_last_images(p->ctx, &p->rows, &lost);
    if (st)
        dlm_rows_finish(&p->rows);
    return is_over(st) ? st : DLM_OK;
}

static enum dlm_status try_row(struct proof *p, const struct dlm_row *row, bool *fits)
{
    struct dlm_request request = {0};
    struct dlm_input in = {0};

    enum dlm_status st = dlm_request_init_row(&request, p->s->model, row);
    if (!st)
        st = dlm_request_encode(p->ctx, &request, p->s->tok, &in);
    const int64_t len = (int64_t)in.ids.len;
    *fits = !st && len <= p->params->doc->training.sequence_len &&
            dlm_count_labels(in.is_label, len) > 0;
    dlm_input_finish(&in);
    dlm_request_finish(&request);
    return is_over(st) ? st : DLM_OK;
}

/* The first with an image, or else the first. */
static enum dlm_status find_row(struct proof *p)
{
    enum dlm_status st = DLM_OK;

    for (int with_images = 1; with_images >= 0; with_images--) {
        for (size_t i = 0; !st && i < p->rows.num_rows; i++) {
            const struct dlm_row *row = &p->rows.rows[i];
            bool fits = false;
            if ((row->num_images > 0) == with_images)
                st = try_row(p, row, &fits);
            if (fits) {
                p->row = row;
                return DLM_OK;
            }
        }
    }
    return st;
}

static enum dlm_status choose_row(struct proof *p)
{
    enum dlm_status st = DLM_OK;

    dlm_log_mute(p->ctx);
    for (int with_sources = 0; !st && !p->row && with_sources < 2; with_sources++) {
        st = read_rows(p, with_sources);
        if (!st)
            st = find_row(p);
    }
    if (dlm_log_unmute(p->ctx, st))
        return dlm_fail(p->ctx, st, st == DLM_ERR_CANCELLED ? "interrupted" : "out of memory");
    dlm_log_forget(p->ctx);
    if (!p->row)
        return skip(p, "the document has no row that can be scored");
    memcpy(p->out->section_id, p->row->section_id, sizeof(p->out->section_id));
    p->out->line = p->row->line;
    return DLM_OK;
}

/* --- scoring --- */

static enum dlm_status open_session(struct proof *p, const char *base, const char *mmproj,
                                    const char *dir)
{
    struct dlm_session_base params = {.base = base, .mmproj = mmproj, .dir = dir, .is_quiet = true,
                                      .image_size = p->params->image_size,
                                      .compute = p->params->compute};

    if (params.compute.backend == DLM_BACKEND_AUTO)
        params.compute.backend = DLM_BACKEND_CPU;
    params.compute.precision = DLM_PRECISION_FP32;
    params.compute.quant = DLM_QUANT_NONE;
    dlm_session_close(&p->s);
    enum dlm_status st = dlm_session_open_base(p->ctx, &p->s, &params);
    if (st)
        return st;
    p->s->model->weights->loaded = on_read;
    p->s->model->weights->loaded_user = p;
    return DLM_OK;
}

static enum dlm_status use_adapter(struct proof *p, const char *name, const char *dir)
{
    enum dlm_status st = dlm_session_load_adapter(p->s, name, dir);

    return st ? st : dlm_session_use_adapter(p->s, name);
}

static enum dlm_status score(struct proof *p, struct dlm_score_result *result)
{
    char need[32], have[32];
    uint64_t lacking;

    enum dlm_status st = dlm_session_score_row(p->s, p->row, result, &lacking);
    if (st || !lacking)
        return st;
    dlm_size_text(lacking, need, sizeof(need));
    dlm_size_text(dlm_budget_room(p->s->device), have, sizeof(have));
    return skip(p, "the model in memory takes %s, and there are %s", need, have);
}

static enum dlm_status score_base(struct proof *p)
{
    enum dlm_status st = open_session(p, p->params->base, p->params->mmproj, p->params->dir);

    if (!st)
        st = begin_progress(p);
    if (!st)
        p->processor = p->s->model->processor;
    if (!st)
        st = use_adapter(p, DLM_SESSION_ADAPTER, p->params->adapter);
    if (!st)
        st = choose_row(p);
    return st || p->out->skipped ? st : score(p, &p->memory);
}

/* The unit of the coarsest of a checkpoint's types. */
static double unit_of(const struct dlm_checkpoint *c)
{
    double unit = 0;

    for (size_t i = 0; i < dlm_checkpoint_num_tensors(c); i++) {
        const enum dlm_dtype t = dlm_checkpoint_tensor(c, i)->dtype;
        unit = fmax(unit, t == DLM_DTYPE_BF16  ? 0x1p-8
                          : t == DLM_DTYPE_F16 ? 0x1p-11
                          : t == DLM_DTYPE_F32 ? 0x1p-24
                                               : 0);
    }
    return unit;
}

/* The same of GGUF files, which have one type for most of their weights. A weight of Q8_0 is off by
 * 1/254 of the largest of its block, which is some two times as large as most. */
static double unit_of_quant(enum dlm_gguf_quant quant)
{
    switch (quant) {
    case DLM_GGUF_QUANT_F32:
        return 0x1p-24;
    case DLM_GGUF_QUANT_F16:
        return 0x1p-11;
    case DLM_GGUF_QUANT_BF16:
        return 0x1p-8;
    case DLM_GGUF_QUANT_Q8_0:
        return 0x1p-7;
    case DLM_GGUF_QUANT_Q6_K:
        return 0x1p-6;
    case DLM_GGUF_QUANT_Q5_K_M:
        return 0x1p-5;
    default:
        return 0x1p-4;
    }
}

/* A token of these may be off by anything; what holds is that not all are. */
static bool is_coarse(const struct proof *p)
{
    return p->params->is_gguf && p->params->quant > DLM_GGUF_QUANT_Q8_0;
}

/* What is not computed with here yet is no fault of the files. */
static enum dlm_status open_coarse(struct proof *p, const char *base, const char *mmproj)
{
    char text[512];

    dlm_log_mute(p->ctx);
    const enum dlm_status st = dlm_log_unmute(p->ctx, open_session(p, base, mmproj, NULL));
    if (!st)
        return DLM_OK;
    dlm_log_take(p->ctx, text, sizeof(text));
    if (st != DLM_ERR_UNSUPPORTED)
        return dlm_fail(p->ctx, st, "%s", text);
    return skip(p, "blocks of this type are not computed with yet");
}

/* Both files as a base; images are made as the base makes them, of which GGUF tells a part. */
static enum dlm_status open_gguf(struct proof *p)
{
    const enum dlm_gguf_quant quant = p->params->quant;
    char text[16], vision[16];

    dlm_export_gguf_name(quant, text);
    dlm_export_gguf_name(dlm_export_gguf_vision(quant), vision);
    char *base = dlm_strf(p->ctx, "gguf:%s/base.%s.gguf", p->folder, text);
    char *mmproj = dlm_strf(p->ctx, "%s/mmproj.%s.gguf", p->folder, vision);
    enum dlm_status st = base && mmproj ? DLM_OK : DLM_ERR_MEMORY;
    p->unit = unit_of_quant(quant);
    if (!st)
        st = is_coarse(p) ? open_coarse(p, base, mmproj) : open_session(p, base, mmproj, NULL);
    if (!st && p->s)
        p->s->model->processor = p->processor;
    dlm_free(base);
    dlm_free(mmproj);
    return st;
}

static enum dlm_status open_merged(struct proof *p)
{
    char *base = dlm_strf(p->ctx, "dir:%s", p->folder);
    enum dlm_status st = base ? open_session(p, base, NULL, NULL) : DLM_ERR_MEMORY;

    if (!st)
        p->unit = unit_of(p->s->model->weights->checkpoint);
    dlm_free(base);
    return st;
}

static enum dlm_status open_adapter(struct proof *p)
{
    char *path = dlm_strf(p->ctx, "%s/adapter", p->folder);
    enum dlm_status st = path ? use_adapter(p, EXPORTED, path) : DLM_ERR_MEMORY;

    dlm_free(path);
    return st;
}

static enum dlm_status compare_weights(struct proof *p)
{
    const struct dlm_compare_params params = {.base = p->params->base_dir,
                                              .adapter = p->params->adapter,
                                              .names = &p->s->model->family->names,
                                              .written = p->s->model->weights,
                                              .progress = on_read,
                                              .user = p};

    return dlm_export_compare(p->ctx, &params, &p->out->num_tensors);
}

/* Weights are compared also where no row is. */
static enum dlm_status open_files(struct proof *p)
{
    if (!p->params->is_gguf && !p->params->is_merged)
        return p->out->skipped ? DLM_OK : open_adapter(p);
    enum dlm_status st = p->params->is_gguf ? open_gguf(p) : open_merged(p);
    return st || !p->s ? st : compare_weights(p);
}

static enum dlm_status score_files(struct proof *p)
{
    enum dlm_status st = open_files(p);

    return st || p->out->skipped ? st : score(p, &p->files);
}

/* --- comparing --- */

double dlm_proof_bound(double unit, double x)
{
    return unit > 0 ? (1e-3 + 64 * unit) * fmax(1, fabs(x)) : 0;
}

static enum dlm_status differs(struct proof *p, size_t at)
{
    const double *a = p->memory.logprobs, *b = p->files.logprobs;

    return dlm_fail(p->ctx, DLM_ERR_INVALID, "the files do not answer as the model in memory: "
                    "token %zu of section %s has the log-probability %.6g instead of %.6g, and "
                    "rounding explains %.2g", at + 1, p->row->section_id, b[at], a[at],
                    dlm_proof_bound(p->unit, a[at]));
}

static enum dlm_status compare_losses(struct proof *p)
{
    const double bound = dlm_proof_bound(p->unit, p->memory.loss);

    if (p->out->loss_difference <= bound)
        return DLM_OK;
    return dlm_fail(p->ctx, DLM_ERR_INVALID, "the files do not answer as the model in memory: the "
                    "loss of section %s is %.4g instead of %.4g, and rounding explains %.2g",
                    p->row->section_id, p->files.loss, p->memory.loss, bound);
}

static enum dlm_status compare(struct proof *p)
{
    const struct dlm_score_result *a = &p->memory, *b = &p->files;

    if (a->len != b->len || memcmp(a->ids, b->ids, a->len * sizeof(*a->ids)))
        return dlm_fail(p->ctx, DLM_ERR_INVALID, "the files do not read section %s as the model in "
                        "memory: they make other tokens of it", p->row->section_id);
    p->out->num_tokens = a->len;
    p->out->loss = a->loss;
    p->out->loss_difference = fabs(b->loss - a->loss);
    for (size_t i = 0; i < a->len; i++) {
        const double off = fabs(b->logprobs[i] - a->logprobs[i]);
        if (!is_coarse(p) && !(off <= dlm_proof_bound(p->unit, a->logprobs[i])))
            return differs(p, i);
        p->out->logprob_difference = fmax(p->out->logprob_difference, off);
    }
    return compare_losses(p);
}

/* --- the whole --- */

enum dlm_status dlm_proof_make(struct dlm_ctx *ctx, const struct dlm_proof_params *params,
                               const char *folder, struct dlm_export_proof *proof)
{
    struct proof p = {.ctx = ctx, .params = params, .folder = folder, .out = proof};

    *proof = (struct dlm_export_proof){0};
    dlm_log(ctx, DLM_LOG_INFO, "comparing what was written with the model in memory");
    enum dlm_status st = score_base(&p);
    if (!st) {
        st = score_files(&p);
        if (!st && !proof->skipped)
            st = compare(&p);
        if (st && !is_over(st))
            dlm_log(ctx, DLM_LOG_HINT, "nothing was kept; --no-verify writes without comparing");
    }
    if (!st)
        end_progress(&p);
    dlm_score_result_finish(&p.memory);
    dlm_score_result_finish(&p.files);
    dlm_session_close(&p.s);
    dlm_rows_finish(&p.rows);
    dlm_doc_sources_finish(&p.sources);
    return st;
}

void dlm_proof_finish(struct dlm_export_proof *proof)
{
    dlm_free(proof->skipped);
    *proof = (struct dlm_export_proof){0};
}
