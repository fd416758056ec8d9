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

/* --- random numbers: splitmix64 --- */

static uint64_t random_state;

static uint64_t random_u64(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* In [0, n), n >= 1. */
static size_t random_below(size_t n)
{
    return (size_t)(random_u64() % n);
}

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

/* --- mutations; each takes data[0..size) in a block of MAX_BYTES and returns the new size --- */

static size_t flip_bytes(uint8_t *data, size_t size)
{
    for (size_t n = size ? 1 + random_below(4) : 0; n--;)
        data[random_below(size)] ^= (uint8_t)(1u << random_below(8));
    return size;
}

static size_t set_bytes(uint8_t *data, size_t size)
{
    static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, '"', '{', '}', '[', ']', '\\', '\n',
                                      ' ', ':', '-', '#', '0', '9'};
    size_t run = size ? 1 + random_below(size < 8 ? size : 8) : 0;
    size_t at = size ? random_below(size - run + 1) : 0;
    uint8_t value = random_below(2) ? telling[random_below(sizeof(telling))]
                                    : (uint8_t)random_u64();

    memset(data + at, value, run);
    return size;
}

static size_t truncate_end(uint8_t *data, size_t size)
{
    (void)data;
    return size ? random_below(size) : 0;
}

static size_t delete_run(uint8_t *data, size_t size)
{
    if (size < 2)
        return size;
    size_t run = 1 + random_below(random_below(2) ? size - 1 : size < 16 ? size - 1 : 15);
    size_t at = random_below(size - run + 1);
    memmove(data + at, data + at + run, size - at - run);
    return size - run;
}

/* Puts from[0..run) in at a random place. */
static size_t insert_run(uint8_t *data, size_t size, const uint8_t *from, size_t run)
{
    if (run > MAX_BYTES - size)
        return size;
    size_t at = random_below(size + 1);
    memmove(data + at + run, data + at, size - at);
    memcpy(data + at, from, run);
    return size + run;
}

static size_t insert_random(uint8_t *data, size_t size)
{
    uint8_t bytes[16];
    size_t run = 1 + random_below(sizeof(bytes));

    for (size_t i = 0; i < run; i++)
        bytes[i] = (uint8_t)random_u64();
    return insert_run(data, size, bytes, run);
}

/* A piece of the input once more, somewhere else. */
static size_t repeat_run(uint8_t *data, size_t size)
{
    static uint8_t piece[4096];
    size_t run = size ? 1 + random_below(size < sizeof(piece) ? size : sizeof(piece)) : 0;

    if (!run)
        return size;
    memcpy(piece, data + random_below(size - run + 1), run);
    return insert_run(data, size, piece, run);
}

/* The input up to a place, then another one from a place on. */
static size_t splice_inputs(uint8_t *data, size_t size)
{
    const struct input *other = &fuzz.files[random_below(fuzz.num_files)];
    size_t keep = random_below(size + 1);
    size_t from = random_below(other->size + 1);
    size_t run = other->size - from;

    if (run > MAX_BYTES - keep)
        run = MAX_BYTES - keep;
    memcpy(data + keep, other->data + from, run);
    return keep + run;
}

/* A decimal number becomes one at a limit. */
static size_t change_number(uint8_t *data, size_t size)
{
    static const char *const numbers[] = {
        "0", "-1", "1", "255", "65536", "2147483647", "2147483648", "4294967295", "4294967296",
        "9223372036854775807", "9223372036854775808", "18446744073709551615", "1e308", "1e999",
        "99999999999999999999", "0.5", "00"};
    size_t at = size ? random_below(size) : 0, end;

    while (at < size && (data[at] < '0' || data[at] > '9'))
        at++;
    if (at >= size)
        return flip_bytes(data, size);
    for (end = at; end < size && data[end] >= '0' && data[end] <= '9';)
        end++;
    const char *number = numbers[random_below(sizeof(numbers) / sizeof(numbers[0]))];
    size_t len = strlen(number);
    if (size - (end - at) + len > MAX_BYTES)
        return size;
    memmove(data + at + len, data + end, size - end);
    memcpy(data + at, number, len);
    return size - (end - at) + len;
}

/* A little-endian word becomes one at a limit: lengths and offsets in binary headers. */
static size_t change_word(uint8_t *data, size_t size)
{
    static const uint64_t words[] = {0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000,
                                     0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX};
    uint64_t word = words[random_below(sizeof(words) / sizeof(words[0]))];
    size_t width = (size_t)1 << random_below(4);

    if (size < width)
        return size;
    size_t at = random_below(2) ? 0 : random_below(size - width + 1);
    for (size_t i = 0; i < width; i++)
        data[at + i] = (uint8_t)(word >> 8 * i);
    return size;
}

static size_t mutate(uint8_t *data, size_t size)
{
    static size_t (*const ways[])(uint8_t *, size_t) = {
        flip_bytes, set_bytes, truncate_end, delete_run, insert_random, repeat_run, splice_inputs,
        change_number, change_word};

    for (size_t n = 1 + random_below(4); n--;)
        size = ways[random_below(sizeof(ways) / sizeof(ways[0]))](data, size);
    return size;
}

static void run_mutations(uint64_t seed, long runs)
{
    uint8_t *data = malloc(MAX_BYTES);

    if (!CHECK(data && fuzz.num_files))
        goto done;
    for (long i = 0; i < runs; i++) {
        /* each run starts afresh, so that one is repeated without those before it */
        random_state = seed * 0x2545f4914f6cdd1du + (uint64_t)i;
        const struct input *from = &fuzz.files[random_below(fuzz.num_files)];
        memcpy(data, from->data, from->size);
        run_one(data, mutate(data, from->size));
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
