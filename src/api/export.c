/* `dlm export`: a version of a document's adapter, for other programs. */
#include "dlm/export.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/adapter_source.h"
#include "api/base_model.h"
#include "api/export_proof.h"
#include "api/export_record.h"
#include "api/export_verdict.h"
#include "api/origin.h"
#include "api/session_impl.h"
#include "api/store_find.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "doc/doc.h"
#include "export/snapshot.h"

struct call {
    const struct dlm_export_params *params;
    struct dlm_store_list stores;  /* the document's one */
    struct dlm_adapter_source source;
    struct dlm_doc *doc;
    char *doc_path; /* absolute */
    const char *gguf_quant; /* asked for, or the document's default; NULL: none */
    char *ollama_name;      /* asked for, or by the document's id */
    struct dlm_base base;
    struct dlm_model *model;
    struct dlm_origin origin; /* of the version */
    char *path;               /* to write */
    bool is_gguf, is_gguf_lora; /* GGUF is asked for, and llama.cpp has a model for it */
    enum dlm_gguf_quant quant;
    time_t now;
    char created_at[20];
};

static struct dlm_store *store_of(const struct call *c)
{
    return c->stores.items[0];
}

/* --- what is exported --- */

/* dlm-<id in small letters>:v0001, as the Python dlm has it. */
static enum dlm_status name_for_ollama(struct dlm_ctx *ctx, struct call *c)
{
    const char *asked = c->params->ollama_name;

    c->ollama_name = asked ? dlm_strdup(ctx, asked)
                           : dlm_strf(ctx, "dlm-%s:v%04lld", c->doc->id,
                                      (long long)c->source.version);
    for (char *p = c->ollama_name; p && !asked && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return c->ollama_name ? DLM_OK : DLM_ERR_MEMORY;
}

/* The document's export.default_quant, where it is written; NULL: it is not. */
static const char *default_quant(const struct dlm_doc *doc)
{
    static const char *const words[] = {[DLM_DOC_QUANT_Q4_K_M] = "q4_k_m",
                                        [DLM_DOC_QUANT_Q5_K_M] = "q5_k_m",
                                        [DLM_DOC_QUANT_Q6_K] = "q6_k",
                                        [DLM_DOC_QUANT_Q8_0] = "q8_0"};

    return dlm_doc_is_written(doc, "export.default_quant") ? words[doc->export.default_quant]
                                                           : NULL;
}

static enum dlm_status read_document(struct dlm_ctx *ctx, struct call *c)
{
    const struct dlm_export_params *p = c->params;
    enum dlm_status st = dlm_doc_load(ctx, &c->doc, p->document);
    char *path = st ? NULL : realpath(p->document, NULL);

    if (st)
        return st;
    c->doc_path = dlm_strdup(ctx, path ? path : p->document);
    free(path);
    c->gguf_quant = p->gguf_quant ? p->gguf_quant
                    : p->is_merged || p->is_adapter_only || p->is_snapshot
                        ? NULL : default_quant(c->doc);
    return c->doc_path ? DLM_OK : DLM_ERR_MEMORY;
}

/* What is for GGUF files alone, where none are asked for. */
static enum dlm_status check_options(struct dlm_ctx *ctx, const struct call *c)
{
    const struct dlm_export_params *p = c->params;
    const bool is_gguf = c->gguf_quant && !p->is_adapter_only;

    if (p->is_gguf_anyway && !is_gguf)
        return dlm_fail(ctx, DLM_ERR_USAGE, "--gguf-anyway goes with --quant, without "
                        "--adapter-only");
    if (p->licensee && !p->is_merged && !is_gguf)
        return dlm_fail(ctx, DLM_ERR_USAGE, "--i-am-the-licensee goes with --merged or --quant");
    if ((p->ollama_name || p->skips_ollama || p->no_template) && !is_gguf)
        return dlm_fail(ctx, DLM_ERR_USAGE, "--name, --skip-ollama and --no-template go with "
                        "--quant");
    return DLM_OK;
}

static struct dlm_export_document about_document(const struct call *c)
{
    struct dlm_export_document out = {.path = c->doc_path,
                                      .id = c->doc->id,
                                      .temperature = c->doc->export.default_temperature,
                                      .top_p = c->doc->export.default_top_p,
                                      .sequence_len = c->doc->training.sequence_len,
                                      .no_template = c->params->no_template};

