/* Helpers of the document tests: a context that keeps the last error, documents from literals. */
#ifndef DLM_TESTS_DOC_TEST_H
#define DLM_TESTS_DOC_TEST_H

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "doc/doc.h"

#define TEST_ID "01HZ4X7TGZM3J1A2B3C4D5E6F7"
#define TEST_HEAD "---\ndlm_id: " TEST_ID "\nbase_model: b\n---\n"

static struct {
    int num_errors, num_warnings;
    char warning[1024], hint[1024];
} test_log_;

static inline void test_log(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level == DLM_LOG_ERROR)
        test_log_.num_errors++;
    if (level == DLM_LOG_HINT)
        snprintf(test_log_.hint, sizeof(test_log_.hint), "%s", text);
    if (level == DLM_LOG_WARNING) {
        test_log_.num_warnings++;
        snprintf(test_log_.warning, sizeof(test_log_.warning), "%s", text);
    }
}

static inline struct dlm_ctx *test_ctx(void)
{
    const struct dlm_ctx_params params = {.log = test_log};
    return dlm_ctx_create(&params);
}

/* Parses text, which must be good; NULL otherwise. */
static inline struct dlm_doc *test_parse(struct dlm_ctx *ctx, const char *text)
{
    struct dlm_doc *doc = NULL;
    if (!CHECK(dlm_doc_parse(ctx, &doc, NULL, text, strlen(text)) == DLM_OK))
        printf("     %s\n", dlm_ctx_last_error(ctx));
    return doc;
}

/* Parses text, which must fail with exactly this message. */
static inline void test_fails(struct dlm_ctx *ctx, const char *text, const char *message)
{
    struct dlm_doc *doc = NULL;
    CHECK(dlm_doc_parse(ctx, &doc, NULL, text, strlen(text)) == DLM_ERR_PARSE);
    CHECK(!doc);
    CHECK_STR(dlm_ctx_last_error(ctx), message);
    dlm_doc_destroy(&doc);
}

#endif
