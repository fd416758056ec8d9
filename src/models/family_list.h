/* The model families: X(name). Each is defined in its own file as dlm_family_<name>. */
#ifndef DLM_MODELS_FAMILY_LIST_H
#define DLM_MODELS_FAMILY_LIST_H

#define DLM_FAMILY_LIST(X) \
    X(paligemma)           \
    X(qwen2_vl)            \
    X(mistral3)

#endif
