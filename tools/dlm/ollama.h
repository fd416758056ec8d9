/* ollama, which makes a model of exported files: another program, that may not be here. */
#ifndef DLM_TOOL_OLLAMA_H
#define DLM_TOOL_OLLAMA_H

#include "cli.h"

/* Whether there is one among the folders of PATH. */
bool dlm_ollama_is_here(void);

/* Whether it takes the text as a name: letters, digits and . _ - : /, no - first. */
bool dlm_ollama_is_name(const char *name);

/* `ollama create NAME -f FOLDER/Modelfile`, which tells of itself on standard error. Waits for its
 * end; a signal that ends this program ends it first. Returns an exit code; what fails is said,
 * with the command to type. */
int dlm_ollama_create(struct dlm_cli *cli, const char *name, const char *folder);

/* What `ollama --version` says, "0.5.7". False: it says nothing of the kind, or not soon. */
#define DLM_OLLAMA_VERSION_BYTES 64
bool dlm_ollama_version(struct dlm_cli *cli, char version[DLM_OLLAMA_VERSION_BYTES]);

/* Says the command. */
void dlm_ollama_say(struct dlm_cli *cli, const char *name, const char *folder);

#endif
