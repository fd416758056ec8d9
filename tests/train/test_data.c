/* Rows as token ids: what does not fit sequence_len, and what is held out. An answer is cut,
 * without <eos> and not without a word; a prompt that leaves no room for a token of it is an
 * error. */
#include "tests/train/fixture.h"
#include "train/data.h"

static const struct dlm_part parts[] = {
    {.text = "blue an?", .len = 8}, {.text = "red image are square", .len = 20},
    {.text = "red", .len = 3}};
static const struct dlm_turn turns[] = {{DLM_TURN_USER, &parts[0], 1},
                                        {DLM_TURN_ASSISTANT, &parts[1], 1},
                                        {DLM_TURN_PROSE, &parts[2], 1}};
static struct dlm_row rows_here[] = {
    {.section_id = "0123456789abcdef", .line = 12, .conversation = {.turns = turns, 2}},
    {.section_id = "fedcba9876543210", .line = 30, .conversation = {.turns = turns + 2, 1}},
};
static const struct dlm_rows rows = {.rows = rows_here, .num_rows = 2};

static char warning[512];

static void keep_warning(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level == DLM_LOG_WARNING)
        snprintf(warning, sizeof(warning), "%s", text);
}

/* A model without weights, its tokenizer, and a context that keeps the last warning. */
struct bench {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    struct dlm_model *model;
    struct dlm_tokenizer *tok;
    struct dlm_train_data whole, cut;
};

static bool bench_open(struct bench *b)
{
    const struct dlm_device_params device = {.kind = DLM_BACKEND_CPU, .index = -1};
    char dir[1024], tokenizer[1100];

    *b = (struct bench){
        .ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = keep_warning, .num_threads = 1})};
    snprintf(dir, sizeof(dir), "%s/golden/models/f32_old/base", check_data_dir());
    snprintf(tokenizer, sizeof(tokenizer), "%s/tokenizer.json", dir);
    return CHECK(b->ctx) && CHECK(!dlm_device_open(b->ctx, &b->device, &device)) &&
           CHECK(!dlm_model_open(b->ctx, &b->model, b->device, dir, DLM_DTYPE_F32, NULL)) &&
           CHECK(!dlm_tokenizer_load(b->ctx, &b->tok, tokenizer)) &&
           CHECK(!dlm_model_add_tokens(b->model, b->tok));
}

static void bench_close(struct bench *b)
{
    dlm_train_data_finish(&b->whole);
    dlm_train_data_finish(&b->cut);
    dlm_tokenizer_destroy(&b->tok);
    dlm_model_destroy(&b->model);
    dlm_device_destroy(&b->device);
    dlm_ctx_destroy(&b->ctx);
}

static enum dlm_status tokenize(struct bench *b, struct dlm_train_data *d, int64_t sequence_len)
{
    dlm_train_data_finish(d);
    warning[0] = '\0';
    return dlm_train_data_init(d, b->ctx, &rows, NULL, b->model, b->tok, sequence_len);
}

/* The first row under sequence_len is the first `want` ids of the whole one. */
static void expect_ids(struct bench *b, int64_t sequence_len, size_t want)
{
    if (!CHECK(!tokenize(b, &b->cut, sequence_len)) || !CHECK_INT(b->cut.num_train, 2))
        return;
    const struct dlm_train_example *e = b->cut.train, *whole = b->whole.train;
    CHECK_INT(e->input.bidirectional_len, whole->input.bidirectional_len);
    CHECK_INT(e->num_labels, (int64_t)want - e->input.bidirectional_len);
    if (CHECK_INT(e->input.ids.len, want))
        CHECK(!memcmp(e->input.ids.ids, whole->input.ids.ids, want * sizeof(*e->input.ids.ids)));
    CHECK_INT(b->cut.train[1].input.ids.len, b->whole.train[1].input.ids.len);
}

static void test_suffix(struct bench *b)
{
    const int32_t eos = dlm_tokenizer_id(b->tok, "<eos>");
    const struct dlm_train_example *e = b->whole.train;
    const int64_t len = (int64_t)e->input.ids.len;
    char want[256];

    check_case("a row that fits ends with <eos>");
    CHECK(eos >= 0 && len > e->input.bidirectional_len + 2);
    CHECK_INT(e->input.ids.ids[len - 1], eos);
    CHECK_INT(b->whole.num_cut, 0);
    check_case("a row of exactly sequence_len is whole, and nothing is said");
    expect_ids(b, len, (size_t)len);
    CHECK_INT(b->cut.num_cut, 0);
    CHECK_STR(warning, "");
    check_case("one token too long: <eos> is what goes");
    expect_ids(b, len - 1, (size_t)len - 1);
    CHECK(b->cut.train[0].input.ids.ids[len - 2] != eos);
    CHECK_INT(b->cut.num_cut, 1);
    snprintf(want, sizeof(want), "1 of 2 rows are longer than sequence_len %lld: cut, without "
             "their end", (long long)len - 1);
    CHECK_STR(warning, want);
    check_case("two tokens too long");
    expect_ids(b, len - 2, (size_t)len - 2);
    CHECK(b->cut.train[0].input.ids.ids[len - 3] != eos);
}

static void test_prefix(struct bench *b)
{
    const int64_t prompt_len = b->whole.train[0].input.bidirectional_len;
    char want[256];

    check_case("a prefix that leaves room for one token");
    CHECK(prompt_len > (int64_t)b->whole.train[1].input.ids.len); /* the other row fits */
    expect_ids(b, prompt_len + 1, (size_t)prompt_len + 1);
    CHECK_INT(b->cut.num_cut, 1);
    check_case("a prefix of exactly sequence_len is an error that names its section");
    for (int64_t len = prompt_len; len >= prompt_len - 1; len--) {
        CHECK_INT(tokenize(b, &b->cut, len), DLM_ERR_INVALID);
        snprintf(want, sizeof(want), "section 0123456789abcdef (line 12): the prompt takes %lld "
                 "tokens, but sequence_len is %lld", (long long)prompt_len, (long long)len);
        CHECK_STR(dlm_ctx_last_error(b->ctx), want);
    }
}

/* Rows that the split holds out, all of them: they are trained on. Last, as it changes the rows. */
static void test_all_held_out(struct bench *b)
{
    check_case("one row of two is held out");
    rows_here[1].is_val = true;
    CHECK(!tokenize(b, &b->cut, 256));
    CHECK_INT(b->cut.num_train, 1);
    CHECK_INT(b->cut.num_val, 1);
    CHECK(b->cut.train[0].row == &rows_here[0] && b->cut.val[0].row == &rows_here[1]);
    CHECK_STR(warning, "");
    check_case("every row is held out: they are trained on, and none validates");
    rows_here[0].is_val = true;
    CHECK(!tokenize(b, &b->cut, 256));
    CHECK_INT(b->cut.num_train, 2);
    CHECK_INT(b->cut.num_val, 0);
    CHECK(b->cut.train[0].row == &rows_here[0] && b->cut.train[1].row == &rows_here[1]);
    CHECK(strstr(warning, "every row falls to validation"));
}

int main(void)
{
    struct bench b;

    check_case("opens");
    if (bench_open(&b) && CHECK(!tokenize(&b, &b.whole, 256))) {
        test_suffix(&b);
        test_prefix(&b);
        test_all_held_out(&b);
    }
    bench_close(&b);
    return check_summary();
}
