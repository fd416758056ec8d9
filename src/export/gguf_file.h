/* A GGUF file of merged weights: planned whole before its first byte, then written a block of rows
 * at a time. */
#ifndef DLM_EXPORT_GGUF_FILE_H
#define DLM_EXPORT_GGUF_FILE_H

#include "export/gguf_plan.h"
#include "export/merge.h"
#include "export/sink.h"
#include "gguf/writer.h"

/* All zero is none. */
struct dlm_gguf_file {
    char name[32]; /* in the folder: "base.Q4_K_M.gguf" */
    struct dlm_gguf_plan plan;
    struct dlm_gguf_writer *w; /* which has values and tensors, of the plan, and no bytes yet */
};

void dlm_gguf_file_finish(struct dlm_gguf_file *file);

/* Room for the rows of one block. All zero is none. */
struct dlm_gguf_blocks {
    float *values; /* as they are written */
    float *window; /* as they lie in the weight, where that is another order */
};

/* Makes room for the largest block of the files. */
enum dlm_status dlm_gguf_blocks_make(struct dlm_ctx *ctx, struct dlm_gguf_blocks *blocks,
                                     const struct dlm_gguf_file *files,
                                     size_t num) DLM_CHECK_RESULT;
void dlm_gguf_blocks_finish(struct dlm_gguf_blocks *blocks);

/* Writes the file into the sink. merge: what the plan's weights are indices of. */
enum dlm_status dlm_gguf_file_write(struct dlm_ctx *ctx, struct dlm_gguf_file *file,
                                    struct dlm_merge *merge, struct dlm_gguf_blocks *blocks,
                                    struct dlm_sink *sink) DLM_CHECK_RESULT;

#endif
