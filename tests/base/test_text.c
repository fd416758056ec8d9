/* Memory, strings, UTF-8, SHA-256, FNV-1a, messages. */
#include <stdint.h>

#include "base/dtype.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/sha1.h"
#include "base/sha256.h"
#include "base/str.h"
#include "tests/check.h"

static long allocations_left = 1000000;
static char logged[2000];

static bool may_allocate(void *user, size_t bytes)
{
    (void)user;
    (void)bytes;
    return allocations_left-- > 0;
}

static void keep_log(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    (void)level;
    snprintf(logged, sizeof(logged), "%s", text);
}

static void test_dtypes(void)
{
    size_t n = 0;

    check_case("types of blocks");
    CHECK(dlm_dtype_bytes(DLM_DTYPE_Q8_0, 4096, &n) && n == 4096 / 32 * 34);
    CHECK(!dlm_dtype_bytes(DLM_DTYPE_Q8_0, 33, &n));
    CHECK_INT(dlm_dtype_size(DLM_DTYPE_Q8_0, 64), 68);

    check_case("conversions that there are not");
    for (int i = 0; i < DLM_DTYPE_COUNT; i++) {
        const enum dlm_dtype dtype = (enum dlm_dtype)i;
        const bool is_float =
            dtype == DLM_DTYPE_F32 || dtype == DLM_DTYPE_F16 || dtype == DLM_DTYPE_BF16;
        float wide[32] = {7}, block[32] = {1};
        CHECK(dlm_dtype_is_float(dtype) == is_float);
        CHECK(dlm_dtype_to_f32(dtype, block, wide, 1) == is_float && (is_float || wide[0] == 7));
        CHECK(dlm_dtype_from_f32(dtype, wide, block, 1) == is_float && (is_float || block[0] == 1));
    }
}

static void test_memory(struct dlm_ctx *ctx)
{
    size_t n = 0;

    check_case("checked sizes");
    CHECK(dlm_mul_size(SIZE_MAX / 3, 3, &n) && n == SIZE_MAX / 3 * 3);
    CHECK(!dlm_mul_size(SIZE_MAX / 3 + 1, 3, &n) && dlm_mul_size(0, SIZE_MAX, &n) && !n);
    CHECK(dlm_add_size(SIZE_MAX - 1, 1, &n) && n == SIZE_MAX && !dlm_add_size(SIZE_MAX, 1, &n));
    CHECK(dlm_dtype_bytes(DLM_DTYPE_BF16, 5, &n) && n == 10);
    CHECK(!dlm_dtype_bytes(DLM_DTYPE_F32, INT64_MAX, &n));
    CHECK(!dlm_dtype_bytes(DLM_DTYPE_F32, -1, &n));

    check_case("allocation");
    CHECK(!dlm_alloc_array(ctx, SIZE_MAX / 2, 3) && !strncmp(logged, "out of memory", 13));
    unsigned char *p = dlm_alloc(ctx, 1000);
    for (int i = 0; i < 1000; i++)
        CHECK(!p[i]);
    dlm_free(p);
    p = dlm_alloc(ctx, 0);
    CHECK(p);
    allocations_left = 0;
    CHECK(!dlm_realloc(ctx, p, 10) && !dlm_alloc(ctx, 1) && !dlm_strf(ctx, "%d", 1));
    allocations_left = 1000000;
    dlm_free(p);

    check_case("growing arrays");
    uint32_t *list = NULL;
    size_t cap = 0, grown = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        const size_t before = cap;
        if (!CHECK(dlm_grow(ctx, &list, &cap, i, sizeof(*list))))
            break;
        CHECK(cap > i);
        grown += cap != before;
        list[i] = i;
    }
    CHECK(grown < 12);
    allocations_left = 0;
    const size_t full = cap;
    uint32_t *const same = list;
    CHECK(!dlm_grow(ctx, &list, &cap, cap, sizeof(*list)) && list == same && cap == full);
    allocations_left = 1000000;
    CHECK(!dlm_grow(ctx, &list, &cap, SIZE_MAX / 2, sizeof(*list)) && list == same && cap == full);
    for (uint32_t i = 0; i < 1000; i++)
        CHECK(list[i] == i);
    dlm_free(list);

    check_case("arena");
    struct dlm_arena arena = {0};
    unsigned char *parts[300];
    for (int i = 0; i < 300; i++) { /* sizes up to more than a block */
        const size_t bytes = (size_t)(i * 37 % 1500) + (i % 100 == 99 ? 200000 : 0);
        parts[i] = dlm_arena_alloc(ctx, &arena, bytes);
        if (!CHECK(parts[i] && (uintptr_t)parts[i] % 16 == 0))
            break;
        for (size_t k = 0; k < bytes; k++)
            if (!CHECK(!parts[i][k]))
                break;
        memset(parts[i], i & 0xff, bytes);
    }
    for (int i = 0; i < 300; i++)
        for (size_t k = 0; k < (size_t)(i * 37 % 1500); k++)
            if (parts[i][k] != (i & 0xff)) {
                CHECK(!"a part was overwritten");
                break;
            }
    CHECK(!dlm_arena_alloc(ctx, &arena, SIZE_MAX));
    char *copy = dlm_arena_strndup(ctx, &arena, "abcdef", 3);
    CHECK_STR(copy, "abc");
    uint32_t *numbers = NULL;
    cap = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        if (!CHECK(dlm_arena_grow(ctx, &arena, &numbers, &cap, i, sizeof(*numbers))))
            break;
        numbers[i] = i;
    }
    for (uint32_t i = 0; i < 1000; i++)
        CHECK(numbers[i] == i);
    cap = SIZE_MAX / 2;
    CHECK(!dlm_arena_grow(ctx, &arena, &numbers, &cap, cap, sizeof(*numbers)));
    dlm_arena_finish(&arena);
    CHECK(!arena.head);
}

