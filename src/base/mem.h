/* Heap allocation through the context's hook, checked size arithmetic, and the arena. */
#ifndef DLM_BASE_MEM_H
#define DLM_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "dlm/ctx.h"

/* All return zeroed memory (dlm_realloc: only what is new is undefined), or NULL after logging
 * "out of memory". A size of 0 gives a valid pointer. Free with dlm_free(). */
void *dlm_alloc(struct dlm_ctx *ctx, size_t bytes) DLM_CHECK_RESULT;
void *dlm_alloc_array(struct dlm_ctx *ctx, size_t len, size_t elem_bytes) DLM_CHECK_RESULT;
/* On failure p stays valid. */
void *dlm_realloc(struct dlm_ctx *ctx, void *p, size_t bytes) DLM_CHECK_RESULT;
void dlm_free(void *p);

char *dlm_strdup(struct dlm_ctx *ctx, const char *s) DLM_CHECK_RESULT;
char *dlm_strndup(struct dlm_ctx *ctx, const char *s, size_t len) DLM_CHECK_RESULT;
/* printf into a new string owned by the caller. */
char *dlm_strf(struct dlm_ctx *ctx, const char *fmt, ...) DLM_PRINTF(2, 3) DLM_CHECK_RESULT;

/* *out = a * b (a + b); false on overflow, *out then undefined. */
bool dlm_mul_size(size_t a, size_t b, size_t *out) DLM_CHECK_RESULT;
bool dlm_add_size(size_t a, size_t b, size_t *out) DLM_CHECK_RESULT;

/* Makes room in a growing array for one more element: `if (!dlm_grow(ctx, &p, &cap, len, size))`.
 * Doubles; false when out of memory (the array stays as it was). */
bool dlm_grow(struct dlm_ctx *ctx, void *array_ptr, size_t *cap, size_t len, size_t elem_bytes)
    DLM_CHECK_RESULT;

/* A bump allocator: everything goes at once. All zero is a valid empty arena. */
struct dlm_arena {
    struct dlm_arena_block *head;
};

/* Zeroed, aligned to 16. NULL after logging when out of memory. */
void *dlm_arena_alloc(struct dlm_ctx *ctx, struct dlm_arena *arena, size_t bytes) DLM_CHECK_RESULT;
char *dlm_arena_strndup(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *s, size_t len)
    DLM_CHECK_RESULT;
/* dlm_grow() for an array that lives in an arena; what it grows out of stays there. */
bool dlm_arena_grow(struct dlm_ctx *ctx, struct dlm_arena *arena, void *array_ptr, size_t *cap,
                    size_t len, size_t elem_bytes) DLM_CHECK_RESULT;
void dlm_arena_finish(struct dlm_arena *arena);

/* What it holds, handed out or not. */
size_t dlm_arena_bytes(const struct dlm_arena *arena);

#endif
