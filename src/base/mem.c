/* Allocation, checked sizes, arena. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ctx_impl.h"
#include "base/log.h"

#define ARENA_BLOCK_BYTES 65536
#define ARENA_ALIGN 16

struct dlm_arena_block {
    struct dlm_arena_block *next;
    size_t used, cap; /* bytes of payload */
};

static bool may_allocate(struct dlm_ctx *ctx, size_t bytes)
{
    return !ctx || !ctx->params.alloc_hook || ctx->params.alloc_hook(ctx->params.alloc_user, bytes);
}

static void *report_failure(struct dlm_ctx *ctx, size_t bytes)
{
    dlm_log(ctx, DLM_LOG_ERROR, "out of memory: cannot get %zu bytes", bytes);
    return NULL;
}

void *dlm_alloc(struct dlm_ctx *ctx, size_t bytes)
{
    void *p = may_allocate(ctx, bytes) ? calloc(1, bytes ? bytes : 1) : NULL;
    return p ? p : report_failure(ctx, bytes);
}

void *dlm_alloc_array(struct dlm_ctx *ctx, size_t len, size_t elem_bytes)
{
    size_t bytes;

    if (!dlm_mul_size(len, elem_bytes, &bytes))
        return report_failure(ctx, SIZE_MAX);
    return dlm_alloc(ctx, bytes);
}

void *dlm_realloc(struct dlm_ctx *ctx, void *p, size_t bytes)
{
    void *q = may_allocate(ctx, bytes) ? realloc(p, bytes ? bytes : 1) : NULL;
    return q ? q : report_failure(ctx, bytes);
}

void dlm_free(void *p)
{
    free(p);
}

char *dlm_strdup(struct dlm_ctx *ctx, const char *s)
{
    return dlm_strndup(ctx, s, strlen(s));
}

char *dlm_strndup(struct dlm_ctx *ctx, const char *s, size_t len)
{
    char *copy = dlm_alloc(ctx, len + 1);
    if (copy)
        memcpy(copy, s, len);
    return copy;
}

char *dlm_strf(struct dlm_ctx *ctx, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *s = len < 0 ? NULL : dlm_alloc(ctx, (size_t)len + 1);
    if (!s)
        return NULL;
    va_start(args, fmt);
    vsnprintf(s, (size_t)len + 1, fmt, args);
    va_end(args);
    return s;
}

bool dlm_mul_size(size_t a, size_t b, size_t *out)
{
    if (b && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}

bool dlm_add_size(size_t a, size_t b, size_t *out)
{
    *out = a + b;
    return *out >= a;
}

bool dlm_grow(struct dlm_ctx *ctx, void *array_ptr, size_t *cap, size_t len, size_t elem_bytes)
{
    size_t bytes;
    void *array;

    if (len < *cap)
        return true;
    size_t want = *cap ? *cap : 8;
    while (want <= len) {
        if (want > SIZE_MAX / 2)
            return report_failure(ctx, SIZE_MAX) != NULL;
        want *= 2;
    }
    if (!dlm_mul_size(want, elem_bytes, &bytes))
        return report_failure(ctx, SIZE_MAX) != NULL;
    memcpy(&array, array_ptr, sizeof(array));
    array = dlm_realloc(ctx, array, bytes);
    if (!array)
        return false;
    memcpy(array_ptr, &array, sizeof(array));
    *cap = want;
    return true;
}

void *dlm_arena_alloc(struct dlm_ctx *ctx, struct dlm_arena *arena, size_t bytes)
{
    struct dlm_arena_block *b = arena->head;

    if (bytes > SIZE_MAX / 2)
        return report_failure(ctx, bytes);
    bytes = (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    const size_t header = (sizeof(*b) + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (!b || b->cap - b->used < bytes) {
        size_t cap = DLM_MAX(bytes, (size_t)ARENA_BLOCK_BYTES);
        b = dlm_alloc(ctx, header + cap);
        if (!b)
            return NULL;
        b->cap = cap;
        b->next = arena->head;
        arena->head = b;
    }
    void *p = (char *)b + header + b->used;
    b->used += bytes;
    return p;
}

char *dlm_arena_strndup(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *s, size_t len)
{
    char *copy = dlm_arena_alloc(ctx, arena, len + 1);
    if (copy)
        memcpy(copy, s, len);
    return copy;
}

bool dlm_arena_grow(struct dlm_ctx *ctx, struct dlm_arena *arena, void *array_ptr, size_t *cap,
                    size_t len, size_t elem_bytes)
{
    size_t bytes;
    void *old;

    if (len < *cap)
        return true;
    size_t new_cap = *cap ? 2 * *cap : 4;
    if (!dlm_mul_size(new_cap, elem_bytes, &bytes))
        return report_failure(ctx, SIZE_MAX) != NULL;
    void *array = dlm_arena_alloc(ctx, arena, bytes);
    if (!array)
        return false;
    memcpy(&old, array_ptr, sizeof(old));
    if (len)
        memcpy(array, old, len * elem_bytes);
    memcpy(array_ptr, &array, sizeof(array));
    *cap = new_cap;
    return true;
}

size_t dlm_arena_bytes(const struct dlm_arena *arena)
{
    size_t bytes = 0;

    for (const struct dlm_arena_block *b = arena->head; b; b = b->next)
        bytes += sizeof(*b) + b->cap;
    return bytes;
}

void dlm_arena_finish(struct dlm_arena *arena)
{
    while (arena->head) {
        struct dlm_arena_block *next = arena->head->next;
        dlm_free(arena->head);
        arena->head = next;
    }
}
