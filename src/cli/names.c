#include "cli/names.h"

#include <string.h>

/* The first of `stops` outside double quotes, or the end; NULL when a quote stays open. */
static const char *find_outside(const char *p, const char *stops)
{
    bool quoted = false;
    for (; *p; p++) {
        if (*p == '"')
            quoted = !quoted;
        else if (!quoted && strchr(stops, *p))
            return p;
    }
    return quoted ? NULL : p;
}

static bool check_pattern(const char *pattern, const char *whole, struct ph_err *err)
{
    size_t len = strlen(pattern);
    bool hollow = len == 0 || pattern[0] == '.' || pattern[len - 1] == '.' ||
                  strstr(pattern, "..") || !strcmp(pattern, "\"\"");
    if (!hollow)
        return true;
    ph_err_set(err, PH_WRONG, "\"%s\" does not name a table", whole);
    return ph_err_hint(err, "tables are written [SCHEMA.]NAME or [SCHEMA.]NAME=[SCHEMA.]TARGET");
}

bool ph_names_table(struct ph_arena *arena, const char *text, const char **pattern,
                    const char **target, struct ph_err *err)
{
    const char *eq = find_outside(text, "=");
    if (!eq || (*eq && !find_outside(eq + 1, "="))) {
        ph_err_set(err, PH_WRONG, "a double quote is left open in %s", text);
        return ph_err_hint(err, "shells take quotes away: write '\"Name\"'");
    }
    *pattern = ph_arena_printf(arena, "%.*s", (int)(eq - text), text);
    *target = NULL;
    if (!check_pattern(*pattern, text, err))
        return false;
    if (*eq == '\0')
        return true;
    *target = ph_arena_strdup(arena, eq + 1);
    if (*find_outside(eq + 1, "=") == '=')
        return ph_err_set(err, PH_WRONG, "more than one = in %s", text);
    if (!check_pattern(*target, text, err))
        return false;
    if (ph_names_is_wild(*target))
        return ph_err_set(err, PH_WRONG, "the target's name in %s is a pattern", text);
    if (ph_names_is_wild(*pattern)) {
        ph_err_set(err, PH_WRONG, "%s gives one target to a pattern", text);
        return ph_err_hint(err, "name the tables one by one, or leave the target's name away");
    }
    return true;
}

bool ph_names_is_wild(const char *pattern)
{
    const char *p = find_outside(pattern, "*?|[(+");
    return p && *p;
}

/* Takes one name from *p up to a comma or the end. */
static const char *take_name(struct ph_arena *arena, const char **p, struct ph_err *err)
{
    const char *end = find_outside(*p, ",");
    if (!end) {
        ph_err_set(err, PH_WRONG, "a double quote is left open in a list of names");
        return NULL;
    }
    const char *from = *p, *to = end;
    while (from < to && *from == ' ')
        from++;
    while (to > from && to[-1] == ' ')
        to--;
    char *name = ph_arena_alloc(arena, (size_t)(to - from) + 1), *out = name;
    bool quoted = false;
    for (; from < to; from++) {
        if (*from == '"' && quoted && from + 1 < to && from[1] == '"')
            *out++ = *from++;
        else if (*from == '"')
            quoted = !quoted;
        else
            *out++ = !quoted && *from >= 'A' && *from <= 'Z' ? (char)(*from + 32) : *from;
    }
    *p = end;
    if (!*name) {
        ph_err_set(err, PH_WRONG, "a name in the list is empty");
        ph_err_hint(err, "names are separated by commas: a,b,\"C\"");
        return NULL;
    }
    return name;
}

bool ph_names_list(struct ph_arena *arena, const char *text, struct ph_words *out,
                   struct ph_err *err)
{
    *out = (struct ph_words){0};
    for (const char *p = text;; p++) {
        const char *name = take_name(arena, &p, err);
        if (!name)
            return false;
        for (int i = 0; i < out->n; i++)
            if (!strcmp(out->item[i], name))
                return ph_err_set(err, PH_WRONG, "\"%s\" is named twice", name);
        ph_words_add(arena, out, name);
        if (!*p)
            return true;
    }
}

bool ph_names_one(struct ph_arena *arena, const char *text, const char **out, struct ph_err *err)
{
    if (!*text)
        return ph_err_set(err, PH_WRONG, "a name is empty");
    if (*text != '"') {
        *out = ph_arena_strdup(arena, text);
        return true;
    }
    const char *p = text;
    *out = take_name(arena, &p, err);
    if (*out && *p)
        return ph_err_set(err, PH_WRONG, "a list of names stands where one name should");
    return *out != NULL;
}

/* Overlong forms, surrogates and cut-off ones are none. */
size_t ph_text_char(const char *text, size_t left)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n == 0 || n > left || p[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

size_t ph_text_bad_byte(const char *text, size_t len, bool controls)
{
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)text[i];
        bool control = c == 0x7f || (c < 0x20 && c != '\t' && c != '\n' && c != '\r');
        size_t n = ph_text_char(text + i, len - i);
        if (n == 0 || (control && !controls))
            return i;
        i += n;
    }
    return len;
}
