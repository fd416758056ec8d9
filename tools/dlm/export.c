/* dlm export: an adapter for other programs. */
#include <limits.h>
#include <string.h>

#include "cli.h"
#include "colour.h"
#include "ollama.h"
#include "progress.h"

struct args {
    struct dlm_export_params params;
    int quant; /* index in quants */
    const char *version;
    bool has_quant, is_matrix, is_json;
};

static const char *const quants[] = {"none", "f16",    "bf16",   "f32",  "q8_0",
                                     "q6_k", "q5_k_m", "q4_k_m", "q4_0", NULL};
#define LAST_OF_ADAPTER 4 /* q8_0: the kinds of --adapter-only */

#define AT(member) offsetof(struct args, params.member)

static const struct dlm_option options[] = {
    {"out", .type = DLM_OPTION_STRING, .value = "DIR|FILE", .offset = AT(out),
     .help = "the folder to write, or with --tar the file",
     .otherwise = "exports/hf-snapshot, hf-merged, vl-gguf-Q4_K_M or gguf-adapter in the "
                  "document's store"},
    {"tar", .type = DLM_OPTION_FLAG, .offset = AT(is_tar),
     .help = "write one tar archive instead of a folder"},
    {"merged", .type = DLM_OPTION_FLAG, .offset = AT(is_merged),
     .help = "write the base's weights with the adapter folded in"},
    {"precision", .type = DLM_OPTION_CHOICE, .choices = dlm_precision_choices,
     .offset = AT(precision), .help = "type of merged weights; auto is the base's own"},
    {"quant", .type = DLM_OPTION_CHOICE, .choices = quants, .offset = offsetof(struct args, quant),
     .given = offsetof(struct args, has_quant),
     .help = "write GGUF files of this kind for llama.cpp, the adapter folded in",
     .otherwise = "the document's export.default_quant, where it is written"},
    {"name", .type = DLM_OPTION_STRING, .value = "NAME", .offset = AT(ollama_name),
     .help = "what ollama calls the model", .otherwise = "dlm-, the document's id and the version"},
    {"skip-ollama", .type = DLM_OPTION_FLAG, .offset = AT(skips_ollama),
     .help = "make no model of GGUF files with ollama, though it is here"},
    {"gguf-anyway", .type = DLM_OPTION_FLAG, .offset = AT(is_gguf_anyway),
     .help = "write --quant's files also where llama.cpp has no such model: for dlm alone"},
    {"no-template", .type = DLM_OPTION_FLAG, .offset = AT(no_template),
     .help = "write a Modelfile without TEMPLATE beside GGUF files"},
    {"adapter-only", .type = DLM_OPTION_FLAG, .offset = AT(is_adapter_only),
     .help = "write the adapter by itself as GGUF, for llama.cpp's --lora"},
    {"i-am-the-licensee", .type = DLM_OPTION_STRING, .value = "URL", .offset = AT(licensee),
     .help = "merge, for yourself, a base that may not be redistributed, under the licence there"},
    {"adapter-version", .type = DLM_OPTION_STRING, .value = "vN",
     .offset = offsetof(struct args, version),
     .help = "an older version of the document's adapter", .otherwise = "the current one"},
    {"matrix", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_matrix),
     .help = "list which bases --quant writes files of, and stop"},
    {"no-verify", .type = DLM_OPTION_FLAG, .offset = AT(no_verify),
     .help = "do not compare what is written with the model in memory"},
    DLM_DEVICE_OPTIONS(struct args, params.compute),
    {"json", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_json),
     .help = "print JSON instead of the path or the list"},
};

static void on_progress(void *user, const struct dlm_export_progress *now)
{
    const struct dlm_pull_progress files = {.num_files = now->num_files,
                                            .files_done = now->files_done,
                                            .bytes = now->bytes,
                                            .bytes_done = now->bytes_done,
                                            .bytes_per_sec = now->bytes_per_sec};

    dlm_progress_pull(user, &files);
}

