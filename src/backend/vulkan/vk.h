/* The Vulkan backend's own types. For src/backend/vulkan and its white-box test only.
 *
 * One queue, one timeline semaphore: every submission signals the next value, and "wait" means
 * "wait until the semaphore has a value". At most DLM_VK_MAX_IN_FLIGHT slices of recordings and one
 * copy a block are pending.
 *
 * Files, each calling only those before it: jobs, error, device, device_features,
 * device_properties, queue, chunk, memory, copy, buffer, kernel, slice, recording, backend. */
#ifndef DLM_BACKEND_VULKAN_VK_H
#define DLM_BACKEND_VULKAN_VK_H

#include "backend/backend_impl.h"
#include "backend/vulkan/vk_compat.h"

#define DLM_VK_MAX_DEVICES 16
#define DLM_VK_HOST_FLAGS                                                                          \
    (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)
#define DLM_VK_MAX_IN_FLIGHT 3
/* As many as a step of two micro-batches writes, and some. */
#define DLM_VK_NUM_BLOCKS 8
#define DLM_VK_BLOCK_BYTES ((size_t)4 << 20)
#define DLM_VK_MAX_PENDING (DLM_VK_MAX_IN_FLIGHT + DLM_VK_NUM_BLOCKS)

/* A physical device that dlm can use. */
struct dlm_vk_candidate {
    VkPhysicalDevice physical;
    VkPhysicalDeviceType type;
    uint32_t family; /* of a queue for compute */
};

struct dlm_vk_candidates {
    VkInstance instance;
    struct dlm_vk_candidate list[DLM_VK_MAX_DEVICES];
    int num;
    char why[96]; /* the list is empty */
};

/* What a submission runs, for the message when the device is lost. */
struct dlm_vk_job {
    uint64_t value;           /* of the timeline when it is done */
    const char *first, *last; /* kernels, or "copy", "fill"; live as long as the program */
    size_t first_index, last_index;
};

/* Optional features as they are enabled, with sType 0 where the extension is missing. */
struct dlm_vk_features {
    VkPhysicalDeviceVulkan11Features vulkan11; /* the first of the chain */
    VkPhysicalDeviceVulkan12Features vulkan12;
    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT sizes;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix;
    VkPhysicalDeviceShaderBfloat16FeaturesKHR bfloat16;
    bool has_feedback; /* drivers say whether a pipeline came out of the cache */
    const char *extensions[5];
    uint32_t num_extensions;
};

/* A kernel with values for its specialisation constants, compiled when first needed. */
struct dlm_vk_pipeline {
    struct dlm_vk_pipeline *next; /* of the same row */
    const struct dlm_vk_row *row;
    uint32_t specs[DLM_MAX_SPECS];
    uint32_t num_specs;
    uint32_t subgroups; /* of a work-group */
    VkPipeline pipeline; /* VK_NULL_HANDLE: not made yet */
    VkResult result;     /* of making it */
    double compile_seconds; /* that the driver tells; 0: of the cache, or not told */
    bool is_wanted;
};

/* A kernel that this device can run. */
struct dlm_vk_row {
    const struct dlm_vk_kernel *kernel;
    uint32_t num_bindings;
    struct dlm_vk_pipeline *pipelines;
};

/* Bytes of an allocation that a buffer has. */
struct dlm_vk_range {
    VkDeviceSize offset, bytes;
};

/* One allocation. */
struct dlm_vk_chunk {
    struct dlm_vk_chunk *next;
    VkDeviceMemory memory;
    uint32_t type;
    VkDeviceSize bytes;
    uint8_t *data; /* mapped, or NULL */
    struct dlm_vk_range *used; /* in order */
    size_t num_used, cap_used;
};

/* A buffer and its part of a chunk. */
struct dlm_vk_memory {
    VkBuffer buffer;
    struct dlm_vk_chunk *chunk; /* NULL: none */
    VkDeviceSize offset;
    VkMemoryPropertyFlags flags;
    uint8_t *data; /* mapped, or NULL */
};

/* A command buffer for copies and fills, with a host-visible block that is made when needed. */
struct dlm_vk_block {
    VkCommandBuffer cmd;
    struct dlm_vk_memory memory; /* of DLM_VK_BLOCK_BYTES, mapped */
    uint64_t value;              /* of the last submission that uses it */
};

struct dlm_vk_device {
    struct dlm_device base;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t family;
    VkPhysicalDeviceMemoryProperties memory;
    uint32_t main_heap; /* the largest device-local one */
    bool is_unified;    /* host and device share their memory */
    bool has_budget;    /* VK_EXT_memory_budget */
    uint32_t max_bindings;
    uint32_t max_lanes; /* of a work-group */
    uint32_t api_version;
    struct dlm_vk_features features;
    uint32_t subgroup;         /* lanes of one, for kernels that need it; 0: not known */
    bool is_subgroup_required; /* pipelines must ask for that size */
    uint8_t shape[3];          /* m, n, k of the matrix units */
    double tick_seconds; /* of a timestamp */
    uint64_t tick_mask;  /* valid bits of a timestamp; 0: there are none */

