/* Which architectures llama.cpp's converter knows, as of dlm_export_llama_cpp: the language model,
 * and the tower with its projector. Where a part's config has an architecture of its own, that one
 * counts. tools/dev/check_verdicts.py compares the list with its source. */
#include "api/export_verdict.h"

#include <stdio.h>
#include <string.h>

#include "registry/registry.h"

static const struct converter {
    const char *architecture; /* of config.json */
    const char *text, *tower; /* classes that are registered for it; NULL: none is */
    const char *key;          /* the base, of an architecture whose parts have their own */
    const char *text_architecture, *tower_architecture; /* those */
} converters[] = {
    {"InternVLChatModel", "InternLM2Model", "InternVisionModel", "internvl2-2b",
     "InternLM2ForCausalLM", "InternVisionModel"},
    {"InternVLChatModel", "Qwen2Model", "InternVisionModel", "internvl3-2b",
     "Qwen2ForCausalLM", "InternVisionModel"},
    {"Mistral3ForConditionalGeneration", "Mistral3Model", "LlavaVisionModel"},
    {"PaliGemmaForConditionalGeneration", "Gemma2Model", NULL, "paligemma2-3b-mix-224",
     "Gemma2ForCausalLM", "PaliGemmaForConditionalGeneration"},
    {"PaliGemmaForConditionalGeneration", NULL, NULL},
    {"Qwen2VLForConditionalGeneration", "Qwen2VLModel", "Qwen2VLVisionModel"},
};

static const struct converter *find(const struct dlm_base_row *row)
{
    static const struct converter none;

    for (size_t i = 0; row && row->architecture && i < DLM_ARRAY_LEN(converters); i++) {
        const struct converter *c = &converters[i];
        if (!strcmp(c->architecture, row->architecture) && (!c->key || !strcmp(c->key, row->key)))
            return c;
    }
    return &none;
}

struct dlm_export_verdict dlm_verdict_of(const struct dlm_base_row *row,
                                         const struct dlm_family *family)
{
    const struct converter *c = find(row);
    const bool is_written = family && family->gguf && !family->gguf->is_own;
    struct dlm_export_verdict v = {.architecture = row ? row->architecture : NULL,
                                   .support = "UNSUPPORTED"};
    const char *then = !family      ? "dlm neither trains nor exports it yet"
                       : is_written ? "--quant writes both"
                                    : "--quant writes an HF snapshot";

    if (c->text && c->tower) {
        v.support = is_written ? "SUPPORTED" : "PARTIAL";
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
    const struct dlm_base_row *found = NULL;

    for (size_t i = 0; !found && i < dlm_registry_num_rows(); i++) {
        const struct dlm_base_row *row = dlm_registry_row(i);
        if (row->architecture && row->family && !strcmp(row->family, family->model_type))
            found = row;
    }
    return dlm_verdict_of(found, family);
}
