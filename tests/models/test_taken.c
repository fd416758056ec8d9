/* Planned device memory is what is taken, to the byte: of each family's small base, in two
 * precisions, for answers with and without an image and for training in 1 and 4 rows, with and
 * without checkpoints, the tower trained or not, on every backend. `dlm doctor` foretells the same
 * numbers, also from a folder that holds the base's configs but no weights. */
#include "models_test.h"

#include <unistd.h>

#include "api/session_impl.h"
#include "base/json.h"
#include "dlm/doctor.h"

#define MAX_CONFIG_BYTES (1 << 20)

static const struct {
    const char *family, *dir; /* below the data folder */
} bases[] = {
    {"paligemma", "../share/tiny-shapes"},
    {"qwen2_vl", "../share/tiny-shapes-qwen2-vl"},
    {"mistral3", "../share/tiny-shapes-mistral3"},
    {"paligemma2", "golden/models/paligemma2_bf16_v5/base"},
};

static char planned[64]; /* the MiB that the last run said it would take; "": it said none */
static struct dlm_ctx *ctx;

static void take_log(void *user, enum dlm_log_level level, const char *text)
{
    const char *figure = strstr(text, "memory: ");

    if (strcmp(text, "interrupted"))
        print_log(user, level, text);
    if (level == DLM_LOG_INFO && figure)
        sscanf(figure, "memory: %63s MiB (", planned);
}

static bool is_weights(const char *name)
{
    return strstr(name, ".safetensors") != NULL;
}

/* <tmp>/<family>/whole with links to the base's files, and /outline with those that hold no
 * weights. In both the config says what type the files have, as those of the hub do. */
static bool lay_out(size_t i)
{
    char from[600], to[700];
    char **names = NULL;
    json_t *config = NULL;

    snprintf(from, sizeof(from), "%s/%s", check_data_dir(), bases[i].dir);
    char *real = realpath(from, NULL);
    bool ok = CHECK(real) && CHECK(!dlm_dir_list(ctx, real, &names));
    for (int k = 0; ok && k < 2; k++) {
        const char *dir = k ? "outline" : "whole";
        snprintf(to, sizeof(to), "%s/%s", tmp_path(bases[i].family), dir);
        ok = CHECK(!dlm_dir_make(ctx, to));
        for (size_t n = 0; ok && names[n]; n++) {
            snprintf(from, sizeof(from), "%s/%s", real, names[n]);
            snprintf(to, sizeof(to), "%s/%s/%s", tmp_path(bases[i].family), dir, names[n]);
            if (strcmp(names[n], "config.json"))
                ok = (k && is_weights(names[n])) || CHECK(!symlink(from, to));
            else
                ok = CHECK(!dlm_json_load(ctx, from, MAX_CONFIG_BYTES, &config)) &&
                     CHECK(!json_object_set_new(config, "dtype", json_string("bfloat16"))) &&
                     CHECK(!json_dump_file(config, to, 0));
            json_decref(config);
            config = NULL;
        }
    }
    dlm_names_free(names);
    free(real);
    return ok;
}

/* The sample document for <tmp>/<family>/<folder>, beside its images. */
static bool write_document(const char *path, const char *folder, int batch, bool checkpoint,
                           bool with_tower)
{
    char from[600], front[1024];

    snprintf(from, sizeof(from), "%s/../share/sample/sample.dlm", check_data_dir());
    char *text = get_file(from, NULL);
    const char *body = text ? strstr(text, "\n---\n") : NULL; /* behind the front matter */
    FILE *f = body ? fopen(path, "wb") : NULL;
    snprintf(front, sizeof(front),
             "---\ndlm_id: 01KAJ2T0SHAPESEMB1EMSZQRBX\ndlm_version: 15\nbase_model: dir:%s\n"
             "training:\n  lora_r: 16\n  lora_alpha: 32\n  warmup_ratio: 0\n"
             "  micro_batch_size: %d\n"
             "  gradient_checkpointing: %s\n  target_modules: %s",
             folder, batch, checkpoint ? "true" : "false",
             with_tower ? "'.*\\.(q_proj|qkv|o_proj)'" : "[q_proj, v_proj]");
    bool ok = CHECK(f) && CHECK(fputs(front, f) >= 0) && CHECK(fputs(body, f) >= 0);
    ok = f && CHECK(!fclose(f)) && ok;
    free(text);
    return ok;
}

/* --- what is foretold --- */

