/* `dlm migrate`: the same body under a front matter of the current version. */
#include <string.h>

#include "doc/doc_impl.h"

enum dlm_status dlm_doc_migrate(struct dlm_ctx *ctx, const char *path, const char *text, size_t len,
                                struct dlm_str *out, int64_t *from_version)
{
    struct dlm_doc doc = {.path = path};
    struct dlm_doc_parts parts = {0};

    enum dlm_status st = dlm_doc_split(ctx, &doc.arena, path, text, len, &parts);
    if (!st)
        st = dlm_doc_read_front(ctx, &doc, &parts);
    if (st)
        goto done;
    *from_version = doc.declared_version;
    if (doc.declared_version == DLM_DOC_VERSION)
        goto done;
    st = dlm_doc_write_front(ctx, &doc, true, out);
    if (!st)
        st = dlm_str_appendz(ctx, out, "\n");
    const char *body = parts.body;
    const char *end = body + parts.body_len;
    while (body < end && *body == '\n')
        body++;
    while (end > body && end[-1] == '\n')
        end--;
    if (!st && end > body)
        st = dlm_str_append(ctx, out, body, (size_t)(end - body));
    if (!st && end > body)
        st = dlm_str_appendz(ctx, out, "\n");
done:
    dlm_arena_finish(&doc.arena);
    return st;
}
