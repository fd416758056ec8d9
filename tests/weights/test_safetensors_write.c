/* Writing safetensors: the bytes of the safetensors library, and failures that lose nothing. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helpers.h"
#include "weights/checkpoint.h"

static struct dlm_ctx *ctx;

static const struct dlm_metadata_pair format_pt[] = {{"format", "pt"}};

/* The tensors of make_writer() in tools/dev/make_weights_goldens.py: x = i * 0.25 - 1. */
static void test_golden(void)
{
    static float seq[8];
    static uint16_t f16[3], bf16[5];
    static const uint8_t u8[] = {0, 1, 2, 3, 4, 5, 6};
    static const int32_t i32[] = {0, 1, 2};
    static const uint32_t u32[] = {0, 1, 2};

    for (int i = 0; i < 8; i++)
        seq[i] = (float)i * 0.25f - 1;
    CHECK(dlm_dtype_from_f32(DLM_DTYPE_F16, seq, f16, 3));
    CHECK(dlm_dtype_from_f32(DLM_DTYPE_BF16, seq, bf16, 5));
    const struct dlm_tensor_out tensors[] = {
        {"b.f32", DLM_DTYPE_F32, 2, {2, 3}, seq, 24},
        {"a.f32", DLM_DTYPE_F32, 1, {4}, seq, 16},
        {"z.f16", DLM_DTYPE_F16, 2, {3, 1}, f16, 6},
        {"a.bf16", DLM_DTYPE_BF16, 1, {5}, bf16, 10},
        {"m.u8", DLM_DTYPE_U8, 1, {7}, u8, 7},
        {"c.i32", DLM_DTYPE_I32, 1, {3}, i32, 12},
        {"d.u32", DLM_DTYPE_U32, 1, {3}, u32, 12},
        {"scalar", DLM_DTYPE_F32, 0, {0}, seq, 4},
        {"empty", DLM_DTYPE_F32, 2, {0, 4}, seq, 0},
        {"q\"\\\n", DLM_DTYPE_F32, 1, {1}, seq, 4},
    };
    struct dlm_tensor_out reversed[DLM_ARRAY_LEN(tensors)];

    check_case("bytes of the safetensors library");
    CHECK(!dlm_safetensors_write(ctx, tmp_path("w.safetensors"), tensors, DLM_ARRAY_LEN(tensors),
                                 format_pt, 1));
    CHECK(same_files(tmp_path("w.safetensors"), golden_path("writer.safetensors")));
    check_case("order of the arguments does not matter");
    for (size_t i = 0; i < DLM_ARRAY_LEN(tensors); i++)
        reversed[i] = tensors[DLM_ARRAY_LEN(tensors) - 1 - i];
    CHECK(!dlm_safetensors_write(ctx, tmp_path("r.safetensors"), reversed, DLM_ARRAY_LEN(reversed),
                                 format_pt, 1));
    CHECK(same_files(tmp_path("r.safetensors"), golden_path("writer.safetensors")));
    check_case("no tensors");
    CHECK(!dlm_safetensors_write(ctx, tmp_path("e.safetensors"), NULL, 0, NULL, 0));
    CHECK(same_files(tmp_path("e.safetensors"), golden_path("writer_empty.safetensors")));
    check_case("what was written is read");
    struct dlm_checkpoint *c = NULL;
    if (CHECK(!dlm_checkpoint_open(ctx, &c, tmp_path("w.safetensors"))))
        CHECK_INT(dlm_checkpoint_num_tensors(c), DLM_ARRAY_LEN(tensors));
    dlm_checkpoint_destroy(&c);
}

static void expect_refused(const struct dlm_tensor_out *tensors, size_t num, const char *text)
{
    CHECK_INT(dlm_safetensors_write(ctx, tmp_path("bad.safetensors"), tensors, num, NULL, 0),
              DLM_ERR_INVALID);
    if (!CHECK(strstr(dlm_ctx_last_error(ctx), text)))
        printf("     got \"%s\"\n", dlm_ctx_last_error(ctx));
    CHECK(!dlm_path_is_file(tmp_path("bad.safetensors")));
}

static void test_refused(void)
{
    static const float x[4] = {0};
    const struct dlm_tensor_out twice[] = {{"x", DLM_DTYPE_F32, 1, {1}, x, 4},
                                           {"x", DLM_DTYPE_F32, 1, {2}, x, 8}};
    const struct dlm_tensor_out size = {"x", DLM_DTYPE_F32, 1, {3}, x, 16};
    const struct dlm_tensor_out huge = {
        "x", DLM_DTYPE_F32, 2, {INT64_MAX / 2, INT64_MAX / 2}, x, 16};
    const struct dlm_tensor_out type = {"x", DLM_DTYPE_COUNT, 1, {1}, x, 4};
    const struct dlm_tensor_out name = {"\xff", DLM_DTYPE_F32, 1, {1}, x, 4};

    check_case("input that cannot be a file");
    expect_refused(twice, 2, "'x' is there twice");
    expect_refused(&size, 1, "another size");
    expect_refused(&huge, 1, "bad shape");
    expect_refused(&type, 1, "type");
    expect_refused(&name, 1, "bad name");
}

/* A limit on file sizes makes write() fail as a full disk does. */
static void test_full_disk(void)
{
    static float x[65536];
    const struct dlm_tensor_out t = {"x", DLM_DTYPE_F32, 1, {65536}, x, sizeof(x)};
    struct rlimit old, small;
    char **names = NULL;
    size_t num = 0;

    check_case("a full disk leaves the old file and no temporary one");
    CHECK(!dlm_dir_make(ctx, tmp_path("full")));
    CHECK(put_file(tmp_path("full/a.safetensors"), "old", 3));
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    enum dlm_status st =
        dlm_safetensors_write(ctx, tmp_path("full/a.safetensors"), &t, 1, NULL, 0);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK_INT(st, DLM_ERR_IO);
    CHECK(strstr(dlm_ctx_last_error(ctx), "cannot write '") &&
          strstr(dlm_ctx_last_error(ctx), "full/a.safetensors': "));
    CHECK(!dlm_dir_list(ctx, tmp_path("full"), &names));
    for (; names && names[num]; num++)
        CHECK_STR(names[num], "a.safetensors");
    CHECK_INT(num, 1);
    dlm_names_free(names);
    char *left = get_file(tmp_path("full/a.safetensors"), NULL);
    CHECK_STR(left, "old");
    free(left);
    check_case("a folder that is not there");
    CHECK_INT(dlm_safetensors_write(ctx, tmp_path("gone/a.safetensors"), &t, 1, NULL, 0),
              DLM_ERR_IO);
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    tmp_make();
    test_golden();
    test_refused();
    test_full_disk();
    tmp_remove();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
