/* What a run takes of its device's memory, by what it is for, and of the host's: summed from plans
 * and declarations alone, before a weight is read. The one place where it is summed, for every
 * command. */
#ifndef DLM_MODELS_BUDGET_H
#define DLM_MODELS_BUDGET_H

#include "graph/program.h"
#include "models/image_plan.h"
#include "models/model.h"
#include "models/slots.h"
#include "models/vision.h"

/* What the process itself comes to have in memory beside what it has when the plan is made. */
struct dlm_host_budget {
    size_t page_bytes; /* the device's host_page_bytes */
    uint64_t device;   /* its buffers, where they lie in the process: whole pages */
    uint64_t loading;  /* the most while weights are read: they, and what is mapped of the files */
    uint64_t scratch;  /* private memory of each of `workers`, on the CPU */
    uint32_t workers;
    uint64_t data;     /* images and their features, copies of the adapter's vectors, programs */
};

/* In bytes. All zero is an empty budget. */
struct dlm_budget {
    uint64_t weights;     /* the base's, but the tower's */
    uint64_t vision;      /* the tower's weights, and what its own program needs besides */
    uint64_t adapter;     /* values and gradients */
    uint64_t optimizer;   /* both moments */
    uint64_t activations; /* the workspace */
    uint64_t cache;       /* what lives across runs: keys and values of a prompt */
    uint64_t inputs;      /* what the host writes */
    struct dlm_host_budget host;
};

/* What dlm_weights_load() takes for these groups. Comes first: the model's device decides what
 * counts for the host. */
void dlm_budget_add_weights(struct dlm_budget *b, const struct dlm_model *m, uint32_t groups);

/* What dlm_lora_upload() takes. lora may be NULL. */
void dlm_budget_add_lora(struct dlm_budget *b, const struct dlm_lora *lora,
                         enum dlm_lora_use use);

/* A workspace that fits every plan; NULLs among them are passed over. */
void dlm_budget_add_workspace(struct dlm_budget *b, struct dlm_plan *const *plans, int num);

/* Of a workspace that was added for `plans`: those of a run that will use no more of it than `used`
 * do. What nobody touches is not in the process's memory. */
void dlm_budget_trim_workspace(struct dlm_budget *b, struct dlm_plan *const *plans, int num,
                               struct dlm_plan *const *used, int num_used);

/* What the frozen tower's program needs beyond the workspace of `plans`, and its inputs. Nothing of
 * one that is not planned. */
void dlm_budget_add_vision(struct dlm_budget *b, const struct dlm_vision *vision,
                           struct dlm_plan *const *plans, int num);

/* What the frozen tower takes beyond that of all else in the budget, but for the workspace, which
 * is theirs in common: of one that has run, and whose weights are gone, before the rest comes.
 * Nothing of one that is not planned. */
void dlm_budget_add_early_vision(struct dlm_budget *b, const struct dlm_vision *vision);

/* A program that stays, settled, about as large as one of the plan. */
void dlm_budget_add_program(struct dlm_budget *b, const struct dlm_plan *plan,
                            const struct dlm_device *device);

/* Slots with memory of their own, by their roles. */
void dlm_budget_add_slots(struct dlm_budget *b, const struct dlm_slots *slots);

/* Images that the process holds, each once: their features or, as_pixels, what a trained tower
 * reads. All zero is none. */
struct dlm_held_images {
    uint64_t bytes;
    uint64_t largest; /* of one's pixels */
};
void dlm_held_images_add(struct dlm_held_images *held, const struct dlm_model *m,
                         const struct dlm_image_plan *plan, bool as_pixels);

/* Those, at most `most_bytes` of them; and one on its way, as pixels and as patches. */
void dlm_budget_add_images(struct dlm_budget *b, const struct dlm_held_images *held,
                           uint64_t most_bytes);

uint64_t dlm_budget_total(const struct dlm_budget *b);

/* What the process is to have in memory at most, by what it has now; 0: that is not known. The
 * memory of a driver that grows besides does not count. */
uint64_t dlm_budget_host_peak(const struct dlm_budget *b);

/* Says the sums at info level, what the process is to have at debug level. */
void dlm_budget_say(struct dlm_ctx *ctx, const struct dlm_budget *b);

/* What a device has room for: what is free, or all of it where its driver does not tell; 0: that is
 * not known either. */
uint64_t dlm_budget_room(const struct dlm_device *device);

/* Compares the sum with that. DLM_ERR_MEMORY: it is more; the caller says what would help. */
enum dlm_status dlm_budget_check(struct dlm_ctx *ctx, const struct dlm_budget *b,
                                 const struct dlm_device *device) DLM_CHECK_RESULT;

#endif
