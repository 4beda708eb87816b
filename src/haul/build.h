/* Builders: the threads that do a job's steps (ledger/step.h) while the crew moves rows, and after.
 *
 * Each has a connection of its own to the target. Crew and builders share the job's --jobs: while
 * rows are being moved, steps that can begin may have half of them, and whatever workers leave idle;
 * afterwards all. A step that is among the last gets parallel workers of the server, so that its
 * cores stay busy to the end.
 *
 *     what happened                        the step                     the builder
 *     done                                 done, with its transaction   goes on with the claim that came along
 *     told to halt                         rolled back, given back      ends
 *     fenced (a newer attempt owns it)     not ours any more            goes on
 *     connection lost                      still ours, or free          tries again until --max-outage
 *     lock, deadlock, canceled, memory     back-off; the fifth is final goes on
 *     anything else                        failed, with its error       goes on
 *
 * Steps that come after a failed one stay planned. Builders end when nothing can begin any more, by
 * themselves; ph_build_halt makes them end at once (a recovery needs a process of one thread, and
 * who interrupts a copy does not want to wait for an index): what they were at is rolled back, and is
 * done again.
 */
#ifndef PH_HAUL_BUILD_H
#define PH_HAUL_BUILD_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/interrupt.h"
#include "base/log.h"
#include "haul/throttle.h"
#include "ledger/step.h"
#include "pg/conn.h"

struct ph_crew;

struct ph_build_opts {
    const struct ph_dsn *target;
    const char *encoding, *tag;
    int64_t job;
    int mover;
    int jobs;        /* builders; and as many steps and shards at once, together */
    uint64_t memory; /* maintenance_work_mem of all together, bytes; 0: chosen */
    double max_outage_s;
    struct ph_throttle *throttle;
    struct ph_log *log;
};

struct ph_builder;

/* All zero before the first start. */
struct ph_build {
    struct ph_build_opts opts;
    struct ph_crew *crew; /* whom the cores are shared with */
    struct ph_builder *builders;
    int n_builders;
    struct ph_interrupt halt;
    _Atomic int running;               /* builders that have not ended */
    _Atomic int places;                /* taken, of those that builders may have now */
    _Atomic int building;              /* builders with a step in hand */
    _Atomic int analyzing;             /* those of them whose step is statistics */
    _Atomic int planned, done, failed; /* steps of the job, as far as this mover knows */
    _Atomic uint64_t first_ns;         /* when this run's first step began; 0: none has */
    _Atomic uint64_t last_ns;          /* when its last one ended */
};

/* Starts the builders, after the crew; none where no step is planned. An error leaves none running. */
bool ph_build_start(struct ph_build *build, const struct ph_build_opts *opts, struct ph_crew *crew,
                    const struct ph_step_counts *counts, struct ph_err *err);

/* Makes them end at once. Main thread. */
void ph_build_halt(struct ph_build *build);

/* Waits for all of them. */
void ph_build_join(struct ph_build *build);

/* So many of the job's jobs builders leave to workers now. */
int ph_build_leaves(const struct ph_build *build);

#endif
