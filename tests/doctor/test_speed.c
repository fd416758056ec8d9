/* Estimates: a plan's seconds by a device's speed, and what is kept of it. Measuring is done once,
 * on the CPU, for its form; how fast that is nobody knows here. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/file.h"
#include "base/str.h"
#include "check.h"
#include "dlm/dlm.h"
#include "doctor/speed.h"
#include "ops/build.h"

/* y [4, 32] = x [4, 64] w^T [64, 32], then y + y: the first by its products or its memory, the
 * second by its memory. */
static void test_plan(struct dlm_ctx *ctx, struct dlm_device *device)
{
    const int64_t x_shape[2] = {4, 64}, w_shape[2] = {32, 64};
    const struct dlm_desc x_desc = dlm_desc_make(DLM_DTYPE_F32, 2, x_shape);
    const struct dlm_desc w_desc = dlm_desc_make(DLM_DTYPE_F32, 2, w_shape);
    const struct dlm_matmul_attrs attrs = {.round = DLM_DTYPE_F32};
    const double matmul_flops = 2.0 * 4 * 32 * 64;
    const double matmul_bytes = 4.0 * (4 * 64 + 32 * 64 + 4 * 32);
    const double sum_bytes = 4.0 * 3 * 4 * 32;
    struct dlm_speed speed = {.product = 1e3, .read = 1e9, .dispatch = 0.5};
    struct dlm_graph *g = NULL;
    struct dlm_plan *plan = NULL;

    if (!CHECK(!dlm_graph_create(ctx, &g)))
        return;
    struct dlm_tensor *x = dlm_graph_leaf(g, DLM_ROLE_INPUT, "x", &x_desc);
    struct dlm_tensor *w = dlm_graph_leaf(g, DLM_ROLE_INPUT, "w", &w_desc);
    struct dlm_tensor *y = dlm_matmul(g, x, dlm_view_transpose(g, w), NULL, NULL, &attrs);
    struct dlm_tensor *z = dlm_add(g, y, y);
    if (CHECK(z != NULL)) {
        z->is_output = true;
        if (CHECK(!dlm_plan_create(ctx, &plan, g, device))) {
            const double calls = 0.5 * (double)plan->num_calls;
            double want = calls + matmul_flops / 1e3 + sum_bytes / 1e9;
            CHECK(plan->num_calls >= 2);
            CHECK(fabs(dlm_speed_plan_seconds(&speed, plan) - want) < 1e-9 * want);
            speed = (struct dlm_speed){.product = 1e12, .read = 10, .dispatch = 0.5};
            want = calls + matmul_bytes / 10 + sum_bytes / 10;
            CHECK(fabs(dlm_speed_plan_seconds(&speed, plan) - want) < 1e-9 * want);
        }
    }
    dlm_plan_destroy(&plan);
    dlm_graph_destroy(&g);
}

static void test_measure(struct dlm_ctx *ctx, struct dlm_device *device, const char *dir)
{
    const struct dlm_speed other = {.product = 1e12, .read = 2e11, .dispatch = 3e-6, .seconds = 1};
    struct dlm_speed speed = {0}, found = {0};
    bool is_found = true;

    CHECK(!dlm_speed_find(ctx, device, DLM_DTYPE_BF16, dir, &found, &is_found) && !is_found);
    CHECK(!dlm_speed_measure(ctx, device, DLM_DTYPE_BF16, &speed));
    CHECK(speed.product > 0 && isfinite(speed.product) && speed.read > 0 && isfinite(speed.read));
    CHECK(speed.dispatch > 0 && speed.seconds > 0);
    CHECK(dlm_device_used_bytes(device) == 0);
    CHECK(!dlm_speed_keep(ctx, device, DLM_DTYPE_BF16, dir, &other));
    CHECK(!dlm_speed_find(ctx, device, DLM_DTYPE_BF16, dir, &found, &is_found) && is_found);
    CHECK(found.product == 1e12 && found.read == 2e11 && found.dispatch == 3e-6);
    CHECK(!dlm_speed_find(ctx, device, DLM_DTYPE_F32, dir, &found, &is_found) && !is_found);
    CHECK(!dlm_speed_find(ctx, device, DLM_DTYPE_BF16, NULL, &found, &is_found) && !is_found);
}

/* A file that is none is passed over. */
static void test_damage(struct dlm_ctx *ctx, struct dlm_device *device, const char *dir)
{
    static const char *const texts[] = {"", "x", "dlm device speed 1\n",
                                        "dlm device speed 1\n1 2 3",
                                        "dlm device speed 1\n-1 2 3 4\n",
                                        "dlm device speed 1\nnan 2 3 4\n",
                                        "dlm device speed 1\n1 0 3 4\n"};
    struct dlm_speed speed;
    char **names = NULL;
    bool is_found = true;

    if (!CHECK(!dlm_dir_list(ctx, dir, &names) && names[0] && !names[1]))
        return;
    char *path = dlm_path_join(ctx, dir, names[0]);
    for (size_t i = 0; path && i < DLM_ARRAY_LEN(texts); i++) {
        CHECK(!dlm_file_replace(ctx, path, texts[i], strlen(texts[i])));
        CHECK(!dlm_speed_find(ctx, device, DLM_DTYPE_BF16, dir, &speed, &is_found) && !is_found);
    }
    dlm_free(path);
    dlm_names_free(names);
}

static void test_text(void)
{
    static const struct {
        double seconds;
        const char *text;
    } rows[] = {{0, "0 us"}, {5.34e-5, "53 us"}, {1.26e-3, "1.3 ms"}, {0.995, "995 ms"},
                {1.5, "1.5 s"}, {34.9, "35 s"}, {1234, "1234 s"}};
    char text[32];

    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        dlm_seconds_text(rows[i].seconds, text, sizeof(text));
        CHECK(!strcmp(text, rows[i].text));
    }
}

int main(void)
{
    const struct dlm_device_params params = {.kind = DLM_BACKEND_CPU, .index = -1};
    char dir[] = "/tmp/dlm-test-speed-XXXXXX";
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_device *device = NULL;

    check_case("a device");
    if (CHECK(ctx && !dlm_device_open(ctx, &device, &params) && mkdtemp(dir))) {
        check_case("seconds of a plan");
        test_plan(ctx, device);
        check_case("a speed, measured and kept");
        test_measure(ctx, device, dir);
        check_case("what is kept, damaged");
        test_damage(ctx, device, dir);
        check_case("seconds in words");
        test_text();
        CHECK(!dlm_path_remove(NULL, dir));
    }
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
