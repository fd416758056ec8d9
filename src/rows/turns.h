/* A conversation in no model's words: who says what, text and images in order. Rows hold it, the
 * command line makes it, and a model family encodes it. */
#ifndef DLM_ROWS_TURNS_H
#define DLM_ROWS_TURNS_H

#include <stddef.h>

enum dlm_part_kind {
    DLM_PART_TEXT,
    DLM_PART_IMAGE,           /* the conversation's next image */
    DLM_PART_CAPTION_REQUEST, /* that the image be described, in the family's own words */
};

struct dlm_part {
    enum dlm_part_kind kind;
    const char *text; /* of DLM_PART_TEXT: UTF-8; a NUL inside it is possible */
    size_t len;
};

enum dlm_turn_role {
    DLM_TURN_SYSTEM,
    DLM_TURN_USER,
    DLM_TURN_ASSISTANT, /* learned */
    DLM_TURN_PROSE,     /* text that nobody says, learned too; stands alone */
};

struct dlm_turn {
    enum dlm_turn_role role;
    const struct dlm_part *parts;
    size_t num_parts;
};

/* One that ends with a user's turn is a prompt: what follows is the answer. */
struct dlm_conversation {
    const struct dlm_turn *turns;
    size_t num_turns;
};

#endif
