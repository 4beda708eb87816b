#include "plan/pattern.h"

#include <stddef.h>
#include <string.h>

enum { LONGEST_NAME = 63 };

/* One part, up to an unquoted dot or the end; returns where it ended, NULL when a quote stays open.
 */
static const char *parse_part(struct ph_pattern_part *part, struct ph_arena *arena, const char *p)
{
    size_t room = strlen(p) + 1, n = 0;
    char *text = ph_arena_alloc(arena, room);
    unsigned char *wild = ph_arena_alloc(arena, room);
    bool quoted = false;
    part->is_wild = false;
    for (; *p && (quoted || *p != '.'); p++) {
        if (*p == '"') {
            if (quoted && p[1] == '"')
                text[n++] = *p++;
            else
                quoted = !quoted;
            continue;
        }
        char c = *p;
        if (!quoted && c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (!quoted && (c == '*' || c == '?')) {
            wild[n] = 1;
            part->is_wild = true;
        }
        text[n++] = c;
    }
    part->text = text;
    part->wild = wild;
    return quoted ? NULL : p;
}

static bool check_part(const struct ph_pattern_part *part, const char *text, struct ph_err *err)
{
    if (!*part->text) {
        ph_err_set(err, PH_WRONG, "\"%s\" has an empty name in it", text);
        return ph_err_hint(err, "write NAME or SCHEMA.NAME, names with dots as \"a.b\"");
    }
    if (!part->is_wild && strlen(part->text) > LONGEST_NAME) {
        ph_err_set(err, PH_WRONG,
                   "the name \"%.70s%s\" is longer than the %d bytes that PostgreSQL keeps",
                   part->text, strlen(part->text) > 70 ? "..." : "", LONGEST_NAME);
        return ph_err_hint(err, "\\dt in psql shows the name that the table has");
    }
    return true;
}

bool ph_pattern_parse(struct ph_pattern *out, struct ph_arena *arena, const char *text,
                      struct ph_err *err)
{
    struct ph_pattern_part parts[2] = {{0}};
    *out = (struct ph_pattern){0};
    int n = 0;
    for (const char *p = text;; p++) {
        if (n == 2) {
            ph_err_set(err, PH_WRONG, "\"%s\" has more parts than SCHEMA.NAME", text);
            return ph_err_hint(err, "the database is named in the connection string; a dot that "
                                    "belongs to a name needs double quotes");
        }
        p = parse_part(&parts[n], arena, p);
        if (!p) {
            ph_err_set(err, PH_WRONG, "\"%s\" has an unmatched double quote", text);
            return ph_err_hint(err, "a quote that belongs to a name is written twice");
        }
        if (!check_part(&parts[n], text, err))
            return false;
        n++;
        if (!*p)
            break;
    }
    if (n == 2)
        out->schema = parts[0];
    out->name = parts[n - 1];
    return true;
}

bool ph_pattern_parse_schema(struct ph_pattern *out, struct ph_arena *arena, const char *text,
                             struct ph_err *err)
{
    if (!ph_pattern_parse(out, arena, text, err))
        return false;
    if (!out->schema.text)
        return true;
    ph_err_set(err, PH_WRONG, "\"%s\" is not the name of a schema", text);
    return ph_err_hint(err, "a dot that belongs to a name needs double quotes");
}

/* Length of the character at p; in encodings other than UTF-8 every byte is taken for one. */
static size_t character(const char *p)
{
    size_t n = 1;
    if ((unsigned char)*p >= 0xC0)
        while (((unsigned char)p[n] & 0xC0) == 0x80)
            n++;
    return n;
}

/* Greedy with one point to come back to: the last star is the only one that ever needs to take
 * more. */
bool ph_pattern_matches(const struct ph_pattern_part *part, const char *name)
{
    if (!part->text)
        return true;
    const char *p = part->text, *star = NULL, *star_name = NULL;
    while (*name) {
        bool wild = part->wild[p - part->text];
        if (wild && *p == '*') {
            star = p++;
            star_name = name;
        } else if (wild && *p == '?') {
            p++;
            name += character(name);
        } else if (*p && *p == *name) {
            p++;
            name++;
        } else if (star) {
            p = star + 1;
            star_name += character(star_name);
            name = star_name;
        } else {
            return false;
        }
    }
    while (part->wild[p - part->text] && *p == '*')
        p++;
    return !*p;
}
