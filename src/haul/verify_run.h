/* One run of verify: what its stages share. Lives on the stack of ph_verify_run.
 *
 *     verify.c          the order of the stages; what becomes of each unit
 *     verify_look.c     snapshots of both sides, and pauses
 *     verify_read.c     reading what adds up, through pauses
 *     verify_note.c     and through ends: what is kept of it in a file
 *     verify_unit.c     tables of the plan → units: what is compared with what
 *     verify_back.c     readback: the target against the receipts
 *     verify_shards.c   shards whose receipts do not match, compared with the source
 *     verify_survey.c   both sides, as sums in buckets
 *     verify_census.c   whether what was proven before stands
 *     verify_drill.c    buckets that differ → rows that differ
 *     verify_name.c     rows that differ → keys and columns
 *     verify_repair.c   rows that differ → mended
 *     verify_mending.c  the transaction that mends
 *     verify_sample.c   some rows, field by field
 *     verify_server.c   sums in buckets, made by the servers themselves
 *     verify_progress.c how far it is
 *     verify_control.c  how it is steered
 *     verify_objects.c  large objects
 *     verify_objects_mend.c  those that differ → mended
 *     verify_sums.c     figures of columns, for --sums
 */
#ifndef PH_HAUL_VERIFY_RUN_H
#define PH_HAUL_VERIFY_RUN_H

#include "haul/meeting.h"
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
    bool text;     /* its receipts are of rows as text */
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
    const char *stands;      /* it was proven before: upon what; or NULL */
    const char *read_before; /* by a verify that was stopped, in words; or NULL */
    unsigned stages_read;    /* bits, by stage: it is not for the first time that it is read so */
    bool settled;            /* there is a verdict */
};

/* What the progress remembers from tick to tick. */
struct ph_verify_pulse {
    struct ph_arena arena; /* of one tick */
    double last_s, rate_rows, rate_bytes;
    uint64_t rows, bytes;
    double share; /* of what is being read, as told last */
};

/* verify_control.c: the thread that hears what is said by way of the ledger. */
struct ph_verify_ear {
    bool threaded;
    pthread_t thread;
    struct ph_interrupt end;
};

struct ph_verify {
    const struct ph_verify_opts *opts;
    struct ph_verify_result *result;
    struct ph_arena *arena; /* the result's */
    struct ph_job_spec spec;
    struct ph_job_opts job;
    struct ph_run run;     /* connections, plan, gate, throttle, guards */
    struct ph_unit *units; /* those that are being verified: a window of all */
    int n_units;
    int n_before; /* units of the windows before, all settled */
    double begin_s;
    struct ph_verify_pulse pulse;
    struct ph_verify_ear ear;
    int most_jobs;        /* readers, if somebody wishes for more than there are */
    char how[64];         /* level and ways, by which a verify that was stopped is known */
    const char *moment;   /* the job's snapshot of the source, while it is held; else NULL */
    double looks_since_s; /* the first of these snapshots */
    char *snapshot[2];    /* exported by run.source, run.target; NULL: none is held */
    uint64_t oldest[2];   /* of each: transaction in progress; */
    uint64_t next[2];     /* that had not begun */
    uint64_t since[2];    /* oldest of the first snapshot of this window; 0: no look yet */
    _Atomic uint64_t rows, bytes;
};

/* verify_look.c: both sides are looked at from now on under snapshots of their own, tables locked
 * against being emptied; or not any more. */
bool ph_verify_look(struct ph_verify *v, int side, struct ph_err *err);
void ph_verify_look_away(struct ph_verify *v);

/* verify_look.c: names of reg* types are written with their schema from here on, or as the role's
 * search_path shows them again; on a side that is being looked at. */
bool ph_verify_qualify(struct ph_conn *conn, bool on, struct ph_err *err);

/* verify_look.c: a query on a side that is being looked at. */
bool ph_verify_query(struct ph_verify *v, int side, bool qualify, const char *sql,
                     struct ph_rows **rows, struct ph_err *err);

/* verify_look.c: how relations are read under the present snapshots. */
struct ph_readout_opts ph_verify_readout(struct ph_verify *v);

/* verify_control.c: from here on the verify can be steered, under its job's name; until it is not any more. */
void ph_verify_listen(struct ph_verify *v);
void ph_verify_deafen(struct ph_verify *v);

/* verify_look.c: for the main thread, several times a second: guards and timetable are heard. */
void ph_verify_attend(struct ph_verify *v);
/* Returns when nothing is held, nothing being looked at; PH_INTERRUPTED. */
bool ph_verify_wait(struct ph_verify *v, struct ph_err *err);
/* Between two queries: PH_PAUSED when a side is held. */
bool ph_verify_may_go_on(struct ph_verify *v, struct ph_err *err);
/* After PH_PAUSED: looks away, waits, and looks again at what was being looked at. */
bool ph_verify_rest(struct ph_verify *v, struct ph_err *err);

enum ph_reading_stage { PH_READING_BACK, PH_READING_SURVEY, PH_READING_SERVERS };

