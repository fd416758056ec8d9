/* `dlm doctor --verify`: no tensor of a base of any family differs on any backend, by either
 * reference, whatever its weights are held in; and a fault that is put in is named by part, block
 * and module. */
#include "../models/models_test.h"
#include "api/session_impl.h"
#include "dlm/doctor.h"
#include "doctor/verify.h"
#include "ops/op_list.h"

static struct dlm_ctx *ctx;

static const char *const bases[] = {"f32_old", "bf16_new", "paligemma2_f16_old",
                                    "qwen2_vl_f32_old", "mistral3_bf16_new"};

/* Bases with rows of whole blocks, and what they are held in; the last one lies so in its files. */
static const struct {
    const char *name;
    enum dlm_quant quant;
    enum dlm_quant_scope scope;
} quantised[] = {
    {"paligemma_nf4_dq", DLM_QUANT_NF4_DQ, DLM_QUANT_SCOPE_LINEARS},
    {"paligemma2_nf4", DLM_QUANT_NF4, DLM_QUANT_SCOPE_ALL},
    {"mistral3_q8_0", DLM_QUANT_Q8_0, DLM_QUANT_SCOPE_ALL},
    {"qwen2_vl_bnb", DLM_QUANT_AUTO, DLM_QUANT_SCOPE_AUTO},
};

static bool open_session(struct dlm_session **s)
{
    const struct dlm_session_base base = {.base = case_base(), .compute = compute};

    return CHECK(!dlm_session_open_base(ctx, s, &base));
}

static bool verify(struct dlm_session *s, struct dlm_verify *v)
{
    const struct dlm_verify_params params = {.image = case_path("images/one.png")};

    return CHECK(!dlm_session_verify(s, &params, v));
}

static void check_clean(bool plain)
{
    struct dlm_verify v = {.plain_work = plain ? INT64_MAX : 1};
    struct dlm_session *s = NULL;

    check_model_case(plain ? "agrees with plain C" : "agrees with the CPU's kernels");
    if (open_session(&s) && verify(s, &v)) {
        CHECK(v.num_tensors >= 70);
        CHECK_INT(v.num_plain, plain ? v.num_tensors : 0);
        if (!CHECK_INT(v.num_wrong, 0))
            printf("     %s at %s: got %.9g, want %.9g\n", v.first.name, v.first.index,
                   v.first.got, v.first.want);
        CHECK(v.largest.difference > 0);
        if (compute.precision == DLM_PRECISION_FP32) /* else one may be the next number */
            CHECK(v.largest.difference < 1e-5);
    }
    dlm_session_close(&s);
}

/* Under each precision: some kernels round a weight of 4 or 8 bits to it, some do not. */
static void check_quantised(void)
{
    static const enum dlm_precision precisions[] = {DLM_PRECISION_FP32, DLM_PRECISION_BF16,
                                                    DLM_PRECISION_FP16};
    const struct dlm_compute before = compute;

    for (size_t i = 0; i < DLM_ARRAY_LEN(quantised); i++) {
        case_name = quantised[i].name;
        compute.quant = quantised[i].quant;
        compute.quant_scope = quantised[i].scope;
        for (size_t p = 0; p < DLM_ARRAY_LEN(precisions); p++) {
            compute.precision = precisions[p];
            check_clean(true);
            check_clean(false);
        }
    }
    compute = before;
}

/* --- faults --- */

/* The node of an op that is to be wrong, counted down; and an element of its output. */
struct fault {
    const struct dlm_op *op;
    int countdown;
    float value;
};

static enum dlm_status spoil(void *user, struct dlm_program *program, const struct dlm_node *node)
{
    struct fault *f = user;

    if (node->op != f->op || f->countdown-- != 0)
        return DLM_OK;
    return dlm_program_write(program, node->outputs[0], &f->value, sizeof(f->value));
}

/* What is wrong is named, and but for the ends of programs it is all. */
static void check_first(const struct dlm_verify *v, const char *name, const char *index)
{
    CHECK_STR(v->first.name, name);
    CHECK_STR(v->first.index, index);
    CHECK(v->first.difference > v->first.tolerance);
}

