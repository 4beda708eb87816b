/* Dates and times: DateStyle ISO, TimeZone UTC, IntervalStyle postgres. */
#include <inttypes.h>
#include <stdio.h>

#include "base/feature.h"
#include "copy/decode_value.h"

static const int64_t day_us = INT64_C(86400000000);

/* From 4714-11-24 BC (where the server's calendar begins) up to, and without, the end of year 5874897 or 294276. */
static const int64_t first_day = -2451545, end_day = 2145031949,
                     first_us = INT64_C(-211813488000000000), end_us = INT64_C(9223371331200000000);

/* A text of at most this size; put functions return its new end. */
enum { ROOM = 96 };

static char *put_two(char *to, unsigned v)
{
    *to++ = (char)('0' + v / 10 % 10);
    *to++ = (char)('0' + v % 10);
    return to;
}

static char *put_text(char *to, const char *text)
{
    size_t n = strlen(text);
    memcpy(to, text, n);
    return to + n;
}

/* Years of at least four digits, and BC: there is no year 0, it is 1 BC. */
static char *put_date(char *to, int64_t day, bool *bc)
{
    /* Years that begin in March: the day that leap years add is then the last one. Day 0 is 2000-01-01. */
    int64_t days = day + 730425;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t march = (5 * of_year + 2) / 153;
    unsigned mday = (unsigned)(of_year - (153 * march + 2) / 5 + 1);
    unsigned month = (unsigned)(march < 10 ? march + 3 : march - 9);
    int64_t year = year_of_era + era * 400 + (month <= 2);
    *bc = year <= 0;
    uint64_t shown = (uint64_t)(*bc ? 1 - year : year);
    for (uint64_t least = 1000; least > shown && least > 1; least /= 10)
        *to++ = '0';
    to += ph_value_put_digits(to, shown);
    *to++ = '-';
    to = put_two(to, month);
    *to++ = '-';
    return put_two(to, mday);
}

/* ":SS" and what there is of a fraction, without zeros at its end. */
static char *put_seconds(char *to, uint64_t us)
{
    *to++ = ':';
    to = put_two(to, (unsigned)(us / 1000000 % 60));
    unsigned fraction = (unsigned)(us % 1000000);
    if (fraction == 0)
        return to;
    *to++ = '.';
    for (unsigned unit = 100000; fraction; fraction %= unit, unit /= 10)
        *to++ = (char)('0' + fraction / unit);
    return to;
}

static char *put_time(char *to, uint64_t us)
{
    to = put_two(to, (unsigned)(us / 3600000000));
    *to++ = ':';
    to = put_two(to, (unsigned)(us / 60000000 % 60));
    return put_seconds(to, us);
}

static void add_text(struct ph_buf *out, const char *text, const char *end)
{
    ph_buf_addn(out, text, (size_t)(end - text));
}

bool ph_value_date(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    int32_t day;
    if (!ph_bytes_i32(in, &day))
        return false;
    if (day == INT32_MAX || day == INT32_MIN) {
        ph_buf_add(out, day > 0 ? "infinity" : "-infinity");
        return true;
    }
    if (day < first_day || day >= end_day)
        return ph_bytes_bad(in, "it is outside the calendar");
    char text[ROOM];
    bool bc;
    char *end = put_date(text, day, &bc);
    if (bc)
        end = put_text(end, " BC");
    add_text(out, text, end);
    return true;
}

static bool read_time(struct ph_bytes *in, int64_t *us)
{
    if (!ph_bytes_i64(in, us))
        return false;
    return (*us >= 0 && *us <= day_us) || ph_bytes_bad(in, "it is no time of a day");
}

bool ph_value_time(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    int64_t us;
    if (!read_time(in, &us))
        return false;
    char text[ROOM];
    add_text(out, text, put_time(text, (uint64_t)us));
    return true;
}

/* The zone is sent as seconds west of Greenwich and shown as hours east of it. */
bool ph_value_timetz(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    int64_t us;
    int32_t west;
    if (!read_time(in, &us) || !ph_bytes_i32(in, &west))
        return false;
    if (west <= -16 * 3600 || west >= 16 * 3600)
        return ph_bytes_bad(in, "its time zone is impossible");
    char text[ROOM];
    char *to = put_time(text, (uint64_t)us);
    unsigned size = (unsigned)(west < 0 ? -west : west);
    *to++ = west <= 0 ? '+' : '-';
    to = put_two(to, size / 3600);
    if (size % 3600) {
        *to++ = ':';
        to = put_two(to, size / 60 % 60);
    }
    if (size % 60) {
        *to++ = ':';
        to = put_two(to, size % 60);
    }
    add_text(out, text, to);
    return true;
}

static bool add_timestamp(struct ph_bytes *in, struct ph_buf *out, const char *zone)
{
    int64_t us;
    if (!ph_bytes_i64(in, &us))
        return false;
    if (us == INT64_MAX || us == INT64_MIN) {
        ph_buf_add(out, us > 0 ? "infinity" : "-infinity");
        return true;
    }
    if (us < first_us || us >= end_us)
        return ph_bytes_bad(in, "it is outside the calendar");
    int64_t day = us / day_us, of_day = us % day_us;
    if (of_day < 0) {
        day--;
        of_day += day_us;
    }
    char text[ROOM];
    bool bc;
    char *to = put_date(text, day, &bc);
    *to++ = ' ';
    to = put_text(put_time(to, (uint64_t)of_day), zone);
    if (bc)
        to = put_text(to, " BC");
    add_text(out, text, to);
    return true;
}

bool ph_value_timestamp(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    return add_timestamp(in, out, "");
}

bool ph_value_timestamptz(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    return add_timestamp(in, out, "+00");
}

/* "1 year", "-2 days", "+3 mons": a plus says that the field before was negative and this one is not. */
static void add_part(struct ph_buf *out, int64_t n, const char *unit, bool *first, bool *negative)
{
    if (n == 0)
        return;
    ph_buf_addf(out, "%s%s%" PRId64 " %s%s", *first ? "" : " ", *negative && n > 0 ? "+" : "", n,
                unit, n == 1 ? "" : "s");
    *first = false;
    *negative = n < 0;
}

static void add_interval(struct ph_buf *out, int64_t us, int32_t days, int32_t months)
{
    bool first = true, negative = false;
    add_part(out, months / 12, "year", &first, &negative);
    add_part(out, months % 12, "mon", &first, &negative);
    add_part(out, days, "day", &first, &negative);
    if (us == 0 && !first)
        return;
    uint64_t size = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    ph_buf_addf(out, "%s%s%02" PRIu64 ":%02u", first ? "" : " ",
                us < 0     ? "-"
                : negative ? "+"
                           : "",
                size / 3600000000, (unsigned)(size / 60000000 % 60));
    char text[ROOM];
    add_text(out, text, put_seconds(text, size));
}

bool ph_value_interval(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    int64_t us;
    int32_t days, months;
    if (!ph_bytes_i64(in, &us) || !ph_bytes_i32(in, &days) || !ph_bytes_i32(in, &months))
        return false;
    bool infinite = ph_feature_has(shape->version, PH_HAS_INFINITE_INTERVALS);
    if (infinite && us == INT64_MAX && days == INT32_MAX && months == INT32_MAX)
        ph_buf_add(out, "infinity");
    else if (infinite && us == INT64_MIN && days == INT32_MIN && months == INT32_MIN)
        ph_buf_add(out, "-infinity");
    else
        add_interval(out, us, days, months);
    return true;
}
