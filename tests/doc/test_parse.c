/* Parsing: text layer, front matter, sections and their ids, migration, scaffolds, ids of
 * documents. */
#include "dlm/image_size.h"
#include "doc_test.h"

#define FRONT(yaml) "---\ndlm_id: " TEST_ID "\nbase_model: b\n" yaml "---\n"

static void test_text_layer(struct dlm_ctx *ctx)
{
    check_case("text layer");
    test_fails(ctx, "---\n\xff", "<text>: invalid UTF-8 at byte 4: invalid start byte");
    test_fails(ctx, "---\n\xc3(", "<text>: invalid UTF-8 at byte 4: invalid continuation byte");
    test_fails(ctx, "a\xe2\x82", "<text>: invalid UTF-8 at byte 1: unexpected end of data");
    test_fails(ctx, "\xed\xa0\x80", "<text>: invalid UTF-8 at byte 0: invalid continuation byte");

    int warnings = test_log_.num_warnings;
    struct dlm_doc *doc = test_parse(ctx, "\xef\xbb\xbf---\r\ndlm_id: " TEST_ID
                                          "\rbase_model: b\r\n---\r\n\r\nhello\r\n");
    CHECK_INT(test_log_.num_warnings, warnings + 1);
    CHECK_STR(test_log_.warning, "<text>: UTF-8 BOM present; stripped");
    if (doc && CHECK_INT(doc->num_sections, 1)) {
        CHECK_STR(doc->sections[0].id, "0c3a792e443908ce");
        CHECK_INT(doc->sections[0].start_line, 6);
    }
    dlm_doc_destroy(&doc);
    /* A path stands before every message. */
    CHECK(dlm_doc_parse(ctx, &doc, "my.dlm", "x", 1) == DLM_ERR_PARSE);
    CHECK_STR(dlm_ctx_last_error(ctx),
              "my.dlm:1:1: expected '---' on line 1 to open frontmatter, got 'x'");
    CHECK(dlm_doc_load(ctx, &doc, "/nonexistent/x.dlm") == DLM_ERR_IO);
    CHECK(!doc);
}

static void test_ids(struct dlm_ctx *ctx)
{
    struct dlm_doc_section s = {.type = DLM_DOC_SECTION_IMAGE, .media_path = "x.png"};
    char sha[65], id[17];

    (void)ctx;
    check_case("section ids");
    memset(sha, 'a', 64);
    sha[64] = '\0';
    dlm_doc_section_id(&s, NULL, id);
    CHECK_STR(id, "fce845d6a3bf75cb");
    dlm_doc_section_id(&s, sha, id);
    CHECK_STR(id, "d40d9d32de74e498");
    s = (struct dlm_doc_section){.type = DLM_DOC_SECTION_AUDIO, .media_path = "x.wav"};
    dlm_doc_section_id(&s, NULL, id);
    CHECK_STR(id, "24d2bc9e67193469");

    static const struct {
        enum dlm_doc_section_type type;
        const char *content, *id;
    } texts[] = {
        {DLM_DOC_SECTION_PROSE, "hello", "0c3a792e443908ce"},
        {DLM_DOC_SECTION_PROSE, "hello\n", "d9540ebbd713c433"},
        {DLM_DOC_SECTION_INSTRUCTION, "### Q\nWhat is 2+2?\n### A\n4", "07f66341c017fb4c"},
        {DLM_DOC_SECTION_PREFERENCE, "### Prompt\na\n### Chosen\nb\n### Rejected\nc",
         "dcd8231b611f23ee"},
    };
    for (size_t i = 0; i < DLM_ARRAY_LEN(texts); i++) {
        s = (struct dlm_doc_section){.type = texts[i].type,
                                     .content = texts[i].content,
                                     .content_len = strlen(texts[i].content)};
        dlm_doc_section_id(&s, NULL, id);
        CHECK_STR(id, texts[i].id);
    }
}

