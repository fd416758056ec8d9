/* FNV-1a, 32 bits: for tables in memory, and as the name of a random stream. */
#ifndef DLM_BASE_HASH_H
#define DLM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define DLM_HASH_START 2166136261u

/* The hash of what h is the hash of, followed by these bytes. Its values are part of runs on disk:
 * dropout is named by them. */
uint32_t dlm_hash(uint32_t h, const void *bytes, size_t len);

#endif
