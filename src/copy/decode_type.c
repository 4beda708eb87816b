#include "copy/decode_type.h"

/* Types of pg_catalog that show themselves. `shown` is format_type()'s name where it differs. */
struct scalar {
    const char *name, *shown;
    ph_value_fn *value;
    uint32_t oid;
    bool plain;
    char delim; /* 0: a comma */
};

static const struct scalar scalars[] = {
    {"bool", "boolean", ph_value_bool, 16, true, 0},
    {"bytea", NULL, ph_value_bytea, 17, false, 0},
    {"\"char\"", NULL, ph_value_char, 18, false, 0},
    {"name", NULL, ph_value_text, 19, false, 0},
    {"int8", "bigint", ph_value_int8, 20, true, 0},
    {"int2", "smallint", ph_value_int2, 21, true, 0},
    {"int4", "integer", ph_value_int4, 23, true, 0},
    {"text", NULL, ph_value_text, 25, false, 0},
    {"oid", NULL, ph_value_uint4, 26, true, 0},
    {"tid", NULL, ph_value_tid, 27, false, 0},
    {"xid", NULL, ph_value_uint4, 28, true, 0},
    {"cid", NULL, ph_value_uint4, 29, true, 0},
    {"json", NULL, ph_value_text, 114, false, 0},
    {"xml", NULL, ph_value_text, 142, false, 0},
    {"point", NULL, ph_value_point, 600, false, 0},
    {"lseg", NULL, ph_value_lseg, 601, false, 0},
    {"path", NULL, ph_value_path, 602, false, 0},
    {"box", NULL, ph_value_box, 603, false, ';'},
    {"polygon", NULL, ph_value_polygon, 604, false, 0},
    {"line", NULL, ph_value_line, 628, false, 0},
    {"cidr", NULL, ph_value_cidr, 650, true, 0},
    {"float4", "real", ph_value_float4, 700, true, 0},
    {"float8", "double precision", ph_value_float8, 701, true, 0},
    {"unknown", NULL, ph_value_text, 705, false, 0},
    {"circle", NULL, ph_value_circle, 718, false, 0},
    {"macaddr8", NULL, ph_value_macaddr8, 774, true, 0},
    {"macaddr", NULL, ph_value_macaddr, 829, true, 0},
    {"inet", NULL, ph_value_inet, 869, true, 0},
    {"bpchar", "character", ph_value_text, 1042, false, 0},
    {"varchar", "character varying", ph_value_text, 1043, false, 0},
    {"date", NULL, ph_value_date, 1082, true, 0},
    {"time", "time without time zone", ph_value_time, 1083, true, 0},
    {"timestamp", "timestamp without time zone", ph_value_timestamp, 1114, true, 0},
    {"timestamptz", "timestamp with time zone", ph_value_timestamptz, 1184, true, 0},
    {"interval", NULL, ph_value_interval, 1186, true, 0},
    {"timetz", "time with time zone", ph_value_timetz, 1266, true, 0},
    {"bit", NULL, ph_value_bit, 1560, false, 0},
    {"varbit", "bit varying", ph_value_bit, 1562, false, 0},
    {"numeric", NULL, ph_value_numeric, 1700, true, 0},
    {"refcursor", NULL, ph_value_text, 1790, false, 0},
    {"uuid", NULL, ph_value_uuid, 2950, true, 0},
    {"txid_snapshot", NULL, ph_value_snapshot, 2970, false, 0},
    {"pg_lsn", NULL, ph_value_lsn, 3220, true, 0},
    {"tsvector", NULL, ph_value_tsvector, 3614, false, 0},
    {"tsquery", NULL, ph_value_tsquery, 3615, false, 0},
    {"jsonb", NULL, ph_value_versioned, 3802, false, 0},
    {"jsonpath", NULL, ph_value_versioned, 4072, false, 0},
    {"pg_snapshot", NULL, ph_value_snapshot, 5038, false, 0},
    {"xid8", NULL, ph_value_uint8, 5069, true, 0},
};

/* Types of pg_catalog that are made of others. */
struct compound {
    const char *name, *of;
    ph_value_fn *value;
    uint32_t oid;
};

