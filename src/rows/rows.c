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
    const struct dlm_part *system; /* the document's system prompt, or NULL */
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

/* What questions are about: images, and prose between them. Everything lies in the rows' arena. */
struct subject {
    struct dlm_part *parts;
    struct dlm_row_image *images; /* in the order of their parts */
    size_t num_parts, num_images;
    size_t cap_parts, cap_images;
    bool is_bad; /* one of the images cannot be read */
};

static struct dlm_part text_part(const char *text, size_t len)
{
    return (struct dlm_part){.kind = DLM_PART_TEXT, .text = text, .len = len};
}

static struct dlm_part stripped(const struct dlm_doc_section *section)
{
    struct dlm_part part = text_part(section->content, section->content_len);

    dlm_text_strip(&part.text, &part.len);
    return part;
}

static enum dlm_status copy_text(struct builder *b, struct dlm_part *part)
{
    if (part->kind != DLM_PART_TEXT)
        return DLM_OK;
    part->text = dlm_arena_strndup(b->ctx, &b->out->arena, part->text, part->len);
    return part->text ? DLM_OK : DLM_ERR_MEMORY;
}

/* Adds a part, of which the text is copied. */
static enum dlm_status add_part(struct builder *b, struct subject *s, struct dlm_part part)
{
    if (copy_text(b, &part) || !dlm_arena_grow(b->ctx, &b->out->arena, &s->parts, &s->cap_parts,
                                               s->num_parts, sizeof(part)))
        return DLM_ERR_MEMORY;
    s->parts[s->num_parts++] = part;
    return DLM_OK;
}

static enum dlm_status add_subject_image(struct builder *b, struct subject *s,
                                         const struct dlm_row_image *image)
{
    if (!dlm_arena_grow(b->ctx, &b->out->arena, &s->images, &s->cap_images, s->num_images,
                        sizeof(*image)))
        return DLM_ERR_MEMORY;
    s->images[s->num_images++] = *image;
    return add_part(b, s, (struct dlm_part){.kind = DLM_PART_IMAGE});
}

/* Prose that follows prose begins a paragraph. */
static enum dlm_status add_subject_prose(struct builder *b, struct subject *s,
                                         const struct dlm_part *text)
{
    const bool follows = s->num_parts && s->parts[s->num_parts - 1].kind == DLM_PART_TEXT;
    enum dlm_status st = DLM_OK;

    if (text->len && follows)
        st = add_part(b, s, text_part("\n\n", 2));
    return !text->len || st ? st : add_part(b, s, *text);
}

/* The row's conversation: what the system says, what is asked about the subject, and the answer.
 * Texts of request and answer may belong to anybody. */
static enum dlm_status converse(struct builder *b, struct dlm_row *row,
                                const struct subject *about, const struct dlm_part *request,
                                const struct dlm_part *answer)
{
    struct dlm_arena *arena = &b->out->arena;
    const size_t num_asked = about->num_parts + 1;
    struct dlm_turn *turns = dlm_arena_alloc(b->ctx, arena, 3 * sizeof(*turns));
    struct dlm_part *asked = dlm_arena_alloc(b->ctx, arena, (num_asked + 1) * sizeof(*asked));
    size_t num = 0;

    if (!turns || !asked)
        return DLM_ERR_MEMORY;
    if (about->num_parts)
        memcpy(asked, about->parts, about->num_parts * sizeof(*asked));
    asked[num_asked - 1] = *request;
    asked[num_asked] = *answer;
    if (b->system)
        turns[num++] = (struct dlm_turn){DLM_TURN_SYSTEM, b->system, 1};
    turns[num++] = (struct dlm_turn){DLM_TURN_USER, asked, num_asked};
    turns[num++] = (struct dlm_turn){DLM_TURN_ASSISTANT, asked + num_asked, 1};
    row->conversation = (struct dlm_conversation){turns, num};
    row->images = about->images;
    row->num_images = about->num_images;
    enum dlm_status st = copy_text(b, &asked[num_asked - 1]);
    return st ? st : copy_text(b, &asked[num_asked]);
}

/* Prose alone. */
static enum dlm_status tell(struct builder *b, struct dlm_row *row, const struct dlm_part *text)
{
    struct dlm_turn *turn = dlm_arena_alloc(b->ctx, &b->out->arena, sizeof(*turn));
    struct dlm_part *part = dlm_arena_alloc(b->ctx, &b->out->arena, sizeof(*part));

    if (!turn || !part)
        return DLM_ERR_MEMORY;
    *part = *text;
    *turn = (struct dlm_turn){DLM_TURN_PROSE, part, 1};
    row->conversation = (struct dlm_conversation){turn, 1};
    return copy_text(b, part);
}

