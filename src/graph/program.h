/* A program: a plan bound to memory and recorded once, replayed every step. */
#ifndef DLM_GRAPH_PROGRAM_H
#define DLM_GRAPH_PROGRAM_H

#include "graph/plan.h"

struct dlm_program;

/* Sees programs run. With before and after they run node by node, in the memory that they have
 * anyway, and each call may read what its node reads or wrote; the device waits meanwhile. done is
 * called behind every run, node by node or whole. A call that fails ends the run. */
struct dlm_program_watch {
    enum dlm_status (*before)(void *user, struct dlm_program *program, const struct dlm_node *node);
    enum dlm_status (*after)(void *user, struct dlm_program *program, const struct dlm_node *node);
    enum dlm_status (*done)(void *user, struct dlm_program *program);
    void *user;
};

/* The arenas that several programs share, each sized for the largest of them. */
struct dlm_workspace {
    struct dlm_buffer *arenas[DLM_MAX_ARENAS];
    const struct dlm_program_watch *watch; /* of the programs, borrowed; NULL: none */
};

/* Bytes of a workspace that fits every plan; NULLs are passed over. */
size_t dlm_workspace_bytes(struct dlm_plan *const *plans, int num);

/* What it takes of this process's memory: see struct dlm_device_caps.host_page_bytes. */
uint64_t dlm_workspace_host_bytes(struct dlm_plan *const *plans, int num, size_t host_page_bytes);

/* Allocates arenas that fit every plan. */
enum dlm_status dlm_workspace_init(struct dlm_workspace *w, struct dlm_device *device,
                                   struct dlm_plan *const *plans, int num) DLM_CHECK_RESULT;
void dlm_workspace_finish(struct dlm_workspace *w);

/* True when the workspace, made for other plans, holds this one too. */
bool dlm_workspace_fits(const struct dlm_workspace *w, const struct dlm_plan *plan);

/* Binds the plan's temporaries to the workspace and records it. Every leaf of the graph must be
 * bound. Borrows plan, its graph and the workspace until the program is destroyed.
 * workspace NULL: the test mode that gives every tensor its own buffer with guards, NaN-filled. */
enum dlm_status dlm_program_create(struct dlm_ctx *ctx, struct dlm_program **out,
                                   struct dlm_device *device, struct dlm_plan *plan,
                                   struct dlm_workspace *workspace) DLM_CHECK_RESULT;
void dlm_program_destroy(struct dlm_program **program);

/* From now on the program is only run, in a workspace without a watch, and destroyed: gives back
 * what nothing but the other calls needs. Its plan and graph may go. */
void dlm_program_settle(struct dlm_program *program);

/* What a settled program of the plan takes of the process's memory, about. */
size_t dlm_program_host_bytes(const struct dlm_plan *plan, const struct dlm_device *device);

/* NULL: it is settled. */
const struct dlm_plan *dlm_program_plan(const struct dlm_program *program);

/* Submits one replay. */
enum dlm_status dlm_program_run(struct dlm_program *program) DLM_CHECK_RESULT;

/* Runs once, one dispatch after the other, and gives the seconds of each to `add`: with the node
 * that it is of, in the plan's order, and its kernel. */
typedef enum dlm_status (*dlm_program_time_fn)(void *user, const struct dlm_node *node,
                                               const char *kernel, double seconds);
enum dlm_status dlm_program_profile(struct dlm_program *program, dlm_program_time_fn add,
                                    void *user) DLM_CHECK_RESULT;

/* The dispatches, as they are recorded: for tests of hazards and of what runs where. */
const struct dlm_dispatch *dlm_program_dispatches(const struct dlm_program *program, size_t *num);
/* By dispatch: bit a set when binding a is written. */
const uint32_t *dlm_program_writes(const struct dlm_program *program);

/* Sets `barrier` where a dispatch touches bytes that an earlier one since the last barrier wrote,
 * or writes bytes that one read. writes[i]: bit a set when dispatch i writes binding a. */
void dlm_program_find_hazards(struct dlm_dispatch *list, const uint32_t *writes, size_t num);

/* Index of a dispatch that lacks a barrier it needs, or -1. Written on its own, not with the
 * function above: it is what tests call. */
int64_t dlm_program_check_hazards(const struct dlm_dispatch *list, const uint32_t *writes,
                                  size_t num);

/* Test mode: false when a guard was overwritten; name what. */
bool dlm_program_check_guards(struct dlm_program *program, char *what, size_t what_bytes);

/* Host access to a tensor that the program holds (an output, or a bound leaf). */
enum dlm_status dlm_program_read(struct dlm_program *program, const struct dlm_tensor *t,
                                 void *data, size_t bytes) DLM_CHECK_RESULT;
enum dlm_status dlm_program_write(struct dlm_program *program, const struct dlm_tensor *t,
                                  const void *data, size_t bytes) DLM_CHECK_RESULT;

#endif
