/* The proof in an export: what was written is compared with the model in memory, and what answers
 * otherwise is not kept. Files are spoiled, and the call is cancelled, while the message that tells
 * of the comparison is being logged: all is written by then. */
#include <dirent.h>
#include <jansson.h>
#include <sys/stat.h>

#include "api/export_proof.h"
#include "base/json.h"
#include "dlm/import.h"
#include "dlm/score.h"
#include "weights/helpers.h"

static struct dlm_ctx *ctx;
static void (*at_proof)(const char *folder); /* called once, with where the files lie */

/* What is on its way to "out". */
static bool find_temporary(char *path, size_t bytes)
{
    DIR *dir = opendir(tmp_root);
    bool is_there = false;

    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        if (!strncmp(e->d_name, "out.tmp.", 8))
            is_there = snprintf(path, bytes, "%s/%s", tmp_root, e->d_name) > 0;
    if (dir)
        closedir(dir);
    return is_there;
}

static void on_log(void *user, enum dlm_log_level level, const char *text)
{
    void (*now)(const char *) = at_proof;
    char path[600];

    (void)user, (void)level;
    if (!now || !strstr(text, "comparing what was written"))
        return;
    at_proof = NULL;
    if (CHECK(find_temporary(path, sizeof(path))))
        now(path);
}

static const char *golden(const char *folder, const char *name)
{
    static char buffers[4][512];
    static unsigned next;
    char *p = buffers[next++ % 4];

    snprintf(p, sizeof(buffers[0]), "%s/golden/models/%s/%s", check_data_dir(), folder, name);
    return p;
}

/* Exports the document of a golden, whose adapter is imported when it has none here. */
static enum dlm_status export_to_out(const char *document, const char *adapter,
                                     struct dlm_export_params params,
                                     struct dlm_export_result *result)
{
    const struct dlm_import_params from = {.document = document, .home = tmp_path("home"),
                                           .adapter = adapter, .any_base = true};
    struct dlm_import_result imported = {0};

    if (adapter)
        CHECK(!dlm_import(ctx, &from, &imported));
    dlm_import_result_finish(&imported);
    params.document = document;
    params.home = tmp_path("home");
    params.out = tmp_path(params.is_tar ? "out.tar" : "out");
    return dlm_export(ctx, &params, result);
}

static bool is_empty_but_home(void)
{
    char path[600];

    return !find_temporary(path, sizeof(path)) && !dlm_path_is_dir(tmp_path("out"));
}

/* --- what is written is what was trained --- */

static double unit(enum dlm_precision precision)
{
    return precision == DLM_PRECISION_BF16 ? 0x1p-8 : precision == DLM_PRECISION_FP16 ? 0x1p-11
                                                                                       : 0x1p-24;
}

/* The row that make_models_goldens.py has first in the document: the image's caption. */
static void check_section(const char *folder, const char *id)
{
    json_t *expected = NULL;
    char first[32];

    CHECK(!dlm_json_load(ctx, golden(folder, "expected.json"), 1 << 24, &expected));
    const char *text = json_string_value(json_array_get(json_object_get(expected, "rows"), 0));
    snprintf(first, sizeof(first), "%s:0", id);
    CHECK_STR(first, text);
    json_decref(expected);
}

/* What `dlm score` says of that caption. */
static void check_loss(const char *folder, const char *request, const char *caption, double loss)
{
    const char *images[] = {golden(folder, "images/one.png")};
    const struct dlm_session_params from = {
        .document = golden(folder, "doc.dlm"), .home = tmp_path("home"),
        .compute = {.backend = DLM_BACKEND_CPU, .precision = DLM_PRECISION_FP32}};
    const struct dlm_score_request asked = {.prompt = request, .target = caption, .images = images,
                                            .num_images = 1};
    struct dlm_score_result result = {0};

    CHECK(!dlm_score(ctx, &from, &asked, &result));
    CHECK(result.loss == loss);
    dlm_score_result_finish(&result);
}

