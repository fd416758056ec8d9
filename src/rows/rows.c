/* Sections to rows. What a row's texts become as tokens is decided in tokens/. */
#include "rows/rows.h"

#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "doc/text.h"

static const char caption_prefix[] = "caption en";

/* How many rows a section id has so far: ids repeat when sections have the same text. */
struct counter {
    char id[17];
    int64_t count;
};

struct builder {
    struct dlm_ctx *ctx;
    struct dlm_rows *out;
    const struct dlm_doc *doc;
    const struct dlm_rows_options *params;
    size_t cap;
    struct counter *counters; /* hash table; a free slot has an empty id */
    size_t counters_len, num_counters;
};

/* --- row numbers --------------------------------------------------------------------------- */

static struct counter *find_counter(const struct builder *b, const char *id)
{
    size_t i = dlm_hash(DLM_HASH_START, id, strlen(id)) & (b->counters_len - 1);

    while (b->counters[i].id[0] && strcmp(b->counters[i].id, id))
        i = (i + 1) & (b->counters_len - 1);
    return &b->counters[i];
}

static enum dlm_status grow_counters(struct builder *b)
{
    size_t old_len = b->counters_len;
    struct counter *old = b->counters;
    size_t len = old_len ? 2 * old_len : 64;

    struct counter *counters = dlm_alloc_array(b->ctx, len, sizeof(*counters));
    if (!counters)
        return DLM_ERR_MEMORY;
    b->counters = counters;
    b->counters_len = len;
    for (size_t i = 0; i < old_len; i++) {
        if (old[i].id[0])
            *find_counter(b, old[i].id) = old[i];
    }
    dlm_free(old);
    return DLM_OK;
}

static enum dlm_status take_index(struct builder *b, const char *id, int64_t *index)
{
    if (2 * (b->num_counters + 1) > b->counters_len && grow_counters(b))
        return DLM_ERR_MEMORY;
    struct counter *counter = find_counter(b, id);
    if (!counter->id[0]) {
        memcpy(counter->id, id, sizeof(counter->id));
        b->num_counters++;
    }
    *index = counter->count++;
    return DLM_OK;
}

/* --- rows ---------------------------------------------------------------------------------- */

/* Copies the strings of *row and adds it. Lengths are set; the texts may belong to anybody. */
static enum dlm_status add_row(struct builder *b, struct dlm_row *row)
{
    struct dlm_rows *out = b->out;

    enum dlm_status st = take_index(b, row->section_id, &row->index);
    if (st)
        return st;
    row->is_val = dlm_rows_is_val(b->params->seed, row->section_id, row->index);
    row->prefix = dlm_arena_strndup(b->ctx, &out->arena, row->prefix, row->prefix_len);
    row->suffix = dlm_arena_strndup(b->ctx, &out->arena, row->suffix, row->suffix_len);
    if (!row->prefix || !row->suffix)
        return DLM_ERR_MEMORY;
    if (out->num_rows == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 64;
        struct dlm_row *rows = dlm_arena_alloc(b->ctx, &out->arena, cap * sizeof(*rows));
        if (!rows)
            return DLM_ERR_MEMORY;
        if (out->num_rows)
            memcpy(rows, out->rows, out->num_rows * sizeof(*rows));
        out->rows = rows;
        b->cap = cap;
    }
    out->rows[out->num_rows++] = *row;
    out->num_val += row->is_val;
    return DLM_OK;
}

static enum dlm_status add_prose(struct builder *b, const struct dlm_doc_section *section)
{
    struct dlm_row row = {.kind = DLM_ROW_PROSE, .line = section->start_line, .prefix = ""};

    row.suffix = section->content;
    row.suffix_len = section->content_len;
    dlm_text_strip(&row.suffix, &row.suffix_len);
    memcpy(row.section_id, section->id, sizeof(row.section_id));
    return row.suffix_len ? add_row(b, &row) : DLM_OK;
}

/* Stores the image and leaves in *row what every row about it shares. */
static enum dlm_status store_image(struct builder *b, const struct dlm_doc_section *section,
                                   struct dlm_row *row)
{
    char *path = NULL;
    enum dlm_status st = DLM_OK;

