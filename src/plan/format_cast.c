#include "plan/format_cast.h"

#include <string.h>

bool ph_type_is_builtin(const struct ph_type *type, const char *name)
{
    return !strcmp(type->name, name) && !strcmp(type->schema, "pg_catalog");
}

bool ph_type_is_one_of(const struct ph_type *type, const char *const *names)
{
    for (; *names; names++)
        if (ph_type_is_builtin(type, *names))
            return true;
    return false;
}

static bool is_citext(const struct ph_type *type)
{
    return type->extension && !strcmp(type->extension, "citext") && !strcmp(type->name, "citext");
}

/* Modifiers. */

static int numeric_precision(int typmod)
{
    return ((typmod - 4) >> 16) & 0xffff;
}

/* Signed, 11 bits, since PostgreSQL 15; what older servers store reads the same. */
static int numeric_scale(int typmod)
{
    return (((typmod - 4) & 0x7ff) ^ 1024) - 1024;
}

static enum ph_room numeric_room(int from, int to)
{
    int whole_from = numeric_precision(from) - numeric_scale(from);
    int whole_to = numeric_precision(to) - numeric_scale(to);
    if (whole_to < whole_from || numeric_scale(to) < numeric_scale(from))
        return PH_ROOM_LESS;
    return numeric_scale(to) == numeric_scale(from) ? PH_ROOM_SAME : PH_ROOM_WIDER;
}

/* From one modifier to another of the same type. */
enum ph_room ph_type_room(const struct ph_type *type, int from, int to)
{
    static const char *const lengths[] = {"varchar",   "varbit",      "time", "timetz",
                                          "timestamp", "timestamptz", NULL};
    if (from == to || to < 0)
        return PH_ROOM_SAME;
    if (from < 0) /* times have six decimals at most anyway */
        return ph_type_is_one_of(type, lengths + 2) && to >= 6 ? PH_ROOM_SAME : PH_ROOM_LESS;
    if (ph_type_is_one_of(type, lengths))
        return from <= to ? PH_ROOM_SAME : PH_ROOM_LESS;
    if (ph_type_is_builtin(type, "bpchar"))
        return from < to ? PH_ROOM_WIDER : PH_ROOM_LESS;
    if (ph_type_is_builtin(type, "numeric"))
        return numeric_room(from, to);
    return PH_ROOM_LESS;
}

/* Extensions may live in another schema over there; everything else is named in full. */
bool ph_type_same_name(const struct ph_type *s, const struct ph_type *d)
{
    if (strcmp(s->name, d->name) != 0)
        return false;
    if (s->extension && d->extension)
        return !strcmp(s->extension, d->extension);
    return !s->extension && !d->extension && !strcmp(s->schema, d->schema);
}

/* Different types, same values. */

struct ph_bare ph_type_beneath(const struct ph_types *types, uint32_t oid, int typmod)
{
    const struct ph_type *t = ph_types_find(types, oid);
    for (int i = 0; t && t->kind == 'd' && i < PH_TYPE_DEEPEST; i++) {
        typmod = t->base_typmod;
        t = ph_types_find(types, t->base);
    }
    return (struct ph_bare){t, typmod};
}

/* The header of a varlena is no part of its length limit: atttypmod - 4. */
static int char_limit(int typmod)
{
    return typmod < 0 ? -1 : typmod - 4;
}

/* Whether every value of s has the same bytes as a value of d. */
bool ph_type_same_bytes(struct ph_bare s, struct ph_bare d)
{
    enum { NAME_BYTES = 63 };
    int from = char_limit(s.typmod), to = char_limit(d.typmod);
    bool from_varchar = ph_type_is_builtin(s.type, "varchar"),
         to_varchar = ph_type_is_builtin(d.type, "varchar");
    bool to_text =
        ph_type_is_builtin(d.type, "text") || is_citext(d.type) || (to_varchar && to < 0);
    if (from_varchar || ph_type_is_builtin(s.type, "text") || is_citext(s.type))
        return to_text || (from_varchar && to_varchar && from >= 0 && from <= to);
    if (ph_type_is_builtin(s.type, "name"))
        return to_text || (to_varchar && to >= NAME_BYTES);
    if (ph_type_is_builtin(s.type, "bit") && ph_type_is_builtin(d.type, "varbit"))
        return d.typmod < 0 || (s.typmod >= 0 && s.typmod <= d.typmod);
    return false;
}

struct lossless {
    const char *source, *target; /* in pg_catalog */
    int digits;                  /* to numeric: what a value may need in front of the point */
};

