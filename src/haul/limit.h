/* What limits a run, from where its workers' time goes: as shares, and in words.
 *
 *     target is the limit: 78 % of the time waiting for COPY FROM; WAL flush
 */
#ifndef PH_HAUL_LIMIT_H
#define PH_HAUL_LIMIT_H

#include <stdbool.h>
#include <stddef.h>

#include "pghaul/stage.h"

/* Who the time is spent for; held back does not count. Sum 1, or 0 when nothing was measured. */
struct ph_limit_shares {
    double source, target, self;
};

/* stages: seconds (or any unit). extract, load: an archive is the target, or the source; else files on the way are our own
 * affair. */
void ph_limit_shares(const double stages[PH_N_STAGES], bool extract, bool load,
                     struct ph_limit_shares *out);

/* One phrase, "" when nothing was measured; without any share of at least a half, the three shares. busy: what the target's backends
 * mostly do (ph_limit_event), or NULL. */
void ph_limit_words(const double stages[PH_N_STAGES], const char *busy, char *out, size_t size);

/* A wait event of PostgreSQL in plain words, "WAL flush" for WALSync; its own name where we have no better one. */
const char *ph_limit_event(const char *wait_event);

#endif
