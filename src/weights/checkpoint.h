/* Checkpoints on disk: safetensors files, one or sharded, mapped read-only and checked whole before
 * the first tensor is handed out; or files of another kind, whose tensors the caller lists. Knows
 * nothing of models; names are the file's own. */
#ifndef DLM_WEIGHTS_CHECKPOINT_H
#define DLM_WEIGHTS_CHECKPOINT_H

#include <stdint.h>

#include "base/attr.h"
#include "base/dtype.h"
#include "base/str.h"
#include "dlm/ctx.h"

#define DLM_TENSOR_MAX_DIMS 8

struct dlm_checkpoint;

#define DLM_TENSOR_MAX_PARTS 3 /* tensors that are one weight */

/* What a tensor of a GGUF file is to a model, and how its numbers lie. */
struct dlm_tensor_form {
    const char *canonical; /* the weight that it is, or is a part of: weights/names.h */
    int part, num_parts;   /* which of so many, one below the other */
    int64_t head_rows;     /* of each so many rows the halves are interleaved; 0: they are not */
    int block_type;        /* enum dlm_ggml_type, whose blocks data are; -1: elements */
};

/* One tensor as it lies in its file. Everything pointed to lives as long as the checkpoint. */
struct dlm_tensor_info {
    const char *name;
    const char *file;     /* path of the file that holds it */
    const char *st_type;  /* the file's own word: "F32", "BF16", "I64", ... */
    enum dlm_dtype dtype; /* DLM_DTYPE_COUNT: a type that nothing here can compute with */
    int ndim;
    int64_t shape[DLM_TENSOR_MAX_DIMS];
    const uint8_t *data; /* little-endian, row-major; aligned to nothing */
    size_t bytes;
    const struct dlm_tensor_form *form; /* NULL: of a safetensors file */
};

/* What identifies a file of the checkpoint without reading its tensors. */
struct dlm_checkpoint_file {
    const char *path;
    uint64_t bytes;
    int64_t mtime_ns;       /* of the last change, ns since 1970 */
    char header_sha256[65]; /* of the length word and the JSON header */
};

/* Opens a folder (model.safetensors, else model.safetensors.index.json and its shards) or one
 * file (*.safetensors, or *.index.json). Maps every file and checks every header.
 * Borrows path; returns *out owned, NULL on failure. DLM_ERR_IO: missing or unreadable;
 * DLM_ERR_PARSE: damaged, naming file and tensor; DLM_ERR_UNSUPPORTED: a pickle. */
enum dlm_status dlm_checkpoint_open(struct dlm_ctx *ctx, struct dlm_checkpoint **out,
                                    const char *path) DLM_CHECK_RESULT;

/* The same for a safetensors file that lies in memory; `name` stands for it in messages.
 * Borrows bytes until destroy, name until return. */
enum dlm_status dlm_checkpoint_open_memory(struct dlm_ctx *ctx, struct dlm_checkpoint **out,
                                           const char *name, const void *bytes,
                                           size_t len) DLM_CHECK_RESULT;

/* The same for files of another kind: maps them, in this order, and holds no tensor yet.
 * Borrows paths until return. */
enum dlm_status dlm_checkpoint_map(struct dlm_ctx *ctx, struct dlm_checkpoint **out,
                                   const char *const *paths, size_t num) DLM_CHECK_RESULT;

/* The bytes of such a file, as long as the checkpoint lives. */
const uint8_t *dlm_checkpoint_bytes(const struct dlm_checkpoint *ckpt, size_t file, size_t *len);

/* Says that the first header_bytes of such a file are what tells of its tensors. */
void dlm_checkpoint_set_header(struct dlm_checkpoint *ckpt, size_t file, size_t header_bytes);

/* Appends a tensor to one. Copies t and its form with their strings, but not the data; file is the
 * path of one of the files. */
enum dlm_status dlm_checkpoint_add(struct dlm_ctx *ctx, struct dlm_checkpoint *ckpt, size_t file,
                                   const struct dlm_tensor_info *t) DLM_CHECK_RESULT;

/* Memory that lives as long as the checkpoint, zeroed; NULL after logging. */
void *dlm_checkpoint_alloc(struct dlm_ctx *ctx, struct dlm_checkpoint *ckpt,
                           size_t bytes) DLM_CHECK_RESULT;

/* All tensors are there: sorts them. DLM_ERR_PARSE: a name is there twice. */
enum dlm_status dlm_checkpoint_end(struct dlm_ctx *ctx,
                                   struct dlm_checkpoint *ckpt) DLM_CHECK_RESULT;

void dlm_checkpoint_destroy(struct dlm_checkpoint **ckpt);

