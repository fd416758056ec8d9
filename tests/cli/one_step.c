/* A training run in the middle of a step that lasts: draws the progress line for the step before,
 * and is killed a second later. */
#include <unistd.h>

#include "progress.h"

int main(void)
{
    static struct dlm_progress progress;

    dlm_progress_init(&progress);
    dlm_progress_step(&progress, &(struct dlm_train_progress){
        .step = 3, .steps = 20, .loss = 1.5, .lr = 1e-4, .tokens_per_sec = 100,
        .seconds_left = 60});
    sleep(1);
    _exit(0); /* without a last drawing */
}
