#include "base/timetable.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

enum { DAY = 24 * 60, ALL_DAYS = 127 };

static bool wrong(struct ph_err *err, const char *entry, const char *what)
{
    ph_err_set(err, PH_WRONG, "timetable entry \"%.60s\": %s", entry, what);
    return ph_err_hint(err, "for example: Mon-Fri 08:00-18:00 20MiB/s; Sat,Sun pause; else off");
}

static int day_of(const char *text, size_t n)
{
    static const char *const names[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    for (int i = 0; i < 7; i++)
        if (n == 3 && !strncasecmp(text, names[i], 3))
            return i;
    return -1;
}

/* Mon  Mon-Fri  Sat,Sun  Fri-Mon,Wed */
static bool read_days(const char *word, unsigned *days)
{
    *days = 0;
    for (const char *p = word;;) {
        size_t n = strcspn(p, "-,");
        int first = day_of(p, n), last = first;
        p += n;
        if (*p == '-') {
            n = strcspn(++p, ",");
            last = day_of(p, n);
            p += n;
        }
        if (first < 0 || last < 0)
            return false;
        for (int day = first;; day = (day + 1) % 7) {
            *days |= 1u << day;
            if (day == last)
                break;
        }
        if (!*p)
            return true;
        p++;
    }
}

static bool read_clock(const char *text, size_t n, int *minutes)
{
    char copy[6] = "";
    if (n < 4 || n > 5)
        return false;
    memcpy(copy, text, n);
    char *colon = strchr(copy, ':');
    int64_t hour, minute;
    if (!colon || strlen(colon) != 3)
        return false;
    *colon = '\0';
    if (!ph_num_int(copy, 0, 24, &hour, NULL) || !ph_num_int(colon + 1, 0, 59, &minute, NULL))
        return false;
    *minutes = (int)(hour * 60 + minute);
    return *minutes <= DAY;
}

/* 08:00-18:00, 22:00-06:00 */
static bool read_hours(const char *word, int *begin, int *end)
{
    const char *dash = strchr(word, '-');
    if (!dash || !read_clock(word, (size_t)(dash - word), begin) ||
        !read_clock(dash + 1, strlen(dash + 1), end) || *begin == *end || *begin == DAY)
        return false;
    if (*end < *begin)
        *end += DAY;
    return true;
}

static bool read_action(char *word, struct ph_timetable_entry *e)
{
    size_t n = strlen(word);
    if (!strcasecmp(word, "off"))
        return true;
    if (!strcasecmp(word, "pause"))
        return e->pause = true;
    if (n > 2 && !strcmp(word + n - 2, "/s"))
        word[n - 2] = '\0';
    return ph_num_size(word, &e->per_s, NULL);
}

/* Cuts the next word off, in place; NULL: there is none. */
static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " \t\n");
    if (!*word)
        return NULL;
    *rest = word + strcspn(word, " \t\n");
    if (**rest)
        *(*rest)++ = '\0';
    return word;
}

static bool read_entry(const char *text, struct ph_timetable_entry *e, struct ph_err *err)
{
    char copy[128], *rest = copy;
    snprintf(copy, sizeof copy, "%s", text);
    snprintf(e->text, sizeof e->text, "%.47s", text);
    e->days = ALL_DAYS;
    e->end = DAY;
    char *word = next_word(&rest);
    bool otherwise = word && !strcasecmp(word, "else");
    if (otherwise)
        word = next_word(&rest);
    if (word && !otherwise && isalpha((unsigned char)*word) && strcasecmp(word, "off") != 0 &&
        strcasecmp(word, "pause") != 0) {
        if (!read_days(word, &e->days))
            return wrong(err, text, "days are Mon, Tue, Wed, Thu, Fri, Sat, Sun");
        word = next_word(&rest);
    }
    if (word && !otherwise && strchr(word, ':')) {
        if (!read_hours(word, &e->begin, &e->end))
            return wrong(err, text, "hours are written 08:00-18:00");
        word = next_word(&rest);
    }
    if (!word || !read_action(word, e))
        return wrong(err, text, "it wants a rate like 20MiB/s, pause or off");
    return !next_word(&rest) || wrong(err, text, "something follows what is to hold then");
}

bool ph_timetable_parse(struct ph_timetable *out, const char *text, struct ph_err *err)
{
    struct ph_timetable table = {0};
    for (const char *p = text;;) {
        char entry[128];
        p += strspn(p, " \t\n");
        size_t n = strcspn(p, ";"), len = n;
        while (len > 0 && isspace((unsigned char)p[len - 1]))
            len--;
        if (len >= sizeof entry)
            return wrong(err, p, "too long");
        snprintf(entry, sizeof entry, "%.*s", (int)len, p);
        if (len > 0) {
            if (table.n == PH_TIMETABLE_MAX)
                return wrong(err, entry, "there are too many");
            if (!read_entry(entry, &table.entry[table.n++], err))
                return false;
        }
        p += n;
        if (!*p)
            break;
        p++;
    }
    if (table.n == 0)
        return wrong(err, text, "there is nothing in it");
    if (out)
        *out = table;
    return true;
}

const struct ph_timetable_entry *ph_timetable_at(const struct ph_timetable *table, time_t now)
{
    struct tm tm;
    if (!localtime_r(&now, &tm))
        return NULL;
    int minute = tm.tm_hour * 60 + tm.tm_min, yesterday = (tm.tm_wday + 6) % 7;
    for (int i = 0; i < table->n; i++) {
        const struct ph_timetable_entry *e = &table->entry[i];
        bool today = (e->days >> tm.tm_wday & 1) && minute >= e->begin && minute < e->end;
        bool since_yesterday = (e->days >> yesterday & 1) && minute + DAY < e->end;
        if (today || since_yesterday)
            return e;
    }
    return NULL;
}
