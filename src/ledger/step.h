/* Steps: what a job does besides moving rows. Indexes, constraints, what is left of a schema, ANALYZE.
 *
 * A planner makes a list of them (ph_steps_add), which is written down in the transaction that makes
 * the job; movers claim them one by one and do them (haul/build.h). The statements of a step and its
 * mark are one transaction, so each is done exactly once whatever dies. A step can begin when the
 * steps that it comes after are done and every shard of its tables has landed; of those that can, the
 * heaviest begins first. A claim is a mover's and a slot's, and free again when the mover is dead;
 * `attempt` fences, as a shard's does.
 */
#ifndef PH_LEDGER_STEP_H
#define PH_LEDGER_STEP_H

#include "base/arena.h"
#include "base/buf.h"
#include "pg/conn.h"

struct ph_step {
    int64_t id;         /* 1, 2, ... in the job; set by ph_steps_add */
    const char *kind;   /* "index", "constraint", "fk", "validate", "attach", "post", "matview",
                           "analyze", "vacuum", ... */
    const char *object; /* for people: "index public.orders_at" */
    const char *sql;    /* statements, separated by semicolons; an outside step has exactly one */
    const int
        *tabs;  /* tables of the plan (ph_table.id) that must have landed; NULL: all of the job */
    int n_tabs; /* with tabs; 0 is none at all */
    const int64_t
        *after; /* ids of steps that must be done before; -id: that must be over, failed or not */
    int n_after;
    bool outside;      /* cannot run in a transaction; it is marked afterwards, and must bear being
                          done twice */
    const char *alone; /* never two steps of the same word at once; NULL: beside any other */
    int64_t weight; /* about so many bytes of work; up to PH_STEP_TINY it may share a transaction */
    bool restores;  /* the job has dropped it, so it must come back */
};

enum { PH_STEP_TINY = 65536, PH_STEP_BUNDLE = 32 };

/* A growing list in an arena. */
struct ph_steps {
    struct ph_arena *arena;
    struct ph_step *items;
    int n, room;
    /* statements to run in the transaction that writes the steps down, after they are: what is dropped */
    const char **drops;
    int n_drops, room_drops;
};

/* Puts a step behind the others and gives it its id. It is valid until the next one is added; sql and
 * object are the caller's, or the arena's. */
struct ph_step *ph_steps_add(struct ph_steps *steps, const char *kind, const char *object,
                             const char *sql);
void ph_steps_drop(struct ph_steps *steps, const char *sql);

/* [tx] Writes them down, and runs the drops. (ph_ledger_create does it, after it has taken an earlier
 * round's away, and before it empties targets.) */
bool ph_ledger_steps_put(struct ph_conn *conn, int64_t job, const struct ph_steps *steps,
                         struct ph_err *err);

struct ph_step_counts {
    int planned, done, failed; /* planned: those in hand included */
};
bool ph_ledger_steps_count(struct ph_conn *conn, int64_t job, struct ph_step_counts *counts,
                           struct ph_err *err);

/* Failed ones with their errors, at most max. */
struct ph_step_failed {
    int64_t step;
    const char *kind, *object, *error;
};
bool ph_ledger_steps_failed(struct ph_conn *conn, struct ph_arena *arena, int64_t job, int max,
                            struct ph_step_failed **failed, int *n, struct ph_err *err);

/* What a builder has been given: up to PH_STEP_BUNDLE steps, to be done in this order. */
struct ph_step_claim {
    int n; /* 0: nothing can begin now */
    struct ph_claimed_step {
        int64_t id;
        int attempt;
        char *kind, *object, *sql;
        bool outside;
        int64_t weight;
    } steps[PH_STEP_BUNDLE];
    int ready;      /* others that could begin now, up to 100 */
    int64_t others; /* weight of these and of those that are running */
    int running;    /* others in somebody's hands */
    int undone;     /* n == 0: all that are planned */
};

/* Asks for steps. look: find out what can begin, even though something can. Free what came with
 * ph_step_claim_fini. */
bool ph_step_claim(struct ph_conn *conn, int64_t job, int mover, int slot, bool look,
                   struct ph_step_claim *out, struct ph_err *err);
void ph_step_claim_fini(struct ph_step_claim *claim);

/* For one round trip a step: appends the query of ph_step_claim, and reads its answer. */
void ph_step_sql_claim(struct ph_buf *sql, int64_t job, int mover, int slot, bool look);
void ph_step_take(struct ph_step_claim *out, const struct ph_rows *rows);

/* Appends the marks of n steps; the transaction fails with SQLSTATE PH001 when a newer attempt owns one of them. */
void ph_step_sql_done(struct ph_buf *sql, int64_t job, int mover,
                      const struct ph_claimed_step *steps, int n);

/* Gives a step back. counted: the failure was its own, the fifth is the last; final: it would fail for
 * ever. *failed says whether it is given up now. */
bool ph_step_fail(struct ph_conn *conn, int64_t job, int mover, const struct ph_claimed_step *step,
                  bool counted, bool final, const char *why, double delay_s, bool *failed,
                  struct ph_err *err);

/* [tx] A new run begins: failed steps get another chance, back-offs are over. */
bool ph_ledger_steps_reopen(struct ph_conn *conn, int64_t job, struct ph_err *err);

/* How many things the job has dropped and not made again; makes them, one after the other. *restored grows with each; an error
 * names the first that cannot be made. (restore.c) */
bool ph_ledger_restores(struct ph_conn *conn, int64_t job, int *open, struct ph_err *err);
bool ph_ledger_restore(struct ph_conn *conn, int64_t job, int *restored, struct ph_err *err);

#endif
