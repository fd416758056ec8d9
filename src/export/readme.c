/* README.md of an export: Markdown with a program that runs as it stands. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "dlm/image_size.h"
#include "export/snapshot.h"

const char dlm_export_rationale[] =
    "adapter and processor as transformers and PEFT read them, for every base; its weights are "
    "loaded from where they lie";

/* Text as a string of Python, which reads JSON's escapes alike. */
static enum dlm_status append_literal(struct dlm_ctx *ctx, struct dlm_str *out, const char *text)
{
    json_t *value = json_string(text);
    char *quoted = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    enum dlm_status st = quoted ? dlm_str_appendz(ctx, out, quoted)
                                : dlm_fail(ctx, DLM_ERR_INVALID, "cannot export a path that is no "
                                           "UTF-8: '%s'", text);

    free(quoted);
    json_decref(value);
    return st;
}

/* transformers does not read GGUF files with a tower: what they were made of, it does. */
static const char *base_name(const struct dlm_base *base)
{
    if (base->mmproj)
        return base->source ? base->source : "the checkpoint that the GGUF files were made of";
    return base->hf_id ? base->hf_id : base->dir;
}

/* What from_pretrained() takes; a path goes into code alone, where nothing in it is markup. */
static enum dlm_status append_base(struct dlm_ctx *ctx, const struct dlm_base *base,
                                   struct dlm_str *out)
{
    enum dlm_status st = append_literal(ctx, out, base_name(base));

    if (!st && base->hf_id && base->revision)
        st = dlm_str_appendf(ctx, out, ", revision=\"%s\"", base->revision);
    return st;
}

/* The licence of the base's weights, where it is known. */
static enum dlm_status append_license(struct dlm_ctx *ctx, const struct dlm_base_row *row,
                                      struct dlm_str *out)
{
    const char *text = !row ? NULL : row->license_url ? row->license_url : row->license_spdx;

    return text ? dlm_str_appendf(ctx, out, " (licence: %s)", text) : DLM_OK;
}

static enum dlm_status append_target(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                     struct dlm_str *out)
{
    const struct dlm_base *base = job->base;
    enum dlm_status st;

    if (base->hf_id)
        st = dlm_str_appendf(ctx, out, "Target: **%s** (%s @ %.12s)\n",
                             base->row ? base->row->key : base->hf_id, base->hf_id,
                             base->revision ? base->revision : "main");
    else
        st = dlm_str_appendf(ctx, out, "Target: **%s**\n",
                             base->row      ? base->row->key
                             : base->mmproj ? "a base in GGUF"
                                            : "a base in a folder of its own");
    return st ? st : dlm_str_appendf(ctx, out, "Adapter version: v%04lld\n\n",
                                     (long long)job->version);
}

static enum dlm_status append_head(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                   struct dlm_str *out)
{
    static const char snapshot[] =
        "`adapter/` is a PEFT adapter, `processor/` holds the base's own files for images and "
        "text,\n`snapshot_manifest.json` the SHA-256 of each file. The base's weights are not in "
        "here: they are\nloaded ";
    static const char alone[] =
        "`adapter/` is a PEFT adapter, `snapshot_manifest.json` has the SHA-256 of each file. The "
        "base was\nGGUF files, and neither its weights nor its processor are in here: both are "
        "loaded from\nthe checkpoint that the files were made of";
    static const char merged[] =
        "The base's weights with the adapter folded in, and the base's own files beside them;\n"
        "`export_manifest.json` has the SHA-256 of each file. The weights fall under the licence "
        "of the base";
    static const char gguf[] =
        "A language model with the adapter folded in, and the tower with its projector, through "
        "which it sees;\n`export_manifest.json` has the SHA-256 of each file. The weights fall "
        "under the licence of the base";
    static const char lora[] =
        "`adapter.gguf` is a LoRA adapter of the language model, which llama.cpp lays over GGUF "
        "files of\nthe base; `export_manifest.json` has its SHA-256. The base's weights are not in "
        "here";
    const struct dlm_base *base = job->base;

    enum dlm_status st =
        dlm_str_appendz(ctx, out, job->is_gguf        ? "# GGUF export\n\n"
                                  : job->is_gguf_lora ? "# GGUF adapter\n\n"
                                  : job->is_merged    ? "# Merged weights\n\n"
                                                      : "# HF-snapshot export\n\n");
    if (!st)
        st = append_target(ctx, job, out);
    if (!st)
        st = dlm_str_appendz(ctx, out, job->is_gguf        ? gguf
                                       : job->is_gguf_lora ? lora
                                       : job->is_merged    ? merged
                                       : base->mmproj      ? alone
                                                           : snapshot);
    if (!st && !job->is_merged && !job->is_gguf && !job->is_gguf_lora)
        st = dlm_str_appendz(ctx, out, base->mmproj  ? ""
                                       : base->hf_id ? "from the Hugging Face hub"
                                                     : "from where they lay when this was "
                                                       "written");
    if (!st)
        st = append_license(ctx, base->row, out);
    return st ? st : dlm_str_appendz(ctx, out, ".\n\n");
}

/* Images as they were in training, where the processor by itself would make them otherwise. */
static enum dlm_status append_image(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                    struct dlm_str *out)
{
    const long long side = job->image_size;
    enum dlm_status st;

