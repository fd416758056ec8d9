/* Scalar formulas against computations of another kind: every half and bf16 by ldexp, conversions
 * by the nearest neighbour, activations in f64, Philox by its published vectors. */
#include "base/attr.h"
#include "base/rng.h"
#include "base/dtype.h"
#include "base/scalar.h"
#include "tests/check.h"

/* --- 16-bit floats --- */

/* Value of a small float of the given widths, by definition. */
static double value_of(uint32_t bits, int mantissa_bits, int exponent_bits)
{
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = (int)(bits >> mantissa_bits & ((1u << exponent_bits) - 1));
    const double mantissa = bits & ((1u << mantissa_bits) - 1);
    const double sign = bits >> (mantissa_bits + exponent_bits) & 1 ? -1 : 1;

    if (exponent == (1 << exponent_bits) - 1)
        return mantissa != 0 ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

/* Round to nearest even by search among the 2^15 magnitudes. */
static uint32_t nearest(float x, int mantissa_bits, int exponent_bits)
{
    const uint32_t inf = ((1u << exponent_bits) - 1) << mantissa_bits;
    const uint32_t sign = signbit(x) ? 0x8000u : 0;
    const double want = fabs((double)x);
    uint32_t low = 0, high = inf;

    if (isinf(x))
        return sign | inf;
    while (high - low > 1) {
        const uint32_t middle = (low + high) / 2;
        if (value_of(middle, mantissa_bits, exponent_bits) <= want)
            low = middle;
        else
            high = middle;
    }
    /* the number after the largest one, as if exponents went on */
    const double a = value_of(low, mantissa_bits, exponent_bits);
    const double b = high == inf ? a + ldexp(1, ilogb(a) - mantissa_bits)
                                 : value_of(high, mantissa_bits, exponent_bits);
    if (want - a == b - want)
        return sign | (low & 1 ? high : low);
    return sign | (want - a < b - want ? low : high);
}

static void test_widening(void)
{
    int wrong = 0;

    check_case("every half and bf16 to f32");
    for (uint32_t h = 0; h < 65536; h++) {
        const double f16 = value_of(h, 10, 5), bf16 = value_of(h, 7, 8);
        const float a = dlm_f16_to_f32(h), b = dlm_bf16_to_f32(h);
        wrong += isnan(f16) ? !isnan(a) : (double)a != f16 || !signbit(a) != !signbit(f16);
        wrong += isnan(bf16) ? !isnan(b) : (double)b != bf16 || !signbit(b) != !signbit(bf16);
        /* and back: NaN stays one */
        wrong += isnan(f16) ? !isnan(dlm_f16_to_f32(dlm_f32_to_f16(a))) : dlm_f32_to_f16(a) != h;
        wrong += isnan(bf16) ? !isnan(dlm_bf16_to_f32(dlm_f32_to_bf16(b)))
                             : dlm_f32_to_bf16(b) != h;
    }
    CHECK_INT(wrong, 0);
}

static void narrow(float x)
{
    if (isnan(x)) {
        CHECK(isnan(dlm_f16_to_f32(dlm_f32_to_f16(x))));
        CHECK(isnan(dlm_bf16_to_f32(dlm_f32_to_bf16(x))));
        return;
    }
    const uint32_t f16 = nearest(x, 10, 5), bf16 = nearest(x, 7, 8);
    if (!CHECK(dlm_f32_to_f16(x) == f16) || !CHECK(dlm_f32_to_bf16(x) == bf16))
        printf("     %a: got %04x, %04x, want %04x, %04x\n", (double)x, dlm_f32_to_f16(x),
               dlm_f32_to_bf16(x), f16, bf16);
}

static void test_narrowing(void)
{
    struct dlm_rng rng;

    check_case("f32 to half and bf16: random bits");
    dlm_rng_init(&rng, 1, 0);
    for (int i = 0; i < 400000; i++)
        narrow(DLM_AS_F32(dlm_rng_next(&rng)));
    for (int i = 0; i < 400000; i++) /* the exponents that halves have */
        narrow(ldexpf(dlm_rng_uniform(&rng) - 0.5f, (int)dlm_rng_below(&rng, 46) - 27));

    check_case("f32 to half and bf16: ties and their neighbours");
    for (uint32_t h = 0; h < 0x7c00; h++) {
        const double next = h + 1 < 0x7c00 ? value_of(h + 1, 10, 5) : 65536;
        const float tie = (float)((value_of(h, 10, 5) + next) / 2);
        for (int side = -1; side <= 1; side++) {
            const float x = side ? nextafterf(tie, side * INFINITY) : tie;
            narrow(x);
            narrow(-x);
        }
        const float coarse = DLM_AS_F32(h << 16 | 0x8000u);
        narrow(coarse);
        narrow(nextafterf(coarse, 0));
        narrow(-nextafterf(coarse, INFINITY));
    }
    narrow(3.4028235e38f);
    narrow(DLM_AS_F32(0x7f7f8000u)); /* rounds to infinity in bf16 */
    narrow(1e-45f);
    narrow(NAN);
    narrow(DLM_AS_F32(0x7f800001u)); /* a NaN whose high half alone would be infinity */

    check_case("arrays");
    float in[37], out[37];
    uint16_t half[37];
    for (int i = 0; i < 37; i++)
        in[i] = sinf((float)i) * 100;
    CHECK(dlm_dtype_from_f32(DLM_DTYPE_F16, in, half, 37));
    CHECK(dlm_dtype_to_f32(DLM_DTYPE_F16, half, out, 37));
    for (int i = 0; i < 37; i++)
        CHECK(half[i] == nearest(in[i], 10, 5) && (double)out[i] == value_of(half[i], 10, 5));
    CHECK(dlm_dtype_from_f32(DLM_DTYPE_BF16, in, half, 37));
    CHECK(dlm_dtype_to_f32(DLM_DTYPE_BF16, half, out, 37));
    for (int i = 0; i < 37; i++)
        CHECK(half[i] == nearest(in[i], 7, 8) && (double)out[i] == value_of(half[i], 7, 8));
}

/* --- activations --- */

static double gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

static double gelu_erf(double x)
{
    return 0.5 * x * erfc(-x / sqrt(2));
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double quick_gelu(double x)
{
    return x / (1 + exp(-1.702 * x));
}

static double slope(double (*f)(double), double x)
{
    const double h = 1e-5;
    return (f(x + h) - f(x - h)) / (2 * h);
}

static void test_activations(void)
{
    static double (*const exact[])(double) = {gelu_tanh, gelu_erf, silu, quick_gelu};
    double worst = 0;

    check_case("erf");
    for (int i = -60000; i <= 60000; i++) {
        const float x = (float)i / 10000;
        worst = fmax(worst, fabs((double)dlm_erf(x) - erf((double)x)));
    }
    CHECK(worst < 2e-7);
    CHECK(dlm_erf(0) == 0 && dlm_erf(1e30f) == 1 && dlm_erf(-1e30f) == -1);
    CHECK(fabs((double)dlm_erf(1e-20f) / 1.1283791670955126e-20 - 1) < 1e-6);

    check_case("tanh");
    for (int i = -60000; i <= 60000; i++) {
        const double x = (double)(float)((float)i / 5000), want = tanh(x);
        const double grad = 1 / (cosh(x) * cosh(x));
        worst = fmax(i == -60000 ? 0 : worst, fabs((double)dlm_tanh((float)x) - want) -
                                                  3e-7 * fabs(want));
        worst = fmax(worst, fabs((double)dlm_tanh_grad((float)x) - grad) - 3e-6 * grad);
    }
    CHECK(worst <= 0);
    CHECK(dlm_tanh(0) == 0 && dlm_tanh(1e30f) == 1 && dlm_tanh(-1e30f) == -1);
    CHECK(dlm_tanh_grad(0) == 1 && dlm_tanh_grad(1e30f) == 0 && dlm_tanh_grad(-1e30f) == 0);
    CHECK(dlm_tanh(1e-20f) == 1e-20f);

    check_case("activations");
    for (uint32_t kind = 0; kind < DLM_ARRAY_LEN(exact); kind++) {
        for (int i = -3000; i <= 3000; i++) {
            const float x = (float)i / 200;
            const double want = exact[kind](x), grad = slope(exact[kind], x);
            if (!CHECK(fabs((double)dlm_act(kind, x) - want) <= 2e-6 * (0.1 + fabs(want))) ||
                !CHECK(fabs((double)dlm_act_grad(kind, x) - grad) <= 2e-6))
                printf("     kind %u at %g: got %.9g, %.9g, want %.9g, %.9g\n", kind, (double)x,
                       (double)dlm_act(kind, x), (double)dlm_act_grad(kind, x), want, grad);
        }
        for (int side = -1; side <= 1; side += 2) { /* where naive formulas overflow */
            const float far[] = {50, 100, 1e4f, 1e20f, 3e38f};
            for (int i = 0; i < 5; i++) {
                const float x = (float)side * far[i];
                CHECK(side > 0 ? dlm_act(kind, x) == x : fabsf(dlm_act(kind, x)) < 1e-18f);
                CHECK(fabsf(dlm_act_grad(kind, x) - (side > 0 ? 1 : 0)) < 1e-18f);
            }
        }
        CHECK(dlm_act(kind, 0) == 0 && dlm_act_grad(kind, 0) == 0.5f);
    }
}

/* --- random numbers --- */

static void test_philox(void)
{
    /* kat_vectors of Random123 */
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    uint32_t out[4];
    struct dlm_rng rng;

    check_case("Philox");
    for (size_t i = 0; i < 3; i++) {
        dlm_philox4x32(known[i].counter, known[i].key, out);
        CHECK(!memcmp(out, known[i].out, sizeof(out)));
    }
    dlm_rng_init(&rng, 3, 0);
    for (int i = 0; i < 20000; i++) {
        uint32_t c[4], k[2];
        for (int w = 0; w < 6; w++)
            *(w < 4 ? &c[w] : &k[w - 4]) = dlm_rng_next(&rng);
        dlm_philox4x32(c, k, out);
        CHECK(dlm_philox(c[0], c[1], c[2], c[3], k[0], k[1]) == out[0]);
        CHECK(dlm_mulhi(c[0], c[1]) == (uint32_t)((uint64_t)c[0] * c[1] >> 32));
    }

    check_case("streams");
    dlm_rng_init(&rng, 0x123456789abcdefull, 0xfedcba9876543210ull);
    const uint32_t key[2] = {0x89abcdef, 0x01234567};
    for (uint32_t block = 0; block < 5; block++) {
        dlm_philox4x32((uint32_t[]){block, 0, 0x76543210, 0xfedcba98}, key, out);
        for (int w = 0; w < 4; w++)
            CHECK(dlm_rng_next(&rng) == out[w]);
    }
    rng.counter[0] = ~0u; /* the carry */
    (void)dlm_rng_next(&rng);
    CHECK(rng.counter[0] == 0 && rng.counter[1] == 1);
}

/* The word of a stream that is next; for finding which words are thrown away. */
static uint32_t peek(const struct dlm_rng *rng)
{
    struct dlm_rng copy = *rng;
    return dlm_rng_next(&copy);
}

static void test_below(void)
{
    static const uint32_t ns[] = {1, 2, 3, 6, 7, 1000, 0x80000000u, 0x80000001u, 0xc0000000u,
                                  0xffffffffu};
    struct dlm_rng rng;

    /* a word is taken only among the last floor(2^32 / n) n words, so each remainder has as many */
    check_case("below: unbiased by construction");
    dlm_rng_init(&rng, 4, 0);
    for (size_t i = 0; i < sizeof(ns) / sizeof(ns[0]); i++) {
        const uint64_t n = ns[i], whole = (1ull << 32) / n * n;
        int thrown = 0;
        for (int k = 0; k < 2000; k++) {
            struct dlm_rng before = rng;
            uint32_t word = peek(&before), got = dlm_rng_below(&rng, ns[i]);
            while ((1ull << 32) - word > whole) {
                (void)dlm_rng_next(&before);
                word = peek(&before);
                thrown++;
            }
            CHECK(got == word % n && got < n);
            (void)dlm_rng_next(&before);
            CHECK(before.used == rng.used && before.counter[0] == rng.counter[0]);
        }
        const double rate = (double)((1ull << 32) - whole) / 4294967296.0;
        CHECK(fabs(thrown / (2000.0 + thrown) - rate) < 0.05);
    }

    check_case("uniform");
    double sum = 0, low = 1, high = 0;
    for (int i = 0; i < 100000; i++) {
        const double u = (double)dlm_rng_uniform(&rng);
        sum += u;
        low = fmin(low, u);
        high = fmax(high, u);
    }
    CHECK(low >= 0 && low < 1e-3 && high < 1 && high > 0.999);
    CHECK(fabs(sum / 100000 - 0.5) < 3 * 0.2887 / sqrt(100000));
    CHECK(dlm_uniform(0) == 0 && dlm_uniform(~0u) == 1 - 0x1p-24f);
}

int main(void)
{
    test_widening();
    test_narrowing();
    test_activations();
    test_philox();
    test_below();
    return check_summary();
}
