/* Opening models from GGUF files. */
#include "models/gguf_model.h"

#include <string.h>
#include <strings.h>

#include "models/gguf_config.h"
#include "models/gguf_own.h"
#include "models/gguf_tensors.h"
#include "models/gguf_tokenizer.h"
#include "models/model_impl.h"

enum { TEXT, TOWER, NUM_FILES };

/* Both files, mapped by the checkpoint. */
struct pair {
    struct dlm_checkpoint *ckpt;
    struct dlm_gguf *files[NUM_FILES];
};

static void finish(struct pair *p)
{
    for (int i = 0; i < NUM_FILES; i++)
        dlm_gguf_destroy(&p->files[i]);
    dlm_checkpoint_destroy(&p->ckpt);
}

static enum dlm_status open_pair(struct dlm_ctx *ctx, struct pair *p,
                                 const struct dlm_gguf_paths *paths)
{
    const char *const list[NUM_FILES] = {[TEXT] = paths->text, [TOWER] = paths->tower};

    *p = (struct pair){0};
    enum dlm_status st = dlm_checkpoint_map(ctx, &p->ckpt, list, NUM_FILES);
    for (size_t i = 0; !st && i < NUM_FILES; i++) {
        size_t len;
        const uint8_t *bytes = dlm_checkpoint_bytes(p->ckpt, i, &len);
        st = dlm_gguf_open_memory(ctx, &p->files[i], list[i], bytes, len);
    }
    return st;
}

/* Of a family whose form is our own; no row of it is moved. */
static enum dlm_status create_own(struct dlm_ctx *ctx, struct dlm_model **out, const struct pair *p,
                                  const struct dlm_family *family)
{
    struct dlm_model *m = dlm_model_create(ctx, family);

    enum dlm_status st = m ? dlm_gguf_read_own(ctx, p->files[TEXT], m) : DLM_ERR_MEMORY;
    if (st)
        dlm_model_destroy(&m);
    *out = m;
    return st;
}

/* The configured model, without device and weights. */
static enum dlm_status create(struct dlm_ctx *ctx, struct dlm_model **out, const struct pair *p,
                              struct dlm_gguf_told *told)
{
    const struct dlm_family *family = NULL;
    json_t *config = NULL;

    *out = NULL;
    *told = (struct dlm_gguf_told){0};
    enum dlm_status st = dlm_gguf_find_family(ctx, p->files[TEXT], p->files[TOWER], &family);
    if (!st && family->gguf->is_own)
        return create_own(ctx, out, p, family);
    if (!st)
        st = dlm_gguf_read_config(ctx, family, p->files[TEXT], p->files[TOWER], told, &config);
    struct dlm_model *m = st ? NULL : dlm_model_create(ctx, family);
    if (!st)
        st = m ? dlm_gguf_read_processor(ctx, p->files[TOWER], &m->processor) : DLM_ERR_MEMORY;
    if (!st)
        st = family->read_config(ctx, config, dlm_gguf_path(p->files[TEXT]), m);
    if (st)
        dlm_model_destroy(&m);
    else
        m->gguf_arch = told->arch;
    *out = m;
    json_decref(config);
    return st;
}

static enum dlm_status add_tensors(const struct dlm_model *m, struct pair *p,
                                   const struct dlm_gguf_told *told)
{
    const struct dlm_gguf_layout layout = {
        .family = m->family->gguf,
        .language = m->family->language,
        .heads = m->decoder.config.block.heads,
        .kv_heads = m->decoder.config.block.kv_heads,
        .tower_heads = told->vision.heads,
        .is_old = told->is_old,
    };
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < NUM_FILES; i++)
        st = dlm_gguf_add_tensors(m->ctx, p->ckpt, i, p->files[i], i == TOWER, &layout);
    return st ? st : dlm_checkpoint_end(m->ctx, p->ckpt);
}

/* The model without weights, and the checkpoint whole. */
static enum dlm_status open_all(struct dlm_ctx *ctx, struct dlm_model **out, struct pair *p,
                                const struct dlm_gguf_paths *paths)
{
    struct dlm_gguf_told told;

    *out = NULL;
    enum dlm_status st = open_pair(ctx, p, paths);
    if (!st)
        st = create(ctx, out, p, &told);
    return st ? st : add_tensors(*out, p, &told);
}

enum dlm_status dlm_gguf_model_open(struct dlm_ctx *ctx, struct dlm_model **out,
                                    struct dlm_device *device, const struct dlm_gguf_paths *paths,
                                    enum dlm_dtype policy, const struct dlm_quant_policy *quant)
{
    struct pair p;

