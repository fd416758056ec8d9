/* GGUF files, mapped read-only and checked whole before the first value is handed out: what opens
 * here is what ggml opens. Knows no key but general.alignment, and no model.
 *
 * Metadata is asked for by key; a key that is missing or of another kind is an error that names it.
 * Files are little-endian, version 2 or 3. */
#ifndef DLM_GGUF_READER_H
#define DLM_GGUF_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "dlm/ctx.h"
#include "gguf/types.h"

struct dlm_gguf;

/* A string in the file: no NUL at its end, any bytes in it. */
struct dlm_gguf_text {
    const char *data;
    size_t len;
};

/* A metadata value. Everything pointed to lives as long as the file is open. */
struct dlm_gguf_value {
    const char *key;
    enum dlm_gguf_kind kind;
    enum dlm_gguf_kind element; /* of an array; never an array */
    size_t len;                 /* elements of an array; else 1 */
    const uint8_t *data;        /* little-endian, aligned to nothing; strings with their lengths */
};

struct dlm_gguf_tensor {
    const char *name;
    enum dlm_ggml_type type;
    int ndim;
    int64_t ne[DLM_GGUF_MAX_DIMS]; /* ne[0] is a row's length; 1 beyond ndim */
    const uint8_t *data;
    size_t bytes;
};

/* Maps a file and checks it. Borrows path; returns *out owned, NULL on failure.
 * DLM_ERR_IO: cannot read; DLM_ERR_PARSE: damaged, naming file and key or tensor;
 * DLM_ERR_UNSUPPORTED: another version or byte order. */
enum dlm_status dlm_gguf_open(struct dlm_ctx *ctx, struct dlm_gguf **out,
                              const char *path) DLM_CHECK_RESULT;

/* The same for a file that lies in memory; `name` stands for it in messages. Borrows bytes until
 * destroy, name until return. */
enum dlm_status dlm_gguf_open_memory(struct dlm_ctx *ctx, struct dlm_gguf **out, const char *name,
                                     const void *bytes, size_t len) DLM_CHECK_RESULT;
void dlm_gguf_destroy(struct dlm_gguf **gguf);

const char *dlm_gguf_path(const struct dlm_gguf *gguf);

/* Values and tensors in the order of the file. */
size_t dlm_gguf_num_values(const struct dlm_gguf *gguf);
const struct dlm_gguf_value *dlm_gguf_value(const struct dlm_gguf *gguf, size_t i);
size_t dlm_gguf_num_tensors(const struct dlm_gguf *gguf);
const struct dlm_gguf_tensor *dlm_gguf_tensor(const struct dlm_gguf *gguf, size_t i);

/* NULL if there is none; log nothing. */
const struct dlm_gguf_value *dlm_gguf_find_value(const struct dlm_gguf *gguf, const char *key);
const struct dlm_gguf_tensor *dlm_gguf_find_tensor(const struct dlm_gguf *gguf, const char *name);

/* The value of a key that must be there. DLM_ERR_PARSE when it is not, or of another kind. An
 * integer may be of any width and must lie in [min, max]; a number is an f32 or f64. */
enum dlm_status dlm_gguf_get_int(struct dlm_ctx *ctx, const struct dlm_gguf *gguf, const char *key,
                                 int64_t min, int64_t max, int64_t *out) DLM_CHECK_RESULT;
enum dlm_status dlm_gguf_get_number(struct dlm_ctx *ctx, const struct dlm_gguf *gguf,
                                    const char *key, double *out) DLM_CHECK_RESULT;
enum dlm_status dlm_gguf_get_bool(struct dlm_ctx *ctx, const struct dlm_gguf *gguf, const char *key,
                                  bool *out) DLM_CHECK_RESULT;
enum dlm_status dlm_gguf_get_string(struct dlm_ctx *ctx, const struct dlm_gguf *gguf,
                                    const char *key, struct dlm_gguf_text *out) DLM_CHECK_RESULT;
/* An array of that kind of elements. *out is borrowed from the file. */
enum dlm_status dlm_gguf_get_array(struct dlm_ctx *ctx, const struct dlm_gguf *gguf,
                                   const char *key, enum dlm_gguf_kind element,
                                   const struct dlm_gguf_value **out) DLM_CHECK_RESULT;

/* Element i < v->len as an integer; false when v holds no integers or one beyond int64_t. */
bool dlm_gguf_value_int(const struct dlm_gguf_value *v, size_t i, int64_t *out) DLM_CHECK_RESULT;

/* Element i < v->len of f32 or f64; false when v holds neither. */
bool dlm_gguf_value_number(const struct dlm_gguf_value *v, size_t i, double *out) DLM_CHECK_RESULT;

/* All strings of v, which holds strings: v->len of them, *out owned by the caller (dlm_free). */
enum dlm_status dlm_gguf_value_strings(struct dlm_ctx *ctx, const struct dlm_gguf_value *v,
                                       struct dlm_gguf_text **out) DLM_CHECK_RESULT;

/* Lets the kernel drop the tensor's pages; it stays readable. */
void dlm_gguf_drop(const struct dlm_gguf *gguf, const struct dlm_gguf_tensor *t);

#endif
