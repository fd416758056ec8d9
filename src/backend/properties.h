/* What drivers say of their devices, for people to read: no choice of a kernel depends on it. */
#ifndef DLM_BACKEND_PROPERTIES_H
#define DLM_BACKEND_PROPERTIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "dlm/device.h"

/* Products of four bytes with sums of 32 bits. */
enum dlm_int8_dot {
    DLM_INT8_DOT_NONE,
    DLM_INT8_DOT_EMULATED, /* as several instructions */
    DLM_INT8_DOT_FAST,
    DLM_INT8_DOT_COUNT
};

/* A product of matrix units: a [m, k], b [k, n], c and result [m, n], by names of types: "f16". */
struct dlm_matrix_shape {
    char a[8], b[8], c[8], result[8];
    uint32_t m, n, k;
};

#define DLM_MAX_MATRIX_SHAPES 64

struct dlm_device_properties {
    struct dlm_device_info info;
    char vendor[64];      /* "": not known */
    uint64_t free_bytes;  /* of its memory, now; 0: the driver does not tell */
    char free_from[40];   /* who told: an extension's name, or "machine"; "": nobody */
    bool has_f16;         /* arithmetic in f16 */
    enum dlm_int8_dot int8_dot;
    /* Lanes of a subgroup: usual, and between which it varies; 0: not known. */
    uint32_t subgroup, min_subgroup, max_subgroup;
    double tick_ns;       /* of the device's clock for timestamps; 0: it has none */
    struct dlm_matrix_shape shapes[DLM_MAX_MATRIX_SHAPES];
    uint32_t num_shapes;
};

/* Devices of one kind, as many as there are and max allows, found in this process: a driver that
 * crashes or hangs on it ends or holds the process. Returns their number; kinds that are not part
 * of this build have none. */
int dlm_device_probe(struct dlm_ctx *ctx, enum dlm_backend_kind kind,
                     struct dlm_device_properties *list, int max);

/* True for a kind that is part of this build. */
bool dlm_backend_is_built(enum dlm_backend_kind kind);

#define DLM_MAX_PROBED 64 /* of one kind */

#endif
