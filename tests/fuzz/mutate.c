/* Random changes of an input, from a seed. */
#include "mutate.h"

#include <string.h>

/* What the mutation in work may use. */
struct job {
    size_t max;
    const uint8_t *other;
    size_t other_size;
};

static struct job job;

/* --- random numbers: splitmix64 --- */

static uint64_t random_state;

static uint64_t random_u64(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t random_below(size_t n)
{
    return (size_t)(random_u64() % n);
}

void fuzz_random_start(uint64_t seed, uint64_t run)
{
    random_state = seed * 0x2545f4914f6cdd1du + run;
}

size_t fuzz_random_below(size_t n)
{
    return random_below(n);
}

/* --- mutations: each takes data[0..size) in a block of max bytes and returns the new size --- */

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
    if (run > job.max - size)
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
    size_t keep = random_below(size + 1);
    size_t from = random_below(job.other_size + 1);
    size_t run = job.other_size - from;

    if (run > job.max - keep)
        run = job.max - keep;
    if (run)
        memcpy(data + keep, job.other + from, run);
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
    if (size - (end - at) + len > job.max)
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

size_t fuzz_mutate(uint8_t *data, size_t size, size_t max, const uint8_t *other,
                   size_t other_size)
{
    static size_t (*const ways[])(uint8_t *, size_t) = {
        flip_bytes, set_bytes, truncate_end, delete_run, insert_random, repeat_run, splice_inputs,
        change_number, change_word};

    job = (struct job){.max = max, .other = other, .other_size = other_size};
    for (size_t n = 1 + random_below(4); n--;)
        size = ways[random_below(sizeof(ways) / sizeof(ways[0]))](data, size);
    return size;
}

size_t fuzz_change_number(uint8_t *data, size_t size, size_t max)
{
    job = (struct job){.max = max};
    return change_number(data, size);
}
