/* Attempts: what is asked, how an answer is taken, and which failures are worth another attempt. */
#include "hub/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"

#define FIRST_WAIT 0.5           /* seconds; doubles with each failure in a row */
#define LONGEST_WAIT 600.0       /* a server that asks for more is given up */
#define BUSY_WAIT 0.5            /* until another process is asked for its lock again */
#define NEWS_BYTES (64 << 10)    /* an attempt that brought so many new ones was not in vain */
#define STALL_BYTES_PER_SEC 1000 /* fewer are a stall */

enum dlm_status dlm_hub_job_open(struct dlm_hub_job *job)
{
    struct dlm_hub_blob *blob = job->item->blob;
    bool is_busy = false;

    if (!blob) {
        job->is_begun = true;
        job->state = JOB_RUNNING;
        return DLM_OK;
    }
    enum dlm_status st = dlm_hub_blob_open(job->ctx, blob, &is_busy);
    if (st)
        return st;
    if (is_busy) {
        if (!job->was_busy)
            dlm_log(job->ctx, DLM_LOG_INFO, "waiting for another program that fetches '%s'",
                    job->item->name);
        job->was_busy = true;
        job->until = dlm_now() + BUSY_WAIT;
        return DLM_OK;
    }
    job->is_begun = true;
    job->state = blob->is_placed ? JOB_DONE : JOB_HASHING;
    return DLM_OK;
}

/* --- the answer --- */

/* The value of "Name: value\r\n" if the line is of that name, else NULL. */
static const char *header_value(const char *line, size_t len, const char *name, size_t *value_len)
{
    const size_t n = strlen(name);

    if (len <= n || strncasecmp(line, name, n) || line[n] != ':')
        return NULL;
    const char *value = line + n + 1;
    const char *end = line + len;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    *value_len = (size_t)(end - value);
    return value;
}

static size_t on_header(char *line, size_t size, size_t num, void *user)
{
    struct dlm_hub_job *job = user;
    const size_t len = size * num;
    size_t value_len;
    char text[64] = "";

    if (len > 5 && !strncmp(line, "HTTP/", 5)) { /* of the next answer of a chain */
        job->code[0] = job->encoding[0] = '\0';
        job->range_begin = 0;
    }
    const char *value = header_value(line, len, "X-Error-Code", &value_len);
    if (value)
        snprintf(job->code, sizeof(job->code), "%.*s", (int)DLM_MIN(value_len, (size_t)63), value);
    value = header_value(line, len, "Content-Encoding", &value_len);
    if (value)
        snprintf(job->encoding, sizeof(job->encoding), "%.*s",
                 (int)DLM_MIN(value_len, (size_t)63), value);
    value = header_value(line, len, "Content-Range", &value_len);
    if (value) {
        snprintf(text, sizeof(text), "%.*s", (int)DLM_MIN(value_len, (size_t)63), value);
        if (!strncasecmp(text, "bytes ", 6))
            job->range_begin = strtoull(text + 6, NULL, 10);
    }
    return len;
}

