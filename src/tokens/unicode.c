/* Unicode helpers of the tokenizer; properties and decompositions come from utf8proc. */
#include "tokens/unicode.h"

#include <string.h>

#include <utf8proc.h>


uint32_t dlm_unicode_decode(const char *s, size_t *bytes)
{
    const unsigned char *u = (const unsigned char *)s;
    *bytes = dlm_unicode_lead_bytes(*s);
    switch (*bytes) {
    case 1:
        return u[0];
    case 2:
        return (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu);
    case 3:
        return (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
    default:
        return (u[0] & 0x07u) << 18 | (u[1] & 0x3Fu) << 12 | (u[2] & 0x3Fu) << 6 | (u[3] & 0x3Fu);
    }
}

uint32_t dlm_unicode_decode_before(const char *s, size_t *bytes)
{
    do
        s--;
    while (((unsigned char)*s & 0xC0) == 0x80);
    return dlm_unicode_decode(s, bytes);
}

size_t dlm_unicode_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

bool dlm_unicode_is_space(uint32_t cp)
{
    if (cp < 0x80)
        return cp == ' ' || (cp >= 9 && cp <= 13);
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

bool dlm_unicode_is_word(uint32_t cp)
{
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    case UTF8PROC_CATEGORY_SO: /* the circled and squared letters are Other_Alphabetic */
        return (cp >= 0x24B6 && cp <= 0x24E9) || (cp >= 0x1F130 && cp <= 0x1F149) ||
               (cp >= 0x1F150 && cp <= 0x1F169) || (cp >= 0x1F170 && cp <= 0x1F189);
    default:
        return cp == 0x200C || cp == 0x200D;
    }
}

uint32_t dlm_unicode_byte_to_char(uint8_t byte)
{
    if (byte <= 32)
        return 256u + byte;
    if (byte >= 127 && byte <= 160)
        return 289u + (byte - 127u);
    return byte == 173 ? 323u : byte;
}

int dlm_unicode_char_to_byte(uint32_t cp)
{
    if (cp >= 256)
        return cp <= 288   ? (int)cp - 256
               : cp <= 322 ? (int)cp - 289 + 127
               : cp == 323 ? 173
                           : -1;
    return dlm_unicode_byte_to_char((uint8_t)cp) == cp ? (int)cp : -1;
}

/* Canonical ordering: sorts each run of marks by combining class, stably. A counting sort keeps a
 * hostile text of a million marks linear. */
static enum dlm_status order_marks(struct dlm_ctx *ctx, utf8proc_int32_t *cps, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t end = i;
        int last = 0;
        bool sorted = true;
        for (; end < len; end++) {
            int class = utf8proc_get_property(cps[end])->combining_class;
            if (!class)
                break;
            sorted = sorted && class >= last;
            last = class;
        }
        if (!sorted) {
            size_t start[257] = {0};
            utf8proc_int32_t *run = dlm_alloc_array(ctx, end - i, sizeof(*run));
            if (!run)
                return DLM_ERR_MEMORY;
            memcpy(run, cps + i, (end - i) * sizeof(*run));
            for (size_t k = 0; k < end - i; k++)
                start[(utf8proc_get_property(run[k])->combining_class & 0xFF) + 1]++;
            for (size_t c = 1; c < DLM_ARRAY_LEN(start); c++)
                start[c] += start[c - 1];
            for (size_t k = 0; k < end - i; k++)
                cps[i + start[utf8proc_get_property(run[k])->combining_class & 0xFF]++] = run[k];
            dlm_free(run);
        }
        i = end + 1;
    }
    return DLM_OK;
}

/* True if the text is certainly in this form already: ASCII always, below U+0300 for NFC. */
static bool is_normalized(enum dlm_unicode_form form, const char *text, size_t len)
{
    unsigned char limit = form == DLM_UNICODE_NFC ? 0xCC : 0x80;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] >= limit)
            return false;
    }
    return true;
}

