/* What `dlm doctor --verify` compares: each node of a model's programs on its device with a
 * reference that gets the same inputs, so that no error is carried from one tensor to the next. */
#ifndef DLM_DOCTOR_VERIFY_H
#define DLM_DOCTOR_VERIFY_H

#include "graph/program.h"
#include "models/model.h"

/* Where the worst element of a tensor lies. */
struct dlm_verify_finding {
    char name[160];    /* "vision tower, block 3, attention output" */
    char index[64];    /* "[0, 17, 4]" */
    double got, want;
    double difference; /* over the largest value of its row; infinite for what is no number */
    double tolerance;
};

/* All zero but ctx, model and cpu is ready. */
struct dlm_verify {
    struct dlm_ctx *ctx;           /* borrowed, as what follows */
    const struct dlm_model *model; /* on the device that is looked at, weights loaded */
    struct dlm_device *cpu;        /* computes what plain C would take too long for */
    /* Test option: changes what a node has written, before it is read. */
    enum dlm_status (*fault)(void *user, struct dlm_program *program, const struct dlm_node *node);
    void *user;
    int64_t plain_work; /* test option: most work of a node in plain C; 0: what takes no time */

    size_t num_tensors, num_plain; /* compared; of these with plain C */
    size_t num_wrong;
    struct dlm_verify_finding first, largest; /* the first that is wrong; the largest difference */

    /* the node that is run */
    struct dlm_host_tensor *inputs; /* [DLM_MAX_INPUTS], data owned */
    const struct dlm_program *prompt; /* the first program that chose a token; others are for one */
    /* what programs ended with, run node by node, in order */
    struct dlm_host_tensor *ends;
    size_t num_ends, cap_ends, at_end;
};

/* Makes a watch that compares node by node, to be set as a workspace's. Borrows v. */
struct dlm_program_watch dlm_verify_nodes(struct dlm_verify *v);

/* The same runs again, recorded whole: what they end with is compared with what they ended with
 * node by node, so that a fault of order or memory is seen that no node has alone. */
struct dlm_program_watch dlm_verify_whole(struct dlm_verify *v);
void dlm_verify_finish(struct dlm_verify *v);

/* What a node's output is called, by the weights that it was made with. */
void dlm_verify_name(const struct dlm_model *model, const struct dlm_node *node, char *name,
                     size_t name_bytes);

#endif