static long status_of(const struct dlm_hub_job *job)
{
    long status = 0;

    curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* Stops the attempt. */
static size_t stop(struct dlm_hub_job *job, enum job_fault fault)
{
    job->fault = fault;
    return CURL_WRITEFUNC_ERROR;
}

static size_t take_text(struct dlm_hub_job *job, const char *data, size_t len)
{
    struct dlm_str *text = job->item->text;

    if (len > job->item->max_text - text->len)
        return stop(job, JOB_FAULT_LONG);
    job->st = dlm_str_append(job->ctx, text, data, len);
    return job->st ? stop(job, JOB_FAULT_OWN) : len;
}

static size_t take_blob(struct dlm_hub_job *job, long status, const char *data, size_t len)
{
    struct dlm_hub_blob *blob = job->item->blob;

    if (status == 206 && blob->len == job->began && job->range_begin != job->began)
        return stop(job, JOB_FAULT_RANGE);
    if (status == 200 && job->began) { /* all of it, though a part was asked for */
        job->began = 0;
        job->st = dlm_hub_blob_restart(job->ctx, blob);
        if (job->st)
            return stop(job, JOB_FAULT_OWN);
    }
    if (len > blob->file->bytes - blob->len)
        return stop(job, JOB_FAULT_LONG);
    job->st = dlm_hub_blob_append(job->ctx, blob, data, len);
    return job->st ? stop(job, JOB_FAULT_OWN) : len;
}

/* Compressed bytes are not the file's, and nobody asked for them. Storage says "aws-chunked" of
 * what it sends as it is. */
static bool is_compressed(const struct dlm_hub_job *job)
{
    static const char *const names[] = {"gzip", "deflate", "compress", "br", "zstd"};

    for (size_t i = 0; i < DLM_ARRAY_LEN(names); i++)
        if (strcasestr(job->encoding, names[i]))
            return true;
    return false;
}

static size_t on_body(char *data, size_t size, size_t num, void *user)
{
    struct dlm_hub_job *job = user;
    const size_t len = size * num;
    const long status = status_of(job);

    if (status != 200 && status != 206)
        return len; /* an error's page */
    if (is_compressed(job))
        return stop(job, JOB_FAULT_ENCODED);
    const size_t taken = job->item->blob ? take_blob(job, status, data, len)
                                         : take_text(job, data, len);
    if (taken == len)
        job->received += len;
    return taken;
}

/* --- an attempt --- */

static CURLcode set_up(struct dlm_hub_job *job, struct curl_slist *headers)
{
    const long stall = job->params->stall_seconds;
    const bool is_secure = !strncmp(job->params->site->endpoint, "https:", 6);
    char range[32];
    CURL *easy = job->easy;
    CURLcode rc = CURLE_OK;

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (!rc)                                                                                   \
            rc = curl_easy_setopt(easy, CURLOPT_##option, value);                                  \
    } while (0)
    SET(URL, job->item->url);
    SET(PRIVATE, (void *)job);
    SET(ERRORBUFFER, job->error);
    SET(NOSIGNAL, 1L);
    SET(USERAGENT, "dlm/" DLM_VERSION);
    /* Of a redirect to another host libcurl leaves our own Authorization header out. */
    SET(HTTPHEADER, headers);
    SET(FOLLOWLOCATION, 1L);
    SET(MAXREDIRS, 10L);
    SET(PROTOCOLS_STR, "http,https");
    SET(REDIR_PROTOCOLS_STR, is_secure ? "https" : "http,https");
    /* Several connections, not several streams of one, which a single loss would stop. */
    SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CONNECTTIMEOUT, stall);
    SET(LOW_SPEED_LIMIT, (long)STALL_BYTES_PER_SEC);
    SET(LOW_SPEED_TIME, stall);
    SET(BUFFERSIZE, 256L << 10);
    SET(HEADERFUNCTION, on_header);
    SET(HEADERDATA, (void *)job);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, (void *)job);
    if (job->began) {
        snprintf(range, sizeof(range), "%llu-", (unsigned long long)job->began);
        SET(RANGE, range);
    }
#undef SET
    return rc;
}

enum dlm_status dlm_hub_job_start(struct dlm_hub_job *job, CURLM *multi, struct curl_slist *headers)
{
    job->easy = curl_easy_init();
    job->began = job->item->blob ? job->item->blob->len : 0;
    job->most = DLM_MAX(job->most, job->began);
    if (job->began)
        job->item->blob->is_joined = true;
    job->range_begin = 0;
    job->code[0] = job->encoding[0] = job->error[0] = '\0';
    job->fault = JOB_FAULT_NONE;
    if (!job->item->blob)
        dlm_str_finish(job->item->text);
    if (!job->easy || set_up(job, headers) || curl_multi_add_handle(multi, job->easy))
        return dlm_fail(job->ctx, DLM_ERR_MEMORY, "cannot fetch '%s': libcurl cannot be set up",
                        job->item->name);
    job->state = JOB_RUNNING;
    return DLM_OK;
}

/* Is another attempt of no use? */
static bool is_final(CURLcode result)
{
    switch (result) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_OUT_OF_MEMORY:
        return true;
    default:
        return false;
    }
}

/* What went wrong, in words. */
static void describe(const struct dlm_hub_job *job, CURLcode result, long status, char *text,
                     size_t bytes)
{
    if (job->fault == JOB_FAULT_LONG)
        snprintf(text, bytes, "more bytes came than it has");
    else if (job->fault == JOB_FAULT_RANGE)
        snprintf(text, bytes, "another part came than was asked for");
    else if (result && result != CURLE_WRITE_ERROR)
        snprintf(text, bytes, "%s", job->error[0] ? job->error : curl_easy_strerror(result));
    else if (status != 200 && status != 206)
        snprintf(text, bytes, "the server answers %ld", status);
    else
        snprintf(text, bytes, "fewer bytes came than it has");
}

/* Answers that may be others a little later: the server is busy, or what stands before it. */
static bool is_passing(long status, long num_redirects)
{
    switch (status) {
    case 403:
        return num_redirects; /* an address that was valid once */
    case 408:
    case 425:
    case 429:
        return true;
    default:
        return status == 200 || status == 206 || (status >= 500 && status != 501 && status != 505);
    }
}

