/* What the tests of weights, registry and store share: a temporary folder and file helpers. */
#ifndef DLM_TESTS_WEIGHTS_HELPERS_H
#define DLM_TESTS_WEIGHTS_HELPERS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "../check.h"

static char tmp_root[256];

/* Makes a fresh folder under TMPDIR; tmp_remove() at the end. */
static inline void tmp_make(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(tmp_root, sizeof(tmp_root), "%s/dlm-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(tmp_root)) {
        perror("mkdtemp");
        exit(1);
    }
}

static inline void tmp_remove(void)
{
    if (dlm_path_remove(NULL, tmp_root))
        printf("cannot remove %s\n", tmp_root);
}

/* <tmp_root>/<name>, one of a few rotating buffers. */
static inline const char *tmp_path(const char *name)
{
    static char buffers[8][512];
    static unsigned next;
    char *p = buffers[next++ % 8];

    snprintf(p, sizeof(buffers[0]), "%s/%s", tmp_root, name);
    return p;
}

/* <data dir>/golden/weights/<name>, likewise. */
static inline const char *golden_path(const char *name)
{
    static char buffers[8][512];
    static unsigned next;
    char *p = buffers[next++ % 8];

    snprintf(p, sizeof(buffers[0]), "%s/golden/weights/%s", check_data_dir(), name);
    return p;
}

static inline bool put_file(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(data, 1, bytes, f) == bytes;

    if (f && fclose(f))
        ok = false;
    return ok;
}

/* Whole file, NUL-terminated, owned by the caller (free); NULL if it cannot be read. */
static inline char *get_file(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    char *data = NULL;
    long len;

    if (f && !fseek(f, 0, SEEK_END) && (len = ftell(f)) >= 0 && !fseek(f, 0, SEEK_SET)) {
        data = malloc((size_t)len + 1);
        if (data && fread(data, 1, (size_t)len, f) == (size_t)len) {
            data[len] = '\0';
            if (bytes)
                *bytes = (size_t)len;
        }
    }
    if (f)
        fclose(f);
    return data;
}

static inline bool same_files(const char *a, const char *b)
{
    size_t na = 0, nb = 0;
    char *x = get_file(a, &na), *y = get_file(b, &nb);
    bool same = x && y && na == nb && !memcmp(x, y, na);

    free(x);
    free(y);
    return same;
}

#endif
