/* Rows of matmul: shapes, strides, batches, storage types, rounding, addends. */
#include "harness.h"

#define F32 DLM_DTYPE_F32
#define F16 DLM_DTYPE_F16
#define BF16 DLM_DTYPE_BF16
#define Q8_0 DLM_DTYPE_Q8_0
#define NF4 DLM_DTYPE_NF4
#define NF4_DQ DLM_DTYPE_NF4_DQ
#define Q4_0 DLM_DTYPE_Q4_0
#define Q4_K DLM_DTYPE_Q4_K
#define Q5_K DLM_DTYPE_Q5_K
#define Q6_K DLM_DTYPE_Q6_K

/* Operands: dtype, view, shape. */
#define IN(type, seen, ...)                                                                        \
    {.dtype = (type), .view = (seen), .shape = {__VA_ARGS__},                                      \
     .ndim = sizeof((int[]){__VA_ARGS__}) / sizeof(int)}
#define X(...) IN(F32, VIEW_NONE, __VA_ARGS__)
#define X_T(...) IN(F32, VIEW_TRANSPOSED, __VA_ARGS__)
#define W(type, ...) IN(type, VIEW_NONE, __VA_ARGS__)
#define W_T(type, ...) IN(type, VIEW_TRANSPOSED, __VA_ARGS__) /* stored [.., N, K] */
#define SLICE(type, ...) IN(type, VIEW_SLICED, __VA_ARGS__)
#define ABSENT {0}

#define ROW(name, ...)                                                                             \
    {name, &dlm_op_matmul, {.matmul = {0}}, 2, {__VA_ARGS__}, TOL_PRODUCT, NULL, 0}
#define ROW_WITH(name, num, attributes, other, tolerance, ...)                                     \
    {name, &dlm_op_matmul, {.matmul = attributes}, num, {__VA_ARGS__}, tolerance, other, 0}
#define ATTRS(...) {__VA_ARGS__}
#define MATRIX(name, type, ...)                                                                    \
    {name, &dlm_op_matmul, {.matmul = {.round = (type)}}, 2, {__VA_ARGS__}, TOL_PRODUCT, NULL, 0}

static const union dlm_attrs plain = {.matmul = {0}};

/* Rows of very different size, each with elements of very different size. */
static const float one_large[] = {3e4f, 1e-3f, -2e-5f, 7, 1e-12f, 0, -0.3f, 5e-8f, 1e-20f, -2, 1};

/* A row's largest element meets a zero: what is left are those of 2^-25 of it and more. */
static const float all_but_one_small[] = {1,    3e-8f, -6e-8f, 1e-7f, 5e-8f, -3e-7f, 8e-8f, -4e-8f,
                                          2e-6f, 7e-8f, -9e-8f, 3e-8f, 6e-7f, -5e-8f, 4e-8f,
                                          -2e-7f};
static const float zero_first[] = {0,     1,  -2, 0.5f, 3,     -1, 0.25f, 2,
                                   0.75f, -3, 1,  4,    -0.5f, 2,  1,     -1};
#define OF_16(type, values, first, second, ...)                                                    \
    {.dtype = (type), .ndim = 2, .shape = {first, second}, .fill = FILL_DATA_F32, .data = values,  \
     .data_len = DLM_ARRAY_LEN(values), __VA_ARGS__}

