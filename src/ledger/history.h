/* What happened during a job, for `report`: written by its movers every few seconds, read at any time by anyone.
 *
 * The receipts say what landed when; this is the rest: how far each mover was and where its time went, events, and under
 * what settings it ran.
 */
#ifndef PH_LEDGER_HISTORY_H
#define PH_LEDGER_HISTORY_H

#include "base/arena.h"
#include "pg/conn.h"
#include "pghaul/stage.h"

/* Totals of one mover's run, at a moment. */
struct ph_history_sample {
    double at_s; /* CLOCK_MONOTONIC; the server dates it by its age */
    uint64_t rows, bytes, spilled;
    int busy;
    double stages[PH_N_STAGES]; /* seconds of all workers */
    char waits[48];             /* what the target's backends mostly do; "": not known */
};

struct ph_history_event {
    double at_s;
    char event[24];
    int64_t shard; /* 0: none */
    int tab;
    char text[240];
};

/* In one transaction that does not wait for the disk. */
bool ph_history_write(struct ph_conn *conn, int64_t job, int mover,
                      const struct ph_history_sample *samples, int n_samples,
                      const struct ph_history_event *events, int n_events, struct ph_err *err);

/* What a server is, as a JSON object: version, size of its buffers, how it treats WAL. In *json, of the arena. */
bool ph_history_server(struct ph_conn *conn, struct ph_arena *arena, const char **json,
                       struct ph_err *err);

/* Writes down under what settings a mover runs; facts: a JSON object. */
bool ph_history_facts(struct ph_conn *conn, int mover, const char *facts, struct ph_err *err);

/* Reading. Times are seconds since the round began, by the target's clock. */

struct ph_history_mover {
    int id, pid;
    const char *host, *started; /* ISO 8601 */
    double start, end;          /* end: when it was last heard of, if it has not ended */
    bool live, ended;
    const char *facts; /* JSON or NULL */
};

struct ph_history_point {
    int mover; /* index */
    double at;
    uint64_t rows, bytes, spilled;
    int busy;
    double stages[PH_N_STAGES];
    const char *waits;
};

struct ph_history_moment {
    int mover; /* index, -1: unknown */
    double at;
    const char *event, *text, *table; /* table may be NULL */
    int64_t shard;
};

enum ph_bar_kind {
    PH_BAR_LANDED,
    PH_BAR_SPILLED,
    PH_BAR_OPEN, /* claimed, and no more is known */
};

/* One hop of a shard: a bar of the timeline. */
struct ph_history_bar {
    int mover, slot; /* mover: index */
    double from, to;
    int64_t shard;
    int tab; /* index */
    uint64_t rows, bytes;
    int attempt;
    int kind; /* enum ph_bar_kind */
};

struct ph_history {
    struct ph_arena arena;
    const char *started; /* the round, ISO 8601 */
    double now;
    struct ph_history_mover *movers;
    struct ph_history_point *points; /* by mover and time */
    struct ph_history_moment *moments;
    struct ph_history_bar *bars; /* by mover, slot and time */
    int n_movers, n_points, n_moments, n_bars;
};

/* Of the round in hand. */
bool ph_history_read(struct ph_history **out, struct ph_conn *conn, int64_t job,
                     struct ph_err *err);
void ph_history_free(struct ph_history *history);

#endif
