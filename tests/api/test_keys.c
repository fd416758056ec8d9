/* Every key of the front matter but those of exports does something in a training: two documents
 * that differ in one key alone train another adapter, plan another run, leave other files behind,
 * or are told by name that the key is refused or not used. The schema's tables say which keys
 * there are. */
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "check.h"
#include "dlm/dlm.h"
#include "doc/schema.h"

#define ID "0R7STD0HK1DBS629DWG0NJR445"
#define WORDS "how old water this star it how old water this star it "
#define FIFTY_DAYS (50 * 86400)

struct probe {
    const char *key, *value; /* in place of the default, or of the value in `stated` */
    const char *with;        /* of training, in both documents; NULL: nothing */
};

/* What both documents state, so that a run is short and each of these keys can change it. */
static const struct probe stated[] = {
    {"training.lora_r", "4", NULL},           {"training.lora_alpha", "8", NULL},
    {"training.lora_dropout", "0.0", NULL},   {"training.num_epochs", "1", NULL},
    {"training.learning_rate", "0.002", NULL}, {"training.lr_scheduler", "constant", NULL},
    {"training.warmup_ratio", "0.0", NULL},   {"training.micro_batch_size", "1", NULL},
    {"training.grad_accum", "1", NULL},       {"training.sequence_len", "256", NULL},
};

#define MORE "sources: [{path: more}]"

static const struct probe probes[] = {
    {"dlm_id", "01HZ4X7TGZM3J1A2B3C4D5E6F7", NULL},
    {"dlm_version", "16", NULL},
    {"base_model", "dir:nowhere", NULL},
    {"mmproj", "nowhere.gguf", NULL}, /* of a base that has none: an error */
    {"system_prompt", "be brief", NULL},
    {"training.adapter", "dora", NULL},
    {"training.lora_r", "2", NULL},
    {"training.lora_alpha", "4", NULL},
    {"training.lora_dropout", "0.3", NULL},
    {"training.target_modules", "[q_proj]", NULL},
    {"training.sequence_len", "64", NULL},
    {"training.micro_batch_size", "2", NULL},
    {"training.grad_accum", "2", NULL},
    {"training.learning_rate", "0.001", NULL},
    {"training.num_epochs", "2", NULL},
    {"training.optimizer", "galore_adamw", NULL},
    {"training.lr_scheduler", "linear", NULL},
    {"training.warmup_ratio", "0.5", NULL},
    {"training.precision", "bf16", NULL},
    {"training.seed", "7", NULL},
    {"training.preference.enabled", "true", NULL},
    {"training.preference.method", "orpo", NULL},
    {"training.preference.hyperparams.beta", "0.5", NULL},
    {"training.preference.hyperparams.alpha", "0.5", NULL},
    {"training.preference.hyperparams.learning_rate", "0.5", NULL},
    {"training.preference.hyperparams.num_epochs", "5", NULL},
    {"training.preference.loss_type", "ipo", NULL},
    {"training.preference.reference", "base", NULL},
    {"training.cpt.schedule", "dapt", NULL},
    {"training.cpt.embed_warmup_steps", "1", NULL},
    {"training.gate.enabled", "true", NULL},
    {"training.gate.hidden_proj_dim", "8", NULL},
    {"training.gate.steps", "1", NULL},
    {"training.gate.lr", "0.5", NULL},
    {"training.gate.cold_start_floor", "1", NULL},
    {"training.gate.entropy_lambda", "0.5", NULL},
    {"training.cache.enabled", "false", NULL},
    {"training.cache.max_bytes", "1", NULL},
    {"training.cache.prune_older_than_days", "10", NULL},
    {"training.audio.auto_resample", "true", NULL},
    {"training.adapters", "{a: {}}", NULL},
    {"training.sources", "[{path: more}]", NULL},
    {"training.sources.path", "more/b", MORE},
    {"training.sources.include", "['*.md']", MORE},
    {"training.sources.exclude", "['*.md']", MORE},
    {"training.sources.max_bytes_per_file", "40", MORE},
    {"training.sources.max_files", "1", MORE},
    {"training.sources_policy", "strict", "sources: [{path: ../outside}]"},
    {"training.gradient_checkpointing", "true", NULL},
    {"training.backend", "opencl", NULL},
    {"training.caption_prompt", "what is it", NULL},
    {"training.loss_on", "all", NULL},
    {"training.image_size", "64", NULL},
    {"training.quant", "q8_0", NULL},
    {"training.double_quant", "false", NULL},
    {"training.quant_scope", "all", NULL},
    {"export.default_quant", "Q8_0", NULL},
    {"export.default_temperature", "0.5", NULL},
    {"export.default_top_p", "0.5", NULL},
};

