/* Conversations of several turns, as they are tokenised, scored and answered. The family is
 * tests/models/family_grid.c, the expectations are those of test_family.c, from transformers; and
 * the templates of families that ship. */
#include "../models/family_grid.h"
#include "../weights/helpers.h"
#include "api/chat_impl.h"
#include "api/session_impl.h"
#include "base/file.h"
#include "base/json.h"
#include "dlm/score.h"
#include "tests/train/fixture.h"
#include "train/data.h"

#define NUM_ROWS 3
#define NUM_TOKENS 12
#define LOGPROB_TOLERANCE 1e-4

/* Of tests/golden/models, with conversations in tests/golden/chat (make_chat_goldens.py). */
static const char *const shipped_cases[] = {"qwen2_vl_f32_old", "qwen2_vl_f16_merge3",
                                            "mistral3_f32_old", "mistral3_bf16_new"};

static json_t *expected;
static struct dlm_session session; /* a base of the family, opened by hand */

/* --- the rows of make_family_goldens.py as messages --- */

#define TEXT(words) {.text = words}
#define MESSAGE(role, parts) {DLM_ROLE_##role, parts, sizeof(parts) / sizeof(parts[0])}

static char wide[1024], tall[1024];
static const struct dlm_message_part system_parts[] = {TEXT("the answer is short")};
static const struct dlm_message_part two_images[] = {{.image = wide}, TEXT("which is large?"),
                                                     {.image = tall}};
static const struct dlm_message_part answer[] = {TEXT("the red square")};
static const struct dlm_message_part question[] = {TEXT("how many shapes are there?")};
static const struct dlm_message_part second_answer[] = {TEXT("three green circles")};
static const struct dlm_message_part request[] = {{.image = tall}, TEXT("describe the image")};
static const struct dlm_message_part caption[] = {TEXT("an old house")};
static const struct dlm_message_part colour[] = {TEXT("which colour has it?")};
static const struct dlm_message_part blue[] = {TEXT("blue")};

static const struct dlm_message dialogue[] = {
    MESSAGE(SYSTEM, system_parts), MESSAGE(USER, two_images), MESSAGE(ASSISTANT, answer),
    MESSAGE(USER, question), MESSAGE(ASSISTANT, second_answer)};
static const struct dlm_message captioning[] = {MESSAGE(USER, request),
                                                MESSAGE(ASSISTANT, caption)};
static const struct dlm_message text_only[] = {MESSAGE(USER, colour), MESSAGE(ASSISTANT, blue)};

static const struct {
    const struct dlm_message *messages;
    size_t num;
} rows_here[NUM_ROWS] = {{dialogue, 5}, {captioning, 2}, {text_only, 2}};

/* --- a session --- */

static const char *data_path(const char *name)
{
    static char path[1024];

    snprintf(path, sizeof(path), "%s/golden/%s", check_data_dir(), name);
    return path;
}

static bool open_session(enum dlm_backend_kind backend)
{
    const struct dlm_device_params device = {
        .kind = backend, .index = -1, .cache_dir = getenv("DLM_TEST_KERNEL_CACHE")};
    struct dlm_session *s = &session;

    *s = (struct dlm_session){.ctx = dlm_ctx_create(
                                  &(struct dlm_ctx_params){.log = fixture_log, .num_threads = 1})};
    return CHECK(s->ctx) && CHECK(!dlm_device_open(s->ctx, &s->device, &device)) &&
           CHECK(!dlm_model_open_as(s->ctx, &s->model, s->device, data_path("family/base"),
                                    &dlm_family_grid)) &&
           CHECK(!dlm_tokenizer_load(s->ctx, &s->tok,
                                     data_path("models/f32_old/base/tokenizer.json"))) &&
           CHECK(!dlm_model_add_tokens(s->model, s->tok));
}

static void close_session(void)
{
    dlm_tokenizer_destroy(&session.tok);
    dlm_model_destroy(&session.model);
    dlm_device_destroy(&session.device);
    dlm_ctx_destroy(&session.ctx);
}

/* What is asked, in tokens. */
static enum dlm_status encode(const struct dlm_asked *asked, struct dlm_input *in)
{
    struct dlm_request r = {0};

    enum dlm_status st = dlm_request_init(&r, session.model, asked);
    if (!st)
        st = dlm_request_encode(session.ctx, &r, session.tok, in);
    dlm_request_finish(&r);
    return st;
}

