/* What the tests of the middle layers share: one of the tiny checkpoints under golden/models,
 * opened on a device with its adapter, examples with their features, and passes over them. */
#ifndef DLM_TESTS_TRAIN_FIXTURE_H
#define DLM_TESTS_TRAIN_FIXTURE_H

#include <jansson.h>

#include "generate/generator.h"
#include "images/image.h"
#include "models/pass.h"
#include "models/vision.h"
#include "tests/check.h"

#define FIXTURE_MAX_IMAGES 4

struct fixture_params {
    enum dlm_backend_kind backend; /* auto: the CPU */
    const char *name;              /* "bf16_new", "f16_patch7", "f32_old" */
    const char *adapter;           /* "adapter", "adapter_wide" or NULL */
    enum dlm_dtype policy;         /* DLM_DTYPE_F32 by default */
    size_t max_alloc_bytes;
    int num_threads;               /* 0: one, which is the fastest for models this small */
    bool for_training;
    bool no_tower; /* neither weights of the tower nor images */
};

struct fixture {
    struct fixture_params params;
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    struct dlm_model *model;
    struct dlm_lora *lora;
    struct dlm_vision vision;
    bool has_vision;
    json_t *expected;
    struct dlm_image_plan plans[FIXTURE_MAX_IMAGES];
    const float *pixels[FIXTURE_MAX_IMAGES], *features[FIXTURE_MAX_IMAGES];
    int32_t *ids[64]; /* of examples, by index */
    size_t num_ids;
    size_t allocated; /* bytes that were asked for so far, given back or not */
};

static inline void fixture_log(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level <= DLM_LOG_WARNING)
        printf("     log: %s\n", text);
}

static inline const char *fixture_path(const struct fixture *f, const char *name)
{
    static char buffers[4][1024];
    static unsigned next;
    char *p = buffers[next++ % 4];

    snprintf(p, sizeof(buffers[0]), "%s/golden/models/%s/%s", check_data_dir(), f->params.name,
             name);
    return p;
}

static inline void fixture_close(struct fixture *f)
{
    for (int i = 0; i < FIXTURE_MAX_IMAGES; i++) {
        free((void *)(uintptr_t)f->pixels[i]);
        free((void *)(uintptr_t)f->features[i]);
    }
    for (size_t i = 0; i < f->num_ids; i++)
        free(f->ids[i]);
    if (f->has_vision)
        dlm_vision_finish(&f->vision);
    json_decref(f->expected);
    dlm_lora_destroy(&f->lora);
    dlm_model_destroy(&f->model);
    dlm_device_destroy(&f->device);
    dlm_ctx_destroy(&f->ctx);
}

/* images/one.png and two.png, by turns. */
static inline const char *fixture_image(const struct fixture *f, int i)
{
    return fixture_path(f, i % 2 ? "images/two.png" : "images/one.png");
}

/* The images through the tower. */
static inline bool fixture_see(struct fixture *f)
{
    struct dlm_workspace workspace = {0};
    const int64_t patches = DLM_MAX(f->plans[0].patches, f->plans[1].patches);
    bool ok = CHECK(!dlm_vision_init(&f->vision, f->model, f->lora, patches));

    f->has_vision = true;
    ok = ok && CHECK(!dlm_workspace_init(&workspace, f->device, &f->vision.largest.plan, 1)) &&
         CHECK(!dlm_vision_prepare(&f->vision, &workspace));
    for (int i = 0; ok && i < FIXTURE_MAX_IMAGES; i++) {
        struct dlm_image image = {0};
        float *pixels = calloc(dlm_pixels_len(&f->plans[i].pixels), sizeof(float));
        float *features = calloc(dlm_image_plan_features_len(f->model, &f->plans[i]),
                                 sizeof(float));
        ok = CHECK(pixels && features) &&
             CHECK(!dlm_image_load(f->ctx, &image, fixture_image(f, i))) &&
             CHECK(!dlm_preprocess(f->ctx, &f->model->processor, &image, &f->plans[i].pixels,
                                   pixels)) &&
             CHECK(!dlm_vision_run(&f->vision, &f->plans[i], pixels, features));
        dlm_image_finish(&image);
        f->pixels[i] = pixels;
        f->features[i] = features;
    }
    dlm_program_destroy(&f->vision.largest.program); /* before its arenas */
    dlm_workspace_finish(&workspace);
    return ok;
}

