/* Reading a PEFT adapter folder: the tensors say which modules are adapted, the config how much. */
#include "weights/adapter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "weights/adapter_config.h"

#define SEARCH_DEPTH 2     /* of folders below one that is no adapter: versions/v0001 */
#define MAX_HINT_BYTES 600 /* about what a message holds */

static const char peft_prefix[] = "base_model.model.";

struct dlm_adapter_impl {
    struct dlm_adapter_config_file config;
    struct dlm_checkpoint *ckpt;
    struct dlm_adapter_module *modules; /* paths owned */
    size_t len, cap;
};

static enum dlm_status bad_tensor(struct dlm_ctx *ctx, const struct dlm_tensor_info *t,
                                  const char *what)
{
    return dlm_fail(ctx, DLM_ERR_PARSE, "cannot use '%s': tensor '%.300s' %s", t->file, t->name,
                    what);
}

/* Where the ending `.lora_A.weight` or `.lora_B.weight` starts; 0 if it is neither. */
static size_t lora_ending(const char *name, char letter)
{
    char ending[] = ".lora_?.weight";
    size_t len = strlen(name), n = sizeof(ending) - 1;

    ending[6] = letter;
    return len > n && !strcmp(name + len - n, ending) ? len - n : 0;
}

static enum dlm_status refuse_tensor(struct dlm_ctx *ctx, const struct dlm_tensor_info *t)
{
    const char *what = NULL;

    if (strstr(t->name, ".lora_magnitude_vector"))
        what = "belongs to DoRA";
    else if (strstr(t->name, ".lora_embedding_"))
        what = "adapts an embedding";
    else if (strstr(t->name, ".modules_to_save."))
        what = "belongs to modules_to_save";
    if (!what)
        return bad_tensor(ctx, t, "is no LoRA weight of a linear module");
    return dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                    "cannot use '%s': tensor '%.300s' %s, which is not supported", t->file, t->name,
                    what);
}

/* A: [r, in], B: [out, r], both of a type that can be used. */
static enum dlm_status check_pair(struct dlm_ctx *ctx, const struct dlm_tensor_info *a,
                                  const struct dlm_tensor_info *b)
{
    const struct dlm_tensor_info *const both[] = {a, b};

    for (int i = 0; i < 2; i++) {
        const struct dlm_tensor_info *t = both[i];
        if (!dlm_dtype_is_float(t->dtype))
            return bad_tensor(ctx, t, "is not of a floating type that can be used");
        if (t->ndim != 2 || t->shape[0] < 1 || t->shape[1] < 1)
            return bad_tensor(ctx, t, "is no matrix");
    }
    if (a->shape[0] != b->shape[1])
        return bad_tensor(ctx, b, "has another rank than its lora_A");
    return DLM_OK;
}

static enum dlm_status fill_module(struct dlm_ctx *ctx, struct dlm_adapter_impl *impl,
                                   const char *file_path, struct dlm_adapter_module *m)
{
    const struct dlm_adapter_config *config = &impl->config.config;
    double r;

    enum dlm_status st = check_pair(ctx, m->a, m->b);
    if (!st)
        st = dlm_pattern_value(ctx, &impl->config.rank_pattern, file_path, m->path,
                               (double)config->r, &r);
    if (!st)
        st = dlm_pattern_value(ctx, &impl->config.alpha_pattern, file_path, m->path, config->alpha,
                               &m->alpha);
    if (st)
        return st;
    m->r = m->a->shape[0];
    m->in = m->a->shape[1];
    m->out = m->b->shape[0];
    if ((double)m->r != r)
        return dlm_fail(ctx, DLM_ERR_PARSE,
                        "cannot use '%s': tensor '%.300s' has rank %lld, adapter_config.json says "
                        "%.0f",
                        m->a->file, m->a->name, (long long)m->r, r);
    m->scaling = m->alpha / (config->use_rslora ? sqrt((double)m->r) : (double)m->r);
    return DLM_OK;
}

