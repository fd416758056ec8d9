/* PaliGemma against transformers and PEFT, through the public calls, on every backend: tokens,
 * log-probabilities, gradients of every adapter tensor, the losses of 20 steps, greedy answers.
 * What is expected was computed by tools/dev/make_paligemma_goldens.py. */
#include "models_test.h"
#include "weights/checkpoint.h"

#define LOGPROB_TOLERANCE 1e-4
#define GRADIENT_TOLERANCE 1e-3 /* norm of the difference over norm */
#define LOSS_TOLERANCE 1e-3     /* after up to 20 steps */
#define NORM_TOLERANCE 1e-2     /* of gradient norms, relative */

static struct dlm_ctx *ctx;
static json_t *expected; /* of the case */

/* NULL for null. */
static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static double number_at(const json_t *object, const char *key, size_t i)
{
    return json_number_value(json_array_get(json_object_get(object, key), i));
}

static const char *path_or_null(const json_t *object, const char *key)
{
    const char *name = text_of(object, key);
    return name ? case_path(name) : NULL;
}

/* --- scores --- */

static double norm_of(const float *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return sqrt(sum);
}

/* The difference of two tensors over the norm of the second; its own norm where that is 0. */
static double relative_difference(const struct dlm_tensor_info *got,
                                  const struct dlm_tensor_info *want)
{
    const size_t n = want->bytes / sizeof(float);
    float *a = malloc(want->bytes), *b = malloc(want->bytes);
    double difference = INFINITY;

    if (a && b && got->bytes == want->bytes) {
        memcpy(a, got->data, want->bytes);
        memcpy(b, want->data, want->bytes);
        const double norm = norm_of(b, n);
        for (size_t i = 0; i < n; i++)
            a[i] -= b[i];
        difference = norm > 0 ? norm_of(a, n) / norm : norm_of(a, n);
    }
    free(a);
    free(b);
    return difference;
}

static void compare_gradients(const char *got_path, const char *want_path)
{
    struct dlm_checkpoint *got = NULL, *want = NULL;

    if (CHECK(!dlm_checkpoint_open(ctx, &got, got_path)) &&
        CHECK(!dlm_checkpoint_open(ctx, &want, want_path))) {
        CHECK(dlm_checkpoint_num_tensors(want) > 0);
        CHECK_INT(dlm_checkpoint_num_tensors(got), dlm_checkpoint_num_tensors(want));
        for (size_t i = 0; i < dlm_checkpoint_num_tensors(want); i++) {
            const struct dlm_tensor_info *w = dlm_checkpoint_tensor(want, i);
            const struct dlm_tensor_info *g = dlm_checkpoint_find(got, w->name);
            if (CHECK(g != NULL))
                check_near(relative_difference(g, w), 0, GRADIENT_TOLERANCE, w->name);
            else
                printf("     no gradient of %s\n", w->name);
        }
    }
    dlm_checkpoint_destroy(&got);
    dlm_checkpoint_destroy(&want);
}

static void compare_score(const json_t *s)
{
    const char *image = path_or_null(s, "image");
    const char *const images[] = {image};
    const char *gradients = tmp_path("gradients.safetensors");
    const struct dlm_session_params from = {
        .base = case_base(),
        .home = tmp_path("home"),
        .adapter = path_or_null(s, "adapter"),
        .compute = compute,
    };
    const struct dlm_score_request request = {
        .prompt = text_of(s, "prompt"),
        .target = text_of(s, "target"),
        .images = images,
        .num_images = image ? 1 : 0,
        .gradients = text_of(s, "gradients") ? gradients : NULL,
    };
    struct dlm_score_result result;

    if (CHECK(!dlm_score(ctx, &from, &request, &result)) &&
        CHECK_INT(result.len, json_array_size(json_object_get(s, "ids")))) {
        for (size_t i = 0; i < result.len; i++) {
            CHECK_INT(result.ids[i], number_at(s, "ids", i));
            check_near(result.logprobs[i], number_at(s, "logprobs", i), LOGPROB_TOLERANCE,
                       request.target);
        }
        check_near(result.loss, json_number_value(json_object_get(s, "loss")), LOGPROB_TOLERANCE,
                   "loss");
        if (request.gradients)
            compare_gradients(gradients, case_path(text_of(s, "gradients")));
    }
    dlm_score_result_finish(&result);
}

static void compare_scores(void)
{
    const json_t *list = json_object_get(expected, "scores"), *s;
    size_t i;

    json_array_foreach(list, i, s) {
        char what[64];
        const char *adapter = text_of(s, "adapter");
        snprintf(what, sizeof(what), "score %zu, %s", i, adapter ? adapter : "base");
        check_model_case(what);
        compare_score(s);
    }
    check_model_case("scores are there");
    CHECK(json_array_size(list) > 0);
}

/* --- the whole input --- */

static void compare_input(const json_t *s)
{
    const json_t *ids = json_object_get(s, "input_ids");
    const size_t target_len = json_array_size(json_object_get(s, "ids"));
    const char *image = path_or_null(s, "image"), *prompt = text_of(s, "prompt");
    const char *const images[] = {image};
    const struct dlm_encoder_params params = {
        .base = case_base(), .images = images, .num_images = image ? 1 : 0};
    struct dlm_encoder *encoder = NULL;
    const int32_t *got = NULL;
    size_t num = 0;

    if (CHECK(!dlm_encoder_create(ctx, &encoder, &params)) &&
        CHECK(!dlm_encoder_encode(ctx, encoder, prompt, strlen(prompt), &got, &num)) &&
        CHECK_INT(num + target_len, json_array_size(ids))) {
        for (size_t i = 0; i < num; i++)
            CHECK_INT(got[i], json_integer_value(json_array_get(ids, i)));
    }
    dlm_encoder_destroy(&encoder);
}

