/* Packing of lifetimes into arenas, and barriers between dispatches, on thousands of random cases
 * against the plain definition. */
#include "base/rng.h"
#include "graph/program.h"
#include "graph/rewrite.h"
#include "ops/build.h"
#include "tests/check.h"

enum { MAX_PLACES = 60, NUM_BUFFERS = 3, MAX_DISPATCHES = 24 };

static struct dlm_ctx *ctx;

/* --- packing --- */

static size_t random_places(struct dlm_rng *rng, struct dlm_place *list, struct dlm_place **order,
                            size_t most_bytes)
{
    const size_t num = 1 + dlm_rng_below(rng, MAX_PLACES);

    for (size_t i = 0; i < num; i++) {
        const int first = (int)dlm_rng_below(rng, 40);
        list[i] = (struct dlm_place){.arena = -1,
                                     .bytes = 1 + dlm_rng_below(rng, (uint32_t)most_bytes),
                                     .first = first,
                                     .last = first + (int)dlm_rng_below(rng, 12)};
        order[i] = &list[i];
    }
    return num;
}

static void check_packing(const struct dlm_place *list, size_t num, size_t limit,
                          const size_t *arena_bytes, int num_arenas)
{
    size_t wrong = 0, ends[DLM_MAX_ARENAS] = {0};

    for (size_t i = 0; i < num; i++) {
        const struct dlm_place *a = &list[i];
        if (!CHECK(a->arena >= 0 && a->arena < num_arenas))
            return;
        wrong += a->offset % DLM_ALIGN_BYTES != 0;
        if (a->offset + a->bytes > ends[a->arena])
            ends[a->arena] = a->offset + a->bytes;
        for (size_t k = 0; k < i; k++) {
            const struct dlm_place *b = &list[k];
            const bool in_time = a->first <= b->last && b->first <= a->last;
            const bool in_space = a->arena == b->arena && a->offset < b->offset + b->bytes &&
                                  b->offset < a->offset + a->bytes;
            wrong += in_time && in_space;
        }
    }
    for (int k = 0; k < num_arenas; k++)
        wrong += arena_bytes[k] < ends[k] || arena_bytes[k] > limit ||
                 arena_bytes[k] >= ends[k] + DLM_ALIGN_BYTES;
    CHECK_INT(wrong, 0);
}

static void test_packing(void)
{
    struct dlm_place list[MAX_PLACES], *order[MAX_PLACES];
    struct dlm_rng rng;
    int split = 0;

    check_case("random lifetimes");
    dlm_rng_init(&rng, 1, 0);
    for (int round = 0; round < 3000; round++) {
        size_t arena_bytes[DLM_MAX_ARENAS] = {0};
        int num_arenas = 0;
        const size_t limit = round % 3 ? (size_t)64 << 10 : (size_t)1 << 40;
        const size_t num = random_places(&rng, list, order, 20000);
        if (CHECK(!dlm_plan_pack(ctx, order, num, limit, arena_bytes, &num_arenas)))
            check_packing(list, num, limit, arena_bytes, num_arenas);
        if (round % 3 == 0)
            CHECK_INT(num_arenas, 1); /* nothing forces a second one */
        split += num_arenas > 1;
    }
    CHECK(split > 100);

    check_case("equal input gives an equal plan");
    for (int round = 0; round < 100; round++) {
        struct dlm_place again[MAX_PLACES], *other[MAX_PLACES];
        size_t bytes[2][DLM_MAX_ARENAS] = {{0}};
        int arenas[2] = {0};
        const size_t num = random_places(&rng, list, order, 5000);
        memcpy(again, list, sizeof(list));
        for (size_t i = 0; i < num; i++)
            other[i] = &again[i];
        CHECK(!dlm_plan_pack(ctx, order, num, 1 << 16, bytes[0], &arenas[0]));
        CHECK(!dlm_plan_pack(ctx, other, num, 1 << 16, bytes[1], &arenas[1]));
        for (size_t i = 0; i < num; i++)
            CHECK(list[i].arena == again[i].arena && list[i].offset == again[i].offset);
    }
}