static char root[] = "/tmp/dlm-keys-XXXXXX";
static char base[1024];

/* --- files --- */

static int remove_entry(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
    (void)sb, (void)type, (void)ftw;
    return remove(path);
}

static void put(const char *path, const char *text)
{
    CHECK(dlm_file_replace(NULL, path, text, strlen(text)) == DLM_OK);
}

/* The folder of one run, into which the program changes: an image, sources, a cache file of long
 * ago. */
static void make_folder(void)
{
    struct dlm_str image = {0};
    char path[1100];

    CHECK(!chdir(root) && dlm_path_remove(NULL, "run") == DLM_OK);
    CHECK(dlm_dir_make(NULL, "run/more/b") == DLM_OK && dlm_dir_make(NULL, "outside") == DLM_OK);
    CHECK(!chdir("run"));
    CHECK(dlm_dir_make(NULL, "home/store/" ID "/vision-cache/00") == DLM_OK);
    snprintf(path, sizeof(path), "%s/../images/one.png", base);
    CHECK(dlm_file_read(NULL, path, 1 << 20, &image) == DLM_OK);
    CHECK(dlm_file_replace(NULL, "one.png", image.data, image.len) == DLM_OK);
    dlm_str_finish(&image);
    put("more/a.md", "star near is");
    put("more/b/b.txt", WORDS);
    put("../outside/c.txt", "red image are square");
    put("home/store/" ID "/vision-cache/00/old", "old");
    const struct timespec then = {.tv_sec = time(NULL) - FIFTY_DAYS};
    const struct timespec times[2] = {then, then};
    CHECK(!utimensat(AT_FDCWD, "home/store/" ID "/vision-cache/00/old", times, 0));
}

/* --- documents --- */

static const char *value_of(const char *key, const struct probe *probe, const char *otherwise)
{
    return probe && !strcmp(key, probe->key) ? probe->value : otherwise;
}

/* `a.b.c` below training or export as flow maps: "a: {b: {c: value}}". */
static void write_nested(FILE *f, const char *key, const char *value)
{
    int depth = 0;

    for (const char *dot; (dot = strchr(key, '.')); key = dot + 1, depth++)
        fprintf(f, "%.*s: {", (int)(dot - key), key);
    fprintf(f, "%s: %s", key, value);
    while (depth--)
        fputc('}', f);
    fputc('\n', f);
}

/* The entry of training.sources with the probe's key. */
static void write_source(FILE *f, const struct probe *probe)
{
    const char *key = probe->key + strlen("training.sources.");

    if (!strcmp(key, "path"))
        fprintf(f, "  sources: [{path: %s}]\n", probe->value);
    else
        fprintf(f, "  sources: [{path: more, %s: %s}]\n", key, probe->value);
}