static const struct op_row rows[] = {
    ROW("one element", X(1, 1), W(F32, 1, 1)),
    ROW("k of 1", X(33, 1), W(F32, 1, 35)),
    ROW("k of 1, transposed", X_T(33, 1), W_T(BF16, 1, 35)),
    ROW("n of 1", X(37, 130), W(F32, 130, 1)),
    ROW("n of 1, transposed", X_T(37, 130), W_T(F16, 130, 1)),
    ROW("odd sizes", X(67, 71), W(F32, 71, 131)),
    ROW("odd sizes, b transposed", X(67, 71), W_T(F32, 71, 131)),
    ROW("odd sizes, a transposed", X_T(67, 71), W(F32, 71, 131)),
    ROW("odd sizes, both transposed", X_T(67, 71), W_T(F32, 71, 131)),
    ROW("whole tiles", X(64, 128), W(F32, 128, 128)),
    ROW("whole tiles, b transposed", X(64, 128), W_T(F32, 128, 128)),
    ROW("aligned, past a tile", X_T(72, 40), W(BF16, 40, 136)),
    ROW("aligned, past a tile, b transposed", X(72, 40), W_T(F16, 40, 136)),

    ROW("f16", X(65, 40), W(F16, 40, 67)),
    ROW("f16, b transposed", X(65, 40), W_T(F16, 40, 67)),
    ROW("f16, odd k", X(5, 43), W_T(F16, 43, 129)),
    ROW("f16, both transposed", X_T(34, 47), W_T(F16, 47, 33)),
    ROW("bf16", X(65, 40), W(BF16, 40, 67)),
    ROW("bf16, b transposed", X(65, 40), W_T(BF16, 40, 67)),
    ROW("bf16, odd k", X(5, 43), W_T(BF16, 43, 129)),
    ROW("bf16, both transposed", X_T(34, 47), W_T(BF16, 47, 33)),
    ROW("f16 denormals", X(9, 20), {.dtype = F16, .ndim = 2, .shape = {20, 40}, .scale = 1e-6}),
    ROW("large and small", {.ndim = 2, .shape = {9, 20}, .scale = 1e15},
        {.dtype = BF16, .ndim = 2, .shape = {20, 40}, .scale = 1e-12}),

    ROW("slices", SLICE(F32, 19, 33), SLICE(F32, 33, 45)),
    ROW("slices, bf16", SLICE(F32, 19, 33), SLICE(BF16, 33, 45)),
    ROW("slices, f16, one row", SLICE(F32, 1, 33), SLICE(F16, 33, 45)),

    ROW("one row", X(1, 300), W_T(BF16, 300, 70)),
    ROW("one row, f32", X(1, 303), W_T(F32, 303, 70)),
    ROW("two rows, f16", X(2, 258), W_T(F16, 258, 9)),
    ROW("three rows, odd k", X(3, 259), W_T(BF16, 259, 9)),
    ROW("four rows", X(4, 512), W_T(F32, 512, 66)),
    ROW("five rows", X(5, 512), W_T(F32, 512, 66)),
    ROW("eight rows", X(8, 1016), W_T(BF16, 1016, 70)),
    ROW("eight rows, odd k", X(8, 517), W_T(F16, 517, 35)),
    ROW("nine rows", X(9, 512), W_T(BF16, 512, 35)),
    ROW("one row, a part of a step", X(1, 1016), W_T(F16, 1016, 37)),
    ROW("one row, parts of several steps", X(1, 32776), W_T(BF16, 32776, 3)),
    ROW("one row, f32, parts", X(1, 4104), W_T(F32, 4104, 17)),
    ROW("one row of a batch", X(3, 1, 72), W_T(BF16, 3, 72, 35)),
    ROW("one row, b along n", X(1, 300), W(BF16, 300, 70)),
    ROW("few columns", X(70, 96), W_T(F32, 96, 8)),
    ROW("few columns, b along n", X(70, 96), W(F32, 96, 8)),
    ROW("few columns, bf16", X(70, 96), W(BF16, 96, 3)),
    ROW("few rows of a transpose", X_T(8, 90), W(F32, 90, 200)),
    ROW("short sums", X(70, 8), W_T(F32, 8, 90)),
    ROW("short sums, b along n", X(70, 8), W(F32, 8, 90)),
    ROW("long sums", X(9, 2100), W(F32, 2100, 40)),
    ROW("long sums, b transposed", X(9, 2100), W_T(BF16, 2100, 40)),
    ROW("long sums, a transposed", X_T(8, 1100), W(F32, 1100, 24)),
    ROW("long sums, one row", X(1, 2100), W_T(BF16, 2100, 40)),

    ROW("batch", X(3, 33, 17), W(F32, 3, 17, 35)),
    ROW("batch, b transposed", X(3, 33, 17), W_T(BF16, 3, 17, 35)),
    ROW("batch, a transposed", X_T(3, 33, 17), W(F16, 3, 17, 35)),
    ROW("b for all of a", X(4, 5, 17), W(F32, 17, 35)),
    ROW("a for all of b", X(5, 17), W(F32, 4, 17, 35)),
    ROW("two batch dimensions", X(2, 1, 5, 17), W(BF16, 3, 17, 35)),
    ROW("sliced batch", SLICE(F32, 2, 3, 5, 17), SLICE(F32, 2, 3, 17, 19)),
    ROW("batch of long sums", X(2, 3, 1050), W_T(F32, 2, 1050, 5)),
    ROW("more batches than fit", X(3, 11001, 1, 2), W(F32, 3, 11001, 2, 1)),

    ROW_WITH("alpha", 2, ATTRS(.alpha = -0.25f), &plain, TOL_PRODUCT, X(33, 20), W(F32, 20, 40)),
    ROW_WITH("c", 3, ATTRS(0), NULL, TOL_PRODUCT, X(33, 20), W(F32, 20, 40), X(33, 40)),
    ROW_WITH("sliced c", 3, ATTRS(.alpha = 2), &plain, TOL_PRODUCT, X(33, 20), W(F16, 20, 40),
             SLICE(F32, 33, 40)),
    ROW_WITH("bias", 4, ATTRS(0), NULL, TOL_PRODUCT, X(33, 20), W_T(BF16, 20, 40), ABSENT, X(40)),
    ROW_WITH("c, bias and alpha", 4, ATTRS(.alpha = 3), &plain, TOL_PRODUCT, X(33, 20),
             W_T(BF16, 20, 40), X(33, 40), X(40)),
    ROW_WITH("addends of a vector", 4, ATTRS(.alpha = 3), &plain, TOL_PRODUCT, X(2, 70),
             W_T(BF16, 70, 41), X(2, 41), X(41)),
    ROW_WITH("addends of long sums", 4, ATTRS(.alpha = 3), &plain, TOL_PRODUCT, X(9, 1030),
             W_T(F32, 1030, 41), X(9, 41), X(41)),
    ROW_WITH("addends of a batch", 4, ATTRS(.alpha = 3), &plain, TOL_PRODUCT, X(2, 3, 9, 30),
             W(F32, 2, 3, 30, 41), X(2, 3, 9, 41), X(41)),

    /* Those that a library may do. */
    ROW_WITH("large, c and alpha", 3, ATTRS(.alpha = -2), &plain, TOL_PRODUCT, X(70, 65),
             W(F32, 65, 97), X(70, 97)),
    ROW_WITH("large, sliced c", 3, ATTRS(0), NULL, TOL_PRODUCT, X(70, 65), W(F32, 65, 97),
             SLICE(F32, 70, 97)),
    ROW_WITH("large, bias", 4, ATTRS(0), NULL, TOL_PRODUCT, X_T(70, 65), W(F32, 65, 97), ABSENT,
             X(97)),
    ROW_WITH("large, c and bias", 4, ATTRS(.alpha = 3), &plain, TOL_PRODUCT, X(70, 65),
             W(F32, 65, 97), X(70, 97), X(97)),
    ROW("large slices", SLICE(F32, 70, 65), SLICE(F32, 65, 97)),
    ROW("large, a transposed, b a slice", X_T(70, 65), SLICE(F32, 65, 97)),

    ROW("q8_0", X(37, 96), W_T(Q8_0, 96, 70)),
    ROW("q8_0, backward", X(37, 70), W(Q8_0, 70, 96)),
    ROW("q8_0, one row", X(1, 288), W_T(Q8_0, 288, 37)),
    ROW("nf4", X(37, 128), W_T(NF4, 128, 70)),
    ROW("nf4, backward", X(37, 70), W(NF4, 70, 128)),
    ROW("nf4, one row", X(1, 320), W_T(NF4, 320, 37)),
    ROW("nf4, one block", X(1, 64), W_T(NF4, 64, 1)),
    ROW("nf4_dq", X(37, 128), W_T(NF4_DQ, 128, 70)),
    ROW("nf4_dq, backward", X(37, 70), W(NF4_DQ, 70, 128)),
    ROW("nf4_dq, one row", X(1, 320), W_T(NF4_DQ, 320, 37)),
    ROW("nf4_dq, three rows", X(3, 256), W_T(NF4_DQ, 256, 75)),
    ROW("nf4_dq, many nested scales", X(9, 1024), W_T(NF4_DQ, 1024, 67)), /* 1072 blocks */
    ROW_WITH("nf4, slices, bias", 4, ATTRS(.alpha = 3), &plain, TOL_PRODUCT, X(9, 512),
             W_T(NF4, 512, 100), ABSENT, X(100)),
    ROW_WITH("q8_0, slices, c and bias", 4, ATTRS(.round = BF16, .alpha = 3), &plain,
             TOL_PRODUCT_16, X(9, 512), W_T(Q8_0, 512, 100), X(9, 100), X(100)),
    ROW_WITH("nf4_dq, slices, backward, c and bias", 4, ATTRS(.alpha = 3), &plain, TOL_PRODUCT,
             X(9, 100), W(NF4_DQ, 100, 512), X(9, 512), X(512)),
    ROW_WITH("nf4_dq in bf16", 4, ATTRS(.round = BF16, .alpha = 2), NULL, TOL_PRODUCT_16,
             X(37, 192), W_T(NF4_DQ, 192, 70), X(37, 70), X(70)),
    ROW_WITH("nf4 in bf16, backward", 3, ATTRS(.round = BF16), NULL, TOL_PRODUCT_16, X(37, 70),
             W(NF4, 70, 128), X(37, 128)),
    ROW_WITH("q8_0 in bf16, one row", 2, ATTRS(.round = BF16), NULL, TOL_PRODUCT_16, X(1, 288),
             W_T(Q8_0, 288, 70)),
    ROW_WITH("nf4 in f16", 2, ATTRS(.round = F16), NULL, TOL_PRODUCT_16, X(19, 192),
             W_T(NF4, 192, 70)),
    ROW_WITH("q8_0 in f16, backward", 2, ATTRS(.round = F16), NULL, TOL_PRODUCT_16, X(19, 70),
             W(Q8_0, 70, 96)),
    ROW_WITH("nf4_dq in f16, one row", 2, ATTRS(.round = F16), NULL, TOL_PRODUCT_16, X(1, 192),
             W_T(NF4_DQ, 192, 70)),

    ROW("q8_0, several rows, parts", X(5, 1312), W_T(Q8_0, 1312, 19)),
    ROW_WITH("nf4 in bf16, eight rows", 3, ATTRS(.round = BF16, .alpha = 2), NULL, TOL_PRODUCT_16,
             X(8, 640), W_T(NF4, 640, 35), X(8, 35)),
    ROW_WITH("nf4_dq in f16, eight rows", 2, ATTRS(.round = F16), NULL, TOL_PRODUCT_16, X(8, 576),
             W_T(NF4_DQ, 576, 35)),
    ROW_WITH("nf4_dq in bf16, one row, parts", 4, ATTRS(.round = BF16, .alpha = 2), NULL,
             TOL_PRODUCT_16, X(1, 2624), W_T(NF4_DQ, 2624, 37), X(1, 37), X(37)),
    ROW_WITH("nf4 in f16, one row", 2, ATTRS(.round = F16), NULL, TOL_PRODUCT_16, X(1, 2112),
             W_T(NF4, 2112, 21)),
    ROW_WITH("q8_0 in f16, one row", 2, ATTRS(.round = F16), NULL, TOL_PRODUCT_16, X(1, 4128),
             W_T(Q8_0, 4128, 21)),

    /* Blocks of ggml. */
    ROW("q4_0", X(37, 96), W_T(Q4_0, 96, 70)),
    ROW("q4_0, backward", X(37, 70), W(Q4_0, 70, 96)),
    ROW("q4_0, one block", X(1, 32), W_T(Q4_0, 32, 1)),
    ROW("q4_k", X(37, 256), W_T(Q4_K, 256, 70)),
    ROW("q4_k, backward", X(37, 35), W(Q4_K, 35, 512)),
    ROW("q4_k, one row", X(1, 768), W_T(Q4_K, 768, 37)),
    ROW("q5_k", X(37, 512), W_T(Q5_K, 512, 35)),
    ROW("q5_k, backward", X(37, 70), W(Q5_K, 70, 256)),
    ROW("q5_k, one block", X(1, 256), W_T(Q5_K, 256, 1)),
    ROW("q6_k", X(37, 256), W_T(Q6_K, 256, 70)),
    ROW("q6_k, backward", X(37, 35), W(Q6_K, 35, 512)),
    ROW("q6_k, one row", X(1, 768), W_T(Q6_K, 768, 37)),
    ROW_WITH("q4_0, slices, bias", 4, ATTRS(.alpha = 3), &plain, TOL_PRODUCT, X(9, 544),
             W_T(Q4_0, 544, 100), ABSENT, X(100)),
    ROW_WITH("q4_k, slices, c and bias", 4, ATTRS(.round = BF16, .alpha = 3), &plain,
             TOL_PRODUCT_16, X(9, 512), W_T(Q4_K, 512, 100), X(9, 100), X(100)),
    ROW_WITH("q5_k, slices, backward, c and bias", 4, ATTRS(.alpha = 3), &plain, TOL_PRODUCT,
             X(9, 100), W(Q5_K, 100, 512), X(9, 512), X(512)),
    ROW_WITH("q6_k, slices, backward", 2, ATTRS(.round = F16), NULL, TOL_PRODUCT_16, X(9, 100),
             W(Q6_K, 100, 512)),
    ROW_WITH("q4_0 in bf16, backward", 3, ATTRS(.round = BF16), NULL, TOL_PRODUCT_16, X(37, 70),
             W(Q4_0, 70, 96), X(37, 96)),
    ROW_WITH("q4_k in f16", 2, ATTRS(.round = F16), NULL, TOL_PRODUCT_16, X(19, 256),
             W_T(Q4_K, 256, 70)),
    ROW_WITH("q5_k in f16, backward", 2, ATTRS(.round = F16), NULL, TOL_PRODUCT_16, X(19, 70),
             W(Q5_K, 70, 256)),
    ROW_WITH("q6_k in bf16", 4, ATTRS(.round = BF16, .alpha = 2), NULL, TOL_PRODUCT_16, X(37, 256),
             W_T(Q6_K, 256, 70), X(37, 70), X(70)),
    ROW("q4_0, several rows, parts", X(5, 1312), W_T(Q4_0, 1312, 19)),
    ROW_WITH("q4_k in bf16, eight rows", 3, ATTRS(.round = BF16, .alpha = 2), NULL, TOL_PRODUCT_16,
             X(8, 768), W_T(Q4_K, 768, 35), X(8, 35)),
    ROW("q5_k, three rows", X(3, 512), W_T(Q5_K, 512, 75)),
    ROW_WITH("q6_k in f16, eight rows", 2, ATTRS(.round = F16), NULL, TOL_PRODUCT_16, X(8, 512),
             W_T(Q6_K, 512, 35)),
    ROW_WITH("q4_0 in f16, one row", 2, ATTRS(.round = F16), NULL, TOL_PRODUCT_16, X(1, 4128),
             W_T(Q4_0, 4128, 21)),
    ROW_WITH("q5_k in bf16, one row, parts", 4, ATTRS(.round = BF16, .alpha = 2), NULL,
             TOL_PRODUCT_16, X(1, 2560), W_T(Q5_K, 2560, 37), X(1, 37), X(37)),

    /* Halfway between two values of 16 bit, everywhere: rounding errors do not cancel. */
    ROW_WITH("round to bf16", 2, ATTRS(.round = BF16), &plain, TOL_PRODUCT,
             {.ndim = 2, .shape = {33, 40}, .fill = FILL_CONST, .scale = 1.0039},
             W_T(BF16, 40, 35)),
    ROW_WITH("round to f16", 2, ATTRS(.round = F16), &plain, TOL_PRODUCT,
             {.ndim = 2, .shape = {33, 40}, .fill = FILL_CONST, .scale = 1.00048}, W(F16, 40, 35)),
    ROW_WITH("round one row", 2, ATTRS(.round = BF16), &plain, TOL_PRODUCT,
             {.ndim = 2, .shape = {1, 80}, .fill = FILL_CONST, .scale = 1.0039}, W_T(BF16, 80, 35)),
    ROW_WITH("round one row to f16", 2, ATTRS(.round = F16), &plain, TOL_PRODUCT,
             {.ndim = 2, .shape = {1, 80}, .fill = FILL_CONST, .scale = 1.00048},
             W_T(F16, 80, 35)),
    ROW_WITH("round a transpose", 2, ATTRS(.round = BF16, .alpha = 2), &plain, TOL_PRODUCT,
             X_T(2, 33, 20), W(BF16, 2, 20, 35)),
    ROW_WITH("round long sums", 2, ATTRS(.round = BF16), NULL, TOL_PRODUCT, X(5, 1030),
             W_T(BF16, 1030, 35)),

    /* Those that matrix units may do: both operands of one 16-bit type, chunks of 8 along b. */
    MATRIX("matrix units, one slice", F16, X(33, 32), W_T(F16, 32, 40)),
    MATRIX("matrix units, short last slice", F16, X(35, 72), W_T(F16, 72, 45)),
    MATRIX("matrix units, b along n", F16, X(35, 72), W(F16, 72, 48)),
    MATRIX("matrix units, b along n, odd k", F16, X(37, 75), W(F16, 75, 72)),
    MATRIX("matrix units, few rows", F16, X(5, 64), W_T(F16, 64, 130)),
    MATRIX("matrix units, few columns", F16, X(70, 64), W_T(F16, 64, 3)),
    MATRIX("matrix units, whole tiles", F16, X(128, 64), W_T(F16, 64, 128)),
    MATRIX("matrix units, many tiles", F16, X(300, 40), W(F16, 40, 280)),
    MATRIX("matrix units, a transposed", F16, X_T(70, 96), W_T(F16, 96, 66)),
    MATRIX("matrix units, sliced a", F16, SLICE(F32, 70, 96), W_T(F16, 96, 66)),
    MATRIX("matrix units, batch", F16, X(3, 33, 40), W_T(F16, 3, 40, 35)),
    MATRIX("matrix units, b for all of a", F16, X(3, 33, 40), W(F16, 40, 64)),
    MATRIX("matrix units, a for all of b", F16, X(33, 40), W_T(F16, 2, 40, 35)),
    MATRIX("matrix units, long sums", F16, X(9, 2104), W_T(F16, 2104, 40)),
    MATRIX("matrix units, long sums along n", F16, X(9, 2101), W(F16, 2101, 40)),
    MATRIX("matrix units, bf16", BF16, X(35, 72), W_T(BF16, 72, 45)),
    MATRIX("matrix units, bf16, b along n", BF16, X(37, 75), W(BF16, 75, 72)),
    MATRIX("matrix units, bf16, batch", BF16, X(3, 33, 40), W_T(BF16, 3, 40, 35)),
    MATRIX("matrix units, bf16, long sums", BF16, X(9, 2104), W_T(BF16, 2104, 40)),
    MATRIX("matrix units, bf16, tiny by huge", BF16, {.ndim = 2, .shape = {9, 64}, .scale = 1e-28},
           {.dtype = BF16, .ndim = 2, .shape = {64, 40}, .scale = 1e28}),
    MATRIX("matrix units, bf16, huge by tiny", BF16, {.ndim = 2, .shape = {9, 64}, .scale = 1e28},
           {.dtype = BF16, .ndim = 2, .shape = {64, 40}, .scale = 1e-28}),
    MATRIX("matrix units, bf16, zeros", BF16,
           {.ndim = 2, .shape = {9, 64}, .fill = FILL_CONST, .scale = 0}, W(BF16, 64, 40)),
    MATRIX("matrix units, bf16, one large among small", BF16,
           {.ndim = 2, .shape = {9, 64}, .fill = FILL_DATA_F32, .data = one_large,
            .data_len = DLM_ARRAY_LEN(one_large)},
           W(BF16, 64, 40)),
    ROW_WITH("matrix units, alpha", 2, ATTRS(.round = F16, .alpha = -0.5f), &plain, TOL_PRODUCT,
             X(33, 32), W_T(F16, 32, 40)),
    ROW_WITH("matrix units, addends", 4, ATTRS(.round = F16, .alpha = 3), &plain, TOL_PRODUCT,
             X(2, 35, 40), W_T(F16, 2, 40, 41), SLICE(F32, 2, 35, 41), X(41)),

    ROW_WITH("round f32", 2, ATTRS(.round = BF16), &plain, TOL_PRODUCT,
             X(40, 33), W(F32, 33, 35)),

    /* Several groups of each kernel, which come in parts. */
    ROW("q8_0, one row, many columns", X(1, 96), W_T(Q8_0, 96, 150)),
    ROW("nf4, one row, many columns", X(1, 128), W_T(NF4, 128, 150)),
    ROW("nf4_dq, one row, many columns", X(1, 128), W_T(NF4_DQ, 128, 150)),
    ROW_WITH("nf4 in bf16, eight rows, many columns", 2, ATTRS(.round = BF16), NULL, TOL_PRODUCT_16,
             X(8, 128), W_T(NF4, 128, 150)),
    ROW_WITH("nf4_dq in f16, eight rows, many columns", 2, ATTRS(.round = F16), NULL,
             TOL_PRODUCT_16, X(8, 128), W_T(NF4_DQ, 128, 150)),
    ROW("q4_0, one row, many columns", X(1, 96), W_T(Q4_0, 96, 150)),
    ROW("q4_k, one row, many columns", X(1, 256), W_T(Q4_K, 256, 150)),
    ROW("q5_k, one row, many columns", X(1, 256), W_T(Q5_K, 256, 150)),
    ROW("q6_k, one row, many columns", X(1, 256), W_T(Q6_K, 256, 150)),
    ROW("q4_0, eight rows, many columns", X(8, 96), W_T(Q4_0, 96, 150)),
    ROW("q4_k, eight rows, many columns", X(8, 256), W_T(Q4_K, 256, 150)),
    ROW("q5_k, eight rows, many columns", X(8, 256), W_T(Q5_K, 256, 150)),
    ROW("q6_k, eight rows, many columns", X(8, 256), W_T(Q6_K, 256, 150)),
    ROW("bf16, many columns", X(70, 40), W(BF16, 40, 280)),
    ROW("many long sums", X(48, 1030), W_T(F32, 1030, 90)),
    MATRIX("matrix units, bf16, small ones of a row", BF16,
           OF_16(F32, all_but_one_small, 40, 64, .view = VIEW_NONE),
           OF_16(BF16, zero_first, 64, 40, .view = VIEW_TRANSPOSED)),
    MATRIX("matrix units, bf16, small ones of a column", BF16,
           OF_16(F32, zero_first, 40, 64, .view = VIEW_NONE),
           OF_16(BF16, all_but_one_small, 64, 40, .view = VIEW_TRANSPOSED)),
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
