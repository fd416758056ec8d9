/* What is trained on: rows as token ids, and the images they show, as features or pixels. */
#ifndef DLM_TRAIN_DATA_H
#define DLM_TRAIN_DATA_H

#include "models/pass.h"
#include "models/vision.h"
#include "rows/rows.h"
#include "store/store.h"
#include "tokens/tokenizer.h"

/* One image of the blob store. What is in memory may be dropped and read again. */
struct dlm_train_image {
    const struct dlm_row_image *shown; /* the first that shows it */
    struct dlm_image_plan plan;
    float *pixels;   /* of plan.pixels, or NULL */
    float *features; /* f32 [plan.patches, tower width] or NULL */
    uint64_t used;   /* when last asked for, by the data's clock */
};

struct dlm_train_example {
    const struct dlm_row *row;
    struct dlm_input input;
    int64_t num_labels;
    size_t first_image, num_images; /* a slice of the data's `shown` */
    uint32_t row_id; /* hash of section id and index: names the dropout stream */
};

struct dlm_train_data {
    struct dlm_ctx *ctx;
    const struct dlm_store *store;
    const struct dlm_model *model;
    struct dlm_train_example *train, *val;
    size_t num_train, num_val;
    struct dlm_train_image *images;
    size_t num_images, cap_images;
    size_t *shown; /* [num_shown], indices of images: each example's in the order of its parts */
    struct dlm_image_plan *plans; /* [num_shown], theirs */
    size_t num_shown, cap_shown, cap_plans;
    bool no_cache; /* set after init: pixels and features are made anew and kept in no file */
    char features_key[65]; /* of what features depend on besides the image */
    size_t bytes_held; /* of pixels and features in memory */
    uint64_t clock;
    size_t num_cut; /* examples that were cut to sequence_len */
};

/* Tokenises the rows. Borrows rows, store and model until finish. store NULL: to plan alone, with
 * images where the document has them. sequence_len counts image tokens.
 * DLM_ERR_INVALID: nothing to learn, or not every image, within sequence_len: names the section. */
enum dlm_status dlm_train_data_init(struct dlm_train_data *d, struct dlm_ctx *ctx,
                                    const struct dlm_rows *rows, const struct dlm_store *store,
                                    const struct dlm_model *model, const struct dlm_tokenizer *tok,
                                    int64_t sequence_len) DLM_CHECK_RESULT;
void dlm_train_data_finish(struct dlm_train_data *d);

/* Decodes and preprocesses the rows' images that are not in the pixel cache yet, so that training
 * meets no damaged one. Each that cannot be read is logged as an error with its path and line, and
 * counted in rows->num_bad_images; its rows go. Warns once of saturated ones. no_cache: all are
 * read, and their pixels kept nowhere. */
enum dlm_status dlm_train_check_images(const struct dlm_store *store,
                                       const struct dlm_model *model, bool no_cache,
                                       struct dlm_rows *rows) DLM_CHECK_RESULT;

/* Plans the image of the blob store. */
enum dlm_status dlm_train_data_plan_image(struct dlm_train_data *d,
                                          struct dlm_train_image *x) DLM_CHECK_RESULT;

/* Patches of the longest slice, for the vision program. */
int64_t dlm_train_data_patches(const struct dlm_train_data *d);

/* True when every image's features lie in the cache: the tower need not be loaded. */
bool dlm_train_data_has_features(const struct dlm_train_data *d);

/* An image's pixels or features, from memory, cache file, or made now (vision NULL only when
 * dlm_train_data_has_features()). Valid until the next dlm_train_data_trim(). */
enum dlm_status dlm_train_data_pixels(struct dlm_train_data *d, size_t image,
                                      const float **pixels) DLM_CHECK_RESULT;
enum dlm_status dlm_train_data_features(struct dlm_train_data *d, size_t image,
                                        struct dlm_vision *vision,
                                        const float **features) DLM_CHECK_RESULT;

/* What images in memory may take between steps. */
#define DLM_TRAIN_HELD_BYTES ((size_t)1 << 30)

/* Drops from memory the images that were not used for longest, until they take no more than this.
 * Call between steps. */
void dlm_train_data_trim(struct dlm_train_data *d, size_t max_bytes);

#endif
