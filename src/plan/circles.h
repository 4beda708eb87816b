/* Which of things that refer to each other do so in a circle: there is no order then in which each comes after what it
 * refers to. (Strongly connected components, after Tarjan.)
 */
#ifndef PH_PLAN_CIRCLES_H
#define PH_PLAN_CIRCLES_H

#include "base/arena.h"

struct ph_reference {
    int from, to; /* 0 to n - 1 */
};

/* Numbers n things: two have the same number if each leads to the other, and only then. References are reordered. The
 * numbers lie in the arena. */
const int *ph_circles_find(struct ph_arena *arena, int n, struct ph_reference *references,
                           int n_references);

#endif
