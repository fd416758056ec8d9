/* One safetensors file: the header's checks, and the types' table. Inside src/weights only. */
#ifndef DLM_WEIGHTS_SAFETENSORS_H
#define DLM_WEIGHTS_SAFETENSORS_H

#include <jansson.h>

#include "base/mem.h"
#include "weights/checkpoint.h"

/* The library's own limit on the JSON header, in bytes. */
#define DLM_SAFETENSORS_MAX_HEADER 100000000u

struct dlm_st_type {
    const char *name;
    unsigned bits; /* of one element */
    int rank;      /* the library writes tensors by falling rank */
    enum dlm_dtype dtype;
};

/* NULL for a word that is no type. */
const struct dlm_st_type *dlm_st_type_by_name(const char *name);
/* The type that a dtype is written as; NULL if there is none. */
const struct dlm_st_type *dlm_st_type_of(enum dlm_dtype dtype);

/* Tensors of one or several files in order of appearance; strings lie in the arena. */
struct dlm_tensor_list {
    struct dlm_arena arena;
    struct dlm_tensor_info *items;
    size_t len, cap;
};
void dlm_tensor_list_finish(struct dlm_tensor_list *list);

/* Checks the file at data[0..bytes) and appends its tensors, which point into data. path stands in
 * messages and, copied, in the tensors. header_sha256 gets the hash of length word and header;
 * *metadata (may be NULL) the __metadata__ object, owned by the caller, NULL if absent. */
enum dlm_status dlm_safetensors_parse(struct dlm_ctx *ctx, struct dlm_tensor_list *list,
                                      const char *path, const uint8_t *data, size_t bytes,
                                      char header_sha256[65], json_t **metadata) DLM_CHECK_RESULT;

#endif
