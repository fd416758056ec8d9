/* The test harness: checks that count, cases with a name, one summary line.
 *
 *     int main(void)
 *     {
 *         check_case("empty document");
 *         CHECK(parse("") == DLM_ERR_PARSE);
 *         return check_summary();
 *     }
 *
 * A case fails when one of its checks fails. The last line printed is
 * `# N passed, N failed, N skipped`; the exit status 0 pass, 1 fail, 77 all skipped. */
#ifndef DLM_TESTS_CHECK_H
#define DLM_TESTS_CHECK_H

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *name;
    bool open, failed;
    int passed_cases, failed_cases, skipped_cases;
} check_state_;

static inline void check_close_(void)
{
    if (!check_state_.open)
        return;
    if (check_state_.failed)
        check_state_.failed_cases++;
    else
        check_state_.passed_cases++;
    check_state_.open = false;
}

/* Starts a case; the one before it ends. name must live until the next case. */
static inline void check_case(const char *name)
{
    check_close_();
    check_state_.name = name;
    check_state_.open = true;
    check_state_.failed = false;
}

static inline bool check_(bool ok, const char *what, const char *file, int line)
{
    if (!check_state_.open)
        check_case("(unnamed)");
    if (!ok) {
        check_state_.failed = true;
        printf("FAIL %s: %s (%s:%d)\n", check_state_.name, what, file, line);
        fflush(stdout);
    }
    return ok;
}

/* True when the condition holds, so that `if (!CHECK(p)) return;` works. */
#define CHECK(expr) check_((expr) ? true : false, #expr, __FILE__, __LINE__)

static inline bool check_str_(const char *a, const char *b, const char *what, const char *file,
                              int line)
{
    bool ok = a && b && !strcmp(a, b);
    if (!check_(ok, what, file, line))
        printf("     got  \"%s\"\n     want \"%s\"\n", a ? a : "(null)", b ? b : "(null)");
    return ok;
}

#define CHECK_STR(got, want) check_str_((got), (want), #got " equals " #want, __FILE__, __LINE__)

static inline bool check_int_(int64_t a, int64_t b, const char *what, const char *file, int line)
{
    if (!check_(a == b, what, file, line))
        printf("     got %" PRId64 ", want %" PRId64 "\n", a, b);
    return a == b;
}

#define CHECK_INT(got, want)                                                                       \
    check_int_((int64_t)(got), (int64_t)(want), #got " equals " #want, __FILE__, __LINE__)

/* Counts one case as skipped, with its reason. */
static inline void check_skip(const char *name, const char *reason)
{
    check_close_();
    check_state_.skipped_cases++;
    printf("SKIP %s: %s\n", name, reason);
}

static inline int check_summary(void)
{
    check_close_();
    printf("# %d passed, %d failed, %d skipped\n", check_state_.passed_cases,
           check_state_.failed_cases, check_state_.skipped_cases);
    if (check_state_.failed_cases)
        return 1;
    return !check_state_.passed_cases && check_state_.skipped_cases ? 77 : 0;
}

/* Folder of the committed test data (tests/ in the source tree). */
static inline const char *check_data_dir(void)
{
    const char *dir = getenv("DLM_TEST_DATA");
    return dir ? dir : "tests";
}

#endif
