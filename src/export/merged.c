/* Merged weights: the base's shards written anew, a block at a time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "export/kept.h"
#include "export/manifest.h"
#include "export/merge.h"
#include "export/place.h"
#include "export/snapshot.h"
#include "export/sources.h"

#define BLOCK_LEN ((int64_t)1 << 19) /* elements that are in memory at once, and as many bytes */
#define MAX_F16 65520.0f             /* what f16 cannot round to a number */

static const char index_name[] = "model.safetensors.index.json";

/* A file of weights. */
struct shard {
    const char *name;
    struct dlm_tensor_out *tensors; /* in the order of their data, which is a dlm_merge_tensor's */
    size_t num;
    struct dlm_str header;
    uint64_t bytes; /* of all tensors */
};

struct merged {
    const struct dlm_export_job *job;
    struct dlm_export_about about;
    struct dlm_source_list sources;
    struct dlm_str readme, config, index;
    struct dlm_checkpoint *base;
    struct dlm_adapter *adapter;
    struct dlm_merge merge;
    struct shard *shards;
    size_t num_shards;
    float *values; /* a block */
    uint8_t *bytes;
    char identity[65];
    struct dlm_sink *sink;
};

/* --- what is written --- */

/* The type that a tensor gets; DLM_DTYPE_COUNT: it is no number, and stays. */
static enum dlm_dtype dtype_of(const struct dlm_export_job *job, const struct dlm_merge_tensor *t)
{
    return t->dtype == DLM_DTYPE_COUNT || job->dtype == DLM_DTYPE_COUNT ? t->dtype : job->dtype;
}

static struct dlm_tensor_out plan_tensor(const struct dlm_export_job *job,
                                         const struct dlm_merge_tensor *t)
{
    struct dlm_tensor_out out = {.name = t->info->name, .dtype = dtype_of(job, t),
                                 .ndim = t->ndim, .data = t};

    memcpy(out.shape, t->shape, sizeof(out.shape));
    if (out.dtype == DLM_DTYPE_COUNT) {
        out.st_type = t->info->st_type;
        out.bytes = t->info->bytes;
    } else {
        out.bytes = dlm_dtype_size(out.dtype, t->len);
    }
    return out;
}

static enum dlm_status plan_shard(struct dlm_ctx *ctx, const struct merged *m, const char *path,
                                  struct shard *shard)
{
    static const struct dlm_metadata_pair metadata[] = {{"format", "pt"}};

    shard->name = dlm_path_basename(path);
    shard->tensors = dlm_alloc_array(ctx, m->merge.num, sizeof(*shard->tensors));
    if (!shard->tensors)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < m->merge.num; i++) {
        const struct dlm_merge_tensor *t = &m->merge.tensors[i];
        if (strcmp(t->info->file, path))
            continue;
        shard->tensors[shard->num] = plan_tensor(m->job, t);
        shard->bytes += shard->tensors[shard->num++].bytes;
    }
    return dlm_safetensors_plan(ctx, path, shard->tensors, shard->num, metadata,
                                DLM_ARRAY_LEN(metadata), &shard->header);
}

static enum dlm_status plan_index(struct dlm_ctx *ctx, struct merged *m)
{
    json_t *map = json_object();
    json_int_t bytes = 0;
    int rc = map ? 0 : -1;

    for (size_t i = 0; i < m->num_shards; i++) {
        const struct shard *shard = &m->shards[i];
        bytes += (json_int_t)shard->bytes;
        for (size_t k = 0; !rc && k < shard->num; k++)
            rc = json_object_set_new(map, shard->tensors[k].name, json_string(shard->name));
    }
    json_t *json = json_pack("{s:{s:I}, s:o}", "metadata", "total_size", bytes, "weight_map", map);
    enum dlm_status st = dlm_json_append(ctx, &m->index, rc ? NULL : json, 0);
    json_decref(json);
    return st;
}

static enum dlm_status plan_weights(struct dlm_ctx *ctx, struct merged *m)
{
    const size_t num = dlm_checkpoint_num_files(m->base);
    enum dlm_status st = DLM_OK;

    m->shards = dlm_alloc_array(ctx, num, sizeof(*m->shards));
    if (!m->shards)
        return DLM_ERR_MEMORY;
    m->num_shards = num;
    for (size_t i = 0; !st && i < num; i++)
        st = plan_shard(ctx, m, dlm_checkpoint_file_at(m->base, i)->path, &m->shards[i]);
    return !st && num > 1 ? plan_index(ctx, m) : st;
}

/* --- config.json --- */

/* Sets the type where a config states it, its parts' as well. */
static int set_dtype(json_t *config, const char *name)
{
    static const char *const keys[] = {"dtype", "torch_dtype"};
    static const char part[] = "_config";
    const char *key;
    json_t *value;
    int rc = 0;

    for (size_t i = 0; i < DLM_ARRAY_LEN(keys); i++)
        if (json_object_get(config, keys[i]))
            rc |= json_object_set_new(config, keys[i], json_string(name));
    json_object_foreach(config, key, value) {
        const size_t len = strlen(key), n = sizeof(part) - 1;
        if (len > n && !strcmp(key + len - n, part) && json_is_object(value))
            rc |= set_dtype(value, name);
    }
    return rc;
}

