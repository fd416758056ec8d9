/* The names of a base's files. */
#include "registry/base_files.h"

#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

#include "base/attr.h"

static const struct {
    const char *pattern;
    enum dlm_base_file file;
} names[] = {
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
    for (size_t i = 0; i < DLM_ARRAY_LEN(names); i++)
        if (!fnmatch(names[i].pattern, name, 0))
            return names[i].file;
    return DLM_BASE_FILE_NONE;
}
