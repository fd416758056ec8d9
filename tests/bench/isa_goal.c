/* What the code of a kernel should be, by its name and by what it uses. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "isa.h"

/* Appends what is missed. */
struct verdict {
    char *text;
    size_t size, len;
};

__attribute__((format(printf, 2, 3))) static void miss(struct verdict *v, const char *fmt, ...)
{
    va_list args;

    if (v->len + 1 >= v->size)
        return;
    if (v->len)
        v->len += (size_t)snprintf(v->text + v->len, v->size - v->len, ", ");
    va_start(args, fmt);
    if (v->len < v->size)
        v->len += (size_t)vsnprintf(v->text + v->len, v->size - v->len, fmt, args);
    va_end(args);
}

static void want_wide_loads(const struct isa_counts *c, struct verdict *v, bool lds, bool mem)
{
    if (lds && c->of[ISA_LDS_8] + c->of[ISA_LDS_LESS])
        miss(v, "narrow LDS loads");
    if (mem && c->of[ISA_MEM_8] + c->of[ISA_MEM_LESS])
        miss(v, "narrow memory loads");
}

static int percent_fma(const struct isa_counts *c)
{
    return c->all ? 100 * c->of[ISA_FMA] / c->all : 0;
}

/* With matrix units at most 3 other instructions for each product and wide loads only; without,
 * 75 % multiply-adds. */
static void check_matmul(const char *kernel, const struct isa_stats *s, struct verdict *v)
{
    const struct isa_counts *c = &s->loop;

    (void)kernel;
    if (s->whole.of[ISA_WMMA]) {
        const int others = c->all - c->of[ISA_WMMA];
        if (!c->of[ISA_WMMA] || others > 3 * c->of[ISA_WMMA])
            miss(v, "%.1f others a wmma",
                 c->of[ISA_WMMA] ? (double)others / c->of[ISA_WMMA] : (double)others);
        want_wide_loads(c, v, true, true);
        return;
    }
    if (percent_fma(c) < 75)
        miss(v, "fma %d%%", percent_fma(c));
    want_wide_loads(c, v, true, false);
}

static double element_bytes(const char *kernel)
{
    static const struct {
        const char *name;
        double bytes;
    } types[] = {{"nf4", 0.5},   {"q4_", 0.5}, {"q5_", 0.625}, {"q6_", 0.75},
                 {"q8_0", 1},    {"f32", 4},   {"bf16", 2},    {"f16", 2}};
    double bytes = 4;

    for (size_t i = DLM_ARRAY_LEN(types); i-- > 0;)
        if (strstr(kernel, types[i].name))
            bytes = types[i].bytes; /* the first in the list: others may be what it is rounded to */
    return bytes;
}

/* Weights come 16 bytes at a time, with at most 3 instructions an element, of one row or of each of
 * 8. Elements are what a lane loads, and no more than it multiplies. */
static void check_matvec(const char *kernel, const struct isa_stats *s, struct verdict *v)
{
    const struct isa_counts *c = &s->loop;
    const double rows = strstr(kernel, "matvec_8_") ? 8 : 1;
    const double loaded = rows * c->mem_bytes / element_bytes(kernel);
    const double elements = loaded < c->multiply_adds ? loaded : c->multiply_adds;

    if (!(elements > 0))
        miss(v, "no loop loads weights");
    else if (c->all > 3 * elements)
        miss(v, "%.1f instructions an element", c->all / elements);
    want_wide_loads(c, v, false, true);
}

/* Products in matrix units where the kernel uses them, else 60 % multiply-adds in the inner loop. A
 * few multiply-adds beside each wmma are the softmax. */
static void check_attention(const char *kernel, const struct isa_stats *s, struct verdict *v)
{
    const struct isa_counts *c = &s->loop;

    (void)kernel;
    if (s->whole.of[ISA_WMMA]) {
        if (!c->of[ISA_WMMA] || c->of[ISA_FMA] > 16 * c->of[ISA_WMMA])
            miss(v, "products outside of matrix units");
        return;
    }
    if (percent_fma(c) < 60)
        miss(v, "fma %d%%", percent_fma(c));
}

/* At least 256 lanes that load vectors. */
static void check_rows(const char *kernel, const struct isa_stats *s, struct verdict *v)
{
    (void)kernel;
    if (s->lanes < 256)
        miss(v, "%u lanes", s->lanes);
    if (s->whole.of[ISA_MEM_16] + s->whole.of[ISA_MEM_8] == 0)
        miss(v, "no vector loads");
}

static const struct {
    const char *prefix;
    void (*check)(const char *kernel, const struct isa_stats *s, struct verdict *v);
} goals[] = {
    {"matmul", check_matmul},
    {"matvec_any", NULL}, /* columns that are not aligned */
    {"matvec", check_matvec},
    {"attention", check_attention},
    {"select", check_rows},
    {"cross_entropy", check_rows},
};

bool isa_goal(const char *kernel, const struct isa_stats *s, char *verdict, size_t size)
{
    struct verdict v = {.text = verdict, .size = size};
    size_t i = 0;

    /* sums of parts and copies beside the products */
    if (strstr(kernel, "_pack") || strstr(kernel, "_finish") || strstr(kernel, "_delta") ||
        strstr(kernel, "_dequant"))
        return false;
    while (i < DLM_ARRAY_LEN(goals) && strncmp(kernel, goals[i].prefix, strlen(goals[i].prefix)))
        i++;
    if (i == DLM_ARRAY_LEN(goals) || !goals[i].check)
        return false;
    if (s->spilled_vgprs || s->spilled_sgprs || s->scratch_bytes)
        miss(&v, "spills");
    goals[i].check(kernel, s, &v);
    if (!v.len)
        snprintf(verdict, size, "met");
    return true;
}
