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
#include "haul/ahead.h"
#include "haul/build.h"
#include "haul/control.h"
#include "haul/guard.h"
#include "haul/sight.h"
#include "haul/spill.h"
#include "haul/throttle.h"
#include "ledger/desk_pg.h"
#include "ledger/journal.h"
#include "ledger/roster.h"
#include "pg/table.h"
#include "pghaul/hop.h"

/* Progress of one table of the job; workers add to it. */
struct ph_crew_tab {
    const struct ph_table *table;
    _Atomic uint64_t rows, bytes; /* landed, earlier runs included */
    _Atomic int64_t weight_done;
    _Atomic int landed, parked;
    _Atomic int64_t weight_spilled; /* in files, not landed */
    int64_t weight;
    int shards;
    _Atomic uint64_t first_ns, last_ns; /* of this run: first claim, last landing; 0: none */
};

/* Where a shard goes: straight across, or by way of a file. */
enum ph_way {
    PH_WAY_DIRECT, /* source → target */
    PH_WAY_SPILL,  /* source → file */
    PH_WAY_LOAD,   /* file → target */
};

struct ph_worker {
    struct ph_crew *crew;
    pthread_t thread;
    bool started;
    int slot;
    char name[64];        /* application_name of its connections between shards */
    struct ph_desk_pg pg; /* the ledger in the target; unused when the job ends in an archive */
    struct ph_desk_local local; /* the roster */
    struct ph_desk *desk;       /* where it sits now: one of the two */
    struct ph_place place;      /* of its files */
    int made;                   /* of the spill directory that this is; see struct ph_spill */
    struct ph_source *source, *file_source;
    struct ph_sink *sink, *file_sink; /* of files: made when first needed */
    struct ph_hop_gauge gauge;
    struct ph_throttle_hop brake;
    double begun_s;            /* the shard in hand */
    _Atomic int tab;           /* of the shard in hand; 0: none */
    _Atomic int64_t weight;    /* of the shard in hand */
    _Atomic int way;           /* of the shard in hand; enum ph_way */
    bool at_source, at_target; /* places that it holds, see crew->reading and crew->landing */
    double outage_since;       /* 0: all is well */
    double stranded_since;     /* 0: what is left can be had */
    unsigned failures;         /* in a row, for the back-off */
    unsigned seed;
};

struct ph_crew_opts {
    const struct ph_dsn *source, *target;
    const char *encoding;        /* the target's, or the archive's: all sides speak it */
    const char *source_encoding; /* what a source of no encoding is said to have; else NULL */
    const char *target_encoding; /* the target's own; NULL: there is none */
    int64_t max_rejects;         /* rows that may be left out, see misfit.h */
    const char *tag;
    int64_t job;
    int mover;
    enum ph_mode mode;
    bool fire_triggers, skip_triggers;
    int workers;
    int source_jobs,
        target_jobs; /* so many may read from the source, or write to the target, at once */
    bool extract;    /* the job ends in the place: there is no target */
    bool load;       /* it begins there: there is no source */
    const struct ph_archive *archive; /* load */
    struct ph_place place;            /* extract, load: the archive */
    enum ph_compress compress;        /* extract */
    struct ph_spill *spill;           /* NULL: nothing is spilled */
    struct ph_roster *roster;         /* with spill and extract; else NULL */
    struct ph_ahead *ahead;           /* connections that have been made already; NULL: none */
    struct ph_build *build; /* builders that the job's cores are shared with; NULL: none */
    const struct ph_journal *journal; /* of an extract; else NULL */
    struct ph_throttle *throttle;
    struct ph_guards *guards;
    struct ph_control *control; /* what the pulse tells the ledger, and hears from it */
    int most_workers;           /* that the crew may grow to */
    int climbs_to;              /* --jobs auto: so many may be tried; 0: their number is given */
    void (*let_go)(void *arg, double ago_s,
                   bool target); /* the snapshot is not needed any more; called by the pulse,
                                                              once. target: whether the ledger can be told */
    void *let_go_arg;
    double max_outage_s;
    struct ph_log *log;
    struct ph_interrupt *interrupt;
    struct ph_gate *gate;
};

