/* dlm preprocess: an image as a base's vision tower gets it. */
#include "cli.h"

static const struct dlm_option options[] = {
    {"base", .type = DLM_OPTION_STRING, .value = "KEY",
     .offset = offsetof(struct dlm_preprocess_params, base),
     .help = "base model: a registry key, hf:org/name, dir:PATH or gguf:PATH"},
    DLM_MMPROJ_OPTION(struct dlm_preprocess_params, mmproj),
    {"image", .type = DLM_OPTION_STRING, .value = "PATH",
     .offset = offsetof(struct dlm_preprocess_params, image), .help = "the image"},
    {"out", .type = DLM_OPTION_STRING, .value = "FILE",
     .offset = offsetof(struct dlm_preprocess_params, out),
     .help = ".npz file to write: pixel_values [1, 3, H, W]"},
    DLM_IMAGE_SIZE_OPTION(struct dlm_preprocess_params, image_size, "the base's"),
};

static int run(struct dlm_cli *cli, const void *args)
{
    const struct dlm_preprocess_params *params = args;

    if (!params->base || !params->image || !params->out) {
        dlm_options_usage_error("preprocess", "give --base, --image and --out");
        return DLM_EXIT_USAGE;
    }
    return dlm_exit_of(dlm_preprocess_image(cli->ctx, params));
}

const struct dlm_command dlm_command_preprocess = {
    .table = {.command = "preprocess",
              .summary = "Write an image's pixel values as a numpy archive.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options)},
    .args_bytes = sizeof(struct dlm_preprocess_params),
    .run = run,
};
