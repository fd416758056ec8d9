/* Damages the GGUF files of a base where a model is described, one place or a few at a time: keys,
 * numbers, strings, tensors' names, types and shapes. Opening may fail, in a line that it keeps as
 * the last error; what opens is planned, loaded and encoded with, and may not crash or read beyond
 * the files.
 *
 *     mutate_gguf BASE ADAPTER      folders of a base and of an adapter of it; 2000 runs, or
 *                                   DLM_FUZZ_RUNS / 4 of them, from seed DLM_FUZZ_SEED (1)
 *     mutate_gguf BASE ADAPTER RUN  one run again, and what it says */
#include "models/gguf_model.h"
#include "mutate.h"
#include "tests/export/jobs.h"
#include "use_tokenizer.h"
#include "weights/helpers.h"

#define DEFAULT_RUNS 8000
#define PARSER_RUNS 4 /* a run takes as long as so many inputs of a parser alone */

enum { TEXT, TOWER, NUM_FILES };

struct file {
    char path[600];
    uint8_t *data, *copy;
    size_t size, header; /* bytes before the first tensor's */
    struct dlm_gguf *gguf; /* of data */
};

static struct dlm_ctx *ctx;
static struct dlm_device *device;
static struct file files[NUM_FILES];
static long num_refused, num_opened;

static bool export_base(const char *dir, const char *adapter)
{
    struct dlm_export_result result;
    const struct dlm_export_job job = {.adapter = adapter,
                                       .is_gguf = true,
                                       .quant = DLM_GGUF_QUANT_Q8_0,
                                       .to = {.path = tmp_path("gguf")}};

    const enum dlm_status st = export_folder(ctx, dir, job, dlm_export_gguf, &result);
    dlm_export_result_finish(&result);
    return CHECK(!st);
}

static bool read_file(struct file *f, const char *name)
{
    struct dlm_str text = {0};

    snprintf(f->path, sizeof(f->path), "%s", tmp_path(name));
    if (!CHECK(!dlm_file_read(ctx, f->path, (size_t)16 << 20, &text)))
        return false;
    f->data = (uint8_t *)text.data;
    f->size = f->header = text.len;
    f->copy = malloc(f->size);
    if (!CHECK(!dlm_gguf_open_memory(ctx, &f->gguf, name, f->data, f->size)))
        return false;
    for (size_t i = 0; i < dlm_gguf_num_tensors(f->gguf); i++)
        f->header = DLM_MIN(f->header, (size_t)(dlm_gguf_tensor(f->gguf, i)->data - f->data));
    return f->copy;
}

/* --- damage, in f->copy ---------------------------------------------------------------------- */

static void put(struct file *f, size_t at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes && at + i < f->size; i++)
        f->copy[at + i] = (uint8_t)(value >> 8 * i);
}

static uint64_t odd_number(uint64_t now)
{
    static const uint64_t numbers[] = {0, 1, 2, 3, 7, 32, 127, 256, 1 << 16, 1 << 24, INT32_MAX,
                                       UINT32_MAX, INT64_MAX, UINT64_MAX, 0x7fc00000, 0xbf800000};
    const size_t n = fuzz_random_below(DLM_ARRAY_LEN(numbers) + 4);

    if (n < DLM_ARRAY_LEN(numbers))
        return numbers[n];
    return n % 4 == 0 ? now + 1 : n % 4 == 1 ? now - 1 : n % 4 == 2 ? now * 2 : now / 2;
}

/* A number of a value, or a letter of a string; of an array, of one element. */
static void damage_value(struct file *f)
{
    const struct dlm_gguf_value *v =
        dlm_gguf_value(f->gguf, fuzz_random_below(dlm_gguf_num_values(f->gguf)));
    const bool is_array = v->kind == DLM_GGUF_KIND_ARRAY;
    const enum dlm_gguf_kind kind = is_array ? v->element : v->kind;
    const size_t size = dlm_gguf_kind_size((uint32_t)kind);
    size_t at = (size_t)(v->data - f->data);

    if (!v->len)
        return;
    if (!size) { /* strings: somewhere in the first few hundred bytes of them */
        put(f, at + fuzz_random_below(is_array ? DLM_MIN(v->len, (size_t)400) : 24),
            fuzz_random_below(2) ? fuzz_random_below(256) : 'q', 1);
        return;
    }
    at += fuzz_random_below(v->len) * size;
    put(f, at, odd_number(f->data[at]), size);
}

static void damage_key(struct file *f)
{
    const struct dlm_gguf_value *v =
        dlm_gguf_value(f->gguf, fuzz_random_below(dlm_gguf_num_values(f->gguf)));
    const size_t len = strlen(v->key);
    uint8_t *at = memmem(f->copy, f->header, v->key, len);

    if (at)
        at[fuzz_random_below(len)] ^= (uint8_t)(1 + fuzz_random_below(3));
}

