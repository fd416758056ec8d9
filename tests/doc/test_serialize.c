/* Writing: canonical text, what is left out, what is quoted, and that it is a fixed point. */
#include "doc_test.h"

/* serialize(parse(text)) is want, and stays so. */
static void check_text(struct dlm_ctx *ctx, const char *text, const char *want)
{
    struct dlm_str once = {0}, twice = {0};
    struct dlm_doc *doc = test_parse(ctx, text);

    if (!doc)
        return;
    CHECK(dlm_doc_serialize(ctx, doc, &once) == DLM_OK);
    CHECK_STR(dlm_str_text(&once), want);
    dlm_doc_destroy(&doc);
    doc = test_parse(ctx, dlm_str_text(&once));
    if (doc && CHECK(dlm_doc_serialize(ctx, doc, &twice) == DLM_OK))
        CHECK_STR(dlm_str_text(&twice), dlm_str_text(&once));
    dlm_doc_destroy(&doc);
    dlm_str_finish(&once);
    dlm_str_finish(&twice);
}

/* The front matter lines of a document with these lines; the head is the same in both. */
static void check_front(struct dlm_ctx *ctx, const char *yaml, const char *want)
{
    char text[1024], wanted[1024];

    snprintf(text, sizeof(text), "---\ndlm_id: " TEST_ID "\nbase_model: b\n%s---\n", yaml);
    snprintf(wanted, sizeof(wanted),
             "---\ndlm_id: " TEST_ID "\ndlm_version: 15\nbase_model: b\n%s---\n\n", want);
    check_text(ctx, text, wanted);
}

/* A value of system_prompt in any YAML form comes back as written here. */
static void check_prompt(struct dlm_ctx *ctx, const char *yaml, const char *want)
{
    char a[512], b[512];
    snprintf(a, sizeof(a), "system_prompt: %s\n", yaml);
    snprintf(b, sizeof(b), "system_prompt: %s\n", want);
    check_front(ctx, a, b);
}

static void test_values(struct dlm_ctx *ctx)
{
    check_case("defaults are left out");
    check_front(ctx, "training: {lora_r: 8, lora_dropout: 0.05, cpt: {}, precision: null, "
                     "caption_prompt: null, loss_on: assistant, image_size: null, quant: nf4, "
                     "double_quant: true, quant_scope: decoder}\n", "");
    check_case("numbers that have names");
    check_front(ctx, "training: {image_size: pinned}\n", "training:\n  image_size: pinned\n");
    check_front(ctx, "training: {image_size: native}\n", "training:\n  image_size: native\n");
    check_front(ctx, "training: {image_size: 448}\n", "training:\n  image_size: 448\n");
    check_case("a base in four bits");
    check_front(ctx, "training: {quant_scope: linears, double_quant: false, adapter: qlora}\n",
                "training:\n  adapter: qlora\n  double_quant: false\n  quant_scope: linears\n");
    check_front(ctx, "training: {adapter: qlora, quant: q8_0}\n",
                "training:\n  adapter: qlora\n  quant: q8_0\n");
    check_case("key order, numbers, lists");
    check_front(ctx,
                "export: {default_top_p: 1}\ntraining: {seed: 0x10, warmup_ratio: 0, "
                "learning_rate: 3e-4, lora_r: 4, gate: {lr: 1.0e-5}, target_modules: [q, \"a b\"], "
                "backend: cpu, gradient_checkpointing: yes, sources_policy: strict, loss_on: all, "
                "caption_prompt: \"say:\\nwhat\"}\n",
                "training:\n  lora_r: 4\n  target_modules: [q, \"a b\"]\n  learning_rate: 0.0003\n"
                "  warmup_ratio: 0.0\n  seed: 16\n  gate:\n    lr: 1e-05\n"
                "  sources_policy: strict\n  gradient_checkpointing: true\n  backend: cpu\n"
                "  caption_prompt: \"say:\\nwhat\"\n  loss_on: all\n"
                "export:\n  default_top_p: 1.0\n");
    check_case("adapters and sources");
    check_front(ctx,
                "training: {adapters: {tone: {}, \"on\": {lora_r: 4}}, sources: [{path: x}, {path: "
                "\"a b\", exclude: [\"*.py\"], max_files: 3}]}\n",
                "training:\n  adapters:\n    tone: {}\n    \"on\":\n      lora_r: 4\n  sources:\n"
                "    - path: x\n    - path: \"a b\"\n      exclude: [\"*.py\"]\n"
                "      max_files: 3\n");
    check_front(ctx, "training: {sources: []}\n", "training:\n  sources: []\n");
    check_case("strings that look like something else");
    check_front(ctx,
                "training: {target_modules: ['1', 'a,b', '', 'yes', '=', '1:30', '2024-01-01', "
                "\"q\\\"\\\\\", \"\\x07\\n\", '-x', \"a\\u2028\"]}\n",
                "training:\n  target_modules: [\"1\", \"a,b\", \"\", \"yes\", \"=\", \"1:30\", "
                "\"2024-01-01\", \"q\\\"\\\\\", \"\\U00000007\\n\", \"-x\", "
                "\"a\\U00002028\"]\n");
    check_front(ctx, "training: {target_modules: \".*(q|v)_proj\"}\n",
                "training:\n  target_modules: \".*(q|v)_proj\"\n");
    check_case("system prompt");
    check_prompt(ctx, "one line", "|\n  one line");
    check_prompt(ctx, "\"a\\n\\n b\\n\"", "|\n  a\n  \n   b");
    check_prompt(ctx, "\"a\\n\\n\"", "\"a\\n\\n\"");
    check_prompt(ctx, "\" a\"", "\" a\"");
    check_prompt(ctx, "\"\"", "\"\"");
    check_prompt(ctx, "\"a\\rb\"", "\"a\\U0000000Db\"");
}

