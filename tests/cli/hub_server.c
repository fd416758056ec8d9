/* A hub on this machine for tests of `dlm pull`, and one that misbehaves:
 *
 *     hub_server [-l LOG] [-r BYTES_PER_SEC] [-s BYTES] [-t TOKEN] ROOT [FILE:FAULT:TIMES ...]
 *
 * serves the repository ROOT/<org>/<name>/, whose commit stands in ROOT/<org>/<name>.commit, prints
 * its address and serves until it is killed. Files of safetensors are kept as git-lfs does and come
 * from a second port, as if from another host, to which the first one redirects. With TOKEN
 * repositories are gated. BYTES is what the listing says of the size of weights. The log has a line
 * a request: port, method, path, "plain" where no other encoding is wanted, range, whether a token
 * came. A fault befalls the first TIMES
 * answers with that file's bytes (FILE "listing": the listing). */
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sha1.h"
#include "base/sha256.h"

#define MAX_FAULTS 16
#define MAX_LISTING (1 << 20)
#define SLACK 64 /* bytes that may be sent behind a file's */

struct fault {
    char file[128], kind[32];
    int left;
};

/* Of the process, set before the first connection but for the faults' counts. */
static const char *root, *token, *log_path;
static long rate;
static long long told_bytes; /* 0: the truth */
static int ports[2]; /* hub, CDN */
static struct fault faults[MAX_FAULTS];
static int num_faults;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct request {
    int fd;
    bool is_cdn, is_head, is_plain, has_token, has_other_token;
    char path[1024]; /* without query */
    long long from;  /* -1: no range */
};

struct body {
    char *data;
    size_t len;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static bool take_fault(const char *file, const char *kind)
{
    bool is_taken = false;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < num_faults && !is_taken; i++) {
        struct fault *f = &faults[i];
        is_taken = f->left > 0 && !strcmp(f->file, file) && !strcmp(f->kind, kind);
        f->left -= is_taken;
    }
    pthread_mutex_unlock(&lock);
    return is_taken;
}

/* --- files --- */

static bool read_file(const char *path, struct body *body)
{
    FILE *f = fopen(path, "rb");
    struct stat sb;

    if (!f)
        return false;
    /* no larger than it has to be: the tests' MALLOC_PERTURB_ fills all of it */
    const size_t bytes = fstat(fileno(f), &sb) ? 0 : (size_t)sb.st_size;
    body->data = malloc(bytes + SLACK);
    body->len = body->data ? fread(body->data, 1, bytes, f) : 0;
    fclose(f);
    return body->data != NULL;
}

static bool is_lfs(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && !strcmp(dot, ".safetensors");
}

static void git_hash(const struct body *body, char hex[65])
{
    struct dlm_sha1 s;
    uint8_t digest[32] = {0};
    char head[32];

    const int len = snprintf(head, sizeof(head), "blob %zu", body->len);
    dlm_sha1_init(&s);
    dlm_sha1_update(&s, head, (size_t)len + 1);
    dlm_sha1_update(&s, body->data, body->len);
    dlm_sha1_finish(&s, digest);
    dlm_sha256_hex(digest, hex);
    hex[40] = '\0';
}

