/* Rows of embedding. Its panel kernels have a test of their own, test_embedding_panel.c. */
#include "harness.h"

#define IDS(n) {.dtype = DLM_DTYPE_I32, .ndim = 1, .shape = {n}, .fill = FILL_DATA_I32,            \
                .data = ids, .data_len = DLM_ARRAY_LEN(ids)}
#define TABLE(type, ...) {.dtype = type, .ndim = 2, .shape = {__VA_ARGS__}}
#define F(...) {.ndim = 2, .shape = {__VA_ARGS__}}
#define ABSENT {.ndim = 0}

/* The table of most rows has 11 rows; with first_row 5 it holds 5..15. Slots: 4, and others. */
static const int32_t ids[] = {0,  10, 11, 5, -1, 15, -4, 16, -5, INT32_MAX, INT32_MIN, 3, -2,
                              10, 4,  7,  0, -3};

static const union dlm_attrs not_scaled = {.embedding = {1.0f, 0}};
static const union dlm_attrs from_zero = {.embedding = {2.0f, 0}};

static const struct op_row rows[] = {
    {"one element", &dlm_op_embedding, {.embedding = {2.0f, 0}}, 5,
     {IDS(1), TABLE(DLM_DTYPE_F32, 1, 1)}, TOL_ELEMENTWISE, &not_scaled, 0},
    {"f32", &dlm_op_embedding, {.embedding = {2.0f, 0}}, 5, {IDS(37), TABLE(DLM_DTYPE_F32, 11, 67)},
     TOL_ELEMENTWISE, &not_scaled, 0},
    {"f16", &dlm_op_embedding, {.embedding = {2.0f, 0}}, 5, {IDS(37), TABLE(DLM_DTYPE_F16, 11, 67)},
     TOL_ELEMENTWISE, &not_scaled, 0},
    {"bf16", &dlm_op_embedding, {.embedding = {2.0f, 0}}, 5,
     {IDS(37), TABLE(DLM_DTYPE_BF16, 11, 67)}, TOL_ELEMENTWISE, &not_scaled, 0},
    {"q8_0", &dlm_op_embedding, {.embedding = {2.0f, 0}}, 5,
     {IDS(37), TABLE(DLM_DTYPE_Q8_0, 11, 96)}, TOL_ELEMENTWISE, &not_scaled, 0},
    {"nf4", &dlm_op_embedding, {.embedding = {2.0f, 0}}, 5,
     {IDS(37), TABLE(DLM_DTYPE_NF4, 11, 192)}, TOL_ELEMENTWISE, &not_scaled, 0},
    {"nf4_dq, a later slab", &dlm_op_embedding, {.embedding = {2.0f, 5}}, 5,
     {IDS(37), TABLE(DLM_DTYPE_NF4_DQ, 11, 1920), F(4, 1920), F(37, 1920)}, TOL_ELEMENTWISE,
     &from_zero, 0},
    {"q4_0", &dlm_op_embedding, {.embedding = {2.0f, 0}}, 5,
     {IDS(37), TABLE(DLM_DTYPE_Q4_0, 11, 96)}, TOL_ELEMENTWISE, &not_scaled, 0},
    {"q4_k", &dlm_op_embedding, {.embedding = {2.0f, 0}}, 5,
     {IDS(37), TABLE(DLM_DTYPE_Q4_K, 11, 768)}, TOL_ELEMENTWISE, &not_scaled, 0},
    {"q5_k, a later slab", &dlm_op_embedding, {.embedding = {2.0f, 5}}, 5,
     {IDS(37), TABLE(DLM_DTYPE_Q5_K, 11, 512), F(4, 512), F(37, 512)}, TOL_ELEMENTWISE, &from_zero,
     0},
    {"q6_k", &dlm_op_embedding, {.embedding = {2.0f, 0}}, 5,
     {IDS(37), TABLE(DLM_DTYPE_Q6_K, 11, 768)}, TOL_ELEMENTWISE, &not_scaled, 0},
    {"f16 denormals and zeros", &dlm_op_embedding, {.embedding = {1e6f, 0}}, 5,
     {IDS(37), {.dtype = DLM_DTYPE_F16, .ndim = 2, .shape = {11, 66}, .scale = 1e-6}},
     TOL_ELEMENTWISE, &not_scaled, 0},
    {"scale 0 means 1", &dlm_op_embedding, {.embedding = {0.0f, 0}}, 5,
     {IDS(37), TABLE(DLM_DTYPE_F32, 11, 67)}, TOL_EXACT, NULL, 0},
    {"features", &dlm_op_embedding, {.embedding = {2.0f, 0}}, 5,
     {IDS(37), TABLE(DLM_DTYPE_BF16, 11, 66), F(4, 66)}, TOL_ELEMENTWISE, &not_scaled, 0},
    {"base", &dlm_op_embedding, {.embedding = {2.0f, 0}}, 5,
     {IDS(37), TABLE(DLM_DTYPE_BF16, 11, 67), ABSENT, F(37, 67)}, TOL_ELEMENTWISE, &not_scaled, 0},
    {"a later slab", &dlm_op_embedding, {.embedding = {2.0f, 5}}, 5,
     {IDS(37), TABLE(DLM_DTYPE_BF16, 11, 67), F(4, 67), F(37, 67)}, TOL_ELEMENTWISE, &from_zero, 0},
    {"a later slab, f32", &dlm_op_embedding, {.embedding = {2.0f, 5}}, 5,
     {IDS(37), TABLE(DLM_DTYPE_F32, 11, 128), F(4, 128), F(37, 128)}, TOL_ELEMENTWISE, &from_zero,
     0},
    {"wide", &dlm_op_embedding, {.embedding = {45.25f, 0}}, 5,
     {IDS(18), TABLE(DLM_DTYPE_BF16, 11, 2048)}, TOL_ELEMENTWISE, &not_scaled, 0},
    {"many rows", &dlm_op_embedding, {.embedding = {2.0f, 0}}, 5,
     {IDS(70000), TABLE(DLM_DTYPE_F32, 11, 2)}, TOL_ELEMENTWISE, &not_scaled, 0},
};

int main(int argc, char **argv)
{
    return op_rows_main(argc, argv, rows, DLM_ARRAY_LEN(rows));
}
