/* An allocator's permission that runs out: for tests in which every allocation fails once. */
#ifndef DLM_TESTS_COUNTDOWN_H
#define DLM_TESTS_COUNTDOWN_H

#include <stdbool.h>
#include <stddef.h>

struct countdown {
    long left;    /* allocations that still succeed */
    bool is_once; /* only the next one fails: an error that is not passed on is no later one's */
    bool is_over;
};

/* An alloc_hook; user: a struct countdown. */
static inline bool allow(void *user, size_t bytes)
{
    struct countdown *c = user;

    (void)bytes;
    if (c->left-- > 0 || (c->is_once && c->is_over))
        return true;
    c->is_over = true;
    return false;
}

#endif
