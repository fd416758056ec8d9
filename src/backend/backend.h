/* A backend gives memory, kernels by name and queues. It knows no op.
 *
 * Everything is called from one thread. Work is submitted in order, writes and fills too: they come
 * after what was submitted before them. A lost device stays lost: every later call returns
 * DLM_ERR_DEVICE_LOST. */
#ifndef DLM_BACKEND_BACKEND_H
#define DLM_BACKEND_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "dlm/device.h"

/* Capability bits: the only way in which ops learn about a device. */
enum dlm_cap {
    DLM_CAP_AVX2 = 1u << 0,        /* CPU: AVX2 and FMA */
    DLM_CAP_AVX512 = 1u << 1,      /* CPU: AVX-512 F, BW, DQ, VL */
    DLM_CAP_AVX512_BF16 = 1u << 2, /* CPU: vdpbf16ps at least as fast as two f32 FMAs */
    DLM_CAP_AMX_BF16 = 1u << 3,    /* CPU: AMX tiles, permission granted */
    DLM_CAP_GEMM_F32 = 1u << 4,    /* a library's "gemm_f32", which may be tuned to */
    DLM_CAP_PANELS = 1u << 5,      /* matmul weights have the packed form of kernels/panel.h */
    DLM_CAP_BLOCK_ITEMS = 1u << 6, /* CPU: an item of attention and matmul is a block of the result,
                                      kernels/attention_cpu.h, not what 64 lanes do */
    DLM_CAP_NO_LOCAL = 1u << 7,    /* barriers and shared tiles are slow: register tiles instead */
    DLM_CAP_VECTOR_TILES = 1u << 8, /* and with explicit vectors, where operands lie so */
    /* Subgroups of one size, with votes, ballots, shuffles and sums. */
    DLM_CAP_SUBGROUP = 1u << 9,
    DLM_CAP_F16 = 1u << 10,         /* arithmetic in f16 */
    DLM_CAP_STORAGE_16 = 1u << 11,  /* 16-bit elements in buffers */
    DLM_CAP_MATRIX_F16 = 1u << 12,  /* matrix units: f16 operands, f32 sums */
    DLM_CAP_MATRIX_BF16 = 1u << 13, /* matrix units: bf16 operands, f32 sums */
    DLM_CAP_SPECS = 1u << 15,       /* kernels take constants: tiles of a size chosen by shape */
    DLM_CAP_MATRIX_ATTENTION = 1u << 14, /* and the driver compiles attention for them rightly */
    DLM_CAP_AVX512_VNNI = 1u << 16, /* CPU: vpdpbusd, products of bytes */
    DLM_CAP_NEON_BF16 = 1u << 17,   /* CPU: bfmmla; NEON itself is in every 64-bit ARM */
};
#define DLM_CAPS_MATRIX                                                                            \
    ((uint32_t)(DLM_CAP_MATRIX_F16 | DLM_CAP_MATRIX_BF16 | DLM_CAP_MATRIX_ATTENTION))

/* GPUs for whose kind tables hold rows of their own (ops/matmul_tiles.c). Speed follows from it,
 * and in how many parts long sums are made. */
enum dlm_device_class {
    DLM_CLASS_OTHER,
    DLM_CLASS_SOFTWARE, /* a CPU behind a GPU's interface */
    DLM_CLASS_CUDA,     /* warps of 32, up to 255 registers a lane */
    DLM_CLASS_GCN,      /* waves of 64 alone */
    DLM_CLASS_RDNA,     /* waves of 32, and of 64 on request */
    DLM_CLASS_XE,       /* execution units of 7 or 8 threads, and what came before and after */
    DLM_CLASS_PHONE,
    DLM_CLASS_APPLE,
    DLM_CLASS_COUNT
};

#define DLM_NUM_TUNED 120

struct dlm_device_caps {
    struct dlm_device_info info;
    uint32_t bits;            /* enum dlm_cap */
    size_t max_alloc_bytes;   /* largest buffer */
    size_t max_range_bytes;   /* largest range one binding may cover */
    size_t align_bytes;       /* binding offsets are multiples of this; at most DLM_ALIGN_BYTES */
    size_t shared_bytes;      /* GPUs: local memory of a work-group */
    uint32_t max_groups;      /* in each dimension, at least 65535 */
    enum dlm_device_class device_class;
    uint32_t num_units;       /* compute units (where a GPU does not tell, what is usual of its
                                 class), or CPU threads */
    uint32_t subgroup;        /* Vulkan: lanes of the subgroups that kernels get; 0: not known */
    uint32_t matrix_cols;     /* of a fragment of matrix units' results (DLM_CAPS_MATRIX) */
    /* What was measured on the device, in place of rows of the table: ops/matmul_tiles.h. Zeros:
       nothing. */
    uint8_t tuned[DLM_NUM_TUNED];
    uint32_t gemm_version;    /* of the library behind "gemm_f32"; 0: there is none */
    uint64_t max_work;        /* of a dispatch before it is cut in parts; 0: no limit */
    bool no_matrix;           /* opened without asking for matrix units */
    uint64_t free_bytes;      /* memory free when the device was opened; 0: not known */
    /* Where device memory is this process's own: what buffers of so many bytes and more are whole
     * pages of, 1 where there are none; 0: the device has memory of its own. */
    size_t host_page_bytes;
    size_t recorded_bytes;    /* of this process's memory for each dispatch of a recording, without
                                 what a driver takes */
    uint64_t plan_bytes;      /* what choices count on, free or not: all of the memory, or
                                 max_free_bytes where the caller gave that; 0: not known */
};

