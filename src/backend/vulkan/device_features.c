/* Optional features of Vulkan devices: which there are, which of them our kernels may rely on, and
 * enabling them. What a driver says is not enough: some emulate matrix units at a thousandth of
 * the speed, and some compile kernels for them wrongly. */
#include "backend/vulkan/vk.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

/* Shapes that matrix kernels are compiled for (embed_shaders.sh), the best one first. */
static const uint8_t shapes[][3] = {{16, 16, 16}, {8, 16, 16}, {8, 8, 8}};

#define SUBGROUP_OPERATIONS                                                                        \
    (VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_VOTE_BIT |                                \
     VK_SUBGROUP_FEATURE_ARITHMETIC_BIT | VK_SUBGROUP_FEATURE_BALLOT_BIT |                         \
     VK_SUBGROUP_FEATURE_SHUFFLE_BIT)

/* What decides which features are used. */
struct probe {
    VkPhysicalDeviceProperties base;
    VkDriverId driver;
    VkPhysicalDeviceSubgroupProperties subgroup;
    VkPhysicalDeviceSubgroupSizeControlPropertiesEXT sizes; /* zero: no control */
    VkPhysicalDeviceShaderSMBuiltinsPropertiesNV nvidia;
    bool has_fast_mixed_dot; /* of signed and unsigned bytes: what RDNA3 has and RDNA2 has not */
};

static bool is_amd_closed(VkDriverId driver)
{
    return driver == VK_DRIVER_ID_AMD_PROPRIETARY || driver == VK_DRIVER_ID_AMD_OPEN_SOURCE;
}

static bool is_intel(VkDriverId driver)
{
    return driver == VK_DRIVER_ID_INTEL_PROPRIETARY_WINDOWS ||
           driver == VK_DRIVER_ID_INTEL_OPEN_SOURCE_MESA;
}

static void read_probe(const struct dlm_vk_device *d, bool has_control, struct probe *p)
{
    VkPhysicalDeviceShaderIntegerDotProductPropertiesKHR dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES_KHR,
    };
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
        .pNext = &p->subgroup,
    };
    VkPhysicalDeviceProperties2 props = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
        .pNext = &driver,
    };
    const bool is_1_3 = d->api_version >= VK_API_VERSION_1_3;

    *p = (struct probe){
        .subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES},
        .sizes = {.sType =
                      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT},
        .nvidia = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV},
    };
    if (has_control) {
        p->sizes.pNext = props.pNext;
        props.pNext = &p->sizes;
    }
    if (dlm_vk_has_extension(d->physical, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME)) {
        p->nvidia.pNext = props.pNext;
        props.pNext = &p->nvidia;
    }
    if (is_1_3 || dlm_vk_has_extension(d->physical,
                                       VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME)) {
        dot.pNext = props.pNext;
        props.pNext = &dot;
    }
    vkGetPhysicalDeviceProperties2(d->physical, &props);
    p->base = props.properties;
    p->driver = driver.driverID;
    p->has_fast_mixed_dot = dot.integerDotProduct4x8BitPackedMixedSignednessAccelerated;
}

/* Lanes of the subgroups that kernels get; 0: that cannot be known. A size is required where the
 * driver allows that: 16 on Intel, whose kernels spill with more, else 32 if there are two. */
static uint32_t choose_subgroup(const struct probe *p, bool *is_required)
{
    const bool can_require = p->sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
    const uint32_t wanted = is_intel(p->driver) ? 16 : 32;

    *is_required = false;
    if ((p->subgroup.supportedOperations & SUBGROUP_OPERATIONS) != SUBGROUP_OPERATIONS ||
        !(p->subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT))
        return 0;
    /* Shuffles and sums are wrong on the AMD cards of Macs (llama.cpp issue 15846). */
    if (p->driver == VK_DRIVER_ID_MOLTENVK && p->subgroup.subgroupSize != 32)
        return 0;
    if (can_require && p->sizes.minSubgroupSize < p->sizes.maxSubgroupSize) {
        *is_required = true;
        return wanted >= p->sizes.minSubgroupSize && wanted <= p->sizes.maxSubgroupSize
                   ? wanted
                   : p->subgroup.subgroupSize;
    }
    if (p->sizes.minSubgroupSize < p->sizes.maxSubgroupSize)
        return 0;
    /* Without control a size varies with the kernel on Intel only. */
    return !p->sizes.minSubgroupSize && is_intel(p->driver) ? 0 : p->subgroup.subgroupSize;
}

/* Drivers and chips whose matrix units are real and right. Emulated ones are slower than plain
 * arithmetic: AMD's closed driver before RDNA3, Intel before Xe2 (llama.cpp issues 10597, 24404);
 * Qualcomm's fail on unrolled tiles, Asahi's are slower than none. */