    if (side > 0 && job->model->processor.size_rule == DLM_SIZE_LONGEST) {
        st = dlm_str_appendf(ctx, out, "processor.image_processor.size = {\"longest_edge\": %lld}  "
                             "# as in training\n", side);
        if (!st)
            st = dlm_str_appendz(ctx, out, "image = Image.open(\"image.png\").convert(\"RGB\")\n");
        return st;
    }
    st = dlm_str_appendz(ctx, out, "image = Image.open(\"image.png\").convert(\"RGB\")\n");
    if (!st && side > 0 && job->model->processor.size_rule == DLM_SIZE_AREA)
        st = dlm_str_appendf(ctx, out, "image = image.resize((%lld, %lld), Image.BICUBIC)  "
                             "# as in training\n", side, side);
    return st;
}

static enum dlm_status append_question(struct dlm_ctx *ctx, const struct dlm_export_about *about,
                                       struct dlm_str *out)
{
    static const char chat[] =
        "question = [{\"type\": \"image\", \"image\": image},\n"
        "            {\"type\": \"text\", \"text\": \"What is this?\"}]\n"
        "inputs = processor.apply_chat_template([{\"role\": \"user\", \"content\": question}],\n"
        "                                       add_generation_prompt=True, tokenize=True,\n"
        "                                       return_dict=True, return_tensors=\"pt\")\n";
    static const char call[] =
        "inputs = processor(text=text, images=image, return_tensors=\"pt\")\n";

    static const char take[] = "processor.chat_template = processor.tokenizer.chat_template\n";
    enum dlm_status st = DLM_OK;

    if (about->is_template_tokenizers)
        st = dlm_str_appendz(ctx, out, take);
    if (!st && about->has_chat_template)
        return dlm_str_appendz(ctx, out, chat);
    if (!st)
        st = dlm_str_appendz(ctx, out, "text = ");
    if (!st && about->image_token) {
        st = append_literal(ctx, out, about->image_token);
        if (!st)
            st = dlm_str_appendz(ctx, out, " + ");
    }
    if (!st)
        st = dlm_str_appendz(ctx, out, "\"What is this?\"\n");
    return st ? st : dlm_str_appendz(ctx, out, call);
}

/* How model and processor are loaded. */
static enum dlm_status append_load(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                   struct dlm_str *out)
{
    static const char merged[] =
        "from PIL import Image\n"
        "from transformers import AutoModelForImageTextToText, AutoProcessor\n\n"
        "model = AutoModelForImageTextToText.from_pretrained(\".\", dtype=\"auto\").eval()\n"
        "processor = AutoProcessor.from_pretrained(\".\")\n\n";
    static const char snapshot[] =
        "from peft import PeftModel\n"
        "from PIL import Image\n"
        "from transformers import AutoModelForImageTextToText, AutoProcessor\n\n"
        "base = AutoModelForImageTextToText.from_pretrained(\n    ";
    static const char adapter[] =
        ", dtype=\"auto\")\n"
        "model = PeftModel.from_pretrained(base, \"adapter\").eval()\n"
        "processor = AutoProcessor.from_pretrained(";

    if (job->is_merged)
        return dlm_str_appendz(ctx, out, merged);
    enum dlm_status st = dlm_str_appendz(ctx, out, snapshot);
    if (!st)
        st = append_base(ctx, job->base, out);
    if (!st)
        st = dlm_str_appendz(ctx, out, adapter);
    if (!st)
        st = append_literal(ctx, out, job->base->mmproj ? base_name(job->base) : "processor");
    return st ? st : dlm_str_appendz(ctx, out, ")\n\n");
}

/* Of the processors that size an image by its shape, transformers has none without it. */
static const char *also_needed(const struct dlm_export_job *job)
{
    const enum dlm_size_rule rule = job->model->processor.size_rule;
    const bool has_torchvision = rule == DLM_SIZE_AREA || rule == DLM_SIZE_LONGEST;

    if (job->is_merged)
        return has_torchvision ? " and torchvision" : "";
    return has_torchvision ? ", torchvision and PEFT" : " and PEFT";
}

static enum dlm_status append_code(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                   const struct dlm_export_about *about, struct dlm_str *out)
{
    static const char answer[] =
        "output = model.generate(**inputs, max_new_tokens=64)\n"
        "answer = output[0, inputs[\"input_ids\"].shape[1]:]\n"
        "print(processor.decode(answer, skip_special_tokens=True))\n"
        "```\n";

    enum dlm_status st = dlm_str_appendf(ctx, out, "With transformers 4.56 or newer%s, in this "
                                         "folder:\n\n```python\n",
                                         also_needed(job));
    if (!st)
        st = append_load(ctx, job, out);
    if (!st)
        st = append_image(ctx, job, out);
    if (!st)
        st = append_question(ctx, about, out);
    return st ? st : dlm_str_appendz(ctx, out, answer);
}

enum dlm_status dlm_export_readme(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                  const struct dlm_export_about *about, struct dlm_str *out)
{
    enum dlm_status st = append_head(ctx, job, out);

    if (!st && (job->is_gguf || job->is_gguf_lora))
        return dlm_export_gguf_command(ctx, job, out);
    if (!st)
        st = append_code(ctx, job, about, out);
    if (st || job->is_merged)
        return st;
    return dlm_str_appendf(ctx, out, "\n## Why HF snapshot (not GGUF)\n\nHere are %s.\n",
                           dlm_export_rationale);
}
