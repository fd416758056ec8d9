/* A budget as lines or as JSON, beside the figures that the Python dlm's documents give. */
#include <stdio.h>
#include <string.h>

#include "api/doctor_budget.h"
#include "base/json.h"
#include "base/log.h"

/* The figures of the Python dlm's documents for a base, in GB of 1e9 bytes; 0: none is given. */
struct documented {
    const char *key;
    double base, adapter;
    double activations[3], peak[3]; /* inference; training with 1 and with 4 rows, checkpointed */
    const char *floor;
};

/* Weights, adapter of rank 16, AdamW with a second copy of its parameters, activations and
 * checkpoints of bf16; floors are the smallest hosts. */
static const struct documented table[] = {
    {"paligemma-3b-mix-224", 6.5, 0.04, {0.4, 2.0, 8.0}, {7.0, 10.0, 16.5},
     "16 GB of unified memory or a card of 12 GB for batch 1, a card of 24 GB for batch 4"},
    {"qwen2-vl-2b-instruct", 4.5, 0.03, {0.8, 3.2, 12.8}, {5.4, 7.8, 17.4},
     "16 GB of unified memory for batch 1, a card of 24 GB for batch 4"},
    {"internvl2-2b", 4.4, 0.03, {0.3, 1.5, 6.0}, {4.8, 6.0, 10.5},
     "a card of 12 GB for batch 1, of 16 GB or 16 GB of unified memory for batch 4"},
    {"internvl3-2b", 4.4, 0.03, {0.3, 1.5, 6.0}, {4.8, 6.0, 10.5},
     "a card of 12 GB for batch 1, of 16 GB or 16 GB of unified memory for batch 4"},
    {"mistral-small-3.1-24b-instruct", 48, 0, {0}, {0}, "a card of more than 48 GB"},
};

/* NULL: the documents say nothing of it. */
static const struct documented *find_documented(const char *key)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(table); i++)
        if (!strcmp(table[i].key, key))
            return &table[i];
    return NULL;
}

/* The parts of a budget, in the order of columns. */
static const struct {
    const char *title, *key;
    size_t offset;
} parts[] = {
#define PART(title, member) {title, #member "_bytes", offsetof(struct dlm_budget, member)}
    PART("weights", weights),
    PART("vision", vision),
    PART("adapter", adapter),
    PART("optimizer", optimizer),
    PART("activations", activations),
    PART("KV cache", cache),
    PART("inputs", inputs),
#undef PART
};

static uint64_t part_of(const struct dlm_budget *budget, size_t i)
{
    return *(const uint64_t *)((const char *)budget + parts[i].offset);
}

static const struct dlm_device_caps *caps_of(const struct dlm_doctor_budget *b)
{
    return dlm_device_get_caps(b->s->device);
}

/* The device can run the document's line, or else some line of training, and that fits or nobody
 * knows. */
static bool can_fit(const struct dlm_doctor_budget *b)
{
    const struct dlm_doctor_line *first = &b->lines[0];
    const uint64_t room = dlm_budget_room(b->s->device);
    const uint64_t bytes = !first->is_document ? b->facts.planned_bytes
                           : *first->misfit    ? 0
                                               : dlm_budget_total(&first->budget);

    return bytes && (!room || bytes <= room);
}

/* --- lines --- */

#define GIB 0x1p30
#define MIB 0x1p20
#define LABEL "%-16s"
#define FIRST "%-25s"
#define CELL " %11.3f"

/* The base, or what of it is not here, is the hub's. */
static bool can_pull(const struct dlm_doctor_budget *b)
{
    const struct dlm_base *base = &b->s->base;

    return base->hf_id && (!base->dir || b->s->model->has_no_files);
}

static enum dlm_status append_subject(const struct dlm_doctor_budget *b, struct dlm_str *out)
{
    const struct dlm_base *base = &b->s->base;
    char params[32] = "";
    enum dlm_status st = DLM_OK;

