/* A vision-language model on a device: what every family has. A family's own struct begins with it
 * and holds the rest. */
#ifndef DLM_MODELS_MODEL_H
#define DLM_MODELS_MODEL_H

#include <jansson.h>

#include "images/processor.h"
#include "models/config_rules.h"
#include "models/decoder.h"
#include "models/family_list.h"
#include "models/gguf_family.h"
#include "models/input.h"
#include "models/sampling_config.h"
#include "weights/adapter.h"

/* What the tower reads beside patches, a row each: positions, or tables for them. */
struct dlm_tower_table {
    const char *name;
    enum dlm_dtype dtype; /* f32 or i32 */
    int64_t cols;
};

#define DLM_TOWER_MAX_TABLES 4

/* What the tower takes and gives of a slice (see struct dlm_image_plan): its rows. */
struct dlm_tower_shape {
    int64_t patch_len;   /* floats of a patch's pixels */
    int64_t width;       /* floats of its features */
    int64_t max_patches; /* of a slice */
    int64_t merge;       /* consecutive rows of features that become one token */
    struct dlm_tower_table tables[DLM_TOWER_MAX_TABLES];
    int num_tables;
};

/* The tower's inputs in a graph: slices of `patches` rows each, padded. */
struct dlm_tower_inputs {
    int64_t slices, patches;
    struct dlm_tensor *pixels; /* f32 [slices * patches, patch_len] */
    struct dlm_tensor *rows;   /* i32 [slices, 4], see attention.c */
    struct dlm_tensor *tables[DLM_TOWER_MAX_TABLES]; /* [slices * patches, cols] each */
};

struct dlm_model {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    const struct dlm_family *family;
    char *dir;             /* checkpoint folder; NULL: random weights */
    bool has_no_files;     /* of a folder whose configs alone count */
    const char *gguf_arch; /* general.architecture of its GGUF file; NULL: of none, or our own */
    bool has_processor;    /* read from a GGUF file; without one and without dir: the default */
    enum dlm_dtype policy; /* storage type of the precision policy */
    struct dlm_weights *weights;
    struct dlm_processor processor;
    struct dlm_tower_shape tower;
    struct dlm_decoder decoder;
    bool is_text;         /* a shape that is shown no image */
    int32_t image_id;     /* stands in the input for a row that the projector gives */
    struct dlm_stops stops;
    struct dlm_sampling_config sampling; /* what answers are chosen by unless a caller says */
    struct dlm_linear_list linears; /* every linear that an adapter may name */
};

/* A model by its sizes alone, for bench. */
struct dlm_model_shape {
    const char *name;
    const char *config; /* what config.json says besides "model_type", as JSON */
    bool is_text;       /* its decoder alone counts: it is shown no image */
};

/* What one model family says about itself; the rest of dlm names no family. */
struct dlm_family {
    const char *model_type; /* of config.json */
    const struct dlm_model_shape *shapes; /* at least one, up to a NULL name */
    size_t model_bytes;     /* of its struct, whose first member is a struct dlm_model */
    struct dlm_name_map names;
    /* Module path of the language model: what target names and "all-linear" mean lies below it. */
    const char *language;
    /* Regex of the usual targets, by which adapter_config.json names them. */
    const char *usual_targets;
    /* What a checkpoint may hold though the graphs leave it out: prefixes of canonical names, up to
     * NULL. Of anything else that is left over a warning tells. */
    const char *const *spare;
    const struct dlm_processor *processor; /* what preprocessor_config.json need not say */
    const struct dlm_gguf_family *gguf; /* as a GGUF file has it; NULL: none can */
    /* Fills the configs, the tower's shape and the ids of m from config.json, and checks them
     * against m->processor, which is read. path is for messages. */
    enum dlm_status (*read_config)(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                   struct dlm_model *m);
    /* Declares every weight and lists the linears. */
    enum dlm_status (*declare)(struct dlm_model *m);
    /* Frees what its struct holds besides the base; m may be half built. */
    void (*finish)(struct dlm_model *m);
    /* Adds the tokens that the family's processor adds to a tokenizer without them. NULL: none. */
    enum dlm_status (*add_tokens)(struct dlm_ctx *ctx, struct dlm_tokenizer *tok);
    bool has_one_image_size; /* plan_image does not ask for the size */
    bool has_one_image;   /* a document's row shows no more than one */
    bool has_system_turn; /* encode takes one */
    bool has_prefix; /* images and request see each other both ways: they cannot be learned */
    /* What an image of this size becomes. No pixels, no weights: DLM_ERR_INVALID is a size that
     * the family refuses. */
    enum dlm_status (*plan_image)(struct dlm_ctx *ctx, const struct dlm_model *m,
                                  const struct dlm_image_size *size, struct dlm_image_plan *plan);
    /* The whole input of a conversation; plans: of its images, in the order of their parts. What
     * in held before goes. */
    enum dlm_status (*encode)(struct dlm_ctx *ctx, const struct dlm_model *m,
                              const struct dlm_tokenizer *tok,
                              const struct dlm_conversation *conversation,
                              const struct dlm_image_plan *plans, struct dlm_input *in);
    /* Positions of the tokens, [len][3] (a family with one axis gives three times the same), and
     * that of the token after them, *next, from which generation counts on. */
    void (*positions)(const struct dlm_model *m, const struct dlm_example *e, int32_t (*at)[3],
                      int32_t *next);
    /* rows [plan->patches, patch_len] of pixel_values, in the order that the tower and the
     * projector want. */
    void (*fill_patches)(const struct dlm_model *m, const struct dlm_image_plan *plan,
                         const float *pixels, float *rows);
    /* The tower's k-th table for a slice: rows [grid_h * grid_w, cols]. NULL without tables. */
    void (*fill_table)(const struct dlm_model *m, const struct dlm_image_plan *plan, int k,
                       void *rows);
    /* Features f32 [slices * patches, width]. */
    struct dlm_tensor *(*build_tower)(struct dlm_build *b, const struct dlm_model *m,
                                      const struct dlm_tower_inputs *in);
    /* features [N, tower width] -> [N / merge, decoder hidden] */
    struct dlm_tensor *(*project)(struct dlm_build *b, const struct dlm_model *m,
                                  struct dlm_tensor *features);
};