/* Behind a tensor's name: the number of dimensions, they, the type, the offset. */
static void damage_tensor(struct file *f)
{
    const struct dlm_gguf_tensor *t =
        dlm_gguf_tensor(f->gguf, fuzz_random_below(dlm_gguf_num_tensors(f->gguf)));
    const size_t len = strlen(t->name);
    uint8_t *name = memmem(f->copy, f->header, t->name, len);

    if (!name)
        return;
    const size_t at = (size_t)(name - f->copy) + len, after = at + 4 + 8 * (size_t)t->ndim;
    const size_t dim = fuzz_random_below((size_t)t->ndim);
    switch (fuzz_random_below(6)) {
    case 0:
        name[fuzz_random_below(len)] ^= (uint8_t)(1 + fuzz_random_below(3));
        break;
    case 1:
        put(f, at + 4 + 8 * dim, odd_number((uint64_t)t->ne[dim]), 8);
        break;
    case 2: /* the same bytes in another shape */
        if (t->ndim > 1 && t->ne[1] % 2 == 0) {
            put(f, at + 4, (uint64_t)t->ne[0] * 2, 8);
            put(f, at + 12, (uint64_t)t->ne[1] / 2, 8);
        }
        break;
    case 3:
        if (t->ndim > 1) {
            put(f, at + 4, (uint64_t)t->ne[1], 8);
            put(f, at + 12, (uint64_t)t->ne[0], 8);
        }
        break;
    case 4: /* a type of as many bytes, or fewer */
        put(f, after, fuzz_random_below(2) ? 30 : fuzz_random_below(44), 4);
        break;
    default:
        put(f, after + 4, odd_number(0) / 32 * 32, 8);
    }
}

static void damage(struct file *f)
{
    size_t num = 1 + fuzz_random_below(3);

    while (num--)
        switch (fuzz_random_below(7)) {
        case 0:
            f->copy[fuzz_random_below(f->header)] = (uint8_t)fuzz_random_below(256);
            break;
        case 1:
            damage_key(f);
            break;
        case 2:
        case 3:
        case 4:
            damage_tensor(f);
            break;
        default:
            damage_value(f);
        }
}

/* --- use ------------------------------------------------------------------------------------- */

static enum dlm_status use(struct dlm_model *m, const struct dlm_gguf_paths *paths)
{
    enum dlm_status st = use_tokenizer(ctx, paths);

    return st ? st : dlm_weights_load(m->weights, DLM_WEIGHT_GROUPS_ALL);
}

static bool run(uint64_t seed, long number, bool is_loud)
{
    const struct dlm_gguf_paths paths = {tmp_path("a.gguf"), tmp_path("b.gguf")};
    char names[NUM_FILES][512];
    struct dlm_model *m = NULL;

    fuzz_random_start(seed, (uint64_t)number);
    snprintf(names[TEXT], sizeof(names[TEXT]), "%s", paths.text);
    snprintf(names[TOWER], sizeof(names[TOWER]), "%s", paths.tower);
    for (int i = 0; i < NUM_FILES; i++)
        memcpy(files[i].copy, files[i].data, files[i].size);
    if (number >= 0)
        damage(&files[fuzz_random_below(3) ? TEXT : TOWER]);
    for (int i = 0; i < NUM_FILES; i++)
        if (!CHECK(put_file(names[i], files[i].copy, files[i].size)))
            return false;
    dlm_log_forget(ctx);
    enum dlm_status st = dlm_gguf_model_open(ctx, &m, device, &paths, DLM_DTYPE_F32, NULL);
    num_opened += !st;
    if (!st)
        st = use(m, &paths);
    num_refused += st != DLM_OK;
    if (is_loud)
        printf("run %ld: %s: %s\n", number, dlm_status_text(st), dlm_ctx_last_error(ctx));
    dlm_model_destroy(&m);
    return CHECK(!st == !*dlm_ctx_last_error(ctx)) && CHECK(number >= 0 || !st);
}

int main(int argc, char **argv)
{
    const struct dlm_device_params params = {.kind = DLM_BACKEND_CPU, .index = -1};
    const char *runs = getenv("DLM_FUZZ_RUNS"), *seed_text = getenv("DLM_FUZZ_SEED");
    const long num = (runs && *runs ? strtol(runs, NULL, 10) : DEFAULT_RUNS) / PARSER_RUNS;
    const uint64_t seed = seed_text && *seed_text ? strtoull(seed_text, NULL, 10) : 1;

    if (argc < 3) {
        fprintf(stderr, "usage: mutate_gguf BASE ADAPTER [RUN]\n");
        return 2;
    }
    ctx = dlm_ctx_create(NULL);
    tmp_make();
    check_case("the files as they should be");
    if (!CHECK(ctx) || !CHECK(!dlm_device_open(ctx, &device, &params)) ||
        !export_base(argv[1], argv[2]) || !read_file(&files[TEXT], "gguf/base.Q8_0.gguf") ||
        !read_file(&files[TOWER], "gguf/mmproj.Q8_0.gguf") || !run(seed, -1, false))
        goto done;
    check_case("damaged files");
    num_refused = num_opened = 0;
    if (argc > 3)
        run(seed, strtol(argv[3], NULL, 10), true);
    for (long i = 0; argc == 3 && i < num; i++)
        if (!run(seed, i, false)) {
            printf("seed %llu, run %ld\n", (unsigned long long)seed, i);
            break;
        }
    CHECK(argc > 3 || (num_refused > num / 4 && num_opened > num / 20));
    printf("%ld runs: %ld opened, %ld refused\n", num, num_opened, num_refused);
done:
    for (int i = 0; i < NUM_FILES; i++) {
        dlm_gguf_destroy(&files[i].gguf);
        dlm_free(files[i].data);
        free(files[i].copy);
    }
    dlm_device_destroy(&device);
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