static void test_markers(struct dlm_ctx *ctx)
{
    check_case("provenance markers");
    struct dlm_doc *doc = test_parse(
        ctx, TEST_HEAD
        "\n::instruction::\n<!-- dlm-auto-harvest: source=\"run_1\" -->\n"
        "<!-- dlm-auto-synth: synth_teacher=\"t\" synth_strategy=\"s\" "
        "synth_at=\"2026-01-02T03:04:05Z\" source_section_id=\"0123456789abcdef\" -->\n"
        "### Q\nWhat is 2+2?\n### A\n4\n::preference::\n"
        "<!-- dlm-auto-mined: judge_name=\"j\" judge_score_chosen=\"0.82\" "
        "judge_score_rejected=\"1e-7\" mined_at=\"2026-01-02\" mined_run_id=\" 1_7 \" -->\nx\n");
    if (doc && CHECK_INT(doc->num_sections, 2)) {
        const struct dlm_doc_section *s = doc->sections;
        CHECK_STR(s[0].harvest_source, "run_1");
        CHECK(s[0].synth && !strcmp(s[0].synth->teacher, "t") && !s[0].mined);
        CHECK_STR(s[0].id, "07f66341c017fb4c"); /* markers are not part of it */
        CHECK(s[1].mined && s[1].mined->score_chosen == 0.82 && s[1].mined->run_id == 17);
        CHECK_STR(s[1].content, "x");
    }
    dlm_doc_destroy(&doc);
    test_fails(ctx, TEST_HEAD "\n::preference::\n<!-- dlm-auto-mined: x -->\n",
               "<text>:6:1: invalid dlm-auto-mined marker syntax");
    test_fails(ctx, TEST_HEAD "\n::preference::\n<!-- dlm-auto-mined: mined_at=\"1\" -->\n",
               "<text>:6:1: dlm-auto-mined marker is missing required attribute(s) ['judge_name', "
               "'judge_score_chosen', 'judge_score_rejected', 'mined_run_id']");
    /* A marker of another type of section is content. */
    doc = test_parse(ctx, TEST_HEAD "\n::instruction::\n<!-- dlm-auto-mined: x -->\n");
    CHECK(doc && doc->sections[0].content_len > 0);
    dlm_doc_destroy(&doc);
}