static void test_kept(const char *folder, const char *request, const char *caption)
{
    static const enum dlm_precision types[] = {DLM_PRECISION_FP32, DLM_PRECISION_BF16,
                                               DLM_PRECISION_FP16};
    struct dlm_export_result result;

    check_case(folder);
    CHECK(!export_to_out(golden(folder, "doc.dlm"), golden(folder, "adapter_wide"),
                         (struct dlm_export_params){0}, &result));
    CHECK(!result.proof.skipped && result.proof.num_tokens > 1 && result.proof.line > 0);
    CHECK(!result.proof.num_tensors);
    CHECK(result.proof.loss > 0.1 && result.proof.loss < 20);
    CHECK(result.proof.loss_difference == 0 && result.proof.logprob_difference == 0);
    CHECK(strstr(result.json, "\"logprob_difference\": 0.0"));
    const double loss = result.proof.loss;
    check_section(folder, result.proof.section_id);
    check_loss(folder, request, caption, loss);
    dlm_export_result_finish(&result);
    for (size_t i = 0; i < DLM_ARRAY_LEN(types); i++) {
        CHECK(!export_to_out(golden(folder, "doc.dlm"), NULL,
                             (struct dlm_export_params){.is_merged = true, .precision = types[i]},
                             &result));
        const struct dlm_export_proof *p = &result.proof;
        CHECK(p->num_tokens > 1 && p->loss == loss && p->num_tensors > 20);
        CHECK(p->logprob_difference > 0 && p->loss_difference <= p->logprob_difference);
        printf("# unit %.2g: a log-probability differs by %.2g, the loss by %.2g\n",
               unit(types[i]), p->logprob_difference, p->loss_difference);
        CHECK(p->logprob_difference < 32 * unit(types[i]) + 1e-5);
        dlm_export_result_finish(&result);
    }
}

/* GGUF: the language model and the tower come back from two files. */
static void test_gguf(const char *folder)
{
    static const struct {
        const char *quant;
        double unit;
    } kinds[] = {{"f32", 0x1p-24}, {"f16", 0x1p-11}, {"bf16", 0x1p-8}, {"q8_0", 0x1p-7}};
    struct dlm_export_result result;

    for (size_t i = 0; i < DLM_ARRAY_LEN(kinds); i++) {
        check_case(kinds[i].quant);
        if (!CHECK(!export_to_out(golden(folder, "doc.dlm"), NULL,
                                  (struct dlm_export_params){.gguf_quant = kinds[i].quant},
                                  &result)))
            continue;
        const struct dlm_export_proof *p = &result.proof;
        printf("# %s: a log-probability differs by %.2g, the loss by %.2g\n", kinds[i].quant,
               p->logprob_difference, p->loss_difference);
        CHECK(!p->skipped && p->num_tokens > 1 && p->logprob_difference > 0);
        CHECK(p->num_tensors > 20);
        CHECK(p->logprob_difference < 32 * kinds[i].unit + 1e-5);
        check_section(folder, p->section_id);
        dlm_export_result_finish(&result);
    }
    check_case("q4_k_m");
    CHECK(!export_to_out(golden(folder, "doc.dlm"), NULL,
                         (struct dlm_export_params){.gguf_quant = "q4_k_m"}, &result));
    if (result.proof.skipped) /* its rows have no whole blocks, and get types that have others */
        CHECK_STR(result.proof.skipped, "blocks of this type are not computed with yet");
    dlm_export_result_finish(&result);
}

/* --- what is not --- */

/* byte -1: noise, of numbers below 8 in f16. */
static void put_bytes(const char *path, double from, double to, int byte)
{
    uint32_t noise = 1;

    struct stat st;
    FILE *f = fopen(path, "r+b");

    if (!CHECK(f && !fstat(fileno(f), &st)))
        return;
    const long first = (long)(from * (double)st.st_size), last = (long)(to * (double)st.st_size);
    CHECK(!fseek(f, first, SEEK_SET));
    for (long i = first; i < last; i++) {
        CHECK(fputc(byte < 0 ? (int)(noise >> 16) % 0x48 : byte, f) != EOF);
        noise = noise * 1103515245 + 12345;
    }
    CHECK(!fclose(f));
}

static void spoil(const char *folder, const char *name, double from, double to, int byte)
{
    char path[700];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    put_bytes(path, from, to, byte);
}

static void spoil_adapter(const char *folder)
{
    spoil(folder, "adapter/adapter_model.safetensors", 0.97, 0.99, 0);
}

static void spoil_weights(const char *folder)
{
    spoil(folder, "model.safetensors", 0.5, 0.9, 0);
}

static void spoil_text(const char *folder)
{
    spoil(folder, "base.F16.gguf", 0.5, 0.9, 0);
}

static void spoil_tower(const char *folder)
{
    spoil(folder, "mmproj.F16.gguf", 0.3, 0.9, 0);
}

static void spoil_blocks(const char *folder)
{
    spoil(folder, "base.Q6_K.gguf", 0.3, 0.95, -1);
}