struct ph_crew {
    struct ph_crew_opts opts;
    const char *snapshot, *pg_snapshot, *lsn; /* of this phase: its id, and what it is */
    int snapshot_no;
    bool snapshot_released;   /* nobody reads from the source any more; the pulse's */
    struct ph_crew_tab *tabs; /* by number - 1 */
    int n_tabs;
    struct ph_worker *workers; /* there is room for opts.most_workers */
    _Atomic int hired;         /* so many of them there are */
    pthread_t pulse;
    bool pulse_started;
    struct ph_conn **control; /* of the target; the pulse's during a phase */

    _Atomic bool stop; /* workers finish the shard in hand */
    _Atomic bool pulse_stop;
    _Atomic bool snapshot_gone;
    _Atomic bool all_done; /* somebody saw that no shard is left: who waits for one need not */
    _Atomic int running;   /* workers that have not ended */
    _Atomic int retries;
    _Atomic int
        crossed; /* shards of an upsert, in this phase, that met a unique value of a row with another key */
    _Atomic uint64_t run_rows, run_bytes, run_shards;
    _Atomic uint64_t first_idle_ns; /* when the first worker ran dry in this phase; 0: none has */
    _Atomic uint64_t last_landed_ns;
    _Atomic bool outage; /* somebody is waiting for a lost server */
    _Atomic bool
        target_down; /* it could not be reached when somebody tried; the pulse goes on trying */
    _Atomic bool pressure;        /* the target is slow or held back: auto spills */
    _Atomic bool noting;          /* a worker tells the ledger of files */
    _Atomic bool flush;           /* somebody would like a flush soon */
    _Atomic int reading, landing; /* workers that are at the source, at the target */
    _Atomic int others;           /* other live movers of the job, when last heard */
    _Atomic int64_t stranded;     /* shards that are left, spilled where no mover works */
    struct ph_flow to_target, to_files;
    struct ph_sight *sight;       /* what is remembered of all this */
    _Atomic uint64_t released_ns; /* when the snapshot was let go; 0: it is held */
    pthread_cond_t bell;          /* somebody has done his work, or should */
    pthread_mutex_t lock;         /* of fatal and the bell */
    bool has_fatal;
    struct ph_err fatal; /* why everything stops */
};

bool ph_crew_init(struct ph_crew *crew, const struct ph_crew_opts *opts, struct ph_err *err);
void ph_crew_fini(struct ph_crew *crew);

/* Starts workers and pulse. control: the target's control connection, given to the pulse until the
 * join. */
bool ph_crew_start(struct ph_crew *crew, struct ph_conn **control, struct ph_err *err);

/* One worker more, while a phase runs; the pulse's. False: there cannot be one. */
bool ph_crew_hire(struct ph_crew *crew);

/* Sleeps until somebody rings, or for 10 ms. Who looks around so often need not be told of everything; but what the end of a job
 * waits for is rung. Any thread. */
void ph_crew_nap(struct ph_crew *crew);
void ph_crew_ring(struct ph_crew *crew);

/* Waits for all of them. */
void ph_crew_join(struct ph_crew *crew);

/* Makes everything stop with this error; the first one stays. Any thread. */
void ph_crew_fail(struct ph_crew *crew, const struct ph_err *err);

/* What a worker does until nothing is left (worker.c). */
void *ph_worker_main(void *worker);

/* Equips a worker, and gives back what it has (crew.c); what belongs to its thread is given back there. */
bool ph_worker_files(struct ph_worker *worker, struct ph_err *err);

/* Body of the pulse's thread (pulse.c): keeps the job alive, flushes, lets the snapshot go, sees when the target is slow. */
void *ph_pulse_main(void *crew);

/* way.c: what a worker takes next, and by which way it goes. */

/* What it should ask for. */
enum ph_want ph_way_want(struct ph_worker *worker);

/* Whether a worker has any way to go now: neither end that it would touch is held. */
bool ph_way_is_open(struct ph_worker *worker);

/* Which way a claimed shard goes; takes the places at source and target that it needs, and room for its file. False: it cannot
 * go now. On success ph_way_end must follow. */
struct ph_way_pass {
    enum ph_way way;
    uint64_t reserved; /* bytes in the spill directory */
};
bool ph_way_begin(struct ph_worker *worker, const struct ph_claim *claim, struct ph_way_pass *pass);
void ph_way_end(struct ph_worker *worker, const struct ph_way_pass *pass, bool ok,
                const struct ph_err *err);

#endif
