/* Rows of attention and its backward: masks, grouped heads, head sizes, storage types. */
#include "harness.h"

#include <math.h>

#define F32 DLM_DTYPE_F32
#define F16 DLM_DTYPE_F16
#define BF16 DLM_DTYPE_BF16
#define FULL DLM_ATTENTION_FULL
#define PREFIX DLM_ATTENTION_PREFIX

#define Q(b, t, h, d) {.ndim = 4, .shape = {b, t, h, d}}
#define KV(type, b, s, h, d) {.dtype = (type), .ndim = 4, .shape = {b, s, h, d}}
/* q_start, kv_len, prefix_len, num_q of each batch row */
#define MASK(b, ...)                                                                               \
    {.dtype = DLM_DTYPE_I32, .ndim = 2, .shape = {b, 4}, .fill = FILL_DATA_I32,                    \
     .data = (int32_t[]){__VA_ARGS__}, .data_len = 4 * (b)}

/* A row of both directions: kind of k and v; sizes; the mask's rows. */
#define FORWARD(name, scale, mode, other, type, b, t, s, h, hk, d, ...)                            \
    {name, &dlm_op_attention, {.attention = {scale, mode}}, 4,                                     \
     {Q(b, t, h, d), KV(type, b, s, hk, d), KV(type, b, s, hk, d), MASK(b, __VA_ARGS__)},          \
     TOL_PRODUCT, other, 0}
#define BACKWARD(name, scale, mode, other, type, b, t, s, h, hk, d, ...)                           \
    {name, &dlm_op_attention_backward, {.attention = {scale, mode}}, 7,                            \
     {Q(b, t, h, d), KV(type, b, s, hk, d), KV(type, b, s, hk, d), Q(b, t, h, d),                  \
      {.ndim = 3, .shape = {b, h, t}}, Q(b, t, h, d), MASK(b, __VA_ARGS__)},                       \
     TOL_PRODUCT, other, 0}
#define BOTH(...) FORWARD(__VA_ARGS__), BACKWARD(__VA_ARGS__)

/* Both directions with q, k and v in slices of larger tensors: other strides of batch rows, queries
 * or keys, and heads. */
#define SLICE(type, b, t, h, d)                                                                    \
    {.dtype = (type), .ndim = 4, .shape = {b, t, h, d}, .view = VIEW_SLICED}
#define INNER(type, b, t, h, d)                                                                    \
    {.dtype = (type), .ndim = 4, .shape = {b, t, h, d}, .view = VIEW_INNER}
#define INNER_BOTH(name, scale, mode, other, type, b, t, s, h, hk, d, ...)                         \
    {name, &dlm_op_attention, {.attention = {scale, mode}}, 4,                                     \
     {INNER(F32, b, t, h, d), INNER(type, b, s, hk, d), INNER(type, b, s, hk, d),                  \
      MASK(b, __VA_ARGS__)}, TOL_PRODUCT, other, 0},                                               \
        {name, &dlm_op_attention_backward, {.attention = {scale, mode}}, 7,                        \
         {INNER(F32, b, t, h, d), INNER(type, b, s, hk, d), INNER(type, b, s, hk, d),              \
          Q(b, t, h, d), {.ndim = 3, .shape = {b, h, t}}, Q(b, t, h, d), MASK(b, __VA_ARGS__)},    \
         TOL_PRODUCT, other, 0}
#define SLICED(name, scale, mode, other, type, b, t, s, h, hk, d, ...)                             \
    {name, &dlm_op_attention, {.attention = {scale, mode}}, 4,                                     \
     {SLICE(F32, b, t, h, d), SLICE(type, b, s, hk, d), SLICE(type, b, s, hk, d),                  \
      MASK(b, __VA_ARGS__)}, TOL_PRODUCT, other, 0},                                               \
        {name, &dlm_op_attention_backward, {.attention = {scale, mode}}, 7,                        \
         {SLICE(F32, b, t, h, d), SLICE(type, b, s, hk, d), SLICE(type, b, s, hk, d),              \
          Q(b, t, h, d), {.ndim = 3, .shape = {b, h, t}}, Q(b, t, h, d), MASK(b, __VA_ARGS__)},    \
         TOL_PRODUCT, other, 0}