static void test_bodies(struct dlm_ctx *ctx)
{
    static const char head[] = "---\ndlm_id: " TEST_ID "\nbase_model: b\n---\n";
    static const char out[] = "---\ndlm_id: " TEST_ID "\ndlm_version: 15\nbase_model: b\n---\n";
    static const char *const bodies[][2] = {
        {"", "\n"},
        {"hello", "\nhello\n"},
        {"\n\n\nhello\n\n\n", "\n\n\nhello\n"},
        {"a\n::instruction#t::\n### Q\nx\n### A\ny\n::prose::\nb",
         "\na\n\n::instruction#t::\n### Q\nx\n### A\ny\n\nb\n"},
        {"::image   alt=\"y\" path=\"x\" ::\n::image path=\"z\"::\n\n\n",
         "\n::image path=\"x\" alt=\"y\"::\n\n::image path=\"z\"::\n"},
        {" ::image path=\"gr\xc3\xbcn.png\" alt=\"\xe6\xa8\xb9\"::\t\n\t::instruction:: \n  x",
         "\n::image path=\"gr\xc3\xbcn.png\" alt=\"\xe6\xa8\xb9\"::\n\n::instruction::\n  x\n"},
        {"  ```\n::prose::\n ::image path=\"a\"::\n  ```\n", "\n  ```\n\n ::image path=\"a\"::\n"
                                                            "  ```\n"},
        {"::audio transcript=\"t\" path=\"x\"::\n", "\n::audio path=\"x\" transcript=\"t\"::\n"},
        {"::preference::\n<!-- dlm-auto-mined: mined_run_id=\"7\" judge_name=\"j\" "
         "judge_score_chosen=\"1\" judge_score_rejected=\"0\" mined_at=\"2026-01-02\" -->\n"
         "<!-- dlm-auto-harvest: source=\"r\" -->\nx",
         "\n::preference::\n<!-- dlm-auto-harvest: source=\"r\" -->\n<!-- dlm-auto-mined: "
         "judge_name=\"j\" judge_score_chosen=\"1.0\" judge_score_rejected=\"0.0\" "
         "mined_at=\"2026-01-02\" mined_run_id=\"7\" -->\nx\n"},
    };

    check_case("sections");
    for (size_t i = 0; i < DLM_ARRAY_LEN(bodies); i++) {
        char text[1024], want[1024];
        snprintf(text, sizeof(text), "%s%s", head, bodies[i][0]);
        snprintf(want, sizeof(want), "%s%s", out, bodies[i][1]);
        check_text(ctx, text, want);
    }
}

static void check_migrate(struct dlm_ctx *ctx, const char *old, int64_t from, const char *new)
{
    struct dlm_str out = {0};
    int64_t version = 0;

    CHECK(dlm_doc_migrate(ctx, NULL, old, strlen(old), &out, &version) == DLM_OK);
    CHECK_INT(version, from);
    CHECK_STR(dlm_str_text(&out), new);
    dlm_str_finish(&out);
}

#define BODY "\n\nbody   \n::foo::\n\n"
#define HEAD(version) "---\ndlm_id: " TEST_ID "\n" version "base_model: b\n"

