/* Choices from the size of the data and the model. */
#include "train/recipe.h"

#include "base/attr.h"

#define LR_AT_WIDTH 2e-4
#define WIDTH 2048
#define MAX_LR 5e-3

int64_t dlm_recipe_batch(int64_t num_rows)
{
    int64_t batch = DLM_RECIPE_MAX_BATCH;

    while (batch > 1 && batch * 8 > num_rows)
        batch /= 2;
    return batch;
}

int64_t dlm_recipe_epochs(int64_t updates_per_epoch)
{
    const int64_t enough =
        (DLM_RECIPE_MIN_UPDATES + updates_per_epoch - 1) / DLM_MAX(updates_per_epoch, (int64_t)1);

    return DLM_MIN(DLM_MAX(enough, (int64_t)DLM_RECIPE_MIN_EPOCHS),
                   (int64_t)DLM_RECIPE_MAX_EPOCHS);
}

double dlm_recipe_lr(int64_t hidden)
{
    const double lr = LR_AT_WIDTH * WIDTH / (double)hidden;

    return DLM_MIN(lr, MAX_LR);
}
