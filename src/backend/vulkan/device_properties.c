/* What Vulkan devices say of themselves, for people to read. */
#include "backend/vulkan/vk.h"

#include <stdio.h>

#include "base/mem.h"

static void find_vendor(uint32_t id, char *name, size_t bytes)
{
    static const struct {
        uint32_t id;
        const char *name;
    } vendors[] = {
        {0x1002, "AMD"},  {0x1010, "Imagination"}, {0x106b, "Apple"}, {0x10de, "NVIDIA"},
        {0x13b5, "Arm"},  {0x144d, "Samsung"},     {0x14e4, "Broadcom"}, {0x1ae0, "Google"},
        {0x5143, "Qualcomm"}, {0x8086, "Intel"},   {VK_VENDOR_ID_MESA, "Mesa"},
    };

    snprintf(name, bytes, "0x%04x", (unsigned)id);
    for (size_t i = 0; i < DLM_ARRAY_LEN(vendors); i++)
        if (vendors[i].id == id)
            snprintf(name, bytes, "%s", vendors[i].name);
}

/* What needs a chain; that of extensions that are missing stays zero. */
static void find_chained(const struct dlm_vk_device *d, struct dlm_device_properties *p)
{
    const bool is_1_3 = d->api_version >= VK_API_VERSION_1_3;
    VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR has_dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR,
    };
    VkPhysicalDeviceVulkan12Features vulkan12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
    };
    VkPhysicalDeviceFeatures2 features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &vulkan12};
    VkPhysicalDeviceShaderIntegerDotProductPropertiesKHR dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES_KHR,
    };
    VkPhysicalDeviceSubgroupSizeControlPropertiesEXT sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT,
    };
    VkPhysicalDeviceSubgroupProperties subgroup = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES,
    };
    VkPhysicalDeviceProperties2 props = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &subgroup};

    if (is_1_3 ||
        dlm_vk_has_extension(d->physical, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME)) {
        vulkan12.pNext = &has_dot;
        subgroup.pNext = &dot;
    }
    if (is_1_3 || dlm_vk_has_extension(d->physical, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) {
        sizes.pNext = props.pNext;
        props.pNext = &sizes;
    }
    vkGetPhysicalDeviceFeatures2(d->physical, &features);
    vkGetPhysicalDeviceProperties2(d->physical, &props);
    p->has_f16 = vulkan12.shaderFloat16;
    p->int8_dot = !has_dot.shaderIntegerDotProduct                ? DLM_INT8_DOT_NONE
                  : dot.integerDotProduct4x8BitPackedSignedAccelerated ? DLM_INT8_DOT_FAST
                                                                  : DLM_INT8_DOT_EMULATED;
    p->subgroup = subgroup.subgroupSize;
    p->min_subgroup = sizes.minSubgroupSize ? sizes.minSubgroupSize : p->subgroup;
    p->max_subgroup = sizes.maxSubgroupSize ? sizes.maxSubgroupSize : p->subgroup;
    find_vendor(props.properties.vendorID, p->vendor, sizeof(p->vendor));
    p->tick_ns = (double)props.properties.limits.timestampPeriod;
}

/* "f16", "s8"; "?" for a type that came later. */
static const char *type_name(VkComponentTypeKHR type)
{
    static const struct {
        uint32_t type;
        const char *name;
    } names[] = { /* by number: the headers of older distributions do not have them */
        {0, "f16"}, {1, "f32"}, {2, "f64"}, {3, "s8"}, {4, "s16"}, {5, "s32"}, {6, "s64"},
        {7, "u8"}, {8, "u16"}, {9, "u32"}, {10, "u64"}, {1000141000, "bf16"},
        {1000491002, "e4m3"}, {1000491003, "e5m2"},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(names); i++)
        if (names[i].type == (uint32_t)type)
            return names[i].name;
    return "?";
}

/* What is listed for subgroups. */
static void find_matrix_shapes(const struct dlm_vk_device *d, struct dlm_device_properties *p)
{
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR get =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)vkGetInstanceProcAddr(
            d->instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    VkCooperativeMatrixPropertiesKHR list[DLM_MAX_MATRIX_SHAPES];
    uint32_t num = DLM_ARRAY_LEN(list);

    if (!get || !dlm_vk_has_extension(d->physical, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME))
        return;
    for (uint32_t i = 0; i < num; i++)
        list[i] = (VkCooperativeMatrixPropertiesKHR){
            .sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR};
    const VkResult r = get(d->physical, &num, list);
    if (r && r != VK_INCOMPLETE)
        return;
    for (uint32_t i = 0; i < DLM_MIN(num, DLM_ARRAY_LEN(list)); i++) {
        const VkCooperativeMatrixPropertiesKHR *m = &list[i];
        if (m->scope != VK_SCOPE_SUBGROUP_KHR || m->saturatingAccumulation)
            continue;
        struct dlm_matrix_shape *s = &p->shapes[p->num_shapes++];
        *s = (struct dlm_matrix_shape){.m = m->MSize, .n = m->NSize, .k = m->KSize};
        snprintf(s->a, sizeof(s->a), "%s", type_name(m->AType));
        snprintf(s->b, sizeof(s->b), "%s", type_name(m->BType));
        snprintf(s->c, sizeof(s->c), "%s", type_name(m->CType));
        snprintf(s->result, sizeof(s->result), "%s", type_name(m->ResultType));
    }
}

void dlm_vk_device_properties(const struct dlm_vk_device *d, struct dlm_device_properties *p)
{
    VkQueueFamilyProperties families[32];
    uint32_t num = DLM_ARRAY_LEN(families);
    const char *from;

    *p = (struct dlm_device_properties){.info = d->base.caps.info};
    p->free_bytes = dlm_vk_free_bytes(d, &from);
    snprintf(p->free_from, sizeof(p->free_from), "%s", from);
    find_chained(d, p);
    vkGetPhysicalDeviceQueueFamilyProperties(d->physical, &num, families);
    if (d->family >= num || !families[d->family].timestampValidBits)
        p->tick_ns = 0;
    find_matrix_shapes(d, p);
}
