/* Wishes for a live run by way of the ledger: how any host steers any mover, and how movers tell what holds them back.
 *
 * A wish is one word as `pghaul control` takes it (haul/control.h knows what they mean). Movers look twice a second, and note how far
 * they have read, so that who wished can see that it was heard. Nothing is ever taken back: the table is the record, too.
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
    int mover;
    int64_t heard; /* the last wish that it knows; < 0: it has just begun */
    bool paused;
    const char *held; /* what holds it back, or NULL */
    bool changed;     /* since it said so last: then it is written down */
};

/* Wishes later than look->heard that this mover has not passed on itself; and how many other movers of the job live. */
bool ph_ledger_look(struct ph_conn *conn, struct ph_arena *arena, const struct ph_ledger_look *look,
                    struct ph_ledger_wish **wishes, int *n, int *others, struct ph_err *err);

/* Writes wishes down. mover: who has heeded them already, or 0. *last: the number of the last one. */
bool ph_ledger_wish(struct ph_conn *conn, int64_t job, int mover, const char *who, bool keep,
                    const char *const *words, int n, int64_t *last, struct ph_err *err);

/* Movers of the job that live, and how many of them have heard of wish `no`. */
bool ph_ledger_heard(struct ph_conn *conn, int64_t job, int64_t no, int *live, int *heard,
                     struct ph_err *err);

#endif