static void test_front(struct dlm_ctx *ctx)
{
    check_case("front matter");
    struct dlm_doc *doc = test_parse(
        ctx, FRONT("dlm_version: 7\nsystem_prompt: |\n  hi\ntraining:\n  lora_r: '16'\n"
                   "  lora_alpha: 16.0\n  learning_rate: 2e-4\n  micro_batch_size: 4\n"
                   "  target_modules: '.*language_model.*q_proj'\n  gradient_checkpointing: true\n"
                   "  backend: vulkan\n  precision: bf16\n  seed: true\n"
                   "  preference: {enabled: false}\n  caption_prompt: what is it?\n"
                   "  loss_on: all\n  image_size: native\n"));
    if (doc) {
        const struct dlm_doc_training *t = &doc->training;
        CHECK_STR(doc->id, TEST_ID);
        CHECK_STR(doc->base_model, "b");
        CHECK_STR(doc->system_prompt, "hi\n");
        CHECK_INT(doc->declared_version, 7);
        CHECK_INT(t->lora_r, 16);
        CHECK_INT(t->lora_alpha, 16);
        CHECK(t->learning_rate == 2e-4 && t->lora_dropout == 0.05 && t->warmup_ratio == 0.1);
        CHECK_INT(t->micro_batch_size, 4);
        CHECK_INT(t->grad_accum, 0);
        CHECK_INT(t->target_modules.kind, DLM_DOC_TARGETS_REGEX);
        CHECK_STR(t->target_modules.regex, ".*language_model.*q_proj");
        CHECK(t->gradient_checkpointing);
        CHECK_INT(t->backend, DLM_DOC_BACKEND_VULKAN);
        CHECK_INT(t->precision, DLM_DOC_PRECISION_BF16);
        CHECK_STR(t->caption_prompt, "what is it?");
        CHECK_INT(t->loss_on, DLM_DOC_LOSS_ON_ALL);
        CHECK_INT(t->image_size, DLM_IMAGE_SIZE_NATIVE);
        CHECK_INT(t->seed, 1);
        CHECK_INT(t->cache.max_bytes, INT64_C(10737418240));
        CHECK_INT(t->preference.reference, DLM_DOC_REFERENCE_PRE_ADAPTER);
        CHECK(!t->adapters && !t->sources);
        CHECK(dlm_doc_is_written(doc, "training.lora_r"));
        CHECK(dlm_doc_is_written(doc, "training.preference.enabled"));
        CHECK(!dlm_doc_is_written(doc, "training.lora_dropout"));
        CHECK(!dlm_doc_is_written(doc, "training.preference.method"));
        CHECK(!dlm_doc_is_written(doc, "training.preference.method.x"));
        CHECK(!dlm_doc_is_written(doc, "training.nonsense"));
        CHECK(!dlm_doc_is_written(doc, "export.default_quant"));
    }
    dlm_doc_destroy(&doc);
    test_fails(ctx, FRONT("training: {lora_r: 999, warmup_ratio: 0.9, unknown: 1}\n"),
               "<text>:4:12: training.lora_r: Input should be less than or equal to 256; "
               "4:25: training.warmup_ratio: Input should be less than or equal to 0.5; "
               "4:44: training.unknown: Extra inputs are not permitted");
    test_fails(ctx, FRONT("training:\n  sources:\n  - path: a\n  - max_files: 0\n  seed: 1\n"
                          "  gate:\n\n    lr: 2\nexport: {}\nx: 1\n"),
               "<text>:11:5: training.gate.lr: Input should be less than or equal to 1; "
               "7:5: training.sources.1.path: Field required; "
               "7:5: training.sources.1.max_files: Input should be greater than or equal to 1; "
               "13:1: x: Extra inputs are not permitted");
    test_fails(ctx, FRONT("training:\n  dpo:\n    beta: 2\n"),
               "<text>:6:5: training.preference.hyperparams.beta: Input should be less than or "
               "equal to 1");
    test_fails(ctx, FRONT("dlm_version: 16\n"),
               "<text>:4:1: dlm_version 16 is newer than this parser (CURRENT_SCHEMA_VERSION=15); "
               "upgrade dlm or check the source's schema.");
    test_fails(ctx, FRONT("dlm_version: true\n"),
               "<text>:4:1: dlm_version must be an integer, got bool");
    test_fails(ctx, FRONT("training: {target_modules: ''}\n"),
               "<text>:4:12: training.target_modules: String should have at least 1 character");
    test_fails(ctx, FRONT("training: {caption_prompt: ''}\n"),
               "<text>:4:12: training.caption_prompt: String should have at least 1 character");
    test_fails(ctx, FRONT("training: {loss_on: answers}\n"),
               "<text>:4:12: training.loss_on: Input should be 'assistant' or 'all'");
    test_fails(ctx, FRONT("training: {image_size: 0}\n"),
               "<text>:4:12: training.image_size: Input should be greater than or equal to 1");
    test_fails(ctx, FRONT("training: {image_size: large}\n"),
               "<text>:4:12: training.image_size: Input should be 'pinned', 'native' or a valid "
               "integer");
    test_fails(ctx, FRONT("training: {backend: cuda}\n"),
               "<text>:4:12: training.backend: Input should be 'auto', 'cpu', 'opencl' or "
               "'vulkan'");
    test_fails(ctx, FRONT("training: {gradient_checkpointing: 3}\n"),
               "<text>:4:12: training.gradient_checkpointing: Input should be a valid boolean, "
               "unable to interpret input");
    test_fails(ctx, FRONT("system_prompt: \"a\\0b\"\n"),
               "<text>:4:1: system_prompt: Input should not contain NUL characters");
}