/* Appends the module of tensor a, the lora_A. */
static enum dlm_status add_module(struct dlm_ctx *ctx, struct dlm_adapter_impl *impl,
                                  const struct dlm_tensor_info *a, const struct dlm_name_map *map)
{
    const size_t end = lora_ending(a->name, 'A'), begin = sizeof(peft_prefix) - 1;
    enum dlm_status st = DLM_ERR_MEMORY;

    if (!dlm_grow(ctx, &impl->modules, &impl->cap, impl->len, sizeof(*impl->modules)))
        return st;
    struct dlm_adapter_module *m = &impl->modules[impl->len];
    *m = (struct dlm_adapter_module){.a = a};
    char *file_path = dlm_strndup(ctx, a->name + begin, end - begin);
    char *b_name = dlm_strf(ctx, "%.*s.lora_B.weight", (int)end, a->name);
    if (!file_path || !b_name)
        goto done;
    m->path = dlm_name_canonical(ctx, map, file_path);
    if (!m->path)
        goto done;
    impl->len++; /* owns the path from here on */
    m->b = dlm_checkpoint_find(impl->ckpt, b_name);
    st = m->b ? fill_module(ctx, impl, file_path, m)
              : bad_tensor(ctx, a, "has no lora_B beside it");
done:
    dlm_free(file_path);
    dlm_free(b_name);
    return st;
}

/* Every tensor is a lora_A, or the lora_B of one. */
static enum dlm_status check_b(struct dlm_ctx *ctx, const struct dlm_adapter_impl *impl,
                               const struct dlm_tensor_info *b)
{
    char *a_name = dlm_strf(ctx, "%.*s.lora_A.weight", (int)lora_ending(b->name, 'B'), b->name);

    if (!a_name)
        return DLM_ERR_MEMORY;
    enum dlm_status st = DLM_OK;
    if (!dlm_checkpoint_find(impl->ckpt, a_name))
        st = bad_tensor(ctx, b, "has no lora_A beside it");
    dlm_free(a_name);
    return st;
}

static int compare_modules(const void *a, const void *b)
{
    const struct dlm_adapter_module *x = a, *y = b;
    return strcmp(x->path, y->path);
}

static enum dlm_status collect_modules(struct dlm_ctx *ctx, struct dlm_adapter_impl *impl,
                                       const char *file, const struct dlm_name_map *map)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < dlm_checkpoint_num_tensors(impl->ckpt); i++) {
        const struct dlm_tensor_info *t = dlm_checkpoint_tensor(impl->ckpt, i);
        const bool has_prefix = !strncmp(t->name, peft_prefix, sizeof(peft_prefix) - 1);
        if (has_prefix && lora_ending(t->name, 'A') > sizeof(peft_prefix) - 1)
            st = add_module(ctx, impl, t, map);
        else if (has_prefix && lora_ending(t->name, 'B') > sizeof(peft_prefix) - 1)
            st = check_b(ctx, impl, t);
        else
            st = refuse_tensor(ctx, t);
    }
    if (st)
        return st;
    if (!impl->len)
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot use '%s': it holds no tensors", file);
    qsort(impl->modules, impl->len, sizeof(*impl->modules), compare_modules);
    for (size_t i = 1; i < impl->len; i++)
        if (!strcmp(impl->modules[i - 1].path, impl->modules[i].path))
            return bad_tensor(ctx, impl->modules[i].a, "is there in another spelling too");
    return DLM_OK;
}

static enum dlm_status open_tensors(struct dlm_ctx *ctx, struct dlm_adapter_impl *impl,
                                    const char *dir, const char *path)
{
    if (dlm_path_is_file(path))
        return dlm_checkpoint_open(ctx, &impl->ckpt, path);
    char *pickle = dlm_path_join(ctx, dir, "adapter_model.bin");
    if (!pickle)
        return DLM_ERR_MEMORY;
    const bool is_pickle = dlm_path_is_file(pickle);
    dlm_free(pickle);
    if (!is_pickle)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot open '%s': no such file", path);
    enum dlm_status st =
        dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                 "cannot read '%s': adapter_model.bin is a pickle, only safetensors are read", dir);
    dlm_log(ctx, DLM_LOG_HINT, "load it with PEFT and save it again with safe_serialization=True");
    return st;
}

/* Adds the folders below dir that hold adapters to text, as they stand from dir on. What cannot be
 * read holds none. */
static enum dlm_status find_below(struct dlm_ctx *ctx, const char *dir, const char *under,
                                  int depth, struct dlm_str *text)
{
    char **names = NULL;
    enum dlm_status st = DLM_OK;

    if (dlm_dir_list(NULL, dir, &names))
        return DLM_OK;
    for (size_t i = 0; !st && names[i] && text->len < MAX_HINT_BYTES; i++) {
        char *path = dlm_path_join(ctx, dir, names[i]);
        char *here = dlm_strf(ctx, "%s%s%s", under, *under ? "/" : "", names[i]);
        char *config = path ? dlm_path_join(ctx, path, "adapter_config.json") : NULL;
        if (!config || !here)
            st = DLM_ERR_MEMORY;
        else if (dlm_path_is_file(config))
            st = dlm_str_appendf(ctx, text, "%s'%s'", text->len ? ", " : "", here);
        else if (depth > 1 && dlm_path_is_dir(path))
            st = find_below(ctx, path, here, depth - 1, text);
        dlm_free(path);
        dlm_free(here);
        dlm_free(config);
    }
    dlm_names_free(names);
    return st;
}

