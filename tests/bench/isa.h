/* AMD machine code as Mesa's driver prints it: counted, and held against what it should be. */
#ifndef DLM_TESTS_BENCH_ISA_H
#define DLM_TESTS_BENCH_ISA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an instruction is counted as. Loads: bytes a lane. */
enum isa_kind {
    ISA_OTHER,
    ISA_WMMA,     /* a product of matrix units */
    ISA_FMA,      /* multiply-adds of vectors, packed and dot products too */
    ISA_LDS_16,   /* loads from shared memory */
    ISA_LDS_8,
    ISA_LDS_LESS,
    ISA_MEM_16,   /* loads from memory by each lane */
    ISA_MEM_8,
    ISA_MEM_LESS,
    ISA_BARRIER,
    ISA_KIND_COUNT,
};

struct isa_counts {
    int all;               /* instructions; of a pair that issues as one, both */
    int of[ISA_KIND_COUNT];
    int multiply_adds;     /* of a lane: a packed instruction has two */
    int mem_bytes;         /* that a lane loads from memory */
};

struct isa_stats {
    uint32_t wave, lanes; /* of a subgroup, of a work-group */
    uint64_t vgprs, sgprs, spilled_vgprs, spilled_sgprs, scratch_bytes, lds_bytes;
    uint64_t waves;       /* that fit a SIMD */
    uint64_t cycles;      /* the compiler's inverse throughput */
    size_t num_numbers;   /* of those that the driver gave */
    struct isa_counts whole;
    struct isa_counts loop; /* the innermost loop with most arithmetic; all zero: none has any */
};

/* Counts the instructions of a listing into s->whole and s->loop. */
void isa_count(const char *text, struct isa_stats *s);

/* False: the kernel has no goal. Else writes "met", or what is missed (isa_goal.c). */
bool isa_goal(const char *kernel, const struct isa_stats *s, char *verdict, size_t size);

void isa_print_row(const char *family, const char *kernel, const struct isa_stats *s,
                   const char *verdict);

#endif
