/* What the files of src/doc share. */
#ifndef DLM_DOC_DOC_IMPL_H
#define DLM_DOC_DOC_IMPL_H

#include "doc/doc.h"
#include "doc/yaml.h"

/* Logs `path:line:col: text` (col 0: no column; line 0: neither; path NULL: "<text>") and returns
 * DLM_ERR_PARSE. */
enum dlm_status dlm_doc_fail(struct dlm_ctx *ctx, const char *path, int64_t line, int64_t col,
                             const char *fmt, ...) DLM_PRINTF(5, 6);

/* A document's text, decoded, with its three parts. Memory belongs to an arena. */
struct dlm_doc_parts {
    const char *yaml;
    size_t yaml_len;
    const char *body;
    size_t body_len;
    int64_t body_line; /* 1-based line of the body's first line */
    bool had_bom;      /* the text began with a byte order mark, which is in no part */
};

/* Decodes text and splits it at the two `---` lines. */
enum dlm_status dlm_doc_split(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *path,
                              const char *text, size_t len,
                              struct dlm_doc_parts *parts) DLM_CHECK_RESULT;

/* The front matter as a map of YAML values, which live in the arena. */
enum dlm_status dlm_doc_read_yaml(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *path,
                                  const struct dlm_doc_parts *parts,
                                  const struct dlm_yaml **out) DLM_CHECK_RESULT;

/* Appends the document's text with the value of a top-level key replaced, or, where the key is not
 * there, with a line for it: before the key `before` (may be NULL), else as the first. *is_done
 * false, and nothing appended: the value is written in a way that cannot be edited. */
enum dlm_status dlm_doc_set_key(struct dlm_ctx *ctx, const char *path, const char *text, size_t len,
                                const char *key, const char *value, const char *before,
                                struct dlm_str *out, bool *is_done) DLM_CHECK_RESULT;

/* Reads the front matter: YAML, migration to the current version, schema. Fills every field of doc
 * but sections. */
enum dlm_status dlm_doc_read_front(struct dlm_ctx *ctx, struct dlm_doc *doc,
                                   const struct dlm_doc_parts *parts) DLM_CHECK_RESULT;

/* Cuts the body into doc->sections. */
enum dlm_status dlm_doc_read_body(struct dlm_ctx *ctx, struct dlm_doc *doc,
                                  const struct dlm_doc_parts *parts) DLM_CHECK_RESULT;

/* Reads a line of the body, outside of code, as a fence into section, which is zeroed but for
 * start_line; *is_fence false: it is text. DLM_ERR_PARSE: a fence with a fault, or a line that
 * begins like one of a known type and is none. */
enum dlm_status dlm_doc_read_fence(struct dlm_ctx *ctx, struct dlm_doc *doc, const char *line,
                                   size_t len, struct dlm_doc_section *section,
                                   bool *is_fence) DLM_CHECK_RESULT;

/* Moves provenance markers from the head of a section's content into its fields. */
enum dlm_status dlm_doc_lift_markers(struct dlm_ctx *ctx, struct dlm_doc *doc,
                                     struct dlm_doc_section *section) DLM_CHECK_RESULT;

/* The type of this name, if there is one. */
bool dlm_doc_find_section_type(const char *name, size_t len, enum dlm_doc_section_type *type);

/* Length of the name of a type or an attribute at text: [a-z][a-z0-9_]*, 0 where none begins. */
size_t dlm_doc_key_len(const char *text, const char *end);

/* `key="value"` at *p, moved past it. Values hold neither '"' nor a newline. */
struct dlm_doc_attribute {
    const char *key, *value;
    size_t key_len, value_len;
};
bool dlm_doc_next_attribute(const char **p, const char *end, struct dlm_doc_attribute *attribute);

/* True when one or more attributes, each after white space, begin at text; *stop is where they
 * end. */
bool dlm_doc_scan_attributes(const char *text, const char *end, const char **stop);

/* ^[a-z][a-z0-9_]{0,31}$ */
bool dlm_doc_is_adapter_name(const char *name, size_t len);

/* Appends the front matter with its two `---` lines. keep_written also writes the keys that the
 * document states although they hold the default. */
enum dlm_status dlm_doc_write_front(struct dlm_ctx *ctx, const struct dlm_doc *doc,
                                    bool keep_written, struct dlm_str *out) DLM_CHECK_RESULT;

/* Appends a string as a value of the front matter, in quotes where it would not read back. */
enum dlm_status dlm_doc_write_string(struct dlm_ctx *ctx, const char *text,
                                     struct dlm_str *out) DLM_CHECK_RESULT;

#endif
