/* One run of verify: what its stages share. Lives on the stack of ph_verify_run.
 *
 *     verify.c          the order of the stages; what becomes of each unit
 *     verify_unit.c     tables of the plan → units: what is compared with what
 *     verify_back.c     readback: the target against the receipts
 *     verify_shards.c   shards whose receipts do not match, compared with the source
 *     verify_survey.c   both sides, as sums in buckets
 *     verify_drill.c    buckets that differ → rows that differ
 *     verify_name.c     rows that differ → keys and columns
 *     verify_repair.c   rows that differ → mended
 *     verify_sample.c   some rows, field by field
 *     verify_server.c   sums in buckets, made by the servers themselves
 *     verify_progress.c how far it is
 *     verify_sums.c     figures of columns, for --sums
 */
#ifndef PH_HAUL_VERIFY_RUN_H
#define PH_HAUL_VERIFY_RUN_H

#include "haul/meeting.h"
#include "haul/pace.h"
#include "haul/readout.h"
#include "haul/run.h"
#include "haul/verify.h"
#include "ledger/verify.h"

/* A relation on one side that holds rows of a unit. */
struct ph_unit_rel {
    const char *from;   /* ONLY "schema"."name" */
    const char *where;  /* the job's filter, or NULL */
    const char *select; /* the unit's columns, in its order */
    const char *keys;   /* and its key's */
    const char *back;   /* target: the columns as the receipts have them; n_back of them */
    int n_back;
    bool by_tid, qualify;
    int64_t blocks;
    uint32_t oid;
    const struct ph_table *table; /* source: itself; target: one that is loaded into it */
};

/* Orders keys as both servers do, where that is known of their bytes: then a bucket is a range of
 * keys, and can be read again without reading everything. */
enum ph_unit_order { PH_ORDER_NONE, PH_ORDER_INTEGER, PH_ORDER_UUID };

/* What is compared with what: a table, or a whole tree where the two sides are cut otherwise. */
struct ph_unit {
    struct ph_verify_table *result;
    const struct ph_table **tables; /* of the plan; each is a relation of the source */
    int n_tables;
    struct ph_unit_rel *rels[2];
    int n_rels[2];
    const struct ph_table *first; /* its columns are the unit's */
    bool key_leads;               /* the key's columns are the first ones */
    bool ignore_extra;
    bool surveyed; /* its buckets have been compared */

    const struct ph_ledger_load **loads; /* by table; NULL: not loaded by a job */
    struct ph_ledger_receipt *receipts;  /* of all its tables, by xid */
    int n_receipts;
    bool *bad;      /* by receipt: its rows are not there as it has them; NULL: not read back */
    uint64_t stray; /* rows of receipts that are bad, and of nobody's */

    enum ph_unit_order order;
    uint64_t *bounds;   /* of buckets, where order is known; n_buckets - 1 of them, rising */
    int n_buckets;      /* a power of two where it is not */
    bool *differing;    /* by bucket, after the survey */
    uint64_t *weight;   /* by bucket: rows of both sides */
    uint64_t *suspects; /* --recheck: hashes of the keys that differed before, rising; malloc'ed */
    size_t n_suspects;
    bool settled; /* there is a verdict */
};

/* What the progress remembers from tick to tick. */
struct ph_verify_pulse {
    struct ph_arena arena; /* of one tick */
    double last_s, rate_rows, rate_bytes;
    uint64_t rows, bytes;
};

struct ph_verify {
    const struct ph_verify_opts *opts;
    struct ph_verify_result *result;
    struct ph_arena *arena; /* the result's */
    struct ph_job_spec spec;
    struct ph_job_opts job;
    struct ph_run run;     /* connections, plan, gate */
    struct ph_unit *units; /* those that are being verified: a window of all */
    int n_units;
    int n_before; /* units of the windows before, all settled */
    double begin_s;
    struct ph_pace pace;
    struct ph_verify_pulse pulse;
    char how[64];      /* level and ways, by which a verify that was stopped is known */
    char *snapshot[2]; /* exported by run.source, run.target; NULL: none is held */
    _Atomic uint64_t rows, bytes;
};

