/* Sections to rows. What a conversation becomes as tokens is the model family's business. */
#include "rows/rows.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "doc/text.h"

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

/* A row's conversation: at most an image and a request, then what is learned. */
struct exchange {
    struct dlm_turn turns[2];
    struct dlm_part parts[3];
};

static struct dlm_part text_part(const char *text, size_t len)
{
    return (struct dlm_part){.kind = DLM_PART_TEXT, .text = text, .len = len};
}

static enum dlm_status copy_text(struct builder *b, struct dlm_part *part)
{
    if (part->kind != DLM_PART_TEXT)
        return DLM_OK;
    part->text = dlm_arena_strndup(b->ctx, &b->out->arena, part->text, part->len);
    return part->text ? DLM_OK : DLM_ERR_MEMORY;
}

/* The row's conversation: request NULL is prose; image NULL is no image. Texts may belong to
 * anybody. */
static enum dlm_status converse(struct builder *b, struct dlm_row *row,
                                const struct dlm_row_image *image, const struct dlm_part *request,
                                const struct dlm_part *learned)
{
    struct exchange *x = dlm_arena_alloc(b->ctx, &b->out->arena, sizeof(*x));
    size_t num = 0;

    if (!x)
        return DLM_ERR_MEMORY;
    row->conversation.turns = x->turns;
    if (image) {
        x->parts[num++].kind = DLM_PART_IMAGE;
        row->images = image;
        row->num_images = 1;
    }
    if (request) {
        x->parts[num++] = *request;
        x->turns[row->conversation.num_turns++] =
            (struct dlm_turn){.role = DLM_TURN_USER, .parts = x->parts, .num_parts = num};
    }
    x->parts[num] = *learned;
    x->turns[row->conversation.num_turns++] =
        (struct dlm_turn){.role = request ? DLM_TURN_ASSISTANT : DLM_TURN_PROSE,
                          .parts = x->parts + num, .num_parts = 1};
    enum dlm_status st = DLM_OK;
    for (size_t i = 0; !st && i <= num; i++)
        st = copy_text(b, &x->parts[i]);
    return st;
}

/* Numbers *row and adds it. */
static enum dlm_status add_row(struct builder *b, struct dlm_row *row)
{
    struct dlm_rows *out = b->out;

    enum dlm_status st = take_index(b, row->section_id, &row->index);
    if (st)
        return st;
    row->is_val = dlm_rows_is_val(b->params->seed, row->section_id, row->index);
    if (!dlm_arena_grow(b->ctx, &out->arena, &out->rows, &b->cap, out->num_rows,
                        sizeof(*out->rows)))
        return DLM_ERR_MEMORY;
    out->rows[out->num_rows++] = *row;
    out->num_val += row->is_val;
    return DLM_OK;
}

static struct dlm_part stripped(const struct dlm_doc_section *section)
{
    struct dlm_part part = text_part(section->content, section->content_len);

    dlm_text_strip(&part.text, &part.len);
    return part;
}

static enum dlm_status add_prose(struct builder *b, const struct dlm_doc_section *section)
{
    struct dlm_row row = {.line = section->start_line};
    const struct dlm_part text = stripped(section);

    if (!text.len)
        return DLM_OK;
    memcpy(row.section_id, section->id, sizeof(row.section_id));
    enum dlm_status st = converse(b, &row, NULL, NULL, &text);
    return st ? st : add_row(b, &row);
}

/* The absolute path of a section's image; *file in the arena, NULL if it cannot be read, which has
 * been logged. */
static enum dlm_status find_image(struct builder *b, const struct dlm_doc_section *section,
                                  const char **file)
{
    const char *found = section->source_file;
    char *path = NULL;
    enum dlm_status st = DLM_OK;

    *file = NULL;
    if (!found) {
        st = dlm_doc_resolve_image(b->ctx, b->doc->path, section->media_path, section->start_line,
                                   &path);
        found = path;
    }
    if (!st && access(found, R_OK))
        st = dlm_fail(b->ctx, DLM_ERR_IO, "cannot open image '%s': %s", found, strerror(errno));
    if (!st) {
        *file = dlm_arena_strndup(b->ctx, &b->out->arena, found, strlen(found));
        st = *file ? DLM_OK : DLM_ERR_MEMORY;
    }
    dlm_free(path);
    return st == DLM_ERR_IO || st == DLM_ERR_INVALID ? DLM_OK : st;
}

