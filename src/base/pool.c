/* The thread pool. Workers are pinned one to a CPU of the process's affinity mask when there are
 * as many CPUs as workers; work items are claimed from an atomic counter, so that which thread
 * runs an item never matters to its result. A round is over when its items are done: nobody waits
 * for a worker that has claimed none, which may not have a CPU. */
#include "base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/ctx_impl.h"
#include "base/host.h"
#include "base/log.h"
#include "base/mem.h"

#define SPIN_ROUNDS 2000
#define LINE_BYTES 64

#define ITEM_BITS 40 /* of a claim; the rest names the round */
#define MAX_ITEMS (INT64_C(1) << ITEM_BITS)

/* Where a worker says how much it has done: in a line of its own, so that many workers that end at
 * once do not wait for each other. */
struct worker_seat {
    atomic_uint_least64_t done; /* items, of all rounds */
    char padding[LINE_BYTES - sizeof(atomic_uint_least64_t)];
};

struct dlm_pool {
    int num_workers;
    int num_started;
    pthread_t *threads; /* [num_workers - 1] */
    cpu_set_t cpus;     /* to pin to */
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    atomic_uint_least64_t round; /* counts dlm_pool_run calls; a change wakes the workers */
    atomic_bool stop;
    atomic_bool is_awaited;    /* the caller sleeps until the round is over */
    struct worker_seat *seats; /* [num_workers] */
    uint64_t total;            /* items of all rounds that were begun */
    dlm_pool_fn fn;            /* this and user: to be read by who has claimed an item */
    void *user;
    atomic_int_least64_t num_items;
    char padding[LINE_BYTES];
    /* The round's number above ITEM_BITS, below it the next item: a worker that comes late finds
     * another number, or no item left. Written by all: in a line of its own. */
    atomic_uint_least64_t next;
    char padding_after[LINE_BYTES];
};

struct worker_start {
    struct dlm_pool *pool;
    int index;
};

int dlm_pool_default_workers(const char *root)
{
    struct dlm_host host;
    cpu_set_t set;
    int n = 1;

    CPU_ZERO(&set);
    if (!sched_getaffinity(0, sizeof(set), &set))
        n = CPU_COUNT(&set);
    dlm_host_read(&host, root);
    if (host.cpu_quota)
        n = DLM_MIN(n, host.cpu_quota);
    return DLM_MAX(n, 1);
}

static void pin(const struct dlm_pool *pool, int index)
{
    cpu_set_t one;

    if (CPU_COUNT(&pool->cpus) < pool->num_workers)
        return;
    for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &pool->cpus) || seen++ != index)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        /* a refusal only costs speed */
        (void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
        return;
    }
}

/* The next item of the round, -1 if it has none left, or is over. */
static int64_t claim(struct dlm_pool *pool, uint64_t round)
{
    uint64_t next = atomic_load(&pool->next);

    for (;;) {
        const int64_t item = (int64_t)(next & (uint64_t)(MAX_ITEMS - 1));
        if (next >> ITEM_BITS != round << ITEM_BITS >> ITEM_BITS || item >= pool->num_items)
            return -1;
        if (atomic_compare_exchange_weak(&pool->next, &next, next + 1))
            return item;
    }
}

static void work(struct dlm_pool *pool, uint64_t round, int worker)
{
    uint64_t num = 0;
    int64_t item;

    for (; (item = claim(pool, round)) >= 0; num++)
        pool->fn(pool->user, item, worker);
    /* either this is seen by who is about to sleep, or that one is seen here */
    if (num)
        atomic_fetch_add(&pool->seats[worker].done, num);
    if (!num || !worker || !atomic_load(&pool->is_awaited))
        return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->idle);
    pthread_mutex_unlock(&pool->lock);
}

/* Waits for a round after `seen`: spins a little, then sleeps. */
static uint64_t wait_round(struct dlm_pool *pool, uint64_t seen)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        const uint64_t round = atomic_load_explicit(&pool->round, memory_order_acquire);
        if (round != seen)
            return round;
        sched_yield();
    }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->round) == seen)
        pthread_cond_wait(&pool->wake, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    return atomic_load(&pool->round);
}

