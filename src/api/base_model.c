/* Folders or GGUF files: the one place that chooses. */
#include "api/base_model.h"

#include "models/gguf_model.h"

bool dlm_base_is_gguf(const struct dlm_base *base)
{
    return base->mmproj;
}

enum dlm_status dlm_base_find(struct dlm_ctx *ctx, struct dlm_base *base, const char *text,
                              const char *mmproj, const char *doc_dir)
{
    enum dlm_status st = dlm_base_resolve_files(ctx, base, text, mmproj, doc_dir);

    if (!st && dlm_base_is_gguf(base))
        st = dlm_gguf_read_source(ctx, base->dir, &base->source);
    if (!st && base->source && !dlm_base_is_hf_id(base->source)) {
        dlm_free(base->source);
        base->source = NULL;
    }
    if (st)
        dlm_base_finish(base);
    return st;
}

static struct dlm_gguf_paths paths_of(const struct dlm_base *base)
{
    return (struct dlm_gguf_paths){.text = base->dir, .tower = base->mmproj};
}

enum dlm_status dlm_base_open_model(struct dlm_ctx *ctx, struct dlm_model **out,
                                    struct dlm_device *device, const struct dlm_base *base,
                                    enum dlm_dtype policy, const struct dlm_quant_policy *quant)
{
    const struct dlm_gguf_paths paths = paths_of(base);

    return dlm_base_is_gguf(base)
               ? dlm_gguf_model_open(ctx, out, device, &paths, policy, quant)
               : dlm_model_open(ctx, out, device, base->dir, policy, quant);
}

enum dlm_status dlm_base_read_model(struct dlm_ctx *ctx, struct dlm_model **out,
                                    const struct dlm_base *base)
{
    const struct dlm_gguf_paths paths = paths_of(base);

    return dlm_base_is_gguf(base) ? dlm_gguf_model_read(ctx, out, &paths)
                                  : dlm_model_read_folder(ctx, out, base->dir);
}

enum dlm_status dlm_base_open_checkpoint(struct dlm_ctx *ctx, struct dlm_checkpoint **out,
                                         const struct dlm_base *base)
{
    const struct dlm_gguf_paths paths = paths_of(base);

    return dlm_base_is_gguf(base) ? dlm_gguf_open_checkpoint(ctx, out, &paths)
                                  : dlm_checkpoint_open(ctx, out, base->dir);
}

enum dlm_status dlm_base_load_tokenizer(struct dlm_ctx *ctx, const struct dlm_model *model,
                                        struct dlm_tokenizer **out, const struct dlm_base *base)
{
    const struct dlm_gguf_paths paths = paths_of(base);
    enum dlm_status st = dlm_base_is_gguf(base) ? dlm_gguf_load_tokenizer(ctx, out, &paths)
                                                : dlm_tokenizer_load_folder(ctx, out, base->dir);

    return st || !model ? st : dlm_model_add_tokens(model, *out);
}
