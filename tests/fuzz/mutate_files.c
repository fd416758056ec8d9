/* Damages every file that the program reads, one at a time, and runs the public interface over it:
 * base, adapter, image, document, and what lies in the store. A call may fail, in one line that it
 * keeps as the last error; it may not crash, hang or leak.
 *
 *     mutate_files FOLDER        FOLDER holds base/, adapter/, images/ and doc.dlm; 300 cases, or
 *                                DLM_FUZZ_RUNS / 25 of them, from seed DLM_FUZZ_SEED (1)
 *     mutate_files FOLDER CASE   one case again, and what it says
 *
 * Everything lies in a temporary folder: seed/ as it should be, case/ its copy with one file
 * damaged. A case that crashes or hangs is named, and its case/ stays. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dlm/dlm.h"
#include "mutate.h"
#include "tests/check.h"

#define PARSER_RUNS 25 /* a case takes as long as so many inputs of a parser alone */
#define CASE_SECONDS 60 /* of wall time, sanitizers and a busy machine included */
#define MAX_FILES 64
#define MAX_BYTES ((size_t)2 << 20)
#define HEADER_BYTES 8192 /* of a tensor file: what is damaged most of the time */

enum use { USE_SCORE, USE_PROMPT, USE_TRAIN, USE_RESUME, USE_PREPROCESS, USE_TOKENIZE, USE_SHOW,
           USE_COUNT };

static const char *const use_names[USE_COUNT] = {"score", "prompt", "train", "resume",
                                                 "preprocess", "tokenize", "show"};

/* Which calls read a file, by how its path below seed/ begins; the first row that fits. */
static const struct {
    const char *prefix;
    unsigned uses;
} readers[] = {
    {"base/generation_config", 1 << USE_SCORE},
    {"base/tokenizer_config", 1 << USE_SCORE},
    {"base/tokenizer", 1 << USE_SCORE | 1 << USE_TOKENIZE | 1 << USE_TRAIN},
    {"base/preprocessor", 1 << USE_SCORE | 1 << USE_PREPROCESS | 1 << USE_RESUME},
    {"base/", 1 << USE_SCORE | 1 << USE_PROMPT | 1 << USE_TRAIN | 1 << USE_RESUME},
    {"adapter/", 1 << USE_SCORE},
    {"images/", 1 << USE_SCORE | 1 << USE_PREPROCESS | 1 << USE_TRAIN},
    {"doc.dlm", 1 << USE_TRAIN | 1 << USE_SHOW | 1 << USE_PROMPT},
    {"home/", 1 << USE_PROMPT | 1 << USE_TRAIN | 1 << USE_RESUME | 1 << USE_SHOW},
};

static struct {
    char *files[MAX_FILES]; /* below seed/, owned */
    size_t num_files;
    char dir[128];
    uint64_t seed;
    long number; /* of the case in work */
    bool is_loud;
    const char *file, *use;
    long failed_calls;
} fuzz;

/* --- files --- */

static uint8_t *read_whole(const char *path, size_t *size)
{
    uint8_t *data = malloc(MAX_BYTES);
    FILE *f = fopen(path, "rb");

    *size = data && f ? fread(data, 1, MAX_BYTES, f) : 0;
    if (!data || !f || ferror(f)) {
        free(data);
        data = NULL;
    }
    if (f)
        fclose(f);
    return data;
}

static bool write_whole(const char *path, const uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    const bool ok = f && fwrite(data, 1, size, f) == size;

    return f && !fclose(f) && ok;
}

/* A file's times are part of a base's identity. */
static bool keep_times(const char *path, const struct stat *sb)
{
    const struct timespec times[2] = {sb->st_atim, sb->st_mtim};
    return !utimensat(AT_FDCWD, path, times, 0);
}

static struct {
    char from[256], to[256];
} copying;

static int copy_entry(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
    char to[1024];
    size_t size;

    (void)ftw;
    snprintf(to, sizeof(to), "%s%s", copying.to, path + strlen(copying.from));
    if (type == FTW_D)
        return mkdir(to, 0755) && errno != EEXIST;
    uint8_t *data = read_whole(path, &size);
    const bool ok = data && write_whole(to, data, size) && keep_times(to, sb);
    free(data);
    return !ok;
}