/* A number that the program cannot hold is out of range where it is written. */
static void test_ranges(struct dlm_ctx *ctx)
{
    static const struct {
        const char *key, *value, *message;
    } rows[] = {
        {"learning_rate", ".inf", "Input should be a finite number"},
        {"learning_rate", "inf", "Input should be a finite number"},
        {"learning_rate", "-.inf", "Input should be greater than 0"},
        {"learning_rate", ".nan", "Input should be greater than 0"},
        {"learning_rate", "1.0e+308", "Input should be less than or equal to 3.402823466e+38"},
        {"learning_rate", "1e400", "Input should be a finite number"},
        {"lora_dropout", ".nan", "Input should be less than or equal to 0.5"},
        {"num_epochs", "2147483648", "Input should be less than or equal to 2147483647"},
        {"num_epochs", "1.0e+18", "Input should be less than or equal to 2147483647"},
        {"num_epochs", ".inf", "Input should be a finite number"},
        {"lora_alpha", "9223372036854775807", "Input should be less than or equal to 2147483647"},
        {"seed", "99999999999999999999",
         "Unable to parse input string as an integer, exceeded maximum size"},
    };
    char text[256], want[256];

    check_case("numbers that do not fit");
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        snprintf(text, sizeof(text), FRONT("training:\n  %s: %s\n"), rows[i].key,
                 rows[i].value);
        snprintf(want, sizeof(want), "<text>:5:3: training.%s: %s", rows[i].key,
                 rows[i].message);
        test_fails(ctx, text, want);
    }
    test_fails(ctx, FRONT("training: {grad_accum: 2147483648}\n"),
               "<text>:4:12: training.grad_accum.literal['auto']: Input should be 'auto'; 4:12: "
               "training.grad_accum.int: Input should be less than or equal to 2147483647");
    struct dlm_doc *doc = test_parse(
        ctx, FRONT("training: {learning_rate: 3.4e+38, num_epochs: 2147483647, grad_accum: "
                   "2147483647, seed: -9223372036854775807, cache: {max_bytes: 4294967296}}\n"));
    if (doc) {
        CHECK(doc->training.learning_rate == 3.4e38 && doc->training.seed == -INT64_MAX);
        CHECK_INT(doc->training.grad_accum, INT32_MAX);
    }
    dlm_doc_destroy(&doc);

    check_case("a document without an id");
    test_fails(ctx, "---\nbase_model: b\n---\n", "<text>:2: dlm_id: Field required");
    CHECK_STR(test_log_.hint, "`dlm init --new-id FILE` gives the document a dlm_id");
    test_log_.hint[0] = '\0';
    static const char no_ulid[] = "---\nbase_model: b\ndlm_id: x\n---\n";
    CHECK(dlm_doc_parse(ctx, &doc, "a.dlm", no_ulid, sizeof(no_ulid) - 1) == DLM_ERR_PARSE);
    CHECK_STR(dlm_ctx_last_error(ctx),
              "a.dlm:3:1: dlm_id: Value error, dlm_id must be a 26-char Crockford base32 ULID, "
              "got 'x'");
    CHECK_STR(test_log_.hint, "`dlm init --new-id a.dlm` gives the document a dlm_id");
    test_log_.hint[0] = '\0';
    test_fails(ctx, FRONT("x: 1\n"), "<text>:4:1: x: Extra inputs are not permitted");
    CHECK_STR(test_log_.hint, "");
}