/* What doctor says as JSON; owned, NULL after a failed check. */
static json_t *foretell(const char *document, const char *folder)
{
    char base[700];
    struct dlm_doctor_budget_params params = {
        .document = document, .base = document ? NULL : base, .compute = compute, .json = true};
    char *text = NULL;
    json_t *json = NULL;

    snprintf(base, sizeof(base), "dir:%s", folder ? folder : "");
    if (CHECK(!dlm_doctor_budget(ctx, &params, &text)))
        json = json_loads(text, 0, NULL);
    dlm_text_free(text);
    return json;
}

/* Bytes of the first budget of a use; -1: there is none. */
static int64_t total_of(const json_t *json, const char *use)
{
    size_t i;
    json_t *line;

    json_array_foreach(json_object_get(json, "budgets"), i, line)
        if (!strcmp(json_string_value(json_object_get(line, "use")), use))
            return json_integer_value(json_object_get(line, "total_bytes"));
    return -1;
}

static void check_members(const json_t *a, const json_t *b, const char *const *keys)
{
    for (; *keys; keys++)
        if (!CHECK(json_object_get(a, *keys) &&
                   json_equal(json_object_get(a, *keys), json_object_get(b, *keys))))
            printf("     '%s' is another without weights\n", *keys);
}

/* The configs alone say the same as the files. */
static void check_outline(const json_t *whole, const json_t *outline)
{
    static const char *const of_all[] = {
        "precision", "base_form", "lora_r", "lora_modules", "image", "row_tokens", "row_labels",
        "prompt_tokens", "answer_tokens", "refusal", "may_train", NULL};
    static const char *const of_line[] = {
        "use", "batch", "gradient_checkpointing", "weights_bytes", "vision_bytes", "adapter_bytes",
        "optimizer_bytes", "activations_bytes", "cache_bytes", "inputs_bytes", "total_bytes",
        "fits", NULL};
    const json_t *lines = json_object_get(whole, "budgets");
    const json_t *others = json_object_get(outline, "budgets");

    CHECK_STR(json_string_value(json_object_get(whole, "sizes_from")), "files");
    CHECK_STR(json_string_value(json_object_get(outline, "sizes_from")), "config");
    check_members(whole, outline, of_all);
    CHECK(json_array_size(lines) == 5 && json_array_size(others) == 5);
    for (size_t i = 0; i < json_array_size(lines); i++)
        check_members(json_array_get(lines, i), json_array_get(others, i), of_line);
}

/* --- what is taken --- */

/* What the run said and what the device gave. want -1: any. */
static void check_taken(const struct dlm_session *s, int64_t want, const char *what)
{
    const int64_t taken = (int64_t)dlm_device_peak_bytes(s->device);
    char mib[64];

    snprintf(mib, sizeof(mib), "%.1f", (double)taken / 0x1p20);
    if (!CHECK_STR(planned, mib) || !CHECK(want < 0 || taken == want))
        printf("     %s: taken %lld, foretold %lld bytes\n", what, (long long)taken,
               (long long)want);
    planned[0] = '\0';
}

/* Letters that make a prompt of `len` tokens; false: none do. */
static bool make_words(const struct dlm_session *s, const char *image, int64_t len, char *words,
                       size_t room)
{
    const char *const images[] = {image};
    const struct dlm_asked asked = {.images = images, .num_images = 1, .words = words};
    struct dlm_request request = {0};
    struct dlm_input input = {0};
    bool found = false;

    snprintf(words, room, "x");
    for (int n = 0; !found && n < 32; n++) {
        if (CHECK(!dlm_request_init(&request, s->model, &asked)) &&
            CHECK(!dlm_request_encode(ctx, &request, s->tok, &input)))
            found = (int64_t)input.ids.len == len;
        dlm_input_finish(&input);
        dlm_request_finish(&request);
        if (!found)
            strncat(words, "x", room - strlen(words) - 1);
    }
    return found;
}

static void stop(void *user, const char *text, size_t len)
{
    (void)user, (void)text, (void)len;
    dlm_ctx_cancel(ctx); /* all memory was taken before the first token */
}

