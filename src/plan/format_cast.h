/* Types that are not the same and hold the same values: which bytes agree, and which casts lose nothing.
 *
 * A part of format.c, which compares types and decides; see there. What is not listed here is refused. */
#ifndef PH_PLAN_FORMAT_CAST_H
#define PH_PLAN_FORMAT_CAST_H

#include "plan/format.h"

enum { PH_TYPE_DEEPEST = 64 }; /* no type nests like this; a catalog gone wrong may */

enum ph_room {
    PH_ROOM_SAME,  /* every value passes, byte by byte */
    PH_ROOM_WIDER, /* every value fits, and is written differently there: padded, more decimals */
    PH_ROOM_LESS,  /* some could be cut, rounded or refused */
};

struct ph_bare {
    const struct ph_type *type; /* beneath all domains */
    int typmod;
};

/* Whether a type of pg_catalog has this name, or one of these (NULL ends them). */
bool ph_type_is_builtin(const struct ph_type *type, const char *name);
bool ph_type_is_one_of(const struct ph_type *type, const char *const *names);

/* Extensions may live in another schema over there; everything else is named in full. */
bool ph_type_same_name(const struct ph_type *s, const struct ph_type *d);

/* From one modifier to another of the same type. */
enum ph_room ph_type_room(const struct ph_type *type, int from, int to);

struct ph_bare ph_type_beneath(const struct ph_types *types, uint32_t oid, int typmod);

/* Whether every value of s has the same bytes as a value of d. */
bool ph_type_same_bytes(struct ph_bare s, struct ph_bare d);

/* The cast that makes a value of s one of d and loses nothing, without "::"; NULL when there is none. */
const char *ph_cast_lossless(const struct ph_format_sides *format, struct ph_bare s,
                             struct ph_bare d);

/* 0.1 of 24 bits, written, read and kept with 53 bits, is another number. */
bool ph_cast_widens_float(const struct ph_format_sides *format, struct ph_bare s, struct ph_bare d);

#endif
