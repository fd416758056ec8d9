/* Which texts datetime.fromisoformat() of Python 3.11 accepts. */
#include "doc/text.h"

#include <string.h>

struct cursor {
    const char *p, *end;
};

static bool digits(struct cursor *c, int n, int *value)
{
    *value = 0;
    if (c->end - c->p < n)
        return false;
    for (int i = 0; i < n; i++) {
        char d = *c->p++;
        if (d < '0' || d > '9')
            return false;
        *value = *value * 10 + (d - '0');
    }
    return true;
}

static bool eat(struct cursor *c, char wanted)
{
    if (c->p >= c->end || *c->p != wanted)
        return false;
    c->p++;
    return true;
}

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Day of the week of 1 January, Monday is 0. */
static int first_weekday(int year)
{
    int before = year - 1;
    return (before * 365 + before / 4 - before / 100 + before / 400) % 7;
}

static bool is_week_date(int year, int week, int day)
{
    bool long_year = first_weekday(year) == 3 || (first_weekday(year) == 2 && is_leap(year));
    return week >= 1 && week <= 52 + long_year && day >= 1 && day <= 7;
}

/* YYYY-MM-DD, YYYYMMDD, YYYY-Www[-D], YYYYWww[D]. */
static bool date(struct cursor *c)
{
    int year = 0, month = 0, day = 0;

    if (!digits(c, 4, &year) || year < 1)
        return false;
    bool dashes = eat(c, '-');
    if (eat(c, 'W')) {
        int week = 0;
        if (!digits(c, 2, &week))
            return false;
        day = 1;
        if (dashes ? c->p < c->end && *c->p == '-'
                   : c->p < c->end && *c->p >= '0' && *c->p <= '9') {
            if ((dashes && !eat(c, '-')) || !digits(c, 1, &day))
                return false;
        }
        return is_week_date(year, week, day);
    }
    if (!digits(c, 2, &month) || (dashes && !eat(c, '-')) || !digits(c, 2, &day))
        return false;
    return month >= 1 && month <= 12 && day >= 1 && day <= days_in_month(year, month);
}

/* HH[:MM[:SS[(.|,)digits]]], with or without the colons throughout. */
static bool clock(struct cursor *c, int max_hour)
{
    int hour = 0, minute = 0, second = 0;

    if (!digits(c, 2, &hour) || hour > max_hour)
        return false;
    if (c->p >= c->end)
        return true;
    bool colons = eat(c, ':');
    if (!digits(c, 2, &minute) || minute > 59)
        return false;
    if (c->p >= c->end)
        return true;
    if ((colons && !eat(c, ':')) || !digits(c, 2, &second) || second > 59)
        return false;
    if (c->p >= c->end)
        return true;
    if (!eat(c, '.') && !eat(c, ','))
        return false;
    if (c->p >= c->end)
        return false;
    for (; c->p < c->end; c->p++) {
        if (*c->p < '0' || *c->p > '9')
            return false;
    }
    return true;
}

bool dlm_text_is_iso_datetime(const char *text, size_t len)
{
    struct cursor c = {text, text + len};

    if (!date(&c))
        return false;
    if (c.p >= c.end)
        return true;
    /* Any one character separates date and time. */
    uint32_t separator = 0;
    c.p += dlm_text_decode(c.p, (size_t)(c.end - c.p), &separator);
    const char *zone = c.p;
    while (zone < c.end && *zone != '+' && *zone != '-' && *zone != 'Z')
        zone++;
    struct cursor time = {c.p, zone};
    if (!clock(&time, 23))
        return false;
    if (zone >= c.end)
        return true;
    if (*zone == 'Z')
        return zone + 1 == c.end;
    struct cursor offset = {zone + 1, c.end};
    return clock(&offset, 23);
}
