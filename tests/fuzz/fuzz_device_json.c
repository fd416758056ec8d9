/* A device as another process tells of it, which holds a driver that may have written anything:
 * what is read is bounded, and says the same when it is told on. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "doctor/device_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_text(const char *text, size_t cap)
{
    return memchr(text, '\0', cap) != NULL;
}

static void check_device(const struct dlm_device_properties *p)
{
    struct dlm_device_properties again;
    json_t *object;

    if (p->num_shapes > DLM_MAX_MATRIX_SHAPES || p->info.index < 0 ||
        p->int8_dot >= DLM_INT8_DOT_COUNT || p->info.kind >= DLM_BACKEND_COUNT ||
        !is_text(p->info.name, sizeof(p->info.name)) || !is_text(p->vendor, sizeof(p->vendor)))
        __builtin_trap();
    object = dlm_device_json(p);
    if (!object || dlm_device_from_json(NULL, object, "fuzz", &again) ||
        again.info.memory_bytes != p->info.memory_bytes || again.num_shapes != p->num_shapes ||
        strlen(again.info.driver) != strlen(p->info.driver))
        __builtin_trap();
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlm_device_properties p;
    json_t *answer = NULL;

    if (dlm_json_parse(NULL, "fuzz", (const char *)data, size, &answer))
        return 0;
    for (size_t i = 0; i < json_array_size(answer); i++)
        if (!dlm_device_from_json(NULL, json_array_get(answer, i), "fuzz", &p))
            check_device(&p);
    json_decref(answer);
    return 0;
}