static inline bool fixture_count(void *user, size_t bytes)
{
    size_t *sum = user;

    *sum += bytes;
    return true;
}

/* Opens everything; false after a failed check. Close it also then. */
static inline bool fixture_open(struct fixture *f, const struct fixture_params *params)
{
    struct dlm_adapter *adapter = NULL;
    const struct dlm_device_params device = {
        .kind = params->backend ? params->backend : DLM_BACKEND_CPU,
        .index = -1,
        .cache_dir = getenv("DLM_TEST_KERNEL_CACHE"),
        .max_alloc_bytes = params->max_alloc_bytes};

    *f = (struct fixture){.params = *params};
    f->ctx = dlm_ctx_create(&(struct dlm_ctx_params){
        .log = fixture_log, .num_threads = params->num_threads ? params->num_threads : 1,
        .alloc_hook = fixture_count, .alloc_user = &f->allocated});
    f->expected = json_load_file(fixture_path(f, "expected.json"), 0, NULL);
    bool ok = CHECK(f->ctx && f->expected) &&
              CHECK(!dlm_device_open(f->ctx, &f->device, &device)) &&
              CHECK(!dlm_model_open(f->ctx, &f->model, f->device, fixture_path(f, "base"),
                                    params->policy, NULL));
    if (ok && params->adapter)
        ok = CHECK(!dlm_adapter_open(f->ctx, &adapter, fixture_path(f, params->adapter),
                                     &f->model->family->names)) &&
             CHECK(!dlm_model_read_lora(f->model, &f->lora, adapter));
    dlm_adapter_destroy(&adapter);
    for (int i = 0; ok && i < FIXTURE_MAX_IMAGES; i++)
        ok = CHECK(!dlm_image_plan_file(f->model, fixture_image(f, i),
                                        (struct dlm_image_name){"image", 0}, &f->plans[i]));
    ok = ok && CHECK(!dlm_weights_load(f->model->weights,
                                       params->no_tower ? DLM_WEIGHT_GROUPS_NO_TOWER
                                                        : DLM_WEIGHT_GROUPS_ALL));
    if (ok && f->lora)
        ok = CHECK(!dlm_lora_upload(f->lora, f->device,
                                   params->for_training ? DLM_LORA_MOMENTS : DLM_LORA_VALUES));
    return ok && (params->no_tower || fixture_see(f));
}

/* Labels of a row of at most 512 tokens: all those after the prompt. */
static inline const uint8_t *fixture_labels(int64_t prompt_len)
{
    static uint8_t table[1024];

    memset(table + 512, 1, 512);
    return table + 512 - prompt_len;
}

/* Without what is learned. */
static inline struct dlm_example fixture_prompt(const struct dlm_example *e)
{
    struct dlm_example prompt = *e;

    prompt.len = e->bidirectional_len;
    return prompt;
}

/* Example i of the case's scores (text and image rows by turns); its target cut to max_target
 * tokens unless 0. Its ids live as long as the fixture. */
static inline struct dlm_example fixture_example(struct fixture *f, size_t i, int64_t max_target)
{
    const json_t *list = json_object_get(f->expected, "scores");
    const json_t *s = json_array_get(list, i % json_array_size(list));
    const json_t *ids = json_object_get(s, "input_ids");
    const bool has_image = json_string_value(json_object_get(s, "image")) && !f->params.no_tower;
    const char *image = json_string_value(json_object_get(s, "image"));
    struct dlm_example e = {.len = (int64_t)json_array_size(ids), .row_id = 1000 + (uint32_t)i};
    int32_t *copy = calloc((size_t)e.len + 1, sizeof(*copy));

    for (int64_t t = 0; copy && t < e.len; t++)
        copy[t] = (int32_t)json_integer_value(json_array_get(ids, (size_t)t));
    f->ids[f->num_ids++ % 64] = copy;
    e.ids = copy;
    e.bidirectional_len = e.len - (int64_t)json_array_size(json_object_get(s, "ids"));
    if (max_target && e.len - e.bidirectional_len > max_target)
        e.len = e.bidirectional_len + max_target;
    e.is_label = fixture_labels(e.bidirectional_len);
    if (has_image) {
        const int which = strstr(image, "two") ? 1 : 0;
        e.num_images = 1;
        e.plans = &f->plans[which];
        e.features = &f->features[which];
        e.pixels = &f->pixels[which];
    }
    return e;
}

