/* What tests of one family share: its case's config.json changed in one member, and the case's
 * adapter under older names. The folder base/ of the test holds what is changed. */
#ifndef DLM_TESTS_MODELS_CHANGES_H
#define DLM_TESTS_MODELS_CHANGES_H

#include "base/json.h"
#include "models/model.h"
#include "models_test.h"

struct change {
    const char *where, *key, *value; /* value NULL: the member goes */
};

struct refusal {
    struct change change;
    enum dlm_status status;
    const char *part; /* of the message */
};

static inline void quiet(void *user, enum dlm_log_level level, const char *text)
{
    (void)user, (void)level, (void)text;
}

/* Copies a file of the case's base. */
static inline void copy_base_file(const char *name)
{
    char from[128], to[128];

    snprintf(from, sizeof(from), "base/%s", name);
    snprintf(to, sizeof(to), "base/%s", name);
    copy_file(case_path(from), tmp_path(to));
}

/* What reading a configuration needs beside config.json. */
static inline void copy_processor(struct dlm_ctx *ctx)
{
    CHECK(!dlm_dir_make(ctx, tmp_path("base")));
    copy_base_file("preprocessor_config.json");
}

/* The case's config.json with a member of the object at `where` ("" the whole) changed. */
static inline void put_changed(struct dlm_ctx *ctx, const struct change *c)
{
    json_t *config = json_load_file(case_path("base/config.json"), 0, NULL);
    json_t *object = *c->where ? json_object_get(config, c->where) : config;

    if (c->value)
        CHECK(!json_object_set_new(object, c->key, json_loads(c->value, JSON_DECODE_ANY, NULL)));
    else
        CHECK(!json_object_del(object, c->key));
    CHECK(!dlm_json_replace(ctx, tmp_path("base/config.json"), config));
    json_decref(config);
}

static inline enum dlm_status open_changed(struct dlm_ctx *ctx, const struct change *c,
                                           struct dlm_model **m)
{
    put_changed(ctx, c);
    return dlm_model_read_folder(ctx, m, tmp_path("base"));
}

static inline void check_refused(struct dlm_ctx *ctx, const struct refusal *r)
{
    struct dlm_model *m = NULL;

    check_case(r->part);
    CHECK_INT(open_changed(ctx, &r->change, &m), r->status);
    const char *error = dlm_ctx_last_error(ctx);
    if (!CHECK(strstr(error, r->part) && strstr(error, "base/config.json'")))
        printf("     %s = %s: %s\n", r->change.key, r->change.value, error);
    dlm_model_destroy(&m);
}

static inline void check_accepted(struct dlm_ctx *ctx, const struct change *c)
{
    struct dlm_model *m = NULL;

    check_case(c->key);
    CHECK_INT(open_changed(ctx, c, &m), DLM_OK);
    dlm_model_destroy(&m);
}

#define MAX_TENSORS 128

/* Writes the case's wide adapter with a rule's prefix replaced wherever it stands. */
static inline void write_old_adapter(struct dlm_ctx *ctx, const char *dir,
                                     const struct dlm_name_rule *rules, size_t num_rules)
{
    struct dlm_tensor_out out[MAX_TENSORS];
    struct dlm_checkpoint *file = NULL;
    static char names[MAX_TENSORS][256];
    char path[1400];
    size_t num = 0;

    snprintf(path, sizeof(path), "%s/adapter_config.json", dir);
    CHECK(!dlm_dir_make(ctx, dir));
    copy_file(case_path("adapter_wide/adapter_config.json"), path);
    if (CHECK(!dlm_checkpoint_open(ctx, &file,
                                   case_path("adapter_wide/adapter_model.safetensors"))))
        num = dlm_checkpoint_num_tensors(file);
    CHECK(num > 8 && num <= MAX_TENSORS);
    for (size_t i = 0; i < num && i < MAX_TENSORS; i++) {
        const struct dlm_tensor_info *t = dlm_checkpoint_tensor(file, i);
        for (size_t k = 0; k < num_rules; k++) {
            const char *at = strstr(t->name, rules[k].prefix);
            if (at)
                snprintf(names[i], sizeof(names[i]), "%.*s%s%s", (int)(at - t->name), t->name,
                         rules[k].replacement, at + strlen(rules[k].prefix));
        }
        out[i] = (struct dlm_tensor_out){.name = names[i], .dtype = t->dtype, .ndim = t->ndim,
                                         .data = t->data, .bytes = t->bytes};
        memcpy(out[i].shape, t->shape, sizeof(out[i].shape));
    }
    snprintf(path, sizeof(path), "%s/adapter_model.safetensors", dir);
    CHECK(!dlm_safetensors_write(ctx, path, out, num, NULL, 0));
    dlm_checkpoint_destroy(&file);
}

/* The adapter under the older names is the same. */
static inline void check_old_adapter(struct dlm_ctx *ctx, const struct dlm_name_map *names,
                                     const struct dlm_name_rule *rules, size_t num_rules)
{
    struct dlm_adapter *old = NULL, *now = NULL;

    check_case("an adapter with older names");
    write_old_adapter(ctx, tmp_path("old"), rules, num_rules);
    if (CHECK(!dlm_adapter_open(ctx, &now, case_path("adapter_wide"), names)) &&
        CHECK(!dlm_adapter_open(ctx, &old, tmp_path("old"), names)) &&
        CHECK_INT(old->num_modules, now->num_modules)) {
        for (size_t i = 0; i < now->num_modules; i++) {
            const struct dlm_adapter_module *a = &old->modules[i], *b = &now->modules[i];
            CHECK_STR(a->path, b->path);
            CHECK(a->alpha == b->alpha && a->a->bytes == b->a->bytes &&
                  !memcmp(a->a->data, b->a->data, b->a->bytes) &&
                  !memcmp(a->b->data, b->b->data, b->b->bytes));
        }
    }
    dlm_adapter_destroy(&old);
    dlm_adapter_destroy(&now);
}

#endif