static void *worker_main(void *arg)
{
    struct worker_start *start = arg;
    struct dlm_pool *pool = start->pool;
    const int index = start->index;
    uint64_t seen = 0;

    free(start);
    pin(pool, index);
    for (;;) {
        seen = wait_round(pool, seen);
        if (atomic_load(&pool->stop))
            return NULL;
        work(pool, seen, index);
    }
}

static void begin_round(struct dlm_pool *pool, uint64_t round)
{
    pthread_mutex_lock(&pool->lock);
    atomic_store_explicit(&pool->round, round, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

struct dlm_pool *dlm_pool_create(struct dlm_ctx *ctx, int num_workers)
{
    struct dlm_pool *pool = dlm_alloc(ctx, sizeof(*pool));

    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->idle, NULL);
    CPU_ZERO(&pool->cpus);
    (void)sched_getaffinity(0, sizeof(pool->cpus), &pool->cpus); /* empty set: no pinning */
    pool->num_workers = num_workers;
    pool->threads = dlm_alloc_array(ctx, (size_t)num_workers, sizeof(*pool->threads));
    pool->seats = dlm_alloc_array(ctx, (size_t)num_workers, sizeof(*pool->seats));
    if (!pool->threads || !pool->seats)
        goto fail;
    for (int i = 1; i < num_workers; i++) {
        struct worker_start *start = malloc(sizeof(*start));
        if (start)
            *start = (struct worker_start){.pool = pool, .index = i};
        if (!start || pthread_create(&pool->threads[i - 1], NULL, worker_main, start)) {
            free(start);
            dlm_log(ctx, DLM_LOG_ERROR, "cannot start thread %d of %d", i, num_workers);
            goto fail;
        }
        pool->num_started++;
    }
    return pool;
fail:
    dlm_pool_destroy(&pool);
    return NULL;
}

void dlm_pool_destroy(struct dlm_pool **pool_ptr)
{
    struct dlm_pool *pool = pool_ptr ? *pool_ptr : NULL;

    if (!pool)
        return;
    atomic_store(&pool->stop, true);
    begin_round(pool, atomic_load(&pool->round) + 1);
    for (int i = 0; i < pool->num_started; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->idle);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    dlm_free(pool->seats);
    dlm_free(pool->threads);
    dlm_free(pool);
    *pool_ptr = NULL;
}

int dlm_pool_num_workers(const struct dlm_pool *pool)
{
    return pool->num_workers;
}

static bool is_over(struct dlm_pool *pool)
{
    uint64_t done = 0;

    for (int i = 0; i < pool->num_workers; i++)
        done += atomic_load(&pool->seats[i].done);
    return done == pool->total;
}

/* Waits until all items are done: spins a little, then sleeps. */
static void wait_idle(struct dlm_pool *pool)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (is_over(pool))
            return;
        sched_yield();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->is_awaited, true);
    while (!is_over(pool))
        pthread_cond_wait(&pool->idle, &pool->lock);
    atomic_store(&pool->is_awaited, false);
    pthread_mutex_unlock(&pool->lock);
}

void dlm_pool_run(struct dlm_pool *pool, dlm_pool_fn fn, void *user, int64_t num_items)
{
    if (pool->num_workers == 1 || num_items <= 1) {
        for (int64_t i = 0; i < num_items; i++)
            fn(user, i, 0);
        return;
    }
    assert(num_items < MAX_ITEMS);
    const uint64_t round = atomic_load(&pool->round) + 1;
    /* before num_items changes, no item is left to who still looks for one of the last round */
    atomic_store(&pool->next, round << ITEM_BITS | (uint64_t)(MAX_ITEMS - 1));
    pool->fn = fn;
    pool->user = user;
    pool->total += (uint64_t)num_items;
    atomic_store(&pool->num_items, num_items);
    atomic_store(&pool->next, round << ITEM_BITS);
    begin_round(pool, round);
    work(pool, round, 0);
    wait_idle(pool);
}