    out.system_prompt = dlm_doc_system_prompt(c->doc, &out.system_len);
    return out;
}

static enum dlm_status find_version(struct dlm_ctx *ctx, struct call *c)
{
    const struct dlm_session_params from = {.document = c->params->document,
                                            .home = c->params->home,
                                            .version = c->params->version,
                                            .is_adapter_optional = true};

    enum dlm_status st = dlm_adapter_source_find(ctx, &c->source, &from);
    if (!st)
        st = dlm_store_list_open(ctx, &c->stores, c->params->home, c->params->document);
    if (!st && !c->source.adapter)
        st = dlm_fail(ctx, DLM_ERR_INVALID, "no current adapter under %s/adapter/current.txt; run "
                      "`dlm train` before exporting.", dlm_store_path(store_of(c)));
    if (!st)
        st = dlm_store_verify_version(ctx, c->source.adapter, c->source.version);
    if (!st)
        st = dlm_origin_read(ctx, c->source.adapter, &c->origin);
    return st ? st : name_for_ollama(ctx, c);
}

/* The version was trained on the base that is here now. */
static enum dlm_status check_base(struct dlm_ctx *ctx, const struct call *c)
{
    struct dlm_checkpoint *checkpoint = NULL;
    struct dlm_origin now = {.base_model = c->base.key};

    enum dlm_status st = dlm_base_open_checkpoint(ctx, &checkpoint, &c->base);
    if (st)
        return st;
    dlm_checkpoint_fingerprint(checkpoint, now.base_sha256);
    dlm_checkpoint_destroy(&checkpoint);
    return dlm_origin_check_base(ctx, c->source.adapter, &now);
}

static enum dlm_status find_base(struct dlm_ctx *ctx, struct call *c)
{
    enum dlm_status st =
        dlm_base_find(ctx, &c->base, c->source.base, c->source.mmproj, c->source.dir);

    if (!st)
        st = dlm_base_read_model(ctx, &c->model, &c->base);
    return st ? st : check_base(ctx, c);
}

/* GGUF, by the document's export.default_quant alone. */
static bool is_from_document(const struct call *c)
{
    return c->gguf_quant && !c->params->gguf_quant;
}

/* Weights in blocks have lost what folding an adapter in needs, and lie in another order. */
static enum dlm_status check_source(struct dlm_ctx *ctx, struct call *c)
{
    if (!dlm_base_is_gguf(&c->base) || !(c->params->is_merged || c->is_gguf))
        return DLM_OK;
    if (is_from_document(c)) {
        dlm_log(ctx, DLM_LOG_WARNING, "export: ignoring the document's export.default_quant: a "
                "base in GGUF is not written again, and an HF snapshot is written instead");
        c->is_gguf = false;
        return DLM_OK;
    }
    dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot fold an adapter into '%s': a base in GGUF is not "
             "written again", c->base.key);
    dlm_log(ctx, DLM_LOG_HINT, "--adapter-only writes the adapter for llama.cpp's --lora, "
            "--quant none for PEFT");
    return DLM_ERR_UNSUPPORTED;
}

/* Weights of the base leave this machine with those of the adapter. */
static enum dlm_status check_license(struct dlm_ctx *ctx, const struct call *c)
{
    const struct dlm_base_row *row = c->base.row;
    const char *url = row ? row->license_url : NULL, *own = c->params->licensee;

    if (!(c->params->is_merged || c->is_gguf) || (row && row->redistributable))
        return DLM_OK;
    if (!row) {
        dlm_log(ctx, DLM_LOG_WARNING, "the licence of '%s' is not known here: it says whether its "
                "weights may be passed on", c->base.key);
        return DLM_OK;
    }
    if (own && *own && (!url || !strcmp(own, url)))
        return DLM_OK;
    dlm_fail(ctx, DLM_ERR_INVALID, "license: base '%s' may not be redistributed, and merged "
             "weights hold it (%s)", c->base.key, url ? url : row->license_spdx);
    dlm_log(ctx, DLM_LOG_HINT, "`dlm export --quant none` leaves the base out; "
            "--i-am-the-licensee with the licence's address writes them for yourself");
    return DLM_ERR_INVALID;
}

