/* embedding from a table in the CPU's panel form, against the rows of the table it was packed from:
 * the harness' rows have no panels. */
#include "base/rng.h"
#include "graph/program.h"
#include "graph/rewrite.h"
#include "kernels/panel.h"
#include "ops/build.h"
#include "ops/reference.h"
#include "tests/check.h"

enum { NUM_IDS = 9, VOCAB = 37, COLS = 70, FIRST_ROW = 3 };

static const int32_t ids[NUM_IDS] = {3, 39, 18, 19, 2, 40, -1, -2, 34};

/* A table with values that its type holds exactly, row-major, and its panels. */
struct table {
    enum dlm_dtype dtype;
    struct dlm_host_tensor rows;
    void *panels;
    size_t panel_bytes;
};

static bool make_table(struct table *t, enum dlm_dtype dtype)
{
    struct dlm_rng rng;
    const int64_t shape[] = {VOCAB, COLS};

    dlm_rng_init(&rng, 7, dtype);
    t->dtype = dtype;
    t->rows.desc = dlm_desc_make(dtype, 2, shape);
    t->rows.data = calloc(VOCAB * COLS, sizeof(float));
    t->panel_bytes = dlm_panel_bytes(dtype, VOCAB, COLS);
    t->panels = calloc(1, t->panel_bytes);
    if (!t->rows.data || !t->panels)
        return false;
    for (int64_t i = 0; i < VOCAB * COLS; i++)
        dlm_host_set_flat(&t->rows, i, (double)dlm_rng_uniform(&rng) - 0.5);
    dlm_panel_pack_rows(dtype, t->panels, t->rows.data, 0, VOCAB, VOCAB, COLS);
    return true;
}

static enum dlm_status upload(struct dlm_device *device, const void *data, size_t bytes,
                              struct dlm_storage *out)
{
    enum dlm_status st = dlm_buffer_create(device, &out->buffer, bytes);

    return st ? st : dlm_buffer_write(out->buffer, 0, data, bytes);
}

static void check_rows(const struct table *t, const float *features, const float *got)
{
    for (int r = 0; r < NUM_IDS; r++)
        for (int c = 0; c < COLS; c++) {
            const int64_t row = ids[r] - FIRST_ROW;
            double want = 0;
            if (ids[r] == -1)
                want = features[c];
            else if (ids[r] >= 0 && row >= 0 && row < VOCAB)
                want = 2 * dlm_host_get_flat(&t->rows, row * COLS + c);
            if (!CHECK(got[r * COLS + c] == (float)want))
                return;
        }
}

static void run(struct dlm_ctx *ctx, struct dlm_device *device, const struct table *t)
{
    const int64_t num[] = {NUM_IDS}, table_shape[] = {VOCAB, COLS}, feature_shape[] = {1, COLS};
    struct dlm_desc descs[] = {
        dlm_desc_make(DLM_DTYPE_I32, 1, num),
        dlm_desc_make(t->dtype, 2, table_shape),
        dlm_desc_make(DLM_DTYPE_F32, 2, feature_shape),
    };
    struct dlm_tensor *leaves[3];
    struct dlm_storage places[3] = {0};
    struct dlm_graph *g = NULL;
    struct dlm_plan *plan = NULL;
    struct dlm_program *program = NULL;
    float features[COLS], got[NUM_IDS * COLS];

    for (int c = 0; c < COLS; c++)
        features[c] = (float)c;
    const void *data[] = {ids, t->panels, features};
    const size_t bytes[] = {sizeof(ids), t->panel_bytes, sizeof(features)};
    descs[1].layout = DLM_LAYOUT_PANEL;
    if (!CHECK(!dlm_graph_create(ctx, &g)))
        return;
    for (int i = 0; i < 3; i++) {
        leaves[i] = dlm_graph_leaf(g, DLM_ROLE_INPUT, "leaf", &descs[i]);
        if (!CHECK(!upload(device, data[i], bytes[i], &places[i])))
            goto done;
        dlm_tensor_bind(leaves[i], &places[i]);
    }
    struct dlm_tensor *out = dlm_embedding(g, leaves[0], leaves[1], leaves[2], NULL, NULL,
                                           &(struct dlm_embedding_attrs){2, FIRST_ROW});
    if (!CHECK(out))
        goto done;
    out->is_output = true;
    if (CHECK(!dlm_plan_create(ctx, &plan, g, device)) &&
        CHECK(!dlm_program_create(ctx, &program, device, plan, NULL)) &&
        CHECK(!dlm_program_run(program)) &&
        CHECK(!dlm_program_read(program, out, got, sizeof(got))))
        check_rows(t, features, got);
done:
    dlm_program_destroy(&program);
    dlm_plan_destroy(&plan);
    dlm_graph_destroy(&g);
    for (int i = 0; i < 3; i++)
        dlm_buffer_destroy(&places[i].buffer);
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){0});
    struct dlm_device *device = NULL;

    check_case("the CPU opens");
    if (CHECK(ctx) && CHECK(!dlm_device_open(ctx, &device,
                                             &(struct dlm_device_params){DLM_BACKEND_CPU, -1,
                                                                         NULL, 0})))
        for (enum dlm_dtype dtype = DLM_DTYPE_F32; dtype <= DLM_DTYPE_BF16; dtype++) {
            struct table t = {0};
            check_case(dlm_dtype_name(dtype));
            if (CHECK(make_table(&t, dtype)))
                run(ctx, device, &t);
            free(t.rows.data);
            free(t.panels);
        }
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
