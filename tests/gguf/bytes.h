/* GGUF files made byte by byte, also such as no writer would make. */
#ifndef DLM_TESTS_GGUF_BYTES_H
#define DLM_TESTS_GGUF_BYTES_H

#include <stdint.h>
#include <string.h>

#include "tests/check.h"

struct bytes {
    uint8_t data[4096];
    size_t len;
};

static inline void put_raw(struct bytes *b, const void *data, size_t len)
{
    if (!CHECK(len <= sizeof(b->data) - b->len))
        return;
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

static inline void put_u32(struct bytes *b, uint32_t v)
{
    put_raw(b, &v, sizeof(v));
}

static inline void put_u64(struct bytes *b, uint64_t v)
{
    put_raw(b, &v, sizeof(v));
}

static inline void put_text(struct bytes *b, const char *s)
{
    put_u64(b, strlen(s));
    put_raw(b, s, strlen(s));
}

/* A file so far without values and tensors. */
static inline void put_header(struct bytes *b, uint64_t num_tensors, uint64_t num_values)
{
    b->len = 0;
    put_raw(b, "GGUF", 4);
    put_u32(b, 3);
    put_u64(b, num_tensors);
    put_u64(b, num_values);
}

static inline void put_tensor(struct bytes *b, const char *name, uint32_t ndim, const uint64_t *ne,
                              uint32_t type, uint64_t offset)
{
    put_text(b, name);
    put_u32(b, ndim);
    for (uint32_t i = 0; i < ndim; i++)
        put_u64(b, ne[i]);
    put_u32(b, type);
    put_u64(b, offset);
}

/* Zeros up to the alignment of 32, and num more. */
static inline void put_zeros(struct bytes *b, size_t num)
{
    static const uint8_t zeros[1024];

    put_raw(b, zeros, (32 - b->len % 32) % 32);
    put_raw(b, zeros, num);
}

#endif