/* Whether a folder holds weights at all, readable or not: *has is false where dlm_checkpoint_open()
 * would find none of a checkpoint's files, not even some of its shards. */
enum dlm_status dlm_checkpoint_look(struct dlm_ctx *ctx, const char *dir,
                                    bool *has) DLM_CHECK_RESULT;

/* Tensors are sorted by name (bytewise); files in order of their names. */
size_t dlm_checkpoint_num_tensors(const struct dlm_checkpoint *ckpt);
const struct dlm_tensor_info *dlm_checkpoint_tensor(const struct dlm_checkpoint *ckpt, size_t i);
size_t dlm_checkpoint_num_files(const struct dlm_checkpoint *ckpt);
const struct dlm_checkpoint_file *dlm_checkpoint_file_at(const struct dlm_checkpoint *ckpt,
                                                         size_t i);

/* The tensor of exactly this name, NULL if there is none. Logs nothing. */
const struct dlm_tensor_info *dlm_checkpoint_find(const struct dlm_checkpoint *ckpt,
                                                  const char *name);

/* Its elements. */
int64_t dlm_tensor_len(const struct dlm_tensor_info *t);

/* DLM_ERR_UNSUPPORTED, naming file, tensor and type, when the tensor's type is none of ours. */
enum dlm_status dlm_tensor_check_dtype(struct dlm_ctx *ctx,
                                       const struct dlm_tensor_info *t) DLM_CHECK_RESULT;

/* DLM_ERR_INVALID, naming file, tensor and both shapes, when the shape is another. */
enum dlm_status dlm_tensor_check_shape(struct dlm_ctx *ctx, const struct dlm_tensor_info *t,
                                       int ndim, const int64_t *shape) DLM_CHECK_RESULT;

/* Lets the kernel drop the tensor's pages, or those of `bytes` from `offset` on: they were uploaded
 * or packed. They stay readable. */
void dlm_checkpoint_drop(const struct dlm_checkpoint *ckpt, const struct dlm_tensor_info *t);
void dlm_checkpoint_drop_part(const struct dlm_checkpoint *ckpt, const struct dlm_tensor_info *t,
                              size_t offset, size_t bytes);

/* One hash for all files, for keys of caches: of their base names and of what tells each from
 * another version of it: the name of the hub's blob behind a link, else size, mtime and header
 * hash. */
enum dlm_status dlm_checkpoint_identity(struct dlm_ctx *ctx, const struct dlm_checkpoint *ckpt,
                                        char sha[65]) DLM_CHECK_RESULT;

/* One hash of what the files hold, the same for copies under other names and after a `touch`: of
 * sizes, headers and the first bytes of each tensor, in which any two trainings differ. */
void dlm_checkpoint_fingerprint(const struct dlm_checkpoint *ckpt, char sha[65]);

/* Value of a key in the __metadata__ of the (first) file, NULL if absent. */
const char *dlm_checkpoint_metadata(const struct dlm_checkpoint *ckpt, const char *key);

/* --- writing --- */

/* One tensor to write; all pointers are borrowed. bytes must be what dtype and shape give. */
struct dlm_tensor_out {
    const char *name;
    enum dlm_dtype dtype; /* F32, F16, BF16, I32, U32 or U8 */
    int ndim;
    int64_t shape[DLM_TENSOR_MAX_DIMS];
    const void *data;
    size_t bytes;
    const char *st_type; /* the file's own word, for other types; NULL: dtype's */
};

struct dlm_metadata_pair {
    const char *key;
    const char *value;
};

/* Writes path as the safetensors library would: tensors by falling element size, then by name;
 * header padded with spaces to a multiple of 8. Equal input gives equal bytes.
 * Streams from the caller's memory into a temporary file beside path, fsync, rename, fsync of the
 * folder; on failure the temporary file is gone and what was at path is untouched.
 * DLM_ERR_INVALID: a name twice, a size that does not fit; DLM_ERR_IO: names path (disk full). */
enum dlm_status dlm_safetensors_write(struct dlm_ctx *ctx, const char *path,
                                      const struct dlm_tensor_out *tensors, size_t num_tensors,
                                      const struct dlm_metadata_pair *metadata,
                                      size_t num_metadata) DLM_CHECK_RESULT;

/* What such a file begins with, for a writer of its own: length word and header are appended to
 * out, and tensors, of which data is not looked at, get the order in which their data follow. path
 * is for messages. */
enum dlm_status dlm_safetensors_plan(struct dlm_ctx *ctx, const char *path,
                                     struct dlm_tensor_out *tensors, size_t num_tensors,
                                     const struct dlm_metadata_pair *metadata, size_t num_metadata,
                                     struct dlm_str *out) DLM_CHECK_RESULT;

#endif
