/* Learning rates against transformers' schedulers (tools/dev/make_train_goldens.py). */
#include <jansson.h>

#include "tests/check.h"
#include "train/schedule.h"

static enum dlm_schedule_kind kind_of(const char *name)
{
    return !strcmp(name, "cosine")   ? DLM_SCHEDULE_COSINE
           : !strcmp(name, "linear") ? DLM_SCHEDULE_LINEAR
                                     : DLM_SCHEDULE_CONSTANT;
}

static void run_case(const json_t *c, size_t index)
{
    static char names[32][64];
    const char *kind = json_string_value(json_object_get(c, "kind"));
    const json_t *lrs = json_object_get(c, "lrs"), *want;
    const double lr = json_number_value(json_object_get(c, "lr"));
    const int64_t steps = json_integer_value(json_object_get(c, "steps"));
    size_t k;

    snprintf(names[index % 32], sizeof(names[0]), "%s, %d steps", kind, (int)steps);
    check_case(names[index % 32]);
    const struct dlm_schedule s = dlm_schedule_make(
        kind_of(kind), lr, steps, json_number_value(json_object_get(c, "warmup_ratio")));
    CHECK_INT(json_array_size(lrs), steps);
    json_array_foreach(lrs, k, want) {
        const double got = dlm_schedule_lr(&s, (int64_t)k);
        if (!CHECK(fabs(got - json_number_value(want)) <= 1e-12 * lr))
            printf("     step %d: got %.17g, want %.17g\n", (int)k, got, json_number_value(want));
    }
}

int main(void)
{
    char path[1024];
    const json_t *c;
    size_t i;

    check_case("expectations");
    snprintf(path, sizeof(path), "%s/golden/train/schedules.json", check_data_dir());
    json_t *golden = json_load_file(path, 0, NULL);
    const json_t *cases = json_object_get(golden, "cases");
    CHECK(json_array_size(cases) >= 6);
    json_array_foreach(cases, i, c) {
        run_case(c, i);
    }
    json_decref(golden);
    return check_summary();
}
