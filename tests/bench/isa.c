/* Reads listings of machine code: which instructions there are, and where the loops lie. */
#include "isa.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* The first row whose prefix fits counts. */
static const struct {
    const char *prefix;
    enum isa_kind kind;
    int amount; /* multiply-adds, or bytes */
} table[] = {
    {"v_wmma", ISA_WMMA, 0},
    {"v_swmmac", ISA_WMMA, 0},
    {"v_pk_fma", ISA_FMA, 2},
    {"v_dot2", ISA_FMA, 2},
    {"v_dot4", ISA_FMA, 4},
    {"v_dual_fma", ISA_FMA, 1}, /* and fmac, fmamk, fmaak */
    {"v_dual_dot2", ISA_FMA, 2},
    {"v_fma", ISA_FMA, 1},
    {"v_mad_f", ISA_FMA, 1},
    {"v_mad_mix", ISA_FMA, 1},
    {"v_mac_f", ISA_FMA, 1},
    {"v_madak", ISA_FMA, 1},
    {"v_madmk", ISA_FMA, 1},
    {"ds_load_b128", ISA_LDS_16, 0},
    {"ds_read_b128", ISA_LDS_16, 0},
    {"ds_load_2addr_b64", ISA_LDS_16, 0},
    {"ds_load_2addr_stride64_b64", ISA_LDS_16, 0},
    {"ds_read2_b64", ISA_LDS_16, 0},
    {"ds_read2st64_b64", ISA_LDS_16, 0},
    {"ds_load_b96", ISA_LDS_8, 0},
    {"ds_read_b96", ISA_LDS_8, 0},
    {"ds_load_b64", ISA_LDS_8, 0},
    {"ds_read_b64", ISA_LDS_8, 0},
    {"ds_load_2addr", ISA_LDS_8, 0},
    {"ds_read2", ISA_LDS_8, 0},
    {"ds_load", ISA_LDS_LESS, 0},
    {"ds_read", ISA_LDS_LESS, 0},
    {"buffer_load_b128", ISA_MEM_16, 16},
    {"buffer_load_dwordx4", ISA_MEM_16, 16},
    {"global_load_b128", ISA_MEM_16, 16},
    {"global_load_dwordx4", ISA_MEM_16, 16},
    {"buffer_load_b96", ISA_MEM_8, 12},
    {"buffer_load_dwordx3", ISA_MEM_8, 12},
    {"global_load_b96", ISA_MEM_8, 12},
    {"global_load_dwordx3", ISA_MEM_8, 12},
    {"buffer_load_b64", ISA_MEM_8, 8},
    {"buffer_load_dwordx2", ISA_MEM_8, 8},
    {"global_load_b64", ISA_MEM_8, 8},
    {"global_load_dwordx2", ISA_MEM_8, 8},
    {"buffer_load_b32", ISA_MEM_LESS, 4},
    {"buffer_load_dword", ISA_MEM_LESS, 4},
    {"global_load_b32", ISA_MEM_LESS, 4},
    {"global_load_dword", ISA_MEM_LESS, 4},
    {"buffer_load", ISA_MEM_LESS, 2},
    {"global_load", ISA_MEM_LESS, 2},
    {"s_barrier", ISA_BARRIER, 0}, /* RDNA4's signal and wait are two */
};

/* A line: an instruction, or the start of a block. */
struct line {
    const char *op; /* NULL: a block starts here */
    const char *second; /* the other half of a pair, or NULL */
    int block;      /* that starts here, or that a branch goes to; -1: neither */
};

static void count_op(const char *op, struct isa_counts *c)
{
    c->all++;
    for (size_t i = 0; i < DLM_ARRAY_LEN(table); i++) {
        if (strncmp(op, table[i].prefix, strlen(table[i].prefix)))
            continue;
        c->of[table[i].kind]++;
        if (table[i].kind == ISA_FMA)
            c->multiply_adds += table[i].amount;
        else
            c->mem_bytes += table[i].amount;
        return;
    }
    c->of[ISA_OTHER]++;
}

static struct isa_counts count_range(const struct line *lines, size_t begin, size_t end)
{
    struct isa_counts c = {0};

