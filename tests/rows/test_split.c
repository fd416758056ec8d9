/* The validation split against the reference's own answers, and the order of an epoch. */
#include <jansson.h>
#include <stdio.h>

#include "check.h"
#include "rows/rows.h"

static void test_split(void)
{
    char path[1024];
    json_error_t error;
    size_t i, num_val = 0;
    json_t *item;

    check_case("split");
    snprintf(path, sizeof(path), "%s/golden/doc/reference.json", check_data_dir());
    json_t *golden = json_load_file(path, 0, &error);
    if (!CHECK(golden != NULL))
        return;
    json_array_foreach(json_object_get(golden, "split"), i, item) {
        bool got = dlm_rows_is_val(json_integer_value(json_array_get(item, 0)),
                                   json_string_value(json_array_get(item, 1)),
                                   json_integer_value(json_array_get(item, 2)));
        CHECK(got == json_is_true(json_array_get(item, 3)));
        num_val += got;
    }
    CHECK(i > 400 && num_val > 20 && num_val < 80);
    json_decref(golden);
    /* The first validation row of this section is the 55th. */
    for (int64_t k = 0; k < 55; k++)
        CHECK(!dlm_rows_is_val(42, "0123456789abcdef", k));
    CHECK(dlm_rows_is_val(42, "0123456789abcdef", 55));
}

static void test_order(void)
{
    enum { N = 1000 };
    static uint32_t a[N], b[N], seen[N];

    check_case("order is a permutation");
    dlm_rows_order(42, 0, N, a);
    for (int i = 0; i < N; i++)
        seen[a[i] % N]++;
    for (int i = 0; i < N; i++)
        CHECK_INT(seen[i], 1);
    check_case("order follows seed and epoch alone");
    dlm_rows_order(42, 0, N, b);
    CHECK(!memcmp(a, b, sizeof(a)));
    dlm_rows_order(42, 1, N, b);
    CHECK(memcmp(a, b, sizeof(a)));
    dlm_rows_order(43, 0, N, b);
    CHECK(memcmp(a, b, sizeof(a)));
    dlm_rows_order(42, 0, 1, b);
    CHECK_INT(b[0], 0);
    dlm_rows_order(42, 0, 0, b);

    /* Each of the 6 orders of 3 rows about equally often: 6000 epochs, sigma is 29. */
    check_case("order is fair");
    int counts[6] = {0};
    for (uint32_t epoch = 0; epoch < 6000; epoch++) {
        uint32_t o[3];
        dlm_rows_order(7, epoch, 3, o);
        counts[o[0] * 2 + (o[1] > o[2])]++;
    }
    for (int i = 0; i < 6; i++)
        CHECK(counts[i] > 850 && counts[i] < 1150);
}

int main(void)
{
    test_split();
    test_order();
    return check_summary();
}
