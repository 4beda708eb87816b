#include "plan/format.h"

#include <string.h>

#include "base/buf.h"
#include "base/feature.h"
#include "plan/format_cast.h"

/* OIDs from here on differ from database to database (FirstGenbkiObjectId). */
enum { FIRST_UNSTABLE_OID = 10000 };

/* One comparison, top to bottom. */
struct look {
    const struct ph_format_sides *format;
    struct ph_buf path;     /* "[].attribute" below the column */
    struct ph_buf why_not;  /* the first difference; empty: none */
    struct ph_buf why_text; /* the first reason against binary; empty: none */
    struct ph_fit *fit;
    bool firm; /* a reason against binary that holds for every value */
    int depth;
};

static const char *shown(const struct look *look, const struct ph_types *types,
                         const struct ph_type *type)
{
    struct ph_arena *arena = look->format->arena;
    const struct ph_type *element = type->element ? ph_types_find(types, type->element) : NULL;
    if (element)
        return ph_arena_printf(arena, "%s[]", shown(look, types, element));
    return !strcmp(type->schema, "pg_catalog")
               ? type->name
               : ph_arena_printf(arena, "%s.%s", type->schema, type->name);
}

static const char *shown_source(const struct look *look, const struct ph_type *type)
{
    return shown(look, look->format->source, type);
}

static const char *shown_target(const struct look *look, const struct ph_type *type)
{
    return shown(look, look->format->target, type);
}

/* " at column[].size" when below the column, else "". */
static const char *place(struct look *look)
{
    const struct ph_format_sides *format = look->format;
    return look->path.len
               ? ph_arena_printf(format->arena, " at %s%s", format->column, look->path.data)
               : "";
}

static bool differ(struct look *look, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool differ(struct look *look, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!look->why_not.len) {
        ph_buf_vaddf(&look->why_not, fmt, ap);
        ph_buf_add(&look->why_not, place(look));
    }
    va_end(ap);
    return false;
}

static void want_text(struct look *look, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void want_text(struct look *look, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!look->why_text.len) {
        ph_buf_vaddf(&look->why_text, fmt, ap);
        ph_buf_add(&look->why_text, place(look));
    }
    va_end(ap);
    look->firm = true;
}

/* Deep comparison. */

static const char *const reg_types[] = {
    "regproc", "regprocedure", "regoper",   "regoperator",   "regclass",     "regtype",
    "regrole", "regnamespace", "regconfig", "regdictionary", "regcollation", NULL};

/* Their send functions write empty values that their receive functions refuse. */
static const char *const never_empty[] = {"tsquery", "int2vector", "oidvector", NULL};

static void note_empty(struct look *look, const struct ph_type *s)
{
    bool firm = look->firm;
    if (ph_type_is_one_of(s, never_empty))
        want_text(look, "an empty %s has no binary form that is taken back", s->name);
    look->firm = firm;
}

static void note_binary(struct look *look, const struct ph_type *s, const struct ph_type *d)
{
    const char *name = shown_source(look, s);
    if (ph_type_is_one_of(s, reg_types)) {
        look->fit->qualify = true;
        want_text(look, "%s is a number that means something else on another server", name);
    }
    if (ph_type_is_builtin(s, "xml"))
        want_text(look, "xml loses its declaration by any output but a cast to text");
    if (!s->has_send || !d->has_receive)
        want_text(look, "%s has no binary form", name);
    if (s->extension && d->extension && strcmp(s->extension_version, d->extension_version) != 0)
        want_text(look, "extension %s is %s in the source and %s in the target", s->extension,
                  s->extension_version, d->extension_version);
    note_empty(look, s);
    if (ph_type_is_builtin(s, "interval") &&
        ph_feature_has(look->format->source_version, PH_HAS_INFINITE_INTERVALS) &&
        !ph_feature_has(look->format->target_version, PH_HAS_INFINITE_INTERVALS))
        want_text(look, "the target would take infinite intervals for finite ones");
    look->fit->money = look->fit->money || ph_type_is_builtin(s, "money");
    look->fit->oid = look->fit->oid || ph_type_is_builtin(s, "oid") || !strcmp(s->name, "lo");
}

/* Arrays and composites carry the OIDs of their parts; servers before 14 insist on their own. */
static void note_part(struct look *look, const struct ph_type *s, const struct ph_type *d)
{
    if (!ph_feature_has(look->format->target_version, PH_HAS_FOREIGN_PART_OIDS) &&
        (s->oid >= FIRST_UNSTABLE_OID || d->oid >= FIRST_UNSTABLE_OID))
        want_text(look, "the target refuses binary %s inside of arrays and composites",
                  shown_target(look, d));
}

static bool same(struct look *look, uint32_t source, int source_typmod, uint32_t target,
                 int target_typmod);

