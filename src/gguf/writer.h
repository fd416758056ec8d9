/* A GGUF file written from front to back: metadata and the list of tensors first, from memory, then
 * the tensors' bytes piece by piece in that order. Where they go is the caller's: a file, or a
 * part of something larger. Calls in this order: create, put_*, begin, data or rows, end,
 * destroy. */
#ifndef DLM_GGUF_WRITER_H
#define DLM_GGUF_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "dlm/ctx.h"
#include "gguf/reader.h"

struct dlm_gguf_writer;

/* Takes the file's next bytes, in large pieces and small ones. */
typedef enum dlm_status (*dlm_gguf_write_fn)(struct dlm_ctx *ctx, void *user, const void *data,
                                             size_t bytes);

/* path stands in messages, and is borrowed until return; returns *out owned, NULL on failure. */
enum dlm_status dlm_gguf_writer_create(struct dlm_ctx *ctx, struct dlm_gguf_writer **out,
                                       const char *path) DLM_CHECK_RESULT;
void dlm_gguf_writer_destroy(struct dlm_gguf_writer **w);

/* Metadata, in the order of the calls. Everything is copied. DLM_ERR_INVALID: a bad key, or a value
 * that its kind cannot hold. */
enum dlm_status dlm_gguf_put_int(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, const char *key,
                                 enum dlm_gguf_kind kind, int64_t value) DLM_CHECK_RESULT;
/* kind: f32, to which the value is rounded, or f64. */
enum dlm_status dlm_gguf_put_number(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, const char *key,
                                    enum dlm_gguf_kind kind, double value) DLM_CHECK_RESULT;
enum dlm_status dlm_gguf_put_bool(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, const char *key,
                                  bool value) DLM_CHECK_RESULT;
enum dlm_status dlm_gguf_put_string(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, const char *key,
                                    const char *text) DLM_CHECK_RESULT;
/* len numbers or bools (a byte each) as they lie in memory. */
enum dlm_status dlm_gguf_put_array(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, const char *key,
                                   enum dlm_gguf_kind element, const void *data,
                                   size_t len) DLM_CHECK_RESULT;
enum dlm_status dlm_gguf_put_strings(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                     const char *key, const struct dlm_gguf_text *texts,
                                     size_t len) DLM_CHECK_RESULT;

/* The next tensor: ne[0] is the length of a row, all are 1 or more. DLM_ERR_INVALID: a bad name or
 * shape, or rows that are no whole blocks of the type. */
enum dlm_status dlm_gguf_put_tensor(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                    const char *name, enum dlm_ggml_type type, int ndim,
                                    const int64_t *ne) DLM_CHECK_RESULT;

/* Bytes of the whole file as it stands. */
uint64_t dlm_gguf_writer_bytes(const struct dlm_gguf_writer *w);

/* Writes all but the tensors. user is borrowed until the end. DLM_ERR_INVALID: a key or name is
 * there twice; else what write returns. */
enum dlm_status dlm_gguf_writer_begin(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                      dlm_gguf_write_fn write, void *user) DLM_CHECK_RESULT;

/* The next bytes of the tensor in work; they must not go beyond it. Does not buffer. */
enum dlm_status dlm_gguf_writer_data(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                     const void *data, size_t bytes) DLM_CHECK_RESULT;

/* The next rows of the tensor in work, converted to its type on the context's threads.
 * x: [rows, ne[0]] f32. DLM_ERR_INVALID, naming the tensor: an element does not fit the type. */
enum dlm_status dlm_gguf_writer_rows(struct dlm_ctx *ctx, struct dlm_gguf_writer *w, const float *x,
                                     int64_t rows) DLM_CHECK_RESULT;

/* DLM_ERR_INVALID: a tensor is not whole. */
enum dlm_status dlm_gguf_writer_end(struct dlm_ctx *ctx,
                                    struct dlm_gguf_writer *w) DLM_CHECK_RESULT;

#endif
