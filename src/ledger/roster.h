/* The shards of a job in memory, shared by the workers of one process.
 *
 * For a job that ends in an archive it is the ledger while the job runs (between runs that is the directory itself: a
 * sealed file is its own receipt). For a job that may spill it is what the mover knows while the target cannot be
 * reached: which shards are still to be read, which lie in files that the ledger has not been told of, and which have landed
 * without being flushed, so that a crash of the target may take them back.
 *
 *     planned ─claim─► taken ─┬─► sealed (in a file) ─► noted (and the ledger knows)
 *        ▲                    ├─► landed ─flush─► safe
 *        └──────fail──────────┘
 *
 * Threads: any. Texts that are lent stay valid as long as the roster.
 */
#ifndef PH_LEDGER_ROSTER_H
#define PH_LEDGER_ROSTER_H

#include "ledger/desk.h"

struct ph_roster;

struct ph_roster_item {
    int64_t id;
    int tab;
    const char *where, *lo, *hi; /* as in struct ph_receipt */
    int64_t weight;
    bool spilled; /* it lies in a file that the ledger knows */
};

/* Copies the items, which need not be in any order. */
bool ph_roster_new(struct ph_roster **out, const struct ph_roster_item *items, int n,
                   struct ph_err *err);
void ph_roster_free(struct ph_roster *roster);

/* NULL when there is no such shard. */
const struct ph_roster_item *ph_roster_find(struct ph_roster *roster, int64_t id);

/* Takes the heaviest planned shard; insure: or one that has landed and may not be safe. *attempt is its new one. NULL: none
 * now; *left counts those that are planned or taken, *wait_s says when to ask again. */
const struct ph_roster_item *ph_roster_claim(struct ph_roster *roster, bool insure, int *attempt,
                                             int *left, double *wait_s);

/* What becomes of a shard, whoever claimed it. */
void ph_roster_landed(struct ph_roster *roster, int64_t id,
                      bool unlogged); /* unlogged: no flush makes it safe */
void ph_roster_sealed(struct ph_roster *roster, int64_t id, const struct ph_spill_note *note);
void ph_roster_noted(struct ph_roster *roster, int64_t id);   /* the ledger knows the file */
void ph_roster_planned(struct ph_roster *roster, int64_t id); /* it is to be read (again) */
void ph_roster_taken_back(struct ph_roster *roster,
                          int64_t id); /* the target has forgotten that it landed, or was spilled */
bool ph_roster_fail(struct ph_roster *roster, int64_t id, bool counted, bool park, const char *why,
                    double delay_s); /* true: it is parked now */

/* Whatever landed before `before_ns` (ph_clock_ns) is on the target's disk. */
void ph_roster_flushed(struct ph_roster *roster, uint64_t before_ns);

/* Everything is in a file or safe: nothing is left for which the source would be needed. */
bool ph_roster_is_drained(struct ph_roster *roster);

/* How many have neither landed nor are in a file: what the source is still needed for, unless a crash of the target takes
 * something back. */
int ph_roster_unread(struct ph_roster *roster);

/* Walks through the sealed files: *at begins at 0. noted: whether the ledger knows; only such ones. False at the end. */
bool ph_roster_next_sealed(struct ph_roster *roster, int *at, bool noted, int64_t *id,
                           struct ph_spill_note *note);

/* Whether there is a file that the ledger has not been told of. */
bool ph_roster_has_unnoted(struct ph_roster *roster);

/* Walks through parked shards likewise. */
bool ph_roster_next_parked(struct ph_roster *roster, int *at, int64_t *id, int *tab,
                           const char **why);

/* A desk at a roster. insure: see ph_roster_claim. */
struct ph_desk_local {
    struct ph_desk base;
    struct ph_roster *roster;
    bool insure;
    struct ph_claim claim;
};
void ph_desk_local_init(struct ph_desk_local *desk, struct ph_roster *roster, bool insure);

#endif