static bool same_below(struct look *look, const char *step, uint32_t source, int source_typmod,
                       uint32_t target, int target_typmod, bool is_part)
{
    size_t len = look->path.len;
    ph_buf_add(&look->path, step);
    const struct ph_type *s = ph_types_find(look->format->source, source);
    const struct ph_type *d = ph_types_find(look->format->target, target);
    if (is_part && s && d)
        note_part(look, s, d);
    bool ok = same(look, source, source_typmod, target, target_typmod);
    look->path.len = len;
    look->path.data[len] = '\0';
    return ok;
}

static bool same_labels(struct look *look, const struct ph_type *s, const struct ph_type *d)
{
    struct ph_buf missing = {0};
    for (int i = 0; i < s->n_labels; i++) {
        bool found = false;
        for (int k = 0; k < d->n_labels && !found; k++)
            found = !strcmp(s->labels[i], d->labels[k]);
        if (!found)
            ph_buf_addf(&missing, "%s\"%s\"", missing.len ? ", " : "", s->labels[i]);
    }
    bool ok = !missing.len || differ(look, "the target's enum %s has no label %s",
                                     shown_target(look, d), missing.data);
    ph_buf_fini(&missing);
    return ok;
}

static bool same_attributes(struct look *look, const struct ph_type *s, const struct ph_type *d)
{
    if (s->n_attributes != d->n_attributes)
        return differ(look, "%s has %d attributes in the source and %d in the target",
                      shown_source(look, s), s->n_attributes, d->n_attributes);
    for (int i = 0; i < s->n_attributes; i++) {
        const struct ph_attribute *a = &s->attributes[i], *b = &d->attributes[i];
        if (strcmp(a->name, b->name) != 0)
            return differ(look, "attribute %d of %s is %s in the source and %s in the target",
                          i + 1, shown_source(look, s), a->name, b->name);
        const char *step = ph_arena_printf(look->format->arena, ".%s", a->name);
        if (!same_below(look, step, a->type, a->typmod, b->type, b->typmod, true))
            return false;
    }
    return true;
}

static bool same_structure(struct look *look, const struct ph_type *s, int source_typmod,
                           const struct ph_type *d, int target_typmod)
{
    switch (s->kind) {
    case 'd':
        return same_below(look, "", s->base, s->base_typmod, d->base, d->base_typmod, false) ||
               differ(look, "domain %s has other types ph_type_beneath", shown_source(look, s));
    case 'e':
        return same_labels(look, s, d);
    case 'c':
        return same_attributes(look, s, d);
    case 'r':
    case 'm':
        return same_below(look, "", s->subtype, -1, d->subtype, -1, false);
    case 'b':
        if (s->length != d->length || s->by_value != d->by_value)
            return differ(look, "%s is stored in another way in the target", shown_source(look, s));
        return ph_type_room(s, source_typmod, target_typmod) == PH_ROOM_SAME ||
               differ(look, "the target's %s is narrower", shown_target(look, d));
    default:
        return differ(look, "%s is no type of columns", shown_source(look, s));
    }
}

/* Whether two types are the same by name and structure, and every value of the one fits the other's
 * modifier. */
static bool same(struct look *look, uint32_t source, int source_typmod, uint32_t target,
                 int target_typmod)
{
    const struct ph_type *s = ph_types_find(look->format->source, source);
    const struct ph_type *d = ph_types_find(look->format->target, target);
    if (!s || !d || look->depth >= PH_TYPE_DEEPEST)
        return differ(look, "a type is not known to the catalog");
    if (s->element && d->element)
        return same_below(look, "[]", s->element, source_typmod, d->element, target_typmod, true);
    if (s->element || d->element || s->kind != d->kind || !ph_type_same_name(s, d))
        return differ(look, "%s in the source is %s in the target", shown_source(look, s),
                      shown_target(look, d));
    note_binary(look, s, d);
    look->depth++;
    bool ok = same_structure(look, s, source_typmod, d, target_typmod);
    look->depth--;
    return ok;
}

static bool is_same_domain(const struct ph_format_sides *format, uint32_t source, uint32_t target)
{
    const struct ph_type *s = ph_types_find(format->source, source);
    const struct ph_type *d = ph_types_find(format->target, target);
    return s && d && s->kind == 'd' && d->kind == 'd' && ph_type_same_name(s, d);
}

/* Types that are not the same: without their domains they may be, have the same bytes, or be cast.
 */
