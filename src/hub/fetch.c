/* The loop over libcurl's transfers. What one of them does is job.c's part. */
#include "hub/fetch.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "hub/job.h"

#define TICK_MS 100
#define RATE_SECONDS 0.5 /* between two looks at the rate */

struct fetch {
    struct dlm_ctx *ctx;
    const struct dlm_hub_fetch_params *params;
    CURLM *multi;
    struct curl_slist *headers;
    struct dlm_hub_job *jobs;
    size_t num_jobs;
    struct dlm_hub_state state;
    double rate_at;
    uint64_t rate_bytes; /* received then */
};

static enum dlm_status add_header(struct fetch *f, const char *line)
{
    struct curl_slist *longer = curl_slist_append(f->headers, line);

    if (!longer)
        return DLM_ERR_MEMORY;
    f->headers = longer;
    return DLM_OK;
}

static enum dlm_status init(struct fetch *f, struct dlm_ctx *ctx,
                            const struct dlm_hub_fetch_params *params,
                            const struct dlm_hub_item *items, size_t num_items)
{
    *f = (struct fetch){.ctx = ctx, .params = params, .num_jobs = num_items, .rate_at = dlm_now()};
    f->jobs = dlm_alloc_array(ctx, num_items, sizeof(*f->jobs));
    if (!f->jobs)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < num_items; i++)
        f->jobs[i] = (struct dlm_hub_job){.ctx = ctx, .params = params, .item = &items[i]};
    /* sizes, ranges and hashes are of the files as they are */
    enum dlm_status st = add_header(f, "Accept-Encoding: identity");
    if (!st && params->site->token) {
        char *line = dlm_strf(ctx, "Authorization: Bearer %s", params->site->token);
        st = line ? add_header(f, line) : DLM_ERR_MEMORY;
        dlm_free(line);
    }
    f->multi = st ? NULL : curl_multi_init();
    return f->multi ? DLM_OK : dlm_fail(ctx, DLM_ERR_MEMORY, "libcurl cannot be set up");
}

static void finish(struct fetch *f)
{
    for (size_t i = 0; f->jobs && i < f->num_jobs; i++) {
        if (!f->jobs[i].easy)
            continue;
        curl_multi_remove_handle(f->multi, f->jobs[i].easy);
        curl_easy_cleanup(f->jobs[i].easy);
    }
    curl_multi_cleanup(f->multi);
    curl_slist_free_all(f->headers);
    dlm_free(f->jobs);
}

/* Hashes a slice of what an earlier process left; then the job runs, or is done. */
static enum dlm_status hash_some(struct fetch *f, struct dlm_hub_job *job)
{
    struct dlm_hub_blob *blob = job->item->blob;

    enum dlm_status st = dlm_hub_blob_hash_some(f->ctx, blob);
    if (st || blob->hashed < blob->len)
        return st;
    if (blob->len == blob->file->bytes) {
        st = dlm_hub_blob_place(f->ctx, blob);
        if (blob->is_placed)
            job->state = JOB_DONE;
        return st; /* else it is hashed, as nothing, and starts in the next round */
    }
    return dlm_hub_job_start(job, f->multi, f->headers);
}

static enum dlm_status advance(struct fetch *f, struct dlm_hub_job *job)
{
    if (job->state == JOB_HASHING)
        return hash_some(f, job);
    if (job->state != JOB_WAITING || dlm_now() < job->until)
        return DLM_OK;
    if (!job->is_begun) {
        enum dlm_status st = dlm_hub_job_open(job);
        if (st || job->state != JOB_RUNNING)
            return st;
    }
    return dlm_hub_job_start(job, f->multi, f->headers);
}

/* Lets every job that has one of the places do what it can do now. */
static enum dlm_status advance_all(struct fetch *f, bool *is_hashing)
{
    enum dlm_status st = DLM_OK;
    int taken = 0;

    *is_hashing = false;
    for (size_t i = 0; i < f->num_jobs; i++)
        taken += f->jobs[i].is_begun && f->jobs[i].state != JOB_DONE;
    for (size_t i = 0; !st && i < f->num_jobs; i++) {
        struct dlm_hub_job *job = &f->jobs[i];
        const bool was_begun = job->is_begun;
        if (!was_begun && taken >= f->params->jobs)
            continue;
        st = advance(f, job);
        taken += !was_begun && job->is_begun && job->state != JOB_DONE;
        *is_hashing = *is_hashing || job->state == JOB_HASHING;
    }
    return st;
}

static enum dlm_status end_attempts(struct fetch *f)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(f->multi, &left))) {
        void *job = NULL;
        const CURLcode result = message->data.result; /* goes with the handle */
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &job);
        enum dlm_status st = dlm_hub_job_end(job, f->multi, result);
        if (st)
            return st;
    }
    return DLM_OK;
}

static void tell(struct fetch *f)
{
    uint64_t received = 0;
    const double now = dlm_now(), passed = now - f->rate_at;

    f->state.num_placed = 0;
    f->state.bytes = 0;
    for (size_t i = 0; i < f->num_jobs; i++) {
        const struct dlm_hub_blob *blob = f->jobs[i].item->blob;
        received += f->jobs[i].received;
        f->state.num_placed += f->jobs[i].state == JOB_DONE;
        if (blob)
            f->state.bytes += blob->is_placed ? blob->file->bytes : blob->len;
    }
    if (passed >= RATE_SECONDS) {
        const double rate = (double)(received - f->rate_bytes) / passed;
        f->state.bytes_per_sec =
            f->rate_bytes ? 0.7 * f->state.bytes_per_sec + 0.3 * rate : rate;
        f->rate_bytes = received;
        f->rate_at = now;
    }
    if (f->params->progress)
        f->params->progress(f->params->user, &f->state);
}

static bool is_done(const struct fetch *f)
{
    for (size_t i = 0; i < f->num_jobs; i++)
        if (f->jobs[i].state != JOB_DONE)
            return false;
    return true;
}

static enum dlm_status run(struct fetch *f)
{
    enum dlm_status st = DLM_OK;
    bool is_hashing = false;
    int running;

    while (!st && !is_done(f)) {
        if (dlm_ctx_is_cancelled(f->ctx))
            return DLM_ERR_CANCELLED;
        st = advance_all(f, &is_hashing);
        bool has_failed = !st && curl_multi_perform(f->multi, &running);
        if (!st)
            st = end_attempts(f);
        if (!st)
            tell(f);
        if (!st && !is_hashing && !is_done(f))
            has_failed |= curl_multi_poll(f->multi, NULL, 0, TICK_MS, NULL) != CURLM_OK;
        if (has_failed && !st)
            st = dlm_fail(f->ctx, DLM_ERR_IO, "cannot fetch '%s': libcurl fails",
                          f->params->who.id);
    }
    return st;
}

enum dlm_status dlm_hub_fetch(struct dlm_ctx *ctx, const struct dlm_hub_fetch_params *params,
                              const struct dlm_hub_item *items, size_t num_items)
{
    struct fetch f = {0};

    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return dlm_fail(ctx, DLM_ERR_MEMORY, "libcurl cannot be set up");
    enum dlm_status st = init(&f, ctx, params, items, num_items);
    if (!st)
        st = run(&f);
    finish(&f);
    curl_global_cleanup();
    return st;
}