enum dlm_status dlm_unicode_normalize(struct dlm_ctx *ctx, enum dlm_unicode_form form,
                                      const char *text, size_t len, struct dlm_str *out)
{
    bool compose = form == DLM_UNICODE_NFC || form == DLM_UNICODE_NFKC;
    int options = UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE);
    if (form == DLM_UNICODE_NFKC || form == DLM_UNICODE_NFKD)
        options |= UTF8PROC_COMPAT;
    if (is_normalized(form, text, len))
        return dlm_str_append(ctx, out, text, len);

    utf8proc_int32_t *cps = NULL;
    size_t cps_len = 0, cps_cap = 0;
    enum dlm_status st = DLM_OK;
    for (size_t i = 0, bytes; i < len; i += bytes) {
        utf8proc_int32_t parts[32]; /* the longest decomposition has 18 */
        int boundclass = 0;
        uint32_t cp = dlm_unicode_decode(text + i, &bytes);
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, parts, 32,
                                                     (utf8proc_option_t)options, &boundclass);
        for (utf8proc_ssize_t k = 0; k < n && k < 32; k++) {
            if (!dlm_grow(ctx, &cps, &cps_cap, cps_len, sizeof(*cps))) {
                st = DLM_ERR_MEMORY;
                goto done;
            }
            cps[cps_len++] = parts[k];
        }
    }
    st = order_marks(ctx, cps, cps_len);
    if (st)
        goto done;
    if (compose) {
        utf8proc_ssize_t n = utf8proc_normalize_utf32(cps, (utf8proc_ssize_t)cps_len,
                                                      (utf8proc_option_t)options);
        cps_len = n < 0 ? 0 : (size_t)n;
    }
    for (size_t i = 0; !st && i < cps_len; i++) {
        char utf8[4];
        st = dlm_str_append(ctx, out, utf8, dlm_unicode_encode((uint32_t)cps[i], utf8));
    }
done:
    dlm_free(cps);
    return st;
}

enum dlm_status dlm_unicode_lowercase(struct dlm_ctx *ctx, const char *text, size_t len,
                                      struct dlm_str *out)
{
    enum dlm_status st = DLM_OK;
    for (size_t i = 0, bytes; !st && i < len; i += bytes) {
        char utf8[4];
        uint32_t cp = dlm_unicode_decode(text + i, &bytes);
        if (cp == 0x130) { /* the only character whose lower case has two: i and a dot above */
            st = dlm_str_append(ctx, out, "i\xCC\x87", 3);
            continue;
        }
        cp = (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
        st = dlm_str_append(ctx, out, utf8, dlm_unicode_encode(cp, utf8));
    }
    return st;
}

/* Bytes of the longest prefix that could start a character: the whole character if it is valid
 * (*complete), else its maximal invalid part, at least 1 (Unicode 3.9, table 3-7). */
static size_t char_prefix(const unsigned char *s, size_t len, bool *complete)
{
    size_t need = s[0] < 0x80                   ? 1
                  : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
                  : s[0] >= 0xE0 && s[0] < 0xF0 ? 3
                  : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
                                                : 0;
    *complete = false;
    if (!need)
        return 1;
    size_t n = 1;
    for (; n < need && n < len; n++) {
        unsigned char low = 0x80, high = 0xBF;
        if (n == 1) {
            low = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80;
            high = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;
        }
        if (s[n] < low || s[n] > high)
            return n;
    }
    *complete = n == need;
    return n;
}

enum dlm_status dlm_unicode_append_lossy(struct dlm_ctx *ctx, const char *bytes, size_t len,
                                         bool last, size_t *used, struct dlm_str *out)
{
    enum dlm_status st = DLM_OK;
    size_t i = 0, plain = 0; /* [plain, i) is valid and not yet copied */
    while (!st && i < len) {
        bool complete = false;
        size_t n = char_prefix((const unsigned char *)bytes + i, len - i, &complete);
        if (complete) {
            i += n;
            continue;
        }
        /* All that is left is a good beginning: wait for more. A lone byte that starts nothing is
         * bad at once, as is a beginning that the next byte does not continue. */
        unsigned char lead = (unsigned char)bytes[i];
        if (!last && i + n == len && lead >= 0xC2 && lead < 0xF5)
            break;
        st = dlm_str_append(ctx, out, bytes + plain, i - plain);
        if (!st)
            st = dlm_str_append(ctx, out, DLM_UNICODE_REPLACEMENT, 3);
        i += n;
        plain = i;
    }
    if (!st)
        st = dlm_str_append(ctx, out, bytes + plain, i - plain);
    *used = i;
    return st;
}