static void test_strings(struct dlm_ctx *ctx)
{
    struct dlm_str s = {0};

    check_case("strings");
    CHECK_STR(dlm_str_text(&s), "");
    CHECK(!dlm_str_append(ctx, &s, "ab\0c", 4) && !dlm_str_appendz(ctx, &s, "de"));
    CHECK(s.len == 6 && !memcmp(s.data, "ab\0cde", 7));
    for (int i = 0; i < 500; i++)
        CHECK(!dlm_str_appendf(ctx, &s, "%d,%s;", i, "x"));
    CHECK(strlen(s.data + 3) == s.len - 3);
    CHECK(!strcmp(s.data + s.len - 12, "498,x;499,x;"));
    const size_t len = s.len;
    allocations_left = 0;
    CHECK(dlm_str_appendf(ctx, &s, "%9000d", 1) == DLM_ERR_MEMORY && s.len == len);
    allocations_left = 1000000;
    dlm_str_finish(&s);
    CHECK(!s.len && !s.data);
    char *text = dlm_strf(ctx, "%s-%05d", "a", 42);
    CHECK_STR(text, "a-00042");
    dlm_free(text);
}

/* Decodes by definition: the length and value of the character at p, 0 if there is none. */
static size_t character(const unsigned char *p, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t n = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3
                     : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
    uint32_t value = n == 1 ? p[0] : p[0] & (0x7fu >> n);

    if (!n || n > len)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (p[i] & 0x3f);
    }
    return value < least[n] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000) ? 0 : n;
}

static void test_utf8(void)
{
    unsigned char bytes[6];
    size_t bad = 0, wrong = 0;

    /* every two bytes, and every third and fourth byte that matters */
    check_case("UTF-8");
    static const unsigned char tails[] = {0,    0x41, 0x7f, 0x80, 0x8f, 0x90,
                                          0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b++)
            for (size_t c = 0; c < sizeof(tails); c++)
                for (size_t d = 0; d < sizeof(tails); d++) {
                    const unsigned char text[4] = {(unsigned char)a, (unsigned char)b, tails[c],
                                                   tails[d]};
                    for (size_t len = 1; len <= 4; len++) {
                        size_t at = 0, n = 1;
                        while (at < len && (n = character(text + at, len - at)))
                            at += n;
                        memcpy(bytes, text, len);
                        const bool valid = dlm_utf8_is_valid((char *)bytes, len, &bad);
                        wrong += valid != (at == len) || (!valid && bad != at);
                    }
                }
    CHECK_INT(wrong, 0);
    CHECK(dlm_utf8_is_valid("", 0, NULL) && !dlm_utf8_is_valid("\xff", 1, NULL));
}

static void sha1_of(const void *data, size_t bytes, size_t times, char hex[41])
{
    struct dlm_sha1 s;
    uint8_t digest[32] = {0};
    char all[65];

    dlm_sha1_init(&s);
    for (size_t i = 0; i < times; i++)
        dlm_sha1_update(&s, data, bytes);
    dlm_sha1_finish(&s, digest);
    dlm_sha256_hex(digest, all);
    snprintf(hex, 41, "%.40s", all);
}

