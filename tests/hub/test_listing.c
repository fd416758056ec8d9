/* Which files of a repository a base needs, and listings that are none. */
#include "hub/listing.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tests/check.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define GIT "\"blobId\": \"6634c8cc3133b3848ec74b9f275acaaa1ea618ab\""
#define SHA "2222222222222222222222222222222222222222222222222222222222222222"

static struct dlm_ctx *ctx;

/* A listing of files, each of 10 bytes, names with blanks between them; weights are git-lfs'. */
static void make(const char *names, char *text, size_t bytes)
{
    size_t len = (size_t)snprintf(text, bytes, "{\"sha\": \"" COMMIT "\", \"siblings\": [");
    const char *comma = "";

    for (const char *at = names; *at;) {
        const int n = (int)strcspn(at, " ");
        len += (size_t)snprintf(text + len, bytes - len,
                                "%s{\"rfilename\": \"%.*s\", \"size\": 10, " GIT "%s}", comma, n,
                                at,
                                strstr(at, "safetensors") == at + n - 11
                                    ? ", \"lfs\": {\"sha256\": \"" SHA "\", \"size\": 10}"
                                    : "");
        comma = ",";
        at += n;
        at += strspn(at, " ");
    }
    snprintf(text + len, bytes - len, "]}");
}

/* Of these files those are fetched. */
static void expect(const char *names, const char *want)
{
    struct dlm_hub_listing listing;
    char text[8192], got[1024] = "";

    make(names, text, sizeof(text));
    CHECK_INT(dlm_hub_listing_parse(ctx, &listing, "me/base", text, strlen(text)), DLM_OK);
    for (size_t i = 0; i < listing.len; i++) {
        const size_t len = strlen(got);
        snprintf(got + len, sizeof(got) - len, "%s%s", i ? " " : "", listing.files[i].name);
    }
    CHECK_STR(got, want);
    CHECK_INT(listing.bytes, 10 * listing.len);
    CHECK_STR(listing.commit, COMMIT);
    for (size_t i = 0; i < listing.len; i++) {
        const bool is_weights = strstr(listing.files[i].name, ".safetensors") &&
                                !strstr(listing.files[i].name, ".json");
        CHECK_INT(listing.files[i].is_sha256, is_weights);
        CHECK_INT(strlen(listing.files[i].hash), is_weights ? 64 : 40);
    }
    dlm_hub_listing_finish(&listing);
}

static void refuse(enum dlm_status status, const char *text, const char *want)
{
    struct dlm_hub_listing listing;

    CHECK_INT(dlm_hub_listing_parse(ctx, &listing, "me/base", text, strlen(text)), status);
    CHECK(strstr(dlm_ctx_last_error(ctx), want));
    CHECK(!listing.files && !listing.len);
}

/* With one file more, which is written out. */
static void refuse_file(const char *file, const char *want)
{
    char text[2048];

    snprintf(text, sizeof(text), "{\"sha\": \"" COMMIT "\", \"siblings\": [%s]}", file);
    refuse(DLM_ERR_PARSE, text, want);
}

static void test_choice(void)
{
    check_case("one file of weights");
    expect(".gitattributes README.md config.json model.safetensors tokenizer.json",
           "model.safetensors tokenizer.json config.json");
    check_case("shards and their index, not the other form beside them");
    expect("config.json consolidated.safetensors model-00001-of-00002.safetensors "
           "model-00002-of-00002.safetensors model.safetensors.index.json params.json tekken.json",
           "model-00001-of-00002.safetensors model-00002-of-00002.safetensors "
           "model.safetensors.index.json tekken.json config.json");
    check_case("no pickles, other programs' forms, code or folders");
    expect("pytorch_model.bin pytorch_model.bin.index.json model.gguf flax_model.msgpack "
           "model.onnx onnx/config.json original/model.safetensors modeling_x.py "
           "model.fp16.safetensors config.json model.safetensors ../config.json",
           "model.safetensors config.json");
    check_case("tokenizer, processor, template, licence");
    expect("LICENSE LICENCE.md NOTICE.txt USE_POLICY.md added_tokens.json chat_template.jinja "
           "chat_template.json config.json generation_config.json merges.txt model.safetensors "
           "preprocessor_config.json processor_config.json special_tokens_map.json tokenizer.model "
           "tokenizer_config.json video_preprocessor_config.json vocab.json",
           "LICENSE LICENCE.md NOTICE.txt USE_POLICY.md added_tokens.json chat_template.jinja "
           "chat_template.json generation_config.json merges.txt model.safetensors "
           "preprocessor_config.json processor_config.json special_tokens_map.json tokenizer.model "
           "tokenizer_config.json video_preprocessor_config.json vocab.json config.json");
}

static void test_refusals(void)
{
    char text[1024];

    check_case("repositories that hold no base");
    make("config.json pytorch_model.bin", text, sizeof(text));
    refuse(DLM_ERR_UNSUPPORTED, text, "'me/base': it holds no weights as model*.safetensors");
    make("model.safetensors tokenizer.json", text, sizeof(text));
    refuse(DLM_ERR_UNSUPPORTED, text, "'me/base': it holds no config.json");
    check_case("answers that are no listing");
    refuse(DLM_ERR_PARSE, "<html>", "cannot read 'listing of me/base': line 1");
    refuse(DLM_ERR_PARSE, "[]", "no commit or no files are in it");
    refuse(DLM_ERR_PARSE, "{\"sha\": \"main\", \"siblings\": []}", "no commit");
    refuse(DLM_ERR_PARSE, "{\"sha\": \"" COMMIT "\"}", "no files are in it");
    refuse_file("{\"rfilename\": \"config.json\", " GIT "}", "'config.json' has no size");
    refuse_file("{\"rfilename\": \"config.json\", \"size\": -1, " GIT "}", "'size' is -1");
    refuse_file("{\"rfilename\": \"config.json\", \"size\": 1e18, " GIT "}", "'size' is");
    refuse_file("{\"rfilename\": \"config.json\", \"size\": 1}", "'config.json' has no hash");
    refuse_file("{\"rfilename\": \"config.json\", \"size\": 1, \"blobId\": \"../../x\"}",
                "no hash");
    refuse_file("{\"rfilename\": \"config.json\", \"size\": 1, " GIT
                ", \"lfs\": {\"sha256\": \"1\"}}", "no hash");
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    test_choice();
    test_refusals();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
