/* Loading weights when something fails half-way: what was not loaded whole counts as not loaded, so
 * that loading again gives the bytes that an undisturbed load gives. */
#include "models_test.h"

#include "models/model.h"
#include "tests/countdown.h"

struct side {
    struct countdown countdown;
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    struct dlm_model *model;
};

static bool side_open(struct side *s, uint32_t hide_caps, enum dlm_dtype policy)
{
    const struct dlm_ctx_params params = {
        .alloc_hook = allow, .alloc_user = &s->countdown, .num_threads = 2};
    const struct dlm_device_params cpu = {
        .kind = DLM_BACKEND_CPU, .index = -1, .hide_caps = hide_caps};

    *s = (struct side){.countdown = {.left = 1 << 30}};
    s->ctx = dlm_ctx_create(&params);
    return CHECK(s->ctx) && CHECK(!dlm_device_open(s->ctx, &s->device, &cpu)) &&
           CHECK(!dlm_model_open(s->ctx, &s->model, s->device, case_path("base"), policy));
}

static void side_close(struct side *s)
{
    dlm_model_destroy(&s->model);
    dlm_device_destroy(&s->device);
    dlm_ctx_destroy(&s->ctx);
}

/* Every slab is there with the same bytes. */
static bool same_weights(const struct dlm_weights *a, const struct dlm_weights *b)
{
    size_t differing = 0;

    for (size_t i = 0; i < a->num; i++) {
        for (int k = 0; k < a->list[i]->num_slabs; k++) {
            struct dlm_buffer *x = a->list[i]->slabs[k].storage.buffer;
            struct dlm_buffer *y = b->list[i]->slabs[k].storage.buffer;
            if (!x || !y || dlm_buffer_bytes(x) != dlm_buffer_bytes(y) ||
                memcmp(dlm_buffer_host_data(x), dlm_buffer_host_data(y), dlm_buffer_bytes(x)))
                differing++;
        }
    }
    return CHECK_INT(differing, 0);
}

/* Every allocation of a load fails once, after which the load is done again. */
static void test_allocations(uint32_t hide_caps, enum dlm_dtype policy)
{
    struct side whole, poor;

    check_case(hide_caps ? "an allocation fails, weights in rows"
                         : "an allocation fails, weights in panels");
    if (side_open(&whole, hide_caps, policy) && side_open(&poor, hide_caps, policy) &&
        CHECK(!dlm_weights_load(whole.model->weights, DLM_WEIGHT_GROUPS_ALL))) {
        long failures = 0;
        bool is_done = false;
        for (long n = 0; !is_done; n++) {
            poor.countdown = (struct countdown){.left = n};
            enum dlm_status st = dlm_weights_load(poor.model->weights, DLM_WEIGHT_GROUPS_ALL);
            is_done = !poor.countdown.is_over;
            if (!CHECK_INT(st, is_done ? DLM_OK : DLM_ERR_MEMORY))
                break;
            failures += !is_done;
            poor.countdown = (struct countdown){.left = 1 << 30};
            if (!is_done && !CHECK(!dlm_weights_load(poor.model->weights, DLM_WEIGHT_GROUPS_ALL)))
                break;
            if (!same_weights(whole.model->weights, poor.model->weights))
                break;
            if (!is_done)
                dlm_weights_unload(poor.model->weights, DLM_WEIGHT_GROUPS_ALL);
        }
        CHECK(failures > 20); /* a buffer each at the least */
        CHECK_INT(dlm_device_used_bytes(poor.device), dlm_device_used_bytes(whole.device));
    }
    side_close(&poor);
    side_close(&whole);
}

/* A cancelled load leaves no buffer that was not filled. */
static void test_cancel(void)
{
    struct side s;

    check_case("a cancelled load leaves no weight behind");
    if (side_open(&s, 0, DLM_DTYPE_BF16)) {
        dlm_ctx_cancel(s.ctx);
        CHECK_INT(dlm_weights_load(s.model->weights, DLM_WEIGHT_GROUPS_ALL), DLM_ERR_CANCELLED);
        CHECK_INT(dlm_device_used_bytes(s.device), 0);
    }
    side_close(&s);
}

static void test_null_device(void)
{
    const struct dlm_device_params params = {.is_null = true};
    struct dlm_device *device = NULL;
    struct dlm_model *model = NULL;
    struct dlm_ctx *ctx = make_ctx();

    check_case("a device that only plans is loaded with nothing");
    if (CHECK(!dlm_device_open(ctx, &device, &params)) &&
        CHECK(!dlm_model_open(ctx, &model, device, case_path("base"), DLM_DTYPE_BF16))) {
        CHECK(!dlm_weights_load(model->weights, DLM_WEIGHT_GROUPS_ALL));
        CHECK_INT(dlm_device_used_bytes(device),
                  dlm_weights_bytes(model->weights, DLM_WEIGHT_GROUPS_ALL));
    }
    dlm_model_destroy(&model);
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&ctx);
}

int main(void)
{
    case_name = case_names[0]; /* f32 files: bf16 is converted to, f32 is as it is */
    test_allocations(0, DLM_DTYPE_BF16);
    test_allocations(DLM_CAP_PANELS, DLM_DTYPE_BF16);
    test_allocations(DLM_CAP_PANELS, DLM_DTYPE_F32);
    test_cancel();
    test_null_device();
    return check_summary();
}