#define DLM_FAMILY_DECLARE(name) extern const struct dlm_family dlm_family_##name;
DLM_FAMILY_LIST(DLM_FAMILY_DECLARE)
#undef DLM_FAMILY_DECLARE

/* Opens the checkpoint folder: reads the configs, maps and checks the files, declares the weights.
 * Loads none. policy DLM_DTYPE_COUNT: chosen by the files (bf16 for f32 files over 4 GB). quant
 * NULL: no weight is quantised that is not so in the files.
 * Borrows device. DLM_ERR_UNSUPPORTED: a family that dlm does not know. */
enum dlm_status dlm_model_open(struct dlm_ctx *ctx, struct dlm_model **out,
                               struct dlm_device *device, const char *dir, enum dlm_dtype policy,
                               const struct dlm_quant_policy *quant) DLM_CHECK_RESULT;

/* The same as a model of this family, whatever config.json says and though it is on no list. The
 * policy is chosen by the files. For families that are made for tests. */
enum dlm_status dlm_model_open_as(struct dlm_ctx *ctx, struct dlm_model **out,
                                  struct dlm_device *device, const char *dir,
                                  const struct dlm_family *family) DLM_CHECK_RESULT;

/* A model from the members of a config.json alone: plans and budgets are those of its checkpoint,
 * weights are random numbers if they are loaded. path is for messages. Borrows device; config until
 * return. */
enum dlm_status dlm_model_open_config(struct dlm_ctx *ctx, struct dlm_model **out,
                                      struct dlm_device *device, const json_t *config,
                                      const char *path, enum dlm_dtype policy,
                                      const struct dlm_quant_policy *quant) DLM_CHECK_RESULT;

/* The same from the configs of a folder, be weights beside them or not. DLM_ERR_UNSUPPORTED: one in
 * 4 bits, of which only its files say which weights are. */
enum dlm_status dlm_model_open_outline(struct dlm_ctx *ctx, struct dlm_model **out,
                                       struct dlm_device *device, const char *dir,
                                       enum dlm_dtype policy,
                                       const struct dlm_quant_policy *quant) DLM_CHECK_RESULT;

/* Configuration and processor of a checkpoint folder alone, without device or weights: enough to
 * plan images and to encode. dir NULL: the first family's defaults. */
enum dlm_status dlm_model_read_folder(struct dlm_ctx *ctx, struct dlm_model **out,
                                      const char *dir) DLM_CHECK_RESULT;

/* Random weights in a known shape ("paligemma-3b-224"), for bench. layers: so many of the
 * decoder's; 0: all. DLM_ERR_USAGE: no such shape, or it has fewer. */
enum dlm_status dlm_model_open_shape(struct dlm_ctx *ctx, struct dlm_model **out,
                                     struct dlm_device *device, const char *shape, int64_t layers,
                                     enum dlm_dtype policy,
                                     const struct dlm_quant_policy *quant) DLM_CHECK_RESULT;

/* The same as its released files are: of a type, as config.json says it ("bfloat16"). */
enum dlm_status dlm_model_open_released(struct dlm_ctx *ctx, struct dlm_model **out,
                                        struct dlm_device *device, const char *shape,
                                        const char *file_dtype, enum dlm_dtype policy,
                                        const struct dlm_quant_policy *quant) DLM_CHECK_RESULT;
void dlm_model_destroy(struct dlm_model **model);

/* Adds the tokens that the family's processor adds, if any. */
enum dlm_status dlm_model_add_tokens(const struct dlm_model *m,
                                     struct dlm_tokenizer *tok) DLM_CHECK_RESULT;

/* The linear of a canonical module path, NULL if adapters cannot name it. */
const struct dlm_linear *dlm_model_find_linear(const struct dlm_model *m, const char *path);

/* True for a token that ends an answer. */
bool dlm_model_is_stop(const struct dlm_model *m, int32_t id);

/* The modules that spec matches, as LoRA modules; spec's names mean modules of the language model
 * unless it says below what. DLM_ERR_INVALID: it matches none. */
enum dlm_status dlm_model_make_lora(struct dlm_model *m, struct dlm_lora **out,
                                    const struct dlm_target_spec *spec,
                                    const struct dlm_lora_params *params) DLM_CHECK_RESULT;

/* LoRA modules exactly as an adapter on disk has them, with its values. */
enum dlm_status dlm_model_read_lora(struct dlm_model *m, struct dlm_lora **out,
                                    const struct dlm_adapter *adapter) DLM_CHECK_RESULT;

/* Says that what the device computed of the model is no number: DLM_ERR_INVALID. */
enum dlm_status dlm_model_not_finite(const struct dlm_model *model,
                                     const char *what) DLM_CHECK_RESULT;

/* True when an adapter module lies in the vision tower, which then is part of the step. */
bool dlm_model_trains_tower(const struct dlm_model *m, const struct dlm_lora *lora);

#endif