    for (size_t i = begin; i < end; i++) {
        if (lines[i].op)
            count_op(lines[i].op, &c);
        if (lines[i].second)
            count_op(lines[i].second, &c);
    }
    return c;
}

/* Splits the text; returns how many lines count. *lines: to free. */
static size_t parse(const char *text, struct line **lines)
{
    size_t num = 0, max = 1;

    for (const char *p = text; *p; p++)
        max += *p == '\n';
    *lines = calloc(max, sizeof(**lines));
    for (const char *p = text; *lines && *p;) {
        const size_t len = strcspn(p, "\n");
        const size_t blank = strspn(p, " \t");
        struct line *l = &(*lines)[num];
        *l = (struct line){.block = -1};
        if (blank < len && !strncmp(p + blank, "BB", 2)) {
            l->block = atoi(p + blank + 2);
            num++;
        } else if (blank < len && p[blank] >= 'a' && p[blank] <= 'z') {
            const char *pair = strstr(p, " :: "), *to = strstr(p, " BB");
            l->op = p + blank;
            if (pair && pair < p + len)
                l->second = pair + 4;
            if (!strncmp(l->op, "s_", 2) && strstr(l->op, "branch") < p + len &&
                strstr(l->op, "branch") && to && to < p + len)
                l->block = atoi(to + 3);
            num++;
        }
        p += len + (p[len] == '\n');
    }
    return num;
}

/* The line where a block starts; num: nowhere. */
static size_t find_block(const struct line *lines, size_t num, int block)
{
    size_t at = 0;

    while (at < num && (lines[at].op || lines[at].block != block))
        at++;
    return at;
}

/* Where the loop begins that line i, a branch, closes; i + 1: it closes none. */
static size_t loop_begin(const struct line *lines, size_t num, size_t i)
{
    if (!lines[i].op || lines[i].block < 0)
        return i + 1;
    const size_t at = find_block(lines, num, lines[i].block);
    return at <= i ? at : i + 1;
}

static bool has_loop_inside(const struct line *lines, size_t num, size_t begin, size_t end)
{
    bool found = false;

    for (size_t i = begin; i < end && !found; i++) {
        const size_t inner = loop_begin(lines, num, i);
        found = inner <= i && inner > begin; /* another branch to begin is the same loop */
    }
    return found;
}

void isa_count(const char *text, struct isa_stats *s)
{
    struct line *lines = NULL;
    const size_t num = parse(text, &lines);
    int best = 0;

    s->whole = count_range(lines, 0, num);
    for (size_t i = 0; i < num; i++) {
        const size_t begin = loop_begin(lines, num, i);
        if (begin > i || has_loop_inside(lines, num, begin, i))
            continue;
        const struct isa_counts c = count_range(lines, begin, i + 1);
        /* a product of matrix units is 128 multiply-adds of a lane or more */
        const int weight = 128 * c.of[ISA_WMMA] + c.multiply_adds;
        if (weight > best || (weight == best && weight && c.all > s->loop.all)) {
            best = weight;
            s->loop = c;
        }
    }
    free(lines);
}

void isa_print_row(const char *family, const char *kernel, const struct isa_stats *s,
                   const char *verdict)
{
    const struct isa_counts *l = &s->loop;

    printf("| %s | %s | %u of %u | %u | %u | %u | %u |", family, kernel, s->wave, s->lanes,
           (unsigned)s->vgprs, (unsigned)(s->spilled_vgprs + s->spilled_sgprs),
           (unsigned)s->lds_bytes, (unsigned)s->waves);
    if (l->all)
        printf(" %d | %d | %d | %d/%d/%d | %d/%d/%d | %d |", l->all, l->of[ISA_WMMA],
               l->of[ISA_FMA], l->of[ISA_LDS_16], l->of[ISA_LDS_8], l->of[ISA_LDS_LESS],
               l->of[ISA_MEM_16], l->of[ISA_MEM_8], l->of[ISA_MEM_LESS], l->of[ISA_BARRIER]);
    else
        printf(" | | | | | |");
    printf(" %d | %s |\n", s->whole.all, verdict);
}
