/* The files that a base is made of, by name: what is fetched, and what an export passes on. */
#ifndef DLM_REGISTRY_BASE_FILES_H
#define DLM_REGISTRY_BASE_FILES_H

enum dlm_base_file {
    DLM_BASE_FILE_NONE,      /* no part of a base */
    DLM_BASE_FILE_CONFIG,    /* config.json, and how answers are chosen */
    DLM_BASE_FILE_PROCESSOR, /* images, tokenizer, chat template */
    DLM_BASE_FILE_LICENSE,
    DLM_BASE_FILE_INDEX,     /* which shard holds which weight */
    DLM_BASE_FILE_WEIGHTS,
};

/* What the file of this name is; a name with a folder is none. Another form of the weights beside
 * them (Mistral's consolidated.safetensors, a variant in another type) is none, either. */
enum dlm_base_file dlm_base_file_of(const char *name);

#endif
