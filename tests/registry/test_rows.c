/* The rows keep the schema's rules, and hold the reference's values. */
#include <string.h>

#include "../check.h"
#include "models/family_list.h"
#include "registry/registry.h"

static void check_row(const struct dlm_base_row *row)
{
    CHECK(row->key && *row->key);
    CHECK((row->hf_id == NULL) == (row->revision == NULL));
    if (row->revision) {
        CHECK(strlen(row->revision) == 40 && strspn(row->revision, "0123456789abcdef") == 40);
        const char *slash = strchr(row->hf_id, '/');
        CHECK(slash && slash > row->hf_id && slash[1] && !strchr(slash + 1, '/'));
        CHECK(row->params > 0 && row->license_spdx);
    }
    const bool is_vl = row->modality == DLM_MODALITY_VISION_LANGUAGE;
    CHECK(is_vl == (row->image_token != NULL));
    if (is_vl && row->hf_id)
        CHECK(row->target_height > 0 && row->target_width > 0 && row->num_image_tokens > 0 &&
              row->architecture && row->context_length >= row->recommended_seq_len);
    /* planned before a download; what is bundled is always here */
    CHECK((row->shape != NULL) == (row->family && row->hf_id));
    CHECK(row->target_modules[0] && !row->target_modules[7]);
    CHECK(dlm_registry_find(row->key) == row);
}

/* What can be trained is what there is a family for. */
static void check_families(void)
{
#define FAMILY_NAME(name) #name,
    static const char *const families[] = {DLM_FAMILY_LIST(FAMILY_NAME)};
#undef FAMILY_NAME
    size_t num_rows[DLM_ARRAY_LEN(families)] = {0};

    for (size_t i = 0; i < dlm_registry_num_rows(); i++) {
        const char *family = dlm_registry_row(i)->family;
        size_t f = 0;
        while (family && f < DLM_ARRAY_LEN(families) && strcmp(family, families[f]))
            f++;
        if (family && CHECK(f < DLM_ARRAY_LEN(families)))
            num_rows[f]++;
    }
    for (size_t f = 0; f < DLM_ARRAY_LEN(families); f++)
        CHECK(num_rows[f] > 0);
}

int main(void)
{
    check_case("families");
    check_families();
    check_case("every row keeps the schema");
    for (size_t i = 0; i < dlm_registry_num_rows(); i++)
        check_row(dlm_registry_row(i));
    CHECK_INT(dlm_registry_num_rows(), 5 + 3 + 21 + 1 + 2);

    check_case("PaliGemma's row");
    const struct dlm_base_row *row = dlm_registry_find("paligemma-3b-mix-224");
    if (CHECK(row)) {
        CHECK_STR(row->hf_id, "google/paligemma-3b-mix-224");
        CHECK_STR(row->revision, "d1d8734c9c3ad0ccfeea4afc270faa356c2ba515");
        CHECK(row->requires_acceptance && !row->redistributable && row->size_gb_fp16 == 6.5);
        CHECK_INT(row->num_image_tokens, 256);
    }
    check_case("the bundled rows");
    static const char *const bundled[] = {"tiny-shapes", "tiny-shapes-qwen2-vl",
                                         "tiny-shapes-mistral3"};
    for (size_t i = 0; i < DLM_ARRAY_LEN(bundled); i++) {
        row = dlm_registry_find(bundled[i]);
        if (!CHECK(row))
            continue;
        CHECK(row->family && !row->hf_id && !row->requires_acceptance && row->redistributable);
        CHECK_STR(row->target_modules[3], "o_proj");
        CHECK(!row->target_modules[4]);
    }
    check_case("rows with values of their own");
    row = dlm_registry_find("phi-3.5-mini");
    CHECK(row && !strcmp(row->target_modules[0], "qkv_proj") && !row->reasoning_tuned);
    row = dlm_registry_find("qwen3-4b");
    CHECK(row && row->reasoning_tuned && row->context_length == 32768);
    row = dlm_registry_find("internvl3-2b");
    CHECK(row && row->resize_policy == DLM_RESIZE_DYNAMIC && row->trust_remote_code);
    CHECK(!dlm_registry_find("paligemma") && !dlm_registry_find(""));
    check_case("modalities");
    CHECK_STR(dlm_modality_name(DLM_MODALITY_TEXT_MOE), "text-moe");
    CHECK_STR(dlm_modality_name(DLM_MODALITY_VISION_LANGUAGE), "vision-language");
    return check_summary();
}
