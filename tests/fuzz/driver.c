/* Runs a fuzz entry point without a fuzzing engine: over its corpus, then over random mutations of
 * it that depend on the seed alone.
 *
 *     fuzz_doc CORPUS_FOLDER        as a test; DLM_FUZZ_RUNS mutations (default 2000), from seed
 *                                   DLM_FUZZ_SEED (default 1)
 *     fuzz_doc FILE...              these inputs only, to look at a failure
 *
 * An input that crashes, or takes longer than INPUT_SECONDS, is written to the working folder as
 * `fuzz_doc.failed`. With an engine (-Dfuzz=true) this file is left out. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mutate.h"
#include "tests/check.h"

#define INPUT_SECONDS 60 /* of wall time, sanitizers and a busy machine included */
#define MAX_BYTES ((size_t)1 << 20)
#define MAX_FILES 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The sanitizers' runtime calls this before it ends the process; absent without one. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

struct input {
    uint8_t *data; /* owned */
    size_t size;
};

static struct {
    struct input files[MAX_FILES];
    size_t num_files;
    char failed_path[128];
    const uint8_t *data; /* the input in work, for the handlers */
    size_t size;
} fuzz;

/* --- failures --- */

/* Only what a signal handler may call. */
static void save_input(void)
{
    int fd = open(fuzz.failed_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd < 0)
        return;
    for (size_t done = 0; done < fuzz.size;) {
        ssize_t n = write(fd, fuzz.data + done, fuzz.size - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    close(fd);
}

static void say(const char *text)
{
    ssize_t n = write(STDERR_FILENO, text, strlen(text));
    (void)n; /* nothing can be done about it here */
}

static void on_signal(int number)
{
    save_input();
    say(number == SIGALRM ? "FAIL an input takes too long; it is in " : "FAIL crash; input in ");
    say(fuzz.failed_path);
    say("\n");
    int end = number == SIGALRM ? SIGABRT : number;
    signal(end, SIG_DFL);
    raise(end);
}

static void install_handlers(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    static const int always[] = {SIGALRM, SIGILL, SIGTRAP, SIGABRT};
    static const int memory[] = {SIGSEGV, SIGBUS, SIGFPE};

    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        sigaction(always[i], &action, NULL);
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(save_input);
        return; /* the runtime's own handlers say more */
    }
    for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++)
        sigaction(memory[i], &action, NULL);
}

/* --- running --- */

/* The entry point gets a block of exactly the input's size, so that a read beyond it is seen. */
static void run_one(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy) {
        CHECK(copy);
        return;
    }
    memcpy(copy, data, size);
    fuzz.data = copy;
    fuzz.size = size;
    alarm(INPUT_SECONDS);
    LLVMFuzzerTestOneInput(copy, size);
    alarm(0);
    fuzz.data = NULL;
    fuzz.size = 0;
    free(copy);
}

static bool read_input(const char *path, struct input *in)
{
    FILE *f = fopen(path, "rb");

    *in = (struct input){.data = malloc(MAX_BYTES)};
    if (f && in->data)
        in->size = fread(in->data, 1, MAX_BYTES, f);
    bool ok = f && in->data && !ferror(f);
    if (f)
        fclose(f);
    uint8_t *fitted = ok ? realloc(in->data, in->size + 1) : NULL;
    if (fitted)
        in->data = fitted;
    return ok;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* In the order of names, so that the mutations do not depend on the file system. */
static bool read_corpus(const char *folder)
{
    struct dirent **entries = NULL;
    int num = scandir(folder, &entries, NULL, compare_names);
    bool ok = num >= 0;

    for (int i = 0; i < num; i++) {
        char path[4096];
        struct stat info;
        snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        if (ok && !stat(path, &info) && S_ISREG(info.st_mode) && fuzz.num_files < MAX_FILES)
            ok = read_input(path, &fuzz.files[fuzz.num_files++]);
        free(entries[i]);
    }
    free(entries);
    return ok;
}

static void run_mutations(uint64_t seed, long runs)
{
    uint8_t *data = malloc(MAX_BYTES);

    if (!CHECK(data && fuzz.num_files))
        goto done;
    for (long i = 0; i < runs; i++) {
        /* each run starts afresh, so that one is repeated without those before it */
        fuzz_random_start(seed, (uint64_t)i);
        const struct input *from = &fuzz.files[fuzz_random_below(fuzz.num_files)];
        const struct input *other = &fuzz.files[fuzz_random_below(fuzz.num_files)];
        memcpy(data, from->data, from->size);
        run_one(data, fuzz_mutate(data, from->size, MAX_BYTES, other->data, other->size));
    }
done:
    free(data);
}

static long number_from_env(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash ? slash + 1 : argv[0];
    struct stat info;

    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER | FILE...\n", name);
        return 2;
    }
    snprintf(fuzz.failed_path, sizeof(fuzz.failed_path), "%s.failed", name);
    install_handlers();
    check_case("corpus");
    if (!stat(argv[1], &info) && S_ISDIR(info.st_mode)) {
        CHECK(read_corpus(argv[1]));
    } else {
        for (int i = 1; i < argc && i <= MAX_FILES; i++)
            CHECK(read_input(argv[i], &fuzz.files[fuzz.num_files++]));
    }
    CHECK(fuzz.num_files > 0);
    for (size_t i = 0; i < fuzz.num_files; i++)
        run_one(fuzz.files[i].data, fuzz.files[i].size);
    printf("%zu inputs\n", fuzz.num_files);

    if (!stat(argv[1], &info) && S_ISDIR(info.st_mode)) {
        long runs = number_from_env("DLM_FUZZ_RUNS", 2000);
        long seed = number_from_env("DLM_FUZZ_SEED", 1);
        check_case("mutations");
        run_mutations((uint64_t)seed, runs);
        printf("%ld mutations, seed %ld\n", runs, seed);
    }
    for (size_t i = 0; i < fuzz.num_files; i++)
        free(fuzz.files[i].data);
    return check_summary();
}
