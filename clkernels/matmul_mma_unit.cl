/* A matrix unit (cl_intel_subgroup_matrix_multiply_accumulate) for operands of type DLM_B:
 * MULTIPLY(a, b, sum). The host defines DLM_REQUIRE_SUBGROUP, and what the extension's functions
 * begin with: DLM_MATRIX_PREFIX. A unit multiplies 8 rows by as many columns as a subgroup has
 * lanes, SUBGROUP, 16 of k at a time. Of the first operand a lane brings 8 elements (of one k, or
 * where there are 8 lanes two k of 4 pairs), of the second a column, two k to a word. */

/* Emulated units have both sizes, one a type, so that tests see both. */
#ifdef DLM_MATRIX_EMULATED
#define SUBGROUP EMULATED
#else
#define SUBGROUP DLM_MATRIX_LANES
#endif

#define BLOCK_M 8u
#define BLOCK_K 16u

#if SUBGROUP == 16
#define FRAGMENT short8
#else
#define FRAGMENT int8
#endif

#ifdef DLM_MATRIX_EMULATED
/* The functions of the extension, as it defines them: element k of a row of a comes from the lane
 * that brings it. */
#define WIDEN_BF16(x) dlm_bf16_to_f32((ushort)(x))
#define WIDEN_F16(x) dlm_f16_to_f32((ushort)(x))
#define ROW(r)                                                                                     \
    acc.s##r += x * DLM_PASTE(WIDEN_, DLM_B)(                                                      \
                        (uint)sub_group_broadcast((int)a.s##r, from) >> shift & 0xffffu);
static float8 emulated_mad(FRAGMENT a, int8 b, float8 acc)
{
    int words[8];

    vstore8(b, 0, words);
    for (uint k = 0; k < BLOCK_K; k++) {
        const float x = DLM_PASTE(WIDEN_, DLM_B)((uint)words[k / 2u] >> k % 2u * 16u & 0xffffu);
        const uint from = k * SUBGROUP / BLOCK_K, shift = SUBGROUP == 16 ? 0u : k % 2u * 16u;
        ROW(0) ROW(1) ROW(2) ROW(3) ROW(4) ROW(5) ROW(6) ROW(7)
    }
    return acc;
}
#define MULTIPLY emulated_mad
#else
#define MULTIPLY DLM_PASTE(DLM_MATRIX_PREFIX, DLM_PASTE(MAD, _matrix_mad_k16))
#endif
