/* How large images are made: what a base takes, what a document and a caller ask for, and what an
 * adapter remembers. */
#include "../models/models_test.h"
#include "api/image_size.h"

#define ID "01HZ4X7TGZM3J1A2B3C4D5E6F7"
#define SIDE 42 /* another size than the images' own */

static struct dlm_ctx *ctx;

static char warning[256]; /* the last of the image size */

static void keep_warning(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level == DLM_LOG_WARNING && strstr(text, "image size"))
        snprintf(warning, sizeof(warning), "%s", text);
}

/* --- what a base takes --- */

static void expect(const char *dir, const struct dlm_base_row *row, int64_t asked, int64_t want,
                   const char *error)
{
    char key[] = "the base";
    const struct dlm_base base = {.key = key, .row = row};
    const struct dlm_image_size size = {60, 30, {"x.png", 0}};
    struct dlm_model *m = NULL;
    struct dlm_image_plan plan;

    if (!CHECK(!dlm_model_read_folder(ctx, &m, dir)))
        return;
    CHECK_INT(dlm_image_size_choose(m, &base, asked), error ? DLM_ERR_INVALID : DLM_OK);
    if (error) {
        CHECK(strstr(dlm_ctx_last_error(ctx), error));
    } else {
        CHECK_INT(dlm_image_size_of(m), want);
        CHECK(!m->family->plan_image(ctx, m, &size, &plan));
        CHECK(want <= 0 || (plan.pixels.width == want && plan.pixels.height == want));
        CHECK(want != DLM_IMAGE_SIZE_NATIVE || plan.pixels.width > plan.pixels.height);
        CHECK(dlm_image_plan_slice(&plan) <= m->tower.max_patches);
        CHECK(want <= 0 || dlm_image_plan_slice(&plan) == m->tower.max_patches);
    }
    dlm_model_destroy(&m);
}

/* An image of 60 x 30, by a longest edge. */
static void expect_shrunk(const char *dir, int64_t asked, int width, int height)
{
    char key[] = "the base";
    const struct dlm_base base = {.key = key};
    const struct dlm_image_size size = {60, 30, {"x.png", 0}};
    struct dlm_model *m = NULL;
    struct dlm_image_plan plan;

    if (!CHECK(!dlm_model_read_folder(ctx, &m, dir)))
        return;
    CHECK(!dlm_image_size_choose(m, &base, asked));
    CHECK_INT(dlm_image_size_of(m), asked);
    CHECK(!m->family->plan_image(ctx, m, &size, &plan));
    CHECK_INT(plan.pixels.width, width);
    CHECK_INT(plan.pixels.height, height);
    const int64_t most = (asked + 13) / 14 * 2;
    CHECK_INT(m->tower.max_patches, most * most);
    dlm_model_destroy(&m);
}

static void test_choice(void)
{
    const struct dlm_base_row row = {.key = "a row", .target_height = 56, .target_width = 56};
    char any[1024], one[1024], edge[1024];

    snprintf(edge, sizeof(edge), "%s/golden/models/mistral3_f32_old/base", check_data_dir());
    snprintf(any, sizeof(any), "%s/golden/models/qwen2_vl_f32_old/base", check_data_dir());
    snprintf(one, sizeof(one), "%s/golden/models/f32_old/base", check_data_dir());
    check_case("a base without a size of its own");
    expect(any, NULL, DLM_IMAGE_SIZE_BASE, DLM_IMAGE_SIZE_NATIVE, NULL);
    expect(any, NULL, DLM_IMAGE_SIZE_NATIVE, DLM_IMAGE_SIZE_NATIVE, NULL);
    expect(any, NULL, DLM_IMAGE_SIZE_PINNED, 0, "'the base' has no pinned image size");
    expect(any, NULL, 42, 42, NULL);
    expect(any, NULL, 40, 0, "cannot make images 40 x 40: sides of 'the base' are multiples of 14");
    expect(any, NULL, 1 << 15, 0, "up to 16384");
    check_case("a row of the registry has one");
    expect(any, &row, DLM_IMAGE_SIZE_BASE, 56, NULL);
    expect(any, &row, DLM_IMAGE_SIZE_PINNED, 56, NULL);
    expect(any, &row, DLM_IMAGE_SIZE_NATIVE, DLM_IMAGE_SIZE_NATIVE, NULL);
    expect(any, &row, 42, 42, NULL);
    check_case("a base that goes by the longest edge");
    expect(edge, NULL, DLM_IMAGE_SIZE_BASE, DLM_IMAGE_SIZE_NATIVE, NULL);
    expect(edge, &row, DLM_IMAGE_SIZE_BASE, DLM_IMAGE_SIZE_NATIVE, NULL);
    expect(edge, &row, DLM_IMAGE_SIZE_PINNED, 0, "'the base' has no pinned image size");
    expect(edge, NULL, 1 << 15, 0, "takes up to 16384");
    expect_shrunk(edge, 56, 56, 28); /* as its file says */
    expect_shrunk(edge, 40, 42, 28); /* 40 x 20 in patches of 14 */
    expect_shrunk(edge, 13, 14, 14);
    check_case("a base with images of one size");
    expect(one, NULL, DLM_IMAGE_SIZE_BASE, 0, NULL);
    expect(one, &row, DLM_IMAGE_SIZE_PINNED, 0, NULL);
    expect(one, NULL, DLM_IMAGE_SIZE_NATIVE, 0, NULL);
    expect(one, NULL, 28, 0, NULL);
    expect(one, NULL, 56, 0, "cannot make images 56 x 56: 'the base' takes images of 28 x 28");
}