static void append(struct body *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void append(struct body *text, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    text->len += (size_t)vsnprintf(text->data + text->len, MAX_LISTING - text->len, fmt, args);
    va_end(args);
}

/* --- answers --- */

static bool send_all(int fd, const char *data, size_t len)
{
    while (len) {
        const ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* At the given rate, in pieces of a fiftieth of a second. */
static void send_body(int fd, const char *data, size_t len, long bytes_per_sec)
{
    const size_t piece = bytes_per_sec ? (size_t)bytes_per_sec / 50 + 1 : len;

    while (len) {
        const size_t n = len < piece ? len : piece;
        if (!send_all(fd, data, n))
            return;
        data += n;
        len -= n;
        if (bytes_per_sec)
            usleep(20000);
    }
}

static void answer(const struct request *r, const char *status, const char *headers,
                   const char *body)
{
    char text[4096];

    snprintf(text, sizeof(text),
             "HTTP/1.1 %s\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", status,
             headers, strlen(body), r->is_head ? "" : body);
    send_all(r->fd, text, strlen(text));
}

/* The faults that come instead of an answer. True: one did. */
static bool misbehave(const struct request *r, const char *file)
{
    if (take_fault(file, "429"))
        answer(r, "429 Too Many Requests", "Retry-After: 1\r\n", "slowly");
    else if (take_fault(file, "429long"))
        answer(r, "429 Too Many Requests", "Retry-After: 3600\r\n", "slowly");
    else if (take_fault(file, "403"))
        answer(r, "403 Forbidden", "", "not from here");
    else if (take_fault(file, "503"))
        answer(r, "503 Service Unavailable", "", "not now");
    else if (take_fault(file, "501"))
        answer(r, "501 Not Implemented", "", "never");
    else if (take_fault(file, "204"))
        answer(r, "204 No Content", "", "");
    else if (take_fault(file, "gzip"))
        answer(r, "200 OK", "Content-Encoding: gzip\r\n", "\x1f\x8b\x08 and so on");
    else if (take_fault(file, "400"))
        answer(r, "400 Bad Request", "", "what?");
    else if (take_fault(file, "404"))
        answer(r, "404 Not Found", "X-Error-Code: EntryNotFound\r\n", "");
    else if (take_fault(file, "loop"))
        answer(r, "302 Found", "Location: ?again\r\n", "");
    else if (take_fault(file, "silent"))
        sleep(1000);
    else
        return false;
    return true;
}

/* Bytes of a file, or the part of it that was asked for, and the faults in them. */
static void send_file(const struct request *r, const char *file, struct body *body,
                      const char *headers)
{
    const bool ignores = take_fault(file, "norange");
    const bool is_part = r->from >= 0 && !ignores;
    size_t from = is_part ? (size_t)r->from : 0, len;
    long speed = rate;
    char head[2048], range[128] = "", length[64];

    if (from >= body->len && is_part) {
        answer(r, "416 Range Not Satisfiable", headers, "");
        return;
    }
    if (is_part && take_fault(file, "badrange"))
        from = 0;
    len = body->len - from;
    if (is_part)
        snprintf(range, sizeof(range), "Content-Range: bytes %zu-%zu/%zu\r\n", from, body->len - 1,
                 body->len);
    size_t told = len, sent = len;
    if (r->is_head)
        sent = 0;
    else if (take_fault(file, "wrong"))
        body->data[from + len / 2] ^= 1;
    else if (take_fault(file, "short"))
        told = sent = len / 2;
    else if (take_fault(file, "long"))
        told = sent = len + 10; /* the buffer is larger than the file */
    else if (take_fault(file, "cut"))
        sent = len / 2;
    else if (take_fault(file, "slow"))
        speed = 50;
    const bool is_chunked = !r->is_head && take_fault(file, "chunked");
    if (is_chunked) { /* one chunk, and an end that comes too soon */
        sent = len / 2;
        snprintf(length, sizeof(length), "Transfer-Encoding: chunked\r\n\r\n%zx", sent);
    } else {
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", told);
    }
    snprintf(head, sizeof(head),
             "HTTP/1.1 %s\r\nConnection: close\r\nAccept-Ranges: bytes\r\n%s%s%s\r\n",
             is_part ? "206 Partial Content" : "200 OK", headers, range, length);
    if (send_all(r->fd, head, strlen(head)))
        send_body(r->fd, body->data + from, sent, speed);
    if (is_chunked)
        send_all(r->fd, "\r\n0\r\n\r\n", 7);
}

static void send_text(const struct request *r, const struct body *text)
{
    char head[256];

    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n", text->len);
    if (send_all(r->fd, head, strlen(head)) && !r->is_head)
        send_body(r->fd, text->data, text->len, 0);
}

/* --- the hub --- */

/* The two listings: of `revision`, and of `tree`. */
static void list_file(struct body *text, const char *name, const struct body *body, bool is_tree)
{
    char git[65], sha[65];

    git_hash(body, git);
    dlm_sha256_of(body->data, body->len, sha);
    const long long size = told_bytes && is_lfs(name) ? told_bytes : (long long)body->len;
    append(text, "{\"type\":\"file\",\"%s\":\"%s\",\"size\":%lld,\"%s\":\"%s\"",
           is_tree ? "path" : "rfilename", name, size, is_tree ? "oid" : "blobId", git);
    if (is_lfs(name))
        append(text, ",\"lfs\":{\"%s\":\"%s\",\"size\":%zu,\"pointerSize\":135}",
               is_tree ? "oid" : "sha256", sha, body->len);
    append(text, "}");
}

static void list(const struct request *r, const char *id, const char *commit, bool is_tree)
{
    struct body text = {.data = malloc(MAX_LISTING)};
    char path[2048];
    const char *comma = "";

    snprintf(path, sizeof(path), "%s/%s", root, id);
    DIR *dir = opendir(path);
    if (!dir || !text.data)
        die(path);
    if (!is_tree)
        append(&text, "{\"id\":\"%s\",\"modelId\":\"%s\",\"sha\":\"%s\",\"private\":false,"
               "\"tags\":[],\"downloads\":0,\"likes\":0,\"siblings\":", id, id, commit);
    append(&text, "[");
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct body body = {0};
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s/%s", root, id, entry->d_name);
        if (!read_file(path, &body))
            die(path);
        append(&text, "%s", comma);
        list_file(&text, entry->d_name, &body, is_tree);
        comma = ",";
        free(body.data);
    }
    append(&text, is_tree ? "]" : "]}");
    closedir(dir);
    send_text(r, &text);
    free(text.data);
}

static void resolve(const struct request *r, const char *id, const char *commit, const char *name)
{
    struct body body = {0};
    char path[2048], headers[1024], hash[65];

    snprintf(path, sizeof(path), "%s/%s/%s", root, id, name);
    if (!read_file(path, &body)) {
        answer(r, "404 Not Found", "X-Error-Code: EntryNotFound\r\n", "Entry not found");
        return;
    }
    if (is_lfs(name) && !r->is_cdn) {
        dlm_sha256_of(body.data, body.len, hash);
        snprintf(headers, sizeof(headers),
                 "X-Repo-Commit: %s\r\nX-Linked-Etag: \"%s\"\r\nX-Linked-Size: %zu\r\n"
                 "Location: http://127.0.0.1:%d/%s/resolve/%s/%s\r\n",
                 commit, hash, body.len, ports[1], id, commit, name);
        answer(r, "302 Found", headers, "Found");
    } else if (r->is_head || !misbehave(r, name)) {
        git_hash(&body, hash);
        snprintf(headers, sizeof(headers), "X-Repo-Commit: %s\r\nETag: \"%s\"\r\n", commit, hash);
        send_file(r, name, &body, headers);
    }
    free(body.data);
}

/* Says no where the token is not the right one: as to somebody unknown, or to an account that was
 * not let in. */
static bool is_let_in(const struct request *r)
{
    if (!token || r->is_cdn || r->has_token)
        return true;
    answer(r, r->has_other_token ? "403 Forbidden" : "401 Unauthorized",
           "X-Error-Code: GatedRepo\r\n", "Access to model is restricted");
    return false;
}

static void read_commit(const char *id, char commit[64])
{
    char path[2048];

    commit[0] = '\0';
    snprintf(path, sizeof(path), "%s/%s.commit", root, id);
    FILE *f = fopen(path, "r");
    if (!f)
        return;
    if (fscanf(f, "%63s", commit) != 1)
        commit[0] = '\0';
    fclose(f);
}

/* /api/models/<org>/<name>/(revision|tree)/<rev>, /<org>/<name>/resolve/<rev>/<file> */
static void serve(const struct request *r)
{
    char org[128], name[128], what[32], rev[128], file[256] = "", id[260], commit[64];
    const bool is_api = !strncmp(r->path, "/api/models/", 12);

    if (sscanf(r->path + (is_api ? 12 : 1), "%127[^/]/%127[^/]/%31[^/]/%127[^/]/%255s", org, name,
               what, rev, file) < 4) {
        answer(r, "404 Not Found", "", "");
        return;
    }
    snprintf(id, sizeof(id), "%s/%s", org, name);
    read_commit(id, commit);
    if (!*commit)
        answer(r, "401 Unauthorized", "X-Error-Code: RepoNotFound\r\n", "Invalid username");
    else if (strcmp(rev, "main") && strcmp(rev, commit))
        answer(r, "404 Not Found", "X-Error-Code: RevisionNotFound\r\n", "Invalid rev id");
    else if (is_api && !misbehave(r, "listing") && is_let_in(r))
        list(r, id, commit, !strcmp(what, "tree"));
    else if (!is_api && is_let_in(r))
        resolve(r, id, commit, file);
}

/* --- connections --- */

static void write_log(const struct request *r)
{
    if (!log_path)
        return;
    pthread_mutex_lock(&lock);
    FILE *f = fopen(log_path, "a");
    if (f) {
        fprintf(f, "%s %s %s%s from=%lld token=%s\n", r->is_cdn ? "cdn" : "hub",
                r->is_head ? "HEAD" : "GET", r->path, r->is_plain ? " plain" : "", r->from,
                r->has_token ? "yes" : "no");
        fclose(f);
    }
    pthread_mutex_unlock(&lock);
}

static void read_header(struct request *r, const char *line)
{
    char want[256];

    if (!strcasecmp(line, "accept-encoding: identity"))
        r->is_plain = true;
    if (!strncasecmp(line, "range: bytes=", 13))
        r->from = atoll(line + 13);
    snprintf(want, sizeof(want), "Bearer %s", token ? token : "");
    if (!strncasecmp(line, "authorization: ", 15))
        r->has_token = !token || !strcmp(line + 15, want);
    if (!strncasecmp(line, "authorization: ", 15))
        r->has_other_token = !r->has_token;
}

static void handle(int fd, bool is_cdn)
{
    struct request r = {.fd = fd, .is_cdn = is_cdn, .from = -1};
    char text[16384], method[16], *save = NULL;
    size_t len = 0;

    while (len < sizeof(text) - 1) {
        const ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
        if (n <= 0)
            return;
        len += (size_t)n;
        text[len] = '\0';
        if (strstr(text, "\r\n\r\n"))
            break;
    }
    char *line = strtok_r(text, "\r\n", &save);
    if (!line || sscanf(line, "%15s %1023[^ ?]", method, r.path) != 2)
        return;
    r.is_head = !strcmp(method, "HEAD");
    while ((line = strtok_r(NULL, "\r\n", &save)))
        read_header(&r, line);
    write_log(&r);
    serve(&r);
}

static void *connection(void *user)
{
    const intptr_t packed = (intptr_t)user; /* descriptor, and which port in the lowest bit */
    char rest[4096];

    handle((int)(packed >> 1), packed & 1);
    shutdown((int)(packed >> 1), SHUT_WR);
    while (recv((int)(packed >> 1), rest, sizeof(rest), 0) > 0)
        continue; /* closing with unread bytes would throw away what was sent */
    close((int)(packed >> 1));
    return NULL;
}

static int listen_on(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) || listen(fd, 64) ||
        getsockname(fd, (struct sockaddr *)&address, &len))
        die("cannot listen");
    *port = ntohs(address.sin_port);
    return fd;
}

