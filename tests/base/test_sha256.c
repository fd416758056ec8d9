/* SHA-256 against published vectors and coreutils: in plain C, by the CPU's own instructions, and
 * as it is chosen between them. */
#include "base/sha256.h"

#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "cpukernels/sha256.h"

#define NUM_LONG 64 /* messages of 163 + 99 i bytes, as NIST's SHA256LongMsg.rsp has them */

enum variant { CHOSEN, PLAIN, OWN };

static void init(struct dlm_sha256 *s, enum variant variant)
{
    dlm_sha256_init(s);
    s->has_asked = variant != CHOSEN;
    if (variant == OWN)
        s->compress = dlm_cpu_sha256();
}

static void finish(struct dlm_sha256 *s, char hex[65])
{
    uint8_t digest[32];

    dlm_sha256_finish(s, digest);
    dlm_sha256_hex(digest, hex);
}

/* In pieces of `step` bytes and one. */
static void hash(enum variant variant, const void *data, size_t bytes, size_t step, char hex[65])
{
    struct dlm_sha256 s;

    init(&s, variant);
    for (size_t at = 0; at < bytes; at += step)
        dlm_sha256_update(&s, (const char *)data + at, step < bytes - at ? step : bytes - at);
    finish(&s, hex);
}

static void test_texts(enum variant variant)
{
    static const struct {
        const char *text, *hex;
    } known[] = { /* FIPS 180-2, appendix B, and the empty message */
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hex[65];

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        hash(variant, known[i].text, strlen(known[i].text), 64, hex);
        CHECK_STR(hex, known[i].hex);
    }
}

/* One byte repeated: NIST's "Additional test vectors for SHA-2". */
static void test_bytes(enum variant variant)
{
    static const struct {
        int byte;
        size_t num;
        const char *hex;
    } known[] = {
        {0xbd, 1, "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b"},
        {0, 55, "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7"},
        {0, 56, "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb"},
        {0, 57, "65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785"},
        {0, 64, "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"},
        {0, 1000, "541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53"},
        {'A', 1000, "c2e686823489ced2017f6059b8b239318b6364f6dcd835d0a519105a1eadd6e4"},
        {'U', 1005, "f4d62ddec0f3dd90ea1380fa16a5ff8dc4c54b21740650f24afc4120903552b0"},
        {0, 1000000, "d29751f2649b32ff572b5e0a9f541ea660a50f94ff0beedfb0b692b924cc8025"},
        {'a', 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    char *block = malloc(1000000), hex[65];

    if (!CHECK(block))
        return;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        memset(block, known[i].byte, known[i].num);
        hash(variant, block, known[i].num, known[i].num, hex);
        CHECK_STR(hex, known[i].hex);
        hash(variant, block, known[i].num, 200, hex);
        CHECK_STR(hex, known[i].hex);
    }
    free(block);
}

/* The first answer of the chain in NIST's SHA256Monte.rsp. */
static void test_chain(enum variant variant)
{
    static const uint8_t seed[32] = {0x6d, 0x1e, 0x72, 0xad, 0x03, 0xdd, 0xeb, 0x5d,
                                     0xe8, 0x91, 0xe5, 0x72, 0xe2, 0x39, 0x6f, 0x8d,
                                     0xa0, 0x15, 0xd8, 0x99, 0xef, 0x0e, 0x79, 0x50,
                                     0x31, 0x52, 0xd6, 0x01, 0x0a, 0x3f, 0xe6, 0x91};
    uint8_t last[3][32];
    struct dlm_sha256 s;
    char hex[65];

    for (int i = 0; i < 3; i++)
        memcpy(last[i], seed, 32);
    for (int i = 0; i < 1000; i++) {
        init(&s, variant);
        dlm_sha256_update(&s, last, sizeof(last));
        memmove(last[0], last[1], 64);
        dlm_sha256_finish(&s, last[2]);
    }
    dlm_sha256_hex(last[2], hex);
    CHECK_STR(hex, "e93c330ae5447738c8aa85d71a6c80f2a58381d05872d26bdd39f1fcd4f2b788");
}

/* Every length about the block, in pieces of changing size. */
static void test_pieces(enum variant variant)
{
    char block[200], hex[65], other[65];
    struct dlm_sha256 s;

    for (size_t len = 0; len < sizeof(block); len++) {
        for (size_t i = 0; i < len; i++)
            block[i] = (char)(i * 7 + len);
        hash(PLAIN, block, len, sizeof(block), hex);
        init(&s, variant);
        for (size_t at = 0; at < len; at += 1 + at % 67)
            dlm_sha256_update(&s, block + at, 1 + at % 67 < len - at ? 1 + at % 67 : len - at);
        finish(&s, other);
        CHECK_STR(other, hex);
    }
}

static void test_variant(const char *name, enum variant variant)
{
    check_case(name);
    test_texts(variant);
    test_bytes(variant);
    test_chain(variant);
    test_pieces(variant);
}

/* What sha256sum says of messages, in a line each. */
static void test_long(const uint8_t *data, enum variant last)
{
    char path[] = "/tmp/dlm_sha256_XXXXXX", command[512], want[65], hex[65];
    const int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");

    check_case("beside sha256sum");
    if (!CHECK(f))
        return;
    for (int i = 0; i < NUM_LONG; i++)
        CHECK(fwrite(data + i, 163 + 99 * (size_t)i, 1, f) == 1);
    CHECK(!fclose(f));
    snprintf(command, sizeof(command),
             "at=1; i=0; while [ $i -lt %d ]; do len=$((163 + 99 * i)); "
             "tail -c +$at %s | head -c $len | sha256sum; at=$((at + len)); i=$((i + 1)); done",
             NUM_LONG, path);
    FILE *sums = popen(command, "r");
    for (int i = 0; CHECK(sums) && i < NUM_LONG; i++) {
        const size_t len = 163 + 99 * (size_t)i;
        if (!CHECK(fscanf(sums, "%64s -", want) == 1))
            break;
        for (enum variant v = CHOSEN; v <= last; v++) {
            hash(v, data + i, len, len, hex);
            CHECK_STR(hex, want);
        }
    }
    if (sums)
        pclose(sums);
    unlink(path);
}

/* Variants take over from each other in the middle of a message. */
static void test_change(const uint8_t *data, size_t bytes)
{
    char hex[65], other[65];
    struct dlm_sha256 s;

    check_case("a large piece after small ones");
    hash(PLAIN, data, bytes, bytes, hex);
    init(&s, CHOSEN);
    for (size_t at = 0; at < 999; at += 37)
        dlm_sha256_update(&s, data + at, 37);
    CHECK(!s.has_asked);
    dlm_sha256_update(&s, data + 999, bytes - 1000);
    CHECK(s.has_asked && (!dlm_cpu_sha256() || s.compress == dlm_cpu_sha256()));
    dlm_sha256_update(&s, data + bytes - 1, 1);
    finish(&s, other);
    CHECK_STR(other, hex);
}

int main(void)
{
    static uint8_t data[300000];
    const bool has_own = dlm_cpu_sha256();

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * i * 2654435761u >> 13);
    test_variant("as it is chosen", CHOSEN);
    test_variant("plain C", PLAIN);
    if (has_own)
        test_variant("the CPU's own instructions", OWN);
    else
        check_skip("the CPU's own instructions", "this CPU has none for SHA-256");
    test_long(data, has_own ? OWN : PLAIN);
    test_change(data, sizeof(data));
    return check_summary();
}
