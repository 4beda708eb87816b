/* What both sides have answered to the user's own queries (haul/queries.h): the history of their rounds, for
 * report and status. Written by whoever asks, where there is a ledger and it may; nothing depends on it.
 */
#ifndef PH_LEDGER_ANSWER_H
#define PH_LEDGER_ANSWER_H

#include "base/arena.h"
#include "pg/conn.h"

struct ph_answer {
    const char *query, *verdict; /* equal, differs, failed */
    const char *text;            /* in words, without a row's value; or NULL */
    double seconds[2];           /* source, target */
    int64_t rows[2];
};

/* One round. job: by its name; NULL, or one that is not there: of none. Nothing is written, and all is
 * well, where there is no ledger of ours. */
bool ph_answers_write(struct ph_conn *conn, const char *job, const struct ph_answer *answers, int n,
                      struct ph_err *err);

/* All rounds of a query. */
struct ph_answers {
    const char *query;
    int rounds, differing, failed;
    const char *first, *last; /* ISO 8601 */
    const char *verdict;      /* the last one */
    const char *trouble;      /* in words, the last time that it was not equal; or NULL */
    double median_s[2], most_s[2];
};

/* Those of a job, and those of none since it began; by their names. */
bool ph_answers_read(struct ph_conn *conn, struct ph_arena *arena, int64_t job,
                     struct ph_answers **out, int *n, struct ph_err *err);

#endif