    enum dlm_status st = open_all(ctx, out, &p, paths);
    if (!st) {
        st = dlm_model_take_checkpoint(*out, device, p.ckpt, policy, quant);
        p.ckpt = NULL;
    }
    if (st)
        dlm_model_destroy(out);
    finish(&p);
    return st;
}

enum dlm_status dlm_gguf_model_read(struct dlm_ctx *ctx, struct dlm_model **out,
                                    const struct dlm_gguf_paths *paths)
{
    struct dlm_gguf_told told;
    struct pair p;

    *out = NULL;
    enum dlm_status st = open_pair(ctx, &p, paths);
    if (!st)
        st = create(ctx, out, &p, &told);
    finish(&p);
    return st;
}

enum dlm_status dlm_gguf_open_checkpoint(struct dlm_ctx *ctx, struct dlm_checkpoint **out,
                                         const struct dlm_gguf_paths *paths)
{
    struct dlm_model *m = NULL;
    struct pair p;

    *out = NULL;
    enum dlm_status st = open_all(ctx, &m, &p, paths);
    if (!st) {
        *out = p.ckpt;
        p.ckpt = NULL;
    }
    dlm_model_destroy(&m);
    finish(&p);
    return st;
}

enum dlm_status dlm_gguf_load_tokenizer(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                        const struct dlm_gguf_paths *paths)
{
    const struct dlm_family *family = NULL;
    struct pair p;

    *out = NULL;
    enum dlm_status st = open_pair(ctx, &p, paths);
    if (!st)
        st = dlm_gguf_find_family(ctx, p.files[TEXT], p.files[TOWER], &family);
    if (!st)
        st = family->gguf->is_own
                 ? dlm_gguf_read_own_tokenizer(ctx, out, p.files[TEXT])
                 : dlm_gguf_read_tokenizer(ctx, out, p.files[TEXT], family->gguf);
    finish(&p);
    return st;
}

/* "org/name" in a text, or in the address of one at the hub; len 0: neither. */
static struct dlm_gguf_text repository_of(struct dlm_gguf_text text, bool is_url)
{
    static const char hub[] = "https://huggingface.co/";
    const size_t hub_len = sizeof(hub) - 1;

    if (text.len > hub_len && !memcmp(text.data, hub, hub_len))
        text = (struct dlm_gguf_text){text.data + hub_len, text.len - hub_len};
    else if (is_url)
        return (struct dlm_gguf_text){0};
    const char *slash = memchr(text.data, '/', text.len);
    const bool is_name = slash && slash > text.data && slash + 1 < text.data + text.len;
    return is_name ? text : (struct dlm_gguf_text){0};
}

/* What a model was tuned from is it itself, under its first name, where that one says "Instruct" as
 * well, or whatever the file calls its tuning. */
static enum dlm_status is_itself(struct dlm_ctx *ctx, const struct dlm_gguf *gguf,
                                 const struct dlm_gguf_text *parent, bool *is)
{
    struct dlm_gguf_text tuning = {0};
    enum dlm_status st = DLM_OK;

    if (dlm_gguf_find_value(gguf, "general.finetune"))
        st = dlm_gguf_get_string(ctx, gguf, "general.finetune", &tuning);
    *is = !tuning.len;
    for (size_t i = 0; !*is && i + tuning.len <= parent->len; i++)
        *is = !strncasecmp(parent->data + i, tuning.data, tuning.len);
    return st;
}

enum dlm_status dlm_gguf_read_source(struct dlm_ctx *ctx, const char *path, char **out)
{
    static const char *const keys[] = {"general.source.huggingface.repository",
                                       "general.source.repo_url", "general.repo_url",
                                       "general.base_model.0.repo_url"};
    struct dlm_gguf *gguf = NULL;

    *out = NULL;
    enum dlm_status st = dlm_gguf_open(ctx, &gguf, path);
    for (size_t i = 0; !st && !*out && i < DLM_ARRAY_LEN(keys); i++) {
        struct dlm_gguf_text text = {0};
        bool is_own = true;
        if (!dlm_gguf_find_value(gguf, keys[i]))
            continue;
        st = dlm_gguf_get_string(ctx, gguf, keys[i], &text);
        text = st ? text : repository_of(text, i > 0);
        if (!st && i + 1 == DLM_ARRAY_LEN(keys))
            st = is_itself(ctx, gguf, &text, &is_own);
        if (!st && text.len && is_own) {
            *out = dlm_strndup(ctx, text.data, text.len);
            st = *out ? DLM_OK : DLM_ERR_MEMORY;
        }
    }
    dlm_gguf_destroy(&gguf);
    return st;
}