static void compare_inputs(void)
{
    const json_t *s;
    size_t i;

    check_model_case("ids of the whole input");
    json_array_foreach(json_object_get(expected, "scores"), i, s) {
        compare_input(s);
    }
}

/* --- greedy answers --- */

struct answer {
    char text[4096];
    size_t len;
};

static void keep_text(void *user, const char *utf8, size_t len)
{
    struct answer *a = user;

    if (len < sizeof(a->text) - a->len) {
        memcpy(a->text + a->len, utf8, len);
        a->len += len;
        a->text[a->len] = '\0';
    }
}

static void compare_generation(const json_t *g)
{
    const char *image = path_or_null(g, "image");
    const char *const images[] = {image};
    struct answer answer = {.len = 0};
    const struct dlm_session_params from = {
        .base = case_base(),
        .home = tmp_path("home"),
        .adapter = path_or_null(g, "adapter"),
        .compute = compute,
    };
    const struct dlm_prompt_request request = {
        .query = text_of(g, "prompt"),
        .images = images,
        .num_images = image ? 1 : 0,
        .max_tokens = (int64_t)json_array_size(json_object_get(g, "ids")),
        .text = keep_text,
        .user = &answer,
    };

    if (CHECK(!dlm_prompt(ctx, &from, &request)))
        CHECK_STR(answer.text, text_of(g, "text"));
}

static void compare_generations(void)
{
    const json_t *list = json_object_get(expected, "generations"), *g;
    size_t i;

    check_model_case("greedy answers");
    CHECK(json_array_size(list) > 0);
    json_array_foreach(list, i, g) {
        compare_generation(g);
    }
}

/* --- training --- */

static bool contains(const json_t *list, const char *text)
{
    const json_t *item;
    size_t i;

    json_array_foreach(list, i, item) {
        if (text && !strcmp(json_string_value(item), text))
            return true;
    }
    return false;
}

/* Every step takes every trained row, and no other. */
static void compare_rows(const json_t *got)
{
    const json_t *want = json_object_get(expected, "rows"), *row;
    size_t i;

    CHECK_INT(json_array_size(got), json_array_size(want));
    json_array_foreach(want, i, row) {
        CHECK(contains(got, json_string_value(row)));
    }
}

static void compare_step(const json_t *step, const json_t *want, size_t i)
{
    const double norm = number_at(want, "grad_norms", i), lr = number_at(want, "lrs", i);

    check_near(json_number_value(json_object_get(step, "loss")), number_at(want, "losses", i),
               LOSS_TOLERANCE, "loss of a step");
    check_near(json_number_value(json_object_get(step, "grad_norm")), norm, NORM_TOLERANCE * norm,
               "gradient norm of a step");
    check_near(json_number_value(json_object_get(step, "lr")), lr, 1e-6 * lr, "rate of a step");
    CHECK_INT(json_integer_value(json_object_get(step, "num_items")),
              json_integer_value(json_object_get(want, "num_items")));
    compare_rows(json_object_get(step, "rows"));
}

static void compare_log(const char *path, const json_t *want)
{
    const size_t num = json_array_size(json_object_get(want, "losses"));
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0, steps = 0;

    if (!CHECK(f != NULL))
        return;
    while (getline(&line, &cap, f) > 0) {
        json_t *entry = json_loads(line, 0, NULL);
        const char *type = text_of(entry, "type");
        if (CHECK(type != NULL) && !strcmp(type, "step")) {
            CHECK_INT(json_integer_value(json_object_get(entry, "step")), steps + 1);
            if (steps < num)
                compare_step(entry, want, steps);
            steps++;
        }
        json_decref(entry);
    }
    CHECK(num > 0);
    CHECK_INT(steps, num);
    free(line);
    fclose(f);
}

static void compare_trace(const json_t *want)
{
    char home[32];
    static int next;

    snprintf(home, sizeof(home), "train-%d", next++);
    const struct dlm_train_params params = {
        .document = case_path("doc.dlm"),
        .home = tmp_path(home),
        .init_adapter = path_or_null(want, "adapter"),
        .compute = compute,
    };
    struct dlm_train_result result;

    if (CHECK(!dlm_train(ctx, &params, &result)))
        compare_log(result.log, want);
    dlm_train_result_finish(&result);
}

static void compare_traces(void)
{
    const json_t *list = json_object_get(expected, "training"), *want;
    size_t i;

    json_array_foreach(list, i, want) {
        char what[64];
        snprintf(what, sizeof(what), "20 steps, %s", text_of(want, "adapter"));
        check_model_case(what);
        compare_trace(want);
    }
    check_model_case("traces are there");
    CHECK(json_array_size(list) > 0);
}

static void run_cases(void)
{
    for (size_t i = 0; i < NUM_CASES; i++) {
        case_name = case_names[i];
        check_model_case("expectations");
        expected = json_load_file(case_path("expected.json"), 0, NULL);
        if (!CHECK(expected != NULL))
            continue;
        if (compute.backend == DLM_BACKEND_CPU)
            compare_inputs();
        compare_scores();
        compare_generations();
        compare_traces();
        json_decref(expected);
    }
}

int main(void)
{
    tmp_make();
    share_kernels();
    ctx = make_ctx();
    for_each_backend(run_cases);
    dlm_ctx_destroy(&ctx);
    tmp_remove();
    return check_summary();
}