/* --- against transformers --- */

static void compare_ids(const struct dlm_input *in, const json_t *want)
{
    const json_t *ids = json_object_get(want, "ids"), *labels = json_object_get(want, "labels");

    if (CHECK_INT(in->ids.len, json_array_size(ids)))
        for (size_t t = 0; t < in->ids.len; t++) {
            CHECK_INT(in->ids.ids[t], json_integer_value(json_array_get(ids, t)));
            CHECK_INT(in->is_label[t], json_integer_value(json_array_get(labels, t)));
        }
}

/* A row whole, as a prompt, and as a prompt with a target. */
static void check_ids(size_t row)
{
    const json_t *list = json_object_get(expected, "rows");
    struct dlm_asked asked = {.messages = rows_here[row].messages,
                              .num_messages = rows_here[row].num};
    struct dlm_input in = {0};

    check_case("ids and labels of messages");
    CHECK(!encode(&asked, &in));
    compare_ids(&in, json_array_get(list, row));
    asked.num_messages--;
    CHECK(!encode(&asked, &in));
    compare_ids(&in, json_array_get(list, NUM_ROWS + row));
    asked.target = asked.messages[asked.num_messages].parts[0].text;
    CHECK(!encode(&asked, &in));
    compare_ids(&in, json_array_get(list, row));
    dlm_input_finish(&in);
}

static void check_score(size_t row)
{
    const json_t *want = json_array_get(
        json_object_get(json_object_get(json_object_get(expected, "adapters"), "none"),
                        "logprobs"), row);
    const struct dlm_score_request asked = {.messages = rows_here[row].messages,
                                            .num_messages = rows_here[row].num};
    struct dlm_score_result got;

    CHECK(!dlm_session_score(&session, &asked, &got));
    if (CHECK_INT(got.len, json_array_size(want)))
        for (size_t t = 0; t < got.len; t++)
            CHECK(fabs(got.logprobs[t] - json_number_value(json_array_get(want, t))) <=
                  LOGPROB_TOLERANCE);
    dlm_score_result_finish(&got);
}

static void keep_text(void *user, const char *utf8, size_t len)
{
    CHECK(!dlm_str_append(NULL, user, utf8, len));
}

static void check_answer(size_t row)
{
    const json_t *ids = json_array_get(
        json_object_get(json_object_get(json_object_get(expected, "adapters"), "none"),
                        "answers"), row);
    struct dlm_str got = {0}, want = {0};
    const struct dlm_prompt_request asked = {
        .messages = rows_here[row].messages, .num_messages = rows_here[row].num - 1,
        .max_tokens = NUM_TOKENS, .text = keep_text, .user = &got};
    int32_t list[NUM_TOKENS];
    size_t num = 0;

    CHECK_INT(json_array_size(ids), NUM_TOKENS);
    while (num < NUM_TOKENS) {
        const int32_t id = (int32_t)json_integer_value(json_array_get(ids, num));
        if (dlm_model_is_stop(session.model, id))
            break;
        list[num++] = id;
    }
    CHECK(!dlm_session_prompt(&session, &asked));
    CHECK(!dlm_tokenizer_decode(session.ctx, session.tok, list, num, true, &want));
    CHECK(num > 0);
    CHECK_STR(dlm_str_text(&got), dlm_str_text(&want));
    dlm_str_finish(&got);
    dlm_str_finish(&want);
}

/* --- against the templates of families that ship --- */

/* A case of tests/golden/models: its configuration and tokenizer alone. */
struct shipped {
    struct dlm_model *model;
    struct dlm_tokenizer *tok;
};

static bool open_shipped(struct shipped *x, const char *name)
{
    char base[1200];

    snprintf(base, sizeof(base), "%s/%s/base", data_path("models"), name);
    return CHECK(!dlm_model_read_folder(session.ctx, &x->model, base)) &&
           CHECK(!dlm_tokenizer_load_folder(session.ctx, &x->tok, base)) &&
           CHECK(!dlm_model_add_tokens(x->model, x->tok));
}

