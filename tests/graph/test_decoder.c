/* The decoder as a pass builds it: only the labelled rows behind the last attention, groups fused;
 * against the decoder over every row. */
#include "tests/train/fixture.h"

static size_t count_op(const struct dlm_graph *g, const struct dlm_op *op)
{
    size_t num = 0;

    for (size_t i = 0; i < g->num_nodes; i++)
        num += g->nodes[i]->op == op;
    return num;
}

/* Log-probabilities of the labels are those of the logits of all rows. */
static void check_rows(struct fixture *f, size_t example)
{
    struct dlm_example e = fixture_example(f, example, 0);
    const struct dlm_pass_params params = fixture_pass_params(f, &e, 1);
    const int64_t vocab = f->model->decoder.config.vocab, first = e.bidirectional_len;
    float got[256], *logits = malloc((size_t)(e.len * vocab) * sizeof(*logits));

    if (CHECK(logits) && fixture_logits(f, &e, logits) &&
        fixture_run(f, &params, &(struct dlm_pass_step){.examples = &e, .num = 1}, true, got, NULL))
        for (int64_t t = first; t < e.len; t++) {
            const float *row = logits + (t - 1) * vocab;
            const double want = row[e.ids[t]] - log_sum_exp(row, vocab);
            if (!CHECK(fabs(got[t - first] - want) <= 1e-5))
                printf("     position %d: got %g, want %g\n", (int)t, got[t - first], want);
        }
    free(logits);
}

/* In a pass without gradients every activation is fused with its product, every linear with what is
 * added to it. */
static void check_fusion(struct fixture *f)
{
    const struct dlm_pass_params params = {.batch = 1, .tokens = 32, .labels = 8};
    const size_t layers = (size_t)f->model->decoder.config.layers;
    struct dlm_pass *pass = NULL;

    if (CHECK(!dlm_pass_create(f->ctx, &pass, f->model, f->lora, &params))) {
        CHECK_INT(count_op(pass->graph, &dlm_op_gated_activation), layers);
        CHECK_INT(count_op(pass->graph, &dlm_op_activation), 0);
        CHECK_INT(count_op(pass->graph, &dlm_op_mul), 0);
        CHECK_INT(count_op(pass->graph, &dlm_op_add), 0);
    }
    dlm_pass_destroy(&pass);
}

static void check_refusals(struct fixture *f)
{
    struct dlm_example e = fixture_example(f, 0, 8), bad;
    struct dlm_pass_params params = fixture_pass_params(f, &e, 1);
    struct dlm_workspace workspace = {0};
    struct dlm_pass *pass = NULL;
    int32_t ids[256];

    memcpy(ids, e.ids, (size_t)e.len * sizeof(*ids));
    if (CHECK(!dlm_pass_create(f->ctx, &pass, f->model, f->lora, &params)) &&
        CHECK(!dlm_workspace_init(&workspace, f->device, &pass->plan, 1)) &&
        CHECK(!dlm_pass_prepare(pass, &workspace))) {
        const struct dlm_pass_step step = {.examples = &bad, .num = 1};
        bad = e;
        bad.ids = ids;
        CHECK(!dlm_pass_run(pass, &step));
        bad.is_label++; /* a label in what is seen both ways */
        CHECK(dlm_pass_run(pass, &step) == DLM_ERR_INVALID);
        bad.bidirectional_len--; /* then one label more than there is room for */
        CHECK(dlm_pass_run(pass, &step) == DLM_ERR_INVALID);
        bad.bidirectional_len = bad.len + 1;
        CHECK(dlm_pass_run(pass, &step) == DLM_ERR_INVALID);
        bad.bidirectional_len = 0;
        bad.is_label = fixture_labels(0); /* the first token as a label */
        CHECK(dlm_pass_run(pass, &step) == DLM_ERR_INVALID);
        bad.is_label = e.is_label;
        bad.bidirectional_len = e.bidirectional_len;
        bad.len++;
        CHECK(dlm_pass_run(pass, &step) == DLM_ERR_INVALID);
        bad.len--;
        ids[e.bidirectional_len] = (int32_t)f->model->decoder.config.vocab;
        CHECK(dlm_pass_run(pass, &step) == DLM_ERR_INVALID);
        ids[e.bidirectional_len] = f->model->image_id; /* a feature that the image does not have */
        CHECK(dlm_pass_run(pass, &step) == DLM_ERR_INVALID);
        ids[e.bidirectional_len] = e.ids[e.bidirectional_len];
        CHECK(!dlm_pass_run(pass, &step));
    }
    dlm_pass_destroy(&pass);
    dlm_workspace_finish(&workspace);
}

static void run_backend(enum dlm_backend_kind backend)
{
    static const struct {
        const char *name, *adapter;
        enum dlm_dtype policy;
    } cases[] = {{"bf16_new", "adapter", DLM_DTYPE_F32},
                 {"f16_patch7", "adapter_wide", DLM_DTYPE_F32},
                 {"f32_old", NULL, DLM_DTYPE_BF16}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        fixture_case(backend, cases[i].name, "labelled rows alone");
        if (fixture_open(&f, &(struct fixture_params){.backend = backend, .name = cases[i].name,
                                                      .adapter = cases[i].adapter,
                                                      .policy = cases[i].policy})) {
            check_rows(&f, 0);
            check_rows(&f, 2);
            fixture_case(backend, cases[i].name, "fused");
            check_fusion(&f);
            fixture_case(backend, cases[i].name, "refusals");
            printf("# errors follow\n");
            check_refusals(&f);
        }
        fixture_close(&f);
    }
}

int main(void)
{
    for_each_backend(run_backend);
    return check_summary();
}
