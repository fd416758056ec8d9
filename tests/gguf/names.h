/* golden/gguf/names.json: tensors, values and tokenizers as llama.cpp's converter has them. */
#ifndef DLM_TESTS_GGUF_NAMES_H
#define DLM_TESTS_GGUF_NAMES_H

#include "base/json.h"
#include "tests/check.h"

/* Owned; NULL: the case has failed. */
static inline json_t *load_names(struct dlm_ctx *ctx)
{
    char path[512];
    json_t *golden = NULL;

    snprintf(path, sizeof(path), "%s/golden/gguf/names.json", check_data_dir());
    check_case("golden file");
    CHECK(!dlm_json_load(ctx, path, 1 << 20, &golden));
    return golden;
}

#endif