static void write_training(FILE *f, const struct probe *probe, const char *with)
{
    static const char under[] = "training.", source[] = "training.sources.";
    bool is_source = probe && !strncmp(probe->key, source, strlen(source));
    bool is_stated = false;

    fprintf(f, "training:\n");
    for (size_t i = 0; i < DLM_ARRAY_LEN(stated); i++) {
        is_stated |= probe && !strcmp(probe->key, stated[i].key);
        fprintf(f, "  %s: %s\n", stated[i].key + strlen(under),
                value_of(stated[i].key, probe, stated[i].value));
    }
    if (is_source)
        write_source(f, probe);
    else if (with)
        fprintf(f, "  %s\n", with);
    if (probe && !is_stated && !is_source && !strncmp(probe->key, under, strlen(under))) {
        fputs("  ", f);
        write_nested(f, probe->key + strlen(under), probe->value);
    }
}

/* doc.dlm with the probe's key (NULL: without), and what it states with it. */
static void write_document(const struct probe *probe, const char *with)
{
    char here[1100];
    snprintf(here, sizeof(here), "\"dir:%s\"", base);
    FILE *f = fopen("doc.dlm", "w");

    if (!CHECK(f))
        return;
    fprintf(f, "---\ndlm_id: %s\ndlm_version: %s\nbase_model: %s\n", value_of("dlm_id", probe, ID),
            value_of("dlm_version", probe, "15"), value_of("base_model", probe, here));
    if (probe && (!strcmp(probe->key, "system_prompt") || !strcmp(probe->key, "mmproj")))
        fprintf(f, "%s: %s\n", probe->key, probe->value);
    if (probe && !strncmp(probe->key, "export.", 7))
        write_nested(f, probe->key, probe->value);
    write_training(f, probe, with);
    fprintf(f, "---\n\n::image path=\"one.png\"::\ncaption star near is\n\n::instruction::\n### Q\n"
               "blue an?\n### A\ncaption\n### Q\nof segment?\n### A\nred image are square\n\n"
               "::prose::\n" WORDS WORDS WORDS WORDS WORDS WORDS WORDS "\n");
    CHECK(!fclose(f));
}

/* --- what is to be seen of a run --- */

static void write_log(void *user, enum dlm_log_level level, const char *text)
{
    if (level != DLM_LOG_DEBUG)
        fprintf(user, "%d: %s\n", (int)level, text);
}

static FILE *listing;

static int list_entry(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
    (void)sb, (void)ftw;
    if (type == FTW_F && strstr(path, "-cache/"))
        fprintf(listing, "%s\n", path);
    return 0;
}

static void write_file_hash(FILE *f, const char *folder, const char *name)
{
    struct dlm_str data = {0};
    char path[1100], hex[65];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (CHECK(dlm_file_read(NULL, path, 1 << 24, &data) == DLM_OK)) {
        dlm_sha256_of(data.data, data.len, hex);
        fprintf(f, "%s %s\n", name, hex);
    }
    dlm_str_finish(&data);
}

/* What the log's first line says of the run. */
static void write_plan(FILE *f, const char *log)
{
    json_t *banner = NULL;
    json_error_t error;
    FILE *in = fopen(log, "r");

    if (in && CHECK((banner = json_loadf(in, JSON_DISABLE_EOF_CHECK, &error)) != NULL)) {
        /* whether it is there depends on what this machine has kept */
        (void)json_object_del(json_object_get(banner, "plan"), "est_step_seconds");
        char *plan = json_dumps(json_object_get(banner, "plan"), JSON_SORT_KEYS);
        fprintf(f, "%s\n", plan);
        free(plan);
    }
    json_decref(banner);
    if (in)
        fclose(in);
}

/* Trains such a document; all that is to be seen of it, owned (free). */
static char *train(const struct probe *probe, const char *with)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    const struct dlm_ctx_params ctx_params = {.log = write_log, .log_user = f};
    struct dlm_train_params params = {.document = "doc.dlm", .home = "home"};
    struct dlm_train_result result;

    make_folder();
    write_document(probe, with);
    struct dlm_ctx *ctx = dlm_ctx_create(&ctx_params);
    enum dlm_status st = dlm_train(ctx, &params, &result);
    fprintf(f, "status %d, adapter %s\n", (int)st, result.adapter ? result.adapter : "none");
    if (!st) {
        write_file_hash(f, result.adapter, "adapter_model.safetensors");
        write_file_hash(f, result.adapter, "adapter_config.json");
        write_plan(f, result.log);
    }
    listing = f;
    CHECK(!nftw("home", list_entry, 16, FTW_PHYS));
    dlm_train_result_finish(&result);
    dlm_ctx_destroy(&ctx);
    fclose(f);
    return text;
}

