/* `dlm bases`: the registry's rows and the user's, and what of them is on this machine. */
#include "dlm/bases.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "registry/base_files.h"
#include "registry/registry.h"

/* A row, and where it lies. */
struct entry {
    const struct dlm_base_row *row;
    bool is_own;
    char *dir, *revision; /* owned; dir NULL: not on this machine */
    uint64_t bytes;
    bool is_whole;
};

struct list {
    struct dlm_own_rows own;
    struct entry *entries;
    size_t len;
};

static void finish(struct list *list)
{
    for (size_t i = 0; i < list->len; i++) {
        dlm_free(list->entries[i].dir);
        dlm_free(list->entries[i].revision);
    }
    dlm_free(list->entries);
    dlm_own_rows_finish(&list->own);
}

static enum dlm_status locate(struct dlm_ctx *ctx, struct entry *e)
{
    struct dlm_base_content content = {0};
    struct dlm_base base = {0};

    enum dlm_status st = dlm_base_identify(ctx, &base, e->row->key);
    if (!st)
        st = dlm_base_locate(ctx, &base);
    if (!st && base.dir)
        st = dlm_path_bytes(ctx, base.dir, true, &e->bytes);
    if (!st && base.dir)
        st = dlm_base_look(ctx, base.dir, &content);
    if (!st) {
        e->is_whole = dlm_base_is_whole(&content);
        e->dir = base.dir;
        e->revision = base.revision;
        base.dir = base.revision = NULL;
    }
    dlm_base_finish(&base);
    return st;
}

static enum dlm_status collect(struct dlm_ctx *ctx, struct list *list, bool all)
{
    const size_t num = dlm_registry_num_rows();

    enum dlm_status st = dlm_own_rows_read(ctx, &list->own, NULL);
    if (st)
        return st;
    list->entries = dlm_alloc_array(ctx, num + list->own.len, sizeof(*list->entries));
    if (!list->entries)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < num + list->own.len; i++) {
        struct entry *e = &list->entries[list->len];
        e->is_own = i >= num;
        e->row = e->is_own ? &list->own.rows[i - num] : dlm_registry_row(i);
        if (!all && e->row->modality != DLM_MODALITY_VISION_LANGUAGE)
            continue;
        list->len++;
        st = locate(ctx, e);
    }
    return st;
}

/* --- lines --- */

#define ROW "%-31s %7s  %-12s %-10s %-7s %s\n"

static enum dlm_status append_line(struct dlm_ctx *ctx, const struct entry *e, struct dlm_str *out)
{
    const struct dlm_base_row *row = e->row;
    char params[16] = "", image[32] = "", size[32], here[48] = "no";

    if (row->params >= 1e9)
        snprintf(params, sizeof(params), "%.1f B", row->params / 1e9);
    else if (row->params > 0)
        snprintf(params, sizeof(params), "%.0f M", row->params / 1e6);
    if (row->target_height)
        snprintf(image, sizeof(image), "%dx%d", row->target_height, row->target_width);
    dlm_size_text(e->bytes, size, sizeof(size));
    if (e->dir)
        snprintf(here, sizeof(here), "%s%s", size, e->is_whole ? "" : ", not whole");
    return dlm_str_appendf(ctx, out, ROW, row->key, params, row->license_spdx, image,
                           row->family ? "yes" : "not yet",
                           e->dir && !row->hf_id ? "bundled" : here);
}

static enum dlm_status append_table(struct dlm_ctx *ctx, const struct list *list,
                                    struct dlm_str *out)
{
    enum dlm_status st = dlm_str_appendf(ctx, out, ROW, "BASE", "PARAMS", "LICENCE", "IMAGE",
                                         "TRAINS", "ON THIS MACHINE");

    for (size_t i = 0; !st && i < list->len; i++)
        st = append_line(ctx, &list->entries[i], out);
    return st;
}

static enum dlm_status append_keys(struct dlm_ctx *ctx, const struct list *list,
                                   struct dlm_str *out)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < list->len; i++)
        st = dlm_str_appendf(ctx, out, "%s\n", list->entries[i].row->key);
    return st;
}

/* --- JSON --- */

static json_t *number_or_null(double x)
{
    return x > 0 ? json_real(x) : json_null();
}

static json_t *count_or_null(int n)
{
    return n > 0 ? json_integer(n) : json_null();
}

static json_t *local_json(const struct entry *e)
{
    if (!e->dir)
        return json_null();
    return json_pack("{s:s, s:s?, s:I, s:b}", "path", e->dir, "revision", e->revision, "bytes",
                     (json_int_t)e->bytes, "complete", (int)e->is_whole);
}

static json_t *size_json(const struct dlm_base_row *row)
{
    return row->target_height ? json_pack("[i, i]", row->target_height, row->target_width)
                              : json_null();
}

static json_t *modules_json(const struct dlm_base_row *row)
{
    json_t *list = json_array();

    for (size_t i = 0; row->target_modules[i]; i++)
        json_array_append_new(list, json_string(row->target_modules[i]));
    return list;
}

/* NULL when out of memory. */
static json_t *entry_json(const struct entry *e)
{
    const struct dlm_base_row *row = e->row;
    const char *policy = row->resize_policy == DLM_RESIZE_DYNAMIC ? "dynamic" : "fixed";

    return json_pack(
        "{s:s, s:s?, s:s?, s:s?, s:s, s:s, s:b, s:o, s:o, s:s?, s:s?, s:b, s:b, s:o, s:o, s:s?,"
        " s:s, s:o, s:o, s:o, s:o}",
        "key", row->key, "hf_id", row->hf_id, "revision", row->revision, "architecture",
        row->architecture, "modality", dlm_modality_name(row->modality), "source",
        e->is_own    ? "user"
        : row->hf_id ? "registry"
                     : "bundled",
        "trainable", (int)(row->family != NULL), "params", number_or_null(row->params),
        "size_gb_fp16", number_or_null(row->size_gb_fp16), "license_spdx", row->license_spdx,
        "license_url", row->license_url, "requires_acceptance", (int)row->requires_acceptance,
        "redistributable", (int)row->redistributable, "context_length",
        count_or_null(row->context_length), "recommended_seq_len",
        count_or_null(row->recommended_seq_len), "image_token", row->image_token,
        "resize_policy", policy, "num_image_tokens", count_or_null(row->num_image_tokens),
        "target_size", size_json(row), "target_modules", modules_json(row), "local",
        local_json(e));
}

static enum dlm_status append_json(struct dlm_ctx *ctx, const struct list *list,
                                   struct dlm_str *out)
{
    json_t *root = json_array();
    bool failed = !root;

    for (size_t i = 0; !failed && i < list->len; i++)
        failed = json_array_append_new(root, entry_json(&list->entries[i])) != 0;
    enum dlm_status st = dlm_json_append(ctx, out, failed ? NULL : root, 6);

    json_decref(root);
    return st;
}

enum dlm_status dlm_bases_list(struct dlm_ctx *ctx, const struct dlm_bases_params *params,
                               char **text)
{
    struct list list = {0};
    struct dlm_str out = {0};

    *text = NULL;
    enum dlm_status st = collect(ctx, &list, params->all);
    if (!st)
        st = params->form == DLM_BASES_JSON   ? append_json(ctx, &list, &out)
             : params->form == DLM_BASES_KEYS ? append_keys(ctx, &list, &out)
                                              : append_table(ctx, &list, &out);
    if (!st) {
        *text = out.data;
        out = (struct dlm_str){0};
    }
    dlm_str_finish(&out);
    finish(&list);
    return st;
}