static const struct compound compounds[] = {
    {"int2vector", "int2", ph_value_vector, 22},
    {"oidvector", "oid", ph_value_vector, 30},
    {"int4range", "int4", ph_value_range, 3904},
    {"numrange", "numeric", ph_value_range, 3906},
    {"tsrange", "timestamp", ph_value_range, 3908},
    {"tstzrange", "timestamptz", ph_value_range, 3910},
    {"daterange", "date", ph_value_range, 3912},
    {"int8range", "int8", ph_value_range, 3926},
    {"int4multirange", "int4range", ph_value_multirange, 4451},
    {"nummultirange", "numrange", ph_value_multirange, 4532},
    {"tsmultirange", "tsrange", ph_value_multirange, 4533},
    {"tstzmultirange", "tstzrange", ph_value_multirange, 4534},
    {"datemultirange", "daterange", ph_value_multirange, 4535},
    {"int8multirange", "int8range", ph_value_multirange, 4536},
};

/* Types of extensions whose bytes are known, in whatever schema. */
static const struct scalar extensions[] = {
    {"citext", NULL, ph_value_text, 0, false, 0},
    {"ltree", NULL, ph_value_versioned, 0, false, 0},
    {"lquery", NULL, ph_value_versioned, 0, false, 0},
    {"ltxtquery", NULL, ph_value_versioned, 0, false, 0},
    {"hstore", NULL, ph_value_hstore, 0, false, 0},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Deeper nesting than this is a description that refers to itself. */
enum { DEEPEST = 16 };

struct maker {
    struct ph_arena *arena;
    const struct ph_decode_opts *opts;
    const char **which, **why;
};

static const struct ph_shape *make(struct maker *m, const char *name, int depth);

static const struct ph_shape *no(struct maker *m, const char *name, const char *why)
{
    *m->which = name;
    *m->why = why;
    return NULL;
}

static struct ph_shape *new_shape(struct maker *m, ph_value_fn *value)
{
    struct ph_shape *shape = ph_arena_alloc(m->arena, sizeof *shape);
    *shape = (struct ph_shape){.value = value, .delim = ',', .version = m->opts->source_version};
    if (shape->version == 0)
        shape->version = INT32_MAX;
    return shape;
}

static const struct ph_shape *make_outer(struct maker *m, ph_value_fn *value, uint32_t oid,
                                         const char *of, int depth)
{
    struct ph_shape *shape = new_shape(m, value);
    shape->oid = oid;
    shape->inner = make(m, of, depth + 1);
    return shape->inner ? shape : NULL;
}

/* A name without its modifiers, which stand in parentheses anywhere behind the name itself: "timestamp(3) with time zone".
 * What is within double quotes belongs to the name. An interval's fields are modifiers, too. */
static char *without_modifiers(struct maker *m, const char *name)
{
    char *bare = ph_arena_strdup(m->arena, name), *to = bare;
    bool quoted = false, inside = false;
    for (const char *p = name; *p; p++) {
        quoted ^= *p == '"';
        inside = inside || (*p == '(' && !quoted);
        if (!inside)
            *to++ = *p;
        inside = inside && (*p != ')' || quoted);
    }
    *to = '\0';
    if (strncmp(bare, "interval ", 9) == 0)
        bare[8] = '\0';
    return bare;
}

/* The element type's name when this is an array's; else NULL. */
static char *element_name(struct maker *m, const char *name)
{
    size_t len = strlen(name);
    size_t cut = len;
    while (cut > 2 && memcmp(name + cut - 2, "[]", 2) == 0)
        cut -= 2;
    return cut < len ? ph_arena_printf(m->arena, "%.*s", (int)cut, name) : NULL;
}

static const struct ph_shape *make_composite(struct maker *m, const struct ph_decode_type *type,
                                             int depth)
{
    struct ph_shape *shape = new_shape(m, ph_value_record);
    const struct ph_shape **attributes =
        ph_arena_calloc(m->arena, (size_t)type->n_attributes + 1, sizeof(*attributes));
    for (int i = 0; i < type->n_attributes; i++) {
        attributes[i] = make(m, type->attributes[i], depth + 1);
        if (!attributes[i])
            return NULL;
    }
    shape->attributes = attributes;
    shape->n_attributes = type->n_attributes;
    return shape;
}

/* A domain is sent as its base type is, under its own number. */
static const struct ph_shape *make_domain(struct maker *m, const struct ph_decode_type *type,
                                          int depth)
{
    const struct ph_shape *base = make(m, type->of, depth + 1);
    if (!base)
        return NULL;
    struct ph_shape *shape = new_shape(m, base->value);
    *shape = *base;
    shape->oid = 0;
    return shape;
}

static const struct ph_shape *make_scalar(struct maker *m, const struct scalar *type)
{
    struct ph_shape *shape = new_shape(m, type->value);
    shape->oid = type->oid;
    shape->plain = type->plain;
    if (type->delim)
        shape->delim = type->delim;
    return shape;
}

/* What follows the schema. */
static const char *last_name(const char *name)
{
    bool quoted = false;
    const char *last = name;
    for (const char *p = name; *p; p++) {
        quoted ^= *p == '"';
        if (*p == '.' && !quoted)
            last = p + 1;
    }
    return last;
}

static const struct ph_shape *make_extension(struct maker *m, const char *name)
{
    const char *last = last_name(name);
    if (last != name)
        for (size_t i = 0; i < COUNT(extensions); i++)
            if (strcmp(extensions[i].name, last) == 0)
                return make_scalar(m, &extensions[i]);
    return no(m, name, "no type whose bytes are known here");
}

static const struct ph_shape *make_described(struct maker *m, const struct ph_decode_type *type,
                                             int depth)
{
    switch (type->kind) {
    case PH_DECODE_BASE:
        return make_extension(m, type->name);
    case PH_DECODE_ENUM:
        return new_shape(m, ph_value_text);
    case PH_DECODE_DOMAIN:
        return make_domain(m, type, depth);
    case PH_DECODE_RANGE:
        return make_outer(m, ph_value_range, 0, type->of, depth);
    case PH_DECODE_MULTIRANGE:
        return make_outer(m, ph_value_multirange, 0, type->of, depth);
    case PH_DECODE_COMPOSITE:
        return make_composite(m, type, depth);
    }
    return no(m, type->name, "of an unknown kind");
}

/* Names that are keywords of SQL may be quoted: a "bit" without a length is not a bit, which has one. */
static bool is_named(const char *name, const char *known)
{
    size_t len = strlen(known);
    return strcmp(name, known) == 0 || (name[0] == '"' && strncmp(name + 1, known, len) == 0 &&
                                        strcmp(name + 1 + len, "\"") == 0);
}

static const struct ph_shape *make_catalogued(struct maker *m, const char *name, int depth)
{
    for (size_t i = 0; i < COUNT(scalars); i++)
        if (is_named(name, scalars[i].name) ||
            (scalars[i].shown && strcmp(name, scalars[i].shown) == 0))
            return make_scalar(m, &scalars[i]);
    for (size_t i = 0; i < COUNT(compounds); i++)
        if (strcmp(compounds[i].name, name) == 0)
            return make_outer(m, compounds[i].value, compounds[i].oid, compounds[i].of, depth);
    if (strcmp(name, "money") == 0)
        return no(m, name, "shown as the server's lc_monetary says, which no archive knows");
    if (strncmp(name, "reg", 3) == 0)
        return no(m, name, "archived as a number that only the source's catalog could name");
    return no(m, name, "no type whose bytes are known here");
}

static const struct ph_shape *make(struct maker *m, const char *name, int depth)
{
    static const char catalog[] = "pg_catalog.";
    if (depth > DEEPEST)
        return no(m, name, "nested too deeply");
    if (!name)
        return no(m, "?", "not described in full");
    char *element = element_name(m, name);
    if (element)
        return make_outer(m, ph_value_array, 0, element, depth);
    const char *bare = without_modifiers(m, name);
    for (int i = 0; i < m->opts->n_described; i++)
        if (strcmp(m->opts->described[i].name, bare) == 0)
            return make_described(m, &m->opts->described[i], depth);
    if (strncmp(bare, catalog, sizeof catalog - 1) == 0)
        bare += sizeof catalog - 1;
    return last_name(bare) == bare ? make_catalogued(m, bare, depth) : make_extension(m, bare);
}

const struct ph_shape *ph_shape_make(struct ph_arena *arena, const struct ph_decode_opts *opts,
                                     const char *name, const char **which, const char **why)
{
    struct maker m = {.arena = arena, .opts = opts, .which = which, .why = why};
    return make(&m, name, 0);
}
