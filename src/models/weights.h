/* A model's frozen weights: declared from config.json, counted by the plan, then loaded into the
 * one resident form that their device has. */
#ifndef DLM_MODELS_WEIGHTS_H
#define DLM_MODELS_WEIGHTS_H

#include "ir/graph.h"
#include "models/quant_policy.h"
#include "weights/bnb.h"
#include "weights/checkpoint.h"
#include "weights/names.h"

enum dlm_weight_kind {
    DLM_WEIGHT_MATRIX, /* operand of matmul or embedding [rows, cols]; may be split in row slabs */
    DLM_WEIGHT_VECTOR, /* norms, biases, positions: f32, whole */
};

/* The part of a model to which a weight belongs: parts are loaded, freed and counted apart. Bits,
 * so that several can be named at once. */
enum dlm_weight_group {
    DLM_WEIGHT_GROUP_TOWER = 1,
    DLM_WEIGHT_GROUP_PROJECTOR = 2,
    DLM_WEIGHT_GROUP_DECODER = 4, /* with the embedding, and with a head that is tied to it */
    DLM_WEIGHT_GROUP_HEAD = 8,    /* a head of its own */
};
/* All that a pass reads when features come from a cache; everything. */
#define DLM_WEIGHT_GROUPS_NO_TOWER                                                                 \
    (DLM_WEIGHT_GROUP_PROJECTOR | DLM_WEIGHT_GROUP_DECODER | DLM_WEIGHT_GROUP_HEAD)
#define DLM_WEIGHT_GROUPS_ALL (DLM_WEIGHT_GROUP_TOWER | DLM_WEIGHT_GROUPS_NO_TOWER)

/* Rows [row0, row0 + rows) of a matrix, as one tensor of the graph. */
struct dlm_weight_slab {
    int64_t row0, rows;
    struct dlm_storage storage;
};

/* What a tensor of the checkpoint gives to a weight: elements [begin, begin + len), whole
 * rows of a matrix. Its own order of rows and form is the source's: dlm_tensor_form. */
struct dlm_weight_part {
    char *name; /* canonical, as the family declares it */
    const struct dlm_tensor_info *source; /* NULL: random numbers (bench) */
    struct dlm_bnb_weight *bnb; /* of a source in 4 bits, else NULL */
    int64_t begin, len;
};

struct dlm_weight {
    char *name; /* its part's; of several: "a.q|k|v.weight" */
    enum dlm_weight_kind kind;
    enum dlm_weight_group group;
    int64_t rows, cols;   /* a vector: 1 row, or the rows of a table of positions */
    enum dlm_dtype dtype; /* resident */
    enum dlm_layout layout;
    int num_parts; /* more than one: several tensors as one operand, one below the other */
    struct dlm_weight_part *parts;
    int num_slabs;
    struct dlm_weight_slab *slabs;
};

struct dlm_weights {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    enum dlm_dtype policy;
    struct dlm_quant_policy quant;
    size_t num_unfit; /* matrices that quant means but that are not whole blocks */
    const struct dlm_weight *first_unfit; /* of these; NULL: there is none */
    enum dlm_dtype unfit_type; /* what that one was to be in */
    size_t num_widened; /* tensors in blocks of which there are no operands */
    const struct dlm_tensor_info *first_widened; /* of these */
    struct dlm_checkpoint *checkpoint; /* NULL: random weights */
    enum dlm_dtype file_dtype; /* without one: as if its matrices had this type */
    char **names; /* canonical names of the checkpoint's tensors, by their index */
    const struct dlm_family *family; /* for what names are in GGUF files; NULL: not known */
    struct dlm_weight **list;
    size_t num, cap;
    /* Called after each weight that dlm_weights_load() has loaded, with what the files hold of it;
     * NULL: no one. Borrowed, as is loaded_user */
    void (*loaded)(void *loaded_user, uint64_t bytes);
    void *loaded_user;
};

/* ckpt NULL: weights are random numbers of the right shapes, for bench. map makes the checkpoint's
 * names canonical. quant NULL: no weight is quantised. Borrows device; takes ckpt (also on
 * failure). */
enum dlm_status dlm_weights_create(struct dlm_ctx *ctx, struct dlm_weights **out,
                                   struct dlm_device *device, enum dlm_dtype policy,
                                   const struct dlm_quant_policy *quant,
                                   struct dlm_checkpoint *ckpt,
                                   const struct dlm_name_map *map) DLM_CHECK_RESULT;
void dlm_weights_destroy(struct dlm_weights **weights);

/* Names what was to be quantised and is not: no silent detour, though nothing is wrong with it. */
void dlm_weights_tell_unfit(const struct dlm_weights *w);

