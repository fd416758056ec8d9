/* A type whose elements come in blocks (q8_0: 32 elements in 34 bytes): graphs give it its size and
 * never cut it, the ops that multiply by a weight or look one up take it for that operand, and
 * every other operand refuses it by name. */
#include "doctor/ops_table.h"
#include "ir/graph.h"
#include "ir/view.h"
#include "tests/check.h"

static char logged[512];

static void keep_log(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    (void)level;
    snprintf(logged, sizeof(logged), "%s", text);
}

static struct dlm_tensor *make_leaf(struct dlm_graph *g, int64_t rows, int64_t cols)
{
    const struct dlm_desc d =
        dlm_desc_make(DLM_DTYPE_Q8_0, 2, (const int64_t[]){rows, cols});

    return dlm_graph_leaf(g, DLM_ROLE_WEIGHT, "w", &d);
}

static void test_size(struct dlm_ctx *ctx)
{
    struct dlm_graph *g = NULL;

    check_case("size of a tensor of blocks");
    if (!CHECK(!dlm_graph_create(ctx, &g)))
        return;
    struct dlm_tensor *w = make_leaf(g, 300, 64);
    struct dlm_tensor *turned = dlm_view_transpose(g, w);
    if (CHECK(turned)) {
        CHECK_INT(dlm_tensor_bytes(w), 300 * 2 * 34);
        CHECK_INT(dlm_desc_len(&turned->desc), 300 * 64);
    }
    CHECK(!dlm_graph_status(g));
    dlm_graph_destroy(&g);
}

/* Each fails the graph. */
static void test_refused(struct dlm_ctx *ctx)
{
    static const struct {
        const char *what, *says;
        int64_t cols; /* of the leaf */
        int dim;      /* of which the middle is taken */
        int64_t begin, len;
    } cases[] = {
        {"no whole number of blocks", "no whole number of q8_0 blocks", 33, 1, 0, 1},
        {"rows of a quantised weight", "is one piece", 64, 0, 1, 2},
        {"columns of a quantised weight", "is one piece", 64, 1, 32, 32},
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(cases); i++) {
        struct dlm_graph *g = NULL;
        check_case(cases[i].what);
        if (!CHECK(!dlm_graph_create(ctx, &g)))
            return;
        struct dlm_tensor *w = make_leaf(g, 4, cases[i].cols);
        CHECK(!dlm_view_slice(g, w, cases[i].dim, cases[i].begin, cases[i].len));
        CHECK(dlm_graph_status(g) == DLM_ERR_INVALID && strstr(logged, cases[i].says));
        dlm_graph_destroy(&g);
    }
}

/* The probe's input in a type: blocks of W that is seen as W^T run along W's rows. */
static struct dlm_desc probe_desc(const struct dlm_probe_input *in, enum dlm_dtype dtype)
{
    if (in->form != DLM_PROBE_WEIGHT_T || !dlm_dtype_is_quant(dtype))
        return dlm_desc_make(dtype, in->ndim, in->shape);
    struct dlm_desc desc = dlm_desc_make(dtype, 2, (int64_t[]){in->shape[1], in->shape[0]});
    for (int i = 0; i < 2; i++)
        desc.shape[i] = in->shape[i];
    desc.stride[1] = desc.stride[0];
    desc.stride[0] = 1;
    return desc;
}

/* Whether input `at` of the call may be a quantised weight: one with rows of whole blocks. */
static bool takes_blocks(const struct dlm_op_probe *p, int at)
{
    return at == 1 && (p->op == &dlm_op_matmul || p->op == &dlm_op_embedding) &&
           p->in[at].ndim == 2 && p->in[at].shape[1] % 32 == 0;
}

/* Every op, with each of its inputs as blocks in turn, else as models call it. */
static void test_ops(struct dlm_ctx *ctx)
{
    size_t num;
    const struct dlm_op_probe *probes = dlm_op_probes(&num);

    for (size_t i = 0; i < num; i++) {
        const struct dlm_op_probe *p = &probes[i];
        check_case(p->op->name);
        for (int at = 0; at < p->op->num_inputs; at++) {
            struct dlm_desc in[DLM_MAX_INPUTS], out[DLM_MAX_OUTPUTS];
            if (!p->in[at].ndim)
                continue;
            for (int k = 0; k < DLM_MAX_INPUTS; k++) {
                in[k] = (struct dlm_desc){.dtype = DLM_DTYPE_COUNT, .ndim = 1};
                if (p->in[k].ndim)
                    in[k] = probe_desc(&p->in[k], k == at ? DLM_DTYPE_Q8_0 : p->in[k].dtype);
            }
            logged[0] = 0;
            const enum dlm_status st = p->op->infer(ctx, &p->attrs, in, out);
            if (takes_blocks(p, at) ? !CHECK(!st)
                                        : !CHECK(st == DLM_ERR_INVALID) ||
                                              !CHECK(!strncmp(logged, "op '", 4) &&
                                                     strstr(logged, "q8_0")))
                printf("     input %d: '%s'\n", at, logged);
        }
    }
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = keep_log});

    test_size(ctx);
    test_refused(ctx);
    test_ops(ctx);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