static void test_known(void)
{
    size_t arena_bytes[DLM_MAX_ARENAS] = {0};
    int num_arenas = 0;
    /* a chain: each lives with its neighbour alone, so that two places serve all four */
    struct dlm_place list[] = {{-1, 0, 1024, 0, 1}, {-1, 0, 1024, 1, 2}, {-1, 0, 1024, 2, 3},
                               {-1, 0, 1024, 3, 4}};
    struct dlm_place *order[] = {&list[0], &list[1], &list[2], &list[3]};

    check_case("a chain takes two places");
    CHECK(!dlm_plan_pack(ctx, order, 4, 1 << 20, arena_bytes, &num_arenas));
    CHECK_INT(num_arenas, 1);
    CHECK_INT(arena_bytes[0], 2048);

    check_case("larger than the limit");
    struct dlm_place large = {-1, 0, 4097, 0, 1}, *one = &large;
    CHECK(dlm_plan_pack(ctx, &one, 1, 4096, arena_bytes, &num_arenas) == DLM_ERR_UNSUPPORTED);
    CHECK(strstr(dlm_ctx_last_error(ctx), "4097 bytes"));

    check_case("more arenas than there are");
    struct dlm_place many[DLM_MAX_ARENAS + 1], *all[DLM_MAX_ARENAS + 1];
    for (int i = 0; i <= DLM_MAX_ARENAS; i++) {
        many[i] = (struct dlm_place){-1, 0, 4096, 0, 1};
        all[i] = &many[i];
    }
    memset(arena_bytes, 0, sizeof(arena_bytes));
    num_arenas = 0;
    CHECK(!dlm_plan_pack(ctx, all, DLM_MAX_ARENAS, 4096, arena_bytes, &num_arenas));
    CHECK_INT(num_arenas, DLM_MAX_ARENAS);
    CHECK(dlm_plan_pack(ctx, all, DLM_MAX_ARENAS + 1, 4096, arena_bytes, &num_arenas) ==
          DLM_ERR_UNSUPPORTED);
}

/* --- barriers --- */

static void random_dispatches(struct dlm_rng *rng, struct dlm_dispatch *list, uint32_t *writes,
                              size_t num)
{
    for (size_t i = 0; i < num; i++) {
        list[i] = (struct dlm_dispatch){.num_bindings = 1 + dlm_rng_below(rng, 3)};
        writes[i] = 1u << dlm_rng_below(rng, list[i].num_bindings);
        for (uint32_t k = 0; k < list[i].num_bindings; k++)
            list[i].bindings[k] = (struct dlm_binding){
                /* an address that is compared and never followed */
                .buffer = (struct dlm_buffer *)(uintptr_t)(4096 * (1 + dlm_rng_below(rng,
                                                                                     NUM_BUFFERS))),
                .offset = 16 * dlm_rng_below(rng, 40),
                .bytes = 1 + dlm_rng_below(rng, 64)};
    }
}

/* Two dispatches where one writes a byte that the other touches, byte by byte. */
static bool clash(const struct dlm_dispatch *a, uint32_t a_writes, const struct dlm_dispatch *b,
                  uint32_t b_writes)
{
    for (uint32_t i = 0; i < a->num_bindings; i++)
        for (uint32_t k = 0; k < b->num_bindings; k++) {
            const struct dlm_binding *x = &a->bindings[i], *y = &b->bindings[k];
            if (x->buffer != y->buffer || !((a_writes >> i | b_writes >> k) & 1))
                continue;
            for (size_t at = x->offset; at < x->offset + x->bytes; at++)
                if (at >= y->offset && at < y->offset + y->bytes)
                    return true;
        }
    return false;
}

/* The first dispatch that clashes with an earlier one and has no barrier from there on, or -1. */
static int64_t first_hazard(const struct dlm_dispatch *list, const uint32_t *writes, size_t num)
{
    for (size_t late = 0; late < num; late++) {
        size_t early = late;
        while (early > 0 && !list[early].barrier) {
            early--;
            if (clash(&list[late], writes[late], &list[early], writes[early]))
                return (int64_t)late;
        }
    }
    return -1;
}

static void test_barriers(void)
{
    struct dlm_dispatch list[MAX_DISPATCHES];
    uint32_t writes[MAX_DISPATCHES];
    struct dlm_rng rng;
    int free_ones = 0;

    check_case("barriers of random dispatches");
    dlm_rng_init(&rng, 2, 0);
    for (int round = 0; round < 3000; round++) {
        const size_t num = 1 + dlm_rng_below(&rng, MAX_DISPATCHES);
        random_dispatches(&rng, list, writes, num);
        for (size_t i = 0; i < num; i++) /* any pattern: finder and checker need not agree on it */
            list[i].barrier = dlm_rng_below(&rng, 2);
        CHECK_INT(dlm_program_check_hazards(list, writes, num), first_hazard(list, writes, num));
        dlm_program_find_hazards(list, writes, num);
        CHECK_INT(first_hazard(list, writes, num), -1);
        CHECK_INT(dlm_program_check_hazards(list, writes, num), -1);
        for (size_t i = 1; i < num; i++) { /* none is there that need not be */
            free_ones += !list[i].barrier;
            if (!list[i].barrier)
                continue;
            list[i].barrier = false;
            CHECK_INT(first_hazard(list, writes, num), i);
            CHECK_INT(dlm_program_check_hazards(list, writes, num), i);
            list[i].barrier = true;
        }
    }
    CHECK(free_ones > 1000);
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    test_packing();
    test_known();
    test_barriers();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