/* Where weights are declared: below a module path, as part of a group. */
struct dlm_weight_scope {
    struct dlm_weights *weights; /* borrowed */
    enum dlm_weight_group group;
    char path[192]; /* families' own module paths, far shorter */
    bool is_table; /* its matrices are embeddings or heads: not in the usual quant scope */
};

/* The scope of a module below another, "layers.%d". */
struct dlm_weight_scope dlm_weight_scope_below(const struct dlm_weight_scope *scope,
                                               const char *fmt, ...) DLM_PRINTF(2, 3);

/* What the files hold of a weight; 0 of random ones. */
uint64_t dlm_weight_file_bytes(const struct dlm_weight *w);

/* Declares the weight <scope's path>.<name>: finds it in the checkpoint, checks its shape (more
 * dimensions whose product is cols will do), chooses type, layout and slabs. *out is owned by the
 * scope's weights. A vector is [cols] in the file, a table of vectors [rows, cols]. */
enum dlm_status dlm_weights_add_matrix(const struct dlm_weight_scope *scope, const char *name,
                                       int64_t rows, int64_t cols,
                                       struct dlm_weight **out) DLM_CHECK_RESULT;
enum dlm_status dlm_weights_add_vector(const struct dlm_weight_scope *scope, const char *name,
                                       int64_t len, struct dlm_weight **out) DLM_CHECK_RESULT;
enum dlm_status dlm_weights_add_table(const struct dlm_weight_scope *scope, const char *name,
                                      int64_t rows, int64_t cols,
                                      struct dlm_weight **out) DLM_CHECK_RESULT;

/* A tensor that becomes part of a weight: rows of a matrix, or elements of a vector. */
struct dlm_weight_piece {
    const char *name;
    int64_t rows;
};

/* Whether a file has the tensors in the same blocks, or in none: as one matrix they would have to
 * be neither. */
bool dlm_weights_can_join(const struct dlm_weight_scope *scope,
                          const struct dlm_weight_piece *pieces, int num);

/* As above, from several tensors one below the other: a matrix [sum of rows, cols], a vector
 * [sum of rows]. Where their types differ under the policy, the weight is f32. */
enum dlm_status dlm_weights_join_matrix(const struct dlm_weight_scope *scope,
                                        const struct dlm_weight_piece *pieces, int num,
                                        int64_t cols, struct dlm_weight **out) DLM_CHECK_RESULT;
enum dlm_status dlm_weights_join_vector(const struct dlm_weight_scope *scope,
                                        const struct dlm_weight_piece *pieces, int num,
                                        struct dlm_weight **out) DLM_CHECK_RESULT;

/* The checkpoint's tensor of this canonical name, NULL if there is none; of several that are parts
 * of it the first. */
const struct dlm_tensor_info *dlm_weights_find(const struct dlm_weights *weights,
                                               const char *name);

/* The type in blocks in which a part's tensor lies in its file; f32: it has elements. */
enum dlm_dtype dlm_weight_part_saved(const struct dlm_weight_part *part);

/* Bytes that the declared weights of the groups take on the device. */
size_t dlm_weights_bytes(const struct dlm_weights *weights, uint32_t groups);

/* What the process has of its own in memory of those that lie on a device whose host_page_bytes
 * these are; *loading: at most while dlm_weights_load() reads them, what is mapped of the files and
 * staged included. */
uint64_t dlm_weights_host_bytes(const struct dlm_weights *weights, uint32_t groups,
                                size_t host_page_bytes, uint64_t *loading);

/* Parameters of the declared weights. */
uint64_t dlm_weights_num_params(const struct dlm_weights *weights);

/* Bytes of those of the groups that are on the device now. */
size_t dlm_weights_loaded_bytes(const struct dlm_weights *weights, uint32_t groups);

/* Allocates and fills every declared weight of the groups. Weights that are loaded already stay.
 * The files' pages are dropped as they are read. */
enum dlm_status dlm_weights_load(struct dlm_weights *weights, uint32_t groups) DLM_CHECK_RESULT;

/* Frees the device memory of what dlm_weights_load() loaded; no program may use it any more. */
void dlm_weights_unload(struct dlm_weights *weights, uint32_t groups);

/* Rows [row, row + n) in the resident type, row-major, as the checkpoint has them, whatever is on
 * the device. out: n * cols elements. Of a weight in 4 or 8 bits the rows are those of a slab. */
enum dlm_status dlm_weight_read(struct dlm_ctx *ctx, const struct dlm_weight *weight, int64_t row,
                                int64_t n, void *out) DLM_CHECK_RESULT;

/* The leaf of a slab in a graph; made anew for each graph. */
struct dlm_tensor *dlm_weight_leaf(struct dlm_graph *graph, const struct dlm_weight *weight,
                                   int slab);

#endif
