/* Marks of the public functions. Every header of include/dlm is C11 and C++. */
#ifndef DLM_API_H
#define DLM_API_H

#if defined(__GNUC__)
#define DLM_API __attribute__((visibility("default")))
#define DLM_CHECK_RESULT __attribute__((warn_unused_result))
#else
#define DLM_API
#define DLM_CHECK_RESULT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0": of the library that runs, not of the headers. */
DLM_API const char *dlm_version_text(void);

/* Frees a text that a function of this library returned as owned. Accepts NULL. */
DLM_API void dlm_text_free(char *text);

#ifdef __cplusplus
}
#endif

#endif
