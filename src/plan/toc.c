#include "plan/toc.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Longer ones in front of those that they begin with. counted: under which name for people. */
static const struct {
    const char *kind, *counted;
} kinds[] = {
    {"ACCESS METHOD", "access methods"},
    {"ACL LANGUAGE", NULL},
    {"ACL", NULL},
    {"AGGREGATE", "functions"},
    {"BLOB METADATA", NULL},
    {"BLOB", NULL},
    {"CAST", "casts"},
    {"CHECK CONSTRAINT", "constraints"},
    {"COLLATION", "collations"},
    {"COMMENT", NULL},
    {"CONSTRAINT", "constraints"},
    {"CONVERSION", "conversions"},
    {"DATABASE PROPERTIES", NULL},
    {"DATABASE", NULL},
    {"DEFAULT ACL", NULL},
    {"DEFAULT", NULL},
    {"DOMAIN", "types"},
    {"ENCODING", NULL},
    {"EVENT TRIGGER", "event triggers"},
    {"EXTENSION", "extensions"},
    {"FK CONSTRAINT", "foreign keys"},
    {"FOREIGN DATA WRAPPER", "foreign data wrappers"},
    {"FOREIGN SERVER", "foreign servers"},
    {"SERVER", "foreign servers"},
    {"FOREIGN TABLE", "foreign tables"},
    {"FUNCTION", "functions"},
    {"INDEX ATTACH", NULL},
    {"INDEX", "indexes"},
    {"LARGE OBJECT", NULL},
    {"MATERIALIZED VIEW DATA", NULL},
    {"MATERIALIZED VIEW", "materialized views"},
    {"OPERATOR CLASS", "operator classes"},
    {"OPERATOR FAMILY", "operator families"},
    {"OPERATOR", "operators"},
    {"POLICY", "policies"},
    {"PROCEDURAL LANGUAGE", "languages"},
    {"PROCEDURE", "functions"},
    {"PUBLICATION TABLES IN SCHEMA", NULL},
    {"PUBLICATION TABLE", NULL},
    {"PUBLICATION", "publications"},
    {"ROW SECURITY", NULL},
    {"RULE", "rules"},
    {"SCHEMA", "schemas"},
    {"SECURITY LABEL", NULL},
    {"SEQUENCE OWNED BY", NULL},
    {"SEQUENCE SET", NULL},
    {"SEQUENCE", "sequences"},
    {"SHELL TYPE", NULL},
    {"STATISTICS DATA", NULL},
    {"STATISTICS", "statistics"},
    {"STDSTRINGS", NULL},
    {"SUBSCRIPTION TABLE", NULL},
    {"SUBSCRIPTION", "subscriptions"},
    {"TABLE ATTACH", NULL},
    {"TABLE DATA", NULL},
    {"TABLE", "tables"},
    {"TEXT SEARCH CONFIGURATION", "text search objects"},
    {"TEXT SEARCH DICTIONARY", "text search objects"},
    {"TEXT SEARCH PARSER", "text search objects"},
    {"TEXT SEARCH TEMPLATE", "text search objects"},
    {"TRANSFORM", "transforms"},
    {"TRIGGER", "triggers"},
    {"TYPE", "types"},
    {"USER MAPPING", "user mappings"},
    {"VIEW", "views"},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* Takes "word " from the front of a text. */
static bool take_word(const char **at, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(*at, word, n) != 0 || (*at)[n] != ' ')
        return false;
    *at += n + 1;
    return true;
}

static const char *take_kind(struct ph_arena *arena, const char **at)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (take_word(at, kinds[i].kind))
            return kinds[i].kind;
    const char *kind = ph_arena_printf(arena, "%.*s", (int)strcspn(*at, " "), *at);
    take_word(at, kind);
    return kind;
}

/* The longest schema that fits: a schema a and a schema "a b" may both be there. */
static const char *take_schema(const struct ph_toc_names *names, const char **at)
{
    const char *found = NULL;
    const char *text = *at, *behind = *at;
    if (take_word(at, "-"))
        return NULL;
    for (int i = 0; i < names->n_schemas; i++) {
        const char *p = text;
        if (take_word(&p, names->schemas[i]) && p > behind) {
            found = names->schemas[i];
            behind = p;
        }
    }
    *at = behind;
    return found;
}

/* What a line ends with; its length is taken off *len. */
static const char *take_owner(const struct ph_toc_names *names, const char *text, size_t *len)
{
    const char *found = "";
    size_t longest = 0;
    for (int i = 0; i < names->n_roles; i++) {
        size_t n = strlen(names->roles[i]);
        if (n > longest && n < *len && text[*len - n - 1] == ' ' &&
            !strncmp(text + *len - n, names->roles[i], n)) {
            found = names->roles[i];
            longest = n;
        }
    }
    if (longest)
        *len -= longest + 1;
    else if (*len && text[*len - 1] == ' ')
        (*len)--; /* no owner: a blank, and nothing behind it */
    return found;
}

static bool parse_line(struct ph_toc_entry *e, struct ph_arena *arena, const char *line,
                       const struct ph_toc_names *names)
{
    char *end;
    const char *at = line;
    strtol(at, &end, 10);
    if (end == at || strncmp(end, "; ", 2) != 0)
        return false;
    at = end + 2;
    e->line = line;
    e->catalog = (uint32_t)strtoul(at, &end, 10);
    e->oid = (uint32_t)strtoul(end, &end, 10);
    at = *end == ' ' ? end + 1 : end;
    e->kind = take_kind(arena, &at);
    e->schema = take_schema(names, &at);
    size_t n = strlen(at);
    e->owner = take_owner(names, at, &n);
    e->tag = ph_arena_printf(arena, "%.*s", (int)n, at);
    return true;
}

void ph_toc_parse(struct ph_toc *out, struct ph_arena *arena, const char *list,
                  const struct ph_toc_names *names)
{
    size_t lines = 1;
    for (const char *p = list; *p; p++)
        lines += *p == '\n';
    *out = (struct ph_toc){.items = ph_arena_calloc(arena, lines, sizeof *out->items)};
    while (*list) {
        size_t n = strcspn(list, "\n");
        if (n > 0 && *list != ';' &&
            parse_line(&out->items[out->n], arena, ph_arena_printf(arena, "%.*s", (int)n, list),
                       names))
            out->n++;
        list += n + (list[n] == '\n');
    }
}

bool ph_toc_is(const struct ph_toc_entry *entry, const char *kind)
{
    return !strcmp(entry->kind, kind);
}

const char *ph_toc_shown(struct ph_arena *arena, const struct ph_toc_entry *entry)
{
    char *kind = ph_arena_strdup(arena, entry->kind);
    for (char *p = kind; *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    return entry->schema ? ph_arena_printf(arena, "%s %s.%s", kind, entry->schema, entry->tag)
                         : ph_arena_printf(arena, "%s %s", kind, entry->tag);
}

static const char *counted_as(const char *kind)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (!strcmp(kinds[i].kind, kind))
            return kinds[i].counted;
    return "other";
}

char *ph_toc_counts(const struct ph_toc *const *tocs, int n)
{
    json_t *json = json_object();
    for (int t = 0; t < n; t++)
        for (int i = 0; i < tocs[t]->n; i++) {
            const char *name = counted_as(tocs[t]->items[i].kind);
            json_int_t before = name ? json_integer_value(json_object_get(json, name)) : 0;
            if (name)
                json_object_set_new(json, name, json_integer(before + 1));
        }
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}
