/* Every allocation fails once: what is made is DLM_ERR_MEMORY, nothing leaks (the sanitizers see
 * to that), and with enough memory the call succeeds. */
#include "base/mem.h"
#include "helpers.h"
#include "weights/adapter.h"

static struct dlm_ctx *ctx;
static long calls_left;

static bool may_allocate(void *user, size_t bytes)
{
    (void)user;
    (void)bytes;
    return calls_left-- > 0;
}

static enum dlm_status open_checkpoint(void)
{
    struct dlm_checkpoint *c = NULL;
    char sha[65];
    enum dlm_status st = dlm_checkpoint_open(ctx, &c, golden_path("sharded"));

    if (!st)
        st = dlm_checkpoint_identity(ctx, c, sha);
    dlm_checkpoint_destroy(&c);
    return st;
}

static enum dlm_status open_adapter(void)
{
    struct dlm_adapter *a = NULL;
    enum dlm_status st = dlm_adapter_open(ctx, &a, golden_path("adapter_patterns"), NULL);

    CHECK((st == DLM_OK) == (a != NULL));
    dlm_adapter_destroy(&a);
    return st;
}

static enum dlm_status write_adapter(void)
{
    static const float x[8] = {0};
    static const struct dlm_adapter_out_module modules[] = {
        {"m.layers.0.q_proj", 0, 0, 4, 4, x, x},
        {"m.layers.1.q_proj", 1, 3, 4, 4, x, x},
    };
    static const char *const all[] = {"m", "m.layers.0.q_proj", "m.layers.1.q_proj"};
    const struct dlm_adapter_write_params params = {.r = 2, .alpha = 2, .base_model = "x",
                                                    .all_paths = all, .num_all_paths = 3};

    return dlm_adapter_write(ctx, tmp_root, &params, modules, 2);
}

static void fail_each(const char *name, enum dlm_status (*call)(void))
{
    enum dlm_status st = DLM_ERR_MEMORY;
    long n = 0;

    check_case(name);
    for (; st && n < 10000; n++) {
        calls_left = n;
        st = call();
        CHECK(st == DLM_OK || st == DLM_ERR_MEMORY ||
              st == DLM_ERR_INVALID); /* jansson's own failures tell no reason */
    }
    CHECK_INT(st, DLM_OK);
    printf("# %s: %ld allocations\n", name, n - 1);
}

int main(void)
{
    const struct dlm_ctx_params params = {.alloc_hook = may_allocate};

    ctx = dlm_ctx_create(&params);
    calls_left = 1000000;
    tmp_make();
    fail_each("open a sharded checkpoint", open_checkpoint);
    fail_each("open an adapter", open_adapter);
    fail_each("write an adapter", write_adapter);
    calls_left = 1000000;
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
