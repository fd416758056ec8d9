/* Which bases may be trained where, as one table: machines with their devices x --backend x base x
 * --force, each with the rule that speaks, its text and what the call returns. The rules, numbers
 * and words are those of the Python dlm's documents (docs/doctor.md). What drivers say of their
 * devices is tests/cli/test_refusal.sh's part. */
#include "api/may_train.h"
#include "check.h"
#include "dlm/dlm.h"

#define GB 1000000000ull
#define GIB (1ull << 30)

/* --- bases: the columns of the table --- */

static const struct {
    const char *name; /* base_model; NULL: a folder's, whose weights were counted */
    double params;
} bases[] = {
    {"tiny-shapes", 0}, /* a bundled row states no number */
    {NULL, 200e6},
    {NULL, 201e6},
    {"qwen2-vl-2b-instruct", 2.2e9},
    {"hf:Qwen/Qwen2-VL-2B-Instruct", 2.2e9}, /* by another name */
    {NULL, 2.2e9},
    {"mistral-small-3.1-24b-instruct", 24e9},
};

/* --- machines --- */

#define CPU(bytes) {.kind = DLM_BACKEND_CPU, .is_unified = true, .memory_bytes = (bytes)}
#define POCL(bytes) {.kind = DLM_BACKEND_OPENCL, .is_software = true, .is_unified = true, \
                     .memory_bytes = (bytes)}
#define LAVAPIPE(bytes) {.kind = DLM_BACKEND_VULKAN, .is_software = true, .is_unified = true, \
                         .memory_bytes = (bytes)}
#define CARD(k, bytes) {.kind = DLM_BACKEND_##k, .memory_bytes = (bytes)}
#define SHARED(k, bytes) {.kind = DLM_BACKEND_##k, .is_unified = true, .memory_bytes = (bytes)}

static const struct machine {
    const char *name;
    uint64_t memory_bytes;
    struct dlm_device_info devices[4];
    int num_devices;
} machines[] = {
    {"CPU only", 64 * GB, {CPU(64 * GB)}, 1},
    {"software devices", 512 * GB, {CPU(512 * GB), POCL(200 * GB), LAVAPIPE(512 * GB)}, 3},
    {"card of 8 GB", 64 * GB,
     {CPU(64 * GB), LAVAPIPE(64 * GB), CARD(OPENCL, 8 * GB), CARD(VULKAN, 8 * GB)}, 4},
    {"card of 12 GB less a byte", 64 * GB,
     {CPU(64 * GB), CARD(OPENCL, 12 * GB - 1), CARD(VULKAN, 12 * GB - 1)}, 3},
    {"card of 12 GB", 64 * GB, {CPU(64 * GB), CARD(OPENCL, 12 * GB), CARD(VULKAN, 12 * GB)}, 3},
    {"card of 24 GB", 64 * GB, {CPU(64 * GB), CARD(OPENCL, 24 * GB), CARD(VULKAN, 24 * GB)}, 3},
    {"card whose memory is not known", 64 * GB,
     {CPU(64 * GB), CARD(OPENCL, 0), CARD(VULKAN, 0)}, 3},
    {"8 GB shared", 8 * GB, {CPU(8 * GB), SHARED(OPENCL, 4 * GB), SHARED(VULKAN, 8 * GB)}, 3},
    {"16 GB less a byte, shared", 16 * GB - 1,
     {CPU(16 * GB - 1), SHARED(OPENCL, 8 * GB), SHARED(VULKAN, 8 * GB)}, 3},
    {"16 GB shared", 16 * GB, {CPU(16 * GB), SHARED(OPENCL, 8 * GB), SHARED(VULKAN, 8 * GB)}, 3},
    {"52 GiB shared", 52 * GIB,
     {CPU(52 * GIB), SHARED(OPENCL, 40 * GIB), SHARED(VULKAN, 52 * GIB)}, 3},
    {"53 GiB shared", 53 * GIB,
     {CPU(53 * GIB), SHARED(OPENCL, 40 * GIB), SHARED(VULKAN, 53 * GIB)}, 3},
    {"card of 8 GB for Vulkan, 24 GB for OpenCL", 64 * GB,
     {CPU(64 * GB), CARD(OPENCL, 24 * GB), CARD(VULKAN, 8 * GB)}, 3},
};

enum machine_name {
    CPU_ONLY, SOFTWARE, CARD_8, CARD_UNDER_12, CARD_12, CARD_24, CARD_UNKNOWN, SHARED_8,
    SHARED_UNDER_16, SHARED_16, SHARED_52, SHARED_53, TWO_CARDS
};