/* --- the walk --- */

static const struct probe *find_probe(const char *key)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(probes); i++)
        if (!strcmp(probes[i].key, key))
            return &probes[i];
    return NULL;
}

/* The runs without the key, kept by what else they state. */
static struct {
    const char *with;
    char *text;
} plain[4];

static const char *train_plain(const char *with)
{
    size_t i = 0;

    while (plain[i].text && strcmp(plain[i].with ? plain[i].with : "", with ? with : ""))
        i++;
    if (!plain[i].text) {
        plain[i].with = with;
        plain[i].text = train(NULL, with);
        CHECK(strstr(plain[i].text, "status 0,") != NULL);
    }
    return plain[i].text;
}

/* What a training has no use for: a Modelfile has it (tests/export/test_modelfile.c). */
static bool is_of_export(const char *key)
{
    return !strncmp(key, "export.", 7);
}

static void check_key(const char *key, const struct dlm_schema_field *field, const char *why)
{
    const struct probe *probe = find_probe(key);
    char text[256];

    check_case(key);
    if (!CHECK(probe)) /* a key needs a value here that makes a difference */
        return;
    const char *without = train_plain(probe->with);
    char *with = train(probe, probe->with);
    if (is_of_export(key))
        CHECK_STR(with, without);
    else if (!CHECK(strcmp(without, with)))
        printf("     with and without: %s", with);
    if (why && !field->is_used) {
        snprintf(text, sizeof(text), "doc.dlm: '%s' is not used: %s", key, why);
        CHECK(strstr(with, text) && strstr(with, "status 0,"));
    }
    /* A refusal names the key, its value, or what it turns on. */
    const char *dot = field->is_used ? strrchr(key, '.') : NULL;
    snprintf(text, sizeof(text), "%.*s", dot ? (int)(dot - key) : (int)strlen(key), key);
    if (!strstr(with, "status 0,"))
        CHECK(strstr(with, text) || strstr(with, probe->value));
    free(with);
}

static void walk(const struct dlm_schema_map *map, const char *prefix, const char *why)
{
    for (size_t i = 0; i < map->num_fields; i++) {
        const struct dlm_schema_field *field = &map->fields[i];
        const char *reason = field->unused ? field->unused : why;
        char key[128], below[130];

        snprintf(key, sizeof(key), "%s%s", prefix, field->key);
        snprintf(below, sizeof(below), "%s.", key);
        if (field->type == DLM_SCHEMA_MAP)
            walk(field->map, below, reason);
        else
            check_key(key, field, reason);
        if (field->type == DLM_SCHEMA_SOURCES)
            walk(&dlm_schema_source, below, reason);
    }
}

int main(void)
{
    char *data = realpath(check_data_dir(), NULL);

    snprintf(base, sizeof(base), "%s/golden/models/f32_old/base", data ? data : "");
    free(data);
    check_case("two runs of one document show the same");
    if (!CHECK(mkdtemp(root)))
        return check_summary();
    char *again = train(NULL, NULL);
    CHECK_STR(again, train_plain(NULL));
    free(again);
    walk(&dlm_schema_root, "", NULL);
    for (size_t i = 0; i < DLM_ARRAY_LEN(plain); i++)
        free(plain[i].text);
    CHECK(!chdir("/"));
    (void)nftw(root, remove_entry, 16, FTW_PHYS | FTW_DEPTH);
    return check_summary();
}
