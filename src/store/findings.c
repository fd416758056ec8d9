/* What the parts of a store's check note, and moving damaged things aside. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "store/check_impl.h"
#include "store/store_impl.h"

enum dlm_status dlm_check_note(struct dlm_check *c, const char *what, unsigned class,
                               const char *path, const char *text)
{
    struct dlm_findings *list = c->findings;

    if (!dlm_grow(c->ctx, &list->items, &list->cap, list->len, sizeof(*list->items)))
        return DLM_ERR_MEMORY;
    struct dlm_finding *f = &list->items[list->len++];
    *f = (struct dlm_finding){.what = what,
                              .path = dlm_strdup(c->ctx, path),
                              .text = dlm_strdup(c->ctx, text),
                              .is_wrong = class & DLM_FINDING_WRONG,
                              .can_repair = class & DLM_FINDING_REPAIRABLE};
    return f->path && f->text ? DLM_OK : DLM_ERR_MEMORY;
}

enum dlm_status dlm_check_note_status(struct dlm_check *c, enum dlm_status status, const char *what,
                                      unsigned class, const char *path, bool *is_good)
{
    *is_good = !dlm_log_unmute(c->ctx, status);
    if (!status || status == DLM_ERR_MEMORY || status == DLM_ERR_CANCELLED)
        return status;
    return dlm_check_note(c, what, class, path, dlm_ctx_last_error(c->ctx));
}

bool dlm_check_repairs(const struct dlm_check *c)
{
    const struct dlm_findings *list = c->findings;

    return c->params->repair && list->len && list->items[list->len - 1].can_repair;
}

void dlm_check_repaired(struct dlm_check *c)
{
    c->findings->items[c->findings->len - 1].is_repaired = true;
}

enum dlm_status dlm_check_move_aside(struct dlm_check *c, const char *path, const char *to)
{
    char *from = dlm_store_pathf(c->ctx, c->store, "%s", path);
    char *aside = dlm_store_pathf(c->ctx, c->store, "%s", to);
    char *folder = aside ? dlm_path_dirname(c->ctx, aside) : NULL;
    enum dlm_status st = from && folder ? dlm_dir_make(c->ctx, folder) : DLM_ERR_MEMORY;

    if (!st)
        st = dlm_path_remove(c->ctx, aside);
    if (!st && rename(from, aside))
        st = dlm_fail(c->ctx, DLM_ERR_IO, "cannot move '%s': %s", from, strerror(errno));
    dlm_free(folder);
    dlm_free(aside);
    dlm_free(from);
    return st;
}

void dlm_findings_finish(struct dlm_findings *findings)
{
    for (size_t i = 0; i < findings->len; i++) {
        dlm_free(findings->items[i].path);
        dlm_free(findings->items[i].text);
    }
    dlm_free(findings->items);
    *findings = (struct dlm_findings){0};
}