/* --- the table --- */

/* A letter a base: '.' may start, 'C' the registry's bases on a CPU, 'c' others there, 'd' a card
 * that is too small, 'x' one that does not say, 'u' too little shared memory, 'b' a base too large
 * for it, '-' no device. */
static const struct {
    enum machine_name machine;
    enum dlm_backend_kind backend;
    const char *rules, *forced;
} rows[] = {
    {CPU_ONLY, DLM_BACKEND_AUTO, "..cCCcC", "...CC.C"},
    {CPU_ONLY, DLM_BACKEND_CPU, "..cCCcC", "...CC.C"},
    {CPU_ONLY, DLM_BACKEND_OPENCL, "-------", "-------"},
    {CPU_ONLY, DLM_BACKEND_VULKAN, "-------", "-------"},
    /* auto never takes a software device, and one that is asked for is the CPU all the same */
    {SOFTWARE, DLM_BACKEND_AUTO, "..cCCcC", "...CC.C"},
    {SOFTWARE, DLM_BACKEND_CPU, "..cCCcC", "...CC.C"},
    {SOFTWARE, DLM_BACKEND_OPENCL, "..cCCcC", "...CC.C"},
    {SOFTWARE, DLM_BACKEND_VULKAN, "..cCCcC", "...CC.C"},
    {CARD_8, DLM_BACKEND_AUTO, "..ddddd", "..ddddd"},
    {CARD_8, DLM_BACKEND_CPU, "..cCCcC", "...CC.C"},
    {CARD_8, DLM_BACKEND_OPENCL, "..ddddd", "..ddddd"},
    {CARD_8, DLM_BACKEND_VULKAN, "..ddddd", "..ddddd"}, /* hardware before software */
    {CARD_UNDER_12, DLM_BACKEND_AUTO, "..ddddd", "..ddddd"},
    {CARD_UNDER_12, DLM_BACKEND_OPENCL, "..ddddd", "..ddddd"},
    {CARD_UNDER_12, DLM_BACKEND_VULKAN, "..ddddd", "..ddddd"},
    {CARD_12, DLM_BACKEND_AUTO, ".......", "......."},
    {CARD_12, DLM_BACKEND_CPU, "..cCCcC", "...CC.C"},
    {CARD_12, DLM_BACKEND_OPENCL, ".......", "......."},
    {CARD_12, DLM_BACKEND_VULKAN, ".......", "......."},
    /* what does not fit there is the plan's to refuse */
    {CARD_24, DLM_BACKEND_AUTO, ".......", "......."},
    {CARD_24, DLM_BACKEND_CPU, "..cCCcC", "...CC.C"},
    {CARD_24, DLM_BACKEND_OPENCL, ".......", "......."},
    {CARD_24, DLM_BACKEND_VULKAN, ".......", "......."},
    {CARD_UNKNOWN, DLM_BACKEND_AUTO, "..xxxxx", "..xxxxx"},
    {CARD_UNKNOWN, DLM_BACKEND_OPENCL, "..xxxxx", "..xxxxx"},
    {CARD_UNKNOWN, DLM_BACKEND_VULKAN, "..xxxxx", "..xxxxx"},
    {SHARED_8, DLM_BACKEND_AUTO, "..uuuuu", "......."},
    {SHARED_8, DLM_BACKEND_CPU, "..cCCcC", "...CC.C"},
    {SHARED_8, DLM_BACKEND_OPENCL, "..uuuuu", "......."},
    {SHARED_8, DLM_BACKEND_VULKAN, "..uuuuu", "......."},
    {SHARED_UNDER_16, DLM_BACKEND_AUTO, "..uuuuu", "......."},
    {SHARED_UNDER_16, DLM_BACKEND_OPENCL, "..uuuuu", "......."},
    {SHARED_UNDER_16, DLM_BACKEND_VULKAN, "..uuuuu", "......."},
    /* drivers give a part of the memory; all of it counts. 24e9 * 2 bytes are 44.7 GiB */
    {SHARED_16, DLM_BACKEND_AUTO, "......b", "......."},
    {SHARED_16, DLM_BACKEND_CPU, "..cCCcC", "...CC.C"},
    {SHARED_16, DLM_BACKEND_OPENCL, "......b", "......."},
    {SHARED_16, DLM_BACKEND_VULKAN, "......b", "......."},
    /* 44.7 / 0.85 = 52.6 */
    {SHARED_52, DLM_BACKEND_AUTO, "......b", "......."},
    {SHARED_52, DLM_BACKEND_OPENCL, "......b", "......."},
    {SHARED_52, DLM_BACKEND_VULKAN, "......b", "......."},
    {SHARED_53, DLM_BACKEND_AUTO, ".......", "......."},
    {SHARED_53, DLM_BACKEND_CPU, "..cCCcC", "...CC.C"},
    {SHARED_53, DLM_BACKEND_OPENCL, ".......", "......."},
    {SHARED_53, DLM_BACKEND_VULKAN, ".......", "......."},
    {TWO_CARDS, DLM_BACKEND_AUTO, "..ddddd", "..ddddd"},
    {TWO_CARDS, DLM_BACKEND_OPENCL, ".......", "......."},
    {TWO_CARDS, DLM_BACKEND_VULKAN, "..ddddd", "..ddddd"},
};

