/* Reads what Params4bit's state dict holds: NAME (codes), NAME.absmax, NAME.quant_map,
 * NAME.nested_absmax, NAME.nested_quant_map and NAME.quant_state.bitsandbytes__nf4, a JSON text. */
#include "weights/bnb.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

#define STATE ".quant_state.bitsandbytes__"
#define MAX_NAME 512

static const struct dlm_tensor_info *find_beside(const struct dlm_checkpoint *ckpt,
                                                 const struct dlm_tensor_info *t, const char *what)
{
    char name[MAX_NAME];
    const int n = snprintf(name, sizeof(name), "%s%s", t->name, what);

    return n > 0 && (size_t)n < sizeof(name) ? dlm_checkpoint_find(ckpt, name) : NULL;
}

static enum dlm_status fail(struct dlm_ctx *ctx, const struct dlm_tensor_info *t,
                            enum dlm_status st, const char *what)
{
    st = dlm_fail(ctx, st, "cannot read '%s': tensor '%s': %s", t->file, t->name, what);
    if (st == DLM_ERR_UNSUPPORTED)
        dlm_log(ctx, DLM_LOG_HINT, "of bitsandbytes' forms NF4 in blocks of 64 is read; the "
                "original checkpoint can be quantised while it is loaded, with --quant");
    return st;
}

enum dlm_status dlm_bnb_check_config(struct dlm_ctx *ctx, const json_t *config, const char *path)
{
    const json_t *q = json_object_get(config, "quantization_config");
    const char *method = NULL, *type = NULL, *storage = NULL;
    bool is_4bit = false;

    if (!q || json_is_null(q))
        return DLM_OK;
    enum dlm_status st = dlm_json_string(ctx, q, path, "quant_method", &method);
    if (!st)
        st = dlm_json_string(ctx, q, path, "bnb_4bit_quant_type", &type);
    if (!st)
        st = dlm_json_string(ctx, q, path, "bnb_4bit_quant_storage", &storage);
    if (!st)
        st = dlm_json_bool(ctx, q, path, "load_in_4bit", &is_4bit);
    if (st)
        return st;
    if (method && !strcmp(method, "bitsandbytes") && is_4bit && type && !strcmp(type, "nf4") &&
        (!storage || !strcmp(storage, "uint8")))
        return DLM_OK;
    st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                  "cannot load '%s': 'quantization_config' asks for %s%s%s: not supported (only "
                  "bitsandbytes' nf4, stored as uint8, is)", path, method ? method : "no method",
                  type ? ", " : "", type ? type : "");
    dlm_log(ctx, DLM_LOG_HINT, "the original checkpoint can be quantised while it is loaded, with "
            "--quant");
    return st;
}

struct state {
    int64_t block, nested_block;
    double offset;
    int64_t rows, cols;
};

static enum dlm_status read_state(struct dlm_ctx *ctx, const struct dlm_tensor_info *t,
                                  const struct dlm_tensor_info *text, struct state *s)
{
    json_t *json = NULL;
    const char *type = NULL;

    enum dlm_status st = text->dtype == DLM_DTYPE_U8
                             ? dlm_json_parse(ctx, text->name, (const char *)text->data,
                                              text->bytes, &json)
                             : fail(ctx, t, DLM_ERR_PARSE, "its quant_state is no text");
    if (st)
        return st;
    s->nested_block = DLM_NF4_NESTED;
    s->offset = NAN; /* there is none but with double quantisation */
    st = dlm_json_string(ctx, json, text->name, "quant_type", &type);
    if (!st)
        st = dlm_json_int(ctx, json, text->name, "blocksize", 1, INT32_MAX, &s->block);
    if (!st)
        st = dlm_json_int(ctx, json, text->name, "nested_blocksize", 1, INT32_MAX,
                          &s->nested_block);
    if (!st)
        st = dlm_json_number(ctx, json, text->name, "nested_offset", &s->offset);
    const json_t *shape = json_object_get(json, "shape");
    s->rows = json_integer_value(json_array_get(shape, 0));
    s->cols = json_integer_value(json_array_get(shape, 1));
    if (!st && (json_array_size(shape) != 2 || s->rows <= 0 || s->cols <= 0 ||
                s->rows > INT32_MAX || s->cols > INT32_MAX))
        st = fail(ctx, t, DLM_ERR_PARSE, "its quant_state has no shape of two dimensions");
    if (!st && (!type || strcmp(type, "nf4") || s->block != DLM_NF4_BLOCK ||
                s->nested_block != DLM_NF4_NESTED))
        st = fail(ctx, t, DLM_ERR_UNSUPPORTED, "its quant_state asks for another form");
    json_decref(json);
    return st;
}

/* The file's table is ours but for a unit in the last place, by which machines differ. */
static bool is_table(const struct dlm_tensor_info *t, unsigned num, float (*entry)(unsigned))
{
    if (!t)
        return true;
    if (t->dtype != DLM_DTYPE_F32 || t->bytes != num * sizeof(float))
        return false;
    for (unsigned i = 0; i < num; i++) {
        float value;
        memcpy(&value, t->data + i * sizeof(value), sizeof(value));
        if (!(fabsf(value - entry(i)) <= 1e-6f * fabsf(entry(i))))
            return false;
    }
    return true;
}