    if (b->params->document)
        st = dlm_str_appendf(b->ctx, out, LABEL "%s\n", "Document:", b->params->document);
    if (base->row && base->row->params > 0)
        snprintf(params, sizeof(params), " (%.1f B parameters)", base->row->params / 1e9);
    if (!st)
        st = dlm_str_appendf(b->ctx, out, LABEL "%s%s%s\n", "Base:", base->key, params,
                             !base->dir ? ", not on this machine: its sizes are the registry's"
                             : b->s->model->has_no_files
                                 ? ", its weights are not here, or not all of them: its sizes are "
                                   "its config.json's"
                                 : "");
    if (!st && can_pull(b))
        st = dlm_str_appendf(b->ctx, out, LABEL "%s`dlm pull %s` fetches it\n", "",
                             base->gated ? "accept its licence on huggingface.co, then " : "",
                             base->key);
    return st;
}

static enum dlm_status append_device(const struct dlm_doctor_budget *b, struct dlm_str *out)
{
    const struct dlm_device_caps *caps = caps_of(b);
    const struct dlm_device_info *info = &caps->info;
    char memory[64];

    if (caps->free_bytes)
        snprintf(memory, sizeof(memory), "%.1f GiB, of which %.1f are free",
                 (double)info->memory_bytes / GIB, (double)caps->free_bytes / GIB);
    else if (caps->plan_bytes)
        snprintf(memory, sizeof(memory), "%.1f GiB in all (how much is free is not known)",
                 (double)caps->plan_bytes / GIB);
    else
        snprintf(memory, sizeof(memory), "its driver does not tell how much memory it has");
    return dlm_str_appendf(b->ctx, out, LABEL "%s (%s), %s\n", "Device:",
                           dlm_backend_name(info->kind), info->name, memory);
}

static enum dlm_status append_run(const struct dlm_doctor_budget *b, struct dlm_str *out)
{
    const struct dlm_footprint_row *row = &b->row;
    const struct dlm_pixel_shape *pixels = &b->image.pixels;

    enum dlm_status st = dlm_str_appendf(
        b->ctx, out, LABEL "%s%s%s\n" LABEL "r %lld, %zu modules%s\n", "Precision:",
        dlm_precision_name(dlm_session_precision(b->s)), *b->s->base_form ? ", base in " : "",
        b->s->base_form, "LoRA:", (long long)b->lora->params.r, b->lora->num,
        b->trains_tower ? ", the vision tower's too" : "");
    if (!st && b->usual.slice)
        st = dlm_str_appendf(b->ctx, out, LABEL "%d x %d, %d tokens\n", "Image:", pixels->width,
                             pixels->height, b->image.tokens);
    if (!st && b->num_rows)
        st = dlm_str_appendf(b->ctx, out, LABEL "the document's %zu, up to %lld tokens and %lld "
                             "learned ones\n", "Rows:", b->num_rows, (long long)row->tokens,
                             (long long)row->labels);
    else if (!st)
        st = dlm_str_appendf(b->ctx, out, LABEL "%lld tokens, %lld of them learned%s\n",
                             "Rows:", (long long)row->tokens, (long long)row->labels,
                             b->params->document && !b->params->tokens
                                 ? " (sequence_len: no row is longer)"
                                 : "");
    return st ? st
              : dlm_str_appendf(b->ctx, out, LABEL "%lld tokens before, at most %lld after\n\n",
                                "Answers:", (long long)b->asked_tokens,
                                (long long)b->answer_tokens);
}

/* The line of answers. */
static size_t answer_at(const struct dlm_doctor_budget *b)
{
    size_t i = 0;

    while (i + 1 < b->num_lines && b->lines[i].batch)
        i++;
    return i;
}

static void name_line(const struct dlm_doctor_line *line, char *name, size_t bytes)
{
    if (!line->batch)
        snprintf(name, bytes, "answer");
    else
        snprintf(name, bytes, "%s, batch %lld%s", line->is_document ? "document" : "LoRA",
                 (long long)line->batch, line->checkpoint ? ", ckpt" : "");
}

/* The unit of the table: small bases take a few MiB. */
static double unit_of(const struct dlm_doctor_budget *b)
{
    for (size_t i = 0; i < b->num_lines; i++)
        if (dlm_budget_total(&b->lines[i].budget) >= (uint64_t)GIB)
            return GIB;
    return MIB;
}

