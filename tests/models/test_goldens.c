/* A family's cases against transformers and PEFT, through the public calls, on every backend:
 * tokens, log-probabilities, gradients of every adapter tensor, the losses of 20 steps, greedy
 * answers; and that images reach all of these. The arguments are the names of the cases. What is
 * expected was computed by tools/dev/make_models_goldens.py. */
#include "models_test.h"
#include "tokens/tokenizer.h"
#include "weights/checkpoint.h"

#define LOGPROB_TOLERANCE 1e-4
#define GRADIENT_TOLERANCE 1e-3 /* norm of the difference over norm */
#define LOSS_TOLERANCE 1e-3     /* after up to 20 steps */
#define NORM_TOLERANCE 1e-2     /* of gradient norms, relative */
#define MIN_CHANGE 1e-2         /* by another image, of loss and gradients */
#define CAPTION_STEPS 60        /* on two captions, each a token and its end */
#define MIN_GAIN 0.15           /* of ln 2 / 2: what telling the two apart is worth */

static struct dlm_ctx *ctx;
static json_t *expected; /* of the case */

/* The form of the case's base, which is not in its files. */
static enum dlm_quant case_quant(void)
{
    const char *name = json_string_value(json_object_get(expected, "quant"));

    for (int i = 0; name && i < DLM_QUANT_COUNT; i++)
        if (!strcmp(dlm_quant_name((enum dlm_quant)i), name))
            return (enum dlm_quant)i;
    return DLM_QUANT_AUTO; /* none, or "bnb" or "gguf": as it lies */
}

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

struct images {
    const char *paths[4];
    size_t num;
};

/* Of the member "image": null, the name of one, or a list of them. */
static struct images images_of(const json_t *object)
{
    const json_t *member = json_object_get(object, "image"), *name;
    struct images images = {.num = json_is_string(member)};
    size_t i;

    if (images.num)
        images.paths[0] = case_path(json_string_value(member));
    json_array_foreach(member, i, name) {
        if (CHECK(i < DLM_ARRAY_LEN(images.paths)))
            images.paths[images.num++] = case_path(json_string_value(name));
    }
    return images;
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

/* Calls compare for each tensor of the two files. */
static void for_each_gradient(const char *got_path, const char *want_path,
                              void (*compare)(const struct dlm_tensor_info *got,
                                              const struct dlm_tensor_info *want))
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
                compare(g, w);
            else
                printf("     no gradient of %s\n", w->name);
        }
    }
    dlm_checkpoint_destroy(&got);
    dlm_checkpoint_destroy(&want);
}

static void compare_gradient(const struct dlm_tensor_info *got, const struct dlm_tensor_info *want)
{
    check_near(relative_difference(got, want), 0, GRADIENT_TOLERANCE, want->name);
}

static void expect_other_gradient(const struct dlm_tensor_info *got,
                                  const struct dlm_tensor_info *want)
{
    if (!CHECK(relative_difference(got, want) > MIN_CHANGE))
        printf("     %s does not depend on the image\n", want->name);
}

/* gradients: a file to write, or NULL. */
static bool score(const json_t *s, const struct images *images, const char *gradients,
                  struct dlm_score_result *result)
{
    const struct dlm_session_params from = {
        .base = case_base(),
        .home = tmp_path("home"),
        .adapter = path_or_null(s, "adapter"),
        .compute = compute,
    };
    const struct dlm_score_request request = {
        .prompt = text_of(s, "prompt"),
        .target = text_of(s, "target"),
        .images = images->paths,
        .num_images = images->num,
        .gradients = gradients,
    };

    return CHECK(!dlm_score(ctx, &from, &request, result));
}

static void compare_score(const json_t *s)
{
    const char *gradients = text_of(s, "gradients");
    const char *file = gradients ? tmp_path("gradients.safetensors") : NULL;
    const struct images images = images_of(s);
    struct dlm_score_result result = {0};

    if (score(s, &images, file, &result) &&
        CHECK_INT(result.len, json_array_size(json_object_get(s, "ids")))) {
        for (size_t i = 0; i < result.len; i++) {
            CHECK_INT(result.ids[i], number_at(s, "ids", i));
            check_near(result.logprobs[i], number_at(s, "logprobs", i), LOGPROB_TOLERANCE,
                       text_of(s, "target"));
        }
        check_near(result.loss, json_number_value(json_object_get(s, "loss")), LOGPROB_TOLERANCE,
                   "loss");
        if (gradients)
            for_each_gradient(file, case_path(gradients), compare_gradient);
    }
    dlm_score_result_finish(&result);
}

