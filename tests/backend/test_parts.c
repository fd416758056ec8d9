/* Long dispatches in parts: what they cover, in which order, what a recording does with them. */
#include "backend/backend_impl.h"
#include "kernels/params.h"
#include "tests/check.h"

enum { MAX_PARTS = 4096 };

static struct dlm_dispatch parts[MAX_PARTS];

/* The parts do every group of the grid once and in order, each within the limit if one group is.
 * Returns how many there are. */
static size_t check_cut(const struct dlm_dispatch *d, uint64_t max_work)
{
    const uint64_t row = d->groups[0], plane = row * d->groups[1], all = plane * d->groups[2];
    const size_t num = dlm_dispatch_count_parts(d, max_work);
    uint64_t next = 0;

    if (!CHECK(num > 0 && num <= MAX_PARTS))
        return num;
    dlm_dispatch_cut(d, max_work, parts);
    for (size_t i = 0; i < num; i++) {
        const struct dlm_dispatch *p = &parts[i];
        const uint64_t groups = (uint64_t)p->groups[0] * p->groups[1] * p->groups[2];
        const uint64_t work = groups * (d->work / all + (d->work % all > 0));
        CHECK_INT(p->base[0] + row * p->base[1] + plane * p->base[2], next);
        CHECK(p->groups[1] == 1 || p->groups[0] == row); /* they follow each other */
        CHECK(p->groups[2] == 1 || groups % plane == 0);
        CHECK(!max_work || work <= max_work || groups == 1 || (d->units && groups == row));
        CHECK(!memcmp(p->whole, d->groups, sizeof(p->whole)));
        CHECK(p->barrier == (i == 0));
        next += groups;
    }
    CHECK_INT(next, all);
    return num;
}

static void test_cut(void)
{
    struct dlm_dispatch d = {.groups = {7, 5, 3}, .work = 105 * 10, .barrier = true};

    check_case("a dispatch within the limit stays whole");
    CHECK_INT(check_cut(&d, 0), 1);
    CHECK_INT(check_cut(&d, 1050), 1);
    check_case("parts of planes, rows and groups");
    CHECK_INT(check_cut(&d, 1049), 2); /* planes: 2 + 1 */
    CHECK_INT(check_cut(&d, 699), 3);
    CHECK_INT(check_cut(&d, 349), 6);  /* rows: 3 + 2, three times */
    CHECK_INT(check_cut(&d, 70), 15);
    CHECK_INT(check_cut(&d, 69), 30);  /* groups: 4 + 3 */
    CHECK_INT(check_cut(&d, 10), 105);
    check_case("no part is less than a group");
    CHECK_INT(check_cut(&d, 1), 105);
    check_case("work that groups do not divide");
    d.work = 106;
    CHECK_INT(check_cut(&d, 105), 3); /* 2 a group at most: 52 groups, a plane has 35 */
    check_case("a folded grid comes in whole rows");
    d = (struct dlm_dispatch){
        .groups = {10, 4, 1}, .units = 38, .work = 4000, .barrier = true};
    CHECK_INT(check_cut(&d, 2000), 2);
    CHECK_INT(check_cut(&d, 1), 4);
    check_case("a dimension of thousands");
    d = (struct dlm_dispatch){
        .groups = {1513, 16, 1}, .work = (uint64_t)1 << 40, .barrier = true};
    CHECK(check_cut(&d, DLM_GPU_MAX_WORK) > 512);
}

/* A recording of a fill in parts between two that are whole. */
static void test_recording(void)
{
    enum { WORDS = 5 * 4096 };
    static uint32_t got[WORDS];
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    const struct dlm_device_params params = {
        .kind = DLM_BACKEND_CPU, .index = -1, .max_work = 100};
    struct dlm_device *device = NULL;
    struct dlm_buffer *buffer = NULL;
    struct dlm_recording *recording = NULL;
    struct dlm_dispatch list[3];
    double seconds[3] = {-1, -1, -1};
    size_t num_bad = 0;

    check_case("a recording does the parts, and times them as one");
    if (!ctx || !CHECK(!dlm_device_open(ctx, &device, &params)) ||
        !CHECK(!dlm_buffer_create(device, &buffer, sizeof(got))))
        exit(check_summary());
    for (uint32_t i = 0; i < 3; i++) {
        const struct dlm_fill_params fill = {.total = WORDS, .word = i + 1};
        list[i] = (struct dlm_dispatch){
            .kernel = "fill",
            .bindings = {{buffer, 0, sizeof(got)}},
            .num_bindings = 1,
            .groups = {5, 1, 1},
            .work = i == 1 ? 500 : 100,
            .params_bytes = sizeof(fill),
            .barrier = true,
        };
        memcpy(list[i].params, &fill, sizeof(fill));
    }
    if (CHECK(!dlm_recording_create(device, &recording, list, 2))) {
        CHECK_INT(recording->num, 6);
        CHECK(!dlm_recording_run(recording));
        CHECK(!dlm_buffer_read(buffer, 0, got, sizeof(got)));
        for (int i = 0; i < WORDS; i++)
            num_bad += got[i] != 2;
        CHECK_INT(num_bad, 0);
    }
    dlm_recording_destroy(&recording);
    if (CHECK(!dlm_recording_create(device, &recording, list, 3))) {
        CHECK_INT(recording->num, 7);
        CHECK(!dlm_recording_profile(recording, seconds));
        CHECK(seconds[0] >= 0 && seconds[1] >= 0 && seconds[2] >= 0);
        CHECK(!dlm_buffer_read(buffer, 0, got, sizeof(got)));
        CHECK_INT(got[WORDS - 1], 3);
    }
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&buffer);
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&ctx);
}

int main(void)
{
    test_cut();
    test_recording();
    return check_summary();
}