/* Params of a pass that holds exactly the examples. */
static inline struct dlm_pass_params fixture_pass_params(const struct fixture *f,
                                                         const struct dlm_example *list,
                                                         int64_t num)
{
    struct dlm_pass_params p = {.batch = num};

    for (int64_t i = 0; i < num; i++) {
        p.tokens = list[i].len > p.tokens ? list[i].len : p.tokens;
        p.labels += dlm_count_labels(list[i].is_label, list[i].len);
        dlm_image_room_add(f->model, &p.room, list[i].plans, list[i].num_images);
    }
    return p;
}

static inline bool fixture_clear_grads(struct fixture *f)
{
    return CHECK(!dlm_buffer_fill(f->lora->grads.buffer, 0, (size_t)f->lora->len * 4, 0));
}

/* Runs one pass over the examples: logprobs [labels], and with params->backward adds to the
 * gradients on the device. guarded: every tensor in a buffer of its own, guards checked.
 * *plan_bytes may be NULL. */
static inline bool fixture_run(struct fixture *f, const struct dlm_pass_params *params,
                               const struct dlm_pass_step *step, bool guarded, float *logprobs,
                               size_t *plan_bytes)
{
    struct dlm_workspace workspace = {0};
    struct dlm_pass *pass = NULL;
    int64_t labels = 0;
    char what[64] = "";

    for (int64_t i = 0; i < step->num; i++)
        labels += dlm_count_labels(step->examples[i].is_label, step->examples[i].len);
    bool ok = CHECK(!dlm_pass_create(f->ctx, &pass, f->model, f->lora, params)) &&
              (guarded || CHECK(!dlm_workspace_init(&workspace, f->device, &pass->plan, 1))) &&
              CHECK(!dlm_pass_prepare(pass, guarded ? NULL : &workspace)) &&
              CHECK(!dlm_pass_run(pass, step)) &&
              CHECK(!dlm_pass_logprobs(pass, logprobs, labels)) &&
              CHECK(!dlm_device_wait(f->device));
    if (ok && guarded && !CHECK(dlm_program_check_guards(pass->program, what, sizeof(what))))
        printf("     %s\n", what);
    if (ok && plan_bytes)
        *plan_bytes = dlm_plan_bytes(pass->plan);
    dlm_pass_destroy(&pass);
    dlm_workspace_finish(&workspace);
    return ok;
}

/* Generates up to num tokens after the prompts of `examples` with one generator, each into out[i]
 * [num]. capacity: of the prompt, at least the longest; 0 is that. */
static inline bool fixture_generate(struct fixture *f, const struct dlm_example *examples,
                                    size_t num_examples, int64_t capacity,
                                    const struct dlm_sampling *sampling, int64_t num, int32_t **out)
{
    struct dlm_generator_params params = {.prompt_len = capacity, .max_tokens = num};
    struct dlm_workspace workspace = {0};
    struct dlm_plan *plans[2];
    struct dlm_generator *g = NULL;

    for (size_t i = 0; i < num_examples; i++) {
        params.prompt_len = DLM_MAX(params.prompt_len, examples[i].bidirectional_len);
        params.room.slices = DLM_MAX(params.room.slices, examples[i].num_images);
    }
    params.room.patches = params.room.slices ? f->plans[0].patches : 0;
    bool ok = CHECK(!dlm_generator_create(f->ctx, &g, f->model, f->lora, &params));
    if (ok) {
        dlm_generator_plans(g, plans);
        ok = CHECK(!dlm_workspace_init(&workspace, f->device, plans, 2)) &&
             CHECK(!dlm_generator_prepare(g, &workspace));
    }
    for (size_t i = 0; ok && i < num_examples; i++) {
        const struct dlm_example prompt = fixture_prompt(&examples[i]);
        ok = CHECK(!dlm_generator_prefill(g, &prompt, sampling, &out[i][0]));
        uint64_t least = UINT64_MAX; /* waits for a token, of those behind the timed runs */
        for (int64_t t = 1; ok && t < num; t++) {
            const uint64_t waits = dlm_device_num_waits(f->device);
            ok = CHECK(!dlm_generator_next(g, &out[i][t]));
            if (t >= 4)
                least = DLM_MIN(least, dlm_device_num_waits(f->device) - waits);
        }
        if (ok && i == 0 && num > 4)
            CHECK(least <= 1);
    }
    dlm_generator_destroy(&g);
    dlm_workspace_finish(&workspace);
    return ok;
}