/* A folder without an adapter, which may be the parent of some. */
static enum dlm_status no_adapter(struct dlm_ctx *ctx, const char *dir)
{
    struct dlm_str text = {0};

    if (!dlm_path_is_dir(dir))
        return dlm_fail(ctx, DLM_ERR_IO, "cannot open adapter '%s': %s", dir,
                        dlm_path_is_file(dir) ? "it is a file, and an adapter a folder"
                                              : "no such folder");
    enum dlm_status st = find_below(ctx, dir, "", SEARCH_DEPTH, &text);
    if (!st) {
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot open adapter '%s': it has no adapter_config.json",
                      dir);
        if (text.len)
            dlm_log(ctx, DLM_LOG_HINT, "folders below it hold adapters: %s", text.data);
    }
    dlm_str_finish(&text);
    return st;
}

enum dlm_status dlm_adapter_open(struct dlm_ctx *ctx, struct dlm_adapter **out, const char *dir,
                                 const struct dlm_name_map *map)
{
    enum dlm_status st = DLM_ERR_MEMORY;
    char *config_path = dlm_path_join(ctx, dir, "adapter_config.json");
    char *tensors_path = dlm_path_join(ctx, dir, "adapter_model.safetensors");
    struct dlm_adapter *adapter = dlm_alloc(ctx, sizeof(*adapter));

    *out = NULL;
    if (!config_path || !tensors_path || !adapter)
        goto done;
    struct dlm_adapter_impl *impl = adapter->impl = dlm_alloc(ctx, sizeof(*impl));
    if (!impl)
        goto done;
    if (!dlm_path_is_file(config_path)) {
        st = no_adapter(ctx, dir);
        goto done;
    }
    st = dlm_adapter_config_load(ctx, &impl->config, config_path);
    if (!st)
        st = open_tensors(ctx, impl, dir, tensors_path);
    if (!st)
        st = collect_modules(ctx, impl, tensors_path, map);
    if (st)
        goto done;
    adapter->config = impl->config.config;
    adapter->modules = impl->modules;
    adapter->num_modules = impl->len;
    *out = adapter;
    adapter = NULL;
done:
    dlm_adapter_destroy(&adapter);
    dlm_free(config_path);
    dlm_free(tensors_path);
    return st;
}

void dlm_adapter_destroy(struct dlm_adapter **adapter)
{
    if (!adapter || !*adapter)
        return;
    struct dlm_adapter_impl *impl = (*adapter)->impl;
    if (impl) {
        for (size_t i = 0; i < impl->len; i++)
            dlm_free((void *)(uintptr_t)impl->modules[i].path); /* made by add_module */
        dlm_free(impl->modules);
        dlm_checkpoint_destroy(&impl->ckpt);
        dlm_adapter_config_finish(&impl->config);
        dlm_free(impl);
    }
    dlm_free(*adapter);
    *adapter = NULL;
}

const struct dlm_adapter_module *dlm_adapter_find(const struct dlm_adapter *adapter,
                                                  const char *path)
{
    const struct dlm_adapter_module key = {.path = path};

    return bsearch(&key, adapter->modules, adapter->num_modules, sizeof(key), compare_modules);
}

bool dlm_adapter_names_base(const struct dlm_adapter *adapter, const char *base_id)
{
    const char *name = adapter->config.base_model;
    return !name || !*name || !strcmp(name, base_id);
}

enum dlm_status dlm_tensor_to_f32(struct dlm_ctx *ctx, const struct dlm_tensor_info *t, float *dst)
{
    size_t len = 1; /* the file's table was checked: no overflow */

    for (int i = 0; i < t->ndim; i++)
        len *= (size_t)t->shape[i];
    if (!dlm_dtype_to_f32(t->dtype, t->data, dst, len))
        return dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                        "cannot use '%s': tensor '%.300s' has type %s, not a floating type",
                        t->file, t->name, t->st_type);
    return DLM_OK;
}