static void report_proof(struct dlm_cli *cli, const struct dlm_export_proof *p)
{
    char line[48] = "";

    if (p->line)
        snprintf(line, sizeof(line), " (line %lld)", (long long)p->line);
    if (p->num_tensors)
        dlm_cli_say(cli, "  weights:  %zu tensor(s) hold base and adapter, but for rounding",
                    p->num_tensors);
    if (p->skipped)
        dlm_cli_say(cli, "  proof:    none: %s", p->skipped);
    else
        dlm_cli_say(cli, "  proof:    %zu token(s) of section %s%s: a log-probability differs by "
                    "%.2g at most, the loss of %.4g by %.2g", p->num_tokens, p->section_id, line,
                    p->logprob_difference, p->loss, p->loss_difference);
}

static void report(struct dlm_cli *cli, const struct dlm_export_result *result)
{
    const bool is_snapshot = !strcmp(result->target, "hf_snapshot");

    dlm_cli_say(cli, "export: %s written to %s",
                is_snapshot                               ? "HF snapshot"
                : !strcmp(result->target, "gguf")         ? "GGUF files"
                : !strcmp(result->target, "gguf_adapter") ? "GGUF adapter"
                                                          : "merged weights",
                result->path);
    dlm_cli_say(cli, "  manifest: %s",
                is_snapshot ? "snapshot_manifest.json" : "export_manifest.json");
    dlm_cli_say(cli, "  adapter:  v%04lld", (long long)result->version);
    dlm_cli_say(cli, "  artifacts: %zu file(s)", result->num_files);
    report_proof(cli, &result->proof);
    if (is_snapshot)
        dlm_cli_say(cli, "  base:     its weights are not included; README.md says where they come "
                    "from");
}

/* The file whose name begins so, or "". */
static const char *find_file(const struct dlm_export_result *result, const char *begin)
{
    for (size_t i = 0; i < result->num_files; i++)
        if (!strncmp(result->files[i].path, begin, strlen(begin)))
            return result->files[i].path;
    return "";
}

/* What asks the files of a folder. */
static void say_command(struct dlm_cli *cli, const struct dlm_export_result *result)
{
    static const char asks[] = "--jinja --image image.png -p 'What is this?'` asks it";
    char dir[PATH_MAX + 64];

    dlm_quote(result->path, dir, sizeof(dir));
    const char *text = find_file(result, "base."), *tower = find_file(result, "mmproj.");
    if (!strcmp(result->target, "gguf_adapter"))
        dlm_cli_say(cli, "  llama.cpp: `llama-mtmd-cli -m BASE.gguf --mmproj MMPROJ.gguf --lora "
                    "'%s/%s' %s", dir, find_file(result, "adapter."), asks);
    else if (!strcmp(result->target, "gguf") && result->ollama_name)
        dlm_cli_say(cli, "  llama.cpp: `llama-mtmd-cli -m '%s/%s' --mmproj '%s/%s' %s", dir, text,
                    dir, tower, asks);
    else if (!strcmp(result->target, "gguf"))
        dlm_cli_say(cli, "  dlm:      `dlm prompt --base 'gguf:%s/%s' --mmproj '%s/%s' --image "
                    "image.png 'What is this?'` asks it", dir, text, dir, tower);
}

/* A model of GGUF files, or how one is made. */
static int use_ollama(struct dlm_cli *cli, const struct dlm_export_params *params,
                      struct dlm_export_result *result)
{
    char version[DLM_OLLAMA_VERSION_BYTES];

    if (!result->ollama_name || params->is_tar)
        return DLM_EXIT_DONE;
    if (params->skips_ollama || !dlm_ollama_is_here()) {
        dlm_ollama_say(cli, result->ollama_name, result->path);
        return DLM_EXIT_DONE;
    }
    const int code = dlm_ollama_create(cli, result->ollama_name, result->path);
    if (code)
        return code;
    const bool is_known = dlm_ollama_version(cli, version);
    return dlm_exit_of(dlm_export_record_model(cli->ctx, params, result,
                                               is_known ? version : NULL));
}