/* Whether the attempt went beyond all before it: a server that sends the same beginning again and
 * again brings nothing new. */
static void note_news(struct dlm_hub_job *job)
{
    const uint64_t len = job->item->blob ? job->item->blob->len : 0;

    job->is_news = !job->fault && len >= job->most + NEWS_BYTES;
    job->most = DLM_MAX(job->most, len);
}

/* After a failure: when to try again, or the end. after: what the server asked for, in seconds. */
static enum dlm_status try_later(struct dlm_hub_job *job, const char *why, double after)
{
    double wait = FIRST_WAIT;

    job->failures = job->is_news ? 1 : job->failures + 1;
    for (int i = 1; i < job->failures && wait < LONGEST_WAIT; i++)
        wait *= 2;
    wait = DLM_MAX(wait, after);
    if (job->failures > job->params->retries || wait > LONGEST_WAIT) {
        (void)dlm_fail(job->ctx, DLM_ERR_IO, "cannot fetch '%s': %s", job->item->name, why);
        if (wait > LONGEST_WAIT)
            dlm_log(job->ctx, DLM_LOG_HINT, "the server asks to wait for %.0f minutes", wait / 60);
        if (job->item->blob && job->item->blob->len)
            dlm_log(job->ctx, DLM_LOG_HINT, "what has come is kept; the same command goes on");
        return DLM_ERR_IO;
    }
    dlm_log(job->ctx, DLM_LOG_WARNING, "'%s': %s; trying again in %.3g s", job->item->name, why,
            wait);
    job->state = JOB_WAITING;
    job->until = dlm_now() + wait;
    return DLM_OK;
}

/* The file has all its bytes. */
static enum dlm_status place(struct dlm_hub_job *job)
{
    enum dlm_status st = dlm_hub_blob_place(job->ctx, job->item->blob);

    job->state = job->item->blob->is_placed ? JOB_DONE : JOB_WAITING;
    job->until = 0;
    return st;
}

/* What is neither what was asked for nor a reason to ask again. */
static enum dlm_status refused(struct dlm_hub_job *job, long status)
{
    struct dlm_hub_refusal who = job->params->who;

    if (status != 401 && status != 403 && status != 404)
        return dlm_fail(job->ctx, DLM_ERR_IO, "cannot fetch '%s' of '%s': the server answers %ld",
                        job->item->name, who.id, status);
    who.status = status;
    who.code = job->code;
    return dlm_hub_refuse(job->ctx, job->params->site, &who);
}

/* Decides what the attempt was. num_redirects: how many answers led to this one. */
static enum dlm_status judge(struct dlm_hub_job *job, CURLcode result, long status,
                             long num_redirects, double after)
{
    struct dlm_hub_blob *blob = job->item->blob;
    char why[CURL_ERROR_SIZE];

    if (job->fault == JOB_FAULT_OWN)
        return job->st;
    if (blob && job->fault == JOB_FAULT_NONE && blob->len == blob->file->bytes)
        return place(job);
    if (!blob && !result && !job->fault && status == 200) {
        job->state = JOB_DONE;
        return DLM_OK;
    }
    if (job->fault == JOB_FAULT_ENCODED) {
        (void)dlm_fail(job->ctx, DLM_ERR_IO, "cannot fetch '%s': the server sends it compressed "
                       "(Content-Encoding: %s), which was not asked for", job->item->name,
                       job->encoding);
        dlm_log(job->ctx, DLM_LOG_HINT, "a proxy may do that on its own");
        return DLM_ERR_IO;
    }
    describe(job, result, status, why, sizeof(why));
    if (is_final(result))
        return dlm_fail(job->ctx, DLM_ERR_IO, "cannot fetch '%s': %s", job->item->name, why);
    if (job->fault || status == 416) { /* what is there does not help */
        enum dlm_status st = blob ? dlm_hub_blob_restart(job->ctx, blob) : DLM_OK;
        if (st)
            return st;
    } else if (!result && !is_passing(status, num_redirects)) {
        return refused(job, status);
    }
    return try_later(job, why, after);
}

enum dlm_status dlm_hub_job_end(struct dlm_hub_job *job, CURLM *multi, CURLcode result)
{
    const long status = status_of(job);
    long num_redirects = 0;
    curl_off_t after = 0;

    curl_easy_getinfo(job->easy, CURLINFO_REDIRECT_COUNT, &num_redirects);
    curl_easy_getinfo(job->easy, CURLINFO_RETRY_AFTER, &after);
    note_news(job);
    enum dlm_status st = judge(job, result, status, num_redirects, (double)after);
    curl_multi_remove_handle(multi, job->easy);
    curl_easy_cleanup(job->easy);
    job->easy = NULL;
    return st;
}