static bool has_true_matrix_units(const struct probe *p)
{
    switch (p->driver) {
    case VK_DRIVER_ID_NVIDIA_PROPRIETARY:
    case VK_DRIVER_ID_MESA_RADV: /* shows them from RDNA3 on, bf16 from RDNA4 on */
    case VK_DRIVER_ID_MOLTENVK:
        return true;
    case VK_DRIVER_ID_MESA_LLVMPIPE: /* as right as others, and no faster than its lanes */
        return true;
    default:
        if (is_amd_closed(p->driver))
            return p->has_fast_mixed_dot && p->sizes.minSubgroupSize == 32;
        return is_intel(p->driver) && p->sizes.minSubgroupSize >= 16;
    }
}

/* NVIDIA's compiler makes wrong attention kernels for Turing (llama.cpp pull request 19075). */
static bool is_turing(const struct probe *p)
{
    return p->driver == VK_DRIVER_ID_NVIDIA_PROPRIETARY && p->nvidia.shaderWarpsPerSM == 32;
}

static enum dlm_device_class classify(const struct probe *p, bool is_software)
{
    if (is_software)
        return DLM_CLASS_SOFTWARE;
    if (is_intel(p->driver))
        return DLM_CLASS_XE;
    switch (p->driver) {
    case VK_DRIVER_ID_NVIDIA_PROPRIETARY:
    case VK_DRIVER_ID_MESA_NVK:
        return DLM_CLASS_CUDA;
    case VK_DRIVER_ID_QUALCOMM_PROPRIETARY:
    case VK_DRIVER_ID_MESA_TURNIP:
        return DLM_CLASS_PHONE;
    case VK_DRIVER_ID_MOLTENVK:
        return DLM_CLASS_APPLE;
    default: /* without control of sizes a driver tells one: 64 is all that GCN has */
        if (is_amd_closed(p->driver) || p->driver == VK_DRIVER_ID_MESA_RADV)
            return (p->sizes.minSubgroupSize ? p->sizes.minSubgroupSize
                                             : p->subgroup.subgroupSize) == 64
                       ? DLM_CLASS_GCN
                       : DLM_CLASS_RDNA;
        return DLM_CLASS_OTHER;
    }
}

/* Compute units of a middling device, where the driver does not tell. */
static uint32_t usual_units(enum dlm_device_class class)
{
    return class == DLM_CLASS_XE ? 96 : 16; /* Xe's are execution units */
}

/* Matrix units with operands of type and f32 sums, in a shape. */
static bool lists_shape(const VkCooperativeMatrixPropertiesKHR *list, uint32_t num,
                        VkComponentTypeKHR type, const uint8_t shape[3])
{
    for (uint32_t i = 0; i < num; i++) {
        const VkCooperativeMatrixPropertiesKHR *m = &list[i];
        if (m->AType == type && m->BType == type && m->CType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
            m->ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR && m->scope == VK_SCOPE_SUBGROUP_KHR &&
            !m->saturatingAccumulation && m->MSize == shape[0] && m->NSize == shape[1] &&
            m->KSize == shape[2])
            return true;
    }
    return false;
}

