/* What a value names: help's own words for values say it, so that no table says it twice. */
#include <string.h>

#include "manual.h"

static enum dlm_value_kind kind_of(const char *word)
{
    static const struct {
        const char *word;
        enum dlm_value_kind kind;
    } kinds[] = {
        {"PATH", DLM_VALUE_FILE},    {"FILE", DLM_VALUE_FILE},         {"PICTURE", DLM_VALUE_FILE},
        {"DIR", DLM_VALUE_FOLDER},   {"DOCUMENT", DLM_VALUE_DOCUMENT}, {"KEY", DLM_VALUE_BASE},
        {"BASE", DLM_VALUE_BASE},    {"ADAPTER", DLM_VALUE_FOLDER},
        {"DIR|FILE", DLM_VALUE_TARGET}, {"VERSION", DLM_VALUE_VERSION}, {"vN", DLM_VALUE_VERSION},
    };

    for (size_t i = 0; word && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (!strcmp(kinds[i].word, word))
            return kinds[i].kind;
    return DLM_VALUE_WORD;
}

enum dlm_value_kind dlm_option_value_kind(const struct dlm_option *option)
{
    return option->choices ? DLM_VALUE_CHOICE : kind_of(option->value);
}

enum dlm_value_kind dlm_operand_value_kind(const struct dlm_operand *operand)
{
    return operand->choices ? DLM_VALUE_CHOICE : kind_of(operand->name);
}

void dlm_manual_choices(FILE *file, const char *const *choices)
{
    for (size_t i = 0; choices[i]; i++)
        fprintf(file, "%s%s", i ? " " : "", choices[i]);
}
