/* Whether what an export has written is the model that it was made of: its weights are read back
 * and compared, and one row of the document is scored by both, in f32 arithmetic. */
#ifndef DLM_API_EXPORT_PROOF_H
#define DLM_API_EXPORT_PROOF_H

#include "base/attr.h"
#include "dlm/compute.h"
#include "dlm/export.h"
#include "doc/doc.h"
#include "gguf/mixture.h"

/* Borrows everything until return. */
struct dlm_proof_params {
    const struct dlm_doc *doc;
    const char *base;    /* base_model text */
    const char *mmproj;  /* of a base in GGUF, or NULL */
    const char *dir;     /* what paths are relative to, the document's folder */
    const char *base_dir; /* the base's folder, where weights were written */
    const char *adapter; /* folder of the version */
    int64_t image_size;  /* that it was trained with */
    /* What lies in the folder: a base by itself, its two GGUF files, or else adapter/, which goes
     * with the base */
    bool is_merged, is_gguf;
    enum dlm_gguf_quant quant; /* of GGUF */
    struct dlm_compute compute; /* where; the CPU unless it says otherwise */
    void (*progress)(void *user, const struct dlm_export_progress *now); /* may be NULL */
    void *user;
};

/* Compares what lies in `folder`. *proof: strings are owned (dlm_proof_finish()); with `skipped`
 * there was nothing to compare, which is no failure. DLM_ERR_INVALID: the files answer otherwise
 * than rounding can explain. */
enum dlm_status dlm_proof_make(struct dlm_ctx *ctx, const struct dlm_proof_params *params,
                               const char *folder, struct dlm_export_proof *proof) DLM_CHECK_RESULT;
void dlm_proof_finish(struct dlm_export_proof *proof);

/* How far a log-probability of the size of `x` may be off where weights were rounded with this unit
 * (half of the distance of two numbers around 1; 0: they were not): docs/export.md. */
double dlm_proof_bound(double unit, double x);

#endif
