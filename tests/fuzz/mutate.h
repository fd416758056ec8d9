/* Random changes of an input: bytes, runs, numbers, lengths. They depend on the seed alone. */
#ifndef DLM_TESTS_FUZZ_MUTATE_H
#define DLM_TESTS_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* Starts the random numbers of one run: each is repeated without those before it. */
void fuzz_random_start(uint64_t seed, uint64_t run);

/* In [0, n), n >= 1. */
size_t fuzz_random_below(size_t n);

/* Changes data[0..size), which lies in a block of max bytes, and returns its new size. A piece of
 * other[0..other_size) may get into it. */
size_t fuzz_mutate(uint8_t *data, size_t size, size_t max, const uint8_t *other,
                   size_t other_size);

/* Changes one decimal number in it to another, most often one at a limit: what is around it stays
 * in order, so that more than a parser sees it. */
size_t fuzz_change_number(uint8_t *data, size_t size, size_t max);

#endif
