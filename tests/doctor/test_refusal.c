/* The matrix of refusals as a table: host, memory, base, --force, and which rule speaks. Limits are
 * those of the Python dlm's documents: 200M and 1B parameters, 12 and 16 GB, 0.85 of unified
 * memory. */
#include "check.h"
#include "dlm/dlm.h"
#include "doctor/refusal.h"

#define GB 1000000000ull
#define GIB (1ull << 30)

enum base { TINY, LIMIT, SMALL, ALMOST, PALIGEMMA, FOLDER, MISTRAL };

static const struct {
    double params;
    bool is_registry_row;
} bases[] = {
    [TINY] = {0, true}, /* a bundled row states no number */
    [LIMIT] = {200e6, false},
    [SMALL] = {201e6, true},
    [ALMOST] = {999e6, true},
    [PALIGEMMA] = {2.9e9, true},
    [FOLDER] = {2.9e9, false}, /* dir: or hf: */
    [MISTRAL] = {24e9, true},
};

static const struct {
    enum dlm_host_kind kind;
    uint64_t memory;
    enum base base;
    enum dlm_refusal_rule rule, forced; /* without --force, and with it */
} rows[] = {
    {DLM_HOST_CPU, 4 * GB, TINY, DLM_REFUSAL_NONE, DLM_REFUSAL_NONE},
    {DLM_HOST_CPU, 64 * GB, LIMIT, DLM_REFUSAL_NONE, DLM_REFUSAL_NONE},
    {DLM_HOST_CPU, 64 * GB, SMALL, DLM_REFUSAL_CPU, DLM_REFUSAL_NONE},
    {DLM_HOST_CPU, 64 * GB, ALMOST, DLM_REFUSAL_CPU, DLM_REFUSAL_NONE},
    {DLM_HOST_CPU, 512 * GB, PALIGEMMA, DLM_REFUSAL_CPU_REGISTRY, DLM_REFUSAL_CPU_REGISTRY},
    {DLM_HOST_CPU, 512 * GB, FOLDER, DLM_REFUSAL_CPU, DLM_REFUSAL_NONE},
    {DLM_HOST_CPU, 0, MISTRAL, DLM_REFUSAL_CPU_REGISTRY, DLM_REFUSAL_CPU_REGISTRY},

    {DLM_HOST_CARD, 4 * GB, TINY, DLM_REFUSAL_NONE, DLM_REFUSAL_NONE},
    {DLM_HOST_CARD, 4 * GB, LIMIT, DLM_REFUSAL_NONE, DLM_REFUSAL_NONE},
    {DLM_HOST_CARD, 12 * GB - 1, SMALL, DLM_REFUSAL_CARD, DLM_REFUSAL_CARD},
    {DLM_HOST_CARD, 12 * GB, SMALL, DLM_REFUSAL_NONE, DLM_REFUSAL_NONE},
    {DLM_HOST_CARD, 8 * GIB, PALIGEMMA, DLM_REFUSAL_CARD, DLM_REFUSAL_CARD},
    {DLM_HOST_CARD, 8 * GIB, FOLDER, DLM_REFUSAL_CARD, DLM_REFUSAL_CARD},
    {DLM_HOST_CARD, 12282ull << 20, PALIGEMMA, DLM_REFUSAL_NONE, DLM_REFUSAL_NONE}, /* "12 GB" */
    {DLM_HOST_CARD, 24 * GIB, MISTRAL, DLM_REFUSAL_NONE, DLM_REFUSAL_NONE}, /* the plan's to say */
    {DLM_HOST_CARD, 0, TINY, DLM_REFUSAL_NONE, DLM_REFUSAL_NONE},
    {DLM_HOST_CARD, 0, PALIGEMMA, DLM_REFUSAL_CARD, DLM_REFUSAL_CARD},

    {DLM_HOST_UNIFIED, 4 * GB, TINY, DLM_REFUSAL_NONE, DLM_REFUSAL_NONE},
    {DLM_HOST_UNIFIED, 16 * GB - 1, PALIGEMMA, DLM_REFUSAL_UNIFIED, DLM_REFUSAL_NONE},
    {DLM_HOST_UNIFIED, 16 * GB, PALIGEMMA, DLM_REFUSAL_NONE, DLM_REFUSAL_NONE},
    {DLM_HOST_UNIFIED, 16 * GB, FOLDER, DLM_REFUSAL_NONE, DLM_REFUSAL_NONE},
    {DLM_HOST_UNIFIED, 8 * GB, MISTRAL, DLM_REFUSAL_UNIFIED, DLM_REFUSAL_NONE},
    /* 24e9 * 2 / 2^30 / 0.85 = 52.59 GiB */
    {DLM_HOST_UNIFIED, 52 * GIB, MISTRAL, DLM_REFUSAL_UNIFIED_BASE, DLM_REFUSAL_NONE},
    {DLM_HOST_UNIFIED, 53 * GIB, MISTRAL, DLM_REFUSAL_NONE, DLM_REFUSAL_NONE},
    {DLM_HOST_UNIFIED, 0, TINY, DLM_REFUSAL_NONE, DLM_REFUSAL_NONE},
    {DLM_HOST_UNIFIED, 0, MISTRAL, DLM_REFUSAL_UNIFIED, DLM_REFUSAL_NONE},
};

