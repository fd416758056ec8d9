/* What kinds of GGUF files are called, and how they are run. */
#include <ctype.h>
#include <stdio.h>

#include "export/snapshot.h"

const char dlm_export_llama_cpp[] = "0c1e57098";

const char *dlm_export_llama_cpp_of(const struct dlm_export_job *job)
{
    return job->model->family->gguf->is_own ? NULL : dlm_export_llama_cpp;
}

void dlm_export_gguf_name(enum dlm_gguf_quant quant, char out[16])
{
    snprintf(out, 16, "%s", dlm_gguf_quant_name(quant));
    for (char *p = out; *p; p++)
        *p = (char)toupper((unsigned char)*p);
}

enum dlm_gguf_quant dlm_export_gguf_vision(enum dlm_gguf_quant quant)
{
    return quant == DLM_GGUF_QUANT_F32 || quant == DLM_GGUF_QUANT_BF16 ||
                   quant == DLM_GGUF_QUANT_Q8_0
               ? quant : DLM_GGUF_QUANT_F16;
}

/* llama.cpp resizes images by rules of its own, and knows no size of training. */
static enum dlm_status append_size(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                   struct dlm_str *out)
{
    const bool is_square = job->model->processor.size_rule == DLM_SIZE_AREA;
    const long long side = job->image_size;

    if (side <= 0 || job->model->processor.size_rule == DLM_SIZE_FIXED)
        return DLM_OK;
    return dlm_str_appendf(ctx, out, "\nIn training, images were %s %lld x %lld pixels. llama.cpp "
                           "makes them larger or smaller by other rules:\n`image.png` should be of "
                           "that size.\n", is_square ? "resized to" : "shrunk to fit into", side,
                           side);
}

enum dlm_status dlm_export_gguf_command(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                        struct dlm_str *out)
{
    char text[16], vision[16];
    enum dlm_status st;

    if (job->is_gguf_lora) {
        st = dlm_str_appendf(ctx, out, "With llama.cpp (%s or newer), beside GGUF files of the "
                             "base itself:\n\n```sh\nllama-mtmd-cli -m BASE.gguf --mmproj "
                             "MMPROJ.gguf --lora adapter.gguf \\\n"
                             "    --jinja --image image.png -p \"What is this?\"\n```\n",
                             dlm_export_llama_cpp);
        return st ? st : append_size(ctx, job, out);
    }
    dlm_export_gguf_name(job->quant, text);
    dlm_export_gguf_name(dlm_export_gguf_vision(job->quant), vision);
    if (job->model->family->gguf->is_own)
        return dlm_str_appendf(ctx, out, "llama.cpp has no such model. With dlm, in this folder:"
                               "\n\n```sh\ndlm prompt --base gguf:base.%s.gguf --mmproj "
                               "mmproj.%s.gguf \\\n    --image image.png \"What is this?\""
                               "\n```\n", text, vision);
    st = dlm_str_appendf(ctx, out, "With llama.cpp (%s or newer), in this folder:\n\n```sh\n"
                         "llama-mtmd-cli -m base.%s.gguf --mmproj mmproj.%s.gguf \\\n"
                         "    --jinja --image image.png -p \"What is this?\"\n```\n",
                         dlm_export_llama_cpp, text, vision);
    if (!st)
        st = append_size(ctx, job, out);
    return st ? st
              : dlm_str_appendz(ctx, out, "\nWith ollama, which reads the conversation's form in "
                                "`Modelfile`:\n\n```sh\nollama create NAME -f Modelfile\n"
                                "ollama run NAME \"What is this? ./image.png\"\n```\n");
}
