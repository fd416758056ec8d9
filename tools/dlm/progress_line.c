/* The fields of a progress line, as many as have room. */
#include "progress_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MIN_BAR 8 /* columns, brackets included */
#define MAX_BAR 42
#define ECHOED 2 /* columns in which the terminal shows ^C and ^Z as they are typed */

/* "1:02:03", "2:03" */
static void duration_text(double seconds, char *text, size_t bytes)
{
    int64_t s = seconds > 0 && seconds < 1e9 ? (int64_t)(seconds + 0.5) : 0;

    if (s >= 3600)
        snprintf(text, bytes, "%" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60),
                 (int)(s % 60));
    else
        snprintf(text, bytes, "%d:%02d", (int)(s / 60), (int)(s % 60));
}

/* --- the line --- */

/* "[####......]" of `width` columns; done is 0 to 1. */
static void bar_text(double done, int width, char *text)
{
    const int inside = width - 2;
    const int full = (int)(done * inside);

    *text++ = '[';
    for (int i = 0; i < inside; i++)
        *text++ = i < full ? '#' : '.';
    *text++ = ']';
    *text = '\0';
}

/* In the order in which they stand. */
enum field { FIELD_STEP, FIELD_BAR, FIELD_LOSS, FIELD_LEFT, FIELD_RATE, FIELD_LAST, FIELD_COUNT };

struct fields {
    char text[FIELD_COUNT][64];
    int room; /* columns that are left */
};

/* Takes text for a field if the line still fits with it. */
static void take(struct fields *f, enum field field, const char *text)
{
    const int more = (int)strlen(text) - (int)strlen(f->text[field]); /* both below 64 */
    const int gap = f->text[field][0] || field == FIELD_STEP ? 0 : 2;

    if (more + gap > f->room)
        return;
    f->room -= more + gap;
    memcpy(f->text[field], text, strlen(text) + 1);
}

static void take_left(struct fields *f, double seconds)
{
    char left[32], field[64];

    duration_text(seconds, left, sizeof(left));
    snprintf(field, sizeof(field), "%s left", left);
    take(f, FIELD_LEFT, field);
}

/* The bar takes what room is left, up to its greatest width. */
static void widen_bar(struct fields *f, double done)
{
    char field[64];

    if (!f->text[FIELD_BAR][0] || f->room <= 0)
        return;
    bar_text(done, MIN_BAR + f->room < MAX_BAR ? MIN_BAR + f->room : MAX_BAR, field);
    take(f, FIELD_BAR, field);
}

/* What matters most takes its room first, here and below. */
static void compose_train(const struct dlm_progress_now *now, double age, struct fields *f)
{
    const struct dlm_train_progress *s = &now->train;
    const double done = s->steps > 0 ? (double)s->step / (double)s->steps : 0;
    char field[64];

    snprintf(field, sizeof(field), "%" PRId64 "/%" PRId64, s->step, s->steps);
    take(f, FIELD_STEP, field);
    snprintf(field, sizeof(field), "loss %.3f", s->loss);
    take(f, FIELD_LOSS, field);
    take_left(f, s->seconds_left - age);
    snprintf(field, sizeof(field), "loss %.3f -> %.3f", now->first_loss, s->loss);
    take(f, FIELD_LOSS, field);
    bar_text(done, MIN_BAR, field);
    take(f, FIELD_BAR, field);
    snprintf(field, sizeof(field), "%.0f tokens/s", s->tokens_per_sec);
    take(f, FIELD_RATE, field);
    snprintf(field, sizeof(field), "lr %.3g", s->lr);
    take(f, FIELD_LAST, field);
    widen_bar(f, done);
}

/* "1.23/4.50 GB" */
static void bytes_text(const struct dlm_pull_progress *p, char *text, size_t bytes)
{
    const bool is_large = p->bytes >= 1000000000;
    const double unit = is_large ? 1e9 : 1e6;

    snprintf(text, bytes, "%.2f/%.2f %s", (double)p->bytes_done / unit, (double)p->bytes / unit,
             is_large ? "GB" : "MB");
}

/* Seconds, -1: not known. */
static double pull_left(const struct dlm_pull_progress *p)
{
    if (p->bytes_done >= p->bytes)
        return 0;
    return p->bytes_per_sec > 0 ? (double)(p->bytes - p->bytes_done) / p->bytes_per_sec : -1;
}

static void compose_pull(const struct dlm_progress_now *now, double age, struct fields *f)
{
    const struct dlm_pull_progress *p = &now->pull;
    const double done = p->bytes ? (double)p->bytes_done / (double)p->bytes : 0;
    const double left = pull_left(p);
    char field[64];

    bytes_text(p, field, sizeof(field));
    take(f, FIELD_STEP, field);
    if (left >= 0)
        take_left(f, left - age);
    bar_text(done, MIN_BAR, field);
    take(f, FIELD_BAR, field);
    if (p->bytes_per_sec > 0) {
        snprintf(field, sizeof(field), "%.1f MB/s", p->bytes_per_sec * 1e-6);
        take(f, FIELD_RATE, field);
    }
    if (p->num_files) {
        snprintf(field, sizeof(field), "%zu/%zu files", p->files_done, p->num_files);
        take(f, FIELD_LAST, field);
    }
    widen_bar(f, done);
}

void dlm_progress_line(const struct dlm_progress_now *now, double age, int columns, char *text,
                       size_t bytes)
{
    struct fields f = {.room = columns - 1 - ECHOED};

    if (now->is_pull)
        compose_pull(now, age, &f);
    else
        compose_train(now, age, &f);
    *text = '\0';
    for (int i = 0; i < FIELD_COUNT; i++) {
        const size_t len = strlen(text);
        if (f.text[i][0])
            snprintf(text + len, bytes - len, "%s%s", len ? "  " : "", f.text[i]);
    }
}

void dlm_progress_plain_line(const struct dlm_progress_now *now, char *text, size_t bytes)
{
    const struct dlm_train_progress *s = &now->train;
    char left[32], done[64], files[64] = "";

    if (now->is_pull) {
        bytes_text(&now->pull, done, sizeof(done));
        if (now->pull.num_files)
            snprintf(files, sizeof(files), "  %zu/%zu files", now->pull.files_done,
                     now->pull.num_files);
        snprintf(text, bytes, "%s%s  %.1f MB/s", done, files, now->pull.bytes_per_sec * 1e-6);
        return;
    }
    duration_text(s->seconds_left, left, sizeof(left));
    snprintf(text, bytes,
             "step %" PRId64 "/%" PRId64 "  loss %.4f  lr %.3g  %.0f tokens/s  %s left", s->step,
             s->steps, s->loss, s->lr, s->tokens_per_sec, left);
}