    /* Tests change these. */
    bool map_buffers;     /* reach host-visible buffers directly, not through blocks */
    double slice_seconds; /* aim for one submission */
    PFN_vkGetQueryPoolResults get_times;
    uint32_t max_allocations;

    /* chunk.c */
    struct dlm_vk_chunk *chunks;
    uint32_t num_allocations;

    /* queue.c */
    VkSemaphore timeline;
    uint64_t submitted, completed; /* values: of the newest submission, known as reached */
    struct dlm_vk_job jobs[DLM_VK_MAX_PENDING];
    uint64_t slices[DLM_VK_MAX_IN_FLIGHT]; /* values of the last; next_slice is the oldest */
    unsigned next_slice;

    /* copy.c */
    VkCommandPool commands;
    struct dlm_vk_block blocks[DLM_VK_NUM_BLOCKS];
    unsigned next_block;

    /* kernel.c */
    struct dlm_vk_row *rows; /* sorted by name */
    size_t num_rows;
    VkDescriptorSetLayout set_layouts[DLM_MAX_BINDINGS + 1]; /* by number of bindings */
    VkPipelineLayout layouts[DLM_MAX_BINDINGS + 1];
    VkPipelineCache cache;
    char *cache_path; /* NULL: not kept */
    size_t cache_bytes; /* of the driver's data in the file, 0 if unusable */
};

struct dlm_vk_buffer {
    struct dlm_buffer base;
    struct dlm_vk_memory memory;
};

static inline struct dlm_vk_device *dlm_vk_device_of(const struct dlm_device *device)
{
    return (struct dlm_vk_device *)(uintptr_t)device;
}

/* jobs.c */

/* The value that the timeline is known to have reached; asks the device. */
uint64_t dlm_vk_completed(struct dlm_vk_device *d);
/* "dispatches 3 ('add') to 6 ('matmul'), copy": what was submitted and is not known as done. */
void dlm_vk_describe_jobs(struct dlm_vk_device *d, char *text, size_t size);

/* error.c */

const char *dlm_vk_result_text(VkResult result);

/* Logs `cannot <what> on '<device>': <result>` and gives the status of result. Remembers a loss,
 * and names what was running then. */
enum dlm_status dlm_vk_fail(struct dlm_vk_device *d, VkResult result, const char *fmt, ...)
    DLM_PRINTF(3, 4);

/* device.c */

/* Makes an instance (VK_NULL_HANDLE if that fails; the caller destroys it) and lists the usable
 * devices by kind: none when a loader or driver is missing. */
void dlm_vk_candidates_find(struct dlm_ctx *ctx, struct dlm_vk_candidates *c);

/* Fills what can be known without opening the device: d->base.caps and the memory fields. */
void dlm_vk_device_describe(struct dlm_vk_device *d, const struct dlm_vk_candidate *c, int index);

bool dlm_vk_has_extension(VkPhysicalDevice physical, const char *name);

/* Makes the VkDevice of a described device and gets its queue. */
enum dlm_status dlm_vk_device_create(struct dlm_vk_device *d) DLM_CHECK_RESULT;

/* Device memory free now, as far as the driver or, where memory is shared, the machine tells; 0:
 * not known. from: "" or who told. */
uint64_t dlm_vk_free_bytes(const struct dlm_vk_device *d, const char **from);

/* device_properties.c */

/* What people are told of a described device. */
void dlm_vk_device_properties(const struct dlm_vk_device *d, struct dlm_device_properties *p);

/* device_features.c */

/* Chooses the features of a described device: d->features, subgroups, matrix units and their bits.
 * no_matrix: the driver is not asked for those. */
void dlm_vk_features_choose(struct dlm_vk_device *d, bool no_matrix);

/* queue.c */

enum dlm_status dlm_vk_queue_open(struct dlm_vk_device *d) DLM_CHECK_RESULT;
void dlm_vk_queue_close(struct dlm_vk_device *d);

/* Submits cmd. Sets job->value. */
enum dlm_status dlm_vk_submit(struct dlm_vk_device *d, VkCommandBuffer cmd,
                              struct dlm_vk_job *job) DLM_CHECK_RESULT;
/* The same for a slice, after waiting until fewer than DLM_VK_MAX_IN_FLIGHT are pending. */
enum dlm_status dlm_vk_submit_slice(struct dlm_vk_device *d, VkCommandBuffer cmd,
                                    struct dlm_vk_job *job) DLM_CHECK_RESULT;
/* Waits until the timeline has reached value (0: nothing to wait for). */
enum dlm_status dlm_vk_wait_value(struct dlm_vk_device *d, uint64_t value) DLM_CHECK_RESULT;
/* Before objects are destroyed: waits until nothing uses them. A failure is already logged, and
 * nothing runs then. */
void dlm_vk_settle(struct dlm_vk_device *d, uint64_t value);
enum dlm_status dlm_vk_wait(struct dlm_device *device);

/* chunk.c */

