/* Bytes written by a thread of their own: all arrive, in order; what cannot be written is told. */
#include "export/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "base/log.h"
#include "weights/helpers.h"

#define BYTES ((int64_t)DLM_STREAM_BUFFER_BYTES)
#define RING (BYTES * DLM_STREAM_NUM_BUFFERS)

static struct dlm_ctx *ctx;
static uint8_t *data; /* of twice the ring and a bit */

static struct dlm_stream *open_stream(void)
{
    struct dlm_stream *s = NULL;

    CHECK(!dlm_stream_create(ctx, &s));
    return s;
}

/* Writes data[0, bytes) in pieces; the errno of the first call that fails. */
static int write_pieces(struct dlm_stream *s, int64_t bytes, int64_t piece)
{
    int error = 0;

    for (int64_t at = 0; !error && at < bytes; at += piece)
        error = dlm_stream_write(s, data + at, (size_t)DLM_MIN(piece, bytes - at));
    return error;
}

static bool is_data(const char *path, int64_t bytes)
{
    struct dlm_map map;
    bool is_same = !dlm_map_open(ctx, &map, path);

    is_same = is_same && map.bytes == (size_t)bytes;
    is_same = is_same && (!bytes || !memcmp(map.data, data, map.bytes));
    dlm_map_close(&map);
    return is_same;
}

static void test_files(void)
{
    const int64_t sizes[] = {0, 1, BYTES - 1, BYTES, BYTES + 1, RING, RING + 1, 2 * RING + 12345};
    const int64_t pieces[] = {1000, BYTES / 2 + 7, 3 * BYTES};
    struct dlm_stream *s = open_stream();

    check_case("files around the sizes of a buffer and of all, one after the other");
    for (size_t i = 0; i < DLM_ARRAY_LEN(sizes); i++)
        for (size_t k = 0; k < DLM_ARRAY_LEN(pieces); k++) {
            const char *path = tmp_path("file");
            const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
            dlm_stream_begin(s, fd);
            CHECK(!write_pieces(s, sizes[i], pieces[k]));
            CHECK(!dlm_stream_end(s));
            close(fd);
            CHECK(is_data(path, sizes[i]));
        }
    dlm_stream_destroy(&s);
    CHECK(!s);
}

static void test_append(void)
{
    struct dlm_stream *s = open_stream();
    const char *path = tmp_path("appended");
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    check_case("what stands before it in the file stays");
    CHECK(write(fd, data, 777) == 777);
    dlm_stream_begin(s, fd);
    CHECK(!dlm_stream_write(s, data + 777, 5000) && !dlm_stream_end(s));
    CHECK(is_data(path, 5777));
    close(fd);
    dlm_stream_destroy(&s);
}

static void test_full(void)
{
    struct dlm_stream *s = open_stream();
    const char *path = tmp_path("after");
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    check_case("a write that fails is told at the end, or before, and the next file is whole");
    dlm_stream_begin(s, full);
    CHECK(!dlm_stream_write(s, data, 1));
    CHECK(dlm_stream_end(s) == ENOSPC);
    dlm_stream_begin(s, full);
    CHECK(write_pieces(s, 2 * RING, BYTES) == ENOSPC);
    CHECK(dlm_stream_end(s) == ENOSPC);
    dlm_stream_begin(s, fd);
    CHECK(!write_pieces(s, BYTES + 1, BYTES) && !dlm_stream_end(s));
    CHECK(is_data(path, BYTES + 1));
    close(full);
    close(fd);
    dlm_stream_destroy(&s);
}

/* Takes in all of a pipe, a little at a time, and compares it with data. */
static void *drain(void *user)
{
    const int fd = *(int *)user;
    static uint8_t piece[10000];
    int64_t at = 0;
    ssize_t n;
    bool is_same = true;

    while ((n = read(fd, piece, sizeof(piece))) > 0) {
        is_same &= !memcmp(piece, data + at, (size_t)n);
        at += n;
    }
    return is_same && at == 2 * RING ? user : NULL;
}

static void test_pipe(void)
{
    struct dlm_stream *s = open_stream();
    int ends[2];
    pthread_t reader;
    void *is_same = NULL;

    check_case("a file without places, which takes its bytes in parts");
    CHECK(!pipe(ends));
    CHECK(!pthread_create(&reader, NULL, drain, &ends[0]));
    dlm_stream_begin(s, ends[1]);
    CHECK(!write_pieces(s, 2 * RING, BYTES / 3) && !dlm_stream_end(s));
    close(ends[1]);
    CHECK(!pthread_join(reader, &is_same));
    CHECK(is_same);
    close(ends[0]);
    dlm_stream_destroy(&s);
}

static void test_abandoned(void)
{
    check_case("a stream that is given up in the middle");
    for (int num = 0; num <= 2 * DLM_STREAM_NUM_BUFFERS; num++) {
        struct dlm_stream *s = open_stream();
        const int fd = open(tmp_path("abandoned"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        dlm_stream_begin(s, fd);
        CHECK(!write_pieces(s, num * BYTES + 1, BYTES));
        dlm_stream_destroy(&s);
        close(fd);
    }
    dlm_stream_destroy(&(struct dlm_stream *){NULL});
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    data = malloc((size_t)(2 * RING) + 12345);
    if (!ctx || !data)
        return 1;
    tmp_make();
    for (int64_t i = 0; i < 2 * RING + 12345; i++)
        data[i] = (uint8_t)((uint64_t)i * 2654435761u >> 13);
    test_files();
    test_append();
    test_full();
    test_pipe();
    test_abandoned();
    free(data);
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
