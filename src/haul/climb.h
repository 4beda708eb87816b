/* --jobs auto: hill-climbing on the number of workers while they work.
 *
 * A trial is three windows of goodput: as it was, with another number, and as it was again; so a table whose rows are cheaper than
 * the last one's does not pass for a better number. The other number is taken when it moved clearly more than both of the old
 * ones, twice; then the next step goes on in that direction.
 *
 *     REST ──pause──► RATE ──window──► TRY ──clearly worse──► REST
 *                                     ▲ │
 *                               again │ └──window──► CHECK ──window──► better, twice? ──yes──► RATE, from there
 *                                     └──── once ──────┘                   └──no──► REST, for longer
 *
 * What it costs is what was not moved during trials. It is kept below 2 % of the time: a trial waits until it can be afforded at
 * its likely price, fewer workers being dearer than more. So a run keeps within 3 % of the same run with the number it began with,
 * and that is the default.
 *
 * No clock and no thread of its own; one thread (the pulse) asks it.
 */
#ifndef PH_HAUL_CLIMB_H
#define PH_HAUL_CLIMB_H

#include <stdbool.h>
#include <stdint.h>

enum ph_climb_state { PH_CLIMB_REST, PH_CLIMB_RATE, PH_CLIMB_TRY, PH_CLIMB_CHECK };

struct ph_climb {
    int least, most;
    int at;    /* the best number, as far as is known */
    int other; /* what is tried */
    int direction;
    int wins; /* of the other number, in a row */
    enum ph_climb_state state;
    double since_s;       /* this state, or its window, began then; 0: not yet */
    uint64_t since_bytes; /* what had been moved when the window began; not before it has settled */
    bool settled;
    double rate, tried; /* bytes a second: as it was; with the other number */
    double pause_s;
    double begun_s; /* 0: not yet */
    double lost_s;  /* by trials, since the number changed last */
};

/* Begins with `workers`, and stays within [least, most]. */
void ph_climb_begin(struct ph_climb *climb, int workers, int least, int most);

/* What is wanted now. bytes: moved since the run began. steady: nothing else holds the workers back or keeps them from working, so
 * that what they move depends on their number; while it does not, nothing is tried. */
int ph_climb_look(struct ph_climb *climb, double now_s, uint64_t bytes, bool steady);

#endif
