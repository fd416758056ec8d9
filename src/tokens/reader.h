/* Where a part of a tokenizer.json is being read, for checks and messages. */
#ifndef DLM_TOKENS_READER_H
#define DLM_TOKENS_READER_H

#include <jansson.h>
#include <stddef.h>

#include "base/attr.h"
#include "dlm/ctx.h"

struct dlm_tok_reader {
    struct dlm_ctx *ctx;
    const char *path; /* the file */
    const char *part; /* the top-level key: "normalizer", "model" */
    int depth;        /* nesting of Sequence */
};

enum { DLM_TOK_MAX_DEPTH = 8, DLM_TOK_MAX_STEPS = 32 };

/* Logs `cannot read '<path>': <part>: <message>` and returns status. */
enum dlm_status dlm_tok_fail(const struct dlm_tok_reader *r, enum dlm_status status,
                             const char *fmt, ...) DLM_PRINTF(3, 4);

/* Members that must be there and of the right type; DLM_ERR_PARSE names the key.
 * Texts are borrowed from the object. */
enum dlm_status dlm_tok_get_text(const struct dlm_tok_reader *r, const json_t *object,
                                 const char *key, const char **text, size_t *len) DLM_CHECK_RESULT;
enum dlm_status dlm_tok_get_bool(const struct dlm_tok_reader *r, const json_t *object,
                                 const char *key, bool *value) DLM_CHECK_RESULT;
/* A missing or null member leaves *value as it is. */
enum dlm_status dlm_tok_get_bool_or(const struct dlm_tok_reader *r, const json_t *object,
                                    const char *key, bool *value) DLM_CHECK_RESULT;
enum dlm_status dlm_tok_get_int(const struct dlm_tok_reader *r, const json_t *object,
                                const char *key, json_int_t min, json_int_t max,
                                json_int_t *value) DLM_CHECK_RESULT;

/* The "type" of a part. */
enum dlm_status dlm_tok_get_type(const struct dlm_tok_reader *r, const json_t *object,
                                 const char **type) DLM_CHECK_RESULT;
/* Logs that the type is not known here: DLM_ERR_UNSUPPORTED. */
enum dlm_status dlm_tok_fail_type(const struct dlm_tok_reader *r, const char *type);

/* Reads the parts of a Sequence, found under key, with fn; checks the depth. */
typedef enum dlm_status (*dlm_tok_part_fn)(struct dlm_tok_reader *r, void *user,
                                           const json_t *object);
enum dlm_status dlm_tok_read_sequence(struct dlm_tok_reader *r, const json_t *object,
                                      const char *key, dlm_tok_part_fn fn,
                                      void *user) DLM_CHECK_RESULT;

#endif
