/* How a recording is cut into submissions. A driver's watchdog resets a device whose submission
 * takes too long (2 s on Windows and on amdgpu since Linux 7), so cuts follow measured times. */
#include "backend/vulkan/vk.h"

size_t dlm_vk_slices_cut(const double *seconds, size_t num, double aim, size_t max_num,
                         struct dlm_vk_slice *slices)
{
    size_t num_slices = 0;
    double sum = 0;

    for (size_t i = 0; i < num; i++) {
        struct dlm_vk_slice *last = num_slices ? &slices[num_slices - 1] : NULL;
        if (!last || last->num == max_num || sum + seconds[i] > aim) {
            last = &slices[num_slices++];
            last->first = i;
            last->num = 0;
            sum = 0;
        }
        last->num++;
        sum += seconds[i];
    }
    return num_slices;
}

bool dlm_vk_slices_are_stale(const struct dlm_vk_slice *slices, size_t num_slices,
                             const double *seconds, double aim)
{
    double total = 0;

    for (size_t s = 0; s < num_slices; s++) {
        double sum = 0;
        for (size_t i = slices[s].first; i < slices[s].first + slices[s].num; i++)
            sum += seconds[i];
        if (slices[s].num > 1 && sum > 2 * aim)
            return true;
        total += sum;
    }
    /* two neighbours of a fresh cut exceed the aim together, so it has at most 2 total / aim + 1 */
    return num_slices > 1 && (double)num_slices > 3 * (total / aim) + 1;
}
