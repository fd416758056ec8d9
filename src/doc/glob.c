/* The include and exclude patterns of training.sources. */
#include <string.h>

#include "doc/sources.h"

#define MAX_PATH_LEN 4096

/* Steps every reachable position over one character that may be passed. */
static void spread(bool *reached, const char *path, size_t len, char stop)
{
    for (size_t i = 0; i < len; i++) {
        if (reached[i] && path[i] != stop)
            reached[i + 1] = true;
    }
}

/* "?" passes one character, which may be several bytes, but not '/'. */
static void pass_one(bool *reached, const char *path, size_t len)
{
    for (size_t i = len + 1; i-- > 0;) {
        bool from_here = reached[i] && i < len && path[i] != '/';
        reached[i] = false;
        if (!from_here)
            continue;
        size_t n = 1;
        while (i + n < len && ((unsigned char)path[i + n] & 0xc0) == 0x80)
            n++;
        reached[i + n] = true;
    }
}

static void pass_literal(bool *reached, const char *path, size_t len, char c)
{
    for (size_t i = len; i > 0; i--)
        reached[i] = reached[i - 1] && path[i - 1] == c;
    reached[0] = false;
}

bool dlm_doc_glob_match(const char *pattern, const char *path)
{
    /* The positions of path that the pattern so far leads to. */
    bool reached[MAX_PATH_LEN + 1] = {true};
    size_t len = strlen(path);

    if (len > MAX_PATH_LEN)
        return false;
    for (const char *p = pattern; *p; p++) {
        if (p[0] == '*' && p[1] == '*') {
            spread(reached, path, len, '\n');
            p += p[2] == '/' ? 2 : 1;
        } else if (*p == '*') {
            spread(reached, path, len, '/');
        } else if (*p == '?') {
            pass_one(reached, path, len);
        } else {
            pass_literal(reached, path, len, *p);
        }
    }
    return reached[len];
}
