/* `key="value"` of fences and of provenance markers. */
#include <string.h>

#include "doc/doc_impl.h"
#include "doc/text.h"

size_t dlm_doc_key_len(const char *p, const char *end)
{
    const char *start = p;
    if (p >= end || *p < 'a' || *p > 'z')
        return 0;
    while (p < end && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '_'))
        p++;
    return (size_t)(p - start);
}

bool dlm_doc_next_attribute(const char **p, const char *end, struct dlm_doc_attribute *attribute)
{
    const char *key = dlm_text_skip_space(*p, end);
    size_t n = dlm_doc_key_len(key, end);
    const char *value = key + n + 2;

    if (!n || end - key < (ptrdiff_t)n + 3 || key[n] != '=' || key[n + 1] != '"')
        return false;
    const char *close = memchr(value, '"', (size_t)(end - value));
    if (!close || memchr(value, '\n', (size_t)(close - value)))
        return false;
    *attribute = (struct dlm_doc_attribute){key, value, n, (size_t)(close - value)};
    *p = close + 1;
    return true;
}

bool dlm_doc_scan_attributes(const char *text, const char *end, const char **stop)
{
    struct dlm_doc_attribute attribute;

    *stop = text;
    for (;;) {
        const char *p = *stop;
        if (dlm_text_skip_space(p, end) == p || !dlm_doc_next_attribute(&p, end, &attribute))
            break;
        *stop = p;
    }
    return *stop > text;
}