static void check_matrix(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dlm_refusal_facts facts = {.kind = rows[i].kind, .memory_bytes = rows[i].memory,
                                          .params = bases[rows[i].base].params,
                                          .is_registry_row = bases[rows[i].base].is_registry_row};
        char name[64];
        snprintf(name, sizeof(name), "row %zu", i);
        check_case(name);
        CHECK_STR(dlm_refusal_name(dlm_refusal_find(&facts)), dlm_refusal_name(rows[i].rule));
        /* what fits is refused all the same, and what does not is none of the matrix's business */
        facts.planned_bytes = 1;
        facts.free_bytes = 2;
        CHECK_INT(dlm_refusal_find(&facts), rows[i].rule);
        facts.force = true;
        CHECK_STR(dlm_refusal_name(dlm_refusal_find(&facts)), dlm_refusal_name(rows[i].forced));
    }
}

/* Each refusal's words: number, rule, and --force exactly where it helps. */
static void check_text(struct dlm_ctx *ctx, const char *name,
                       const struct dlm_refusal_facts *facts, const char *const *words)
{
    char text[1024], way_out[512];
    const enum dlm_refusal_rule rule = dlm_refusal_find(facts);

    check_case(name);
    CHECK_INT(dlm_refusal_check(ctx, facts), DLM_ERR_UNSUPPORTED);
    dlm_refusal_text(rule, facts, text, sizeof(text));
    CHECK(strstr(dlm_ctx_last_error(ctx), text));
    dlm_refusal_way_out(rule, facts, way_out, sizeof(way_out));
    CHECK((strstr(way_out, "`--force`") != NULL) == dlm_refusal_can_force(rule));
    CHECK((strstr(text, "nothing overrides this") == NULL) == dlm_refusal_can_force(rule));
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "; %s", way_out);
    for (; *words; words++)
        if (!CHECK(strstr(text, *words)))
            printf("     '%s' is not in '%s'\n", *words, text);
}

static void check_texts(struct dlm_ctx *ctx)
{
    const struct dlm_refusal_facts registry = {
        .kind = DLM_HOST_CPU, .params = 2.2e9, .is_registry_row = true, .force = true};
    const struct dlm_refusal_facts folder = {.kind = DLM_HOST_CPU, .params = 2.2e9};
    const struct dlm_refusal_facts card = {
        .kind = DLM_HOST_CARD, .params = 2.9e9, .memory_bytes = 8 * GB, .planned_bytes = 3 * GIB,
        .free_bytes = 7 * GIB};
    const struct dlm_refusal_facts full_card = {
        .kind = DLM_HOST_CARD, .params = 2.9e9, .memory_bytes = 8 * GB, .planned_bytes = 9 * GIB,
        .free_bytes = 7 * GIB};
    const struct dlm_refusal_facts unknown = {.kind = DLM_HOST_CARD, .params = 2.9e9};
    const struct dlm_refusal_facts unified = {
        .kind = DLM_HOST_UNIFIED, .params = 2.9e9, .memory_bytes = 8 * GB};
    const struct dlm_refusal_facts base = {
        .kind = DLM_HOST_UNIFIED, .params = 24e9, .memory_bytes = 32 * GIB};

    check_text(ctx, "a registry base on a CPU", &registry,
               (const char *const[]){"2200M-parameter model on CPU", "tiny", "12 GB", NULL});
    check_text(ctx, "a folder's base on a CPU", &folder,
               (const char *const[]){"refusing to train a 2200M-parameter model on CPU: CPU "
                                     "training is capped at 200M parameters by default",
                                     "if you accept very slow steps", NULL});
    check_text(ctx, "a small card, though the plan fits", &card,
               (const char *const[]){"8.0 GB", "asks for 12 GB", "takes 3.0 GiB and fits in the "
                                     "7.0 GiB", NULL});
    check_text(ctx, "a small card, and no plan fits", &full_card,
               (const char *const[]){"takes 9.0 GiB, too, and 7.0 GiB are free", NULL});
    check_text(ctx, "a card that does not say how much it has", &unknown,
               (const char *const[]){"a device whose driver does not tell how much memory it "
                                     "has: vision", "asks for 12 GB", NULL});
    check_text(ctx, "little unified memory", &unified,
               (const char *const[]){"8.0 GB of unified memory", "asks for 16 GB", NULL});
    check_text(ctx, "a base too large for unified memory", &base,
               (const char *const[]){"even an fp16 base copy is ~44.7 GiB vs ~27.2 GiB usable "
                                     "headroom from 32.0 GiB unified memory",
                                     "only if you want to override this policy on a large-memory "
                                     "host", NULL});
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);

    check_matrix();
    if (CHECK(ctx))
        check_texts(ctx);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
