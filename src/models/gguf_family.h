/* A family's weights as llama.cpp has them: names of tensors, what happens to their rows, and what
 * the files say besides. A family states it in src/models/<family>_gguf.c; files are written by it
 * (src/export) and read (models/gguf_model.h). */
#ifndef DLM_MODELS_GGUF_FAMILY_H
#define DLM_MODELS_GGUF_FAMILY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "dlm/ctx.h"
#include "gguf/reader.h"

/* What happens to a weight's rows. Of a vector each element is a row. */
enum dlm_gguf_move {
    DLM_GGUF_MOVE_NONE,
    DLM_GGUF_MOVE_HEADS,    /* halves of a head's rows interleaved: 0, d/2, 1, d/2 + 1, ... */
    DLM_GGUF_MOVE_KV_HEADS, /* the same of keys' heads */
    DLM_GGUF_MOVE_PART,     /* those of one of three parts, q, k or v */
    DLM_GGUF_MOVE_FRAME,    /* those of one time step: [O, C, T, h, w] becomes [O, C, h, w] */
    DLM_GGUF_MOVE_ROW,      /* one row: that of a token */
    DLM_GGUF_MOVE_AWAY,     /* none: the tensor stands for no weight. Of files that are read */
};

/* '*' is the number of a layer, in both names or in neither; ".?" at the end is ".weight" or
 * ".bias"; '@' at the beginning is the language model, '^' alone the head's weight. */
struct dlm_gguf_rule {
    const char *from; /* canonical: weights/names.h */
    const char *to;
    enum dlm_gguf_move move;
    int part; /* of DLM_GGUF_MOVE_PART and _FRAME */
};

/* Of a file that a family becomes: its language model, or its tower with the projector. */
struct dlm_gguf_rules {
    const struct dlm_gguf_rule *rules;
    size_t num;
};

/* A tower as its file describes it. */
struct dlm_gguf_vision {
    int64_t image, patch, width, intermediate, layers, heads;
    int64_t merge; /* 0: llama.cpp knows it */
    uint32_t act;  /* DLM_ACT_* */
    double eps;
};

/* What two files say of a model that is read. */
struct dlm_gguf_told {
    const struct dlm_gguf *text, *tower;
    const char *arch; /* of the language model: one of the family's */
    struct dlm_gguf_vision vision;
    int64_t hidden; /* width of the language model */
    bool is_old;    /* the tower's tensors have the names of old_vision, where that has one */
};

struct dlm_gguf_family {
    const char *arch;        /* general.architecture of the language model */
    const char *other_arch;  /* what some files call it instead; NULL: none does */
    bool is_own; /* llama.cpp has no such model: files for dlm alone. What follows the rules below,
                    and what is said of tokens and chats, is not used */
    const char *head;        /* the weight of its head: canonical */
    const char *projector;   /* clip.projector_type */
    bool has_untold_mlp; /* clip.vision.feed_forward_length is no size; 0 in older files */
    const char *pretokenizer; /* tokenizer.ggml.pre, which stands for the next three */
    const char *normalizer;   /* type of the tokenizer.json's normalizer; NULL: none */
    const char *pieces;       /* expression of what text is cut into before BPE */
    bool ignores_merges;      /* a piece that is a token is taken whole */
    const char *image_token; /* stands in the input for a row that the projector gives */
    const char *const *ends; /* tokens that end an answer as well as tokenizer.ggml.eos_token_id;
                                up to NULL */
    const char *row_token; /* whose row of the embedding is in the tower's file; NULL: none */
    bool interleaves_heads;  /* of the language model: rotary pairs are neighbours in llama.cpp */
    bool has_more_keys;      /* a head's size and that of the vocabulary are stated */
    int64_t context;         /* tokens, where config.json does not say */
    const struct dlm_gguf_rules *text, *vision;
    const struct dlm_gguf_rules *old_vision; /* other names in older files; NULL: there are none */
    /* A conversation as a template of Go, as ollama has them: what the family's encode makes of it,
     * but for what llama.cpp puts around images and before all. */
    const char *chat;
    const char *const *stops; /* texts that end an answer besides the base's own, up to NULL */
    /* From config.json; path is for messages. DLM_ERR_UNSUPPORTED: it asks for what llama.cpp does
     * not compute, in the tower or elsewhere. */
    enum dlm_status (*read_vision)(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                   struct dlm_gguf_vision *v);
    /* The other way: adds to a config.json that has "model_type" and "text_config" what only this
     * family's has. May set told->is_old. */
    enum dlm_status (*write_config)(struct dlm_ctx *ctx, struct dlm_gguf_told *told,
                                    json_t *config);
};

/* Of decoders whose modules have the names of LLaMA's. */
extern const struct dlm_gguf_rules dlm_gguf_decoder;

#endif
