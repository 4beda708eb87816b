/* What an archive's catalog says of types, as a decoder wants to hear it (copy/decode.h).
 *
 * Of types outside pg_catalog, and of no arrays: these are named by their elements wherever they occur. Names are what
 * format_type() would show with nothing but pg_catalog in the search_path, without modifiers.
 */
#ifndef PH_PLAN_DESCRIBE_H
#define PH_PLAN_DESCRIBE_H

#include "copy/decode.h"
#include "pg/catalog.h"

/* *n descriptions, in the arena. */
const struct ph_decode_type *ph_describe_types(const struct ph_types *types, struct ph_arena *arena,
                                               int *n);

#endif