/* Largest values of blocks: what is none makes other numbers of all that it scales. */
static bool are_scales(const struct dlm_tensor_info *t)
{
    bool is_good = true;
    float value;

    for (size_t i = 0; i < t->bytes; i += sizeof(value)) {
        memcpy(&value, t->data + i, sizeof(value));
        is_good &= value >= 0 && value <= FLT_MAX;
    }
    return is_good;
}

/* nested scales with the offset beside each. */
static enum dlm_status pair_nested(struct dlm_ctx *ctx, const struct dlm_tensor_info *t,
                                   const struct dlm_tensor_info *nested, int64_t blocks,
                                   double offset, struct dlm_bnb_weight *w)
{
    const size_t num = (size_t)((blocks + DLM_NF4_NESTED - 1) / DLM_NF4_NESTED);

    if (!nested || nested->dtype != DLM_DTYPE_F32 || nested->bytes != num * sizeof(float))
        return fail(ctx, t, DLM_ERR_PARSE, "its nested_absmax does not go with its shape");
    if (!are_scales(nested))
        return fail(ctx, t, DLM_ERR_PARSE, "its nested_absmax has numbers that are no scales");
    if (!(fabs(offset) <= (double)FLT_MAX))
        return fail(ctx, t, DLM_ERR_PARSE, "its quant_state has no nested_offset");
    w->nested = dlm_alloc_array(ctx, num, 2 * sizeof(*w->nested));
    if (!w->nested)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < num; i++) {
        memcpy(&w->nested[2 * i], nested->data + i * sizeof(float), sizeof(float));
        w->nested[2 * i + 1] = (float)offset;
    }
    w->view.nested = (const uint8_t *)w->nested;
    return DLM_OK;
}

static enum dlm_status open_parts(struct dlm_ctx *ctx, const struct dlm_checkpoint *ckpt,
                                  const struct dlm_tensor_info *t, const struct state *s,
                                  struct dlm_bnb_weight *w)
{
    const struct dlm_tensor_info *absmax = find_beside(ckpt, t, ".absmax");
    const int64_t len = s->rows * s->cols, blocks = (len + DLM_NF4_BLOCK - 1) / DLM_NF4_BLOCK;
    const bool is_double = absmax && absmax->dtype == DLM_DTYPE_U8;

    if (t->dtype != DLM_DTYPE_U8 || t->bytes != (size_t)((len + 1) / 2))
        return fail(ctx, t, DLM_ERR_PARSE, "its codes do not go with its shape");
    if (!absmax || (!is_double && absmax->dtype != DLM_DTYPE_F32) ||
        absmax->bytes != (size_t)blocks * (is_double ? 1 : sizeof(float)))
        return fail(ctx, t, DLM_ERR_PARSE, "its absmax does not go with its shape");
    if (!is_table(find_beside(ckpt, t, ".quant_map"), 16, dlm_nf4_value) ||
        !is_table(find_beside(ckpt, t, ".nested_quant_map"), 256, dlm_dynamic_map))
        return fail(ctx, t, DLM_ERR_UNSUPPORTED, "its quant_map is another");
    if (!is_double && !are_scales(absmax))
        return fail(ctx, t, DLM_ERR_PARSE, "its absmax has numbers that are no scales");
    w->rows = s->rows;
    w->cols = s->cols;
    w->view = (struct dlm_quant_view){is_double ? DLM_DTYPE_NF4_DQ : DLM_DTYPE_NF4, t->data,
                                      absmax->data, NULL};
    return is_double ? pair_nested(ctx, t, find_beside(ckpt, t, ".nested_absmax"), blocks,
                                   s->offset, w)
                     : DLM_OK;
}

enum dlm_status dlm_bnb_open(struct dlm_ctx *ctx, const struct dlm_checkpoint *ckpt,
                             const struct dlm_tensor_info *t, struct dlm_bnb_weight **out)
{
    const struct dlm_tensor_info *text = find_beside(ckpt, t, STATE "nf4");
    struct dlm_bnb_weight *w = NULL;
    struct state s = {0};

    *out = NULL;
    if (find_beside(ckpt, t, STATE "fp4"))
        return fail(ctx, t, DLM_ERR_UNSUPPORTED, "it is in bitsandbytes' FP4");
    if (!strcmp(t->st_type, "I8"))
        return fail(ctx, t, DLM_ERR_UNSUPPORTED, "it is in 8 bits (LLM.int8)");
    if (!text)
        return DLM_OK;
    enum dlm_status st = read_state(ctx, t, text, &s);
    if (!st) {
        w = dlm_alloc(ctx, sizeof(*w));
        st = w ? open_parts(ctx, ckpt, t, &s, w) : DLM_ERR_MEMORY;
    }
    if (st)
        dlm_bnb_close(&w);
    *out = w;
    return st;
}

void dlm_bnb_close(struct dlm_bnb_weight **weight)
{
    if (!*weight)
        return;
    dlm_free((*weight)->nested);
    dlm_free(*weight);
    *weight = NULL;
}

bool dlm_bnb_is_part(const struct dlm_tensor_info *t, const char *of)
{
    static const char *const ends[] = {".absmax", ".quant_map", ".nested_absmax",
                                       ".nested_quant_map", STATE "nf4"};
    const size_t len = strlen(of);

    for (size_t i = 0; !strncmp(t->name, of, len) && i < DLM_ARRAY_LEN(ends); i++)
        if (!strcmp(t->name + len, ends[i]))
            return true;
    return false;
}
