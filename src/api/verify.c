/* `dlm doctor --verify`: an answer is computed as `dlm prompt` computes it, first node by node
 * beside a reference, then as usual. */
#include <math.h>
#include <stdio.h>

#include "api/session_impl.h"
#include "base/log.h"
#include "base/str.h"
#include "dlm/doctor.h"
#include "doctor/driver_guard.h"
#include "doctor/verify.h"

#define QUESTION "What is in this picture?"
#define VECTORS                                                                                    \
    (DLM_CAP_AVX2 | DLM_CAP_AVX512 | DLM_CAP_AVX512_BF16 | DLM_CAP_AMX_BF16 | DLM_CAP_NEON_BF16)

static bool is_cpu(const struct dlm_session *s)
{
    return dlm_device_get_caps(s->device)->info.kind == DLM_BACKEND_CPU;
}

/* The CPU as it checks another device, or, without what its fast kernels are made of, itself. */
static enum dlm_status open_reference(const struct dlm_session *s, struct dlm_device **cpu)
{
    const struct dlm_device_params params = {
        .kind = DLM_BACKEND_CPU, .index = -1, .hide_caps = is_cpu(s) ? VECTORS : 0};

    return dlm_device_open(s->ctx, cpu, &params);
}

static enum dlm_status answer(struct dlm_session *s, const struct dlm_verify_params *params,
                              const struct dlm_program_watch *watch)
{
    const char *const images[] = {params->image};
    const struct dlm_asked asked = {
        .images = images, .num_images = params->image ? 1 : 0,
        .words = params->prompt ? params->prompt : QUESTION,
    };
    /* the likeliest tokens: two, so that the program for one token runs */
    const struct dlm_prompt_request request = {.max_tokens = 2, .has_temperature = true};

    s->watch = watch;
    enum dlm_status st = dlm_session_answer(s, &asked, &request);
    s->watch = NULL;
    return st;
}

enum dlm_status dlm_session_verify(struct dlm_session *s, const struct dlm_verify_params *params,
                                   struct dlm_verify *v)
{
    v->ctx = s->ctx;
    v->model = s->model;
    enum dlm_status st = open_reference(s, &v->cpu);
    const struct dlm_program_watch nodes = dlm_verify_nodes(v);
    if (!st)
        st = answer(s, params, &nodes);
    if (st == DLM_ERR_INVALID && v->num_wrong) { /* no numbers: it is known where they began */
        st = DLM_OK;
        goto done;
    }
    const struct dlm_program_watch whole = dlm_verify_whole(v);
    s->is_asking_itself = true; /* the memory is what it was */
    if (!st)
        st = answer(s, params, &whole);
    s->is_asking_itself = false;
done:
    dlm_verify_finish(v);
    dlm_device_destroy(&v->cpu);
    return st;
}

/* --- what is said --- */

static enum dlm_status write_finding(struct dlm_ctx *ctx, const struct dlm_verify_finding *f,
                                     const char *what, struct dlm_str *out)
{
    return dlm_str_appendf(ctx, out, "%-11s %s\n%-11s %.2g of the largest value of its row, at %s: "
                           "%.7g, expected %.7g\n", what, f->name, "", f->difference, f->index,
                           f->got, f->want);
}

static enum dlm_status write_lines(struct dlm_session *s, const struct dlm_verify_params *params,
                                   const struct dlm_verify *v, struct dlm_str *out)
{
    const struct dlm_device_info *info = &dlm_device_get_caps(s->device)->info;
    struct dlm_ctx *ctx = s->ctx;

    enum dlm_status st = dlm_str_appendf(
        ctx, out,
        "base:       %s\ndevice:     %s:%d %s (%s), %s\nimage:      %s\n"
        "reference:  plain C for %zu of %zu tensors%s%s\n",
        s->base.key, dlm_backend_name(info->kind), info->index, info->name, info->driver,
        dlm_dtype_name(s->model->policy), params->image ? params->image : "none", v->num_plain,
        v->num_tensors, v->num_plain < v->num_tensors ? ", else the CPU's kernels" : "",
        v->num_plain < v->num_tensors && is_cpu(s) ? " without vector instructions" : "");
    if (!st && v->num_wrong)
        st = write_finding(ctx, &v->first, "differs:", out);
    if (!st && v->num_wrong)
        return dlm_str_appendf(ctx, out, "%zu of %zu tensors differ, this is the first (tolerance "
                               "%.0e)\n", v->num_wrong, v->num_tensors, v->first.tolerance);
    if (!st)
        st = write_finding(ctx, &v->largest, "largest:", out);
    return st ? st
              : dlm_str_appendf(ctx, out, "no tensor differs: %zu compared, each from what the "
                                "device's own had given it\n", v->num_tensors);
}

static json_t *finding_json(const struct dlm_verify_finding *f)
{
    json_t *root = json_pack("{s:s, s:s, s:f}", "tensor", f->name, "index", f->index, "tolerance",
                             f->tolerance);
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"difference", f->difference}, {"got", f->got}, {"expected", f->want}};

    for (size_t i = 0; i < DLM_ARRAY_LEN(numbers); i++) /* JSON has no infinities */
        json_object_set_new(root, numbers[i].key, isfinite(numbers[i].value)
                                                      ? json_real(numbers[i].value)
                                                      : json_null());
    return root;
}

static enum dlm_status write_json(struct dlm_session *s, const struct dlm_verify *v,
                                  struct dlm_str *out)
{
    const struct dlm_device_info *info = &dlm_device_get_caps(s->device)->info;
    json_t *root = json_pack(
        "{s:s, s:s, s:i, s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "base", s->base.key, "backend",
        dlm_backend_name(info->kind), "device", info->index, "driver", info->driver, "precision",
        dlm_dtype_name(s->model->policy), "tensors", (json_int_t)v->num_tensors, "in_plain_c",
        (json_int_t)v->num_plain, "differ", (json_int_t)v->num_wrong, "first",
        v->num_wrong ? finding_json(&v->first) : json_null(), "largest",
        finding_json(&v->largest));
    enum dlm_status st = dlm_json_append(s->ctx, out, root, 0);
    json_decref(root);
    return st;
}

enum dlm_status dlm_doctor_verify(struct dlm_ctx *ctx, const struct dlm_verify_params *params,
                                  char **text, bool *agrees)
{
    struct dlm_session_base base = {
        .base = params->base, .mmproj = params->mmproj, .image_size = params->image_size,
        .compute = params->compute};
    struct dlm_session *s = NULL;
    struct dlm_verify v = {0};
    struct dlm_str out = {0};
    enum dlm_status st;

    *text = NULL;
    *agrees = false;
    DLM_REQUIRE(ctx, params->base);
    st = dlm_driver_guard(ctx, &base.compute);
    if (!st)
        st = dlm_session_open_base(ctx, &s, &base);
    if (!st)
        st = dlm_session_verify(s, params, &v);
    if (!st)
        st = params->json ? write_json(s, &v, &out) : write_lines(s, params, &v, &out);
    if (!st) {
        *agrees = !v.num_wrong;
        *text = out.data;
        out = (struct dlm_str){0};
    }
done:
    dlm_str_finish(&out);
    dlm_session_close(&s);
    return st;
}
