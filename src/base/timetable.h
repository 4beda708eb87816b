/* A timetable: how fast when, over the week.
 *
 *     Mon-Fri 08:00-18:00 20MiB/s; Sat,Sun 22:00-06:00 pause; else off
 *
 * Entries are separated by semicolons, the first that fits counts: days (one, several, a range; none: every day), hours (none: the
 * whole day) and what holds then: a rate of bytes, `pause`, or `off` (no limit). `else` fits always. Hours that pass midnight
 * belong to the day that they begin on. Time is this machine's local time, so an hour that daylight saving repeats counts
 * twice, and one that it skips not at all.
 */
#ifndef PH_BASE_TIMETABLE_H
#define PH_BASE_TIMETABLE_H

#include <stdint.h>
#include <time.h>

#include "pghaul/err.h"

enum { PH_TIMETABLE_MAX = 32 };

struct ph_timetable {
    struct ph_timetable_entry {
        unsigned days;  /* bits, Sunday is 0; that it begins on */
        int begin, end; /* minutes of the day; end may be beyond 24:00 */
        uint64_t per_s; /* bytes; 0: no limit */
        bool pause;
        char text[48]; /* for people: the entry as it was written */
    } entry[PH_TIMETABLE_MAX];
    int n;
};

/* PH_WRONG for what is no timetable; out may be NULL. */
bool ph_timetable_parse(struct ph_timetable *out, const char *text, struct ph_err *err);

/* The entry that counts at this time; NULL: none does. */
const struct ph_timetable_entry *ph_timetable_at(const struct ph_timetable *table, time_t now);

#endif
