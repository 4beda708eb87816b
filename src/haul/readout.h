/* Reads relations out of PostgreSQL for the sake of what is in them: every row is shown to a
 * visitor, nothing is kept, nothing lands.
 *
 * Both sides at once, by several threads: relations are cut into ranges of TIDs, the threads take
 * one after the other, and all that read one side do so under one snapshot of it. A row comes as
 * COPY BINARY (or text) has it: some leading fields that serve the reader (xmin, ctid, the key), then the
 * columns that are compared. These alone are hashed, in the form that a stream of them alone would
 * have, so that the sum over rows is the tally of a receipt (pghaul/tally.h).
 *
 *     ph_readout_run(opts, rels, n, visit, arg, err)
 *
 * Or, where a reading must bear being stopped, in two steps: ph_readout_cut says which chunks there
 * are, and ph_readout_go_on reads those that are not done yet. A hold of a side that it reads
 * (haul/throttle.h) ends it with PH_PAUSED, without an open connection; it is gone on with under
 * other snapshots, when they have been taken. What was seen of a chunk that was given up will be
 * seen again: `ended` tells which chunks count.
 *
 * Rows wider than the buffer pass in pieces like everywhere; only their leading fields must fit.
 */
#ifndef PH_HAUL_READOUT_H
#define PH_HAUL_READOUT_H

#include <stdatomic.h>

#include "base/gate.h"
#include "haul/throttle.h"
#include "pg/conn.h"

enum { PH_READ_SOURCE, PH_READ_TARGET };

/* A relation, or a part of one, on one side. All texts are borrowed. */
struct ph_readout_rel {
    int side;
    const char *from;   /* ONLY "schema"."name" */
    const char *where;  /* SQL or NULL */
    const char *lead;   /* SELECT list of the leading fields; "" for none */
    const char *select; /* and of the columns; "" for none */
    const char *inner;  /* where the lists are over a subquery h: "SELECT ... AS h"; else NULL */
    int n_lead, n_columns;
    int n_skip;     /* of the leading fields, before the key */
    int n_key;      /* fields of the key: leading ones, or with n_lead 0 the first of the columns */
    bool text;      /* rows come as lines, as COPY's text format has them; without a key then */
    bool by_tid;    /* may be cut by ranges of TIDs */
    int64_t blocks; /* then: its size */
    bool qualify;   /* names of reg* types are written with their schema */
    int number;     /* the caller's */
};

/* One row. Valid during the visit only. */
struct ph_readout_row {
    const struct ph_readout_rel *rel;
    const char *lead; /* the leading fields, each with its length in front */
    const char *key;  /* the key's fields, likewise */
    size_t key_len;
    uint64_t hash_lo, hash_hi; /* of the columns */
    uint64_t bytes;            /* of the columns, as a stream of them alone has them */
};

/* Called by `worker` (0 to most_jobs - 1) for every row that it reads. */
typedef void (*ph_readout_visit)(void *arg, int worker, const struct ph_readout_row *row);

struct ph_readout_opts {
    const struct ph_dsn *dsn[2];
    const char *snapshot[2]; /* exported ids */
    const char *encoding;
    const char *tag; /* for application_name */
    int jobs;
    int most_jobs;  /* that it may grow to when the throttle is asked for more; 0: jobs */
    uint64_t chunk; /* bytes of a range of TIDs, at most; 0: as many as are good */
    struct ph_gate *gate;
    struct ph_interrupt *interrupt;
    _Atomic uint64_t *rows, *bytes;        /* of both sides, as they come; may be NULL */
    struct ph_throttle *throttle;          /* may be NULL */
    void (*tick)(void *arg, double share); /* five times a second: how much is read; may be NULL */
    void *tick_arg;
    /* A chunk was read whole, or was given up. One call at a time; may be NULL. */
    void (*ended)(void *arg, int worker, const struct ph_readout_rel *rel, bool whole);
    void *ended_arg;
};

/* A relation, or a range of its TIDs: what a thread takes at a time. */
struct ph_readout_chunk {
    int64_t lo, hi; /* blocks; hi < 0: to the end */
    int rel;        /* its place in the list */
    bool done;
};
struct ph_readout_cut {
    struct ph_readout_chunk *items; /* malloc'ed */
    int n;
};

/* Cuts all of them into chunks, in the order in which they are read. */
bool ph_readout_cut(const struct ph_readout_opts *opts, const struct ph_readout_rel *rels, int n,
                    struct ph_readout_cut *cut, struct ph_err *err);

/* Reads the chunks that are not done. On failure (PH_PAUSED is one) those that are stay so. */
bool ph_readout_go_on(const struct ph_readout_opts *opts, const struct ph_readout_rel *rels,
                      struct ph_readout_cut *cut, ph_readout_visit visit, void *arg,
                      struct ph_err *err);

/* Reads all of them. On failure (also PH_PAUSED) some rows have been shown. */
bool ph_readout_run(const struct ph_readout_opts *opts, const struct ph_readout_rel *rels, int n,
                    ph_readout_visit visit, void *arg, struct ph_err *err);

#endif
