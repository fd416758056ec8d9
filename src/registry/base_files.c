/* The names of a base's files, and which of them are there. */
#include "registry/base_files.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static const struct {
    const char *pattern;
    enum dlm_base_file file;
} files[] = {
    {"config.json", DLM_BASE_FILE_CONFIG},
    {"generation_config.json", DLM_BASE_FILE_CONFIG},
    {"preprocessor_config.json", DLM_BASE_FILE_PROCESSOR},
    {"processor_config.json", DLM_BASE_FILE_PROCESSOR},
    {"video_preprocessor_config.json", DLM_BASE_FILE_PROCESSOR},
    {"tokenizer.json", DLM_BASE_FILE_PROCESSOR},
    {"tokenizer_config.json", DLM_BASE_FILE_PROCESSOR},
    {"tokenizer.model", DLM_BASE_FILE_PROCESSOR},
    {"tekken.json", DLM_BASE_FILE_PROCESSOR},
    {"special_tokens_map.json", DLM_BASE_FILE_PROCESSOR},
    {"added_tokens.json", DLM_BASE_FILE_PROCESSOR},
    {"vocab.json", DLM_BASE_FILE_PROCESSOR},
    {"merges.txt", DLM_BASE_FILE_PROCESSOR},
    {"chat_template.json", DLM_BASE_FILE_PROCESSOR},
    {"chat_template.jinja", DLM_BASE_FILE_PROCESSOR},
    {"LICEN[CS]E*", DLM_BASE_FILE_LICENSE},
    {"NOTICE*", DLM_BASE_FILE_LICENSE},
    {"USE_POLICY*", DLM_BASE_FILE_LICENSE},
    {"model.safetensors.index.json", DLM_BASE_FILE_INDEX},
    {"model.safetensors", DLM_BASE_FILE_WEIGHTS},
    {"model-[0-9]*-of-[0-9]*.safetensors", DLM_BASE_FILE_WEIGHTS},
};

enum dlm_base_file dlm_base_file_of(const char *name)
{
    if (strchr(name, '/'))
        return DLM_BASE_FILE_NONE;
    for (size_t i = 0; i < DLM_ARRAY_LEN(files); i++)
        if (!fnmatch(files[i].pattern, name, 0))
            return files[i].file;
    return DLM_BASE_FILE_NONE;
}

enum dlm_status dlm_base_look(struct dlm_ctx *ctx, const char *dir,
                              struct dlm_base_content *content)
{
    char **names = NULL;

    *content = (struct dlm_base_content){.num_wanted = 1};
    enum dlm_status st = dlm_path_is_dir(dir) ? dlm_dir_list(ctx, dir, &names) : DLM_OK;
    for (size_t i = 0; !st && names && names[i]; i++) {
        const enum dlm_base_file file = dlm_base_file_of(names[i]);
        const char *of = strstr(names[i], "-of-");
        char *path = dlm_path_join(ctx, dir, names[i]);
        st = path ? DLM_OK : DLM_ERR_MEMORY;
        if (!st && dlm_path_is_file(path)) {
            content->has_config |= !strcmp(names[i], "config.json");
            content->num_weights += file == DLM_BASE_FILE_WEIGHTS;
            content->num_files++;
        }
        if (file == DLM_BASE_FILE_WEIGHTS && of)
            content->num_wanted = strtoul(of + strlen("-of-"), NULL, 10);
        dlm_free(path);
    }
    dlm_names_free(names);
    return st;
}
