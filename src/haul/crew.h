/* The crew: the workers of one run, what they share, and the pulse that keeps the job alive
 * meanwhile.
 *
 * Workers share nothing but the ledger and the few things here that are atomic. A phase begins with
 * ph_crew_start and ends with ph_crew_join; between phases (the snapshot was lost and has been
 * replaced) the process has one thread again.
 */
#ifndef PH_HAUL_CREW_H
#define PH_HAUL_CREW_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/gate.h"
#include "base/log.h"
#include "ledger/desk.h"
#include "pg/table.h"
#include "pghaul/hop.h"

/* Progress of one table of the job; workers add to it. */
struct ph_crew_tab {
    const struct ph_table *table;
    _Atomic uint64_t rows, bytes; /* landed, earlier runs included */
    _Atomic int64_t weight_done;
    _Atomic int landed, parked;
    int64_t weight;
    int shards;
    _Atomic uint64_t first_ns, last_ns; /* of this run: first claim, last landing; 0: none */
};

struct ph_worker {
    struct ph_crew *crew;
    pthread_t thread;
    bool started;
    int slot;
    char name[64]; /* application_name of its connections between shards */
    struct ph_desk desk;
    struct ph_source *source;
    struct ph_sink *sink;
    struct ph_hop_gauge gauge;
    _Atomic int tab;        /* of the shard in hand; 0: none */
    _Atomic int64_t weight; /* of the shard in hand */
    uint64_t busy_ns;       /* time inside hops */
    double outage_since;    /* 0: all is well */
    unsigned failures;      /* in a row, for the back-off */
    unsigned seed;
};

struct ph_crew_opts {
    const struct ph_dsn *source, *target;
    const char *encoding; /* the target's; both sides speak it */
    const char *tag;
    int64_t job;
    int mover;
    enum ph_mode mode;
    bool fire_triggers, skip_triggers;
    int workers;
    double max_outage_s;
    struct ph_log *log;
    struct ph_interrupt *interrupt;
    struct ph_gate *gate;
};

struct ph_crew {
    struct ph_crew_opts opts;
    const char *snapshot, *pg_snapshot; /* of this phase: its id, and what it is */
    int snapshot_no;
    struct ph_crew_tab *tabs; /* by number - 1 */
    int n_tabs;
    struct ph_worker *workers;
    pthread_t pulse;
    bool pulse_started;
    struct ph_conn **control; /* of the target; the pulse's during a phase */

    _Atomic bool stop; /* workers finish the shard in hand */
    _Atomic bool pulse_stop;
    _Atomic bool snapshot_gone;
    _Atomic bool all_done; /* somebody saw that no shard is left: who waits for one need not */
    _Atomic int running;   /* workers that have not ended */
    _Atomic int retries;
    _Atomic uint64_t run_rows, run_bytes, run_shards;
    _Atomic uint64_t first_idle_ns; /* when the first worker ran dry in this phase; 0: none has */
    _Atomic uint64_t last_landed_ns;
    _Atomic bool outage;  /* somebody is waiting for a lost server */
    pthread_mutex_t lock; /* of fatal */
    bool has_fatal;
    struct ph_err fatal; /* why everything stops */
};

bool ph_crew_init(struct ph_crew *crew, const struct ph_crew_opts *opts, struct ph_err *err);
void ph_crew_fini(struct ph_crew *crew);

/* Starts workers and pulse. control: the target's control connection, given to the pulse until the
 * join. */
bool ph_crew_start(struct ph_crew *crew, struct ph_conn **control, struct ph_err *err);

/* Waits for all of them. */
void ph_crew_join(struct ph_crew *crew);

/* Makes everything stop with this error; the first one stays. Any thread. */
void ph_crew_fail(struct ph_crew *crew, const struct ph_err *err);

/* Body of a worker thread (worker.c). */
void *ph_worker_main(void *worker);

#endif
