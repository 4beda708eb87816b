#include "base/num.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Digits with at most one point, read without the locale. Returns the number of characters taken, 0
 * when there is no number. */
static size_t read_decimal(const char *text, double *out)
{
    double value = 0, scale = 1;
    size_t i = 0, digits = 0;
    for (; text[i] >= '0' && text[i] <= '9'; i++, digits++)
        value = value * 10 + (text[i] - '0');
    if (text[i] == '.') {
        i++;
        for (; text[i] >= '0' && text[i] <= '9'; i++, digits++) {
            value = value * 10 + (text[i] - '0');
            scale *= 10;
        }
    }
    *out = value / scale;
    return digits ? i : 0;
}

struct unit {
    const char *name;
    double factor;
};

static const struct unit *find_unit(const struct unit *units, const char *name)
{
    for (; units->name; units++)
        if (!strcmp(units->name, name))
            return units;
    return NULL;
}

bool ph_num_size(const char *text, uint64_t *out, struct ph_err *err)
{
    static const struct unit units[] = {
        {"", 1},         {"B", 1},        {"k", 1e3},      {"K", 1e3},      {"M", 1e6},
        {"G", 1e9},      {"T", 1e12},     {"kB", 1e3},     {"KB", 1e3},     {"MB", 1e6},
        {"GB", 1e9},     {"TB", 1e12},    {"KiB", 0x1p10}, {"kiB", 0x1p10}, {"MiB", 0x1p20},
        {"GiB", 0x1p30}, {"TiB", 0x1p40}, {NULL, 0},
    };
    double value = 0;
    size_t n = read_decimal(text, &value);
    const struct unit *unit = n ? find_unit(units, text + n) : NULL;
    double total = unit ? value * unit->factor : 0;
    if (!unit || !(total >= 1) || total > 0x1p62) {
        ph_err_set(err, PH_WRONG, "\"%.40s\" is not a size", text);
        return ph_err_hint(err, "sizes look like 64MiB, 64MB, 1.5G or 200k");
    }
    *out = (uint64_t)llround(total);
    return true;
}

bool ph_num_duration(const char *text, double *out_s, struct ph_err *err)
{
    static const struct unit units[] = {
        {"", 1},     {"ms", 1e-3}, {"s", 1},     {"m", 60},
        {"min", 60}, {"h", 3600},  {"d", 86400}, {NULL, 0},
    };
    double value = 0;
    size_t n = read_decimal(text, &value);
    const struct unit *unit = n ? find_unit(units, text + n) : NULL;
    if (!unit || value * unit->factor > 1e9) {
        ph_err_set(err, PH_WRONG, "\"%.40s\" is not a time span", text);
        return ph_err_hint(err, "time spans look like 10s, 5m, 1h or 250ms");
    }
    *out_s = value * unit->factor;
    return true;
}

bool ph_num_int(const char *text, int64_t min, int64_t max, int64_t *out, struct ph_err *err)
{
    const char *p = text;
    bool minus = *p == '-';
    if (minus)
        p++;
    uint64_t value = 0;
    bool ok = *p != '\0';
    for (; *p && ok; p++) {
        ok = *p >= '0' && *p <= '9' && value <= (uint64_t)INT64_MAX / 10 - 1;
        value = value * 10 + (uint64_t)(*p - '0');
    }
    int64_t n = minus ? -(int64_t)value : (int64_t)value;
    if (!ok || n < min || n > max)
        return ph_err_set(err, PH_WRONG,
                          "\"%.40s\" is not a whole number from %" PRId64 " to %" PRId64, text, min,
                          max);
    *out = n;
    return true;
}

const char *ph_num_show_bytes(char out[static PH_NUM_TEXT], double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t u = 0;
    while (bytes >= 999.5 && u + 1 < sizeof units / sizeof *units) {
        bytes /= 1024;
        u++;
    }
    snprintf(out, PH_NUM_TEXT, u == 0 || bytes >= 99.95 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
    return out;
}

const char *ph_num_show_count(char out[static PH_NUM_TEXT], uint64_t n)
{
    char digits[PH_NUM_TEXT];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    char *p = out;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            *p++ = ',';
        *p++ = digits[i];
    }
    *p = '\0';
    return out;
}

const char *ph_num_show_short(char out[static PH_NUM_TEXT], double n)
{
    static const char *const units[] = {"", " k", " M", " G", " T"};
    size_t u = 0;
    while (n >= 999.5 && u + 1 < sizeof units / sizeof *units) {
        n /= 1000;
        u++;
    }
    snprintf(out, PH_NUM_TEXT, u == 0 || n >= 99.95 ? "%.0f%s" : "%.1f%s", n, units[u]);
    return out;
}

const char *ph_num_show_duration(char out[static PH_NUM_TEXT], double seconds)
{
    if (!(seconds >= 0))
        seconds = 0;
    if (seconds < 99.95)
        snprintf(out, PH_NUM_TEXT, "%.1f s", seconds);
    else if (seconds < 3600)
        snprintf(out, PH_NUM_TEXT, "%dm%02ds", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(out, PH_NUM_TEXT, "%.0fh%02dm", floor(seconds / 3600),
                 (int)(fmod(seconds, 3600) / 60));
    return out;
}
