/* "did you mean": the known word nearest to a mistyped one. */
#ifndef PH_BASE_NEAR_H
#define PH_BASE_NEAR_H

#include <stddef.h>

/* The word of `known` (n of them, NULLs skipped) with the smallest edit distance to `word`, case
 * ignored; NULL when none is near enough to be worth naming. */
const char *ph_near(const char *word, const char *const *known, size_t n);

#endif
