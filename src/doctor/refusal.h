/* Whether a base may be trained on a device: the refusals that the Python dlm's documents ask for.
 * Facts in, a verdict out: no device is touched here, no file read.
 *
 * They are about bases of more than 200 million parameters; smaller ones run anywhere. What a plan
 * shows cannot fit is refused besides, by dlm_budget_check(): a plan takes no refusal back. */
#ifndef DLM_DOCTOR_REFUSAL_H
#define DLM_DOCTOR_REFUSAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "dlm/ctx.h"

/* What would train. */
enum dlm_host_kind {
    DLM_HOST_CPU,     /* the CPU, behind a GPU's interface too */
    DLM_HOST_CARD,    /* a GPU with memory of its own */
    DLM_HOST_UNIFIED, /* a GPU that shares the machine's */
};

struct dlm_refusal_facts {
    enum dlm_host_kind kind;
    uint64_t memory_bytes; /* all of a card's own, else of the machine's; 0: not known, which is
                            * not shown to be enough */
    double params;         /* of the base */
    bool is_registry_row;  /* dlm's own, not a user's */
    bool force;            /* --force */
    /* The plan of what is asked for, and what is free for it; 0: not known. */
    uint64_t planned_bytes, free_bytes;
};

enum dlm_refusal_rule {
    DLM_REFUSAL_NONE,
    DLM_REFUSAL_CPU_REGISTRY, /* a registry base of 1 B and more on a CPU: no override */
    DLM_REFUSAL_CPU,          /* another base of more than 200 M there */
    DLM_REFUSAL_CARD,         /* a card of less than 12 GB: no override */
    DLM_REFUSAL_UNIFIED,      /* less than 16 GB of unified memory */
    DLM_REFUSAL_UNIFIED_BASE, /* weights in 16 bits are more than 0.85 of unified memory */
    DLM_REFUSAL_COUNT
};

/* The first rule that refuses; with force, the first of those that it does not override. */
enum dlm_refusal_rule dlm_refusal_find(const struct dlm_refusal_facts *facts);

bool dlm_refusal_can_force(enum dlm_refusal_rule rule);

/* "cpu_registry", ...; "none". A key of JSON. */
const char *dlm_refusal_name(enum dlm_refusal_rule rule);

/* Rule and number; and the way out of it, what the plan says included. One line each. */
void dlm_refusal_text(enum dlm_refusal_rule rule, const struct dlm_refusal_facts *facts,
                      char *text, size_t bytes);
void dlm_refusal_way_out(enum dlm_refusal_rule rule, const struct dlm_refusal_facts *facts,
                         char *text, size_t bytes);

/* DLM_ERR_UNSUPPORTED: a rule refuses, which is logged with its way out as a hint. */
enum dlm_status dlm_refusal_check(struct dlm_ctx *ctx,
                                  const struct dlm_refusal_facts *facts) DLM_CHECK_RESULT;

#endif
