/* A base's files as strings of a GGUF file. */
#include "export/gguf_own.h"

#include <string.h>

#include "base/file.h"
#include "base/log.h"

#define MAX_FILE_BYTES ((size_t)64 << 20)
#define PREFIX "dlm.file." /* of the name of a file in the base's folder */

/* A file as a string; one that is not there is left out, where `may_miss`. */
static enum dlm_status put_file(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                const struct dlm_base *base, const char *name, bool may_miss)
{
    struct dlm_str text = {0};
    char *path = dlm_path_join(ctx, base->dir, name);
    char *key = dlm_strf(ctx, PREFIX "%s", name);
    enum dlm_status st = path && key ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && !dlm_path_is_file(path)) {
        if (!may_miss)
            st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot write '%s' as GGUF: it has no %s",
                          base->key, name);
        goto done;
    }
    if (!st)
        st = dlm_file_read(ctx, path, MAX_FILE_BYTES, &text);
    if (!st && strlen(dlm_str_text(&text)) != text.len)
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': there are zero bytes in it", path);
    if (!st)
        st = dlm_gguf_put_string(ctx, w, key, dlm_str_text(&text));
done:
    dlm_str_finish(&text);
    dlm_free(path);
    dlm_free(key);
    return st;
}

enum dlm_status dlm_gguf_put_own_values(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                        const struct dlm_export_job *job, bool is_text,
                                        enum dlm_gguf_quant quant)
{
    static const struct {
        const char *name;
        bool may_miss;
    } files[] = {
        {"config.json", false},
        {"generation_config.json", true},
        {"preprocessor_config.json", true},
        {"processor_config.json", true},
        {"tokenizer.json", false},
        {"tokenizer_config.json", true},
    };
    const struct dlm_gguf_family *f = job->model->family->gguf;
    const char *const texts[][2] = {
        {"general.architecture", is_text ? f->arch : "clip"},
        {"general.type", is_text ? "model" : "mmproj"},
        {"general.name", dlm_path_basename(job->base->hf_id ? job->base->hf_id : job->base->dir)},
        {is_text ? NULL : "clip.projector_type", f->projector},
    };
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(texts); i++)
        if (texts[i][0])
            st = dlm_gguf_put_string(ctx, w, texts[i][0], texts[i][1]);
    if (!st)
        st = dlm_gguf_put_int(ctx, w, "general.file_type", DLM_GGUF_KIND_U32,
                              dlm_gguf_quant_file_type(quant));
    if (!st)
        st = dlm_gguf_put_int(ctx, w, "general.quantization_version", DLM_GGUF_KIND_U32, 2);
    for (size_t i = 0; !st && is_text && i < DLM_ARRAY_LEN(files); i++)
        st = put_file(ctx, w, job->base, files[i].name, files[i].may_miss);
    return st;
}
