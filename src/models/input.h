/* A model's input as text: what every family's encoder takes. */
#ifndef DLM_MODELS_INPUT_H
#define DLM_MODELS_INPUT_H

#include "tokens/tokenizer.h"

/* Everything is borrowed until return; texts are UTF-8. */
struct dlm_input_text {
    int64_t num_images, tokens_per_image;
    const char *prefix;
    size_t prefix_len;
    bool prefix_newline; /* "\n" follows the prefix, and is tokenized with it */
    const char *suffix;  /* NULL: a prompt */
    size_t suffix_len;
};

#endif
