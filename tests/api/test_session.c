/* Sessions: one that is open answers, scores and trains as calls for themselves do, whatever was
 * asked of it before, and whatever failed. Answers are the reference's (see models_test.h). */
#include <limits.h>

#include "../models/models_test.h"
#include "api/session_impl.h"
#include "countdown.h"

#define MAX_ALLOCATIONS 20000

static struct dlm_ctx *ctx;
static struct countdown countdown; /* of ctx */
static bool is_quiet; /* failures are being made in numbers */
static json_t *expected; /* of the case */
static const char *const adapters[] = {"adapter", "adapter_wide"};

struct answer {
    char text[4096];
    size_t len;
    bool cancels; /* with the first piece */
};

static void log_unless_quiet(void *user, enum dlm_log_level level, const char *text)
{
    if (!is_quiet)
        print_log(user, level, text);
}

static void keep_text(void *user, const char *utf8, size_t len)
{
    struct answer *a = user;

    if (a->cancels)
        dlm_ctx_cancel(ctx);
    if (len < sizeof(a->text) - a->len) {
        memcpy(a->text + a->len, utf8, len);
        a->len += len;
        a->text[a->len] = '\0';
    }
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static struct dlm_session *open_session(void)
{
    const struct dlm_session_params from = {
        .base = "dir:base", .dir = case_path(""), .home = tmp_path("home"), .compute = compute};
    struct dlm_session *s = NULL;

    CHECK(!dlm_session_open(ctx, &s, &from));
    for (size_t i = 0; s && i < DLM_ARRAY_LEN(adapters); i++)
        CHECK(!dlm_session_load_adapter(s, adapters[i], case_path(adapters[i])));
    return s;
}

/* Asks the reference's question; a failure of the checks is the caller's part. */
static enum dlm_status ask(struct dlm_session *s, const json_t *g, struct answer *answer)
{
    const char *image = text_of(g, "image");
    const char *const images[] = {image ? case_path(image) : NULL};
    const struct dlm_prompt_request request = {
        .query = text_of(g, "prompt"), .images = images, .num_images = image ? 1 : 0,
        .max_tokens = (int64_t)json_array_size(json_object_get(g, "ids")),
        .text = keep_text, .user = answer};

    return dlm_session_prompt(s, &request);
}

static void expect_answer(struct dlm_session *s, const json_t *g)
{
    struct answer answer = {.len = 0};

    if (CHECK(!ask(s, g, &answer)))
        CHECK_STR(answer.text, text_of(g, "text"));
}

static bool is_of(const json_t *object, const char *adapter)
{
    const char *name = text_of(object, "adapter");

    return name && adapter ? !strcmp(name, adapter) : !name && !adapter;
}

/* Every question that the reference answered with the adapter (NULL: the base). */
static void expect_answers(struct dlm_session *s, const char *adapter)
{
    const json_t *g;
    size_t i;
    int num = 0;

    CHECK(!dlm_session_use_adapter(s, adapter));
    json_array_foreach(json_object_get(expected, "generations"), i, g) {
        if (is_of(g, adapter)) {
            expect_answer(s, g);
            num++;
        }
    }
    CHECK(num > 0);
}

/* The first question with the adapter, with an image or without. */
static const json_t *question(const char *adapter, bool with_image)
{
    const json_t *g;
    size_t i;

    json_array_foreach(json_object_get(expected, "generations"), i, g) {
        if (is_of(g, adapter) && !text_of(g, "image") == !with_image)
            return g;
    }
    CHECK(!"there is such a question");
    return NULL;
}

/* --- answers --- */

/* The buffers that hold the weights, in order; NULL: not loaded. */
static size_t weight_buffers(const struct dlm_session *s, const struct dlm_buffer **buffers,
                             size_t max)
{
    const struct dlm_weights *w = s->model->weights;
    size_t num = 0;

    for (size_t i = 0; i < w->num; i++)
        for (int k = 0; k < w->list[i]->num_slabs && num < max; k++)
            buffers[num++] = w->list[i]->slabs[k].storage.buffer;
    return num;
}

static void test_answers(void)
{
    const struct dlm_buffer *before[512], *after[512];
    uint64_t used = 0;

    check_model_case("nothing is loaded before a question asks for it");
    struct dlm_session *s = open_session();
    if (!s)
        return;
    CHECK_INT(dlm_device_used_bytes(s->device), 0);
    expect_answer(s, question(NULL, false));
    CHECK_INT(dlm_weights_loaded_bytes(s->model->weights, DLM_WEIGHT_GROUP_TOWER), 0);
    CHECK_INT(dlm_device_used_bytes(s->device),
              dlm_weights_bytes(s->model->weights, DLM_WEIGHT_GROUPS_NO_TOWER));
    expect_answer(s, question(NULL, true));
    CHECK_INT(dlm_device_used_bytes(s->device),
              dlm_weights_bytes(s->model->weights, DLM_WEIGHT_GROUPS_ALL));

    check_model_case("answers of the base and of two adapters, to and fro");
    const size_t num = weight_buffers(s, before, DLM_ARRAY_LEN(before));
    for (int round = 0; round < 2; round++) {
        expect_answers(s, "adapter");
        expect_answers(s, "adapter_wide");
        expect_answers(s, "adapter");
        expect_answers(s, NULL);
        if (!round)
            used = dlm_device_used_bytes(s->device);
        CHECK_INT(dlm_device_used_bytes(s->device), used);
    }
    check_model_case("a budget counts what other calls have left on the device");
    struct dlm_budget budget = {0};
    dlm_session_add_to_budget(s, NULL, false, DLM_LORA_VALUES, &budget);
    CHECK_INT(dlm_budget_total(&budget), used);

    check_model_case("the weights are loaded once");
    CHECK_INT(weight_buffers(s, after, DLM_ARRAY_LEN(after)), num);
    CHECK(num > 0 && num < DLM_ARRAY_LEN(before));
    CHECK(!memcmp(before, after, num * sizeof(*before)));
    dlm_session_close(&s);
    CHECK(!s);
}

/* --- scores --- */

static bool same_bits(const struct dlm_score_result *a, const struct dlm_score_result *b)
{
    return a->len == b->len && !memcmp(a->ids, b->ids, a->len * sizeof(*a->ids)) &&
           !memcmp(a->logprobs, b->logprobs, a->len * sizeof(*a->logprobs)) &&
           !memcmp(&a->loss, &b->loss, sizeof(a->loss));
}

static void compare_score(struct dlm_session *s, const json_t *score)
{
    const char *adapter = text_of(score, "adapter"), *image = text_of(score, "image");
    const char *const images[] = {image ? case_path(image) : NULL};
    const struct dlm_session_params from = {
        .base = case_base(), .home = tmp_path("home"),
        .adapter = adapter ? case_path(adapter) : NULL, .compute = compute};
    struct dlm_score_request request = {
        .prompt = text_of(score, "prompt"), .target = text_of(score, "target"), .images = images,
        .num_images = image ? 1 : 0, .gradients = adapter ? tmp_path("alone.safetensors") : NULL};
    struct dlm_score_result alone = {0}, shared = {0};

    CHECK(!dlm_score(ctx, &from, &request, &alone));
    request.gradients = adapter ? tmp_path("shared.safetensors") : NULL;
    CHECK(!dlm_session_use_adapter(s, adapter));
    CHECK(!dlm_session_score(s, &request, &shared));
    CHECK(alone.len > 0);
    CHECK(same_bits(&alone, &shared));
    if (adapter)
        CHECK(same_files(tmp_path("alone.safetensors"), tmp_path("shared.safetensors")));
    dlm_score_result_finish(&alone);
    dlm_score_result_finish(&shared);
}

static void test_scores(void)
{
    const json_t *score;
    size_t i;

    check_model_case("scores and gradients are those of a call for itself, bit for bit");
    struct dlm_session *s = open_session();
    for (int round = 0; s && round < 2; round++) {
        json_array_foreach(json_object_get(expected, "scores"), i, score) {
            compare_score(s, score);
        }
        CHECK(i > 0);
    }
    check_model_case("gradients do not stay on the device");
    for (size_t k = 0; s && k < s->num_adapters; k++)
        CHECK_INT(dlm_lora_loaded_bytes(s->adapters[k].lora),
                  s->adapters[k].lora->len * (int64_t)sizeof(float));
    check_model_case("gradients need an adapter");
    struct dlm_score_result result;
    const struct dlm_score_request request = {
        .prompt = "a", .target = "b", .gradients = tmp_path("gradients")};
    if (s && CHECK(!dlm_session_use_adapter(s, NULL)))
        CHECK_INT(dlm_session_score(s, &request, &result), DLM_ERR_USAGE);
    dlm_session_close(&s);
}

/* --- adapters by name --- */

static void test_adapters(void)
{
    check_model_case("adapters by name");
    struct dlm_session *s = open_session();
    if (!s)
        return;
    expect_answers(s, NULL);
    const uint64_t used = dlm_device_used_bytes(s->device);
    expect_answers(s, "adapter");
    CHECK_INT(dlm_session_use_adapter(s, "no such"), DLM_ERR_USAGE);
    expect_answer(s, question("adapter", true)); /* the one before is still used */

    check_model_case("the adapter in use cannot be dropped");
    CHECK_INT(dlm_session_drop_adapter(s, "adapter"), DLM_ERR_USAGE);
    CHECK_INT(dlm_session_drop_adapter(s, "no such"), DLM_ERR_USAGE);
    expect_answer(s, question("adapter", true));

    check_model_case("a dropped adapter leaves no memory behind");
    expect_answers(s, "adapter_wide");
    CHECK(!dlm_session_drop_adapter(s, "adapter"));
    CHECK_INT(dlm_session_use_adapter(s, "adapter"), DLM_ERR_USAGE);
    expect_answer(s, question("adapter_wide", true));
    CHECK(!dlm_session_use_adapter(s, NULL));
    CHECK(!dlm_session_drop_adapter(s, "adapter_wide"));
    CHECK_INT(dlm_device_used_bytes(s->device), used);

    check_model_case("a name that is taken gets the new adapter, while it is used too");
    CHECK(!dlm_session_load_adapter(s, "x", case_path("adapter")));
    CHECK(!dlm_session_use_adapter(s, "x"));
    expect_answer(s, question("adapter", true));
    CHECK(dlm_session_load_adapter(s, "x", case_path("images")) != DLM_OK);
    expect_answer(s, question("adapter", true));
    CHECK(!dlm_session_load_adapter(s, "x", case_path("adapter_wide")));
    expect_answer(s, question("adapter_wide", true));
    CHECK_INT(dlm_session_load_adapter(s, "", case_path("adapter")), DLM_ERR_INVALID);
    dlm_session_close(&s);
}

/* --- failures --- */

/* What fails, and leaves the rest as it was. */
static void fail_in_many_ways(struct dlm_session *s)
{
    const char *const missing[] = {case_path("images/no.png")};
    const char *const damaged[] = {case_path("doc.dlm")};
    struct dlm_prompt_request request = {.query = "blue an?", .num_images = 1};
    struct dlm_score_result result;
    struct answer answer = {.cancels = true};

    request.images = missing;
    CHECK(dlm_session_prompt(s, &request) != DLM_OK);
    request.images = damaged;
    CHECK(dlm_session_prompt(s, &request) != DLM_OK);
    const struct dlm_score_request score = {
        .prompt = "a", .target = "b", .images = damaged, .num_images = 1};
    CHECK(dlm_session_score(s, &score, &result) != DLM_OK);
    dlm_score_result_finish(&result);

    request = (struct dlm_prompt_request){.query = "blue an?", .max_tokens = 1 << 20};
    CHECK_INT(dlm_session_prompt(s, &request), DLM_ERR_MEMORY); /* its cache alone is too large */

    CHECK_INT(ask(s, question("adapter", true), &answer), DLM_ERR_CANCELLED);
    CHECK_INT(ask(s, question("adapter", true), &answer), DLM_ERR_CANCELLED);
    dlm_ctx_clear_cancel(ctx);
}

static void test_failures(void)
{
    const struct dlm_session_params nothing = {.base = "dir:no/such", .compute = compute};
    struct answer answer = {.len = 0};
    struct dlm_session *s = NULL;

    check_model_case("a base that is not there");
    CHECK_INT(dlm_session_open(ctx, &s, &nothing), DLM_ERR_IO);
    CHECK(!s);
    CHECK_INT(dlm_session_open(ctx, &s, &(struct dlm_session_params){.compute = compute}),
              DLM_ERR_INVALID);

    compute.max_memory_mib = 16;
    check_model_case("a cancel while weights are loaded");
    s = open_session();
    if (!s)
        return;
    CHECK(!dlm_session_use_adapter(s, "adapter"));
    dlm_ctx_cancel(ctx);
    CHECK_INT(ask(s, question("adapter", true), &answer), DLM_ERR_CANCELLED);
    dlm_ctx_clear_cancel(ctx);
    expect_answer(s, question("adapter", true));

    check_model_case("what fails in between does not spoil what comes next");
    const uint64_t used = dlm_device_used_bytes(s->device);
    for (int round = 0; round < 2; round++) {
        fail_in_many_ways(s);
        CHECK_INT(dlm_device_used_bytes(s->device), used);
        expect_answer(s, question("adapter", true));
    }
    dlm_session_close(&s);
    compute.max_memory_mib = 0;
}

/* A question in which allocation 0, 1, 2, ... fails, of a session that goes on. */
static void test_allocations(void)
{
    check_model_case("every allocation of a question fails once");
    struct dlm_session *s = open_session();
    const json_t *g = question("adapter", true);
    bool ends = false;

    if (!s || !CHECK(!dlm_session_use_adapter(s, "adapter")))
        return;
    is_quiet = true;
    for (long n = 0; !ends && n < MAX_ALLOCATIONS; n += 1 + n / 64) {
        struct answer answer = {.len = 0};
        countdown = (struct countdown){.left = n};
        enum dlm_status st = ask(s, g, &answer);
        ends = !countdown.is_over;
        countdown = (struct countdown){.left = LONG_MAX};
        if (!CHECK_INT(st, ends ? DLM_OK : DLM_ERR_MEMORY))
            break;
    }
    is_quiet = false;
    CHECK(ends);
    expect_answer(s, g);
    dlm_session_close(&s);
}

/* --- training --- */

static void cancel_after_two(void *user, const struct dlm_train_progress *progress)
{
    (void)user;
    if (progress->step == 2)
        dlm_ctx_cancel(ctx);
}

/* The new adapter's folder, owned (dlm_text_free); s NULL: in a call for itself. */
static char *train(struct dlm_session *s, const char *home, int64_t seed)
{
    struct dlm_train_params params = {
        .document = tmp_path("case/doc.dlm"), .home = home, .has_seed = true, .seed = seed,
        .max_steps = 6};
    struct dlm_train_result result;
    char *adapter = NULL;

    if (!s)
        params.compute = compute;
    if (CHECK(!(s ? dlm_session_train(s, &params, &result) : dlm_train(ctx, &params, &result)))) {
        adapter = result.adapter;
        result.adapter = NULL;
    }
    dlm_train_result_finish(&result);
    return adapter;
}

static bool same_adapters(const char *a, const char *b)
{
    char x[1200], y[1200];

    snprintf(x, sizeof(x), "%s/adapter_model.safetensors", a ? a : "");
    snprintf(y, sizeof(y), "%s/adapter_model.safetensors", b ? b : "");
    return same_files(x, y);
}

/* What the session's adapter in use answers is what a call for itself does. */
static void compare_with_alone(struct dlm_session *s, const struct dlm_session_params *from)
{
    const char *const images[] = {case_path("images/one.png")};
    struct answer alone = {.len = 0}, shared = {.len = 0};
    struct dlm_prompt_request request = {.query = "blue an?", .images = images, .num_images = 1,
                                         .max_tokens = 12, .text = keep_text, .user = &alone};

    CHECK(!dlm_prompt(ctx, from, &request));
    request.user = &shared;
    CHECK(!dlm_session_prompt(s, &request));
    CHECK(alone.len > 0);
    CHECK_STR(shared.text, alone.text);
}

static void train_twice(struct dlm_session *s)
{
    for (int64_t seed = 1; seed <= 2; seed++) {
        char *alone = train(NULL, tmp_path("alone"), seed);
        char *shared = train(s, tmp_path("home"), seed);
        CHECK(same_adapters(alone, shared));
        if (shared && CHECK(!dlm_session_load_adapter(s, "new", shared)) &&
            CHECK(!dlm_session_use_adapter(s, "new"))) {
            const struct dlm_session_params from = {
                .base = "dir:base", .dir = tmp_path("case"), .adapter = alone, .compute = compute};
            compare_with_alone(s, &from);
        }
        expect_answers(s, "adapter");
        dlm_text_free(alone);
        dlm_text_free(shared);
    }
}

static void test_training(void)
{
    char dir[512], path[600], home[512], command[2400];

    snprintf(dir, sizeof(dir), "%s", tmp_path("case"));
    snprintf(path, sizeof(path), "%s/doc.dlm", dir);
    snprintf(home, sizeof(home), "%s", tmp_path("home"));
    const struct dlm_session_params from = {.base = "dir:base", .dir = dir, .compute = compute};
    const struct dlm_session_params document = {.document = path, .home = home,
                                                .compute = compute};
    struct dlm_session *s = NULL;
    struct dlm_train_result result;

    check_model_case("training twice gives the adapters of calls for themselves");
    snprintf(command, sizeof(command), "cp -R '%s' '%s'", case_path(""), dir);
    if (!CHECK(!system(command)) || !CHECK(!dlm_session_open(ctx, &s, &from)) ||
        !CHECK(!dlm_session_load_adapter(s, "adapter", case_path("adapter"))))
        return;
    expect_answers(s, "adapter");
    train_twice(s);

    check_model_case("an interrupted training goes on in the same session");
    struct dlm_train_params broken = {.document = path, .home = tmp_path("broken"),
                                      .max_steps = 6, .progress = cancel_after_two};
    CHECK_INT(dlm_session_train(s, &broken, &result), DLM_ERR_CANCELLED);
    dlm_train_result_finish(&result);
    dlm_ctx_clear_cancel(ctx);
    expect_answers(s, "adapter");
    broken.progress = NULL;
    broken.resume = true;
    char *unbroken = train(NULL, tmp_path("unbroken"), 0);
    if (CHECK(!dlm_session_train(s, &broken, &result)))
        CHECK(same_adapters(result.adapter, unbroken));
    dlm_train_result_finish(&result);
    dlm_text_free(unbroken);

    check_model_case("training leaves nothing on the device");
    const uint64_t used = dlm_device_used_bytes(s->device);
    dlm_text_free(train(s, home, 3));
    CHECK_INT(dlm_device_used_bytes(s->device), used);

    check_model_case("a document of another base, and a device of its own, are refused");
    const struct dlm_train_params other = {
        .document = case_path("doc.dlm"), .home = tmp_path("other")};
    CHECK_INT(dlm_session_train(s, &other, &result), DLM_ERR_INVALID);
    dlm_train_result_finish(&result);
    const struct dlm_train_params with_device = {
        .document = path, .home = home, .compute = compute};
    CHECK_INT(dlm_session_train(s, &with_device, &result), DLM_ERR_INVALID);
    dlm_train_result_finish(&result);
    expect_answers(s, "adapter");
    dlm_session_close(&s);

    check_model_case("a document's session uses its current adapter");
    if (!CHECK(!dlm_session_open(ctx, &s, &document)))
        return;
    compare_with_alone(s, &document);
    CHECK_INT(dlm_session_drop_adapter(s, DLM_SESSION_ADAPTER), DLM_ERR_USAGE);
    expect_answers(s, NULL);
    CHECK(!dlm_session_drop_adapter(s, DLM_SESSION_ADAPTER));
    dlm_session_close(&s);
}

static void run_backend(void)
{
    const struct dlm_ctx_params params = {
        .log = log_unless_quiet, .alloc_hook = allow, .alloc_user = &countdown, .num_threads = 1};

    case_name = "f32_old";
    countdown = (struct countdown){.left = LONG_MAX};
    ctx = dlm_ctx_create(&params);
    expected = json_load_file(case_path("expected.json"), 0, NULL);
    check_model_case("setup");
    tmp_make();
    if (CHECK(ctx) && CHECK(expected)) {
        test_answers();
        test_scores();
        test_adapters();
        test_failures();
        test_allocations();
        test_training();
    }
    tmp_remove();
    json_decref(expected);
    dlm_ctx_destroy(&ctx);
}

int main(void)
{
    share_kernels();
    check_case("closing nothing");
    struct dlm_session *none = NULL;
    dlm_session_close(NULL);
    dlm_session_close(&none);
    for_each_backend(run_backend);
    return check_summary();
}