/* Another image changes the loss, and the gradient of every adapter tensor. */
static void check_other_image(const json_t *s)
{
    const struct images images = {{case_path("images/two.png")}, 1};
    const char *file = tmp_path("gradients.safetensors");
    struct dlm_score_result result = {0};

    check_model_case("another image changes loss and gradients");
    CHECK_STR(json_string_value(json_object_get(s, "image")), "images/one.png");
    if (score(s, &images, file, &result)) {
        CHECK(fabs(result.loss - json_number_value(json_object_get(s, "loss"))) > MIN_CHANGE);
        for_each_gradient(file, case_path(text_of(s, "gradients")), expect_other_gradient);
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
        if (text_of(s, "gradients"))
            check_other_image(s);
    }
    check_model_case("scores are there");
    CHECK(json_array_size(list) > 0);
}

/* --- the whole input --- */

static void compare_input(const json_t *s)
{
    const json_t *ids = json_object_get(s, "input_ids");
    const size_t target_len = json_array_size(json_object_get(s, "ids"));
    const char *prompt = text_of(s, "prompt");
    const struct images images = images_of(s);
    const struct dlm_encoder_params params = {
        .base = case_base(), .images = images.paths, .num_images = images.num};
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

/* How many special tokens the input of a text has; -1 after a failure. */
static int num_special(const struct dlm_tokenizer *tok, const char *text, size_t len)
{
    const struct dlm_encoder_params params = {.base = case_base()};
    struct dlm_encoder *encoder = NULL;
    const int32_t *ids = NULL;
    size_t num = 0;
    int found = -1;

    if (CHECK(!dlm_encoder_create(ctx, &encoder, &params)) &&
        CHECK(!dlm_encoder_encode(ctx, encoder, text, len, &ids, &num))) {
        found = 0;
        for (size_t i = 0; i < num; i++)
            found += dlm_tokenizer_is_special(tok, ids[i]);
    }
    dlm_encoder_destroy(&encoder);
    return found;
}

/* A text that spells every special token holds none. */
static void check_special_words(void)
{
    struct dlm_tokenizer *tok = NULL;
    struct dlm_str words = {0};

    check_model_case("special tokens in a text are text");
    if (CHECK(!load_case_tokenizer(ctx, &tok))) {
        for (int32_t id = 0; id < dlm_tokenizer_vocab_len(tok); id++)
            if (dlm_tokenizer_is_special(tok, id))
                CHECK(!dlm_str_appendz(ctx, &words, dlm_tokenizer_content(tok, id)));
        CHECK(words.len > 0);
        CHECK_INT(num_special(tok, dlm_str_text(&words), words.len), num_special(tok, "a", 1));
    }
    dlm_str_finish(&words);
    dlm_tokenizer_destroy(&tok);
}

/* --- conversations --- */

static void compare_chat_ids(const struct dlm_message *messages, size_t num_messages,
                             const json_t *ids)
{
    const struct dlm_encoder_params params = {.base = case_base()};
    struct dlm_encoder *encoder = NULL;
    const int32_t *got = NULL;
    size_t num = 0;

    if (CHECK(!dlm_encoder_create(ctx, &encoder, &params)) &&
        CHECK(!dlm_encoder_encode_messages(ctx, encoder, messages, num_messages, &got, &num)) &&
        CHECK_INT(num, json_array_size(ids))) {
        for (size_t i = 0; i < num; i++)
            CHECK_INT(got[i], json_integer_value(json_array_get(ids, i)));
    }
    dlm_encoder_destroy(&encoder);
}

/* Every answer of the conversation, by the base alone. */
static void compare_chat_score(const struct dlm_message *messages, size_t num_messages,
                               const json_t *want)
{
    const struct dlm_session_params from = {
        .base = case_base(), .home = tmp_path("home"), .compute = compute};
    const struct dlm_score_request request = {.messages = messages, .num_messages = num_messages};
    struct dlm_score_result result;

    if (CHECK(!dlm_score(ctx, &from, &request, &result)) &&
        CHECK_INT(result.len, json_array_size(json_object_get(want, "ids")))) {
        for (size_t i = 0; i < result.len; i++) {
            CHECK_INT(result.ids[i], number_at(want, "ids", i));
            check_near(result.logprobs[i], number_at(want, "logprobs", i), LOGPROB_TOLERANCE,
                       text_of(want, "file"));
        }
    }
    dlm_score_result_finish(&result);
}

static void compare_chats(void)
{
    const json_t *list = json_object_get(expected, "chats"), *want;
    size_t i;

    if (list)
        check_model_case("conversations");
    json_array_foreach(list, i, want) {
        struct dlm_chat *chat = NULL;
        size_t num = 0;
        if (!CHECK(!dlm_chat_load(ctx, &chat, case_path(text_of(want, "file")))))
            continue;
        const struct dlm_message *messages = dlm_chat_messages(chat, &num);
        compare_chat_ids(messages, num, json_object_get(want, "input_ids"));
        if (json_array_size(json_object_get(want, "ids")))
            compare_chat_score(messages, num, want);
        dlm_chat_destroy(&chat);
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
    const struct images images = images_of(g);
    struct answer answer = {.len = 0};
    const struct dlm_session_params from = {
        .base = case_base(),
        .home = tmp_path("home"),
        .adapter = path_or_null(g, "adapter"),
        .compute = compute,
    };
    const struct dlm_prompt_request request = {
        .query = text_of(g, "prompt"),
        .images = images.paths,
        .num_images = images.num,
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
    CHECK(json_array_size(list) > 0 || json_object_get(expected, "quant"));
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
    struct dlm_train_params params = {
        .document = case_path("doc.dlm"),
        .home = tmp_path(home),
        .init_adapter = path_or_null(want, "adapter"),
        .compute = compute,
    };
    struct dlm_train_result result;

    params.compute.quant = DLM_QUANT_AUTO; /* the document says it */

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

/* --- a blank image --- */

/* Two captions in turn, whose images are all that tells them apart: half of the time another first
 * token follows, whoever does not see them. */
static bool write_captions(const char *path, const char *one, const char *two)
{
    FILE *f = fopen(path, "w");

    if (!CHECK(f))
        return false;
    fprintf(f, "---\ndlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7\ndlm_version: 15\nbase_model: \"%s\"\n"
            "training:\n  lora_r: 8\n  lora_alpha: 16\n  lora_dropout: 0.0\n  sequence_len: 256\n"
            "  num_epochs: %d\n  learning_rate: 0.02\n  micro_batch_size: 2\n  grad_accum: 4\n"
            "---\n", case_base(), CAPTION_STEPS);
    for (int i = 0; i < 8; i++)
        fprintf(f, "\n::image path=\"%s\" alt=\"a drawing\"::\n%s\n", i % 2 ? two : one,
                i % 2 ? "star" : "a");
    return CHECK(!fclose(f));
}

/* A grey picture, 24 x 24, as a bitmap of 24 bits. */
static bool write_blank(const char *path)
{
    uint8_t bytes[54 + 24 * 72] = {'B', 'M', [10] = 54, [14] = 40, [18] = 24, [22] = 24,
                                   [26] = 1, [28] = 24};

    memset(bytes + 54, 128, sizeof(bytes) - 54);
    bytes[2] = sizeof(bytes) % 256;
    bytes[3] = sizeof(bytes) / 256;
    return CHECK(put_file(path, bytes, sizeof(bytes)));
}

/* The loss at the end of training on the captions of two pictures in the temporary folder; NaN
 * after a failed check. */
static double learn_captions(const char *one, const char *two)
{
    const char *document = tmp_path("captions.dlm");
    const struct dlm_train_params params = {
        .document = document, .home = tmp_path("captions"), .compute = compute,
        .lock = DLM_TRAIN_LOCK_IGNORE, .num_questions = -1};
    struct dlm_train_result result = {0};
    double loss = NAN;

    if (write_captions(document, one, two) && CHECK(!dlm_train(ctx, &params, &result)))
        loss = result.final_loss;
    dlm_train_result_finish(&result);
    return loss;
}

static void check_blank_image(void)
{
    check_model_case("a blank image trains to a worse loss");
    if (!copy_file(case_path("images/one.png"), tmp_path("one.png")) ||
        !copy_file(case_path("images/two.png"), tmp_path("two.png")) ||
        !write_blank(tmp_path("blank.bmp")))
        return;
    const double seen = learn_captions("one.png", "two.png");
    const double unseen = learn_captions("blank.bmp", "blank.bmp");
    if (!CHECK(seen < unseen - MIN_GAIN))
        printf("     loss of the captions %.4f, with a blank image %.4f\n", seen, unseen);
}

static char **cases; /* up to NULL */

static void run_cases(void)
{
    for (char **name = cases; *name; name++) {
        case_name = *name;
        check_model_case("expectations");
        expected = json_load_file(case_path("expected.json"), 0, NULL);
        if (!CHECK(expected != NULL))
            continue;
        compute.quant = case_quant();
        if (compute.backend == DLM_BACKEND_CPU) {
            compare_inputs();
            check_special_words();
        }
        compare_scores();
        compare_chats();
        compare_generations();
        compare_traces();
        check_blank_image();
        json_decref(expected);
    }
}

int main(int argc, char **argv)
{
    check_case("cases are named");
    CHECK(argc > 1);
    cases = argv + 1;
    tmp_make();
    share_kernels();
    ctx = make_ctx();
    for_each_backend(run_cases);
    dlm_ctx_destroy(&ctx);
    tmp_remove();
    return check_summary();
}