static enum dlm_status append_line(const struct dlm_doctor_budget *b,
                                   const struct dlm_doctor_line *line, struct dlm_str *out)
{
    const uint64_t total = dlm_budget_total(&line->budget), room = dlm_budget_room(b->s->device);
    char name[48];

    name_line(line, name, sizeof(name));
    if (*line->misfit)
        return dlm_str_appendf(b->ctx, out, FIRST " cannot run here: %s\n", name, line->misfit);
    enum dlm_status st = dlm_str_appendf(b->ctx, out, FIRST, name);
    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(parts); i++)
        st = dlm_str_appendf(b->ctx, out, CELL, (double)part_of(&line->budget, i) / unit_of(b));
    return st ? st
              : dlm_str_appendf(b->ctx, out, CELL "  %-4s" CELL "\n", (double)total / unit_of(b),
                                !room           ? "?"
                                : total <= room ? "yes"
                                                : "no",
                                (double)dlm_budget_host_peak(&line->budget) / unit_of(b));
}

static enum dlm_status append_table(const struct dlm_doctor_budget *b, struct dlm_str *out)
{
    enum dlm_status st = dlm_str_appendf(b->ctx, out, FIRST, unit_of(b) == GIB ? "GiB" : "MiB");

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(parts); i++)
        st = dlm_str_appendf(b->ctx, out, " %11s", parts[i].title);
    if (!st)
        st = dlm_str_appendf(b->ctx, out, " %11s  %-4s %11s\n", "total", "fits", "process");
    for (size_t i = 0; !st && i < b->num_lines; i++)
        st = append_line(b, &b->lines[i], out);
    return st;
}

/* What a step takes, of each line of training that has a plan. */
static enum dlm_status append_steps(const struct dlm_doctor_budget *b, struct dlm_str *out)
{
    const char *before = "a step takes about ";
    char name[48], each[32];
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < b->num_lines; i++) {
        if (!b->lines[i].batch || *b->lines[i].misfit)
            continue;
        name_line(&b->lines[i], name, sizeof(name));
        dlm_seconds_text(b->lines[i].seconds, each, sizeof(each));
        st = dlm_str_appendf(b->ctx, out, "%s%s (%s)", before, each, name);
        before = ", ";
    }
    return st ? st : dlm_str_appendf(b->ctx, out, "\n" LABEL, "");
}

static enum dlm_status append_time(const struct dlm_doctor_budget *b, struct dlm_str *out)
{
    const struct dlm_speed *speed = &b->speed;
    const struct dlm_doctor_line *answer = &b->lines[answer_at(b)];
    char first[32], each[32];

    if (!(speed->product > 0))
        return dlm_str_appendf(b->ctx, out, "\n" LABEL "not known: --time measures the device\n",
                               "Time:");
    enum dlm_status st = dlm_str_appendf(b->ctx, out, "\n" LABEL, "Time:");
    if (!st && !*answer->misfit) {
        dlm_seconds_text(b->first_seconds, first, sizeof(first));
        dlm_seconds_text(answer->seconds, each, sizeof(each));
        st = dlm_str_appendf(b->ctx, out, "an answer begins after about %s and takes %s a token\n"
                             LABEL, first, each, "");
    }
    if (!st && b->facts.planned_bytes)
        st = append_steps(b, out);
    return st ? st
              : dlm_str_appendf(b->ctx, out, "by products with %s weights at %.1f GFLOP/s and "
                                "reads of them at %.1f GB/s, measured in %.2f s\n",
                                dlm_dtype_name(b->s->model->policy), speed->product * 1e-9,
                                speed->read * 1e-9, speed->seconds);
}

/* May training start: the document, the matrix, then the plan. */
static enum dlm_status append_verdict(const struct dlm_doctor_budget *b, struct dlm_str *out)
{
    const enum dlm_refusal_rule rule = dlm_refusal_find(&b->facts);
    char text[512], way_out[512];

    dlm_refusal_text(rule, &b->facts, text, sizeof(text));
    dlm_refusal_way_out(rule, &b->facts, way_out, sizeof(way_out));
    if (*b->untrainable)
        return dlm_str_appendf(b->ctx, out, "\n" LABEL "%s\n", "Training:", b->untrainable);
    if (rule != DLM_REFUSAL_NONE)
        return dlm_str_appendf(b->ctx, out, "\n" LABEL "%s\n" LABEL "%s\n", "Training:", text, "",
                               way_out);
    const char *verdict = can_fit(b) && !dlm_budget_room(b->s->device)
                              ? "may start, if it fits: how much memory there is is not known"
                          : can_fit(b) ? "may start"
                          : b->lines[0].is_document
                              ? "cannot start: what the document asks for does not fit "
                                "(`dlm train` says what would)"
                              : "cannot start: no line of the table fits";
    return dlm_str_appendf(b->ctx, out, "\n" LABEL "%s\n", "Training:", verdict);
}

