/* The documents that `dlm init` writes. */
#include <string.h>

#include "doc/doc.h"

#define HEAD                                                                                       \
    "---\n"                                                                                        \
    "dlm_id: %s\n"                                                                                 \
    "dlm_version: %d\n"                                                                            \
    "base_model: %s%s%s\n"                                                                         \
    "---\n"                                                                                        \
    "\n"                                                                                           \
    "# Your document title\n"                                                                      \
    "\n"                                                                                           \
    "Write prose here. It will train via continued pretraining (CPT) loss.\n"                      \
    "\n"

static const char image_part[] =
    "::image path=\"figures/your-image.png\" alt=\"short description\"::\n"
    "Caption text describing the image. A training row shows the image, asks\n"
    "for its caption and learns this text.\n"
    "\n";

static const char instruction_part[] = "::instruction::\n"
                                       "\n"
                                       "### Q\n"
                                       "%s\n"
                                       "\n"
                                       "### A\n"
                                       "%s\n";

enum dlm_status dlm_doc_scaffold(struct dlm_ctx *ctx, enum dlm_doc_scaffold_kind kind,
                                 const char *dlm_id, const char *base_model, struct dlm_str *out)
{
    bool is_multimodal = kind == DLM_DOC_SCAFFOLD_MULTIMODAL;
    /* Only a path can need quotes; single ones, which take every character but themselves. */
    const char *quote = strpbrk(base_model, " #\"") && !strchr(base_model, '\'') ? "'" : "";

    /* Images came with version 10; text documents carry the first version, as ever. */
    enum dlm_status st =
        dlm_str_appendf(
        ctx, out, HEAD, dlm_id, is_multimodal ? 10 : 1, quote, base_model, quote);
    if (!st && is_multimodal)
        st = dlm_str_appendz(ctx, out, image_part);
    if (!st)
        st = dlm_str_appendf(ctx, out, instruction_part,
                             is_multimodal ? "What is in this image?" : "Your example question.",
                             is_multimodal ? "Describe what the image shows."
                                           : "Your example answer.");
    return st;
}