static void check_spoilt(const struct dlm_op *op, int which, const char *name, const char *index)
{
    struct fault fault = {op, which, 3e4f};
    struct dlm_verify v = {.fault = spoil, .user = &fault};
    struct dlm_session *s = NULL;

    check_model_case(name);
    if (open_session(&s) && verify(s, &v)) {
        check_first(&v, name, index);
        CHECK(v.first.got == fault.value);
        /* the same answer without the fault has other features and logits */
        CHECK(v.num_wrong > 1 && v.num_wrong <= 4);
    }
    dlm_session_close(&s);
}

/* An answer that fails because something is no number. */
static void check_no_number(void)
{
    struct fault fault = {&dlm_op_attention, 0, NAN};
    struct dlm_verify v = {.fault = spoil, .user = &fault};
    struct dlm_session *s = NULL;

    check_model_case("what is no number is named");
    if (open_session(&s) && verify(s, &v)) {
        check_first(&v, "vision tower, block 0, attention output", "[0, 0, 0, 0]");
        CHECK(isnan(v.first.got) && isinf(v.first.difference));
    }
    dlm_session_close(&s);
}

/* A weight that is another on the device than in the checkpoint. */
static void check_weight(const char *weight, const char *name)
{
    const uint32_t wrong = 0x447a447a; /* 1000 as f32, and twice as bf16 */
    struct dlm_session *s = NULL;
    struct dlm_verify v = {0};
    size_t found = 0;

    check_model_case(name);
    if (!open_session(&s) || !CHECK(!dlm_session_load(s, NULL, true, DLM_LORA_VALUES)))
        goto done;
    for (size_t i = 0; i < s->model->weights->num; i++) {
        const struct dlm_weight *w = s->model->weights->list[i];
        if (strcmp(w->name, weight))
            continue;
        CHECK(!dlm_buffer_write(w->slabs[0].storage.buffer, 0, &wrong, sizeof(wrong)));
        found++;
    }
    if (CHECK_INT(found, 1) && verify(s, &v)) {
        CHECK_STR(v.first.name, name);
        CHECK(v.num_wrong >= 1);
    }
done:
    dlm_session_close(&s);
}

/* Eight codes of a row of a quantised base are others on the device: neither rounded nor as they
 * are do its values give what is there. */
static void check_wrong_codes(void)
{
    const struct dlm_compute before = compute;

    for (size_t i = 0; i < DLM_ARRAY_LEN(quantised); i++) {
        case_name = quantised[i].name;
        compute.quant = quantised[i].quant;
        compute.quant_scope = quantised[i].scope;
        compute.precision = DLM_PRECISION_BF16;
        check_weight("model.language_model.layers.1.mlp.down_proj.weight",
                     "decoder, block 1, mlp.down_proj output");
    }
    compute = before;
}

static void run_backend(void)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(bases); i++) {
        case_name = bases[i];
        check_clean(true);
        check_clean(false);
    }
    case_name = "f32_old";
    check_spoilt(&dlm_op_attention, 1, "vision tower, block 1, attention output", "[0, 0, 0, 0]");
    check_spoilt(&dlm_op_attention, 2, "decoder, block 0, attention output", "[0, 0, 0, 0]");
    check_spoilt(&dlm_op_attention, 4, "decoder, block 0, attention output, next token",
                 "[0, 0, 0, 0]");
    check_spoilt(&dlm_op_rope, 0, "decoder, block 0, rope of self_attn.q_proj|k_proj|v_proj",
                 "[0, 0, 0]");
    check_spoilt(&dlm_op_layer_norm, 4, "vision tower, post_layernorm output", "[0, 0]");
    check_no_number();
    check_weight("model.vision_tower.encoder.layers.1.mlp.fc1.weight",
                 "vision tower, block 1, mlp.fc1 output");
    check_weight("model.multi_modal_projector.linear.weight", "projector, linear output");
    check_weight("model.language_model.layers.1.mlp.down_proj.weight",
                 "decoder, block 1, mlp.down_proj output");
    case_name = "qwen2_vl_f32_old";
    check_spoilt(&dlm_op_attention, 1, "vision tower, block 1, attention output", "[0, 0, 0, 0]");
    case_name = "mistral3_bf16_new";
    check_weight("model.language_model.norm.weight", "decoder, norm output");
    check_quantised();
    check_wrong_codes();
}

int main(void)
{
    tmp_make();
    share_kernels();
    ctx = make_ctx();
    for_each_backend(run_backend);
    dlm_ctx_destroy(&ctx);
    tmp_remove();
    return check_summary();
}