static void test_migrate(struct dlm_ctx *ctx)
{
    static const char new[] = HEAD("dlm_version: 15\n") "training:\n  lora_r: 8\n---\n\nbody   \n"
                                                      "::foo::\n";
    int warnings = test_log_.num_warnings;

    check_case("migrate writes the front matter anew");
    check_migrate(ctx, HEAD("dlm_version: 1\n") "training: {lora_r: 8}\n---\n" BODY, 1, new);
    check_migrate(ctx, new, 15, "");
    check_case("migrate keeps comments");
    check_migrate(ctx, HEAD("dlm_version: 1\n") "training: {lora_r: 8} # mine\n---\n" BODY, 1,
                  HEAD("dlm_version: 15\n") "training: {lora_r: 8} # mine\n---\n" BODY);
    check_migrate(ctx, HEAD("dlm_version:  7  # old\n") "# \xc3\xa9\n---\r\nx\r\n", 7,
                  HEAD("dlm_version:  15  # old\n") "# \xc3\xa9\n---\r\nx\r\n");
    check_migrate(ctx, "\xef\xbb\xbf---\n# mine\n\ndlm_id: " TEST_ID "\nbase_model: b\n---\nx", 1,
                  "\xef\xbb\xbf---\n# mine\n\ndlm_id: " TEST_ID "\ndlm_version: 15\nbase_model: "
                  "b\n---\nx");
    check_migrate(ctx, "---\r\n{ \"dlm_version\": 3, # a\r\n  dlm_id: " TEST_ID
                       ", base_model: b}\r\n---\r\nx\r\n", 3,
                  "---\r\n{ \"dlm_version\": 15, # a\r\n  dlm_id: " TEST_ID
                  ", base_model: b}\r\n---\r\nx\r\n");
    CHECK_INT(test_log_.num_warnings, warnings);
    check_case("migrate says when comments go");
    check_migrate(ctx, HEAD("") "training: {dpo: {beta: 0.5}} # mine\n---\nx\n", 1,
                  HEAD("dlm_version: 15\n") "training:\n  preference:\n    method: dpo\n"
                                            "    hyperparams:\n      beta: 0.5\n---\n\nx\n");
    CHECK_INT(test_log_.num_warnings, warnings + 1);
    CHECK_STR(test_log_.warning,
              "<text>: the comments of the front matter go, as it has to be written anew");
    check_migrate(ctx, "---\n{dlm_id: " TEST_ID ", base_model: b} # mine\n---\nx\n", 1,
                  HEAD("dlm_version: 15\n") "---\n\nx\n");
    CHECK_INT(test_log_.num_warnings, warnings + 2);
    check_case("what looks like a comment and is none");
    check_migrate(ctx, HEAD("") "system_prompt: 'a #b'\n---\nx\n", 1,
                  HEAD("dlm_version: 15\n") "system_prompt: |\n  a #b\n---\n\nx\n");
    CHECK_INT(test_log_.num_warnings, warnings + 2);
}

static void check_id(struct dlm_ctx *ctx, const char *old, const char *new)
{
    struct dlm_str out = {0};
    enum dlm_status st =
        dlm_doc_set_id(ctx, NULL, old, strlen(old), "01HZ4X7TGZM3J1A2B3C4D5E6F8", &out);

    CHECK(st == (new ? DLM_OK : DLM_ERR_PARSE));
    CHECK_STR(dlm_str_text(&out), new ? new : "");
    dlm_str_finish(&out);
}

#define OTHER_ID "01HZ4X7TGZM3J1A2B3C4D5E6F8"

static void test_new_id(struct dlm_ctx *ctx)
{
    check_case("another id, and nothing else");
    check_id(ctx, "---\n# a\nbase_model:  b\ndlm_id:   " TEST_ID " # mine\nx: \xc3\xa9\n---\n\n\nb",
             "---\n# a\nbase_model:  b\ndlm_id:   " OTHER_ID " # mine\nx: \xc3\xa9\n---\n\n\nb");
    check_id(ctx, "---\r\nx: 1\r\ny: {\xc3\xa9: 2}\r\n\"dlm_id\": \"nonsense\"\r\n---\r\nb\r\n",
             "---\r\nx: 1\r\ny: {\xc3\xa9: 2}\r\n\"dlm_id\": " OTHER_ID "\r\n---\r\nb\r\n");
    check_id(ctx, "---\n{\xc3\xa9: 1, dlm_id: '1'}\n---\n", "---\n{\xc3\xa9: 1, dlm_id: " OTHER_ID
                                                           "}\n---\n");
    check_id(ctx, "---\r\nbase_model: b\r\n---\r\nx",
             "---\r\ndlm_id: " OTHER_ID "\r\nbase_model: b\r\n---\r\nx");
    check_id(ctx, "---\rbase_model: b\r---\rx",
             "---\rdlm_id: " OTHER_ID "\rbase_model: b\r---\rx");
    check_id(ctx, "---\n---\n", "---\ndlm_id: " OTHER_ID "\n---\n");
    check_case("an id that cannot be edited");
    check_id(ctx, "---\ndlm_id: &a " TEST_ID "\n---\n", NULL);
    check_id(ctx, "---\ndlm_id: !!str " TEST_ID "\n---\n", NULL);
    check_id(ctx, "---\ndlm_id: \"\\x30" "1\"\n---\n", NULL);
    check_id(ctx, "---\ndlm_id: [1]\n---\n", NULL);
    check_id(ctx, "---\ndlm_id:\n---\n", NULL);
    check_id(ctx, "---\n[dlm_id]\n---\n", NULL);
}

int main(void)
{
    struct dlm_ctx *ctx = test_ctx();

    test_values(ctx);
    test_bodies(ctx);
    test_migrate(ctx);
    test_new_id(ctx);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
