/* A ring of buffers between the caller, who fills them, and a thread, which empties them in turn.
 * The file belongs to the caller as long as no buffer is full, and to the thread otherwise. */
#include "export/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define NUM DLM_STREAM_NUM_BUFFERS
#define BYTES DLM_STREAM_BUFFER_BYTES

struct dlm_stream {
    uint8_t *buffers; /* [NUM, BYTES] */
    size_t lens[NUM];
    int next; /* the buffer that is being filled */
    int fd;
    int64_t at; /* where in the file its next bytes go; -1: it has no places */
    pthread_t thread;
    bool is_started;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t filled, emptied;
    int num_full; /* those before `next` */
    int error;    /* errno of the write that failed */
    bool is_ending;
};

/* --- the thread --- */

/* The disk begins at once with what it would get late: an fsync waits for less. */
static void start_writeback(const struct dlm_stream *s, size_t bytes)
{
#ifdef SYNC_FILE_RANGE_WRITE
    if (s->at >= 0) /* advice only: a failure changes nothing */
        (void)sync_file_range(s->fd, s->at, (off_t)bytes, SYNC_FILE_RANGE_WRITE);
#else
    (void)s;
    (void)bytes;
#endif
}

static int put(struct dlm_stream *s, const uint8_t *data, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = write(s->fd, data + done, bytes - done);
        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0)
            done += (size_t)n;
    }
    start_writeback(s, bytes);
    if (s->at >= 0)
        s->at += (int64_t)bytes;
    return 0;
}

static void *empty_buffers(void *user)
{
    struct dlm_stream *s = user;

    pthread_mutex_lock(&s->lock);
    for (int i = 0; !s->is_ending; i = (i + 1) % NUM) {
        while (!s->num_full && !s->is_ending)
            pthread_cond_wait(&s->filled, &s->lock);
        if (s->is_ending)
            break;
        int error = s->error;
        pthread_mutex_unlock(&s->lock);
        if (!error)
            error = put(s, s->buffers + (size_t)i * BYTES, s->lens[i]);
        pthread_mutex_lock(&s->lock);
        s->error = error;
        s->num_full--;
        pthread_cond_signal(&s->emptied);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* The thread takes no signals: they are for those who were there before. */
static enum dlm_status start_thread(struct dlm_ctx *ctx, struct dlm_stream *s)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->is_started = !pthread_create(&s->thread, NULL, empty_buffers, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->is_started ? DLM_OK
                         : dlm_fail(ctx, DLM_ERR_MEMORY, "cannot start a thread that writes");
}

/* --- the caller --- */

enum dlm_status dlm_stream_create(struct dlm_ctx *ctx, struct dlm_stream **out)
{
    struct dlm_stream *s = dlm_alloc(ctx, sizeof(*s));

    *out = NULL;
    if (!s)
        return DLM_ERR_MEMORY;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->filled, NULL);
    pthread_cond_init(&s->emptied, NULL);
    s->buffers = dlm_alloc(ctx, NUM * BYTES);
    enum dlm_status st = s->buffers ? start_thread(ctx, s) : DLM_ERR_MEMORY;
    if (st)
        dlm_stream_destroy(&s);
    *out = s;
    return st;
}

void dlm_stream_destroy(struct dlm_stream **stream)
{
    struct dlm_stream *s = *stream;

    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->is_ending = true;
    pthread_cond_signal(&s->filled);
    pthread_mutex_unlock(&s->lock);
    if (s->is_started)
        pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->emptied);
    pthread_cond_destroy(&s->filled);
    pthread_mutex_destroy(&s->lock);
    dlm_free(s->buffers);
    dlm_free(s);
    *stream = NULL;
}

void dlm_stream_begin(struct dlm_stream *s, int fd)
{
    s->fd = fd;
    s->at = lseek(fd, 0, SEEK_CUR);
    s->lens[s->next] = 0;
    s->error = 0;
}

/* Gives the thread the buffer that was filled, and waits until no more than `most` are full. */
static int hand_over(struct dlm_stream *s, int most)
{
    pthread_mutex_lock(&s->lock);
    s->num_full++;
    s->next = (s->next + 1) % NUM;
    pthread_cond_signal(&s->filled);
    while (s->num_full > most)
        pthread_cond_wait(&s->emptied, &s->lock);
    const int error = s->error;
    pthread_mutex_unlock(&s->lock);
    s->lens[s->next] = 0;
    return error;
}

int dlm_stream_write(struct dlm_stream *s, const void *data, size_t bytes)
{
    const uint8_t *p = data;
    int error = 0;

    while (bytes && !error) {
        size_t *len = &s->lens[s->next];
        const size_t n = DLM_MIN(bytes, BYTES - *len);
        memcpy(s->buffers + (size_t)s->next * BYTES + *len, p, n);
        *len += n;
        p += n;
        bytes -= n;
        if (*len == BYTES)
            error = hand_over(s, NUM - 1);
    }
    return error;
}

int dlm_stream_end(struct dlm_stream *s)
{
    return hand_over(s, 0);
}
