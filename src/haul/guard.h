/* Guards: what they watch makes a run pause or slow down, so that whoever else works on the two servers is served.
 *
 *     hard   lag of standbys, age of others' transactions, WAL that slots keep, free space and the time until there is none, requested checkpoints, a query, a file, a
 *            URL: nobody touches that server (or, of the last three, either of them) until it is well again
 *     soft   others' active backends, latency of canaries: fewer workers, and less of the last one's time
 *
 * Each guard is a thread with a connection of its own, and asks twice a second (a canary oftener). It fails closed: until its first
 * answer and after some seconds without one (its server hangs, a standby has vanished, the query fails) it holds, and says that its
 * signal is lost. The limits are of the servers, whoever causes the trouble.
 *
 * Call order: ph_guards_init; for each phase ph_guards_watch and ph_guards_rest, and ph_guards_look now and then meanwhile (the pulse
 * does); ph_guards_fini. The holds live as long as the throttle.
 */
#ifndef PH_HAUL_GUARD_H
#define PH_HAUL_GUARD_H

#include "base/log.h"
#include "haul/judge.h"
#include "haul/throttle.h"
#include "io/http.h"
#include "pg/conn.h"

/* All zero: nothing is guarded. Texts are borrowed. */
struct ph_guard_limits {
    double max_lag_s;
    const char *const
        *lag_of; /* standbys that must be there, by application_name; none: all that are */
    int n_lag_of;
    int max_load; /* active backends of others */
    double max_xact_age_s;
    uint64_t max_slot_wal, min_free;
    double full_in_s;    /* as fast as it fills now */
    int max_checkpoints; /* that were asked for, within checkpoints_s */
    double checkpoints_s;
    /* SQL, "source:" or "target:" (default) in front; or the word commit, which is a very small transaction of our own, alone of
     * every server that there is */
    const char *const *canary;
    int n_canary;
    double canary_limit;     /* times its baseline; 0: 2 */
    const char *pause_query; /* SQL, likewise */
    const char *pause_file;
    const char *pause_url; /* 200: go on; 429 or 503: pause; else it was no answer */
};

/* "3/10m": so many within so long. PH_WRONG. */
bool ph_guard_often(const char *text, int *n, double *within_s, struct ph_err *err);

/* Whether SQL for a guard begins with a side, and which; *sql is what follows. */
bool ph_guard_side(const char *text, bool *source, const char **sql);

/* Answers of a canary are due so often. */
#define PH_CANARY_PACE_S 0.05

enum {
    PH_CANARIES_MAX = 8,
    PH_GUARDS_MAX = 16 + 2 * PH_CANARIES_MAX,
    PH_STANDBYS_MAX = 32,
    PH_PLACES_MAX = 32
};

/* What may become full: a directory, or what a slot may keep. */
struct ph_guard_place {
    char name[128];
    struct ph_judge_fill fill;
};

struct ph_guard {
    struct ph_guards *all;
    struct ph_hold hold;
    bool source; /* the server that it asks; not of a file or a URL */
    const char *sql;
    pthread_t thread;
    bool started;
    struct ph_conn *conn;
    struct ph_http *http;
    _Atomic uint64_t heard_ns; /* its last good answer; 0: none yet */
    _Atomic uint64_t asked_ns; /* a canary that waits for its answer since then; 0: none */
    _Atomic bool off;          /* there is nothing that it could know */
    struct ph_judge_hard hard;
    struct ph_judge_soft soft;
    struct ph_judge_canary canary;
    struct ph_judge_lag *lag;
    struct ph_judge_window *window;
    struct ph_guard_place *places; /* PH_PLACES_MAX */
    int n_places;
    bool said;                         /* that it does not see all */
    char standby[PH_STANDBYS_MAX][64]; /* that were seen */
    int n_standbys;
    pthread_mutex_t lock; /* of the error */
    char error[PH_REASON_TEXT];
};

struct ph_guards_opts {
    const struct ph_guard_limits *limits; /* NULL: none */
    const struct ph_dsn *source, *target; /* NULL: there is none */
    struct ph_throttle *throttle;
    struct ph_log *log;
};

struct ph_guards {
    struct ph_guards_opts opts;
    char name[64]; /* application_name */
    struct ph_interrupt end;
    bool watching;
    _Atomic unsigned seen; /* bits: names of lag_of that were seen on some server */
    struct ph_guard guard[PH_GUARDS_MAX];
    int n;
};

bool ph_guards_init(struct ph_guards *guards, const struct ph_guards_opts *opts,
                    struct ph_err *err);
void ph_guards_fini(struct ph_guards *guards);

/* tag: of the job, for application_name. Whatever is guarded is held from now on until it is known to be well. */
void ph_guards_watch(struct ph_guards *guards, const char *tag);
void ph_guards_rest(struct ph_guards *guards);

/* Holds what has not been heard of for too long. */
void ph_guards_look(struct ph_guards *guards);

/* One question (guard_check.c), and what follows from its answer. */
bool ph_guard_ask(struct ph_guard *guard, struct ph_err *err);

/* The same of those that watch room (guard_room.c). */
extern const char ph_guard_directories_sql[];
const char *ph_guard_room_sql(const struct ph_guard *guard);
bool ph_guard_free(struct ph_guard *guard, const struct ph_rows *rows);
bool ph_guard_full(struct ph_guard *guard, const struct ph_rows *rows);

/* Its verdicts (guard.c): the value against its limit; how much of the work may go on. */
void ph_guard_judge(struct ph_guard *guard, double value, double limit, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void ph_guard_steer(struct ph_guard *guard, double share, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
