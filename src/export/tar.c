/* Headers of tar archives. */
#include "export/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "export/place.h"

#define EXTENDED_NAME "PaxHeaders/export"
#define MAX_OCTAL_BYTES ((uint64_t)1 << 33) /* what 11 octal digits cannot say */

/* POSIX.1-2001, "ustar Interchange Format". */
struct header {
    char name[100];
    char mode[8], uid[8], gid[8];
    char size[12], mtime[12];
    char checksum[8];
    char type;
    char link[100];
    char magic[6]; /* "ustar" */
    char version[2]; /* "00" */
    char user[32], group[32];
    char major[8], minor[8];
    char prefix[155];
    char unused[12];
};

_Static_assert(sizeof(struct header) == DLM_TAR_BLOCK, "a header is a block");

static enum dlm_status append_block(struct dlm_ctx *ctx, struct dlm_str *out, const char *name,
                                    char type, uint64_t bytes, time_t when)
{
    struct header h = {.mode = "0000644", .uid = "0000000", .gid = "0000000", .type = type,
                       .magic = "ustar", .version = {'0', '0'}};
    unsigned sum = 0;

    memcpy(h.name, name, DLM_MIN(strlen(name), sizeof(h.name)));
    snprintf(h.size, sizeof(h.size), "%011" PRIo64, bytes % MAX_OCTAL_BYTES);
    snprintf(h.mtime, sizeof(h.mtime), "%011" PRIo64, (uint64_t)when % MAX_OCTAL_BYTES);
    memset(h.checksum, ' ', sizeof(h.checksum));
    for (size_t i = 0; i < sizeof(h); i++)
        sum += ((const unsigned char *)&h)[i];
    snprintf(h.checksum, sizeof(h.checksum), "%06o", sum); /* and the blank that is there */
    return dlm_str_append(ctx, out, (const char *)&h, sizeof(h));
}

/* "27 path=...\n": its length counts its own digits. */
static enum dlm_status append_record(struct dlm_ctx *ctx, struct dlm_str *out, const char *key,
                                     const char *value)
{
    const size_t rest = strlen(key) + strlen(value) + 3; /* blank, '=', newline */
    size_t len = rest + 1;
    char digits[24];

    while ((size_t)snprintf(digits, sizeof(digits), "%zu", len) + rest > len)
        len++;
    return dlm_str_appendf(ctx, out, "%zu %s=%s\n", len, key, value);
}

static enum dlm_status pad(struct dlm_ctx *ctx, struct dlm_str *out, size_t len)
{
    static const char zeros[DLM_TAR_BLOCK];
    const size_t over = len % DLM_TAR_BLOCK;

    return over ? dlm_str_append(ctx, out, zeros, DLM_TAR_BLOCK - over) : DLM_OK;
}

static bool is_plain(const char *name, uint64_t bytes)
{
    return strlen(name) <= sizeof(((struct header *)0)->name) && bytes < MAX_OCTAL_BYTES;
}

enum dlm_status dlm_tar_append_header(struct dlm_ctx *ctx, struct dlm_str *out, const char *name,
                                      uint64_t bytes, time_t when)
{
    struct dlm_str records = {0};
    char size[24];
    enum dlm_status st = DLM_OK;

    if (!is_plain(name, bytes)) {
        snprintf(size, sizeof(size), "%" PRIu64, bytes);
        st = append_record(ctx, &records, "path", name);
        if (!st)
            st = append_record(ctx, &records, "size", size);
        if (!st)
            st = append_block(ctx, out, EXTENDED_NAME, 'x', records.len, when);
        if (!st)
            st = dlm_str_append(ctx, out, records.data, records.len);
        if (!st)
            st = pad(ctx, out, records.len);
    }
    dlm_str_finish(&records);
    return st ? st : append_block(ctx, out, name, '0', bytes, when);
}

enum dlm_status dlm_tar_is_own(struct dlm_ctx *ctx, const char *path, bool *is_own)
{
    static const char readme[] = "/" DLM_EXPORT_README;
    struct header h = {{0}};
    char name[sizeof(h.name) + 1] = "";

    *is_own = false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    const bool is_whole = read(fd, &h, sizeof(h)) == (ssize_t)sizeof(h);
    close(fd);
    if (!is_whole || memcmp(h.magic, "ustar", sizeof(h.magic)))
        return DLM_OK;
    memcpy(name, h.name, sizeof(h.name));
    const char *slash = strchr(name, '/');
    *is_own = (slash && !strcmp(slash, readme)) || !strcmp(name, EXTENDED_NAME);
    return DLM_OK;
}