/* Finds a text in a file, and puts bytes so far behind its end. */
static void put_behind(const char *folder, const char *name, const char *text, long behind,
                       const void *bytes, size_t num)
{
    struct dlm_str file = {0};
    char path[700];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (!CHECK(!dlm_file_read(ctx, path, 1 << 24, &file)))
        return;
    char *at = memmem(file.data, file.len, text, strlen(text));
    if (CHECK(at)) {
        memcpy(at + strlen(text) + behind, bytes, num);
        CHECK(put_file(path, file.data, file.len));
    }
    dlm_str_finish(&file);
}

static void spoil_config(const char *folder)
{
    put_behind(folder, "config.json", "\"rms_norm_eps\": ", 0, "0.900", 5);
}

/* A key's text is followed by the type of its value, in four bytes. */
static void spoil_key(const char *folder)
{
    const float wide = 0.9f;

    put_behind(folder, "base.F16.gguf", "rms_epsilon", 4, &wide, sizeof(wide));
}

static void spoil_key_of_blocks(const char *folder)
{
    const float tiny = 1e-45f; /* angles that are no numbers */

    put_behind(folder, "base.Q6_K.gguf", "rope.freq_base", 4, &tiny, sizeof(tiny));
}

/* Two tensors of the same type and shape, each under the other's name. */
static void swap_names(const char *folder)
{
    put_behind(folder, "base.Q6_K.gguf", "blk.0.attn_k.weigh", -7, "x", 1);
    put_behind(folder, "base.Q6_K.gguf", "blk.0.attn_v.weigh", -7, "k", 1);
    put_behind(folder, "base.Q6_K.gguf", "blk.0.attn_x.weigh", -7, "v", 1);
}

/* The lowest bit of one number of half-precision weights. */
static void spoil_bit(const char *folder)
{
    char path[700];

    snprintf(path, sizeof(path), "%s/base.F16.gguf", folder);
    FILE *f = fopen(path, "r+b");
    if (!CHECK(f && !fseek(f, 0, SEEK_END)))
        return;
    const long at = ftell(f) * 6 / 10 / 2 * 2;
    CHECK(!fseek(f, at, SEEK_SET));
    const int byte = fgetc(f) ^ 1;
    CHECK(!fseek(f, at, SEEK_SET) && fputc(byte, f) == byte && !fclose(f));
}

static void cut_weights(const char *folder)
{
    char path[700];

    snprintf(path, sizeof(path), "%s/model.safetensors", folder);
    CHECK(!truncate(path, 20000));
}

static void spoil_tokenizer(const char *folder)
{
    char path[700];

    snprintf(path, sizeof(path), "%s/tokenizer.json", folder);
    CHECK(!unlink(path));
}

static void cancel(const char *folder)
{
    (void)folder;
    dlm_ctx_cancel(ctx);
}

/* gguf_quant NULL: is_merged says what. */
static void refused(const char *folder, bool is_merged, const char *gguf_quant,
                    void (*how)(const char *), enum dlm_status want, const char *what)
{
    struct dlm_export_result result;

    CHECK(!dlm_path_remove(ctx, tmp_path("out")));
    at_proof = how;
    CHECK_INT(export_to_out(golden(folder, "doc.dlm"), NULL,
                            (struct dlm_export_params){.is_merged = is_merged,
                                                       .gguf_quant = gguf_quant}, &result), want);
    dlm_export_result_finish(&result);
    CHECK(!at_proof);
    CHECK(is_empty_but_home());
    if (!CHECK(strstr(dlm_ctx_last_error(ctx), what)))
        printf("     %s\n", dlm_ctx_last_error(ctx));
    dlm_ctx_clear_cancel(ctx);
}

