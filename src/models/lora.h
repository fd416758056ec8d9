/* The trainable part: LoRA modules over one flat parameter vector (Hu et al., 2021; PEFT's Linear):
 *
 *     y = W x + b + on * scaling * B (A dropout(x)),   A [r, in], B [out, r] f32
 *
 * Parameters, gradients and both moments are four flat f32 buffers with one table of offsets. */
#ifndef DLM_MODELS_LORA_H
#define DLM_MODELS_LORA_H

#include "ir/graph.h"
#include "weights/adapter.h"

struct dlm_lora_module {
    char *path; /* canonical module path in the base */
    uint32_t hash; /* of path: names the dropout stream */
    int64_t r, in, out;
    float alpha, scaling;
    int64_t a_at, b_at; /* offsets in the flat vectors, in elements */
    const void *input; /* what modules of one input have in common; NULL: nothing */
    struct dlm_lora_module *first; /* of those whose A are one matrix; maybe itself */
    int64_t row0;                  /* of its A in that matrix */
    int64_t all_rows;              /* of that matrix; in the first module */
    struct dlm_storage a, b, grad_a, grad_b; /* where they lie on the device; a: the first's */
};

struct dlm_lora_params {
    int64_t r;
    float alpha, dropout;
    bool use_rslora;
};

struct dlm_lora {
    struct dlm_ctx *ctx;
    struct dlm_lora_params params;
    struct dlm_lora_module **modules; /* in order of declaration */
    size_t num, cap;
    int64_t len;     /* of the flat vectors, in elements: a multiple of the alignment */
    float *values;   /* [len], host; what is uploaded, or was read back */
    struct dlm_storage flat, grads, m, v; /* on the device; grads, m, v only for training */
};

enum dlm_status dlm_lora_create(struct dlm_ctx *ctx, struct dlm_lora **out,
                                const struct dlm_lora_params *params) DLM_CHECK_RESULT;
void dlm_lora_destroy(struct dlm_lora **lora);

/* Adds a module of the given rank (0: the params') and alpha (0: the params'). Modules that are
 * added one after the other with the same input (a pointer that is compared only; NULL: none) have
 * their A one below the other, as one matrix. */
enum dlm_status dlm_lora_add(struct dlm_lora *lora, const char *path, const void *input,
                             int64_t in, int64_t out, int64_t r, float alpha) DLM_CHECK_RESULT;

/* The module of a path, NULL if it is not adapted. lora may be NULL. */
struct dlm_lora_module *dlm_lora_find(const struct dlm_lora *lora, const char *path);

/* PEFT's start: A uniform in +-1/sqrt(in) (kaiming_uniform with a = sqrt 5), B zero; numbers are
 * Philox of (seed, hash of the path). */
enum dlm_status dlm_lora_init(struct dlm_lora *lora, uint64_t seed) DLM_CHECK_RESULT;

/* Takes every module's values from an adapter; shapes must fit. */
enum dlm_status dlm_lora_read(struct dlm_lora *lora,
                              const struct dlm_adapter *adapter) DLM_CHECK_RESULT;

/* What of the parameters is on a device; each holds what the one before does. */
enum dlm_lora_use {
    DLM_LORA_VALUES,
    DLM_LORA_GRADIENTS,
    DLM_LORA_MOMENTS, /* both: training */
};

/* Puts the parameters on the device, with gradients and moments of zero as they are used. */
enum dlm_status dlm_lora_upload(struct dlm_lora *lora, struct dlm_device *device,
                                enum dlm_lora_use use) DLM_CHECK_RESULT;

/* Frees what is on the device beside the values. No program may use it any more. */
void dlm_lora_keep_values(struct dlm_lora *lora);

/* Bytes that it has on the device now. */
uint64_t dlm_lora_loaded_bytes(const struct dlm_lora *lora);

/* Reads a flat vector (&lora->flat, ...) back into out [len]. */
enum dlm_status dlm_lora_download(struct dlm_lora *lora, const struct dlm_storage *flat,
                                  float *out) DLM_CHECK_RESULT;

/* Leaves of a module in a graph, with gradients when for_training: the matrix that its A is rows
 * of [first->all_rows, in], and B. */
struct dlm_tensor *dlm_lora_leaf_a(struct dlm_graph *g, const struct dlm_lora_module *m,
                                   bool for_training);
struct dlm_tensor *dlm_lora_leaf_b(struct dlm_graph *g, const struct dlm_lora_module *m,
                                   bool for_training);

#endif
