/* Verify: proof that the target holds what it should, and what it lacks.
 *
 * Levels, by what they prove:
 *
 *     receipt    every shard has a receipt, and the target is still the file that it was loaded
 *                into: what the target accepted is what was read. Nothing is read.
 *     readback   the target's rows, read once, have the fingerprint of the receipts: what lies
 *                there is, byte by byte, what was read from the source then.
 *     source     both sides are read now and compared.
 *     sample     some rows, chosen by dice, are the same on both sides, field by field.
 *
 * Whatever cannot be proven by receipts (no job loaded the table, or by upsert; the bytes of its
 * types are a database's own; the fingerprints differ) is compared with the source, and the result
 * says so. Differences are named by key: they come from comparing both sides, never from receipts.
 *
 * Beside the rows, or instead of them, definitions can be compared (see definitions.h).
 *
 * ph_verify_run() neither prints nor exits; one call at a time, no other threads.
 */
#ifndef PH_HAUL_VERIFY_H
#define PH_HAUL_VERIFY_H

#include "haul/job.h"

enum ph_verify_level { PH_VERIFY_RECEIPT, PH_VERIFY_READBACK, PH_VERIFY_SOURCE, PH_VERIFY_SAMPLE };

const char *ph_verify_level_name(enum ph_verify_level level);

struct ph_verify_opts {
    const struct ph_job_opts *job; /* sides, spec, memory, log, interrupt */
    enum ph_verify_level level;
    bool in_server;
    bool exact;  /* rows that the target has of its own count, whatever loaded it */
    bool repair; /* bring the target in line with the source */
    bool dry_run;
    uint64_t max_delete;  /* rows that a repair may take away, per table */
    int max_differences;  /* to be listed, per table; 0: 100 */
    int sample_rows;      /* 0: 1,000 */
    uint64_t sample_seed; /* 0: chosen */
    double recheck_s;     /* differences are looked at again after so long; 0: they are not */
    bool show_data;       /* values of changed columns, too */
    bool definitions;     /* compare definitions too */
    bool rows_not;        /* and no rows */
    bool sums;            /* figures of numeric and time columns, too */
    bool no_owner, no_privileges, no_comments; /* these of them do not count */
};

enum ph_difference_kind { PH_MISSING, PH_EXTRA, PH_CHANGED };
const char *ph_difference_kind_name(enum ph_difference_kind kind);

struct ph_difference {
    enum ph_difference_kind kind;
    const char *const
        *key;         /* values as text, one for each of the table's key columns; NULL: null */
    uint64_t content; /* hash of the row, where there is no key */
    uint64_t copies;  /* of the same row */
    const char *const *columns;                /* changed: which */
    const char *const *source, *const *target; /* their values, with show_data; NULL: null */
    int n_columns;
};

struct ph_verify_table {
    const char *source, *target;
    bool equal;
    enum ph_verify_level level; /* of the proof that was given */
    const char *why;    /* this level and not the one that was asked for; NULL: it is that one */
    const char *proof;  /* in words: what is known now */
    double coverage;    /* of its rows, 0 to 1 */
    double read_before; /* share of it that a verify has read which was stopped, 0 to 1 */
    int64_t source_rows, target_rows; /* -1: not counted */
    int shards, differing_shards;
    const char *const *key; /* names of the key's columns */
    const bool *key_is_number;
    int n_key;
    const char *const *only_source, *const *only_target; /* columns */
    int n_only_source, n_only_target;
    uint64_t missing, extra, changed;  /* rows, all of them */
    uint64_t extra_ignored;            /* rows of the target's own that do not count */
    struct ph_difference *differences; /* some of them */
    int n_differences;
    uint64_t repaired;          /* rows inserted, replaced or deleted */
    uint64_t deleted;           /* among them */
    const char *repair_refused; /* why nothing, or not all, was mended; NULL: no reason */
};

/* A difference of definitions: an object that one side lacks, or a property of it. */
struct ph_definition {
    enum ph_difference_kind kind;
    const char *type;     /* "table", "column", "index", ... */
    const char *object;   /* public.orders, public.orders.total, orders_pkey on public.orders */
    const char *table;    /* that it belongs to, or "" */
    const char *property; /* missing, extra: what `source` or `target` tells of it */
    const char *source, *target; /* NULL: none */
};

struct ph_verify_definitions {
    bool compared, equal;
    int objects; /* that were looked at */
    struct ph_definition *differences;
    int n_differences;
    /* materialized views that are filled in the source alone: as they were made, and no difference
     * unless --exact counts it */
    const char **unfilled;
    int n_unfilled;
};

/* A figure of a column that both servers have reckoned; `rows` of a table has no column. */
struct ph_verify_sum {
    const char *table, *column, *property; /* rows, nulls, sum, min, max */
    const char *source, *target;           /* NULL: null, or a value of a row (hidden) */
    bool equal, hidden;
};

struct ph_verify_sums {
    bool compared, equal;
    struct ph_verify_sum *items;
    int n;
};

struct ph_verify_result {
    struct ph_arena arena;
    struct ph_plan *plan; /* names in the result belong to it */
    const char *job;
    enum ph_verify_level level;
    bool equal;
    bool in_server;
    struct ph_verify_table *tables;
    int n_tables;
    struct ph_verify_definitions definitions;
    struct ph_verify_sums sums;
    const char *rows_why_not; /* rows were to be compared and cannot be, definitions differing */
    uint64_t rows, bytes;     /* that were read */
    double seconds, cpu_s;
    uint64_t max_rss;
    double throttled_s; /* of all workers together */
    double throttled_by_s[PH_N_HOLDS];
    int jobs;
    uint64_t seed;
};

/* PH_DIFFERS when differences were found (and, with repair, when some are left); the result is
 * filled then. Free it in any case. */
bool ph_verify_run(const struct ph_verify_opts *opts, struct ph_verify_result *result,
                   struct ph_err *err);

/* Takes away what verifies of a job have left that were stopped, in its state directory. */
void ph_verify_clean(const struct ph_spill_opts *opts, const char *job);

void ph_verify_result_free(struct ph_verify_result *result);

#endif
