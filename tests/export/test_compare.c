/* How far numbers of an export may be off: what quantising gives is within the limits, whatever the
 * numbers; what is damaged is beyond them. tests/api/test_export.c compares whole files. */
#include "export/compare.h"

#include "check.h"
#include "gguf/blocks.h"

#define MAX_LEN 256
#define NUM_BLOCKS 500

static uint64_t state = 88172645463325252u; /* of xorshift64 (Marsaglia 2003) */

static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) * 0x1p-53;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform() + 1e-300)) * cos(6.283185307179586 * uniform());
}

/* One number of a block, of distributions that quantisers find easy and hard. */
static double number(int kind, int block, int i)
{
    const double x = normal(), u = uniform();

    switch (kind) {
    case 0:
        return x;
    case 1: /* of one sign */
        return u;
    case 2:
        return u - 0.5;
    case 3: /* near two values */
        return x / (fabs(x) + 0.01);
    case 4: /* one stands out */
        return i == block % 32 ? 1 : 0.01 * x;
    case 5: /* near one value */
        return (block % 2 ? 1 : -1) * (1 + 0.01 * x);
    case 6: /* heavy tails */
        return u < 0.05 ? 20 * x : x;
    default: /* of three sizes */
        return (x < 0 ? -1 : 1) * (u < 0.1 ? 1 : u < 0.3 ? 0.1 : 0.001);
    }
}

#define NUM_KINDS 8

static const enum dlm_ggml_type types[] = {DLM_GGML_TYPE_Q8_0, DLM_GGML_TYPE_Q5_0,
                                           DLM_GGML_TYPE_Q5_1, DLM_GGML_TYPE_Q4_0,
                                           DLM_GGML_TYPE_Q6_K, DLM_GGML_TYPE_Q5_K,
                                           DLM_GGML_TYPE_Q4_K};

/* The largest part of its limit that a number of the block is off by. */
static double part_of(const struct dlm_compare_limit *l, const float *want, const float *got)
{
    double most = 0, off = 0;

    for (int64_t i = 0; i < l->len; i++) {
        most = fmax(most, fabs((double)want[i]));
        off = fmax(off, fabs((double)got[i] - (double)want[i]));
    }
    return off / (most * (double)l->part + (double)l->least);
}

static void make_block(int kind, int block, double scale, int64_t len, float *x)
{
    for (int64_t i = 0; i < len; i++)
        x[i] = (float)(scale * number(kind, block, (int)i));
}

static void test_type(enum dlm_ggml_type type)
{
    const struct dlm_tensor_form form = {.block_type = (int)type};
    const struct dlm_tensor_info info = {.form = &form, .dtype = DLM_DTYPE_COUNT};
    const struct dlm_compare_limit limit = dlm_compare_limit_of(&info);
    float want[MAX_LEN], other[MAX_LEN], got[MAX_LEN];
    uint8_t bytes[512];
    int num_swapped = 0, num_lost = 0;
    double worst = 0;

    check_case(dlm_ggml_type_name((uint32_t)type));
    CHECK_INT(limit.len, (int64_t)dlm_ggml_type_info((uint32_t)type)->block_len);
    for (int kind = 0; kind < 2 * NUM_KINDS; kind++)
        for (int n = 0; n < NUM_BLOCKS; n++) {
            const double scale = exp2(kind < NUM_KINDS ? -3 - 3 * uniform() : -24 * uniform());
            make_block(kind % NUM_KINDS, n, scale, limit.len, want);
            if (!CHECK(dlm_ggml_quantize(type, want, limit.len, bytes)))
                return;
            dlm_ggml_dequantize(type, bytes, limit.len, got);
            worst = fmax(worst, part_of(&limit, want, got));
            if (!CHECK_INT(dlm_compare_find(&limit, want, got, limit.len), -1))
                return;
            if (kind)
                continue;
            make_block(0, n, scale, limit.len, other);
            num_swapped += dlm_compare_find(&limit, other, got, limit.len) >= 0;
            memset(got, 0, sizeof(got));
            num_lost += dlm_compare_find(&limit, want, got, limit.len) >= 0;
        }
    printf("# %s: %.2f of the limit at most\n", dlm_ggml_type_name((uint32_t)type), worst);
    CHECK(worst > 0.3 && worst <= 1);
    CHECK_INT(num_swapped, NUM_BLOCKS); /* each block of a tensor that is another */
    CHECK_INT(num_lost, NUM_BLOCKS);
}

static void test_plain(void)
{
    const struct dlm_tensor_info info = {.dtype = DLM_DTYPE_F16};
    const struct dlm_compare_limit limit = dlm_compare_limit_of(&info);
    float want[5] = {1, -2, NAN, INFINITY, 0}, got[5];

    check_case("numbers that are not in blocks");
    memcpy(got, want, sizeof(want));
    CHECK_INT(dlm_compare_find(&limit, want, got, 5), -1);
    got[4] = -0.0f;
    CHECK_INT(dlm_compare_find(&limit, want, got, 5), -1);
    got[4] = 0x1p-24f;
    CHECK_INT(dlm_compare_find(&limit, want, got, 5), 4);
    got[3] = -INFINITY;
    CHECK_INT(dlm_compare_find(&limit, want, got, 5), 3);
    got[2] = 1;
    CHECK_INT(dlm_compare_find(&limit, want, got, 5), 2);
    got[0] = NAN;
    CHECK_INT(dlm_compare_find(&limit, want, got, 5), 0);
}

int main(void)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(types); i++)
        test_type(types[i]);
    test_plain();
    return check_summary();
}
