/* Wishes for a live run by way of the ledger: how any host steers any mover, and how movers tell what holds them back.
 *
 * A wish is one word as `pghaul control` takes it (haul/control.h knows what they mean). Movers look twice a second, and note how far
 * they have read, so that who wished can see that it was heard. Nothing is ever taken back: the table is the record, too.
 *
 * A verify is no mover, and its role need not be one that may write: it listens by holding a lock, and its application_name tells
 * how far it has heard.
 */
#ifndef PH_LEDGER_CONTROL_H
#define PH_LEDGER_CONTROL_H

#include "base/arena.h"
#include "pg/conn.h"

struct ph_ledger_wish {
    int64_t no;
    const char *word, *who;
    bool keep;    /* it holds for later runs too */
    bool current; /* it was said while a mover that still lives was at work */
};

/* What a mover says when it looks. */
struct ph_ledger_look {
    int64_t job;
    int mover;              /* or what ph_ledger_listen has given */
    const char *verify_tag; /* a verify looks, of the job of this tag; NULL: a mover */
    int64_t heard;          /* the last wish that it knows; < 0: it has just begun */
    bool paused;
    const char *held; /* what holds it back, or NULL */
    bool changed;     /* since it said so last: then it is written down */
};

/* The connection listens for a job from now on, if there is one of that name in a ledger that it may read; else *job is 0. *mover
 * is what its wishes are known by. tag: of the job. */
bool ph_ledger_listen(struct ph_conn *conn, const char *name, const char *tag, int64_t *job,
                      int *mover, struct ph_err *err);

/* Wishes later than look->heard that this mover has not passed on itself; and how many other movers of the job live. */
bool ph_ledger_look(struct ph_conn *conn, struct ph_arena *arena, const struct ph_ledger_look *look,
                    struct ph_ledger_wish **wishes, int *n, int *others, struct ph_err *err);

/* Writes wishes down. mover: who has heeded them already, or 0. *last: the number of the last one. */
bool ph_ledger_wish(struct ph_conn *conn, int64_t job, int mover, const char *who, bool keep,
                    const char *const *words, int n, int64_t *last, struct ph_err *err);

/* Verifies of the job that listen. */
bool ph_ledger_verifies(struct ph_conn *conn, int64_t job, int *n, struct ph_err *err);

/* Movers and verifies of the job that live, and how many of them have heard of wish `no`. */
bool ph_ledger_heard(struct ph_conn *conn, int64_t job, int64_t no, int *live, int *heard,
                     struct ph_err *err);

#endif
