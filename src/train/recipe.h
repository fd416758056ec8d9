/* What a run does where its document does not say: rows an update, epochs, learning rate.
 *
 * Documents are small: ten pictures and their names. Eight rows an update and three epochs, which
 * suit thousands of rows, would give such a document a handful of updates, most of them in the
 * warm-up. So updates take fewer rows and epochs follow one another until there are enough updates
 * to learn from. All three are functions of the data and of the model's shape alone. */
#ifndef DLM_TRAIN_RECIPE_H
#define DLM_TRAIN_RECIPE_H

#include <stdint.h>

#define DLM_RECIPE_MAX_BATCH 8     /* rows an update */
#define DLM_RECIPE_MIN_UPDATES 120 /* of a run that may choose its epochs */
#define DLM_RECIPE_MIN_EPOCHS 3
#define DLM_RECIPE_MAX_EPOCHS 60

/* Rows an update: the power of two at or below num_rows / 8, from 1 to 8. */
int64_t dlm_recipe_batch(int64_t num_rows);

/* Epochs of updates_per_epoch updates each. */
int64_t dlm_recipe_epochs(int64_t updates_per_epoch);

/* Peak learning rate of AdamW on LoRA factors for a decoder of this width: 2e-4 at 2048, PEFT's
 * and QLoRA's usual value (Dettmers et al., 2023, table 9), inversely proportional to the width, as
 * Adam's rates for hidden matrices are (Yang et al., 2022, table 8); at most 5e-3. */
double dlm_recipe_lr(int64_t hidden);

#endif
