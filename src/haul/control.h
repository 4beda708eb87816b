/* Steering a live run: pause, resume, rates, workers, stop; from this host by a Unix socket in the state directory (control.sock,
 * mode 0600), from any host by the ledger (ledger/control.h).
 *
 *     socket    a thread of its own answers it, whatever else is hung. What comes in holds at once, and goes to the ledger, so that
 *               the job's other movers heed it and it can be kept for later runs
 *     ledger    the pulse looks twice a second
 *
 * A socket that a killed run left behind is replaced. Where a live run of the job has it already (two movers on one host), that one
 * answers, and the other hears by way of the ledger. Every change is logged with who asked for it.
 *
 * Call order: ph_control_begin (a zeroed struct may be ended without); for each phase ph_control_serve and ph_control_still, since
 * the process must have one thread between phases (who asks then waits a little); ph_control_end. Threads: any, but those.
 */
#ifndef PH_HAUL_CONTROL_H
#define PH_HAUL_CONTROL_H

#include "base/log.h"
#include "haul/throttle.h"
#include "ledger/journal.h"
#include "pg/conn.h"

enum ph_wish_kind {
    PH_WISH_PAUSE,
    PH_WISH_RESUME,
    PH_WISH_STOP,
    PH_WISH_STATUS,
    PH_WISH_RATE,
    PH_WISH_SOURCE_RATE,
    PH_WISH_TARGET_RATE,
    PH_WISH_ROWS,
    PH_WISH_SOURCE_ROWS,
    PH_WISH_TARGET_ROWS,
    PH_WISH_JOBS,
};

struct ph_wish {
    enum ph_wish_kind kind;
    uint64_t n; /* of rates and rows a second, 0: no limit; of jobs */
};

/* Reads "pause", "rate=20MiB/s", "rows=off", "jobs=4". PH_WRONG. */
bool ph_wish_parse(const char *word, struct ph_wish *wish, struct ph_err *err);

struct ph_progress;
struct ph_saying; /* what is still to be told to the ledger */

struct ph_control_opts {
    const char *job, *host;
    const char *state_dir;  /* the job's own; NULL: it is below */
    const char *state_base; /* NULL: there is no socket */
    int most_workers;
    const char *verify_tag;           /* it is a verify, of the job of this tag; NULL: it is not */
    const struct ph_journal *journal; /* of an extract, which has no ledger; else NULL */
    struct ph_throttle *throttle;
    struct ph_interrupt *interrupt; /* of the run; "stop" raises it */
    struct ph_log *log;
};

struct ph_control {
    struct ph_control_opts opts;
    bool begun, threaded;
    pthread_t thread;
    struct ph_interrupt end;
    int dir, listener; /* -1: not open */
    uint64_t socket_dev, socket_ino;
    int64_t heard; /* the last wish of the ledger; the pulse's */
    bool said_paused, unsaid;
    char said[PH_REASON_TEXT]; /* to the ledger; the pulse's */

    pthread_mutex_t lock; /* of what follows */
    struct ph_saying *saying;
    struct ph_seen {
        uint64_t rows, bytes;
        double seconds, rate_bytes, eta_s;
        int workers, busy;
    } seen;
};

/* Makes the socket. Without one (no directory, no permission) the run goes on, and says so. */
void ph_control_begin(struct ph_control *control, const struct ph_control_opts *opts);
void ph_control_serve(struct ph_control *control);
void ph_control_still(struct ph_control *control);
void ph_control_end(struct ph_control *control);

/* What a status by the socket shows. */
void ph_control_saw(struct ph_control *control, const struct ph_progress *now);

/* Heeds what was to be kept, for a run that has no ledger to exchange with. */
void ph_control_recall(struct ph_control *control, const struct ph_ledger_wish *wishes, int n);

/* One exchange with the ledger: tells it what came by the socket and what holds us back, heeds what others wish. At the first time
 * of a run that is what was to be kept. mover: of a verify, what ph_ledger_listen has given. */
bool ph_control_exchange(struct ph_control *control, struct ph_conn *target, int64_t job, int mover,
                         struct ph_err *err);

/* The other end of the socket, for the command: sends words, and takes the answer, one JSON object, malloc'ed. PH_WRONG: nobody
 * listens there. */
bool ph_control_ask(const char *state_dir, const char *state_base, const char *job, bool keep,
                    const char *const *words, int n, char **answer, struct ph_err *err);

/* "bob on db1 (pid 4711)" of this process. */
void ph_control_who(char *out, size_t room, unsigned uid, int pid, const char *host);

#endif