/* Both directions of PREFIX with a soft cap and a window. */
#define MORE(name, cap, window, other, type, b, t, s, h, hk, d, ...)                               \
    {name, &dlm_op_attention, {.attention = {0.25f, PREFIX, cap, window}}, 4,                      \
     {Q(b, t, h, d), KV(type, b, s, hk, d), KV(type, b, s, hk, d), MASK(b, __VA_ARGS__)},          \
     TOL_PRODUCT, other, 0},                                                                       \
        {name, &dlm_op_attention_backward, {.attention = {0.25f, PREFIX, cap, window}}, 7,         \
         {Q(b, t, h, d), KV(type, b, s, hk, d), KV(type, b, s, hk, d), Q(b, t, h, d),              \
          {.ndim = 3, .shape = {b, h, t}}, Q(b, t, h, d), MASK(b, __VA_ARGS__)},                   \
         TOL_PRODUCT, other, 0}

/* Both directions of PREFIX where operands may be rounded to bf16. */
#define ROUNDED(name, scale, cap, window, other, type, b, t, s, h, hk, d, ...)                     \
    {name, &dlm_op_attention, {.attention = {scale, PREFIX, cap, window, BF16}}, 4,                \
     {Q(b, t, h, d), KV(type, b, s, hk, d), KV(type, b, s, hk, d), MASK(b, __VA_ARGS__)},          \
     TOL_PRODUCT_16, other, 0},                                                                    \
        {name, &dlm_op_attention_backward, {.attention = {scale, PREFIX, cap, window, BF16}}, 7,   \
         {Q(b, t, h, d), KV(type, b, s, hk, d), KV(type, b, s, hk, d), Q(b, t, h, d),              \
          {.ndim = 3, .shape = {b, h, t}}, Q(b, t, h, d), MASK(b, __VA_ARGS__)},                   \
         TOL_PRODUCT_16, other, 0}

static const union dlm_attrs no_scale = {.attention = {1, PREFIX}};
static const union dlm_attrs full = {.attention = {0.25f, FULL}};
static const union dlm_attrs prefix = {.attention = {0.25f, PREFIX}};
static const union dlm_attrs wider = {.attention = {0.25f, PREFIX, 0, 9}};

/* Keys of 8 elements: 9 that there are, 3 that were never written. */
#define EIGHT(x) x, -(x), 2 * (x), 1 - (x), (x) * (x), 1, (x) + 1, (x) / 3
static const float unwritten[] = {
    EIGHT(0.5f), EIGHT(-0.7f), EIGHT(1.1f), EIGHT(0.2f), EIGHT(-1.3f), EIGHT(0.9f), EIGHT(-0.1f),
    EIGHT(0.4f), EIGHT(1.7f), EIGHT(NAN), EIGHT(NAN), EIGHT(NAN),
};
#define UNWRITTEN                                                                                  \
    {.ndim = 4, .shape = {1, 12, 1, 8}, .fill = FILL_DATA_F32, .data = unwritten,                  \
     .data_len = DLM_ARRAY_LEN(unwritten)}

