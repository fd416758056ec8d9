/* The limit of AMX in bf16: params.rounds times 4 products of whole tiles an item, each of 16 x 16
 * sums over 32. */
#include "cpukernels/amx.h"
#include "cpukernels/cpukernels.h"

void dlm_cpu_limit_bf16_amx(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_limit_params *p = call->params;

    (void)item;
    dlm_amx_configure(); /* and all tiles are zero */
    for (uint32_t n = 0; n < p->rounds; n++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
}
