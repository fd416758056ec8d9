/* Devices looked for in other processes: a driver that crashes or hangs is found out and named, the
 * others' devices are listed, and this process loads none of them. */
#ifndef DLM_DOCTOR_PROBE_H
#define DLM_DOCTOR_PROBE_H

#include "backend/properties.h"
#include "dlm/doctor.h"

/* A driver that gave no answer. Its backend cannot be used while its loader finds it: it would load
 * it here, too. */
struct dlm_driver_fault {
    enum dlm_backend_kind kind;
    char *file; /* owned: by which the loader finds it; NULL: not known, or several together */
    enum dlm_probe_end end; /* never DLM_PROBE_ANSWERED */
    int code;               /* as of struct dlm_probe_job */
    char *way_out;          /* owned: how its loader is made to leave it out; NULL: not known */
};

struct dlm_probe {
    struct dlm_device_properties *devices; /* owned: CPU, Vulkan, OpenCL */
    size_t num_devices, cap_devices;
    struct dlm_driver_fault *faults; /* owned */
    size_t num_faults, cap_faults;
};

/* Looks for the devices of a kind, or of all (auto), without faults where the context has no
 * dlm_probe_fn: then it is done here. */
enum dlm_status dlm_probe_run(struct dlm_ctx *ctx, struct dlm_probe *probe,
                              enum dlm_backend_kind kind) DLM_CHECK_RESULT;
/* Of those alone whose [kind] is not left out. */
enum dlm_status dlm_probe_run_without(struct dlm_ctx *ctx, struct dlm_probe *probe,
                                      enum dlm_backend_kind kind,
                                      const bool is_left_out[DLM_BACKEND_COUNT]) DLM_CHECK_RESULT;
void dlm_probe_finish(struct dlm_probe *probe);

/* False: a driver of the kind has a fault. */
bool dlm_probe_is_usable(const struct dlm_probe *probe, enum dlm_backend_kind kind);

/* What auto takes of the usable ones; NULL: none. */
const struct dlm_device_properties *dlm_probe_auto(const struct dlm_probe *probe);

/* "crashed", "hung", "exited", "unreadable". */
const char *dlm_driver_fault_name(const struct dlm_driver_fault *fault);

/* "the driver 'bad.json' crashed (signal 11, Segmentation fault) when asked for its devices" */
void dlm_driver_fault_text(const struct dlm_driver_fault *fault, char *text, size_t bytes);

/* Says which backends are left out because of a fault, as warnings, or, as errors, of no use. */
void dlm_probe_say_faults(struct dlm_ctx *ctx, const struct dlm_probe *probe, bool is_error);

#endif
