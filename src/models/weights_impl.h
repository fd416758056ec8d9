/* What the files that fill weights share. */
#ifndef DLM_MODELS_WEIGHTS_IMPL_H
#define DLM_MODELS_WEIGHTS_IMPL_H

#include "models/weights.h"

/* Rows that are converted and packed at a time: a multiple of the panel's 16. */
#define DLM_WEIGHT_BLOCK_ROWS 16
/* Host memory through which a weight goes to its device. */
#define DLM_WEIGHT_STAGE_BYTES (16u << 20)

/* The part that element `at` belongs to. */
const struct dlm_weight_part *dlm_weight_find_part(const struct dlm_weight *w, int64_t at);

/* Where the file has element `at`, which belongs to the part; of a form in blocks, the first of a
 * row. */
const uint8_t *dlm_weight_part_source(const struct dlm_weight_part *part, int64_t at);

/* How many elements from there on, len at most, lie one behind the other. */
int64_t dlm_weight_part_run(const struct dlm_weight_part *part, int64_t at, int64_t len);

/* Elements [at, at + len) of one part as f32: from the file, or random ones. False when the file's
 * type is none that has numbers. */
bool dlm_weight_part_to_f32(const struct dlm_weight *w, const struct dlm_weight_part *part,
                            int64_t at, int64_t len, float *out) DLM_CHECK_RESULT;

/* weights_blocks.c: whether a part of the weight lies in its file as it is resident, in blocks. */
bool dlm_weight_is_in_blocks(const struct dlm_weight *w);

/* Rows [row0, row0 + num_rows) of such a weight as a form of their own. One of buffer, host and
 * panels is given. DLM_ERR_INVALID: a number of another part has no such form. */
enum dlm_status dlm_weight_fill_blocks(struct dlm_ctx *ctx, const struct dlm_weight *w,
                                       int64_t row0, int64_t num_rows, struct dlm_buffer *buffer,
                                       uint8_t *host, uint8_t *panels) DLM_CHECK_RESULT;

/* weights_quant.c: fills a slab, whose buffer is there, of a weight in 4 or 8 bits.
 * DLM_ERR_INVALID: a number that has no such form. */
enum dlm_status dlm_weight_fill_quant(struct dlm_ctx *ctx, const struct dlm_weight *w,
                                      const struct dlm_weight_slab *slab) DLM_CHECK_RESULT;

/* The same into host memory, as dlm_weight_read(). */
enum dlm_status dlm_weight_read_quant(struct dlm_ctx *ctx, const struct dlm_weight *w, int64_t row,
                                      int64_t n, void *out) DLM_CHECK_RESULT;

#endif