    *row = (struct dlm_row){.prefix_newline = true};
    DLM_REQUIRE(b->ctx, b->params->put_image != NULL);
    DLM_REQUIRE(b->ctx, section->source_file || b->doc->path);
    row->image_path = dlm_arena_strndup(b->ctx, &b->out->arena, section->media_path,
                                        strlen(section->media_path));
    if (!row->image_path)
        return DLM_ERR_MEMORY;
    if (!section->source_file)
        st = dlm_doc_resolve_image(b->ctx, b->doc->path, section->media_path, &path);
    if (!st)
        st = b->params->put_image(b->ctx, b->params->user, path ? path : section->source_file,
                                  row->image_sha);
done:
    dlm_free(path);
    return st;
}

/* Leaves the image in *image for the questions after it. */
static enum dlm_status add_image(struct builder *b, const struct dlm_doc_section *section,
                                 struct dlm_row *image)
{
    enum dlm_status st = store_image(b, section, image);
    if (st)
        return st;
    b->out->num_images++;
    struct dlm_row row = *image;
    row.kind = DLM_ROW_CAPTION;
    row.line = section->start_line;
    row.prefix = caption_prefix;
    row.prefix_len = strlen(caption_prefix);
    row.suffix = section->content;
    row.suffix_len = section->content_len;
    dlm_text_strip(&row.suffix, &row.suffix_len);
    if (!row.suffix_len) {
        b->out->num_images_without_caption++;
        return DLM_OK;
    }
    dlm_doc_section_id(section, row.image_sha, row.section_id);
    return add_row(b, &row);
}

/* image: what the questions ask about, or NULL. */
static enum dlm_status add_instruction(struct builder *b, const struct dlm_doc_section *section,
                                       const struct dlm_row *image)
{
    struct dlm_arena scratch = {0};
    struct dlm_doc_pair *pairs = NULL;
    size_t num_pairs = 0;

    enum dlm_status st =
        dlm_doc_parse_pairs(b->ctx, &scratch, b->doc->path, section, &pairs, &num_pairs);
    for (size_t i = 0; !st && i < num_pairs; i++) {
        struct dlm_row row = image ? *image : (struct dlm_row){.prefix_newline = true};
        row.kind = DLM_ROW_QUESTION;
        row.line = section->start_line;
        row.prefix = pairs[i].question;
        row.prefix_len = pairs[i].question_len;
        row.suffix = pairs[i].answer;
        row.suffix_len = pairs[i].answer_len;
        memcpy(row.section_id, section->id, sizeof(row.section_id));
        st = add_row(b, &row);
    }
    dlm_arena_finish(&scratch);
    return st;
}

static enum dlm_status add_sections(struct builder *b, const struct dlm_doc_section *sections,
                                    size_t num_sections)
{
    struct dlm_row image = {0};
    bool follows_image = false;
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < num_sections; i++) {
        const struct dlm_doc_section *section = &sections[i];
        bool is_image = false;
        switch (section->type) {
        case DLM_DOC_SECTION_PROSE:
            st = add_prose(b, section);
            break;
        case DLM_DOC_SECTION_INSTRUCTION:
            st = add_instruction(b, section, follows_image ? &image : NULL);
            break;
        case DLM_DOC_SECTION_IMAGE:
            st = add_image(b, section, &image);
            is_image = true;
            break;
        default: /* preference and audio: refused by dlm_doc_check_trainable() */
            break;
        }
        follows_image = is_image;
    }
    return st;
}

enum dlm_status dlm_rows_from_doc(struct dlm_ctx *ctx, struct dlm_rows *out,
                                  const struct dlm_doc *doc, const struct dlm_rows_options *params)
{
    struct builder b = {.ctx = ctx, .out = out, .doc = doc, .params = params};

    enum dlm_status st = add_sections(&b, doc->sections, doc->num_sections);
    if (!st && params->sources)
        st = add_sections(&b, params->sources->sections, params->sources->num_sections);
    dlm_free(b.counters);
    return st;
}

void dlm_rows_finish(struct dlm_rows *rows)
{
    dlm_arena_finish(&rows->arena);
    *rows = (struct dlm_rows){0};
}
