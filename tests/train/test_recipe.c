/* What a run chooses where its document says nothing: enough updates for small data, the usual
 * values for large data and for a decoder of 2048. */
#include "tests/check.h"
#include "train/recipe.h"

static void test_batch(void)
{
    static const struct {
        int64_t rows, batch;
    } cases[] = {{0, 1}, {1, 1}, {9, 1}, {15, 1}, {16, 2}, {31, 2}, {32, 4}, {63, 4}, {64, 8},
                 {1000000, 8}};

    check_case("rows an update");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CHECK_INT(dlm_recipe_batch(cases[i].rows), cases[i].batch);
}

static void test_epochs(void)
{
    check_case("epochs");
    CHECK_INT(dlm_recipe_epochs(1), 60); /* one row is not read hundreds of times */
    CHECK_INT(dlm_recipe_epochs(2), 60);
    CHECK_INT(dlm_recipe_epochs(9), 14);
    CHECK_INT(dlm_recipe_epochs(40), 3);
    CHECK_INT(dlm_recipe_epochs(100000), 3);
    check_case("10 to 30 rows get 120 updates or more");
    for (int64_t rows = 10; rows <= 30; rows++) {
        const int64_t batch = dlm_recipe_batch(rows), updates = (rows + batch - 1) / batch;
        CHECK(updates * dlm_recipe_epochs(updates) >= 120);
    }
}

static void test_lr(void)
{
    check_case("learning rate");
    CHECK(dlm_recipe_lr(2048) == 2e-4);
    CHECK(dlm_recipe_lr(4096) == 1e-4);
    CHECK(dlm_recipe_lr(8) == 5e-3);
}

int main(void)
{
    test_batch();
    test_epochs();
    test_lr();
    return check_summary();
}
