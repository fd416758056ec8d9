/* Rows: what a document trains on, one prefix and one suffix each, with at most one image. */
#ifndef DLM_ROWS_ROWS_H
#define DLM_ROWS_ROWS_H

#include "doc/doc.h"
#include "doc/sources.h"

enum dlm_row_kind {
    DLM_ROW_PROSE,    /* empty prefix (the begin token only), suffix is the text */
    DLM_ROW_CAPTION,  /* image, prefix "caption en", suffix is the caption */
    DLM_ROW_QUESTION, /* prefix is the question, suffix the answer; with or without an image */
};

struct dlm_row {
    char section_id[17]; /* of an image: with its blob hash */
    int64_t index;       /* counts the rows with this section_id */
    enum dlm_row_kind kind;
    bool is_val;           /* belongs to the validation split */
    bool prefix_newline;   /* the prefix is followed by "\n"; false for prose */
    int64_t line;          /* of the section in the document; 0 when ingested */
    char image_sha[65];    /* blob of the image, "" without one */
    const char *image_path; /* the image's path as the document has it, or NULL */
    /* UTF-8, NUL-terminated; a NUL inside the text is possible and the lengths count. */
    const char *prefix, *suffix;
    size_t prefix_len, suffix_len;
};

/* Owns its strings, independent of the document. All zero is valid and empty. */
struct dlm_rows {
    struct dlm_arena arena;
    struct dlm_row *rows; /* in document order, then ingested ones */
    size_t num_rows, num_val;
    size_t num_images;                 /* image sections, ingested ones included */
    size_t num_images_without_caption; /* of these */
};

/* Copies an image into the blob store and gives its hash: 64 lower-case hex digits and a NUL. */
typedef enum dlm_status (*dlm_rows_put_image_fn)(struct dlm_ctx *ctx, void *user,
                                                 const char *abs_path, char sha_hex[65]);

struct dlm_rows_options {
    dlm_rows_put_image_fn put_image; /* required when there are images */
    void *user;                      /* borrowed until return */
    const struct dlm_doc_sources *sources; /* ingested sections, appended; NULL: none */
    int64_t seed;                          /* of the validation split */
};

/* Makes the rows of a document. Paths of images are resolved against doc->path, which must be set
 * when there are images. The first instruction section directly after an image section (only blank
 * prose between, which the parser drops) asks about that image. *out must be all zero; finish it
 * also after a failure. Preference and audio sections give no rows. DLM_ERR_PARSE: a section's Q/A
 * text is malformed; DLM_ERR_IO, DLM_ERR_INVALID: an image's path. */
enum dlm_status dlm_rows_from_doc(struct dlm_ctx *ctx, struct dlm_rows *out,
                                  const struct dlm_doc *doc,
                                  const struct dlm_rows_options *params) DLM_CHECK_RESULT;
void dlm_rows_finish(struct dlm_rows *rows);

/* True when the row belongs to the 10 % of validation rows: the first 8 bytes, big-endian, of
 * sha256("seed\0section_id\0index") lie below 0.1 * 2^64. */
bool dlm_rows_is_val(int64_t seed, const char *section_id, int64_t index);

/* Order of n rows in an epoch (from 0): Fisher-Yates with Philox keyed by seed and epoch.
 * order has room for n. */
void dlm_rows_order(int64_t seed, uint32_t epoch, uint32_t n, uint32_t *order);

#endif
