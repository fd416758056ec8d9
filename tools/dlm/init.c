/* dlm init: a new document and its store. */
#include "cli.h"

static const struct dlm_option options[] = {
    {"base", .type = DLM_OPTION_STRING, .value = "KEY",
     .offset = offsetof(struct dlm_document_init_params, base),
     .help = "base model: a registry key, hf:org/name, dir:PATH or gguf:PATH (default: "
             "tiny-shapes, with --multimodal paligemma-3b-mix-224)"},
    DLM_MMPROJ_OPTION(struct dlm_document_init_params, mmproj),
    {"multimodal", .type = DLM_OPTION_FLAG,
     .offset = offsetof(struct dlm_document_init_params, multimodal),
     .help = "a document with images"},
    {"i-accept-license", .type = DLM_OPTION_FLAG,
     .offset = offsetof(struct dlm_document_init_params, accept_license),
     .help = "accept the licence of a gated base"},
    {"force", .type = DLM_OPTION_FLAG, .offset = offsetof(struct dlm_document_init_params, force),
     .help = "overwrite an existing document"},
    {"new-id", .type = DLM_OPTION_FLAG,
     .offset = offsetof(struct dlm_document_init_params, new_id),
     .help = "give an existing document, as a copied one, a new dlm_id and a store of its own"},
};

static int run(struct dlm_cli *cli, const void *args)
{
    struct dlm_document_init_params params = *(const struct dlm_document_init_params *)args;

    params.home = cli->home;
    params.accept = dlm_cli_can_ask() ? dlm_cli_ask : NULL;
    enum dlm_status st = dlm_document_init(cli->ctx, &params);
    if (!st)
        dlm_cli_say(cli, params.new_id ? "init: %s has a new dlm_id" : "init: wrote %s",
                    params.path);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_init = {
    .table = {.command = "init",
              .summary = "Write a new document and make its store.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .operands = {{"DOCUMENT", offsetof(struct dlm_document_init_params, path), false,
                            "the .dlm file to write, or to give a new id"}}},
    .subject = "init",
    .args_bytes = sizeof(struct dlm_document_init_params),
    .run = run,
};
