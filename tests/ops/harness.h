/* Rows of op tests: one body runs on every device, beside the C reference.
 *
 * A row is an op with attributes and inputs. Inputs are made from a seed; the expected outputs come
 * from the op's C reference (itself checked against PyTorch in goldens.c). On every device each
 * tensor has its own buffer with guards, filled with NaN, so that a write outside, an element left
 * out, or a read of what is not there fails. Small rows then run once more with long dispatches cut
 * in parts, and must give the same bits. */
#ifndef DLM_TESTS_OPS_HARNESS_H
#define DLM_TESTS_OPS_HARNESS_H

#include "graph/program.h"
#include "graph/rewrite.h"
#include "ops/matmul_impl.h"
#include "ops/build.h"
#include "ops/reference.h"
#include "tests/check.h"

enum row_fill {
    FILL_NORMAL,  /* normal, times scale (0 means 1) */
    FILL_UNIFORM, /* in [0, 1), times scale (0 means 1) */
    FILL_CONST,   /* scale everywhere */
    FILL_IDS,     /* integers 0..max-1 */
    FILL_EXTREME, /* zeros, denormals, 1e-30..1e30 of both signs, times scale (0 means 1) */
    FILL_DATA_F32, /* data, repeated */
    FILL_DATA_I32,
};

enum row_view {
    VIEW_NONE,
    VIEW_TRANSPOSED, /* of the last two dimensions: stored the other way round */
    VIEW_REVERSED,   /* of all dimensions: stored in the opposite order */
    VIEW_SLICED,     /* a slice of a larger tensor: 3 more before and 2 after in the first and the
                        last dimension */
    VIEW_INNER, /* the same of the last dimension but one alone: 1 before and 1 after */
};

struct row_input {
    enum dlm_dtype dtype;
    int ndim; /* 0: an optional input that is absent */
    int64_t shape[DLM_MAX_DIMS];
    enum row_fill fill;
    double scale;
    int32_t max;
    enum row_view view;
    const void *data;
    int data_len;
};

/* How far a device may be from the reference: |got - want| <= atol + rtol |want|, or for NORM kinds
 * ||got - want|| <= rtol ||want||. One table, in harness.c. */
enum row_tolerance {
    TOL_EXACT,       /* copies, gathers, integer results */
    TOL_ELEMENTWISE, /* a few roundings, exp, tanh */
    TOL_REDUCTION,   /* sums over a row */
    TOL_PRODUCT,     /* matmul, attention: f32 sums of f32 products */
    TOL_PRODUCT_16,  /* the same with an operand rounded to 16 bit inside */
    TOL_STORE_16,    /* results stored in 16 bit */
};

struct op_row {
    const char *name;
    const struct dlm_op *op;
    union dlm_attrs attrs;
    int num_inputs;
    struct row_input inputs[DLM_MAX_INPUTS];
    enum row_tolerance tolerance;
    /* The row must notice attributes: with these instead, the reference's answer changes by more
     * than ten times the tolerance. NULL: nothing to notice. */
    const union dlm_attrs *unlike;
    int skip_outputs; /* bit i: output i is not compared (a saved intermediate) */
};

/* Runs the rows on the C reference and every device; returns the exit status. Where a device has
 * DLM_CAP_NO_LOCAL, small rows of ops with kernels for local memory run once more without it.
 * With `--bench` the rows are timed instead (bench.c). */
int op_rows_main(int argc, char **argv, const struct op_row *rows, size_t num);

bool row_is_attention(const struct op_row *row);
/* Its op has kernels for devices with local memory, beside those without. */
bool row_has_local_variant(const struct op_row *row);
/* A device that only pretends that barriers are fast takes long over larger rows, to say nothing
 * new. */
bool row_is_small(const struct op_row *row);

/* Whether a device of these capabilities has matrix units for the row's op; a forced tile. */
bool row_has_matrix_units(const struct op_row *row, uint32_t caps);
bool row_has_tile(const struct dlm_device_caps *caps, enum dlm_matmul_tile tile);

/* The row, under a policy of 16 bits where it takes that for matrix units to do it. */
struct op_row row_for_matrix_units(struct op_row row);

/* Deterministic test data. */
void row_fill_host(const struct row_input *in, const struct dlm_desc *desc, void *data,
                   uint64_t seed);

#endif