/* *out: NULL for an image that cannot be read. */
static enum dlm_status store_image(struct builder *b, const struct dlm_doc_section *section,
                                   const struct dlm_row_image **out)
{
    struct dlm_row_image *image = dlm_arena_alloc(b->ctx, &b->out->arena, sizeof(*image));
    enum dlm_status st = image ? DLM_OK : DLM_ERR_MEMORY;

    *out = NULL;
    DLM_REQUIRE(b->ctx, b->params->put_image != NULL);
    DLM_REQUIRE(b->ctx, section->source_file || b->doc->path);
    if (!st)
        st = find_image(b, section, &image->file);
    if (st || !image->file)
        return st;
    image->line = section->start_line;
    st = b->params->put_image(b->ctx, b->params->user, image->file, image->sha);
    *out = image;
done:
    return st;
}

/* Leaves the image in *image for the questions after it, NULL if it cannot be read. */
static enum dlm_status add_image(struct builder *b, const struct dlm_doc_section *section,
                                 const struct dlm_row_image **image)
{
    static const struct dlm_part request = {.kind = DLM_PART_CAPTION_REQUEST};
    struct dlm_row row = {.line = section->start_line};
    const struct dlm_part caption = stripped(section);

    enum dlm_status st = store_image(b, section, image);
    if (st)
        return st;
    b->out->num_images++;
    if (!*image) {
        b->out->num_bad_images++;
        return DLM_OK;
    }
    if (!caption.len) {
        b->out->num_images_without_caption++;
        return DLM_OK;
    }
    dlm_doc_section_id(section, (*image)->sha, row.section_id);
    st = converse(b, &row, *image, &request, &caption);
    return st ? st : add_row(b, &row);
}

/* image: what the questions ask about, or NULL. */
static enum dlm_status add_instruction(struct builder *b, const struct dlm_doc_section *section,
                                       const struct dlm_row_image *image)
{
    struct dlm_arena scratch = {0};
    struct dlm_doc_pair *pairs = NULL;
    size_t num_pairs = 0;

    enum dlm_status st =
        dlm_doc_parse_pairs(b->ctx, &scratch, b->doc->path, section, &pairs, &num_pairs);
    for (size_t i = 0; !st && i < num_pairs; i++) {
        struct dlm_row row = {.line = section->start_line};
        const struct dlm_part question = text_part(pairs[i].question, pairs[i].question_len);
        const struct dlm_part answer = text_part(pairs[i].answer, pairs[i].answer_len);
        memcpy(row.section_id, section->id, sizeof(row.section_id));
        st = converse(b, &row, image, &question, &answer);
        if (!st)
            st = add_row(b, &row);
    }
    dlm_arena_finish(&scratch);
    return st;
}

static enum dlm_status add_sections(struct builder *b, const struct dlm_doc_section *sections,
                                    size_t num_sections)
{
    const struct dlm_row_image *image = NULL; /* of the section before */
    bool was_bad_image = false;               /* that section: its image cannot be read */
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < num_sections; i++) {
        const struct dlm_doc_section *section = &sections[i];
        const struct dlm_row_image *about = image;
        const bool is_about_bad = was_bad_image;
        image = NULL;
        was_bad_image = false;
        switch (section->type) {
        case DLM_DOC_SECTION_PROSE:
            st = add_prose(b, section);
            break;
        case DLM_DOC_SECTION_INSTRUCTION:
            if (!is_about_bad)
                st = add_instruction(b, section, about);
            break;
        case DLM_DOC_SECTION_IMAGE:
            st = add_image(b, section, &image);
            was_bad_image = !image;
            break;
        default: /* preference and audio: refused by dlm_doc_check_trainable() */
            break;
        }
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

void dlm_rows_keep(struct dlm_rows *rows, const bool *keep)
{
    size_t num = 0;

    for (size_t i = 0; i < rows->num_rows; i++) {
        if (keep[i])
            rows->rows[num++] = rows->rows[i];
        else
            rows->num_val -= rows->rows[i].is_val;
    }
    rows->num_rows = num;
}

void dlm_rows_finish(struct dlm_rows *rows)
{
    dlm_arena_finish(&rows->arena);
    *rows = (struct dlm_rows){0};
}