static enum dlm_status append_documented(const struct dlm_doctor_budget *b, struct dlm_str *out)
{
    const struct documented *d = find_documented(b->s->base.key);
    static const char *const uses[] = {"answer", "LoRA, batch 1, ckpt", "LoRA, batch 4, ckpt"};

    if (!d)
        return DLM_OK;
    enum dlm_status st = dlm_str_appendf(
        b->ctx, out,
        "\nThe Python dlm's documents, in GB (weights %.1f, adapter of rank 16 %.2f):\n", d->base,
        d->adapter);
    for (size_t i = 0; !st && d->peak[0] > 0 && i < DLM_ARRAY_LEN(uses); i++)
        st = dlm_str_appendf(b->ctx, out, FIRST " activations %.1f, peak %.1f\n", uses[i],
                             d->activations[i], d->peak[i]);
    return st ? st : dlm_str_appendf(b->ctx, out, FIRST " %s\n", "floor", d->floor);
}

static enum dlm_status write_lines(const struct dlm_doctor_budget *b, struct dlm_str *out)
{
    enum dlm_status st = append_subject(b, out);

    if (!st)
        st = append_device(b, out);
    if (!st)
        st = append_run(b, out);
    if (!st)
        st = append_table(b, out);
    if (!st)
        st = append_time(b, out);
    if (!st)
        st = append_verdict(b, out);
    return st ? st : append_documented(b, out);
}

/* --- JSON --- */

static json_t *bytes_or_null(uint64_t bytes)
{
    return bytes ? json_integer((json_int_t)bytes) : json_null();
}

static json_t *number_or_null(double number)
{
    return number > 0 ? json_real(number) : json_null();
}

static json_t *speed_json(const struct dlm_doctor_budget *b)
{
    const struct dlm_speed *s = &b->speed;

    if (!(s->product > 0))
        return json_null();
    return json_pack("{s:f, s:f, s:f, s:f}", "product_flops", s->product, "read_bytes_per_sec",
                     s->read, "dispatch_seconds", s->dispatch, "measured_in_seconds", s->seconds);
}

static json_t *device_json(const struct dlm_doctor_budget *b)
{
    const struct dlm_device_caps *caps = caps_of(b);
    const struct dlm_device_info *info = &caps->info;

    return json_pack("{s:s, s:i, s:s, s:s, s:o, s:o}", "backend", dlm_backend_name(info->kind),
                     "index", info->index, "name", info->name, "driver", info->driver,
                     "memory_bytes", bytes_or_null(info->memory_bytes), "free_bytes",
                     bytes_or_null(caps->free_bytes));
}

