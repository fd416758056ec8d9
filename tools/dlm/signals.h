/* Ctrl-C, SIGTERM and SIGHUP while a command runs. */
#ifndef DLM_TOOL_SIGNALS_H
#define DLM_TOOL_SIGNALS_H

struct dlm_ctx;

/* From now on the first signal cancels what ctx does, and the second ends the process. */
void dlm_signals_catch(struct dlm_ctx *ctx);

/* ctx is about to go: a signal ends the process. */
void dlm_signals_release(void);

#endif
