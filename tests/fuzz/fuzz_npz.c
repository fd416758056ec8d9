/* Fuzz entry: any bytes as a .npz archive; of an array found, every byte is read. */
#include <stddef.h>
#include <stdint.h>

#include "images/npz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlm_npz_view view;
    volatile unsigned sum = 0; /* so that the reads stay */

    if (!dlm_npz_find_f32(data, size, "pixel_values", &view))
        for (size_t i = 0; i < view.bytes; i++)
            sum += view.data[i];
    (void)sum;
    return 0;
}
