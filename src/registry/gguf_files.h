/* The two files of a base that a document names as gguf:PATH. Private to src/registry. */
#ifndef DLM_REGISTRY_GGUF_FILES_H
#define DLM_REGISTRY_GGUF_FILES_H

#include "registry/registry.h"

/* Sets base->dir to the language model's file and base->mmproj to the tower's, absolute. path and
 * mmproj are relative to the working folder; mmproj NULL: the one beside the language model whose
 * name has "mmproj" in it. DLM_ERR_IO: they are not there, or several are. */
enum dlm_status dlm_gguf_files_find(struct dlm_ctx *ctx, struct dlm_base *base, const char *path,
                                    const char *mmproj) DLM_CHECK_RESULT;

#endif
