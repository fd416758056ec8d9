/* The thread pool. Workers are pinned one to a CPU of the process's affinity mask when there are
 * as many CPUs as workers; work items are claimed from an atomic counter, so that which thread
 * runs an item never matters to its result. */
#include "base/pool.h"

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

/* Where a worker says that it has left a round: in a line of its own, so that many workers that
 * end at once do not wait for each other. */
struct worker_seat {
    atomic_uint_least64_t left; /* the last round that it was in */
    char padding[LINE_BYTES - sizeof(atomic_uint_least64_t)];
};

struct dlm_pool {
    int num_workers;
    int num_started;
    pthread_t *threads; /* [num_workers - 1] */
    cpu_set_t cpus;     /* to pin to */
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    /* Counts dlm_pool_run calls in its upper half; a change wakes the workers. The lower half is
     * how many of them, the first ones, are in the round: nobody waits for the others, who may see
     * it late or never, and learn all they need from one load. */
    atomic_uint_least64_t round;
    atomic_bool stop;
    atomic_bool is_awaited; /* the caller sleeps until the round is over */
    struct worker_seat *seats; /* [num_workers] */
    dlm_pool_fn fn;
    void *user;
    int64_t num_items;
    char padding[LINE_BYTES];
    atomic_int_least64_t next; /* written by all: in a line that nobody reads for anything else */
    char padding_after[LINE_BYTES];
};

static uint64_t make_round(uint64_t count, int num_workers)
{
    return count << 32 | (uint64_t)num_workers;
}

static bool is_in_round(uint64_t round, int worker)
{
    return (uint64_t)worker < (round & UINT32_MAX);
}

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

static void work(struct dlm_pool *pool, int worker)
{
    int64_t item;

    while ((item = atomic_fetch_add(&pool->next, 1)) < pool->num_items)
        pool->fn(pool->user, item, worker);
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

static void leave_round(struct dlm_pool *pool, uint64_t round, int worker)
{
    /* either this store is seen by who is about to sleep, or that one is seen here */
    atomic_store(&pool->seats[worker].left, round);
    if (!atomic_load(&pool->is_awaited))
        return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->idle);
    pthread_mutex_unlock(&pool->lock);
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
        if (!is_in_round(seen, index))
            continue;
        work(pool, index);
        leave_round(pool, seen, index);
    }
}

/* Returns the round. */
static uint64_t next_round(struct dlm_pool *pool, int num_workers)
{
    const uint64_t round = make_round((atomic_load(&pool->round) >> 32) + 1, num_workers);

    pthread_mutex_lock(&pool->lock);
    atomic_store_explicit(&pool->round, round, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    return round;
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
    next_round(pool, pool->num_workers);
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

static bool is_over(struct dlm_pool *pool, uint64_t round)
{
    for (int i = 1; i < pool->num_workers && is_in_round(round, i); i++)
        if (atomic_load(&pool->seats[i].left) != round)
            return false;
    return true;
}

/* Waits until no worker is in the round: spins a little, then sleeps. */
static void wait_idle(struct dlm_pool *pool, uint64_t round)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (is_over(pool, round))
            return;
        sched_yield();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->is_awaited, true);
    while (!is_over(pool, round))
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
    pool->fn = fn;
    pool->user = user;
    pool->num_items = num_items;
    atomic_store(&pool->next, 0);
    const int num_workers = (int)DLM_MIN(num_items, (int64_t)pool->num_workers); /* fits */
    const uint64_t round = next_round(pool, num_workers);
    work(pool, 0);
    wait_idle(pool, round);
}
