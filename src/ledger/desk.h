/* A worker's desk at the ledger: where it claims shards and says what became of them.
 *
 * There are two kinds. desk_pg is at the ledger in the target; its connection serves the sink too, so that rows and
 * receipt share a transaction and the claim of the next shard rides on the commit of the last one. desk_local is at a
 * roster in memory (ledger/roster.h): for a job that ends in an archive, and while the target cannot be reached.
 *
 * Call order: ph_desk_claim; the hop; after a failure ph_desk_fail. A desk belongs to one worker thread.
 */
#ifndef PH_LEDGER_DESK_H
#define PH_LEDGER_DESK_H

#include "archive/shardfile.h"
#include "pghaul/shard.h"
#include "pghaul/tally.h"

struct ph_claim {
    int64_t shard; /* 0: nothing to claim now */
    int tab;
    int attempt;
    char *where; /* the desk's, valid until the next answer of the ledger */
    int64_t weight;
    int64_t redo_xid, redo_rows; /* see struct ph_shard */
    char *file;                  /* of a spilled one, likewise the desk's; else NULL */
    int snapshot;                /* that it was read under; 0 unless spilled */
    struct ph_tally tally;       /* of what the file holds */
    bool to_file; /* rows that it refers to have not landed: it can go into a file only */

    /* when shard is 0: */
    int64_t remaining; /* shards that are neither landed nor parked */
    int64_t unread;    /* those of them that are still to be read from the source */
    int64_t stranded;  /* those that are spilled where no mover works */
    double wait_s;     /* ask again then */
};

/* What a worker would take now, in this order: planned shards that may land, spilled ones, planned ones for files. */
enum ph_want {
    PH_WANT_PLANNED,
    PH_WANT_SPILLED,
    PH_WANT_SPILLED_FIRST,
    PH_WANT_FOR_FILES,
    PH_WANT_FOR_FILES_FIRST,
};

/* A sealed file and what it holds. */
struct ph_spill_note {
    const char *file;
    struct ph_sealed sealed;
    struct ph_tally tally;
    int snapshot;
    const char *moment; /* that snapshot as text, for numbers may come again; NULL: not known */
};

struct ph_desk;

struct ph_desk_ops {
    bool (*claim)(struct ph_desk *desk, const struct ph_claim **claims, int *n, struct ph_err *err);
    bool (*failed)(struct ph_desk *desk, const struct ph_shard *shard, bool counted, bool park,
                   const char *why, double delay_s, bool *parked, struct ph_err *err);
    bool (*sealed)(struct ph_desk *desk, const struct ph_shard *shard,
                   const struct ph_spill_note *note, bool *known, struct ph_err *err);
    bool (*unsealed)(struct ph_desk *desk, const struct ph_shard *shard, const char *why,
                     struct ph_err *err);
    bool (*usable)(struct ph_desk *desk);
    bool (*recover)(struct ph_desk *desk);
};

struct ph_desk {
    const struct ph_desk_ops *ops;
    enum ph_want want; /* for the next claim */
    bool hold;         /* commits shall not claim: more of the last claim is to be done */
};

/* What to work on next: one shard, or several tiny ones; or one claim of shard 0: nothing now. */
static inline bool ph_desk_claim(struct ph_desk *desk, const struct ph_claim **claims, int *n,
                                 struct ph_err *err)
{
    return desk->ops->claim(desk, claims, n, err);
}

/* Gives a claimed shard back. counted: the failure was the shard's own, the fifth parks it; park:
 * it would fail for ever. *parked says whether it is parked now. */
static inline bool ph_desk_fail(struct ph_desk *desk, const struct ph_shard *shard, bool counted,
                                bool park, const char *why, double delay_s, bool *parked,
                                struct ph_err *err)
{
    return desk->ops->failed(desk, shard, counted, park, why, delay_s, parked, err);
}

/* The claimed shard is in a sealed file now, and nobody's claim any more. *known: the ledger in the target has heard of it;
 * otherwise it is to be told later (pghaul.adopt). PH_FENCED: somebody else has the shard; PH_CONNECTION: who knows. */
static inline bool ph_desk_sealed(struct ph_desk *desk, const struct ph_shard *shard,
                                  const struct ph_spill_note *note, bool *known, struct ph_err *err)
{
    return desk->ops->sealed(desk, shard, note, known, err);
}

/* The file of a claimed shard is missing or damaged: the shard is to be read from the source again. */
static inline bool ph_desk_unsealed(struct ph_desk *desk, const struct ph_shard *shard,
                                    const char *why, struct ph_err *err)
{
    return desk->ops->unsealed(desk, shard, why, err);
}

/* Whether the ledger can be told something at once. */
static inline bool ph_desk_usable(struct ph_desk *desk)
{
    return desk->ops->usable(desk);
}

/* After a failed claim: makes the desk usable again, or gives its connection up. */
static inline bool ph_desk_recover(struct ph_desk *desk)
{
    return desk->ops->recover(desk);
}

#endif
