/* Rows: what a document trains on, each a conversation with its images. */
#ifndef DLM_ROWS_ROWS_H
#define DLM_ROWS_ROWS_H

#include "doc/doc.h"
#include "doc/sources.h"
#include "rows/turns.h"

struct dlm_row_image {
    char sha[65];     /* of its blob */
    const char *file; /* absolute path */
    int64_t line;     /* of its fence in the document; 0 when ingested */
    size_t index;     /* of its section among those of images */
    bool has_caption; /* and so a row of its own */
};

/* A section of prose is a row of that; a caption one of an image, the request for a caption, and
 * the caption; each question and answer one, with the images that the section is about and the
 * prose between them. A document's system prompt stands before each request. */
struct dlm_row {
    char section_id[17]; /* of an image: with its blob hash */
    int64_t index;       /* counts the rows with this section_id */
    bool is_val;         /* belongs to the validation split */
    bool is_all_learned; /* every token but those of images, instead of the answer */
    int64_t line;        /* of the section in the document; 0 when ingested */
    struct dlm_conversation conversation;
    const struct dlm_row_image *images; /* [num_images], in the order of their parts */
    size_t num_images;
};

/* Owns its strings, independent of the document. All zero is valid and empty. */
struct dlm_rows {
    struct dlm_arena arena;
    struct dlm_row *rows; /* in document order, then ingested ones */
    size_t num_rows, num_val;
    size_t num_images;                 /* image sections, ingested ones included */
    size_t num_bad_images;             /* of these, without rows: they cannot be read */
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
 * when there are images. Instruction sections that follow each other directly after an image
 * section (blank prose between does not count: the parser drops it) ask about that image, about
 * those before it that only prose separates from it, and show that prose; it is a row of its own
 * all the same, as captions are. *out must be all zero; finish it also after a failure. Preference
 * and audio sections give no rows.
 * An image whose path leads to no file that can be read is logged as an error and counted, so that
 * all of them are named: it and the questions about it give no rows, and the caller decides whether
 * to go on. DLM_ERR_PARSE: a section's Q/A text is malformed. */
enum dlm_status dlm_rows_from_doc(struct dlm_ctx *ctx, struct dlm_rows *out,
                                  const struct dlm_doc *doc,
                                  const struct dlm_rows_options *params) DLM_CHECK_RESULT;
void dlm_rows_finish(struct dlm_rows *rows);

/* For bases that have no place for the system prompt: takes it out of every row. */
void dlm_rows_drop_system(struct dlm_rows *rows);

/* For bases that take one image a row: leaves each the last of its images, without what stands
 * before that. *lost: the first row that would lose an image that has no row of its own, and keeps
 * all of them; NULL: none. */
enum dlm_status dlm_rows_keep_last_images(struct dlm_ctx *ctx, struct dlm_rows *rows,
                                          const struct dlm_row **lost) DLM_CHECK_RESULT;

/* Keeps the rows i with keep[i]. */
void dlm_rows_keep(struct dlm_rows *rows, const bool *keep);

/* True when the row belongs to the 10 % of validation rows: the first 8 bytes, big-endian, of
 * sha256("seed\0section_id\0index") lie below 0.1 * 2^64. */
bool dlm_rows_is_val(int64_t seed, const char *section_id, int64_t index);

/* Order of n rows in an epoch (from 0): Fisher-Yates with Philox keyed by seed and epoch.
 * order has room for n. */
void dlm_rows_order(int64_t seed, uint32_t epoch, uint32_t n, uint32_t *order);

#endif