static json_t *line_json(const struct dlm_doctor_budget *b, const struct dlm_doctor_line *line)
{
    const uint64_t total = dlm_budget_total(&line->budget), room = dlm_budget_room(b->s->device);
    const char *use = line->is_document ? "document" : line->batch ? "train" : "answer";
    const bool runs = !*line->misfit;
    json_t *json = json_pack("{s:s, s:I, s:b, s:s?}", "use", use, "batch",
                             (json_int_t)DLM_MAX(line->batch, (int64_t)1),
                             "gradient_checkpointing", (int)line->checkpoint, "misfit",
                             runs ? NULL : line->misfit);
    bool ok = json && !json_object_set_new(json, "seconds", number_or_null(line->seconds));

    for (size_t i = 0; ok && i < DLM_ARRAY_LEN(parts); i++)
        ok = !json_object_set_new(json, parts[i].key,
                                  runs ? json_integer((json_int_t)part_of(&line->budget, i))
                                       : json_null());
    ok = ok &&
         !json_object_set_new(json, "total_bytes",
                              runs ? json_integer((json_int_t)total) : json_null()) &&
         !json_object_set_new(json, "fits",
                              !runs  ? json_false()
                              : room ? json_boolean(total <= room)
                                     : json_null()) &&
         !json_object_set_new(json, "process_bytes",
                              bytes_or_null(dlm_budget_host_peak(&line->budget)));
    if (ok)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *lines_json(const struct dlm_doctor_budget *b)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < b->num_lines; i++)
        if (json_array_append_new(list, line_json(b, &b->lines[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *documented_json(const struct dlm_doctor_budget *b)
{
    const struct documented *d = find_documented(b->s->base.key);

    if (!d)
        return json_null();
    return json_pack("{s:o, s:o, s:[o, o, o], s:[o, o, o], s:s}", "base_gb",
                     number_or_null(d->base), "adapter_gb", number_or_null(d->adapter),
                     "activations_gb", number_or_null(d->activations[0]),
                     number_or_null(d->activations[1]), number_or_null(d->activations[2]),
                     "peak_gb", number_or_null(d->peak[0]), number_or_null(d->peak[1]),
                     number_or_null(d->peak[2]), "floor", d->floor);
}

static json_t *refusal_json(const struct dlm_doctor_budget *b)
{
    const enum dlm_refusal_rule rule = dlm_refusal_find(&b->facts);
    char text[512], way_out[512];

    if (rule == DLM_REFUSAL_NONE)
        return json_null();
    dlm_refusal_text(rule, &b->facts, text, sizeof(text));
    dlm_refusal_way_out(rule, &b->facts, way_out, sizeof(way_out));
    return json_pack("{s:s, s:s, s:s, s:b}", "rule", dlm_refusal_name(rule), "text", text,
                     "way_out", way_out, "can_force", (int)dlm_refusal_can_force(rule));
}

static json_t *image_json(const struct dlm_doctor_budget *b)
{
    const struct dlm_pixel_shape *pixels = &b->image.pixels;

    if (!b->usual.slice)
        return json_null();
    return json_pack("{s:i, s:i, s:i}", "height", pixels->height, "width", pixels->width, "tokens",
                     b->image.tokens);
}

static const char *sizes_from(const struct dlm_doctor_budget *b)
{
    if (!b->s->base.dir)
        return "registry";
    return b->s->model->has_no_files ? "config" : "files";
}

static json_t *pull_json(const struct dlm_doctor_budget *b)
{
    return can_pull(b) ? json_sprintf("dlm pull %s", b->s->base.key) : json_null();
}

static json_t *budget_json(const struct dlm_doctor_budget *b)
{
    const struct dlm_base *base = &b->s->base;

    return json_pack(
        "{s:s?, s:s?, s:s, s:o, s:s, s:o, s:o, s:s, s:s, s:I, s:I, s:o, s:I, s:I, s:o, s:I, s:I,"
        " s:o, s:o, s:o, s:o, s:b, s:o}",
        "document", b->params->document, "untrainable", *b->untrainable ? b->untrainable : NULL,
        "base", base->key, "params",
        number_or_null(base->row ? base->row->params : 0), "sizes_from", sizes_from(b), "pull",
        pull_json(b), "device", device_json(b), "precision",
        dlm_precision_name(dlm_session_precision(b->s)), "base_form", b->s->base_form, "lora_r",
        (json_int_t)b->lora->params.r, "lora_modules", (json_int_t)b->lora->num, "image",
        image_json(b), "row_tokens", (json_int_t)b->row.tokens, "row_labels",
        (json_int_t)b->row.labels, "document_rows",
        b->num_rows ? json_integer((json_int_t)b->num_rows) : json_null(), "prompt_tokens",
        (json_int_t)b->asked_tokens, "answer_tokens", (json_int_t)b->answer_tokens, "budgets",
        lines_json(b), "first_token_seconds", number_or_null(b->first_seconds), "speed",
        speed_json(b), "refusal", refusal_json(b), "may_train",
        (int)(!*b->untrainable && dlm_refusal_find(&b->facts) == DLM_REFUSAL_NONE && can_fit(b)),
        "documented", documented_json(b));
}

enum dlm_status dlm_doctor_budget_write(const struct dlm_doctor_budget *b, struct dlm_str *out)
{
    if (!b->params->json)
        return write_lines(b, out);
    json_t *json = budget_json(b);
    enum dlm_status st = dlm_json_append(b->ctx, out, json, 6);

    json_decref(json);
    return st;
}