/* A slot with the data in it, as a leaf of g. NULL after a failed check. */
static inline struct dlm_tensor *fixture_leaf(struct dlm_slots *slots, struct dlm_graph *g,
                                              enum dlm_dtype dtype, int64_t rows, int64_t cols,
                                              const void *data)
{
    struct dlm_slot *s = dlm_slots_add(slots, DLM_ROLE_INPUT, "in", dtype, cols ? 2 : 1,
                                       (int64_t[]){rows, cols});
    const size_t bytes = dlm_dtype_size(dtype, rows * (cols ? cols : 1));

    if (!CHECK(s) || !CHECK(!dlm_slots_alloc(slots)) || !CHECK(!dlm_slot_write(s, data, bytes)))
        return NULL;
    return dlm_slot_leaf(g, s);
}

/* Logits of every position of one example (at most 256 tokens) by the decoder built without cache
 * and without the short cut for labelled rows: out [len, vocab]. */
static inline bool fixture_logits(struct fixture *f, const struct dlm_example *e, float *out)
{
    const struct dlm_decoder_config *c = &f->model->decoder.config;
    const int64_t len = e->len, half = c->block.head_dim / 2, patches = f->plans[0].patches;
    const int64_t features = patches * f->model->tower.width;
    const int32_t rows[4] = {0, (int32_t)len, (int32_t)e->bidirectional_len, (int32_t)len};
    struct dlm_slots slots = {.ctx = f->ctx, .device = f->device};
    struct dlm_workspace workspace = {0};
    struct dlm_plan *plan = NULL;
    struct dlm_program *program = NULL;
    struct dlm_graph *g = NULL;
    int32_t ids[256], positions[256][3], next;
    float *cos = calloc((size_t)(len * half), 4), *sin = calloc((size_t)(len * half), 4);
    float *seen = calloc((size_t)(e->num_images * features) + 1, 4);

    for (int32_t t = 0, slot = 0; t < len; t++)
        ids[t] = e->num_images && e->ids[t] == f->model->image_id ? -1 - slot++ : e->ids[t];
    f->model->family->positions(f->model, e, positions, &next);
    dlm_decoder_rope_table(c, (const int32_t(*)[3])positions, len, cos, sin);
    for (int64_t i = 0; i < e->num_images; i++)
        memcpy(seen + i * features, e->features[i], (size_t)features * 4);
    bool ok = CHECK(!dlm_graph_create(f->ctx, &g));
    struct dlm_build b = {.g = g, .policy = f->model->policy, .lora = f->lora};
    struct dlm_tensor *images = NULL;
    if (ok && e->num_images) /* features are kept in the policy's type: round them so */
        images = fixture_leaf(&slots, g, DLM_DTYPE_F32, e->num_images * patches,
                              f->model->tower.width, seen);
    if (images && f->model->policy != DLM_DTYPE_F32)
        images = dlm_copy(g, dlm_copy(g, images, f->model->policy), DLM_DTYPE_F32);
    const struct dlm_decoder_inputs in = {
        .batch = 1,
        .tokens = len,
        .ids = fixture_leaf(&slots, g, DLM_DTYPE_I32, len, 0, ids),
        .features = images ? f->model->family->project(&b, f->model, images) : NULL,
        .cos = fixture_leaf(&slots, g, DLM_DTYPE_F32, len, half, cos),
        .sin = fixture_leaf(&slots, g, DLM_DTYPE_F32, len, half, sin),
        .rows = fixture_leaf(&slots, g, DLM_DTYPE_I32, 1, 4, rows),
    };
    struct dlm_tensor *logits = dlm_decoder_logits(
        &b, &f->model->decoder, dlm_decoder_build(&b, &f->model->decoder, &in));
    if (CHECK(logits)) {
        logits->is_output = logits->base->is_output = true;
        ok = CHECK(!dlm_plan_create(f->ctx, &plan, g, f->device)) &&
             CHECK(!dlm_workspace_init(&workspace, f->device, &plan, 1)) &&
             CHECK(!dlm_program_create(f->ctx, &program, f->device, plan, &workspace)) &&
             CHECK(!dlm_program_run(program)) &&
             CHECK(!dlm_program_read(program, logits, out, (size_t)(len * c->vocab) * 4));
    }
    dlm_program_destroy(&program);
    dlm_plan_destroy(&plan);
    dlm_graph_destroy(&g);
    dlm_workspace_finish(&workspace);
    dlm_slots_finish(&slots);
    free(cos);
    free(sin);
    free(seen);
    return ok && logits;
}