static void *accept_all(void *user)
{
    const intptr_t packed = (intptr_t)user;

    for (;;) {
        pthread_t thread;
        const int fd = accept(packed >> 1, NULL, NULL);
        if (fd < 0)
            continue;
        if (pthread_create(&thread, NULL, connection, (void *)((intptr_t)fd << 1 | (packed & 1))))
            close(fd);
        else
            pthread_detach(thread);
    }
    return NULL;
}

static void read_arguments(int argc, char **argv)
{
    for (int c; (c = getopt(argc, argv, "l:r:s:t:")) != -1;) {
        if (c == 'l')
            log_path = optarg;
        else if (c == 'r')
            rate = atol(optarg);
        else if (c == 's')
            told_bytes = atoll(optarg);
        else if (c == 't')
            token = optarg;
        else
            exit(2);
    }
    if (optind >= argc)
        exit(2);
    root = argv[optind++];
    for (; optind < argc && num_faults < MAX_FAULTS; optind++) {
        struct fault *f = &faults[num_faults++];
        if (sscanf(argv[optind], "%127[^:]:%31[^:]:%d", f->file, f->kind, &f->left) != 3)
            exit(2);
    }
}

int main(int argc, char **argv)
{
    pthread_t thread;

    read_arguments(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    const int hub = listen_on(&ports[0]), cdn = listen_on(&ports[1]);
    printf("http://127.0.0.1:%d\n", ports[0]);
    fflush(stdout);
    if (pthread_create(&thread, NULL, accept_all, (void *)((intptr_t)cdn << 1 | 1)))
        die("thread");
    accept_all((void *)((intptr_t)hub << 1));
    return 0;
}
