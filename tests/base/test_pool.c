/* The thread pool: each item once, workers within their numbers and never two at once under one
 * number, results visible afterwards; many short rounds with 1 to 5 threads, and with
 * more than any machine that runs this has to spare. */
#include <stdatomic.h>

#include "base/pool.h"
#include "tests/check.h"

enum { MAX_ITEMS = 3000, MAX_WORKERS = 48 };

struct round {
    int64_t num_items;
    int num_workers;
    int counts[MAX_ITEMS];          /* written without a lock: one worker an item */
    atomic_int inside[MAX_WORKERS]; /* workers of this number that are at work */
    atomic_int wrong;
    atomic_llong sum;
};

static void work(void *user, int64_t item, int worker)
{
    struct round *r = user;

    if (worker < 0 || worker >= r->num_workers || item < 0 || item >= r->num_items ||
        atomic_fetch_add(&r->inside[worker], 1)) {
        atomic_fetch_add(&r->wrong, 1);
        return;
    }
    r->counts[item]++;
    atomic_fetch_add(&r->sum, (long long)item);
    atomic_fetch_sub(&r->inside[worker], 1);
}

static void run(struct dlm_pool *pool, struct round *r, int64_t num_items)
{
    int64_t once = 0, more = 0;

    memset(r->counts, 0, sizeof(r->counts));
    r->num_items = num_items;
    atomic_store(&r->sum, 0);
    dlm_pool_run(pool, work, r, num_items);
    for (int64_t i = 0; i < MAX_ITEMS; i++) {
        once += i < num_items && r->counts[i] == 1;
        more += i >= num_items && r->counts[i];
    }
    CHECK_INT(once, num_items);
    CHECK_INT(more, 0);
    CHECK_INT(atomic_load(&r->sum), num_items * (num_items - 1) / 2);
    CHECK_INT(atomic_load(&r->wrong), 0);
}

static void test_threads(int threads)
{
    static char names[MAX_WORKERS + 1][32];
    static struct round r;
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = threads});

    snprintf(names[threads], sizeof(names[0]), "%d threads", threads);
    check_case(names[threads]);
    memset(&r, 0, sizeof(r));
    struct dlm_pool *pool = dlm_ctx_pool(ctx);
    if (CHECK(pool)) {
        CHECK_INT(dlm_pool_num_workers(pool), threads);
        CHECK(dlm_ctx_pool(ctx) == pool);
        r.num_workers = threads;
        for (int64_t n = 0; n <= 2 * threads + 1; n++)
            run(pool, &r, n);
        for (int i = 0; i < 100; i++) /* rounds that end before a worker has woken up */
            run(pool, &r, 2 + i % 7);
        for (int i = 0; i < 5; i++)
            run(pool, &r, MAX_ITEMS);
    }
    dlm_ctx_destroy(&ctx);
}

static bool refuse(void *user, size_t bytes)
{
    (void)bytes;
    return (*(int *)user)-- > 0;
}

static void test_creation(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);

    check_case("default number of threads");
    CHECK(dlm_pool_num_workers(dlm_ctx_pool(ctx)) >= 1);
    dlm_ctx_destroy(&ctx);

    check_case("a context that never needs its pool");
    ctx = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = 4});
    dlm_ctx_destroy(&ctx);
    CHECK(!ctx);
    dlm_ctx_destroy(&ctx);
    dlm_ctx_destroy(NULL);

    check_case("no memory");
    int left = 0;
    ctx = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = 3, .alloc_hook = refuse,
                                                  .alloc_user = &left});
    CHECK(!dlm_ctx_pool(ctx));
    left = 1;
    CHECK(!dlm_ctx_pool(ctx));
    left = 100;
    CHECK(dlm_ctx_pool(ctx));
    dlm_ctx_destroy(&ctx);
}

int main(void)
{
    for (int threads = 1; threads <= 5; threads++)
        test_threads(threads);
    test_threads(MAX_WORKERS);
    test_creation();
    return check_summary();
}
