/* Loading weights when something fails half-way: what was not loaded whole counts as not loaded, so
 * that loading again gives the bytes that an undisturbed load gives. */
#include "models_test.h"

#include "kernels/panel.h"
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
           CHECK(!dlm_model_open(s->ctx, &s->model, s->device, case_path("base"), policy, NULL));
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

/* Up to `max` matrices of that many columns, as pieces of a larger one. */
static int find_pieces(const struct dlm_weights *w, int64_t cols, struct dlm_weight_piece *pieces,
                       const struct dlm_weight **found, int max)
{
    int num = 0;

    for (size_t i = 0; i < w->num && num < max; i++) {
        const struct dlm_weight *one = w->list[i];
        if (one->kind != DLM_WEIGHT_MATRIX || one->num_parts != 1 || one->cols != cols)
            continue;
        found[num] = one;
        pieces[num++] = (struct dlm_weight_piece){one->name, one->rows};
    }
    return num;
}

/* Rows of the resident form, row-major. */
static void resident_rows(const struct dlm_weight *w, uint8_t *out)
{
    const void *data = dlm_buffer_host_data(w->slabs[0].storage.buffer);

    if (w->layout == DLM_LAYOUT_PANEL)
        dlm_panel_unpack_rows(w->dtype, data, out, 0, w->rows, w->cols);
    else
        memcpy(out, data, dlm_dtype_size(w->dtype, w->rows * w->cols));
}

/* One weight of several tensors holds their rows, one below the other. */
static void test_joined(uint32_t hide_caps, enum dlm_dtype policy)
{
    struct dlm_weight_piece pieces[3];
    const struct dlm_weight *apart[3];
    struct dlm_weight *joined = NULL;
    struct side s;

    check_case(hide_caps ? "tensors joined to one weight, in rows"
                         : "tensors joined to one weight, in panels");
    if (side_open(&s, hide_caps, policy) &&
        CHECK_INT(find_pieces(s.model->weights, s.model->decoder.config.block.hidden, pieces, apart,
                              3), 3)) {
        const struct dlm_weight_scope scope = {.weights = s.model->weights,
                                               .group = DLM_WEIGHT_GROUP_TOWER};
        CHECK(!dlm_weights_join_matrix(&scope, pieces, 3, apart[0]->cols, &joined));
        CHECK(!dlm_weights_load(s.model->weights, DLM_WEIGHT_GROUPS_ALL));
        const size_t row_bytes = joined ? dlm_dtype_size(joined->dtype, joined->cols) : 0;
        uint8_t *a = calloc((size_t)joined->rows, row_bytes), *at = a;
        uint8_t *b = calloc((size_t)joined->rows, row_bytes);
        for (int i = 0; a && b && i < 3; at += (size_t)apart[i++]->rows * row_bytes)
            resident_rows(apart[i], at);
        CHECK_INT(joined->rows, apart[0]->rows + apart[1]->rows + apart[2]->rows);
        CHECK(apart[0]->rows % 16 || apart[1]->rows % 16); /* a block of rows has some of two */
        resident_rows(joined, b);
        CHECK(!memcmp(a, b, (size_t)joined->rows * row_bytes));
        CHECK(!dlm_weight_read(s.ctx, joined, 0, joined->rows, b));
        CHECK(!memcmp(a, b, (size_t)joined->rows * row_bytes));
        free(a);
        free(b);
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
        CHECK(!dlm_model_open(ctx, &model, device, case_path("base"), DLM_DTYPE_BF16, NULL))) {
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
    test_joined(0, DLM_DTYPE_BF16);
    test_joined(DLM_CAP_PANELS, DLM_DTYPE_F32);
    test_cancel();
    test_null_device();
    return check_summary();
}