/* What a buffer takes of this process's memory. */
static inline uint64_t dlm_host_bytes(size_t host_page_bytes, uint64_t bytes)
{
    const uint64_t page = host_page_bytes;

    return !page ? 0 : bytes < page ? bytes : (bytes + page - 1) / page * page;
}

/* Tensors start at multiples of this in every arena of every backend. */
#define DLM_ALIGN_BYTES 512

/* The device that these params would open, found without opening it; *info is zeros after a
 * failure. Only kind and index count. DLM_ERR_NO_DEVICE as of dlm_device_open(). */
struct dlm_device_params;
enum dlm_status dlm_device_find(struct dlm_ctx *ctx, const struct dlm_device_params *params,
                                struct dlm_device_info *info) DLM_CHECK_RESULT;

struct dlm_device;
struct dlm_buffer;
struct dlm_recording;

/* What DLM_BACKEND_AUTO takes of a list: a hardware GPU, Vulkan before OpenCL, else the CPU; never
 * a software device. NULL: none of these is in it. */
const struct dlm_device_info *dlm_device_auto(const struct dlm_device_info *list, int num);

/* What a kind means of a list where no number is given: its first hardware device, else its first
 * one. NULL: it has none. */
const struct dlm_device_info *dlm_device_first(const struct dlm_device_info *list, int num,
                                               enum dlm_backend_kind kind);

/* Opens a device. index -1: the first one (kind auto: hardware GPU, else CPU). ctx is borrowed
 * until the device is destroyed. cache_dir (may be NULL: no cache) is where compiled kernels are
 * kept. DLM_ERR_NO_DEVICE when there is none; the message says why. */
struct dlm_device_params {
    enum dlm_backend_kind kind;
    int index;
    const char *cache_dir;
    /* Plans and lowers as this machine's CPU would, or with null_caps (kind and index count for
     * nothing): holds no data (reads give zeros), runs nothing, allocates nothing. */
    bool is_null;
    const struct dlm_device_caps *null_caps; /* NULL: the CPU's. The kernels are the CPU's */
    uint64_t max_free_bytes; /* no more counts as free, whatever the device has; 0: no limit */
    size_t max_alloc_bytes; /* test option: pretend that buffers and ranges are no larger; 0 off */
    uint64_t max_work;      /* test option: struct dlm_device_caps.max_work; 0: the device's own */
    bool no_matrix;         /* no matrix units: the driver is not even asked for them */
    uint32_t hide_caps;     /* enum dlm_cap that the device does not show */
    uint32_t show_caps;     /* test option: those that it has, but shows only when asked */
};
enum dlm_status dlm_device_open(struct dlm_ctx *ctx, struct dlm_device **out,
                                const struct dlm_device_params *params) DLM_CHECK_RESULT;
void dlm_device_destroy(struct dlm_device **device);

const struct dlm_device_caps *dlm_device_get_caps(const struct dlm_device *device);

/* Plans that are made from now on follow these choices: struct dlm_device_caps.tuned. */
void dlm_device_tune(struct dlm_device *device, const uint8_t tuned[DLM_NUM_TUNED]);

/* Bytes of the largest tensor: it lies in one buffer, and one binding covers it. */
size_t dlm_device_max_tensor(const struct dlm_device *device);

/* Bytes in buffers of this device now, and the most at any time. */
uint64_t dlm_device_used_bytes(const struct dlm_device *device);
uint64_t dlm_device_peak_bytes(const struct dlm_device *device);

/* How often the host has waited for work of the device that was not done. 0 on CPUs. */
uint64_t dlm_device_num_waits(const struct dlm_device *device);

/* Makes a buffer of bytes (> 0), contents undefined. DLM_ERR_MEMORY when the device has no room. */
enum dlm_status dlm_buffer_create(struct dlm_device *device, struct dlm_buffer **out,
                                  size_t bytes) DLM_CHECK_RESULT;
void dlm_buffer_destroy(struct dlm_buffer **buffer);
size_t dlm_buffer_bytes(const struct dlm_buffer *buffer);

/* Host copies. A write returns when data has been taken over; neither it nor the caller waits for
 * work that was submitted before. A read waits. Ranges must lie inside the buffer. */
enum dlm_status dlm_buffer_write(struct dlm_buffer *buffer, size_t offset, const void *data,
                                 size_t bytes) DLM_CHECK_RESULT;
enum dlm_status dlm_buffer_read(struct dlm_buffer *buffer, size_t offset, void *data,
                                size_t bytes) DLM_CHECK_RESULT;
