/* Name rules, with PaliGemma's as the example (those of transformers' conversion mapping). */
#include "weights/names.h"

#include "base/mem.h"
#include "../check.h"

static const struct dlm_name_rule rules[] = {
    {"language_model.model", "model.language_model"},
    {"language_model.lm_head", "lm_head"},
    {"vision_tower", "model.vision_tower"},
    {"multi_modal_projector", "model.multi_modal_projector"},
};
static const struct dlm_name_drop drops[] = {{"model.vision_tower", "vision_model"}};
static const struct dlm_name_map map = {rules, DLM_ARRAY_LEN(rules), drops, DLM_ARRAY_LEN(drops)};

static void expect(struct dlm_ctx *ctx, const char *name, const char *want)
{
    char *got = dlm_name_canonical(ctx, &map, name);
    CHECK_STR(got, want);
    dlm_free(got);
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);

    check_case("old names become new ones");
    expect(ctx, "language_model.model.layers.0.self_attn.q_proj.weight",
           "model.language_model.layers.0.self_attn.q_proj.weight");
    expect(ctx, "language_model.lm_head.weight", "lm_head.weight");
    expect(ctx, "vision_tower.vision_model.post_layernorm.bias",
           "model.vision_tower.post_layernorm.bias");
    expect(ctx, "multi_modal_projector.linear", "model.multi_modal_projector.linear");
    check_case("new names stay, without the inner component");
    expect(ctx, "model.language_model.norm.weight", "model.language_model.norm.weight");
    expect(ctx, "model.vision_tower.vision_model.encoder.x", "model.vision_tower.encoder.x");
    expect(ctx, "model.vision_tower.encoder.x", "model.vision_tower.encoder.x");
    check_case("only whole components");
    expect(ctx, "language_model.modelx.y", "language_model.modelx.y");
    expect(ctx, "vision_towers.y", "vision_towers.y");
    expect(ctx, "vision_tower", "model.vision_tower");
    expect(ctx, "vision_tower.vision_models.y", "model.vision_tower.vision_models.y");
    expect(ctx, "vision_tower.vision_model", "model.vision_tower");
    check_case("and back, for transformers 4");
    char *old = dlm_name_with_drops(ctx, &map, "model.vision_tower.encoder.x");
    CHECK_STR(old, "model.vision_tower.vision_model.encoder.x");
    dlm_free(old);
    old = dlm_name_with_drops(ctx, &map, "model.language_model.x");
    CHECK_STR(old, "model.language_model.x");
    dlm_free(old);
    check_case("no map changes nothing");
    old = dlm_name_canonical(ctx, NULL, "vision_tower.x");
    CHECK_STR(old, "vision_tower.x");
    dlm_free(old);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