/* --- where to --- */

static bool is_merged(const struct call *c)
{
    return c->params->is_merged && !c->gguf_quant;
}

static const char *target(const struct call *c)
{
    return c->is_gguf        ? "gguf"
           : c->is_gguf_lora ? "gguf_adapter"
           : is_merged(c)    ? "hf_merged"
                             : "hf_snapshot";
}

/* GGUF where there is a form for it; a base without one gives a snapshot, as in the Python dlm. */
static enum dlm_status find_form(struct dlm_ctx *ctx, struct call *c)
{
    const bool is_lora = c->params->is_adapter_only;
    const char *word = c->gguf_quant || !is_lora ? c->gguf_quant : "f32";

    if (!word)
        return DLM_OK;
    c->quant = dlm_gguf_quant_by_name(word);
    if (c->quant == DLM_GGUF_QUANT_COUNT)
        return dlm_fail(ctx, DLM_ERR_INVALID, "there is no '%s' in GGUF", word);
    if (is_lora && c->quant > DLM_GGUF_QUANT_Q8_0)
        return dlm_fail(ctx, DLM_ERR_INVALID, "an adapter by itself is f32, f16, bf16 or q8_0, not "
                        "%s", word);
    const struct dlm_gguf_family *form = c->model->family->gguf;
    c->is_gguf = form && !is_lora && (!form->is_own || c->params->is_gguf_anyway);
    c->is_gguf_lora = form && !form->is_own && is_lora;
    if (c->is_gguf && form->is_own) { /* ollama has the models that llama.cpp has */
        dlm_free(c->ollama_name);
        c->ollama_name = NULL;
    }
    if (c->is_gguf || c->is_gguf_lora)
        return DLM_OK;
    dlm_log(ctx, DLM_LOG_WARNING, "export: ignoring %s: llama.cpp (%s) has no model of the family "
            "'%s', and an HF snapshot is written instead",
            is_from_document(c) ? "the document's export.default_quant"
                                : "GGUF-only flags (--quant / --merged / --adapter-only)",
            dlm_export_llama_cpp, c->model->family->model_type);
    if (form && !is_lora)
        dlm_log(ctx, DLM_LOG_HINT, "--gguf-anyway writes GGUF files that only dlm reads");
    return DLM_OK;
}

static enum dlm_status find_path(struct dlm_ctx *ctx, struct call *c)
{
    char quant[16] = "";

    if (c->is_gguf)
        dlm_export_gguf_name(c->quant, quant);
    if (c->params->out)
        c->path = dlm_strdup(ctx, c->params->out);
    else
        c->path = dlm_strf(ctx, "%s/exports/%s%s%s", dlm_store_path(store_of(c)),
                           c->is_gguf        ? "vl-gguf-"
                           : c->is_gguf_lora ? "gguf-adapter"
                           : is_merged(c)    ? "hf-merged"
                                             : "hf-snapshot",
                           quant, c->params->is_tar ? ".tar" : "");
    return c->path ? DLM_OK : DLM_ERR_MEMORY;
}

/* Of the file whose name begins so; NULL: there is none. */
static const char *hash_of(const struct dlm_export_result *result, const char *name)
{
    for (size_t i = 0; i < result->num_files; i++)
        if (!strncmp(result->files[i].path, name, strlen(name)))
            return result->files[i].sha256;
    return NULL;
}

static enum dlm_status record(struct dlm_ctx *ctx, struct call *c,
                              const struct dlm_export_result *result)
{
    char quant[16];
    struct dlm_export_entry entry = {.exported_at = c->now, .target = target(c),
                                     .is_merged = c->is_gguf || is_merged(c)};

    if (c->is_gguf || c->is_gguf_lora) {
        dlm_export_gguf_name(c->quant, quant);
        entry.quant = quant;
        entry.llama_cpp_tag = c->model->family->gguf->is_own ? NULL : dlm_export_llama_cpp;
    }
    if (c->is_gguf)
        entry.base_gguf_sha256 = hash_of(result, "base.");
    else if (c->is_gguf_lora)
        entry.adapter_gguf_sha256 = hash_of(result, "adapter.");
    return dlm_export_record(ctx, store_of(c), &entry);
}