/* A reading that adds up. A pause, or an end, may come in the middle of it: so what a thread sees of
 * a chunk is apart until `ended` says whether it counts. */
struct ph_reading {
    const struct ph_readout_rel *rels;
    int n;
    ph_readout_visit visit;
    void (*ended)(void *arg, int worker, const struct ph_readout_rel *rel, bool whole);
    void *arg;
    /* What is kept of it, for a verify that is stopped; unit NULL: nothing. */
    struct ph_unit *unit; /* that alone is read */
    enum ph_reading_stage stage;
    void *sums; /* of the chunks that count */
    size_t sums_size;
    uint64_t (*count)(const void *sums, size_t size, int side); /* rows that are in sums */
    const void *depends; /* what the sums are worth nothing without: bounds, receipts */
    size_t depends_size;
};
/* verify_read.c: reads all of it, resting where it must. */
bool ph_verify_read(struct ph_verify *v, const struct ph_reading *reading, struct ph_err *err);

/* verify_census.c: rows of relations, and those of transactions that were not over then, by side. */
struct ph_census {
    _Atomic uint64_t rows[2], young[2];
};
/* Files and columns of a unit's relations on a side that is being looked at; 0: rows of them cannot be
 * told apart by age. */
bool ph_census_files(struct ph_verify *v, const struct ph_unit *unit, int side, uint64_t *files,
                     struct ph_err *err);
/* How a relation is counted, and its number in the array; counts the chunks that are not done. */
struct ph_readout_rel ph_census_rel(struct ph_verify *v, const struct ph_readout_rel *rel,
                                    uint64_t oldest, int number);
bool ph_census_take(struct ph_verify *v, const struct ph_readout_rel *rels,
                    struct ph_readout_cut *cut, struct ph_census *census, struct ph_err *err);
/* What a unit's proof stands upon, as a text for the ledger ("": nothing that can be told); and
 * whether it does still. */
bool ph_census_write(struct ph_verify *v, const struct ph_unit *unit, char text[static 200],
                     struct ph_err *err);
bool ph_census_stands(struct ph_verify *v, const struct ph_unit *unit, const char *text, bool *yes,
                      struct ph_err *err);

/* verify_note.c: what is kept of a reading. open goes on with what there is; `of_use` says whether
 * anything will be kept. ended is called, with the note, in place of the reading's own. */
struct ph_note {
    struct ph_verify *v;
    const struct ph_reading *reading;
    struct ph_readout_cut *cut;
    bool of_use;
    uint64_t question[2];
    int64_t begun;      /* seconds since 1970 */
    uint64_t oldest[2]; /* transaction in progress, when it was begun, by side */
    double last_s;
    char name[64];
};
bool ph_note_open(struct ph_note *note, struct ph_verify *v, const struct ph_reading *reading,
                  struct ph_readout_cut *cut, struct ph_err *err);
void ph_note_ended(void *note, int worker, const struct ph_readout_rel *rel, bool whole);
/* There is a verdict: nothing is to be gone on with. */
void ph_note_forget(const struct ph_verify *v, const struct ph_unit *unit);

/* verify_progress.c: told by who waits for readers; share: of what they read now, 0 to 1; < 0: as
 * before. */
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
/* The bucket of a key; near is one that it may be in; hash is its XXH3. */
int ph_survey_bucket(const struct ph_unit *unit, const char *key, int near, uint64_t hash);

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

/* verify_mending.c: on a connection of its own, which the caller closes. copy goes from one COPY, of the source that is being
 * looked at, to another; *stored says how many rows arrived, as both ends count them. */
bool ph_mending_begin(struct ph_verify *v, struct ph_conn **conn, struct ph_err *err);
bool ph_mending_copy(struct ph_verify *v, struct ph_conn *conn, bool qualify, const char *out,
                     const char *in, uint64_t *stored, struct ph_err *err);

/* verify_sample.c */
bool ph_verify_sample(struct ph_verify *v, struct ph_err *err);

/* verify_objects.c: compares large objects; fills a table's result. */
bool ph_verify_objects(struct ph_verify *v, struct ph_verify_table *result, struct ph_err *err);

/* verify_objects_mend.c: OIDs of objects that are to be taken away in the target, and of those that are to be written then as they
 * are in the source. What was mended, or why nothing was, is told in the result. */
struct ph_objects_mend {
    uint32_t *gone, *written;
    size_t n_gone, n_written, n_extra; /* extra ones are among the first */
};
bool ph_verify_mend_objects(struct ph_verify *v, struct ph_verify_table *result,
                            const struct ph_objects_mend *what, bool *mended, struct ph_err *err);

/* verify_sums.c: fills result->sums. */
bool ph_verify_add_up(struct ph_verify *v, struct ph_err *err);

/* verify_server.c: the survey of one unit by the servers; *done is false where they cannot. */
bool ph_verify_in_server(struct ph_verify *v, struct ph_unit *unit, bool *done, struct ph_err *err);

#endif