static void test_refused(void)
{
    static const char text[] = "do not answer as the model in memory: token ";
    static const char weights[] = "do not hold what was to be written: number ";

    check_case("files that answer otherwise");
    refused("f32_old", false, NULL, spoil_adapter, DLM_ERR_INVALID, text);
    refused("f32_old", true, NULL, spoil_config, DLM_ERR_INVALID, text);
    refused("f32_old", true, NULL, cut_weights, DLM_ERR_PARSE, "out.tmp.");
    refused("f32_old", true, NULL, spoil_tokenizer, DLM_ERR_IO, "");
    refused("qwen2_vl_f32_old", false, "f16", spoil_key, DLM_ERR_INVALID, text);
    refused("mistral3_f32_old", false, "q6_k", spoil_key_of_blocks, DLM_ERR_PARSE,
            "'mistral3.rope.freq_base' is out of range");
    check_case("files that hold other weights");
    refused("f32_old", true, NULL, spoil_weights, DLM_ERR_INVALID, weights);
    refused("qwen2_vl_f32_old", false, "f16", spoil_text, DLM_ERR_INVALID, weights);
    refused("qwen2_vl_f32_old", false, "f16", spoil_bit, DLM_ERR_INVALID, weights);
    refused("mistral3_f32_old", false, "f16", spoil_tower, DLM_ERR_INVALID, weights);
    refused("qwen2_vl_f32_old", false, "q6_k", spoil_blocks, DLM_ERR_INVALID, weights);
    refused("qwen2_vl_f32_old", false, "q6_k", swap_names, DLM_ERR_INVALID, weights);
    check_case("cancelled");
    refused("f32_old", false, NULL, cancel, DLM_ERR_CANCELLED, "interrupted");
    refused("f32_old", true, NULL, cancel, DLM_ERR_CANCELLED, "interrupted");
    refused("mistral3_f32_old", false, "f16", cancel, DLM_ERR_CANCELLED, "interrupted");
    check_case("an older export stays");
    struct dlm_export_result result;
    CHECK(!export_to_out(golden("f32_old", "doc.dlm"), NULL, (struct dlm_export_params){0},
                         &result));
    dlm_export_result_finish(&result);
    at_proof = spoil_weights;
    CHECK_INT(export_to_out(golden("f32_old", "doc.dlm"), NULL,
                            (struct dlm_export_params){.is_merged = true}, &result),
              DLM_ERR_INVALID);
    dlm_export_result_finish(&result);
    CHECK(dlm_path_is_file(tmp_path("out/snapshot_manifest.json")));
}

/* --- nothing is compared --- */

static void skipped(struct dlm_export_params params, const char *document, const char *why)
{
    struct dlm_export_result result;

    check_case(why);
    if (!CHECK(!export_to_out(document, NULL, params, &result)))
        return;
    if (!CHECK(result.proof.skipped && strstr(result.proof.skipped, why)))
        printf("     %s\n", result.proof.skipped ? result.proof.skipped : "compared");
    CHECK(!result.proof.num_tokens && strstr(result.json, why));
    dlm_export_result_finish(&result);
}

static void test_skipped(void)
{
    const char *document = golden("f32_old", "doc.dlm");
    char *base = realpath(golden("f32_old", "base"), NULL);
    struct dlm_str text = {0};

    skipped((struct dlm_export_params){.no_verify = true}, document, "--no-verify");
    skipped((struct dlm_export_params){.is_tar = true}, document, "an archive is not opened");
    skipped((struct dlm_export_params){.compute = {.max_memory_mib = 0.05}}, document,
            "the model in memory takes ");
    CHECK(!dlm_str_appendf(ctx, &text, "---\ndlm_id: 01JZZZZZZZZZZZZZZZZZZZZZZZ\n"
                           "dlm_version: 15\nbase_model: \"dir:%s\"\n---\n\n::instruction::\nno\n",
                           base));
    free(base);
    CHECK(put_file(tmp_path("bare.dlm"), text.data, text.len));
    dlm_str_finish(&text);
    struct dlm_export_result result;
    CHECK(!export_to_out(tmp_path("bare.dlm"), golden("f32_old", "adapter_wide"),
                         (struct dlm_export_params){0}, &result));
    dlm_export_result_finish(&result);
    skipped((struct dlm_export_params){0}, tmp_path("bare.dlm"),
            "the document has no row that can be scored");
}

int main(void)
{
    const struct dlm_ctx_params params = {.log = on_log};

    ctx = dlm_ctx_create(&params);
    tmp_make();
    test_kept("f32_old", "caption en", "caption star near is");
    test_kept("qwen2_vl_f32_old", "Describe this image.", "is shapes it");
    test_kept("mistral3_f32_old", "Describe this image.", "this the green left");
    test_gguf("qwen2_vl_f32_old");
    test_gguf("mistral3_f32_old");
    test_refused();
    test_skipped();
    check_case("a bound grows with the size of what was rounded, and of its unit");
    CHECK(dlm_proof_bound(0, -5) == 0);
    CHECK(dlm_proof_bound(0x1p-24, -0.1) < 0.0011);
    CHECK(dlm_proof_bound(0x1p-8, -0.1) == 0.251 && dlm_proof_bound(0x1p-8, -4) == 1.004);
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