/* verify.c: both sides are looked at from now on under snapshots of their own, tables locked
 * against being emptied; or not any more. */
bool ph_verify_look(struct ph_verify *v, int side, struct ph_err *err);
void ph_verify_look_away(struct ph_verify *v);

/* verify.c: names of reg* types are written with their schema from here on, or as the role's
 * search_path shows them again; on a side that is being looked at. */
bool ph_verify_qualify(struct ph_conn *conn, bool on, struct ph_err *err);

/* verify.c: a query on a side that is being looked at. */
bool ph_verify_query(struct ph_verify *v, int side, bool qualify, const char *sql,
                     struct ph_rows **rows, struct ph_err *err);

/* verify.c: how relations are read under the present snapshots. */
struct ph_readout_opts ph_verify_readout(struct ph_verify *v);

/* verify_progress.c: told by who waits for readers; share: of what they read now, 0 to 1. */
void ph_verify_tick(void *verify, double share);

/* verify_unit.c */
bool ph_unit_make(struct ph_verify *v, struct ph_err *err);
/* The SELECT lists of a row with its place and key in front (for a drill) or its key alone. */
struct ph_readout_rel ph_unit_readout(struct ph_verify *v, const struct ph_unit *unit, int side,
                                      int rel, bool with_place);

/* verify_back.c: settles units whose target is what the receipts say, by receipts alone or by
 * reading it; the others stay unsettled and have a reason. */
bool ph_verify_receipts(struct ph_verify *v, struct ph_err *err);
bool ph_verify_back(struct ph_verify *v, struct ph_err *err);
/* The receipt of a transaction; n_receipts where there is none. */
int ph_back_find(const struct ph_unit *unit, uint32_t xid);

/* verify_survey.c: compares both sides of all unsettled units; settles the equal ones. */
bool ph_verify_survey(struct ph_verify *v, struct ph_err *err);
/* The bucket of a key; hash is its XXH3. */
int ph_survey_bucket(const struct ph_unit *unit, const char *key, size_t len, uint64_t hash);

/* verify_drill.c: counts all differences in unit->result, and keeps those that are to be named or
 * mended. */
bool ph_verify_drill(struct ph_verify *v, struct ph_unit *unit, struct ph_odds *odds,
                     struct ph_err *err);

/* verify_drill.c: how many rows may meet at a time; a row's key and place; counts what was found,
 * and keeps what is to be named or mended. */
uint64_t ph_drill_room(const struct ph_verify *v);
uint64_t ph_drill_key(const struct ph_unit *unit, const struct ph_readout_row *row);
struct ph_spot ph_drill_place(const struct ph_readout_row *row);
bool ph_drill_take(struct ph_verify *v, struct ph_unit *unit, const struct ph_odds *found,
                   struct ph_odds *kept, struct ph_err *err);

/* verify_shards.c: compares only the shards whose rows are not those of their receipts; *done is
 * false where the source has moved on, or they are too many for that. */
bool ph_verify_shards(struct ph_verify *v, struct ph_unit *unit, struct ph_odds *odds, bool *done,
                      struct ph_err *err);

/* verify_name.c: fills result->differences. */
bool ph_verify_name(struct ph_verify *v, struct ph_unit *unit, const struct ph_odds *odds,
                    struct ph_err *err);

/* verify_repair.c */
bool ph_verify_repair(struct ph_verify *v, struct ph_unit *unit, struct ph_odds *odds,
                      struct ph_err *err);

/* verify_sample.c */
bool ph_verify_sample(struct ph_verify *v, struct ph_err *err);

/* verify_sums.c: fills result->sums. */
bool ph_verify_add_up(struct ph_verify *v, struct ph_err *err);

/* verify_server.c: the survey of one unit by the servers; *done is false where they cannot. */
bool ph_verify_in_server(struct ph_verify *v, struct ph_unit *unit, bool *done, struct ph_err *err);

#endif