static bool copy_tree(const char *from, const char *to)
{
    snprintf(copying.from, sizeof(copying.from), "%s", from);
    snprintf(copying.to, sizeof(copying.to), "%s", to);
    return !nftw(from, copy_entry, 16, FTW_PHYS);
}

static int remove_entry(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
    (void)sb, (void)type, (void)ftw;
    return remove(path);
}

static void remove_tree(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_PHYS | FTW_DEPTH);
}

static int list_entry(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
    (void)sb, (void)ftw;
    if (type == FTW_F && fuzz.num_files < MAX_FILES)
        fuzz.files[fuzz.num_files++] = strdup(path + strlen("seed/"));
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* --- calls, in the working folder --- */

static void on_log(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (fuzz.is_loud)
        fprintf(stderr, "%d: %s\n", (int)level, text);
}

static void cancel_after_two(void *user, const struct dlm_train_progress *progress)
{
    if (progress->step == 2)
        dlm_ctx_cancel((struct dlm_ctx *)user);
}

static const struct dlm_compute on_cpu = {.backend = DLM_BACKEND_CPU};
static const char *const one_image[] = {"images/one.png"};

static enum dlm_status call_train(struct dlm_ctx *ctx, bool resume, int64_t steps,
                                  bool interrupt)
{
    const struct dlm_train_params params = {
        .document = "doc.dlm", .home = "home", .compute = on_cpu, .max_steps = steps,
        .resume = resume, .take_over = true, /* case/ is a copy, seed/ is still there */
        .progress = interrupt ? cancel_after_two : NULL, .user = ctx};
    struct dlm_train_result result;

    enum dlm_status st = dlm_train(ctx, &params, &result);
    dlm_train_result_finish(&result);
    return st;
}

static enum dlm_status call_score(struct dlm_ctx *ctx)
{
    const struct dlm_session_params from = {
        .base = "dir:base", .adapter = "adapter", .compute = on_cpu};
    const struct dlm_score_request request = {
        .prompt = "blue an?", .target = "caption", .images = one_image, .num_images = 1};
    struct dlm_score_result result;

    enum dlm_status st = dlm_score(ctx, &from, &request, &result);
    dlm_score_result_finish(&result);
    return st;
}

static enum dlm_status call_prompt(struct dlm_ctx *ctx)
{
    const struct dlm_session_params from = {
        .document = "doc.dlm", .home = "home", .compute = on_cpu};
    const struct dlm_prompt_request request = {
        .query = "blue an?", .images = one_image, .num_images = 1, .max_tokens = 3};

    return dlm_prompt(ctx, &from, &request);
}

static enum dlm_status call_preprocess(struct dlm_ctx *ctx)
{
    const struct dlm_preprocess_params params = {
        .base = "dir:base", .image = one_image[0], .out = "pixels.npz"};

    return dlm_preprocess_image(ctx, &params);
}

static enum dlm_status call_tokenize(struct dlm_ctx *ctx)
{
    static const char text[] = "blue an? <image> \xc3\xa9\n<loc0001> 12345";
    const struct dlm_encoder_params params = {.base = "dir:base", .raw = true};
    struct dlm_encoder *encoder = NULL;
    const int32_t *ids;
    size_t num;

    enum dlm_status st = dlm_encoder_create(ctx, &encoder, &params);
    if (!st)
        st = dlm_encoder_encode(ctx, encoder, text, sizeof(text) - 1, &ids, &num);
    dlm_encoder_destroy(&encoder);
    return st;
}

static enum dlm_status call_show(struct dlm_ctx *ctx)
{
    const struct dlm_document_show_params params = {.path = "doc.dlm", .home = "home",
                                                    .json = true};
    char *text;

    enum dlm_status st = dlm_document_show(ctx, &params, &text);
    dlm_text_free(text);
    return st;
}

static enum dlm_status call(struct dlm_ctx *ctx, enum use use)
{
    switch (use) {
    case USE_SCORE: return call_score(ctx);
    case USE_PROMPT: return call_prompt(ctx);
    case USE_TRAIN: return call_train(ctx, false, 2, false);
    case USE_RESUME: return call_train(ctx, true, 4, false);
    case USE_PREPROCESS: return call_preprocess(ctx);
    case USE_TOKENIZE: return call_tokenize(ctx);
    default: return call_show(ctx);
    }
}

/* One call in a folder below the temporary one, on a context of its own. */
static enum dlm_status run_in(const char *folder, enum use use, bool interrupt)
{
    const struct dlm_ctx_params params = {.log = on_log, .num_threads = 1};
    struct dlm_ctx *ctx = dlm_ctx_create(&params);
    enum dlm_status st = DLM_ERR_MEMORY;

    if (!CHECK(ctx) || !CHECK(!chdir(folder)))
        goto done;
    fuzz.use = use_names[use];
    alarm(CASE_SECONDS);
    st = interrupt ? call_train(ctx, false, 4, true) : call(ctx, use);
    alarm(0);
    CHECK(!chdir(".."));
    CHECK(!st == !*dlm_ctx_last_error(ctx)); /* every failure says what it is */
done:
    dlm_ctx_destroy(&ctx);
    return st;
}

/* --- cases --- */

static void say(const char *text)
{
    ssize_t n = write(STDERR_FILENO, text, strlen(text));
    (void)n; /* nothing can be done about it here */
}

/* Only what a signal handler may call; the number was put into text before. */
static char case_text[400];

static void name_case(void)
{
    say(case_text);
    say(fuzz.use ? fuzz.use : "?");
    say("\n");
}

static void on_signal(int number)
{
    say(number == SIGALRM ? "FAIL takes too long: " : "FAIL crash: ");
    name_case();
    signal(number, SIG_DFL);
    raise(number == SIGALRM ? SIGABRT : number);
}

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void install_handlers(void)
{
    const struct sigaction action = {.sa_handler = on_signal};
    static const int memory[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

    sigaction(SIGALRM, &action, NULL);
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(name_case);
        return; /* the runtime's own handlers say more */
    }
    for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++)
        sigaction(memory[i], &action, NULL);
}

