/* Pairs of queries, asked of both servers: the same answer, or one within a tolerance. For figures
 * that a business lives by, and for comparing servers while both are in use.
 *
 * Each query runs alone in a read-only transaction, the source's first, so that both latencies are
 * honest. Answers are compared row by row as they come: who wants an order says ORDER BY. They are
 * held in memory whole, so these are queries for figures, not for tables.
 *
 * ph_queries_run asks once, or again and again; every round is told to the log and, as history, to
 * the target's ledger.
 */
#ifndef PH_HAUL_QUERIES_H
#define PH_HAUL_QUERIES_H

#include "base/arena.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "pg/conn.h"

struct ph_query {
    const char *name;
    const char *sql[2]; /* source, target */
    double tolerance;   /* 0: equal texts */
    bool percent;       /* of the source's number, and not absolute */
};

/* What became of one; texts are in the arena. */
struct ph_query_verdict {
    bool equal; /* in the last round */
    int rounds, differing, failed;
    double seconds[2]; /* latency, last round */
    double most[2];    /* the longest ones */
    int64_t rows[2];
    const char *difference; /* the last one, in words; NULL: none */
    const char *error;      /* of the last round: the query failed on one side */
};

struct ph_queries_opts {
    const struct ph_dsn *source, *target;
    const struct ph_query *queries;
    int n;
    double timeout_s;      /* of a statement; 0: none */
    double every_s, for_s; /* 0: once */
    bool show_data;        /* differing values are named */
    bool keep;             /* rounds are written down in the ledger, where there is one */
    const char *job;       /* as this job's; NULL: as nobody's */
    struct ph_log *log;
    struct ph_interrupt *interrupt;
};

struct ph_queries_result {
    struct ph_query_verdict *verdicts; /* by query */
    bool equal;                        /* every one, in every round */
    int rounds;
};

/* PH_DIFFERS when an answer differed in any round; else PH_FAILED when there was none. Connections are made anew for every
 * round: one that cannot be made fails a single round's run, and only that round of many. */
bool ph_queries_run(const struct ph_queries_opts *opts, struct ph_arena *arena,
                    struct ph_queries_result *result, struct ph_err *err);

/* Whether two values are the same within the query's tolerance; NULL is null. */
bool ph_query_same(const struct ph_query *query, const char *source, const char *target);

#endif