/* --- what is said of it --- */

static json_t *describe_proof(const struct dlm_export_proof *p)
{
    if (p->skipped)
        return json_pack("{s:s, s:I}", "skipped", p->skipped, "tensors",
                         (json_int_t)p->num_tensors);
    return json_pack("{s:n, s:I, s:s, s:I, s:I, s:f, s:f, s:f}", "skipped", "tensors",
                     (json_int_t)p->num_tensors, "section_id", p->section_id, "line",
                     (json_int_t)p->line, "tokens", (json_int_t)p->num_tokens, "loss", p->loss,
                     "loss_difference", p->loss_difference, "logprob_difference",
                     p->logprob_difference);
}

static enum dlm_status describe(struct dlm_ctx *ctx, const struct call *c,
                                struct dlm_export_result *result)
{
    struct dlm_str text = {0};
    json_t *files = json_array();
    int rc = files ? 0 : -1;

    for (size_t i = 0; !rc && i < result->num_files; i++) {
        const struct dlm_export_file *f = &result->files[i];
        rc = json_array_append_new(files, json_pack("{s:s, s:I, s:s}", "path", f->path,
                                                    "size_bytes", (json_int_t)f->bytes, "sha256",
                                                    f->sha256));
    }
    json_t *json = json_pack(
        "{s:s, s:s, s:b, s:b, s:s?, s:I, s:s, s:o, s:I, s:o, s:o, s:n}", "export_target",
        result->target,
        "path", result->path, "tar", (int)c->params->is_tar, "merged",
        (int)(c->is_gguf || is_merged(c)), "quant",
        c->is_gguf || c->is_gguf_lora ? dlm_gguf_quant_name(c->quant) : NULL,
        "adapter_version", (json_int_t)result->version, "base_model", c->base.key,
        "base_model_revision", dlm_json_text(c->base.revision), "bytes",
        (json_int_t)result->bytes, "files", files, "proof", describe_proof(&result->proof),
        "ollama_name"); /* which dlm_export_record_model() fills in */
    enum dlm_status st = dlm_json_append(ctx, &text, rc ? NULL : json, 0);
    json_decref(json);
    result->json = text.data;
    return st;
}

/* --- the call --- */

static enum dlm_dtype dtype_of(enum dlm_precision precision)
{
    return precision == DLM_PRECISION_FP32   ? DLM_DTYPE_F32
           : precision == DLM_PRECISION_BF16 ? DLM_DTYPE_BF16
           : precision == DLM_PRECISION_FP16 ? DLM_DTYPE_F16
                                             : DLM_DTYPE_COUNT;
}

struct prover {
    const struct call *c;
    struct dlm_export_proof *proof;
};

static enum dlm_status prove(struct dlm_ctx *ctx, void *user, const char *folder)
{
    const struct prover *p = user;
    const struct call *c = p->c;
    const struct dlm_proof_params params = {.doc = c->doc,
                                            .base = c->source.base,
                                            .mmproj = c->source.mmproj,
                                            .dir = c->source.dir,
                                            .base_dir = c->base.dir,
                                            .adapter = c->source.adapter,
                                            .image_size = c->origin.image_size,
                                            .is_merged = is_merged(c),
                                            .is_gguf = c->is_gguf,
                                            .quant = c->quant,
                                            .compute = c->params->compute,
                                            .progress = c->params->progress,
                                            .user = c->params->user};

    return dlm_proof_make(ctx, &params, folder, p->proof);
}

/* Why nothing can be compared, whatever the files; NULL: they may be. */
static const char *unproven(const struct call *c)
{
    return c->params->no_verify ? "--no-verify"
           : c->params->is_tar  ? "an archive is not opened"
           : c->is_gguf_lora    ? "an adapter in GGUF is not opened"
                                : NULL;
}

/* A device that is not there is told before the files are written, not after. */
static enum dlm_status check_device(struct dlm_ctx *ctx, const struct call *c)
{
    struct dlm_device *device = NULL;

