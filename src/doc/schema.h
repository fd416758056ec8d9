/* The front matter's keys as tables: what reads them, checks them and writes them back. For
 * src/doc. */
#ifndef DLM_DOC_SCHEMA_H
#define DLM_DOC_SCHEMA_H

#include "doc/doc.h"
#include "doc/yaml.h"

enum dlm_schema_type {
    DLM_SCHEMA_VERSION,  /* dlm_version: checked before the tables are used */
    DLM_SCHEMA_ID,       /* const char *: a ULID */
    DLM_SCHEMA_STR,      /* const char * */
    DLM_SCHEMA_BOOL,     /* bool */
    DLM_SCHEMA_INT,      /* int64_t; 0 stands for null where null is allowed, -1 - i for a choice */
    DLM_SCHEMA_AUTO_INT, /* int64_t >= 1, or 0 for "auto" */
    DLM_SCHEMA_FLOAT,    /* double; 0 stands for null where null is allowed */
    DLM_SCHEMA_CHOICE,   /* an enum: index of the choice, plus 1 where null (0) is allowed */
    DLM_SCHEMA_STRINGS,  /* struct dlm_doc_strings */
    DLM_SCHEMA_TARGETS,  /* struct dlm_doc_targets */
    DLM_SCHEMA_MAP,      /* the struct of `map` */
    DLM_SCHEMA_ADAPTERS, /* pointer and count of struct dlm_doc_adapter */
    DLM_SCHEMA_SOURCES,  /* pointer and count of struct dlm_doc_source */
};

struct dlm_schema_map;

struct dlm_schema_field {
    const char *key;
    enum dlm_schema_type type;
    size_t offset, count_offset; /* of the member; of the count (ADAPTERS, SOURCES) */
    bool is_required, can_be_null, must_exceed_min, is_non_empty;
    bool has_min, has_max, has_limit;
    double min, max; /* of the reference */
    double limit;    /* ours, checked after them: what the program can hold; not infinite */
    const char *const *choices; /* NULL-terminated; of an INT: names besides numbers, or NULL */
    const struct dlm_schema_map *map;
    double default_number; /* BOOL, INT, FLOAT, CHOICE (the stored index) */
    const char *default_item; /* STRINGS: the only item; NULL: an empty list */
    /* Why nothing is done with it, nor with the keys below; NULL: training does as it says, or
     * refuses it by name. A test sees every key without such a reason make a difference. */
    const char *unused;
    bool is_used; /* though the map around it is not: a switch, whose "on" is refused */
};

struct dlm_schema_map {
    const char *class_name; /* in messages about a value that is no map */
    const struct dlm_schema_field *fields;
    size_t num_fields;
    size_t written_offset; /* of the uint32_t with one bit a field */
};

extern const struct dlm_schema_map dlm_schema_root, dlm_schema_training, dlm_schema_adapter,
    dlm_schema_source;

static inline void *dlm_schema_member(const struct dlm_schema_field *field, void *object)
{
    return (char *)object + field->offset;
}

static inline const void *dlm_schema_const_member(const struct dlm_schema_field *field,
                                                  const void *object)
{
    return (const char *)object + field->offset;
}

/* The field with this key, or NULL. */
const struct dlm_schema_field *dlm_schema_find(const struct dlm_schema_map *map, const char *key,
                                               size_t len);

bool dlm_schema_is_written(const struct dlm_schema_map *map, const void *object,
                           const struct dlm_schema_field *field);

/* True when the member holds its default. */
bool dlm_schema_is_default(const struct dlm_schema_field *field, const void *object);

/* Fills an object (zeroed) with the defaults; lists come from the arena. */
enum dlm_status dlm_schema_set_defaults(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                        const struct dlm_schema_map *map,
                                        void *object) DLM_CHECK_RESULT;

/* What the schema has against a front matter: failures joined by "; ", each but the first with its
 * place before it. Empty text: none. */
struct dlm_schema_errors {
    struct dlm_str text;
    int64_t line, col; /* 1-based, of the first, in the document; col 0: of all of it */
};

/* Reads value into object (zeroed), as the reference's validation in its lax mode. DLM_ERR_MEMORY
 * only: failures of the document are in *errors. */
enum dlm_status dlm_schema_read(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                const struct dlm_schema_map *map, const struct dlm_yaml *value,
                                void *object,
                                struct dlm_schema_errors *errors) DLM_CHECK_RESULT;

/* --- of validate.c, convert.c, report.c ------------------------------------------------------- */

/* The place of a value: a chain of keys and indexes from the root. */
struct dlm_schema_place {
    const struct dlm_schema_place *parent;
    const char *key; /* NULL: index */
    size_t key_len, index;
    const struct dlm_yaml *at; /* the key or the entry, for line and column; NULL: parent's */
};

struct dlm_schema_check {
    struct dlm_ctx *ctx;
    struct dlm_arena *arena;
    struct dlm_schema_errors *errors;
    size_t num_errors;
    enum dlm_status st; /* the first failure that is not the document's */
};

/* Adds one failure at a place. */
void dlm_schema_report(struct dlm_schema_check *check, const struct dlm_schema_place *place,
                       const char *fmt, ...) DLM_PRINTF(3, 4);

/* Reads one scalar or list member, of any type but MAP, ADAPTERS and SOURCES. */
void dlm_schema_convert(struct dlm_schema_check *check, const struct dlm_schema_field *field,
                        const struct dlm_yaml *value, const struct dlm_schema_place *place,
                        void *member);

#endif
