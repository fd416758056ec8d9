/* What the files of a store's check share. */
#ifndef DLM_STORE_CHECK_IMPL_H
#define DLM_STORE_CHECK_IMPL_H

#include "store/check.h"

struct dlm_check {
    struct dlm_ctx *ctx;
    struct dlm_store *store;
    const struct dlm_store_check_params *params;
    struct dlm_findings *findings;
    int64_t newest_good;  /* number of the newest version that is whole; 0: none is */
    int64_t current;      /* of the version that is current, after repairs; 0: none */
};

enum dlm_finding_class {
    DLM_FINDING_LEFT = 0,
    DLM_FINDING_WRONG = 1,
    DLM_FINDING_REPAIRABLE = 2, /* a bit beside the others */
};

/* Notes a finding. Borrows all but `what`. */
enum dlm_status dlm_check_note(struct dlm_check *c, const char *what, unsigned class,
                               const char *path, const char *text) DLM_CHECK_RESULT;

/* Ends a dlm_log_mute() around the look at something. A status that means that the thing is not
 * whole makes a finding, with the context's last error as its text, and *is_good false; one that
 * says nothing about the thing is passed on. */
enum dlm_status dlm_check_note_status(struct dlm_check *c, enum dlm_status status, const char *what,
                                      unsigned class, const char *path,
                                      bool *is_good) DLM_CHECK_RESULT;

/* Whether the last finding is to be repaired, and that it was. */
bool dlm_check_repairs(const struct dlm_check *c);
void dlm_check_repaired(struct dlm_check *c);

/* Moves <root>/<path> out of the way as <root>/<to>, in place of what is there. */
enum dlm_status dlm_check_move_aside(struct dlm_check *c, const char *path,
                                     const char *to) DLM_CHECK_RESULT;

/* The parts, in this order. */
enum dlm_status dlm_check_versions(struct dlm_check *c) DLM_CHECK_RESULT;
enum dlm_status dlm_check_manifest(struct dlm_check *c) DLM_CHECK_RESULT;
enum dlm_status dlm_check_files(struct dlm_check *c) DLM_CHECK_RESULT;

#endif
