/* Which architectures llama.cpp's converter knows, as of dlm_export_llama_cpp: the language model,
 * and the tower with its projector. tools/dev/check_verdicts.py compares the list with its
 * source. */
#include "api/export_verdict.h"

#include <stdio.h>
#include <string.h>

#include "registry/registry.h"

static const struct converter {
    const char *architecture; /* of config.json */
    const char *text, *tower; /* classes that are registered for it; NULL: none is */
} converters[] = {
    {"InternVLChatModel", NULL, NULL},
    {"Mistral3ForConditionalGeneration", "Mistral3Model", "LlavaVisionModel"},
    {"PaliGemmaForConditionalGeneration", NULL, NULL},
    {"Qwen2VLForConditionalGeneration", "Qwen2VLModel", "Qwen2VLVisionModel"},
};

static const struct converter *find(const char *architecture)
{
    static const struct converter none;

    for (size_t i = 0; architecture && i < DLM_ARRAY_LEN(converters); i++)
        if (!strcmp(converters[i].architecture, architecture))
            return &converters[i];
    return &none;
}

struct dlm_export_verdict dlm_verdict_of(const char *architecture, const struct dlm_family *family)
{
    const struct converter *c = find(architecture);
    const bool is_written = family && family->gguf && !family->gguf->is_own;
    struct dlm_export_verdict v = {.architecture = architecture, .support = "UNSUPPORTED"};
    const char *then = !family      ? "dlm does not train it yet"
                       : is_written ? "--quant writes both"
                                    : "--quant writes an HF snapshot";

    if (c->text && c->tower) {
        v.support = "SUPPORTED";
        snprintf(v.reason, sizeof(v.reason), "registered on %s, its tower on %s; %s", c->text,
                 c->tower, then);
    } else if (c->text || c->tower) {
        v.support = "PARTIAL";
        snprintf(v.reason, sizeof(v.reason), "registered on %s, its %s on none; %s",
                 c->text ? c->text : c->tower, c->text ? "tower" : "language model", then);
    } else {
        snprintf(v.reason, sizeof(v.reason), "llama.cpp has no such model; %s", then);
    }
    return v;
}

struct dlm_export_verdict dlm_verdict_of_family(const struct dlm_family *family)
{
    const char *architecture = NULL;

    for (size_t i = 0; !architecture && i < dlm_registry_num_rows(); i++) {
        const struct dlm_base_row *row = dlm_registry_row(i);
        if (row->family && !strcmp(row->family, family->model_type))
            architecture = row->architecture;
    }
    return dlm_verdict_of(architecture, family);
}