static void test_sha1(void)
{
    static const struct {
        const char *text, *hex;
    } known[] = { /* FIPS 180-2, appendix A, the empty message, and git's blob of no bytes */
        {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
    };
    char hex[41], block[200];

    check_case("SHA-1");
    for (size_t i = 0; i < 3; i++) {
        sha1_of(known[i].text, strlen(known[i].text), 1, hex);
        CHECK_STR(hex, known[i].hex);
    }
    sha1_of("blob 0", 7, 1, hex);
    CHECK_STR(hex, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    memset(block, 'a', sizeof(block));
    sha1_of(block, sizeof(block), 5000, hex); /* a million */
    CHECK_STR(hex, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

static void test_messages(struct dlm_ctx *ctx)
{
    char large[3000];

    check_case("messages");
    CHECK(dlm_fail(ctx, DLM_ERR_IO, "cannot read '%s': %d", "a\nb\x1b[2J", 3) == DLM_ERR_IO);
    CHECK_STR(logged, "cannot read 'a b?[2J': 3");
    CHECK_STR(dlm_ctx_last_error(ctx), logged);
    dlm_log(ctx, DLM_LOG_WARNING, "only a warning");
    CHECK_STR(logged, "only a warning");
    CHECK_STR(dlm_ctx_last_error(ctx), "cannot read 'a b?[2J': 3");
    dlm_log_mute(ctx);
    dlm_log_mute(ctx);
    CHECK(dlm_log_unmute(ctx, DLM_OK) == DLM_OK);
    dlm_log_once(ctx, DLM_LOG_WARNING, "once %d", 1);
    CHECK(dlm_log_unmute(ctx, dlm_fail(ctx, DLM_ERR_IO, "not heard")) == DLM_ERR_IO);
    CHECK_STR(logged, "only a warning");
    dlm_log_take(ctx, large, sizeof(large));
    CHECK_STR(large, "not heard");
    CHECK_STR(dlm_ctx_last_error(ctx), "");
    dlm_log_mute(ctx);
    CHECK(dlm_log_excuse(ctx, dlm_fail(ctx, DLM_ERR_IO, "nor this")) == DLM_OK);
    CHECK_STR(dlm_ctx_last_error(ctx), "");
    dlm_log_mute(ctx);
    CHECK(dlm_log_excuse(ctx, dlm_fail(ctx, DLM_ERR_MEMORY, "but this")) == DLM_ERR_MEMORY);
    CHECK_STR(dlm_ctx_last_error(ctx), "but this");
    for (int i = 0; i < 8; i++) {
        *logged = '\0';
        dlm_log_once(ctx, DLM_LOG_WARNING, "once %d", i / 2);
        CHECK((*logged != '\0') == (i % 2 == 0));
    }
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    CHECK(dlm_fail(ctx, DLM_ERR_INVALID, "%s", large) == DLM_ERR_INVALID);
    CHECK(strlen(dlm_ctx_last_error(ctx)) > 500 && strlen(dlm_ctx_last_error(ctx)) < 3000);
    CHECK(dlm_fail(NULL, DLM_ERR_IO, "nobody listens") == DLM_ERR_IO);
    CHECK_STR(dlm_status_text(DLM_OK), "done");
    CHECK(dlm_status_text((enum dlm_status)999));
}

/* The test vectors of the authors' page (see hash.c). */
static void test_hash(void)
{
    check_case("FNV-1a");
    CHECK_INT(dlm_hash(DLM_HASH_START, "", 0), 0x811c9dc5u);
    CHECK_INT(dlm_hash(DLM_HASH_START, "a", 1), 0xe40c292cu);
    CHECK_INT(dlm_hash(DLM_HASH_START, "foobar", 6), 0xbf9cf968u);
    CHECK_INT(dlm_hash(dlm_hash(DLM_HASH_START, "foo", 3), "bar", 3), 0xbf9cf968u);
}

int main(void)
{
    const struct dlm_ctx_params params = {.alloc_hook = may_allocate, .log = keep_log};
    struct dlm_ctx *ctx = dlm_ctx_create(&params);

    test_memory(ctx);
    test_dtypes();
    test_strings(ctx);
    test_utf8();
    test_sha1();
    test_hash();
    test_messages(ctx);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