/* Bits of the operand types that matrix units take, and their shape. */
static uint32_t list_matrix_units(struct dlm_vk_device *d, uint8_t chosen[3])
{
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR get =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)vkGetInstanceProcAddr(
            d->instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    VkCooperativeMatrixPropertiesKHR *list = NULL;
    uint32_t num = 0, bits = 0;

    if (!get || get(d->physical, &num, NULL) || !num)
        return 0;
    list = dlm_alloc_array(NULL, num, sizeof(*list));
    if (!list)
        return 0;
    for (uint32_t i = 0; i < num; i++)
        list[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    if (get(d->physical, &num, list))
        num = 0;
    for (size_t i = 0; i < DLM_ARRAY_LEN(shapes) && !bits; i++) {
        if (lists_shape(list, num, VK_COMPONENT_TYPE_FLOAT16_KHR, shapes[i]))
            bits |= DLM_CAP_MATRIX_F16;
        if (lists_shape(list, num, VK_COMPONENT_TYPE_BFLOAT16_KHR, shapes[i]))
            bits |= DLM_CAP_MATRIX_BF16;
        memcpy(chosen, shapes[i], sizeof(shapes[i]));
    }
    dlm_free(list);
    return bits;
}

/* Features that the driver has, chained as vkGetPhysicalDeviceFeatures2 and vkCreateDevice want
 * them: extensions that are missing are left out. */
static void read_features(struct dlm_vk_device *d, bool no_matrix)
{
    struct dlm_vk_features *f = &d->features;
    VkPhysicalDeviceFeatures2 features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
    };

    f->vulkan11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
    f->vulkan12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    f->vulkan11.pNext = &f->vulkan12;
    void **next = &f->vulkan12.pNext;
    if (dlm_vk_has_extension(d->physical, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) {
        f->extensions[f->num_extensions++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
        f->sizes.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT;
        *next = &f->sizes;
        next = &f->sizes.pNext;
    }
    if (!no_matrix &&
        dlm_vk_has_extension(d->physical, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME)) {
        f->extensions[f->num_extensions++] = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
        f->matrix.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
        *next = &f->matrix;
        next = &f->matrix.pNext;
    }
    if (!no_matrix && dlm_vk_has_extension(d->physical, VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME)) {
        f->extensions[f->num_extensions++] = VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME;
        f->bfloat16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR;
        *next = &f->bfloat16;
    }
    f->has_feedback =
        dlm_vk_has_extension(d->physical, VK_EXT_PIPELINE_CREATION_FEEDBACK_EXTENSION_NAME);
    if (f->has_feedback)
        f->extensions[f->num_extensions++] = VK_EXT_PIPELINE_CREATION_FEEDBACK_EXTENSION_NAME;
    features.pNext = &f->vulkan11;
    vkGetPhysicalDeviceFeatures2(d->physical, &features);
}

/* Of all that the driver has, only what kernels rely on is enabled. Atomics are of device scope:
 * with the memory model that must be a feature too. */
static void keep_needed(struct dlm_vk_features *f)
{
    const VkBool32 has_model =
        f->vulkan12.vulkanMemoryModel && f->vulkan12.vulkanMemoryModelDeviceScope;

    f->vulkan11 = (VkPhysicalDeviceVulkan11Features){
        .sType = f->vulkan11.sType,
        .pNext = f->vulkan11.pNext,
        .storageBuffer16BitAccess = f->vulkan11.storageBuffer16BitAccess,
    };
    f->vulkan12 = (VkPhysicalDeviceVulkan12Features){
        .sType = f->vulkan12.sType,
        .pNext = f->vulkan12.pNext,
        .timelineSemaphore = VK_TRUE, /* every 1.2 device has it */
        .shaderFloat16 = f->vulkan12.shaderFloat16,
        .vulkanMemoryModel = has_model,
        .vulkanMemoryModelDeviceScope = has_model,
    };
    f->matrix.cooperativeMatrixRobustBufferAccess = VK_FALSE;
    f->bfloat16.shaderBFloat16DotProduct = VK_FALSE;
}

static uint32_t matrix_bits(struct dlm_vk_device *d, const struct probe *p)
{
    const struct dlm_vk_features *f = &d->features;
    uint32_t bits = 0;

    if (!f->matrix.cooperativeMatrix || !f->vulkan12.shaderFloat16 ||
        !f->vulkan12.vulkanMemoryModel || !f->sizes.computeFullSubgroups || !d->subgroup ||
        !has_true_matrix_units(p))
        return 0;
    bits = list_matrix_units(d, d->shape);
    if (!f->bfloat16.shaderBFloat16Type || !f->bfloat16.shaderBFloat16CooperativeMatrix)
        bits &= ~(uint32_t)DLM_CAP_MATRIX_BF16;
    if (bits && !is_turing(p))
        bits |= DLM_CAP_MATRIX_ATTENTION;
    return bits;
}

static void describe_matrix_units(struct dlm_vk_device *d, uint32_t bits)
{
    struct dlm_device_info *info = &d->base.caps.info;

    if (bits & (DLM_CAP_MATRIX_F16 | DLM_CAP_MATRIX_BF16))
        snprintf(info->matrix_units, sizeof(info->matrix_units), "%s%s %ux%ux%u",
                 bits & DLM_CAP_MATRIX_F16 ? "f16" : "",
                 bits & DLM_CAP_MATRIX_BF16 ? bits & DLM_CAP_MATRIX_F16 ? "+bf16" : "bf16" : "",
                 d->shape[0], d->shape[1], d->shape[2]);
}

void dlm_vk_features_choose(struct dlm_vk_device *d, bool no_matrix)
{
    struct dlm_device_caps *caps = &d->base.caps;
    struct probe probe;
    uint32_t bits = 0;

    read_features(d, no_matrix);
    read_probe(d, d->features.sizes.subgroupSizeControl, &probe);
    keep_needed(&d->features);
    caps->device_class = classify(&probe, caps->info.is_software);
    caps->host_page_bytes = caps->info.is_software;
    caps->recorded_bytes = dlm_vk_recorded_bytes();
    if (!caps->num_units)
        caps->num_units = usual_units(caps->device_class);
    d->subgroup = choose_subgroup(&probe, &d->is_subgroup_required);
    if (d->subgroup)
        bits |= DLM_CAP_SUBGROUP;
    if (d->features.vulkan12.shaderFloat16)
        bits |= DLM_CAP_F16;
    if (d->features.vulkan11.storageBuffer16BitAccess)
        bits |= DLM_CAP_STORAGE_16;
    const uint32_t matrix = matrix_bits(d, &probe);
    describe_matrix_units(d, matrix);
    caps->bits |= bits | matrix;
    caps->subgroup = d->subgroup;
    caps->matrix_cols = matrix ? d->shape[1] : 0;
    d->base.all_bits = caps->bits;
    /* On a CPU all of these are lanes of the same vectors, with barriers between. */
    if (caps->info.is_software)
        caps->bits &= ~DLM_CAPS_MATRIX;
    if (d->subgroup)
        dlm_log(d->base.ctx, DLM_LOG_DEBUG, "vulkan: subgroups of %u%s%s", d->subgroup,
                matrix ? ", matrix units " : "", caps->info.matrix_units);
}