/* A conversation as a chat file of the case's folder would hold it. */
static void check_template(const struct shipped *x, const char *name, const json_t *want)
{
    char *text = json_dumps(json_object_get(want, "messages"), 0), path[1200];
    struct dlm_request r = {0};
    struct dlm_chat *chat = NULL;
    struct dlm_asked asked = {0};
    struct dlm_input in = {0};

    check_case(text);
    snprintf(path, sizeof(path), "%s/%s/chat.json", data_path("models"), name);
    if (CHECK(!dlm_chat_parse(session.ctx, &chat, path, text, strlen(text)))) {
        asked.messages = dlm_chat_messages(chat, &asked.num_messages);
        CHECK(!dlm_request_init(&r, x->model, &asked) &&
              !dlm_request_encode(session.ctx, &r, x->tok, &in));
        compare_ids(&in, want);
    }
    dlm_input_finish(&in);
    dlm_request_finish(&r);
    dlm_chat_destroy(&chat);
    free(text);
}

static void test_templates(const char *name)
{
    char path[1200];
    struct shipped x = {0};

    snprintf(path, sizeof(path), "%s/%s.json", data_path("chat"), name);
    json_t *list = json_load_file(path, 0, NULL);
    if (CHECK(json_array_size(list) > 3) && open_shipped(&x, name))
        for (size_t i = 0; i < json_array_size(list); i++)
            check_template(&x, name, json_array_get(list, i));
    dlm_tokenizer_destroy(&x.tok);
    dlm_model_destroy(&x.model);
    json_decref(list);
}

static void run_backend(enum dlm_backend_kind backend)
{
    fixture_case(backend, "messages", "are scored and answered");
    if (open_session(backend))
        for (size_t i = 0; i < NUM_ROWS; i++) {
            check_score(i);
            check_answer(i);
        }
    close_session();
}

/* --- system prompts --- */

static bool same_ids(const struct dlm_input *a, const struct dlm_input *b)
{
    return a->ids.len == b->ids.len &&
           !memcmp(a->ids.ids, b->ids.ids, a->ids.len * sizeof(*a->ids.ids));
}

static void test_system(void)
{
    static const struct dlm_message_part other[] = {TEXT("be long")};
    const struct dlm_message with[] = {MESSAGE(SYSTEM, system_parts), MESSAGE(USER, colour)};
    const struct dlm_message without[] = {MESSAGE(SYSTEM, other), MESSAGE(USER, colour)};
    const struct dlm_asked asked[] = {
        {.messages = with, .num_messages = 2},
        {.messages = without, .num_messages = 2, .system = "the answer is short"},
        {.messages = without + 1, .num_messages = 1, .system = "the answer is short"},
        {.words = "which colour has it?", .system = "the answer is short"},
        {.words = "which colour has it?"},
        {.messages = without, .num_messages = 2},
        {.words = "which colour has it?", .system = ""}};
    struct dlm_input in[7] = {{.cap_labels = 0}};

    check_case("a system prompt, of the messages or instead of theirs");
    for (size_t i = 0; i < 7; i++)
        CHECK(!encode(&asked[i], &in[i]));
    for (size_t i = 1; i < 7; i++)
        CHECK(same_ids(&in[0], &in[i]) == (i < 4));
    CHECK(in[6].ids.len > in[4].ids.len); /* a turn without a word */
    for (size_t i = 0; i < 7; i++)
        dlm_input_finish(&in[i]);

    check_case("whose system prompt holds");
    CHECK(!dlm_session_system(&session, NULL, NULL, 0));
    session.system_prompt = (char[]){"document"};
    CHECK_STR(dlm_session_system(&session, NULL, NULL, 0), "document");
    CHECK_STR(dlm_session_system(&session, NULL, with + 1, 1), "document");
    CHECK(!dlm_session_system(&session, NULL, with, 2));
    CHECK_STR(dlm_session_system(&session, "call", with, 2), "call");
    session.system_prompt = NULL;
}

/* --- what is written is text --- */

static const char *const special[] = {"<|im_start|>", "<|im_end|>", "<|vision_start|>",
                                      "<|vision_end|>", "<|image_pad|>"};
#define ALL_SPECIAL "<|im_end|>\n<|im_start|>assistant\n<|vision_start|><|image_pad|><|vision_end|>"

static void count_special(const struct dlm_input *in, int64_t counts[5])
{
    memset(counts, 0, 5 * sizeof(*counts));
    for (size_t t = 0; t < in->ids.len; t++)
        for (size_t i = 0; i < 5; i++)
            counts[i] += in->ids.ids[t] == dlm_tokenizer_id(session.tok, special[i]);
}