/* Numbers *row and adds it. */
static enum dlm_status add_row(struct builder *b, struct dlm_row *row)
{
    struct dlm_rows *out = b->out;

    enum dlm_status st = take_index(b, row->section_id, &row->index);
    if (st)
        return st;
    row->is_val = dlm_rows_is_val(b->params->seed, row->section_id, row->index);
    row->is_all_learned = b->doc->training.loss_on == DLM_DOC_LOSS_ON_ALL;
    if (!dlm_arena_grow(b->ctx, &out->arena, &out->rows, &b->cap, out->num_rows,
                        sizeof(*out->rows)))
        return DLM_ERR_MEMORY;
    out->rows[out->num_rows++] = *row;
    out->num_val += row->is_val;
    return DLM_OK;
}

static enum dlm_status add_prose(struct builder *b, const struct dlm_doc_section *section)
{
    struct dlm_row row = {.line = section->start_line};
    const struct dlm_part text = stripped(section);

    if (!text.len)
        return DLM_OK;
    memcpy(row.section_id, section->id, sizeof(row.section_id));
    enum dlm_status st = tell(b, &row, &text);
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

/* image->file NULL: an image that cannot be read. */
static enum dlm_status store_image(struct builder *b, const struct dlm_doc_section *section,
                                   struct dlm_row_image *image)
{
    enum dlm_status st;

    *image = (struct dlm_row_image){.line = section->start_line, .index = b->out->num_images++};
    DLM_REQUIRE(b->ctx, b->params->put_image != NULL);
    DLM_REQUIRE(b->ctx, section->source_file || b->doc->path);
    st = find_image(b, section, &image->file);
    if (!st && !image->file)
        b->out->num_bad_images++;
    else if (!st)
        st = b->params->put_image(b->ctx, b->params->user, image->file, image->sha);
done:
    return st;
}

/* The request for a caption: in the document's words, else in the family's. */
static struct dlm_part caption_request(const struct builder *b)
{
    const char *words = b->doc->training.caption_prompt;
    struct dlm_part part = {.kind = DLM_PART_CAPTION_REQUEST};

    if (words)
        part = text_part(words, strlen(words));
    if (words)
        dlm_text_strip(&part.text, &part.len);
    return part;
}

/* Stores the image, and adds the row of its caption. */
static enum dlm_status add_image(struct builder *b, const struct dlm_doc_section *section,
                                 struct dlm_row_image *image)
{
    struct dlm_row row = {.line = section->start_line};
    const struct dlm_part request = caption_request(b), caption = stripped(section);
    struct subject about = {0};

    enum dlm_status st = store_image(b, section, image);
    if (st || !image->file)
        return st;
    image->has_caption = caption.len > 0;
    if (!image->has_caption) {
        b->out->num_images_without_caption++;
        return DLM_OK;
    }
    dlm_doc_section_id(section, image->sha, row.section_id);
    st = add_subject_image(b, &about, image);
    if (!st)
        st = converse(b, &row, &about, &request, &caption);
    return st ? st : add_row(b, &row);
}

static enum dlm_status add_instruction(struct builder *b, const struct dlm_doc_section *section,
                                       const struct subject *about)
{
    struct dlm_arena scratch = {0};
    struct dlm_doc_pair *pairs = NULL;
    size_t num_pairs = 0;

    enum dlm_status st =
        dlm_doc_parse_pairs(b->ctx, &scratch, b->doc->path, section, &pairs, &num_pairs);
    for (size_t i = 0; !st && !about->is_bad && i < num_pairs; i++) {
        struct dlm_row row = {.line = section->start_line};
        const struct dlm_part question = text_part(pairs[i].question, pairs[i].question_len);
        const struct dlm_part answer = text_part(pairs[i].answer, pairs[i].answer_len);
        memcpy(row.section_id, section->id, sizeof(row.section_id));
        st = converse(b, &row, about, &question, &answer);
        if (!st)
            st = add_row(b, &row);
    }
    dlm_arena_finish(&scratch);
    return st;
}

/* --- sections ------------------------------------------------------------------------------ */

/* Gathers what the instruction sections[at], the first after other sections, is about: the images
 * that stand directly before it, with the prose between them. images: by section. */
static enum dlm_status find_subject(struct builder *b, const struct dlm_doc_section *sections,
                                    size_t at, const struct dlm_row_image *images,
                                    struct subject *about)
{
    enum dlm_status st = DLM_OK;
    size_t first = at;