/* The same bounds say it in the file; the row's size does not count then. */
static void test_file(void)
{
    const struct dlm_base_row row = {.key = "a row", .target_height = 56, .target_width = 56};
    static const char *const files[] = {"config.json", "tokenizer.json"};
    char from[1024], base[512];

    check_case("equal bounds pin a size");
    snprintf(base, sizeof(base), "%s", tmp_path("pinned"));
    CHECK(!dlm_dir_make(ctx, base));
    for (size_t i = 0; i < DLM_ARRAY_LEN(files); i++) {
        char to[600];
        snprintf(from, sizeof(from), "%s/golden/models/qwen2_vl_f32_old/base/%s",
                 check_data_dir(), files[i]);
        snprintf(to, sizeof(to), "%s/%s", base, files[i]);
        CHECK(copy_file(from, to));
    }
    const char text[] = "{\"patch_size\": 7, \"min_pixels\": 7056, \"max_pixels\": 7056}";
    CHECK(put_file(tmp_path("pinned/preprocessor_config.json"), text, strlen(text)));
    expect(base, NULL, DLM_IMAGE_SIZE_BASE, 84, NULL);
    expect(base, &row, DLM_IMAGE_SIZE_PINNED, 84, NULL);
    expect(base, NULL, DLM_IMAGE_SIZE_NATIVE, DLM_IMAGE_SIZE_NATIVE, NULL);
}

/* --- documents and their adapters --- */

static void write_document(const char *key)
{
    char text[2048];

    snprintf(text, sizeof(text), "---\ndlm_id: " ID "\ndlm_version: 15\nbase_model: \"%s\"\n"
             "training:\n  num_epochs: 2\n  learning_rate: 0.02\n  lora_dropout: 0.0\n%s---\n\n"
             "::image path=\"one.png\"::\na red square\n", case_base(), key);
    CHECK(put_file(tmp_path("sized.dlm"), text, strlen(text)));
}

/* The loss of an answer about the image, with the document's adapter. */
static double loss_of(int64_t image_size)
{
    const char *images[] = {tmp_path("one.png")};
    const struct dlm_session_params from = {.document = tmp_path("sized.dlm"),
                                            .home = tmp_path("home"), .image_size = image_size,
                                            .compute = compute};
    const struct dlm_score_request request = {
        .prompt = "which colour?", .target = "red", .images = images, .num_images = 1};
    struct dlm_score_result result = {0};
    double loss = NAN;

    if (CHECK(!dlm_score(ctx, &from, &request, &result)))
        loss = result.loss;
    dlm_score_result_finish(&result);
    return loss;
}

static void train(int64_t image_size, enum dlm_status want)
{
    const struct dlm_train_params params = {
        .document = tmp_path("sized.dlm"), .home = tmp_path("home"), .image_size = image_size,
        .compute = compute, .lock = DLM_TRAIN_LOCK_IGNORE, .num_questions = -1};
    struct dlm_train_result result = {0};

    CHECK_INT(dlm_train(ctx, &params, &result), want);
    dlm_train_result_finish(&result);
}

