/* The documents that `dlm init` writes. */
#include <string.h>

#include "doc/doc_impl.h"

static const char head_part[] =
    "---\n"
    "\n"
    "# Your document title\n"
    "\n"
    "Write prose here. It will train via continued pretraining (CPT) loss.\n"
    "\n";

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

static enum dlm_status append_base(struct dlm_ctx *ctx, const char *base_model, const char *mmproj,
                                   struct dlm_str *out)
{
    enum dlm_status st = dlm_str_appendz(ctx, out, "base_model: ");

    /* The colon of hf:, dir: and gguf: needs no quotes, though the canonical text has them. */
    if (!st)
        st = strpbrk(base_model, " #\"'\n") ? dlm_doc_write_string(ctx, base_model, out)
                                            : dlm_str_appendz(ctx, out, base_model);
    if (!st && mmproj)
        st = dlm_str_appendz(ctx, out, "\nmmproj: ");
    if (!st && mmproj)
        st = dlm_doc_write_string(ctx, mmproj, out);
    return st ? st : dlm_str_appendz(ctx, out, "\n");
}

enum dlm_status dlm_doc_scaffold(struct dlm_ctx *ctx, enum dlm_doc_scaffold_kind kind,
                                 const char *dlm_id, const char *base_model, const char *mmproj,
                                 struct dlm_str *out)
{
    bool is_multimodal = kind == DLM_DOC_SCAFFOLD_MULTIMODAL;

    /* Images came with version 10; text documents carry the first version, as ever. */
    enum dlm_status st = dlm_str_appendf(ctx, out, "---\ndlm_id: %s\ndlm_version: %d\n", dlm_id,
                                         is_multimodal ? 10 : 1);
    if (!st)
        st = append_base(ctx, base_model, mmproj, out);
    if (!st)
        st = dlm_str_appendz(ctx, out, head_part);
    if (!st && is_multimodal)
        st = dlm_str_appendz(ctx, out, image_part);
    if (!st)
        st = dlm_str_appendf(ctx, out, instruction_part,
                             is_multimodal ? "What is in this image?" : "Your example question.",
                             is_multimodal ? "Describe what the image shows."
                                           : "Your example answer.");
    return st;
}