/* Takes memory of a type for a buffer, from a chunk that others share if it is small.
 * VK_ERROR_TOO_MANY_OBJECTS: the driver allows no more allocations. */
VkResult dlm_vk_chunk_take(struct dlm_vk_device *d, uint32_t type,
                           const VkMemoryRequirements *needs, struct dlm_vk_chunk **chunk,
                           VkDeviceSize *offset) DLM_CHECK_RESULT;
/* Gives a range back; the last one frees its chunk. */
void dlm_vk_chunk_give(struct dlm_vk_device *d, struct dlm_vk_chunk *chunk, VkDeviceSize offset);

/* memory.c */

#define DLM_VK_ANY_HEAP UINT32_MAX

/* A wish: a memory type with flags, in a heap. */
struct dlm_vk_wish {
    VkMemoryPropertyFlags flags;
    uint32_t heap;
};

/* Makes a VkBuffer with memory after the first wish that can be met, and maps it if it can be. On
 * failure m is half-built: free it. */
VkResult dlm_vk_memory_make(struct dlm_vk_device *d, VkDeviceSize bytes,
                            const struct dlm_vk_wish *wishes, size_t num_wishes,
                            struct dlm_vk_memory *m) DLM_CHECK_RESULT;
void dlm_vk_memory_free(struct dlm_vk_device *d, struct dlm_vk_memory *m);

/* copy.c */

enum dlm_status dlm_vk_copy_open(struct dlm_vk_device *d) DLM_CHECK_RESULT;
/* After dlm_vk_queue_close(): nothing runs any more. */
void dlm_vk_copy_close(struct dlm_vk_device *d);

/* Returns when data has been taken over; the last blocks may still be under way. */
enum dlm_status dlm_vk_copy_in(struct dlm_vk_device *d, VkBuffer buffer, size_t offset,
                               const uint8_t *data, size_t bytes) DLM_CHECK_RESULT;
enum dlm_status dlm_vk_copy_out(struct dlm_vk_device *d, VkBuffer buffer, size_t offset,
                                uint8_t *data, size_t bytes) DLM_CHECK_RESULT;
/* Fills with a word; returns when that is submitted. */
enum dlm_status dlm_vk_copy_word(struct dlm_vk_device *d, VkBuffer buffer, size_t offset,
                                 size_t bytes, uint32_t word) DLM_CHECK_RESULT;

/* buffer.c */

enum dlm_status dlm_vk_buffer_create(struct dlm_device *device, struct dlm_buffer **out,
                                     size_t bytes);
void dlm_vk_buffer_destroy(struct dlm_buffer *buffer);
enum dlm_status dlm_vk_buffer_write(struct dlm_buffer *buffer, size_t offset, const void *data,
                                    size_t bytes);
enum dlm_status dlm_vk_buffer_read(struct dlm_buffer *buffer, size_t offset, void *data,
                                   size_t bytes);
enum dlm_status dlm_vk_buffer_fill(struct dlm_buffer *buffer, size_t offset, size_t bytes,
                                   uint32_t word);

/* kernel.c */

enum dlm_status dlm_vk_kernels_open(struct dlm_vk_device *d,
                                    const char *cache_dir) DLM_CHECK_RESULT;
void dlm_vk_kernels_close(struct dlm_vk_device *d);
void dlm_vk_hash_kernels(struct dlm_sha256 *hash);
bool dlm_vk_has_kernel(const struct dlm_device *device, const char *kernel);

/* Gives the pipeline of each dispatch: out[num]. Those that are missing are made, in parallel. */
enum dlm_status dlm_vk_pipelines_get(struct dlm_vk_device *d, const struct dlm_dispatch *list,
                                     size_t num, struct dlm_vk_pipeline **out) DLM_CHECK_RESULT;

/* slice.c */

/* Consecutive dispatches that are submitted together. */
struct dlm_vk_slice {
    size_t first, num;
    uint32_t query, num_queries; /* timestamps: at the start, then one or one a dispatch */
    VkCommandBuffer cmd;
};

/* Cuts num dispatches that take seconds[num] into slices of at most `aim` seconds and at most
 * max_num dispatches, writes first and num of slices[], and returns how many there are. A dispatch
 * that takes longer is a slice of its own. */
size_t dlm_vk_slices_cut(const double *seconds, size_t num, double aim, size_t max_num,
                         struct dlm_vk_slice *slices);

/* True when the cut should be made again: a slice of several dispatches takes more than twice the
 * aim, or far fewer slices would do. */
bool dlm_vk_slices_are_stale(const struct dlm_vk_slice *slices, size_t num_slices,
                             const double *seconds, double aim);

/* recording.c */

size_t dlm_vk_recorded_bytes(void); /* for each dispatch */
enum dlm_status dlm_vk_recording_create(struct dlm_device *device, struct dlm_recording **out,
                                        const struct dlm_dispatch *list, size_t num);
void dlm_vk_recording_destroy(struct dlm_recording *recording);
enum dlm_status dlm_vk_recording_run(struct dlm_recording *recording);
enum dlm_status dlm_vk_recording_profile(struct dlm_recording *recording, double *seconds);

#endif
