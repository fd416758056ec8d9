/* `dlm_matrix`, the program with the matrix units that software devices have but do not show: what
 * compare_precision.py measures, and nobody else wants. Nor are kernels tried in another process,
 * where a software driver takes minutes for the largest tiles, which no small case calls. The
 * linker puts these functions in the place of the library's (--wrap). */
#include "backend/backend.h"

enum dlm_status __real_dlm_device_open(struct dlm_ctx *ctx, struct dlm_device **out,
                                       const struct dlm_device_params *params);
enum dlm_status __wrap_dlm_device_open(struct dlm_ctx *ctx, struct dlm_device **out,
                                       const struct dlm_device_params *params);
struct dlm_ctx *__real_dlm_ctx_create(const struct dlm_ctx_params *params);
struct dlm_ctx *__wrap_dlm_ctx_create(const struct dlm_ctx_params *params);

struct dlm_ctx *__wrap_dlm_ctx_create(const struct dlm_ctx_params *params)
{
    struct dlm_ctx_params less = *params;

    less.try_device = NULL;
    return __real_dlm_ctx_create(&less);
}

enum dlm_status __wrap_dlm_device_open(struct dlm_ctx *ctx, struct dlm_device **out,
                                       const struct dlm_device_params *params)
{
    struct dlm_device_params more = *params;

    more.show_caps |= DLM_CAPS_MATRIX;
    return __real_dlm_device_open(ctx, out, &more);
}
