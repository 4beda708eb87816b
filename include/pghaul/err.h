/* Errors: returned, never thrown, never printed below the command line.
 *
 * A function that can fail returns bool and takes a last argument `struct ph_err *err` that says why.
 * The text is one sentence, lower case, from general to particular: whoever passes an error on puts its
 * own context in front with ph_err_prefix(). A hint tells the user what to do next. Neither ever holds a
 * password or a row's value.
 *
 *     if (!ph_conn_query(conn, sql, &rows, err))
 *         return ph_err_prefix(err, "reading the catalog of %s", side);
 *
 * Ownership: the caller's struct, no heap. Threads: one error belongs to one thread.
 */
#ifndef PGHAUL_ERR_H
#define PGHAUL_ERR_H

#include <stdbool.h>

/* What kind of end this is. The first group are exit statuses' reasons, the second are inner
 * reasons that the code acts upon; one of those that reaches the user is reported as PH_FAILED. */
enum ph_code {
    PH_OK = 0,
    PH_FAILED,    /* exit 1: failed, the job can go on */
    PH_WRONG,     /* exit 2: command, job file or environment is wrong; nothing was changed */
    PH_DIFFERS,   /* exit 3: verify found differences */
    PH_HELD,      /* exit 4: another live run holds the job */
    PH_OTHER_JOB, /* exit 5: ledger of another definition, of other relations or of a newer version
                   */
    PH_INTERRUPTED, /* exit 130 */

    PH_CONNECTION,    /* a connection was lost or could not be made */
    PH_SNAPSHOT_GONE, /* the exported snapshot cannot be imported any more */
    PH_FENCED,        /* a newer attempt owns the shard */
    PH_LANDED,        /* the shard's receipt is there already */
    PH_RELATION,      /* the relation is no longer the one that was planned */
    PH_BUSY,          /* somebody else's lock is in the way: later, and no fault of the shard's */
    PH_NO_ROOM,       /* a local file system is full: later, and no fault of the shard's */
    PH_PAUSED,  /* somebody wants nothing to be touched now: later, and no fault of the shard's */
    PH_DAMAGED, /* a file is missing, or not what was written */
};

#define PH_ERR_TEXT 1024
#define PH_ERR_HINT 512

struct ph_err {
    enum ph_code code;
    bool transient;   /* the same thing may succeed when tried again */
    char sqlstate[6]; /* "" when no server spoke */
    char text[PH_ERR_TEXT];
    char hint[PH_ERR_HINT]; /* "" when there is nothing to advise */
};

/* Fills *err (NULL is allowed) and clears its hint, SQLSTATE and transience. Always returns false,
 * so that `return ph_err_set(...)` reads as it should. Control characters in the result become '?'.
 */
bool ph_err_set(struct ph_err *err, enum ph_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the text. Returns false. */
bool ph_err_prefix(struct ph_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sets the hint. Returns false. */
bool ph_err_hint(struct ph_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "out of memory", PH_FAILED. Returns false. */
bool ph_err_nomem(struct ph_err *err);

/* The exit status of cli.md for a code. */
int ph_err_exit_status(enum ph_code code);

#endif