static const struct op_row rows[] = {
    BOTH("one of all", 1, FULL, NULL, F32, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1),
    BOTH("full", 0.25f, FULL, &prefix, F32, 2, 19, 19, 3, 3, 16, 0, 19, 0, 19, 0, 19, 0,
         19),
    BOTH("causal", 0.25f, PREFIX, &full, F32, 2, 35, 35, 2, 2, 16, 0, 35, 0, 35, 0, 35, 0,
         35),
    BOTH("prefix", 0.25f, PREFIX, &full, F32, 2, 35, 35, 2, 2, 16, 0, 35, 20, 35, 0, 35, 5,
         35),
    BOTH("scale matters", 0.25f, PREFIX, &no_scale, F32, 1, 20, 20, 2, 1, 16, 0, 20, 7, 20),
    BOTH("later queries", 0.25f, PREFIX, &full, F32, 2, 7, 90, 2, 2, 16, 70, 77, 20, 7, 30,
         37, 0, 7),
    BOTH("queries inside the prefix", 0.25f, PREFIX, &full, F32, 1, 9, 70, 2, 2, 16, 20, 66,
         40, 9),
    BOTH("room behind the keys", 0.25f, FULL, NULL, F32, 2, 20, 100, 2, 2, 16, 0, 33, 0, 20,
         0, 1, 0, 20),
    BOTH("fewer queries than rows", 0.25f, PREFIX, NULL, F32, 2, 40, 40, 2, 1, 16, 0, 33, 9,
         33, 0, 5, 0, 5),
    BOTH("no query, no key", 0.25f, PREFIX, NULL, F32, 3, 9, 20, 2, 1, 16, 0, 0, 0, 9, 0,
         20, 20, 0, 3, 12, 0, 9),
    BOTH("queries before the first key", 0.25f, PREFIX, NULL, F32, 1, 9, 20, 2, 1, 16, -4,
         20, 0, 9),
    BOTH("prefix longer than the keys", 0.25f, PREFIX, NULL, F32, 1, 9, 20, 2, 1, 16, 0,
         12, 30, 9),
    BOTH("kv_len past the keys", 0.25f, FULL, NULL, F32, 1, 9, 20, 2, 1, 16, 0, 25, 0, 12),

    BOTH("one kv head", 0.0625f, PREFIX, &full, BF16, 1, 70, 70, 8, 1, 256, 0, 70, 30, 66),
    BOTH("two kv heads", 0.125f, PREFIX, &full, F16, 2, 33, 40, 6, 2, 64, 0, 33, 0, 33, 7,
         40, 16, 33),
    BOTH("head of 1", 1, FULL, NULL, F32, 1, 5, 7, 2, 1, 1, 0, 7, 0, 5),
    BOTH("head of 7, bf16", 0.25f, PREFIX, &full, BF16, 2, 18, 18, 2, 2, 7, 0, 18, 3, 18, 0,
         18, 3, 18),
    BOTH("head of 7, f16", 0.25f, PREFIX, &full, F16, 1, 18, 18, 2, 1, 7, 0, 18, 3, 18),
    BOTH("head of 72", 0.118f, FULL, &prefix, F32, 1, 130, 130, 2, 2, 72, 0, 130, 0, 130),
    BOTH("head of 80, bf16", 0.118f, FULL, &prefix, BF16, 1, 49, 49, 2, 2, 80, 0, 49, 0, 49),
    BOTH("head of 256, f16", 0.0625f, PREFIX, &full, F16, 1, 21, 33, 2, 1, 256, 12, 33, 0,
         21),
    BOTH("many rows and keys", 0.25f, PREFIX, &full, F32, 1, 200, 300, 3, 1, 16, 100, 300,
         150, 200),
    BOTH("very many keys", 0.25f, PREFIX, &full, BF16, 1, 60, 1700, 2, 1, 16, 1600, 1660,
         10, 60),
    BOTH("one query", 0.25f, PREFIX, NULL, BF16, 2, 1, 300, 8, 2, 16, 250, 251, 100, 1, 299,
         300, 0, 1),

    MORE("soft cap", 0.5f, 0, &prefix, F32, 2, 35, 35, 4, 2, 16, 0, 35, 20, 35, 0, 35, 0, 35),
    MORE("soft cap, bf16, head of 256", 0.5f, 0, &prefix, BF16, 1, 21, 33, 2, 1, 256, 12, 33, 0,
         21),
    MORE("window of one", 0, 1, &prefix, F32, 1, 9, 9, 2, 1, 16, 0, 9, 0, 9),
    MORE("window", 0, 8, &wider, F32, 2, 35, 35, 4, 2, 16, 0, 35, 20, 35, 0, 35, 0, 33),
    MORE("window, prefix in the middle", 0, 8, &prefix, F16, 1, 70, 90, 2, 1, 72, 20, 88, 45, 68),
    MORE("window wider than the rows", 0, 300, NULL, F32, 1, 20, 20, 2, 1, 16, 0, 20, 0, 20),
    MORE("window past the keys", 0, 4, &prefix, F32, 2, 20, 30, 2, 1, 16, 10, 17, 0, 20, 0, 30,
         0, 20),
    MORE("window over many tiles", 0, 70, &prefix, BF16, 1, 330, 400, 3, 1, 16, 60, 390, 100,
         330),
    MORE("narrow window, many keys", 0, 5, &wider, F32, 1, 200, 300, 4, 2, 7, 100, 300, 0, 200),
    MORE("soft cap and window", 0.5f, 12, &prefix, BF16, 2, 66, 66, 4, 2, 16, 0, 66, 9, 66, 0, 60,
         0, 60),
    MORE("one query, window", 0.5f, 33, NULL, BF16, 2, 1, 300, 8, 2, 16, 250, 251, 100, 1, 299,
         300, 0, 1),

    ROUNDED("bf16 inside", 0.25f, 0, 0, &full, F32, 2, 35, 37, 4, 2, 16, 0, 35, 20, 35, 0, 35, 0,
            33),
    ROUNDED("bf16 inside, one of all", 1, 0, 0, NULL, F32, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1),
    ROUNDED("bf16 inside, odd head", 0.25f, 0, 0, NULL, BF16, 1, 18, 18, 2, 1, 7, 0, 18, 3, 18),
    ROUNDED("bf16 inside, head of 72", 0.118f, 0, 0, NULL, F32, 1, 130, 130, 2, 2, 72, 0, 130, 100,
            130),
    ROUNDED("bf16 inside, head of 256", 0.0625f, 0, 0, NULL, BF16, 1, 70, 70, 8, 1, 256, 0, 70, 30,
            66),
    ROUNDED("bf16 inside, f16 keys", 0.25f, 0, 0, NULL, F16, 1, 33, 40, 2, 1, 16, 7, 40, 16, 33),
    ROUNDED("bf16 inside, soft cap, window", 0.25f, 0.5f, 12, &prefix, BF16, 2, 66, 66, 4, 2, 16, 0,
            66, 9, 66, 0, 60, 0, 60),
    ROUNDED("bf16 inside, window over many tiles", 0.25f, 0, 70, NULL, F32, 1, 330, 400, 3, 1, 16,
            60, 390, 100, 330),
    ROUNDED("bf16 inside, one query", 0.0625f, 0, 0, NULL, BF16, 1, 1, 380, 8, 1, 256, 370, 371, 0,
            1),
    SLICED("slices", 0.25f, PREFIX, &full, F32, 2, 35, 37, 4, 2, 16, 0, 35, 20, 35, 0, 35, 0, 35),
    SLICED("slices, bf16, odd head", 0.25f, PREFIX, &full, BF16, 2, 19, 40, 3, 1, 7, 20, 39, 0, 19,
           0, 19, 0, 18),
    SLICED("slices, f16, head of 256", 0.0625f, PREFIX, &full, F16, 1, 21, 33, 2, 1, 256, 12, 33,
           0, 21),

    BOTH("one query, one kv head, many keys", 0.0625f, PREFIX, NULL, BF16, 1, 1, 380, 8, 1, 256,
         370, 371, 0, 1),
    BOTH("one query, f16, head of 72", 0.118f, PREFIX, NULL, F16, 2, 1, 300, 10, 2, 72, 230, 231, 0,
         1, 30, 31, 0, 1),
    BOTH("one query, f32, no key", 0.118f, PREFIX, NULL, F32, 2, 1, 200, 9, 1, 80, 0, 0, 0, 1, 130,
         131, 0, 1),
    MORE("three queries, window, soft cap", 0.5f, 90, &prefix, F32, 1, 3, 300, 12, 2, 128, 250, 253,
         0, 3),
    INNER_BOTH("heads of more", 0.25f, PREFIX, &full, F32, 2, 35, 37, 4, 2, 16, 0, 35, 20, 35, 0,
               35, 0, 35),
    INNER_BOTH("heads of more, bf16, head of 256", 0.0625f, PREFIX, &full, BF16, 1, 35, 37, 4, 1,
               256, 0, 35, 20, 35),
    INNER_BOTH("one query, heads of more", 0.25f, PREFIX, NULL, F16, 1, 1, 300, 4, 2, 16, 270, 271,
               0, 1),
    SLICED("one query, slices", 0.25f, PREFIX, NULL, BF16, 1, 1, 300, 4, 2, 16, 270, 271, 0, 1),
    BOTH("many heads, one kv head", 0.118f, PREFIX, &full, F32, 1, 90, 90, 12, 1, 64, 0, 90, 30,
         88),
    BOTH("head of 80, f32", 0.118f, PREFIX, &full, F32, 2, 70, 70, 4, 2, 80, 0, 70, 20, 70, 0, 60,
         0, 55),
    BOTH("head of 72, bf16", 0.118f, PREFIX, &full, BF16, 1, 70, 90, 6, 2, 72, 20, 85, 0, 66),

    {"keys that were never written", &dlm_op_attention, {.attention = {0.25f, PREFIX}}, 4,
     {Q(1, 9, 2, 8), UNWRITTEN, UNWRITTEN, MASK(1, 0, 9, 4, 9)}, TOL_PRODUCT, NULL, 0},
    {"keys that were never written", &dlm_op_attention_backward, {.attention = {0.25f, PREFIX}}, 7,
     {Q(1, 9, 2, 8), UNWRITTEN, UNWRITTEN, Q(1, 9, 2, 8), {.ndim = 3, .shape = {1, 2, 9}},
      Q(1, 9, 2, 8), MASK(1, 0, 9, 4, 9)}, TOL_PRODUCT, NULL, 0},
    /* what f16 has no number for until it is scaled */
    {"tiny gradients", &dlm_op_attention_backward, {.attention = {0.25f, PREFIX}}, 7,
     {Q(1, 33, 4, 16), KV(F32, 1, 40, 2, 16), KV(F32, 1, 40, 2, 16), Q(1, 33, 4, 16),
      {.ndim = 3, .shape = {1, 4, 33}}, {.ndim = 4, .shape = {1, 33, 4, 16}, .scale = 1e-20},
      MASK(1, 0, 33, 9, 33)}, TOL_PRODUCT, NULL, 0},
    {"large logits", &dlm_op_attention, {.attention = {1, PREFIX}}, 4,
     {{.ndim = 4, .shape = {1, 20, 2, 16}, .scale = 40},
      {.dtype = F32, .ndim = 4, .shape = {1, 20, 2, 16}, .scale = 60},
      KV(F32, 1, 20, 2, 16), MASK(1, 0, 20, 4, 20)},
     TOL_PRODUCT_16, NULL, 0}, /* of logits around 1e4, f32 keeps three digits behind the point */
    /* the last query alone sees the first key of another tile */
    BOTH("one key more", 0.25f, PREFIX, &full, F32, 1, 32, 72, 1, 1, 16, 33, 65, 0, 32),
    BOTH("head of 256, f32", 0.0625f, PREFIX, &full, F32, 1, 70, 70, 2, 1, 256, 0, 70, 30, 66),
    /* the first query alone sees the last key of a tile, the last of two tiles' keys 0 to 31 */
    MORE("one key less", 0, 5, NULL, F32, 1, 32, 110, 1, 1, 16, 67, 99, 0, 32),
    MORE("one query more", 0, 34, NULL, F32, 1, 70, 70, 1, 1, 16, 0, 70, 0, 70),
    /* parts of the keys whose largest logits are far apart */
    {"one query, large logits", &dlm_op_attention, {.attention = {1, PREFIX}}, 4,
     {{.ndim = 4, .shape = {1, 1, 2, 16}, .scale = 40},
      {.dtype = F32, .ndim = 4, .shape = {1, 2000, 2, 16}, .scale = 60},
      KV(F32, 1, 2000, 2, 16), MASK(1, 1990, 2000, 0, 1)},
     TOL_PRODUCT_16, NULL, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
