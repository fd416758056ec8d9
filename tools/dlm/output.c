/* Printing of numbers and JSON strings, and names that several commands choose from or read. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* In the order of the enums. */
const char *const dlm_backend_choices[] = {"auto", "cpu", "opencl", "vulkan", NULL};
const char *const dlm_precision_choices[] = {"auto", "fp32", "bf16", "fp16", NULL};
const char *const dlm_quant_choices[] = {"auto", "none", "q8_0", "nf4", "nf4_dq", NULL};
const char *const dlm_quant_scope_choices[] = {"auto", "decoder", "linears", "all", NULL};
const char *const dlm_image_size_choices[] = {"pinned", "native", NULL};

void dlm_print_text(FILE *file, const char *text)
{
    for (const char *c = text; *c; c++) {
        const bool is_control = (unsigned char)*c < 0x20 || *c == 0x7f;
        fputc(is_control && *c != '\n' && *c != '\t' ? '?' : *c, file);
    }
}

void dlm_quote(const char *path, char *out, size_t bytes)
{
    size_t len = 0;

    for (; *path && len + 6 < bytes; path++) {
        if (*path == '\'') {
            memcpy(out + len, "'\\''", 4);
            len += 4;
        } else {
            out[len++] = *path;
        }
    }
    out[len] = '\0';
}

void dlm_print_number(FILE *file, double x)
{
    char text[40];

    if (!isfinite(x)) {
        fputs("null", file);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    fputs(text, file);
    if (!strpbrk(text, ".e"))
        fputs(".0", file);
}

void dlm_print_json_string(FILE *file, const char *text)
{
    fputc('"', file);
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(file, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            fprintf(file, "\\u%04x", (unsigned char)*c);
        else
            fputc(*c, file);
    }
    fputc('"', file);
}

bool dlm_cli_is_document(const char *base)
{
    const size_t len = base ? strlen(base) : 0;

    return len > 4 && !strcmp(base + len - 4, ".dlm") && strncmp(base, "dir:", 4) &&
           strncmp(base, "hf:", 3) && strncmp(base, "gguf:", 5);
}