static void test_yaml(struct dlm_ctx *ctx)
{
    check_case("YAML");
    struct dlm_doc *doc = test_parse(
        ctx,
        FRONT("training: {<<: [{lora_r: 4, seed: 9}, {lora_r: 5, num_epochs: 2}], seed: 2}\n"));
    if (doc) {
        CHECK_INT(doc->training.lora_r, 4);
        CHECK_INT(doc->training.seed, 2);
        CHECK_INT(doc->training.num_epochs, 2);
    }
    dlm_doc_destroy(&doc);
    test_fails(ctx, FRONT("x: &a [*a]\n"),
               "<text>:4:8: invalid YAML: found recursive alias 'a'");
    test_fails(ctx, FRONT("? [1]\n: 2\n"),
               "<text>:4:3: invalid YAML: while constructing a mapping: found unhashable key");
    test_fails(ctx, FRONT("x: 2024-13-01\n"),
               "<text>:4:4: invalid YAML: found a date that does not exist");
    char deep[600] = "---\nx: ";
    size_t n = strlen(deep);
    memset(deep + n, '[', 300);
    memcpy(deep + n + 300, "\n---\n", 6);
    test_fails(ctx, deep, "<text>:2:103: invalid YAML: nested deeper than 100 levels");
}

static void check_refused(struct dlm_ctx *ctx, const char *text, const char *message)
{
    struct dlm_doc *doc = test_parse(ctx, text);
    if (!doc)
        return;
    CHECK(dlm_doc_check_trainable(ctx, doc) == DLM_ERR_UNSUPPORTED);
    CHECK_STR(dlm_ctx_last_error(ctx), message);
    dlm_doc_destroy(&doc);
}

static void test_qlora(struct dlm_ctx *ctx)
{
    check_case("a base in four bits");
    struct dlm_doc *doc = test_parse(ctx, FRONT("training: {adapter: qlora}\n"));
    if (CHECK(doc)) {
        CHECK(dlm_doc_check_trainable(ctx, doc) == DLM_OK);
        CHECK_INT(doc->training.quant, DLM_DOC_BASE_QUANT_NF4);
        CHECK(doc->training.double_quant);
        CHECK_INT(doc->training.quant_scope, DLM_DOC_QUANT_SCOPE_DECODER);
    }
    dlm_doc_destroy(&doc);
    doc = test_parse(ctx, FRONT("training: {adapter: qlora, quant: q8_0, double_quant: no, "
                                "quant_scope: all}\n"));
    if (CHECK(doc)) {
        CHECK_INT(doc->training.quant, DLM_DOC_BASE_QUANT_Q8_0);
        CHECK(!doc->training.double_quant);
        CHECK_INT(doc->training.quant_scope, DLM_DOC_QUANT_SCOPE_ALL);
    }
    dlm_doc_destroy(&doc);
    test_fails(ctx, FRONT("training: {quant: fp4}\n"),
               "<text>:4:12: training.quant: Input should be 'nf4' or 'q8_0'");
    doc = test_parse(ctx, FRONT("training: {quant: nf4}\n"));
    CHECK(doc && dlm_doc_check_trainable(ctx, doc) == DLM_ERR_INVALID);
    CHECK_STR(dlm_ctx_last_error(ctx),
              "cannot train '<text>': training.quant (line 4) is about a quantised base, and "
              "training.adapter is not qlora");
    dlm_doc_destroy(&doc);
    doc = test_parse(ctx, FRONT("training:\n  adapter: qlora\n  quant: q8_0\n"
                                "  double_quant: true\n"));
    CHECK(doc && dlm_doc_check_trainable(ctx, doc) == DLM_ERR_INVALID);
    CHECK_STR(dlm_ctx_last_error(ctx),
              "cannot train '<text>': training.double_quant (line 7) is about the scales of nf4, "
              "and training.quant is q8_0");
    dlm_doc_destroy(&doc);
    doc = test_parse(ctx, FRONT("training: {adapter: qlora, quant: q8_0, double_quant: false}\n"));
    CHECK(doc && dlm_doc_check_trainable(ctx, doc) == DLM_OK);
    dlm_doc_destroy(&doc);
}