static unsigned uses_of(const char *file)
{
    for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
        if (!strncmp(file, readers[i].prefix, strlen(readers[i].prefix)))
            return readers[i].uses;
    return 0;
}

/* Damages case/<file>; tensor files mostly in their header. */
static bool damage(const char *file)
{
    char path[512];
    struct stat sb;
    size_t size, keep = 0;

    snprintf(path, sizeof(path), "case/%s", file);
    uint8_t *data = read_whole(path, &size);
    bool ok = data && !stat(path, &sb);
    if (ok && strstr(file, ".safetensors") && size > HEADER_BYTES && fuzz_random_below(8)) {
        size_t header = 8 + ((size_t)data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16);
        keep = header < size ? size - header : 0; /* the tensors follow as they are */
    }
    uint8_t *head = ok ? malloc(MAX_BYTES) : NULL;
    if (head) {
        const size_t head_size = size - keep;
        memcpy(head, data, head_size);
        size_t new_size = fuzz_random_below(2)
                              ? fuzz_change_number(head, head_size, MAX_BYTES - keep)
                              : fuzz_mutate(head, head_size, MAX_BYTES - keep, data, head_size);
        if (keep && fuzz_random_below(2)) { /* the length word tells the truth: on to the JSON */
            const uint64_t len = new_size > 8 ? new_size - 8 : 0;
            for (size_t i = 0; i < 8 && i < new_size; i++)
                head[i] = (uint8_t)(len >> 8 * i);
        }
        memcpy(head + new_size, data + head_size, keep);
        ok = write_whole(path, head, new_size + keep) && keep_times(path, &sb);
    }
    free(head);
    free(data);
    return ok && head;
}