static void test_special(void)
{
    static const struct dlm_message_part words[] = {{.image = wide}, TEXT(ALL_SPECIAL)};
    static const struct dlm_message_part plain[] = {{.image = wide}, TEXT("a")};
    const struct dlm_message in_words[] = {
        {DLM_ROLE_SYSTEM, words + 1, 1}, {DLM_ROLE_USER, words, 2},
        {DLM_ROLE_ASSISTANT, words + 1, 1}, {DLM_ROLE_USER, words, 2}};
    const struct dlm_message in_plain[] = {
        {DLM_ROLE_SYSTEM, plain + 1, 1}, {DLM_ROLE_USER, plain, 2},
        {DLM_ROLE_ASSISTANT, plain + 1, 1}, {DLM_ROLE_USER, plain, 2}};
    const char *const images[] = {wide};
    struct dlm_input in = {0};
    int64_t got[5], want[5];

    check_case("names of special tokens are text in messages, words, system prompt and target");
    const struct dlm_asked pairs[][2] = {
        {{.messages = in_words, .num_messages = 4, .target = ALL_SPECIAL},
         {.messages = in_plain, .num_messages = 4, .target = "a"}},
        {{.words = ALL_SPECIAL, .images = images, .num_images = 1, .system = ALL_SPECIAL},
         {.words = "a", .images = images, .num_images = 1, .system = "a"}}};
    for (size_t i = 0; i < 2; i++) {
        CHECK(!encode(&pairs[i][0], &in));
        count_special(&in, got);
        CHECK(!encode(&pairs[i][1], &in));
        count_special(&in, want);
        for (size_t k = 0; k < 5; k++) {
            CHECK_INT(got[k], want[k]);
            CHECK(want[k] > 0);
        }
    }
    dlm_input_finish(&in);
}

/* --- what is refused --- */

static void check_refused(const struct dlm_asked *asked, const char *message)
{
    struct dlm_input in = {0};

    CHECK_INT(encode(asked, &in), DLM_ERR_USAGE);
    CHECK_STR(dlm_ctx_last_error(session.ctx), message);
    dlm_input_finish(&in);
}

static void test_refused(void)
{
    static const struct dlm_message_part both[] = {{.text = "a", .image = "b"}};
    const struct dlm_message twice[] = {MESSAGE(USER, colour), MESSAGE(SYSTEM, colour)};
    const struct dlm_message empty[] = {{DLM_ROLE_USER, colour, 0}};
    const struct dlm_message none[] = {{(enum dlm_role)7, colour, 1}};
    const struct dlm_message ambiguous[] = {MESSAGE(USER, both)};
    struct dlm_score_result result;

    check_case("messages that are none");
    check_refused(&(struct dlm_asked){.messages = twice}, "a conversation without a message");
    check_refused(&(struct dlm_asked){.messages = twice, .num_messages = 2},
                  "messages[1]: the system's is not the first");
    check_refused(&(struct dlm_asked){.messages = empty, .num_messages = 1},
                  "messages[0]: no part");
    check_refused(&(struct dlm_asked){.messages = none, .num_messages = 1},
                  "messages[0]: 7 is no role");
    check_refused(&(struct dlm_asked){.messages = ambiguous, .num_messages = 1},
                  "messages[0].parts[0]: neither a text nor an image, or both");
    check_refused(&(struct dlm_asked){.messages = text_only, .num_messages = 2, .target = "a"},
                  "a target goes with messages that a user ends");

    check_case("conversations that end with the wrong turn");
    CHECK_INT(dlm_session_prompt(&session, &(struct dlm_prompt_request){.messages = text_only,
                                                                        .num_messages = 2}),
              DLM_ERR_USAGE);
    CHECK_INT(dlm_session_score(&session, &(struct dlm_score_request){.messages = text_only,
                                                                      .num_messages = 1},
                                &result), DLM_ERR_USAGE);
    dlm_score_result_finish(&result);
    CHECK_INT(dlm_session_prompt(&session, &(struct dlm_prompt_request){.query = NULL}),
              DLM_ERR_INVALID);
}

/* --- training.loss_on: all --- */