/* Fills with a repeated 32-bit word; offset and bytes are multiples of 4. */
enum dlm_status dlm_buffer_fill(struct dlm_buffer *buffer, size_t offset, size_t bytes,
                                uint32_t word) DLM_CHECK_RESULT;

/* The CPU device's memory behind a buffer; NULL on other devices. */
void *dlm_buffer_host_data(struct dlm_buffer *buffer);

#define DLM_MAX_BINDINGS 10
#define DLM_MAX_SPECS 8
#define DLM_MAX_PARAMS_BYTES 128

/* The constants before it are the backend's: lanes of a subgroup and of a work-group. */
#define DLM_FIRST_SPEC 2

/* A range of a buffer bound to a kernel's argument. offset is a multiple of align_bytes. */
struct dlm_binding {
    struct dlm_buffer *buffer;
    size_t offset, bytes;
};

/* One kernel launch. Bindings are arguments 0.. in order, params the last one (OpenCL: a struct by
 * value; Vulkan: push constants; CPU: a pointer). Grid: GPU work-groups of the size the kernel
 * declares, whose kernels leave what lies past their range; CPU: as many work items. */
struct dlm_dispatch {
    const char *kernel; /* row of the kernel lists, by its name */
    struct dlm_binding bindings[DLM_MAX_BINDINGS];
    uint32_t num_bindings;
    uint32_t groups[3];
    uint32_t units; /* work items that there are if the grid has more; 0: all of groups */
    uint64_t work;  /* multiply-adds, or what takes as long; no more than this */
    /* Set by the backend in the parts of a long dispatch: groups are those from base on, of a grid
     * of whole[] (0: this is no part). Kernels see their place in the whole grid. */
    uint32_t base[3], whole[3];
    uint32_t params_bytes;
    uint8_t params[DLM_MAX_PARAMS_BYTES];
    /* Vulkan: values of the kernel's specialisation constants from DLM_FIRST_SPEC on. Kernels of
     * the other backends take none. */
    uint32_t specs[DLM_MAX_SPECS];
    uint32_t num_specs;
    uint32_t subgroups; /* Vulkan: of a work-group whose size is open; 0: the most it may have */
    size_t scratch_bytes; /* CPU: private memory of a worker */
    bool barrier;         /* must see the writes of (or not overtake) earlier dispatches */
};

/* The library GEMM slot, column of `kernel` "gemm_f32": C = alpha op(A) op(B) + beta C, row-major,
 * bindings A, B, C and last a scratch binding of dlm_device_gemm_scratch() bytes (if > 0). */
struct dlm_gemm_params {
    uint32_t m, n, k;
    uint32_t lda, ldb, ldc; /* in elements */
    uint32_t a_offset, b_offset, c_offset;
    uint32_t trans_a, trans_b;
    float alpha, beta;
};
size_t dlm_device_gemm_scratch(const struct dlm_device *device,
                               const struct dlm_gemm_params *params);

/* True when the device's kernel list has the name, and the device what that kernel needs. */
bool dlm_device_has_kernel(const struct dlm_device *device, const char *kernel);

/* A kernel that crashed the device's driver, or on which it hung (`fault` is "crashed" or "hung"),
 * when it was tried in another process: recordings that need it are refused. Copies kernel;
 * borrows fault for good. */
enum dlm_status dlm_device_ban_kernel(struct dlm_device *device, const char *kernel,
                                      const char *fault) DLM_CHECK_RESULT;
/* What the driver did on a banned kernel; NULL: it is not banned. */
const char *dlm_device_kernel_fault(const struct dlm_device *device, const char *kernel);

/* The hash of all kernels that the device's driver compiles, 64 hex digits; false: it compiles
 * none, as on the CPU. */
bool dlm_device_kernels_hash(const struct dlm_device *device, char hex[65]);

/* Prepares a list of dispatches to be replayed. Compiles the kernels it needs. Copies list;
 * borrows device and the buffers until the recording is destroyed. A dispatch with more work than
 * the device's max_work becomes several, each a range of its grid; its results are the same.
 * DLM_ERR_UNSUPPORTED: an unknown kernel; DLM_ERR_DEVICE: a kernel does not compile. */
enum dlm_status dlm_recording_create(struct dlm_device *device, struct dlm_recording **out,
                                     const struct dlm_dispatch *list, size_t num) DLM_CHECK_RESULT;
void dlm_recording_destroy(struct dlm_recording **recording);

/* Submits the whole list once, in slices that no watchdog minds. May return before it is done. */
enum dlm_status dlm_recording_run(struct dlm_recording *recording) DLM_CHECK_RESULT;

/* Runs the list once, one dispatch after the other, and gives the seconds of each
 * (seconds: [num dispatches]). */
enum dlm_status dlm_recording_profile(struct dlm_recording *recording,
                                      double *seconds) DLM_CHECK_RESULT;

/* Waits until all that was submitted is done. */
enum dlm_status dlm_device_wait(struct dlm_device *device) DLM_CHECK_RESULT;

#endif