static void test_trainable(struct dlm_ctx *ctx)
{
    check_case("what cannot be trained");
    check_refused(ctx, FRONT("training: {adapter: dora}\n"),
                  "cannot train '<text>': training.adapter: dora is not supported yet");
    check_refused(ctx, FRONT("training: {optimizer: galore_adamw}\n"),
                  "cannot train '<text>': training.optimizer (only adamw_torch) is not supported "
                  "yet");
    check_refused(ctx, FRONT("training: {preference: {enabled: true}}\n"),
                  "cannot train '<text>': training.preference is not supported yet");
    check_refused(ctx, TEST_HEAD "\n::preference::\n",
                  "cannot train '<text>': training.preference is not supported yet");
    check_refused(ctx, FRONT("training: {adapters: {a: {}}}\n"),
                  "cannot train '<text>': training.adapters is not supported yet");
    check_refused(ctx, FRONT("training: {cpt: {schedule: dapt}}\n"),
                  "cannot train '<text>': training.cpt.schedule: dapt is not supported yet");
    check_refused(ctx, FRONT("training: {cpt: {embed_warmup_steps: 1}}\n"),
                  "cannot train '<text>': training.cpt.embed_warmup_steps is not supported yet");
    check_refused(ctx, TEST_HEAD "\n::audio path=\"a\" transcript=\"b\"::\n",
                  "cannot train '<text>': ::audio:: (line 6) is not supported yet");
    struct dlm_doc *doc = test_parse(
        ctx, FRONT("training: {preference: {enabled: false}}\n") "::preference::\nx\n");
    CHECK(doc && dlm_doc_check_trainable(ctx, doc) == DLM_OK);
    dlm_doc_destroy(&doc);
}

static void test_unused(struct dlm_ctx *ctx)
{
    int warnings = test_log_.num_warnings;

    check_case("what is not used");
    struct dlm_doc *doc = test_parse(
        ctx, FRONT("training: {cpt: {schedule: sft}, preference: {enabled: false, method: dpo}, "
                   "gate: {steps: 200}}\nexport: {default_quant: Q4_K_M}\n"));
    if (doc)
        dlm_doc_warn_unused(ctx, doc);
    CHECK_INT(test_log_.num_warnings, warnings);
    dlm_doc_destroy(&doc);
    doc = test_parse(ctx, FRONT("training: {preference: {hyperparams: {beta: 0.5}}}\n"
                                "export: {default_quant: Q8_0, default_top_p: 0.5}\n"));
    if (doc)
        dlm_doc_warn_unused(ctx, doc);
    CHECK_INT(test_log_.num_warnings, warnings + 1);
    dlm_doc_destroy(&doc);
}

static void test_migration(struct dlm_ctx *ctx)
{
    check_case("migration");
    struct dlm_doc *doc = test_parse(
        ctx, FRONT("training:\n  dpo: {enabled: true, beta: 0.3, learning_rate: 1e-6, "
                   "num_epochs: 2, loss_type: hinge, reference: pre_dpo_adapter}\n"));
    if (doc) {
        const struct dlm_doc_preference *p = &doc->training.preference;
        CHECK(p->enabled && p->method == DLM_DOC_PREFERENCE_DPO);
        CHECK_INT(p->loss_type, DLM_DOC_LOSS_HINGE);
        CHECK(p->reference == DLM_DOC_REFERENCE_PRE_ADAPTER);
        CHECK(p->hyperparams.beta == 0.3 && p->hyperparams.learning_rate == 1e-6);
        CHECK_INT(p->hyperparams.num_epochs, 2);
        CHECK_INT(doc->declared_version, 1);
    }
    dlm_doc_destroy(&doc);
    test_fails(ctx, FRONT("dlm_version: 2\ntraining: {dpo: {}}\n"),
               "<text>:5:12: training.dpo: Extra inputs are not permitted");
}

