/* From the names of types to shapes. */
#ifndef PH_COPY_DECODE_TYPE_H
#define PH_COPY_DECODE_TYPE_H

#include "base/arena.h"
#include "copy/decode.h"
#include "copy/decode_value.h"

/* The shape of the type of that name, in the arena; NULL when it cannot be shown, and then *which is the type within it that
 * cannot (or itself) and *why a reason that completes "is ...". */
const struct ph_shape *ph_shape_make(struct ph_arena *arena, const struct ph_decode_opts *opts,
                                     const char *name, const char **which, const char **why);

#endif
