/* The range of an elementwise CPU kernel's work item. */
#ifndef DLM_CPUKERNELS_MAP_H
#define DLM_CPUKERNELS_MAP_H

#include "cpukernels/cpukernels.h"

struct dlm_span {
    size_t begin, len;
};

/* Work item `item` of an elementwise kernel over total elements; len 0 past the end. */
static inline struct dlm_span dlm_map_span(int64_t item, uint32_t total)
{
    const size_t begin = DLM_MIN((size_t)item * DLM_GROUP_ELEMS, (size_t)total);

    return (struct dlm_span){begin, DLM_MIN((size_t)DLM_GROUP_ELEMS, total - begin)};
}

/* Calls X(kind) with the kind as a constant, so that what it calls has one loop a kind. */
#define DLM_EACH_ACT(kind, X)                                                                      \
    do {                                                                                           \
        switch (kind) {                                                                            \
        case DLM_ACT_GELU_TANH:                                                                    \
            X(DLM_ACT_GELU_TANH);                                                                  \
            break;                                                                                 \
        case DLM_ACT_GELU_ERF:                                                                     \
            X(DLM_ACT_GELU_ERF);                                                                   \
            break;                                                                                 \
        case DLM_ACT_QUICK_GELU:                                                                   \
            X(DLM_ACT_QUICK_GELU);                                                                 \
            break;                                                                                 \
        case DLM_ACT_TANH:                                                                         \
            X(DLM_ACT_TANH);                                                                       \
            break;                                                                                 \
        default:                                                                                   \
            X(DLM_ACT_SILU);                                                                       \
        }                                                                                          \
    } while (0)

#endif