    if (unproven(c) || c->params->compute.backend == DLM_BACKEND_AUTO)
        return DLM_OK;
    enum dlm_status st = dlm_session_open_device(ctx, &device, &c->params->compute, false);
    dlm_device_destroy(&device);
    return st;
}

static enum dlm_status write_all(struct dlm_ctx *ctx, struct call *c,
                                 struct dlm_export_result *result)
{
    struct prover prover = {c, &result->proof};
    const char *skipped = unproven(c);
    const struct dlm_export_verdict verdict = dlm_verdict_of_family(c->model->family);
    const struct dlm_export_job job = {
        .base = &c->base,
        .model = c->model,
        .adapter = c->source.adapter,
        .version = c->source.version,
        .image_size = c->origin.image_size,
        .created_at = c->created_at,
        .is_merged = is_merged(c),
        .is_gguf = c->is_gguf,
        .is_gguf_lora = c->is_gguf_lora,
        .quant = c->quant,
        .verdict = c->is_gguf && !c->model->family->gguf->is_own ? &verdict : NULL,
        .document = about_document(c),
        .dtype = dtype_of(c->params->precision),
        .to = {.path = c->path,
               .is_tar = c->params->is_tar,
               .progress = c->params->progress,
               .user = c->params->user,
               .check = skipped ? NULL : prove,
               .check_user = &prover},
    };

    if (skipped) {
        result->proof.skipped = dlm_strdup(ctx, skipped);
        if (!result->proof.skipped)
            return DLM_ERR_MEMORY;
    }
    result->version = job.version;
    result->target = target(c);
    if ((job.is_merged || job.is_gguf) && *c->origin.base_form)
        dlm_log(ctx, DLM_LOG_INFO, "the adapter learned beside a base in %s, and is folded into "
                "the weights that the base has", c->origin.base_form);
    return job.is_gguf        ? dlm_export_gguf(ctx, &job, result)
           : job.is_gguf_lora ? dlm_export_gguf_lora(ctx, &job, result)
           : job.is_merged    ? dlm_export_merged(ctx, &job, result)
                              : dlm_export_snapshot(ctx, &job, result);
}

enum dlm_status dlm_export(struct dlm_ctx *ctx, const struct dlm_export_params *params,
                           struct dlm_export_result *result)
{
    struct call c = {.params = params, .now = time(NULL)};
    enum dlm_status st = DLM_OK;

    *result = (struct dlm_export_result){0};
    DLM_REQUIRE(ctx, params->document && params->version >= 0);
    DLM_REQUIRE(ctx, !params->precision || (params->is_merged && !params->gguf_quant));
    DLM_REQUIRE(ctx, !params->is_adapter_only || !params->is_merged);
    dlm_time_iso(c.now, c.created_at);
    st = read_document(ctx, &c);
    if (!st)
        st = check_options(ctx, &c);
    if (!st)
        st = find_version(ctx, &c);
    if (!st)
        st = find_base(ctx, &c);
    if (!st)
        st = find_form(ctx, &c);
    if (!st)
        st = check_source(ctx, &c);
    if (!st)
        st = check_license(ctx, &c);
    if (!st)
        st = find_path(ctx, &c);
    if (!st)
        st = check_device(ctx, &c);
    if (!st)
        st = write_all(ctx, &c, result);
    if (!st)
        st = record(ctx, &c, result);
    if (!st && c.is_gguf) {
        result->ollama_name = c.ollama_name;
        c.ollama_name = NULL;
    }
    if (!st)
        st = describe(ctx, &c, result);
done:
    dlm_free(c.path);
    dlm_free(c.doc_path);
    dlm_free(c.ollama_name);
    dlm_doc_destroy(&c.doc);
    dlm_origin_finish(&c.origin);
    dlm_model_destroy(&c.model);
    dlm_base_finish(&c.base);
    dlm_adapter_source_finish(&c.source);
    dlm_store_list_close(&c.stores);
    return st;
}

void dlm_export_result_finish(struct dlm_export_result *result)
{
    for (size_t i = 0; i < result->num_files; i++)
        dlm_free(result->files[i].path);
    dlm_free(result->files);
    dlm_free(result->path);
    dlm_free(result->ollama_name);
    dlm_free(result->json);
    dlm_proof_finish(&result->proof);
    *result = (struct dlm_export_result){0};
}
