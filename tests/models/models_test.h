/* What the tests of whole models share: the cases under golden/models, a temporary folder, and one
 * run for each backend that is here. The cases are made by tools/dev/make_models_goldens.py. */
#ifndef DLM_TESTS_MODELS_TEST_H
#define DLM_TESTS_MODELS_TEST_H

#include <jansson.h>

#include "../weights/helpers.h"
#include "base/file.h"
#include "dlm/dlm.h"
#include "models/gguf_model.h"

#define NUM_BACKENDS 3

static const char *const case_names[] = {"f32_old", "bf16_new", "f16_patch7"};
#define NUM_CASES (sizeof(case_names) / sizeof(case_names[0]))

/* What is being compared; part of every message about a failure. */
static struct dlm_compute compute;
static const char *case_name = "";

static inline void print_log(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level <= DLM_LOG_HINT)
        printf("  %s: %s\n", case_name, text);
}

static inline struct dlm_ctx *make_ctx(void)
{
    return dlm_ctx_create(&(struct dlm_ctx_params){.log = print_log});
}

/* <data dir>/golden/models/<case>/<name>, one of a few rotating buffers. */
static inline const char *case_path(const char *name)
{
    static char buffers[8][1024];
    static unsigned next;
    char *p = buffers[next++ % 8];

    snprintf(p, sizeof(buffers[0]), "%s/golden/models/%s/%s", check_data_dir(), case_name, name);
    return p;
}

/* Whether the case's base is two GGUF files. */
static inline bool case_is_gguf(void)
{
    return dlm_path_is_file(case_path("base/base.gguf"));
}

/* The case's checkpoint as the text of a base_model. */
static inline const char *case_base(void)
{
    static char text[1100];
    const bool is_gguf = case_is_gguf();

    snprintf(text, sizeof(text), "%s:%s", is_gguf ? "gguf" : "dir",
             case_path(is_gguf ? "base/base.gguf" : "base"));
    return text;
}

static inline enum dlm_status load_case_tokenizer(struct dlm_ctx *ctx, struct dlm_tokenizer **out)
{
    const struct dlm_gguf_paths files = {case_path("base/base.gguf"),
                                         case_path("base/mmproj.gguf")};

    return case_is_gguf() ? dlm_gguf_load_tokenizer(ctx, out, &files)
                          : dlm_tokenizer_load_folder(ctx, out, case_path("base"));
}

/* Starts the check case "<backend> <case> <what>". */
static inline void check_model_case(const char *what)
{
    static char names[256][96];
    static unsigned next;
    char *name = names[next++ % 256];

    snprintf(name, sizeof(names[0]), "%s %s %s", dlm_backend_name(compute.backend), case_name,
             what);
    check_case(name);
}

static inline bool copy_file(const char *from, const char *to)
{
    size_t bytes = 0;
    char *data = get_file(from, &bytes);
    bool ok = CHECK(data && put_file(to, data, bytes));

    free(data);
    return ok;
}

/* |a - b| <= tolerance; says both when not. NaN fails. */
static inline bool check_near(double a, double b, double tolerance, const char *what)
{
    bool ok = fabs(a - b) <= tolerance;

    if (!CHECK(ok))
        printf("     %s %s: got %.9g, want %.9g, tolerance %.2g\n", case_name, what, a, b,
               tolerance);
    return ok;
}

static inline bool is_wanted(enum dlm_backend_kind kind)
{
    const char *only = getenv("DLM_TEST_BACKENDS");

    return !only || strstr(only, dlm_backend_name(kind));
}

/* Kernels compiled by one test serve the next. */
static inline void share_kernels(void)
{
    const char *dir = getenv("DLM_TEST_KERNEL_CACHE");

    if (dir)
        setenv("DLM_KERNEL_CACHE", dir, 0);
}

/* Calls run for the first device of each backend, with `compute` set to it at fp32; a backend that
 * is not here, or not in DLM_TEST_BACKENDS, is a skipped case. */
static inline void for_each_backend(void (*run)(void))
{
    static const enum dlm_backend_kind kinds[NUM_BACKENDS] = {
        DLM_BACKEND_CPU, DLM_BACKEND_OPENCL, DLM_BACKEND_VULKAN};
    struct dlm_ctx *ctx = make_ctx();
    struct dlm_device_info *list = NULL;
    int num = 0;

    check_case("devices are listed");
    if (!CHECK(ctx) || !CHECK(!dlm_device_list(ctx, &list, &num)))
        num = 0;
    dlm_ctx_destroy(&ctx);
    for (int i = 0; i < NUM_BACKENDS; i++) {
        bool found = false;
        for (int d = 0; d < num; d++)
            found = found || list[d].kind == kinds[i];
        if (!is_wanted(kinds[i]))
            check_skip(dlm_backend_name(kinds[i]), "not in DLM_TEST_BACKENDS");
        else if (!found)
            check_skip(dlm_backend_name(kinds[i]), "no device");
        if (!found || !is_wanted(kinds[i]))
            continue;
        compute = (struct dlm_compute){.backend = kinds[i], .has_device = true,
                                       .precision = DLM_PRECISION_FP32};
        run();
    }
    dlm_device_list_free(list);
}

#endif
