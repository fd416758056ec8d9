/* Status codes: what every fallible dlm function returns. */
#ifndef DLM_STATUS_H
#define DLM_STATUS_H

#include "dlm/api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, text). DLM_OK is 0 and the only success. */
#define DLM_STATUS_LIST(X)                                                                         \
    X(DLM_OK, "done")                                                                              \
    X(DLM_ERR_MEMORY, "out of memory")                                                             \
    X(DLM_ERR_INVALID, "invalid argument or input")                                                \
    X(DLM_ERR_PARSE, "damaged or malformed input")                                                 \
    X(DLM_ERR_IO, "input/output error")                                                            \
    X(DLM_ERR_UNSUPPORTED, "not supported")                                                        \
    X(DLM_ERR_NO_DEVICE, "no usable device")                                                       \
    X(DLM_ERR_DEVICE, "device error")                                                              \
    X(DLM_ERR_DEVICE_LOST, "device lost")                                                          \
    X(DLM_ERR_CANCELLED, "interrupted")                                                            \
    X(DLM_ERR_USAGE, "wrong usage")

enum dlm_status {
#define DLM_STATUS_ENUM(name, text) name,
    DLM_STATUS_LIST(DLM_STATUS_ENUM)
#undef DLM_STATUS_ENUM
};

/* Short English text of a status; never NULL. */
DLM_API const char *dlm_status_text(enum dlm_status status);

#ifdef __cplusplus
}
#endif

#endif