static void run_case(long number)
{
    fuzz_random_start(fuzz.seed, (uint64_t)number);
    fuzz.file = fuzz.files[fuzz_random_below(fuzz.num_files)];
    const unsigned uses = uses_of(fuzz.file);
    snprintf(case_text, sizeof(case_text), "seed %llu, case %ld (in %s/case), '%s', ",
             (unsigned long long)fuzz.seed, number, fuzz.dir, fuzz.file);
    for (int use = 0; use < USE_COUNT; use++) {
        if (!(uses & 1u << use) || (fuzz_random_below(2) && !fuzz.is_loud))
            continue;
        remove_tree("case");
        fuzz_random_start(fuzz.seed, (uint64_t)number + ((uint64_t)use + 1) * 1000000007u);
        if (!CHECK(copy_tree("seed", "case")) || !CHECK(damage(fuzz.file)))
            return;
        enum dlm_status st = run_in("case", (enum use)use, false);
        fuzz.failed_calls += st != DLM_OK;
        if (check_state_.failed || fuzz.is_loud)
            fprintf(stderr, "%s%s: %s\n", case_text, use_names[use], dlm_status_text(st));
        if (check_state_.failed)
            return;
    }
}

/* seed/: the given folder, an adapter version, a version more that is unfinished. */
static bool make_seed(const char *golden)
{
    check_case("the files as they should be");
    if (!CHECK(copy_tree(golden, "seed")))
        return false;
    CHECK(run_in("seed", USE_TRAIN, false) == DLM_OK);
    CHECK(run_in("seed", USE_TRAIN, true) == DLM_ERR_CANCELLED);
    CHECK(!nftw("seed", list_entry, 16, FTW_PHYS));
    qsort(fuzz.files, fuzz.num_files, sizeof(*fuzz.files), compare_names);
    for (size_t i = 0; i < fuzz.num_files;) {
        if (uses_of(fuzz.files[i])) {
            i++;
            continue;
        }
        free(fuzz.files[i]);
        fuzz.files[i] = fuzz.files[--fuzz.num_files];
    }
    CHECK(fuzz.num_files > 20);
    for (int use = 0; use < USE_COUNT; use++) {
        remove_tree("case");
        CHECK(copy_tree("seed", "case"));
        CHECK(run_in("case", (enum use)use, false) == DLM_OK);
    }
    return !check_state_.failed;
}

static long number_from_env(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    const long runs = number_from_env("DLM_FUZZ_RUNS", 300L * PARSER_RUNS) / PARSER_RUNS;
    char *golden = argc > 1 ? realpath(argv[1], NULL) : NULL;

    if (!golden) {
        fprintf(stderr, "usage: mutate_files FOLDER [CASE]\n");
        return 2;
    }
    fuzz.seed = (uint64_t)number_from_env("DLM_FUZZ_SEED", 1);
    fuzz.is_loud = argc > 2;
    if (!tmp) /* in memory, for the many fsyncs */
        tmp = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    snprintf(fuzz.dir, sizeof(fuzz.dir), "%s/mutate_files.XXXXXX", tmp);
    if (!mkdtemp(fuzz.dir) || chdir(fuzz.dir)) {
        fprintf(stderr, "cannot work in '%s' on '%s'\n", fuzz.dir, golden);
        return 2;
    }
    install_handlers();
    if (make_seed(golden)) {
        check_case("damaged files");
        if (argc > 2)
            run_case(strtol(argv[2], NULL, 10));
        for (fuzz.number = 0; argc <= 2 && fuzz.number < runs; fuzz.number++) {
            run_case(fuzz.number);
            if (check_state_.failed)
                break;
        }
        CHECK(fuzz.failed_calls > 0);
        printf("%ld cases of %zu files, seed %llu: %ld calls refused them\n", fuzz.number,
               fuzz.num_files, (unsigned long long)fuzz.seed, fuzz.failed_calls);
    }
    CHECK(!chdir("/"));
    if (!check_state_.failed && !fuzz.is_loud)
        remove_tree(fuzz.dir);
    for (size_t i = 0; i < fuzz.num_files; i++)
        free(fuzz.files[i]);
    free(golden);
    return check_summary();
}
