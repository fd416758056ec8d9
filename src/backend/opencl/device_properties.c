/* What OpenCL devices say of themselves, for people to read. */
#include "backend/opencl/opencl.h" /* first: it says which OpenCL version is meant */

#include <stdio.h>

/* cl_khr_integer_dot_product: six truths, the first of signed bytes */
#define INT8_DOT_ACCELERATION 0x1074
/* cl_nv_device_attribute_query and cl_amd_device_attribute_query: lanes of a warp, of a wave */
#define WARP_SIZE_NV 0x4003
#define WAVEFRONT_WIDTH_AMD 0x4043

#define MAX_SIZES 16

static enum dlm_int8_dot find_int8_dot(cl_device_id id)
{
    cl_bool accelerated[6] = {0};

    if (!dlm_ocl_has_extension(id, "cl_khr_integer_dot_product"))
        return DLM_INT8_DOT_NONE;
    if (clGetDeviceInfo(id, INT8_DOT_ACCELERATION, sizeof(accelerated), accelerated, NULL) !=
        CL_SUCCESS)
        return DLM_INT8_DOT_EMULATED;
    return accelerated[0] ? DLM_INT8_DOT_FAST : DLM_INT8_DOT_EMULATED;
}

/* OpenCL tells a kernel's subgroup size, and a device's only by extensions. */
static void find_subgroups(cl_device_id id, struct dlm_device_properties *p)
{
    size_t sizes[MAX_SIZES];
    const int num = dlm_ocl_subgroup_sizes(id, sizes, MAX_SIZES);

    p->subgroup = dlm_ocl_get_uint(id, WARP_SIZE_NV);
    if (!p->subgroup)
        p->subgroup = dlm_ocl_get_uint(id, WAVEFRONT_WIDTH_AMD);
    p->min_subgroup = p->max_subgroup = p->subgroup;
    for (int i = 0; i < num; i++) {
        const uint32_t size = (uint32_t)sizes[i]; /* at most a work-group's lanes */
        p->min_subgroup = i ? DLM_MIN(p->min_subgroup, size) : size;
        p->max_subgroup = i ? DLM_MAX(p->max_subgroup, size) : size;
    }
}

/* The extension has one shape a type: 8 rows, a column a lane, and 32 bytes of depth. */
static void find_matrix_shapes(cl_device_id id, struct dlm_device_properties *p)
{
    static const struct {
        const char *type, *sum;
        uint32_t k;
    } types[] = {{"f16", "f32", 16}, {"bf16", "f32", 16}, {"s8", "s32", 32}, {"u8", "s32", 32}};

    if (!dlm_ocl_has_extension(id, "cl_intel_subgroup_matrix_multiply_accumulate"))
        return;
    for (size_t i = 0; i < DLM_ARRAY_LEN(types); i++) {
        struct dlm_matrix_shape *s = &p->shapes[p->num_shapes++];
        *s = (struct dlm_matrix_shape){.m = 8, .n = p->min_subgroup, .k = types[i].k};
        snprintf(s->a, sizeof(s->a), "%s", types[i].type);
        snprintf(s->b, sizeof(s->b), "%s", types[i].type);
        snprintf(s->c, sizeof(s->c), "%s", types[i].sum);
        snprintf(s->result, sizeof(s->result), "%s", types[i].sum);
    }
}

static double find_tick(cl_device_id id)
{
    cl_command_queue_properties queue = 0;
    size_t ns = 0;

    if (clGetDeviceInfo(id, CL_DEVICE_QUEUE_PROPERTIES, sizeof(queue), &queue, NULL) !=
            CL_SUCCESS || !(queue & CL_QUEUE_PROFILING_ENABLE) ||
        clGetDeviceInfo(id, CL_DEVICE_PROFILING_TIMER_RESOLUTION, sizeof(ns), &ns, NULL) !=
            CL_SUCCESS)
        return 0;
    return (double)ns;
}

void dlm_ocl_device_properties(const struct dlm_ocl_candidate *candidate, int index,
                               struct dlm_device_properties *p)
{
    const char *from;

    *p = (struct dlm_device_properties){0};
    dlm_ocl_device_info(candidate, index, &p->info);
    dlm_ocl_get_text(candidate->id, CL_DEVICE_VENDOR, p->vendor, sizeof(p->vendor));
    p->free_bytes = dlm_ocl_free_bytes(candidate->id, &p->info, &from);
    snprintf(p->free_from, sizeof(p->free_from), "%s", from);
    p->has_f16 = dlm_ocl_has_extension(candidate->id, "cl_khr_fp16");
    p->int8_dot = find_int8_dot(candidate->id);
    find_subgroups(candidate->id, p);
    find_matrix_shapes(candidate->id, p);
    p->tick_ns = find_tick(candidate->id);
}