static bool convert(struct look *look, uint32_t source, int source_typmod, uint32_t target,
                    int target_typmod)
{
    const struct ph_format_sides *format = look->format;
    struct ph_fit *fit = look->fit;
    struct ph_bare s = ph_type_beneath(format->source, source, source_typmod);
    struct ph_bare d = ph_type_beneath(format->target, target, target_typmod);
    if (!s.type || !d.type || is_same_domain(format, source, target))
        return false;
    struct ph_buf why_not = look->why_not; /* the first difference stays the one that is told */
    look->why_not = (struct ph_buf){0};
    bool peeled = s.type->oid != source || d.type->oid != target;
    bool alike = peeled && same(look, s.type->oid, s.typmod, d.type->oid, d.typmod);
    ph_buf_fini(&look->why_not);
    look->why_not = why_not;
    if (alike || ph_type_same_bytes(s, d)) {
        fit->kind = PH_FIT_BINARY;
        fit->why = ph_arena_printf(format->arena, "same bytes: %s and %s",
                                   shown_source(look, s.type), shown_target(look, d.type));
        if (alike)
            fit->why = ph_arena_printf(format->arena, "same type ph_type_beneath the domain: %s",
                                       shown_source(look, s.type));
        return true;
    }
    const char *cast = ph_cast_lossless(format, s, d);
    if (!cast)
        return false;
    fit->kind = PH_FIT_CAST;
    fit->rounds = ph_cast_widens_float(format, s, d);
    fit->cast = ph_arena_printf(format->arena, "::%s", cast);
    fit->why = ph_arena_printf(format->arena, "%s to %s, lossless", shown_source(look, s.type),
                               shown_target(look, d.type));
    return true;
}

/* xml_out and xml_send both drop <?xml version="1.0"?>; the cast keeps every byte, and xml_in takes
 * it as it is (while xml_recv would believe an encoding that the declaration names). */
static const char *keep_declaration(const struct ph_format_sides *format, uint32_t source)
{
    struct ph_bare s = ph_type_beneath(format->source, source, -1);
    if (s.type && ph_type_is_builtin(s.type, "xml"))
        return "::pg_catalog.text";
    if (s.type && s.type->element)
        s = ph_type_beneath(format->source, s.type->element, -1);
    return s.type && ph_type_is_builtin(s.type, "xml") ? "::pg_catalog.text[]" : "";
}

void ph_format_fit(const struct ph_format_sides *format, uint32_t source, int source_typmod,
                   uint32_t target, int target_typmod, struct ph_fit *out)
{
    struct look look = {.format = format, .fit = out};
    *out = (struct ph_fit){.kind = PH_FIT_BINARY, .cast = "", .why = ""};
    ph_buf_add(&look.path, "");
    if (!same(&look, source, source_typmod, target, target_typmod)) {
        ph_buf_clear(&look.why_text);
        look.firm = false;
        out->qualify = out->money = out->oid = false;
        if (!convert(&look, source, source_typmod, target, target_typmod)) {
            out->kind = PH_FIT_NONE;
            out->why = ph_arena_strdup(format->arena, ph_buf_text(&look.why_not));
        }
    }
    if (out->kind == PH_FIT_BINARY && look.why_text.len) {
        out->kind = PH_FIT_TEXT;
        out->why = ph_arena_strdup(format->arena, look.why_text.data);
        out->cast = keep_declaration(format, source);
    }
    out->needs_text = out->kind == PH_FIT_TEXT;
    out->but_empty = out->kind == PH_FIT_TEXT && !look.firm;
    ph_buf_fini(&look.path);
    ph_buf_fini(&look.why_not);
    ph_buf_fini(&look.why_text);
}

/* Equal numerics may have other decimals, equal citexts other letters, -0 equals 0, '1 mon' equals
 * '30 days', and some types have no = at all. These alone are identical when they are equal. */
const char *ph_format_compare(const struct ph_types *types, uint32_t oid)
{
    static const char *const strict[] = {"bool",   "int2",  "int4",      "int8",        "oid",
                                         "date",   "time",  "timestamp", "timestamptz", "uuid",
                                         "bytea",  "char",  "name",      "macaddr",     "macaddr8",
                                         "pg_lsn", "money", "bit",       NULL};
    struct ph_bare t = ph_type_beneath(types, oid, -1);
    bool is_strict = t.type && (t.type->kind == 'e' || ph_type_is_one_of(t.type, strict));
    return is_strict ? "" : "::pg_catalog.text COLLATE pg_catalog.\"C\"";
}

const char *ph_format_as_text(struct ph_arena *arena, const struct ph_types *types, uint32_t oid)
{
    const struct ph_format_sides format = {.arena = arena, .source = types};
    const char *kept = keep_declaration(&format, oid);
    const char *text = "::pg_catalog.text";
    return *kept && strcmp(kept, text) != 0 ? ph_arena_printf(arena, "%s%s", kept, text) : text;
}

static bool is_portable(const struct ph_types *types, uint32_t oid, int depth)
{
    const struct ph_type *t = ph_types_find(types, oid);
    if (!t || depth >= PH_TYPE_DEEPEST)
        return false;
    if (t->element)
        return t->element < FIRST_UNSTABLE_OID && is_portable(types, t->element, depth + 1);
    if (t->kind == 'd')
        return is_portable(types, t->base, depth + 1);
    if (t->kind == 'r' || t->kind == 'm')
        return is_portable(types, t->subtype, depth + 1);
    for (int i = 0; i < t->n_attributes; i++)
        if (t->attributes[i].type >= FIRST_UNSTABLE_OID ||
            !is_portable(types, t->attributes[i].type, depth + 1))
            return false;
    return true;
}

bool ph_format_is_portable(const struct ph_types *types, uint32_t oid)
{
    return is_portable(types, oid, 0);
}