static void test_adapter(void)
{
    case_name = "qwen2_vl_f32_old";
    compute = (struct dlm_compute){.backend = DLM_BACKEND_CPU};
    CHECK(copy_file(case_path("images/one.png"), tmp_path("one.png")));
    check_case("the caller's size goes before the document's and is remembered");
    write_document("  image_size: native\n");
    train(SIDE, DLM_OK);
    const double native = loss_of(DLM_IMAGE_SIZE_NATIVE), sized = loss_of(SIDE);
    CHECK(fabs(native - sized) > 1e-3);
    CHECK(loss_of(DLM_IMAGE_SIZE_BASE) == sized);
    check_case("the document's");
    write_document("  image_size: 42\n");
    train(DLM_IMAGE_SIZE_BASE, DLM_OK);
    CHECK(loss_of(DLM_IMAGE_SIZE_BASE) == sized);
    check_case("what was trained counts, whatever the document says since");
    write_document("  image_size: 56\n");
    CHECK(loss_of(DLM_IMAGE_SIZE_BASE) == sized);
    check_case("native by default");
    write_document("");
    train(DLM_IMAGE_SIZE_BASE, DLM_OK);
    CHECK(loss_of(DLM_IMAGE_SIZE_BASE) == loss_of(DLM_IMAGE_SIZE_NATIVE));
    check_case("a size that the base does not take");
    write_document("  image_size: 30\n");
    train(DLM_IMAGE_SIZE_BASE, DLM_ERR_INVALID);
    CHECK(strstr(dlm_ctx_last_error(ctx), "cannot make images 30 x 30"));
}

/* --- runs that go on, and sessions --- */

static void cancel(void *user, const struct dlm_train_progress *progress)
{
    (void)user, (void)progress;
    dlm_ctx_cancel(ctx);
}

static enum dlm_status train_part(int64_t image_size, bool resume, bool cancels)
{
    const struct dlm_train_params params = {
        .document = tmp_path("sized.dlm"), .home = tmp_path("resumed"), .image_size = image_size,
        .resume = resume, .progress = cancels ? cancel : NULL, .compute = compute,
        .num_questions = -1};
    struct dlm_train_result result = {0};

    enum dlm_status st = dlm_train(ctx, &params, &result);
    dlm_train_result_finish(&result);
    dlm_ctx_clear_cancel(ctx);
    return st;
}

static void test_resume(void)
{
    check_case("a run goes on with images of the size it began with");
    write_document("");
    CHECK_INT(train_part(SIDE, false, true), DLM_ERR_CANCELLED);
    CHECK_INT(train_part(SIDE + 14, true, false), DLM_ERR_INVALID);
    CHECK(strstr(dlm_ctx_last_error(ctx), "options"));
    CHECK_INT(train_part(SIDE, true, false), DLM_OK);
}

static void test_session(void)
{
    const struct dlm_session_params from = {.base = case_base(), .image_size = SIDE,
                                            .compute = compute};
    struct dlm_train_params params = {.document = tmp_path("sized.dlm"),
                                      .home = tmp_path("session"), .num_questions = -1};
    struct dlm_session *s = NULL;
    struct dlm_train_result result = {0};

    check_case("a session's size counts, and a document that asks for another is told");
    CHECK(!dlm_session_open(ctx, &s, &from));
    write_document("  image_size: 42\n");
    warning[0] = '\0';
    CHECK(s && !dlm_session_train(s, &params, &result));
    CHECK_STR(warning, "");
    dlm_train_result_finish(&result);
    write_document("  image_size: native\n");
    CHECK(s && !dlm_session_train(s, &params, &result));
    CHECK_STR(warning, "the document asks for another image size; the session's is 42");
    dlm_train_result_finish(&result);
    dlm_session_close(&s);
}

int main(void)
{
    tmp_make();
    ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = keep_warning});
    check_case("set up");
    if (CHECK(ctx)) {
        test_choice();
        test_file();
        test_adapter();
        test_resume();
        test_session();
    }
    dlm_ctx_destroy(&ctx);
    tmp_remove();
    return check_summary();
}