static const struct dlm_verdict verdicts[] = {
    {"UNSUPPORTED", DLM_COLOUR_BAD},
    {"SUPPORTED", DLM_COLOUR_GOOD},
    {"PARTIAL", DLM_COLOUR_WARNING},
    {NULL, DLM_COLOUR_NONE},
};

static int print_matrix(struct dlm_cli *cli, bool is_json)
{
    char *text = NULL;

    enum dlm_status st = dlm_export_matrix(cli->ctx, is_json, &text);
    if (!st && is_json)
        dlm_print_text(stdout, text);
    else if (!st)
        dlm_print_verdicts(stdout, text, verdicts);
    dlm_text_free(text);
    return dlm_exit_of(st);
}

/* Whether something is given that has no meaning for the list. */
static bool has_more_than_json(const struct args *a)
{
    const struct dlm_export_params *p = &a->params;
    const struct dlm_compute *c = &p->compute;

    return p->document || p->out || p->is_tar || p->is_merged || p->precision || a->has_quant ||
           p->ollama_name || p->skips_ollama || p->is_gguf_anyway || p->no_template ||
           p->is_adapter_only || p->licensee || a->version || p->no_verify || c->backend ||
           c->has_device || c->no_matrix_units;
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    struct dlm_export_params params = a->params;
    struct dlm_export_result result = {0};
    struct dlm_progress progress;

    if (a->is_matrix && has_more_than_json(a))
        return dlm_cli_wrong(cli, "--matrix goes with --json alone, and is of no DOCUMENT");
    if (a->is_matrix)
        return print_matrix(cli, a->is_json);
    if (!params.document)
        return dlm_cli_wrong(cli, "DOCUMENT or --matrix is missing");
    if (a->version && !dlm_cli_version_number("export", a->version, &params.version))
        return DLM_EXIT_USAGE;
    params.gguf_quant = a->quant ? quants[a->quant] : NULL;
    params.is_snapshot = a->has_quant && !a->quant && !params.is_merged && !params.is_adapter_only;
    if (params.precision && (!params.is_merged || params.gguf_quant))
        return dlm_cli_wrong(cli, "--precision goes with --merged, without --quant");
    if (params.is_adapter_only && (params.is_merged || params.licensee))
        return dlm_cli_wrong(cli, "--adapter-only holds no weight of the base: it goes without "
                             "--merged and --i-am-the-licensee");
    if (params.is_adapter_only && a->quant > LAST_OF_ADAPTER)
        return dlm_cli_wrong(cli, "an adapter by itself is f32, f16, bf16 or q8_0, not %s",
                             params.gguf_quant);
    if (params.ollama_name && !dlm_ollama_is_name(params.ollama_name))
        return dlm_cli_wrong(cli, "--name '%s': a name has letters, digits and . _ - : /",
                             params.ollama_name);
    params.home = cli->home;
    if (dlm_cli_begin_progress(cli, &progress)) {
        params.progress = on_progress;
        params.user = &progress;
    }
    enum dlm_status st = dlm_export(cli->ctx, &params, &result);
    dlm_cli_end_progress(cli);
    if (!st)
        report(cli, &result);
    if (!st && !params.is_tar)
        say_command(cli, &result);
    if (!st && !a->is_json)
        puts(result.path);
    fflush(stdout); /* what is there is told, whatever ollama does */
    const int code = st ? dlm_exit_of(st) : use_ollama(cli, &params, &result);
    if (!st && a->is_json)
        fputs(result.json, stdout);
    dlm_export_result_finish(&result);
    return code;
}

const struct dlm_command dlm_command_export = {
    .table = {.command = "export",
              .summary = "Write a document's adapter for other programs.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .operands = {{"DOCUMENT", AT(document), true, "the .dlm file; not with --matrix"}}},
    .subject = "export",
    .args_bytes = sizeof(struct args),
    .run = run,
};