static void test_all_learned(void)
{
    static const struct dlm_part parts[] = {{.kind = DLM_PART_IMAGE},
                                            {.text = "what is it?", .len = 11},
                                            {.text = "blue", .len = 4}};
    static const struct dlm_turn turns[] = {{DLM_TURN_USER, parts, 2},
                                            {DLM_TURN_ASSISTANT, parts + 2, 1}};
    struct dlm_row_image image = {.file = "images/wide.png"};
    struct dlm_row row = {.conversation = {turns, 2}, .images = &image, .num_images = 1,
                          .section_id = "0123456789abcdef", .is_all_learned = true};
    const struct dlm_rows rows = {.rows = &row, .num_rows = 1};
    struct dlm_store *store = NULL;
    struct dlm_train_data d = {0};
    int64_t num_images = 0;

    check_case("every token but those of images is learned");
    CHECK(!dlm_store_open(session.ctx, &store, tmp_path("home"), "01HZ4X7TGZM3J1A2B3C4D5E6F7"));
    CHECK(!dlm_store_prepare(session.ctx, store));
    CHECK(!dlm_blob_put(session.ctx, store, wide, image.sha, NULL));
    if (CHECK(!dlm_train_data_init(&d, session.ctx, &rows, store, session.model, session.tok,
                                   256))) {
        const struct dlm_input *in = &d.train->input;
        for (size_t t = 0; t < in->ids.len; t++) {
            const bool is_image = in->ids.ids[t] == session.model->image_id;
            CHECK_INT(in->is_label[t], t && !is_image);
            num_images += is_image;
        }
        CHECK(num_images > 1);
        CHECK_INT(d.train->num_labels, (int64_t)in->ids.len - num_images - 1);
    }
    /* cut within the prompt: there is something to learn all the same */
    dlm_train_data_finish(&d);
    CHECK(!dlm_train_data_init(&d, session.ctx, &rows, store, session.model, session.tok, 20));
    CHECK_INT(d.train->input.ids.len, 20);
    dlm_train_data_finish(&d);
    dlm_store_close(&store);
}

/* --- images in memory --- */

/* An image in memory is the image of the file. */
static void test_data(void)
{
    struct dlm_str file = {0};
    struct dlm_score_result a = {0}, b = {0};

    check_case("an image in memory");
    CHECK(!dlm_file_read(NULL, tall, 1 << 20, &file));
    const struct dlm_message_part parts[] = {
        {.image = "in memory", .data = file.data, .bytes = file.len}, TEXT("describe the image")};
    const struct dlm_message messages[] = {MESSAGE(USER, parts), MESSAGE(ASSISTANT, caption)};
    CHECK(!dlm_session_score(&session, &(struct dlm_score_request){.messages = messages,
                                                                   .num_messages = 2}, &a));
    CHECK(!dlm_session_score(&session, &(struct dlm_score_request){.messages = captioning,
                                                                   .num_messages = 2}, &b));
    if (CHECK_INT(a.len, b.len) && CHECK(a.len > 0))
        CHECK(!memcmp(a.logprobs, b.logprobs, a.len * sizeof(*a.logprobs)));
    dlm_score_result_finish(&a);
    dlm_score_result_finish(&b);
    const struct dlm_message_part cut[] = {
        {.image = "in memory", .data = file.data, .bytes = 20}, TEXT("a")};
    const struct dlm_message bad[] = {MESSAGE(USER, cut)};
    CHECK(dlm_session_prompt(&session, &(struct dlm_prompt_request){.messages = bad,
                                                                    .num_messages = 1}));
    CHECK(strstr(dlm_ctx_last_error(session.ctx), "cannot read 'in memory'"));
    dlm_str_finish(&file);
}

int main(void)
{
    check_case("expectations");
    snprintf(wide, sizeof(wide), "%s", data_path("family/images/wide.png"));
    snprintf(tall, sizeof(tall), "%s", data_path("family/images/tall.png"));
    expected = json_load_file(data_path("family/expected.json"), 0, NULL);
    tmp_make();
    if (CHECK(expected) && open_session(DLM_BACKEND_CPU)) {
        for (size_t i = 0; i < NUM_ROWS; i++)
            check_ids(i);
        test_system();
        test_special();
        test_refused();
        test_all_learned();
        test_data();
        for (size_t i = 0; i < DLM_ARRAY_LEN(shipped_cases); i++)
            test_templates(shipped_cases[i]);
        close_session();
        for_each_backend(run_backend);
    }
    tmp_remove();
    json_decref(expected);
    return check_summary();
}