/* What the refusal of a letter says, of so many parameters. */
static void words_of(char letter, double params, const struct dlm_device_info *device,
                     uint64_t machine_bytes, char *text, size_t bytes)
{
    const double millions = params / 1e6, gb = (double)machine_bytes / 1e9;

    switch (letter) {
    case 'C':
        snprintf(text, bytes, "doctor: refusing to train a %.0fM-parameter model on CPU: bases of "
                 "the registry of 1000M and more train on a GPU only, and nothing overrides this",
                 millions);
        break;
    case 'c':
        snprintf(text, bytes, "doctor: refusing to train a %.0fM-parameter model on CPU: CPU "
                 "training is capped at 200M parameters by default", millions);
        break;
    case 'd':
        snprintf(text, bytes, "doctor: refusing to train a %.0fM-parameter model on a device with "
                 "%.1f GB of memory: vision-language training asks for 12 GB, and nothing "
                 "overrides this", millions, (double)device->memory_bytes / 1e9);
        break;
    case 'x':
        snprintf(text, bytes, "doctor: refusing to train a %.0fM-parameter model on a device whose "
                 "driver does not tell how much memory it has: vision-language training asks for "
                 "12 GB, and nothing overrides this", millions);
        break;
    case 'u':
        snprintf(text, bytes, "doctor: refusing to train a %.0fM-parameter model in %.1f GB of "
                 "unified memory: vision-language training asks for 16 GB", millions, gb);
        break;
    case 'b':
        snprintf(text, bytes, "doctor: refusing this base in unified memory by default: even an "
                 "fp16 base copy is ~%.1f GiB vs ~%.1f GiB usable headroom from %.1f GiB unified "
                 "memory", params * 2 / GIB, 0.85 * (double)machine_bytes / GIB,
                 (double)machine_bytes / GIB);
        break;
    default:
        *text = '\0';
    }
}

static void check_cell(struct dlm_ctx *ctx, const struct machine *machine,
                       const struct dlm_device_info *device, size_t b, char letter, bool force)
{
    struct dlm_base base = {0};
    char text[512];

    if (bases[b].name && !CHECK(!dlm_base_identify(ctx, &base, bases[b].name)))
        return;
    struct dlm_refusal_facts facts =
        dlm_may_train_facts_of(device, machine->memory_bytes, &base);
    if (bases[b].name)
        CHECK(facts.params == bases[b].params);
    facts.params = bases[b].params;
    facts.force = force;
    const enum dlm_status st = dlm_refusal_check(ctx, &facts);
    words_of(letter, bases[b].params, device, machine->memory_bytes, text, sizeof(text));
    if (!CHECK_INT(st, letter == '.' ? DLM_OK : DLM_ERR_UNSUPPORTED) ||
        (st && !CHECK_STR(dlm_ctx_last_error(ctx), text)))
        printf("     base %zu%s\n", b, force ? ", forced" : "");
    dlm_base_finish(&base);
}

static void check_row(struct dlm_ctx *ctx, size_t i)
{
    const struct machine *machine = &machines[rows[i].machine];
    const enum dlm_backend_kind kind = rows[i].backend;
    char name[128];

    snprintf(name, sizeof(name), "%s, %s", machine->name, dlm_backend_name(kind));
    check_case(name);
    const struct dlm_device_info *device =
        kind == DLM_BACKEND_AUTO ? dlm_device_auto(machine->devices, machine->num_devices)
                                 : dlm_device_first(machine->devices, machine->num_devices, kind);
    if (!CHECK(!device == (rows[i].rules[0] == '-')) || !device)
        return;
    for (size_t b = 0; b < sizeof(bases) / sizeof(bases[0]); b++)
        for (int force = 0; force < 2; force++)
            check_cell(ctx, machine, device, b, (force ? rows[i].forced : rows[i].rules)[b],
                       force);
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);

    if (CHECK(ctx))
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            check_row(ctx, i);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