static const char *torch_name(enum dlm_dtype dtype)
{
    return dtype == DLM_DTYPE_F32 ? "float32" : dtype == DLM_DTYPE_F16 ? "float16" : "bfloat16";
}

/* config.json of weights that are in another form than the base's; stays empty where they are
 * not. */
static enum dlm_status plan_config(struct dlm_ctx *ctx, struct merged *m)
{
    const enum dlm_dtype dtype = m->job->dtype;
    char *text = NULL;

    if (dtype == DLM_DTYPE_COUNT && !m->merge.is_dequantized)
        return DLM_OK;
    json_t *config = json_deep_copy(m->about.config);
    int rc = config ? 0 : -1;
    if (!rc && m->merge.is_dequantized)
        (void)json_object_del(config, "quantization_config"); /* its absence is what is wanted */
    if (!rc) {
        const char *name = torch_name(dtype == DLM_DTYPE_COUNT ? DLM_DTYPE_BF16 : dtype);
        rc = set_dtype(config, name);
        if (!rc && !json_object_get(config, "dtype"))
            rc = json_object_set_new(config, "torch_dtype", json_string(name));
    }
    enum dlm_status st = rc ? dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory")
                            : dlm_json_dump(ctx, config, JSON_INDENT(2), &text);
    if (!st)
        st = dlm_str_appendf(ctx, &m->config, "%s\n", text);
    free(text);
    json_decref(config);
    return st;
}

/* --- the weights' bytes --- */

static enum dlm_status copy_tensor(struct dlm_ctx *ctx, struct merged *m,
                                   const struct dlm_merge_tensor *t)
{
    enum dlm_status st = DLM_OK;

    for (size_t at = 0, bytes; !st && at < t->info->bytes; at += bytes) {
        bytes = DLM_MIN((size_t)BLOCK_LEN, t->info->bytes - at);
        st = dlm_sink_write(ctx, m->sink, t->info->data + at, bytes);
        dlm_checkpoint_drop_part(m->base, t->info, at, bytes);
    }
    return st;
}

/* m->values as `out` holds them, in m->bytes. */
static enum dlm_status convert(struct dlm_ctx *ctx, const struct merged *m,
                               const struct dlm_tensor_out *out, int64_t num)
{
    bool fits = true;

    if (out->dtype == DLM_DTYPE_F16)
        for (int64_t i = 0; i < num; i++)
            fits &= !(fabsf(m->values[i]) >= MAX_F16) || isinf(m->values[i]);
    if (!fits)
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot write '%.200s' in f16: it has numbers beyond "
                        "65504", out->name);
    return dlm_dtype_from_f32(out->dtype, m->values, m->bytes, (size_t)num)
               ? DLM_OK : dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot write '%.200s'", out->name);
}

static int64_t block_len(const struct dlm_merge_tensor *t)
{
    return t->cols * DLM_MAX(BLOCK_LEN / t->cols, 1);
}

static enum dlm_status write_tensor(struct dlm_ctx *ctx, struct merged *m,
                                    const struct dlm_tensor_out *out)
{
    const struct dlm_merge_tensor *t = out->data;
    const int64_t step = block_len(t);
    enum dlm_status st = DLM_OK;

    if (out->dtype == DLM_DTYPE_COUNT || (!t->module && !t->bnb && out->dtype == t->dtype))
        return copy_tensor(ctx, m, t);
    for (int64_t first = 0; !st && first < t->len; first += step) {
        const int64_t num = DLM_MIN(step, t->len - first);
        st = dlm_merge_read(ctx, &m->merge, t, first, num, m->values);
        if (!st)
            st = convert(ctx, m, out, num);
        if (!st)
            st = dlm_sink_write(ctx, m->sink, m->bytes, dlm_dtype_size(out->dtype, num));
    }
    dlm_checkpoint_drop(m->base, t->info);
    return st;
}

static enum dlm_status make_blocks(struct dlm_ctx *ctx, struct merged *m)
{
    int64_t len = BLOCK_LEN;

    for (size_t i = 0; i < m->merge.num; i++)
        len = DLM_MAX(len, block_len(&m->merge.tensors[i]));
    m->values = dlm_alloc_array(ctx, (size_t)len, sizeof(*m->values));
    m->bytes = dlm_alloc_array(ctx, (size_t)len, sizeof(*m->values));
    return m->values && m->bytes ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status write_shard(struct dlm_ctx *ctx, struct merged *m, const struct shard *shard)
{
    const uint64_t bytes = shard->header.len + shard->bytes;
    bool is_there = false;

    enum dlm_status st = dlm_sink_take(ctx, m->sink, shard->name, bytes, &is_there);
    if (st || is_there)
        return st;
    st = dlm_sink_begin(ctx, m->sink, shard->name, bytes);
    if (!st)
        st = dlm_sink_write(ctx, m->sink, shard->header.data, shard->header.len);
    for (size_t i = 0; !st && i < shard->num; i++)
        st = write_tensor(ctx, m, &shard->tensors[i]);
    return st ? st : dlm_sink_end(ctx, m->sink);
}

/* --- the whole --- */

static enum dlm_status collect(struct dlm_ctx *ctx, struct merged *m)
{
    const struct dlm_export_job *job = m->job;
    const struct dlm_name_map *names = &job->model->family->names;

