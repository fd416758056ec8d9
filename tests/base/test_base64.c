/* Base64: the test vectors of RFC 4648, section 10, and what is none. */
#include "base/base64.h"

#include "check.h"

static void check_decodes(const char *text, const char *want)
{
    uint8_t out[64];
    size_t bytes = 0;

    check_case(text);
    CHECK(dlm_base64_room(strlen(text)) <= sizeof(out));
    CHECK(dlm_base64_decode(text, strlen(text), out, &bytes));
    if (CHECK_INT(bytes, strlen(want)))
        CHECK(!memcmp(out, want, bytes));
}

static void check_refused(const char *text, size_t len)
{
    uint8_t out[64];
    size_t bytes;

    check_case(text);
    CHECK(!dlm_base64_decode(text, len, out, &bytes));
}

int main(void)
{
    static const char *const bad[] = {"Z", "Zm9vY", "Zg=", "Zg===", "Zm9v=", "Zm9v====", "Zg==Zg==",
                                      "Z-8=", "Zm9v!", "="};

    check_decodes("", "");
    check_decodes("Zg==", "f");
    check_decodes("Zm8=", "fo");
    check_decodes("Zm9v", "foo");
    check_decodes("Zm9vYg==", "foob");
    check_decodes("Zm9vYmE=", "fooba");
    check_decodes("Zm9vYmFy", "foobar");
    check_decodes("Zm9vYg", "foob");
    check_decodes(" Zm9v\r\n\tYmE = \n", "fooba");
    check_decodes("++//", "\xfb\xef\xff");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check_refused(bad[i], strlen(bad[i]));
    check_refused("Zm9v\0Zm9v", 9);
    return check_summary();
}