/* log(sum(exp(x))) */
static inline double log_sum_exp(const float *x, int64_t len)
{
    double max = -INFINITY, sum = 0;

    for (int64_t i = 0; i < len; i++)
        max = x[i] > max ? x[i] : max;
    for (int64_t i = 0; i < len; i++)
        sum += exp(x[i] - max);
    return max + log(sum);
}

/* Reads the flat gradients; owned (free). NULL after a failed check. */
static inline float *fixture_grads(struct fixture *f)
{
    float *out = calloc((size_t)f->lora->len, sizeof(*out));

    if (!CHECK(out) || !CHECK(!dlm_lora_download(f->lora, &f->lora->grads, out))) {
        free(out);
        return NULL;
    }
    return out;
}

/* ||a - b|| / ||b||; the norm of a where b is 0. NaN counts. */
static inline double relative_difference(const float *a, const float *b, size_t len)
{
    double diff = 0, norm = 0;

    for (size_t i = 0; i < len; i++) {
        diff += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    return sqrt(diff / (norm > 0 ? norm : 1));
}

static inline double norm_of(const float *a, size_t len)
{
    double sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += (double)a[i] * a[i];
    return sqrt(sum);
}

static inline double largest_difference(const float *a, const float *b, size_t len)
{
    double most = 0;

    for (size_t i = 0; i < len; i++)
        if (!(fabs((double)a[i] - b[i]) <= most))
            most = fabs((double)a[i] - b[i]);
    return most;
}

/* Starts the check case "<backend> <case> <what>". */
static inline void fixture_case(enum dlm_backend_kind backend, const char *name, const char *what)
{
    static char names[256][128];
    static unsigned next;
    char *text = names[next++ % 256];

    snprintf(text, sizeof(names[0]), "%s %s %s", dlm_backend_name(backend), name, what);
    check_case(text);
}

/* Calls run for each backend that is here and wanted; the others are skipped cases. */
static inline void for_each_backend(void (*run)(enum dlm_backend_kind backend))
{
    const char *only = getenv("DLM_TEST_BACKENDS");
    struct dlm_device_info *list = NULL;
    int num = 0;
    bool found[DLM_BACKEND_COUNT] = {false};
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);

    check_case("devices are listed");
    if (CHECK(ctx) && CHECK(!dlm_device_list(ctx, &list, &num)))
        for (int i = 0; i < num; i++)
            found[list[i].kind] = true;
    dlm_device_list_free(list);
    dlm_ctx_destroy(&ctx);
    for (int k = DLM_BACKEND_CPU; k < DLM_BACKEND_COUNT; k++) {
        const char *name = dlm_backend_name((enum dlm_backend_kind)k);
        if (only && !strstr(only, name))
            check_skip(name, "not in DLM_TEST_BACKENDS");
        else if (!found[k])
            check_skip(name, "no device");
        else
            run((enum dlm_backend_kind)k);
    }
}

#endif