/* What doctor means by an answer, though it ends early; then one without an image. */
static void answer(const struct dlm_session_params *from, const char *adapter,
                   const json_t *foretold)
{
    char image[600], words[256];
    const char *const images[] = {image};
    const int64_t want = total_of(foretold, "answer");
    struct dlm_prompt_request request = {.query = words, .images = images, .num_images = 1,
                                         .has_temperature = true, .text = stop};

    snprintf(image, sizeof(image), "%s/../share/sample/images/wuggle-1.png", check_data_dir());
    for (; ; request.num_images = 0) {
        struct dlm_session *s = NULL;
        if (!CHECK(!dlm_session_open(ctx, &s, from)) ||
            !CHECK(!dlm_session_load_adapter(s, "trained", adapter)) ||
            !CHECK(!dlm_session_use_adapter(s, "trained"))) {
            dlm_session_close(&s);
            return;
        }
        if (request.num_images)
            CHECK(make_words(s, image,
                             json_integer_value(json_object_get(foretold, "prompt_tokens")),
                             words, sizeof(words)));
        const enum dlm_status st = dlm_session_prompt(s, &request);
        CHECK(!st || st == DLM_ERR_CANCELLED);
        dlm_ctx_clear_cancel(ctx);
        check_taken(s, request.num_images ? want : -1,
                    request.num_images ? "an answer about an image" : "an answer");
        dlm_session_close(&s);
        if (!request.num_images)
            return;
    }
}

/* One step; of the plainest kind of training the adapter answers then. */
static void train(const char *folder, int batch, bool checkpoint, bool with_tower)
{
    const char *document = tmp_path("sample.dlm"), *home = tmp_path("home");
    const struct dlm_train_params params = {.document = document, .home = home, .max_steps = 1,
                                            .num_questions = -1};
    struct dlm_train_result result = {0};
    char what[96], base[700];
    const struct dlm_session_params from = {.base = base, .compute = compute};
    struct dlm_session *s = NULL;

    snprintf(what, sizeof(what), "batch %d%s%s", batch, checkpoint ? ", checkpoints" : "",
             with_tower ? ", tower" : "");
    snprintf(base, sizeof(base), "dir:%s", folder);
    if (!write_document(document, folder, batch, checkpoint, with_tower))
        return;
    json_t *foretold = foretell(document, NULL);
    CHECK(!dlm_path_remove(ctx, home));
    if (foretold && CHECK(!dlm_session_open(ctx, &s, &from)) &&
        CHECK(!dlm_session_train(s, &params, &result)))
        check_taken(s, total_of(foretold, "document"), what);
    dlm_session_close(&s);
    if (result.adapter && batch == 1 && !checkpoint && !with_tower)
        answer(&from, result.adapter, foretold);
    dlm_train_result_finish(&result);
    json_decref(foretold);
}

static void run(void)
{
    static const enum dlm_precision precisions[] = {DLM_PRECISION_FP32, DLM_PRECISION_BF16};

    for (size_t i = 0; i < DLM_ARRAY_LEN(bases); i++) {
        char whole[600], outline[600];
        case_name = bases[i].family;
        snprintf(whole, sizeof(whole), "%s/whole", tmp_path(case_name));
        snprintf(outline, sizeof(outline), "%s/outline", tmp_path(case_name));
        for (size_t p = 0; p < DLM_ARRAY_LEN(precisions); p++) {
            compute.precision = precisions[p];
            check_model_case(dlm_precision_name(compute.precision));
            json_t *a = foretell(NULL, whole), *b = foretell(NULL, outline);
            if (a && b)
                check_outline(a, b);
            json_decref(a);
            json_decref(b);
            for (int k = 0; k < 8; k++)
                train(whole, k & 1 ? 4 : 1, k & 2, k & 4);
        }
    }
}

/* The sample's images, to where the documents are. */
static bool copy_images(void)
{
    char from[600], to[600];
    char **names = NULL;

    snprintf(from, sizeof(from), "%s/../share/sample/images", check_data_dir());
    bool ok = CHECK(!dlm_dir_make(ctx, tmp_path("images"))) &&
              CHECK(!dlm_dir_list(ctx, from, &names));
    for (size_t i = 0; ok && names[i]; i++) {
        snprintf(from, sizeof(from), "%s/../share/sample/images/%s", check_data_dir(), names[i]);
        snprintf(to, sizeof(to), "%s/%s", tmp_path("images"), names[i]);
        ok = copy_file(from, to);
    }
    dlm_names_free(names);
    return ok;
}

int main(void)
{
    tmp_make();
    share_kernels();
    ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = take_log});
    check_case("folders with and without weights");
    bool ok = CHECK(ctx) && copy_images();
    for (size_t i = 0; ok && i < DLM_ARRAY_LEN(bases); i++)
        ok = lay_out(i);
    if (ok)
        for_each_backend(run);
    dlm_ctx_destroy(&ctx);
    tmp_remove();
    return check_summary();
}
