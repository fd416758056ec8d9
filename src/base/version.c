/* The version of the library. */
#include "dlm/api.h"

const char *dlm_version_text(void)
{
    return DLM_VERSION;
}
