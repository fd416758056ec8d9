/* Manifests of exports. */
#include "export/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "export/place.h"

json_t *dlm_export_artifacts(struct dlm_sink *sink)
{
    size_t num;
    const struct dlm_export_file *files = dlm_sink_files(sink, &num);
    json_t *list = json_array();

    for (size_t i = 0; list && i < num; i++) {
        if (!strcmp(files[i].path, DLM_EXPORT_README))
            continue;
        json_t *entry = json_pack("{s:s, s:s, s:I}", "path", files[i].path, "sha256",
                                  files[i].sha256, "size_bytes", (json_int_t)files[i].bytes);
        if (!entry || json_array_append_new(list, entry)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

enum dlm_status dlm_export_manifest(struct dlm_ctx *ctx, struct dlm_sink *sink, const char *name,
                                    json_t *json)
{
    char *text = json ? json_dumps(json, JSON_SORT_KEYS | JSON_INDENT(2)) : NULL;
    struct dlm_str line = {0};
    enum dlm_status st = text ? dlm_str_appendf(ctx, &line, "%s\n", text)
                              : dlm_fail(ctx, DLM_ERR_INVALID, "cannot write '%s': a name in it is "
                                         "no UTF-8, or no memory", name);

    if (!st)
        st = dlm_sink_text(ctx, sink, name, line.data, line.len);
    dlm_str_finish(&line);
    free(text);
    json_decref(json);
    return st;
}
