/* How a value of one type gets into a column of another, without losing anything.
 *
 * COPY BINARY has no types: bytes that fit are taken for what the target's column is, and 243 pairs
 * of 54 types load in silence with other values. So nothing is tried: types are compared by
 * schema-qualified name and by structure, all the way down, and what is neither equal nor known to
 * be lossless is refused.
 *
 *     binary   deep-equal, or known to have the same bytes for every value
 *     cast     lossless: the source's SELECT converts, the stream stays as it is
 *     text     deep-equal, but no binary form that would survive: the whole table goes as text
 *     none     would change values, or could: the user must map the column
 *
 * Pure: looks at nothing but what catalog_type.c read.
 */
#ifndef PH_PLAN_FORMAT_H
#define PH_PLAN_FORMAT_H

#include "pg/catalog.h"

enum ph_fit_kind { PH_FIT_BINARY, PH_FIT_CAST, PH_FIT_TEXT, PH_FIT_NONE };

struct ph_fit {
    enum ph_fit_kind kind;
    bool needs_text;  /* for TEXT always, for CAST and BINARY never */
    bool but_empty;   /* for TEXT: binary would do for all values that are not empty */
    bool qualify;     /* regclass and its like: what is written depends on search_path */
    bool money;       /* there is money in it */
    bool rounds;      /* for CAST: the text of a value is read as another one, not by the cast */
    bool oid;         /* there are bare OIDs in it, which large objects have too */
    const char *cast; /* "::pg_catalog.int8" for CAST, for TEXT where it keeps bytes that output
                         drops, else "" */
    const char *why;  /* for people; "" for simply the same type */
};

struct ph_format_sides {
    struct ph_arena *arena;
    const struct ph_types *source, *target;
    int source_version, target_version;
    const char *column; /* where the path of a difference begins: "column[].attribute" */
};

/* typmods are those of the columns. */
void ph_format_fit(const struct ph_format_sides *format, uint32_t source, int source_typmod,
                   uint32_t target, int target_typmod, struct ph_fit *out);

/* What to put behind a target column of this type so that two values compare equal only when they
 * are the same: "" where the type's own = is that strict, else a cast to text under the "C"
 * collation. */
const char *ph_format_compare(const struct ph_types *types, uint32_t oid);

/* What to put behind a column of this type to read it as text, the same on every server and without
 * losing what output drops. */
const char *ph_format_as_text(struct ph_arena *arena, const struct ph_types *types, uint32_t oid);

/* Whether equal values of this type have equal binary forms on all servers. Arrays and composites
 * carry the OIDs of what they are made of, and those of user-defined types are a database's own. */
bool ph_format_is_portable(const struct ph_types *types, uint32_t oid);

#endif