    enum dlm_status st = dlm_checkpoint_open(ctx, &m->base, job->base->dir);
    if (!st)
        st = dlm_kept_identity(ctx, job, m->base, m->identity);
    if (!st)
        st = dlm_adapter_open(ctx, &m->adapter, job->adapter, names);
    if (!st)
        st = dlm_merge_init(ctx, &m->merge, m->base, m->adapter, names);
    if (!st)
        st = plan_weights(ctx, m);
    if (!st)
        st = dlm_export_about_base(ctx, &m->about, job);
    if (!st)
        st = plan_config(ctx, m);
    if (!st)
        st = dlm_sources_add_base(ctx, &m->sources, job->base->dir, "",
                                  dlm_export_is_of_processor);
    if (!st)
        st = dlm_export_readme(ctx, job, &m->about, &m->readme);
    return st ? st : make_blocks(ctx, m);
}

static enum dlm_status open_sink(struct dlm_ctx *ctx, struct merged *m)
{
    struct dlm_sink_params to = m->job->to;

    to.identity = m->identity;
    to.num_files = m->sources.len + m->num_shards + (m->num_shards > 1) + 2;
    to.bytes = m->sources.bytes + m->readme.len + m->config.len + m->index.len;
    for (size_t i = 0; i < m->num_shards; i++)
        to.bytes += m->shards[i].header.len + m->shards[i].bytes;
    return dlm_sink_open(ctx, &m->sink, &to);
}

/* The base's own files; of config.json its new text, if it has one. */
static enum dlm_status write_sources(struct dlm_ctx *ctx, struct merged *m)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < m->sources.len; i++) {
        const struct dlm_source *s = &m->sources.items[i];
        st = m->config.len && !strcmp(s->name, "config.json")
                 ? dlm_sink_text(ctx, m->sink, s->name, m->config.data, m->config.len)
                 : dlm_sink_copy(ctx, m->sink, s->name, s->path, s->bytes);
    }
    return st;
}

static json_t *manifest(const struct merged *m)
{
    const struct dlm_export_job *job = m->job;

    return json_pack(
        "{s:I, s:o, s:o, s:o, s:s, s:s+, s:b, s:n, s:b, s:n, s:o, s:s}", "adapter_version",
        (json_int_t)job->version, "artifacts", dlm_export_artifacts(m->sink), "base_model_hf_id",
        dlm_json_text(job->base->hf_id), "base_model_revision", dlm_json_text(job->base->revision),
        "created_at", job->created_at, "created_by", "dlm-", dlm_version_text(), "dequantized",
        (int)m->merge.is_dequantized, "llama_cpp_tag", "merged", 1, "ollama_name", "quant",
        job->dtype == DLM_DTYPE_COUNT ? json_null() : json_string(dlm_dtype_name(job->dtype)),
        "target", "hf_merged");
}

static void finish(struct merged *m)
{
    dlm_sink_close(&m->sink);
    for (size_t i = 0; m->shards && i < m->num_shards; i++) {
        dlm_free(m->shards[i].tensors);
        dlm_str_finish(&m->shards[i].header);
    }
    dlm_free(m->shards);
    dlm_free(m->values);
    dlm_free(m->bytes);
    dlm_str_finish(&m->readme);
    dlm_str_finish(&m->config);
    dlm_str_finish(&m->index);
    dlm_export_about_finish(&m->about);
    dlm_sources_finish(&m->sources);
    dlm_merge_finish(&m->merge);
    dlm_adapter_destroy(&m->adapter);
    dlm_checkpoint_destroy(&m->base);
}

enum dlm_status dlm_export_merged(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                  struct dlm_export_result *result)
{
    struct merged m = {.job = job};

    enum dlm_status st = collect(ctx, &m);
    if (!st)
        st = open_sink(ctx, &m);
    if (!st) /* the first file, by which an archive is known */
        st = dlm_sink_text(ctx, m.sink, DLM_EXPORT_README, m.readme.data, m.readme.len);
    if (!st)
        st = write_sources(ctx, &m);
    for (size_t i = 0; !st && i < m.num_shards; i++)
        st = write_shard(ctx, &m, &m.shards[i]);
    if (!st && m.index.len)
        st = dlm_sink_text(ctx, m.sink, index_name, m.index.data, m.index.len);
    if (!st) /* the last: a folder with it is whole */
        st = dlm_export_manifest(ctx, m.sink, DLM_EXPORT_MANIFEST, manifest(&m));
    if (!st)
        st = dlm_sink_commit(ctx, m.sink, result);
    finish(&m);
    return st;
}