/* What is written reads back, whatever it is. */
static void check_scaffold_paths(struct dlm_ctx *ctx, const char *base, const char *mmproj)
{
    struct dlm_str text = {0};
    struct dlm_doc *doc = NULL;

    CHECK(dlm_doc_scaffold(ctx, DLM_DOC_SCAFFOLD_TEXT, TEST_ID, base, mmproj, &text) == DLM_OK);
    doc = test_parse(ctx, dlm_str_text(&text));
    if (doc && CHECK_INT(doc->num_sections, 2)) {
        CHECK_STR(doc->base_model, base);
        CHECK(!doc->mmproj == !mmproj);
        if (mmproj && doc->mmproj)
            CHECK_STR(doc->mmproj, mmproj);
        CHECK_INT(doc->declared_version, 1);
    }
    dlm_doc_destroy(&doc);
    dlm_str_finish(&text);
}

static void test_scaffolds(struct dlm_ctx *ctx)
{
    struct dlm_str text = {0};
    struct dlm_doc *doc = NULL;

    check_case("scaffolds");
    CHECK(dlm_doc_scaffold(ctx, DLM_DOC_SCAFFOLD_MULTIMODAL, TEST_ID, "paligemma-3b-mix-224",
                           NULL, &text) == DLM_OK);
    doc = test_parse(ctx, dlm_str_text(&text));
    if (doc && CHECK_INT(doc->num_sections, 3)) {
        CHECK_INT(doc->declared_version, 10);
        CHECK_STR(doc->sections[0].id, "ce9369690df8b147");
        CHECK_STR(doc->sections[1].id, "7fd3ce52566c9d06");
        CHECK_STR(doc->sections[2].id, "64ca7f558ceb2c4a");
        CHECK_INT(doc->sections[0].start_line, 7);
        CHECK_INT(doc->sections[1].start_line, 11);
        CHECK_INT(doc->sections[2].start_line, 15);
    }
    dlm_doc_destroy(&doc);
    dlm_str_finish(&text);

    check_scaffold_paths(ctx, "dir:/a b/#c", NULL);
    check_scaffold_paths(ctx, "gguf:it's #1.gguf", "~/my towers/\"one\".gguf");
    check_scaffold_paths(ctx, "gguf:a.gguf", "- 1: \t\xc3\xa9\n'#");
}

static void test_ulids(struct dlm_ctx *ctx)
{
    uint8_t bytes[16];
    char text[27], again[27];

    check_case("ULIDs");
    memset(bytes, 0, sizeof(bytes));
    dlm_ulid_encode(bytes, text);
    CHECK_STR(text, "00000000000000000000000000");
    memset(bytes, 0xff, sizeof(bytes));
    dlm_ulid_encode(bytes, text);
    CHECK_STR(text, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)i;
    dlm_ulid_encode(bytes, text);
    CHECK_STR(text, "00041061050R3GG28A1C60T3GF");
    CHECK(dlm_ulid_new(ctx, text) == DLM_OK && dlm_ulid_is_valid(text));
    CHECK(dlm_ulid_new(ctx, again) == DLM_OK && strcmp(text, again));
    CHECK(memcmp(text, again, 6) == 0); /* the clock comes first */
    CHECK(!dlm_ulid_is_valid("01HZ4X7TGZM3J1A2B3C4D5E6F") && !dlm_ulid_is_valid(""));
    CHECK(!dlm_ulid_is_valid("01HZ4X7TGZM3J1A2B3C4D5E6FI"));
}

int main(void)
{
    struct dlm_ctx *ctx = test_ctx();

    test_text_layer(ctx);
    test_ids(ctx);
    test_markers(ctx);
    test_front(ctx);
    test_ranges(ctx);
    test_yaml(ctx);
    test_qlora(ctx);
    test_trainable(ctx);
    test_unused(ctx);
    test_migration(ctx);
    test_scaffolds(ctx);
    test_ulids(ctx);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