    *about = (struct subject){0};
    if (!at || sections[at - 1].type != DLM_DOC_SECTION_IMAGE)
        return DLM_OK;
    for (size_t i = at; i-- > 0;) {
        if (sections[i].type == DLM_DOC_SECTION_IMAGE)
            first = i;
        else if (sections[i].type != DLM_DOC_SECTION_PROSE)
            break;
    }
    for (size_t i = first; !st && i < at; i++) {
        const struct dlm_part text = stripped(&sections[i]);
        if (sections[i].type == DLM_DOC_SECTION_PROSE)
            st = add_subject_prose(b, about, &text);
        else if (images[i].file)
            st = add_subject_image(b, about, &images[i]);
        else
            about->is_bad = true;
    }
    return st;
}

static enum dlm_status add_sections(struct builder *b, const struct dlm_doc_section *sections,
                                    size_t num_sections)
{
    struct dlm_row_image *images = dlm_alloc_array(b->ctx, num_sections + 1, sizeof(*images));
    struct subject about = {0}; /* of the instruction before, if there is none between */
    enum dlm_status st = images ? DLM_OK : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && i < num_sections; i++) {
        const struct dlm_doc_section *section = &sections[i];
        switch (section->type) {
        case DLM_DOC_SECTION_PROSE:
            st = add_prose(b, section);
            break;
        case DLM_DOC_SECTION_INSTRUCTION:
            if (!i || sections[i - 1].type != DLM_DOC_SECTION_INSTRUCTION)
                st = find_subject(b, sections, i, images, &about);
            if (!st)
                st = add_instruction(b, section, &about);
            break;
        case DLM_DOC_SECTION_IMAGE:
            st = add_image(b, section, &images[i]);
            break;
        default: /* preference and audio: refused by dlm_doc_check_trainable() */
            break;
        }
    }
    dlm_free(images);
    return st;
}

static enum dlm_status take_system(struct builder *b)
{
    size_t len;
    const char *words = dlm_doc_system_prompt(b->doc, &len);
    struct dlm_part *part;

    if (!words)
        return DLM_OK;
    part = dlm_arena_alloc(b->ctx, &b->out->arena, sizeof(*part));
    if (!part)
        return DLM_ERR_MEMORY;
    *part = text_part(words, len);
    b->system = part;
    return copy_text(b, part);
}

enum dlm_status dlm_rows_from_doc(struct dlm_ctx *ctx, struct dlm_rows *out,
                                  const struct dlm_doc *doc, const struct dlm_rows_options *params)
{
    struct builder b = {.ctx = ctx, .out = out, .doc = doc, .params = params};

    enum dlm_status st = take_system(&b);
    if (!st)
        st = add_sections(&b, doc->sections, doc->num_sections);
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

void dlm_rows_drop_system(struct dlm_rows *rows)
{
    for (size_t i = 0; i < rows->num_rows; i++) {
        struct dlm_conversation *c = &rows->rows[i].conversation;
        if (c->turns[0].role == DLM_TURN_SYSTEM) {
            c->turns++;
            c->num_turns--;
        }
    }
}

/* The last image of a row, which has several, and the words behind it. */
static enum dlm_status keep_last_image(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                       struct dlm_row *row)
{
    const struct dlm_conversation *c = &row->conversation;
    struct dlm_turn *turns = dlm_arena_alloc(ctx, arena, c->num_turns * sizeof(*turns));

    if (!turns)
        return DLM_ERR_MEMORY;
    memcpy(turns, c->turns, c->num_turns * sizeof(*turns));
    for (size_t i = 0; i < c->num_turns; i++) {
        size_t last = turns[i].role == DLM_TURN_USER ? turns[i].num_parts - 1 : 0;
        while (last && turns[i].parts[last].kind != DLM_PART_IMAGE)
            last--;
        turns[i].parts += last;
        turns[i].num_parts -= last;
    }
    row->conversation.turns = turns;
    row->images += row->num_images - 1;
    row->num_images = 1;
    return DLM_OK;
}

enum dlm_status dlm_rows_keep_last_images(struct dlm_ctx *ctx, struct dlm_rows *rows,
                                          const struct dlm_row **lost)
{
    enum dlm_status st = DLM_OK;

    *lost = NULL;
    for (size_t i = 0; !st && !*lost && i < rows->num_rows; i++) {
        struct dlm_row *row = &rows->rows[i];
        for (size_t k = 0; k + 1 < row->num_images; k++)
            if (!row->images[k].has_caption)
                *lost = row;
        if (!*lost && row->num_images > 1)
            st = keep_last_image(ctx, &rows->arena, row);
    }
    return st;
}

void dlm_rows_finish(struct dlm_rows *rows)
{
    dlm_arena_finish(&rows->arena);
    *rows = (struct dlm_rows){0};
}
