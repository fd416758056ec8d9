/* The text of each status code. */
#include "dlm/status.h"

#include "base/attr.h"

const char *dlm_status_text(enum dlm_status status)
{
    static const char *const texts[] = {
#define STATUS_TEXT(name, text) [name] = text,
        DLM_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    };

    if ((unsigned)status >= DLM_ARRAY_LEN(texts))
        return "unknown status";
    return texts[status];
}
