/* One item of a fetch: its attempts. Only fetch.c and job.c see libcurl. */
#ifndef DLM_HUB_JOB_H
#define DLM_HUB_JOB_H

#include <curl/curl.h>

#include "hub/fetch.h"

enum job_state {
    JOB_WAITING, /* until `until`: for its turn, another process, or the server's leave */
    JOB_HASHING, /* what an earlier process fetched */
    JOB_RUNNING,
    JOB_DONE,
};

/* Why the bytes of an attempt were not taken. */
enum job_fault {
    JOB_FAULT_NONE,
    JOB_FAULT_LONG,
    JOB_FAULT_RANGE,
    JOB_FAULT_ENCODED,
    JOB_FAULT_OWN,
};

struct dlm_hub_job {
    struct dlm_ctx *ctx;
    const struct dlm_hub_fetch_params *params;
    const struct dlm_hub_item *item;
    enum job_state state;
    bool is_begun;  /* holds one of the places */
    bool was_busy;  /* that another process fetches it has been said */
    double until;   /* dlm_now() */
    int failures;   /* attempts in a row that brought nothing */
    CURL *easy;     /* of the attempt; NULL: none */
    uint64_t began; /* offset at which the attempt began */
    uint64_t most;  /* bytes of the blob that were ever there */
    bool is_news;   /* the attempt brought more than that */
    uint64_t received; /* bytes of all attempts */
    /* Of the answer: */
    uint64_t range_begin;
    char code[64];     /* X-Error-Code */
    char encoding[64]; /* Content-Encoding */
    char error[CURL_ERROR_SIZE];
    enum job_fault fault;
    enum dlm_status st; /* JOB_FAULT_OWN */
};

/* Opens the blob: what is next is in state. */
enum dlm_status dlm_hub_job_open(struct dlm_hub_job *job) DLM_CHECK_RESULT;

/* Sets up an attempt; headers and multi are borrowed until dlm_hub_job_end() or the finish. */
enum dlm_status dlm_hub_job_start(struct dlm_hub_job *job, CURLM *multi,
                                  struct curl_slist *headers) DLM_CHECK_RESULT;

/* The attempt is over, and with it its handle: done, or to be tried again, or failed. */
enum dlm_status dlm_hub_job_end(struct dlm_hub_job *job, CURLM *multi,
                                CURLcode result) DLM_CHECK_RESULT;

#endif
