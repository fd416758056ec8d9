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

struct dlm_pool {
    int num_workers;
    int num_started;
    pthread_t *threads; /* [num_workers - 1] */
    cpu_set_t cpus;     /* to pin to */
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    atomic_uint round; /* counts dlm_pool_run calls; a change wakes the workers */
    atomic_bool stop;
    atomic_int busy; /* workers still in the current round */
    dlm_pool_fn fn;
    void *user;
    int64_t num_items;
    atomic_int_least64_t next;
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

static void work(struct dlm_pool *pool, int worker)
{
    int64_t item;

    while ((item = atomic_fetch_add(&pool->next, 1)) < pool->num_items)
        pool->fn(pool->user, item, worker);
}

/* Waits for a round after `seen`: spins a little, then sleeps. */
static unsigned wait_round(struct dlm_pool *pool, unsigned seen)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        unsigned round = atomic_load_explicit(&pool->round, memory_order_acquire);
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
    unsigned seen = 0;

    free(start);
    pin(pool, index);
    for (;;) {
        seen = wait_round(pool, seen);
        if (atomic_load(&pool->stop))
            return NULL;
        work(pool, index);
        if (atomic_fetch_sub(&pool->busy, 1) == 1) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->idle);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

static void next_round(struct dlm_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add_explicit(&pool->round, 1, memory_order_release);
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
    if (!pool->threads)
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
    next_round(pool);
    for (int i = 0; i < pool->num_started; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->idle);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    dlm_free(pool->threads);
    dlm_free(pool);
    *pool_ptr = NULL;
}

int dlm_pool_num_workers(const struct dlm_pool *pool)
{
    return pool->num_workers;
}

/* Waits until no worker is in the round: spins a little, then sleeps. */
static void wait_idle(struct dlm_pool *pool)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (!atomic_load_explicit(&pool->busy, memory_order_acquire))
            return;
        sched_yield();
    }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->busy))
        pthread_cond_wait(&pool->idle, &pool->lock);
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
    atomic_store(&pool->busy, pool->num_started);
    next_round(pool);
    work(pool, 0);
    wait_idle(pool);
}