static const struct lossless casts[] = {
    {"int2", "int4", 0},     {"int2", "int8", 0},      {"int2", "float4", 0},
    {"int2", "float8", 0},   {"int2", "numeric", 5},   {"int4", "int8", 0},
    {"int4", "float8", 0},   {"int4", "numeric", 10},  {"int8", "numeric", 19},
    {"float4", "float8", 0}, {"date", "timestamp", 0}, {"cidr", "inet", 0},
    {"oid", "int8", 0},      {"int2", "text", 0},      {"int4", "text", 0},
    {"int8", "text", 0},     {"char", "text", 0},      {"uuid", "text", 0},
    {"json", "text", 0}};

/* The cast that makes a value of s one of d and loses nothing, without "::"; NULL when there is
 * none. A modifier is named only where it is proven to be wide enough: an explicit cast to a narrow
 * one would cut in silence. */
static const char *lossless_cast(const struct ph_format_sides *format, struct ph_bare s,
                                 struct ph_bare d)
{
    if (ph_type_same_bytes(s, d) && !is_citext(d.type))
        return ph_type_is_builtin(d.type, "varbit") ? "pg_catalog.varbit" : "pg_catalog.text";
    bool to_text = ph_type_is_builtin(d.type, "text") ||
                   (ph_type_is_builtin(d.type, "varchar") && d.typmod < 0);
    if (s.type->kind == 'e' && to_text)
        return "pg_catalog.text";
    for (size_t i = 0; i < sizeof casts / sizeof *casts; i++) {
        const struct lossless *c = &casts[i];
        bool target_fits =
            !strcmp(c->target, "text") ? to_text : ph_type_is_builtin(d.type, c->target);
        if (!ph_type_is_builtin(s.type, c->source) || !target_fits)
            continue;
        if (c->digits == 0 || d.typmod < 0)
            return ph_arena_printf(format->arena, "pg_catalog.%s", c->target);
        int scale = numeric_scale(d.typmod), precision = numeric_precision(d.typmod);
        if (scale < 0 || precision - scale < c->digits)
            return NULL;
        return ph_arena_printf(format->arena, "pg_catalog.numeric(%d,%d)", precision, scale);
    }
    return NULL;
}

/* The same type with a wider modifier: the cast writes values as the target would, so that both
 * ends have the same bytes to compare. */
static const char *widening_cast(const struct ph_format_sides *format, struct ph_bare s,
                                 struct ph_bare d)
{
    if (!ph_type_same_name(s.type, d.type) || s.type->element ||
        ph_type_room(s.type, s.typmod, d.typmod) != PH_ROOM_WIDER)
        return NULL;
    if (ph_type_is_builtin(s.type, "bpchar"))
        return ph_arena_printf(format->arena, "pg_catalog.bpchar(%d)", char_limit(d.typmod));
    return ph_arena_printf(format->arena, "pg_catalog.numeric(%d,%d)", numeric_precision(d.typmod),
                           numeric_scale(d.typmod));
}

/* Arrays of what can be cast; the target's elements must not be a domain, which the source need not
 * have. */
static const char *array_cast(const struct ph_format_sides *format, struct ph_bare s,
                              struct ph_bare d)
{
    if (!s.type->element || !d.type->element)
        return NULL;
    struct ph_bare se = ph_type_beneath(format->source, s.type->element, s.typmod);
    struct ph_bare de = {ph_types_find(format->target, d.type->element), d.typmod};
    if (!se.type || !de.type || se.type->element || de.type->kind != 'b' ||
        strcmp(de.type->schema, "pg_catalog") != 0)
        return NULL;
    const char *cast = lossless_cast(format, se, de);
    if (!cast && ph_type_same_name(se.type, de.type) &&
        ph_type_room(se.type, se.typmod, de.typmod) == PH_ROOM_SAME)
        cast = ph_arena_printf(format->arena, "pg_catalog.%s", de.type->name); /* was a domain's */
    if (!cast)
        return NULL;
    /* the array type that the target has is that of its own element type: varchar[] is not text[]
     */
    if (ph_type_is_builtin(de.type, "varchar"))
        cast = "pg_catalog.varchar";
    return ph_arena_printf(format->arena, "%s[]", cast);
}

/* 0.1 of 24 bits, written, read and kept with 53 bits, is another number. */
bool ph_cast_widens_float(const struct ph_format_sides *format, struct ph_bare s, struct ph_bare d)
{
    if (s.type->element && d.type->element) {
        s = ph_type_beneath(format->source, s.type->element, -1);
        d = ph_type_beneath(format->target, d.type->element, -1);
    }
    return s.type && d.type && ph_type_is_builtin(s.type, "float4") &&
           ph_type_is_builtin(d.type, "float8");
}

const char *ph_cast_lossless(const struct ph_format_sides *format, struct ph_bare s,
                             struct ph_bare d)
{
    const char *cast = lossless_cast(format, s, d);
    if (!cast)
        cast = widening_cast(format, s, d);
    return cast ? cast : array_cast(format, s, d);
}
