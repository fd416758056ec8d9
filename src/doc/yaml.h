/* YAML 1.1 as PyYAML's safe_load reads it, as a tree of values. For src/doc, and for the user's
 * rows of src/registry. */
#ifndef DLM_DOC_YAML_H
#define DLM_DOC_YAML_H

#include <stdint.h>

#include "base/mem.h"

enum dlm_yaml_kind {
    DLM_YAML_NULL,
    DLM_YAML_BOOL,
    DLM_YAML_INT,
    DLM_YAML_FLOAT,
    DLM_YAML_STR,
    DLM_YAML_DATE,
    DLM_YAML_DATETIME,
    DLM_YAML_BYTES,
    DLM_YAML_LIST,
    DLM_YAML_MAP,
};

struct dlm_yaml;

struct dlm_yaml_pair {
    const struct dlm_yaml *key, *value;
};

/* Aliases share values, so a tree may be a graph; it has no cycles. */
struct dlm_yaml {
    enum dlm_yaml_kind kind;
    bool boolean;
    bool is_big;     /* INT: does not fit 64 bits; number then approximates it */
    int64_t integer; /* INT */
    double number;   /* FLOAT, INT */
    const char *text; /* scalars: as written, NUL-terminated */
    size_t text_len;
    union {
        const struct dlm_yaml **items; /* LIST */
        struct dlm_yaml_pair *pairs;   /* MAP: unique keys, in order of first appearance */
    };
    size_t len; /* LIST, MAP */
    size_t cap;
    uint32_t *index; /* MAP: hash table of pair numbers + 1; NULL for few pairs */
    size_t index_len;
    const struct dlm_yaml *again; /* MAP: a key that stood there before: its last value holds */
    bool is_open; /* still being read */
    int64_t line, col; /* 1-based, of the YAML text; 0: not in it */
};

/* What went wrong where; line and col are 0-based and count from the YAML text. */
struct dlm_yaml_error {
    char text[256];
    int64_t line, col;
};

/* Parses one YAML document; an empty one is NULL. Values live in the arena. DLM_ERR_PARSE fills
 * *error and logs nothing. */
enum dlm_status dlm_yaml_parse(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *text,
                               size_t len, const struct dlm_yaml **root,
                               struct dlm_yaml_error *error) DLM_CHECK_RESULT;

/* Reads a plain scalar by the YAML 1.1 rules into kind and numbers. On false *reason is a static
 * text: the form is a number or date, the value is not. */
bool dlm_yaml_resolve(const char *text, size_t len, struct dlm_yaml *value, const char **reason);

/* The pair, the value of a string key; NULL when there is none. */
const struct dlm_yaml_pair *dlm_yaml_find(const struct dlm_yaml *map, const char *key);
const struct dlm_yaml *dlm_yaml_get(const struct dlm_yaml *map, const char *key);

/* Sets or replaces a pair; the map must not be shared with an alias that should not see it. */
enum dlm_status dlm_yaml_set(struct dlm_ctx *ctx, struct dlm_arena *arena, struct dlm_yaml *map,
                             const struct dlm_yaml *key,
                             const struct dlm_yaml *value) DLM_CHECK_RESULT;

/* New values in the arena; NULL when out of memory. text is borrowed as long as the arena. */
struct dlm_yaml *dlm_yaml_new(struct dlm_ctx *ctx, struct dlm_arena *arena,
                              enum dlm_yaml_kind kind) DLM_CHECK_RESULT;
struct dlm_yaml *dlm_yaml_new_text(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                   const char *text) DLM_CHECK_RESULT;

/* Python's name of the value's type: "NoneType", "str", "dict" ... */
const char *dlm_yaml_type_name(const struct dlm_yaml *value);

#endif
