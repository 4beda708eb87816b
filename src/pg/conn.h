/* A connection to a PostgreSQL server, with manners.
 *
 * Together with its neighbours in pg/ this is the one door to libpq: nothing outside this folder
 * includes libpq-fe.h. Every wait polls the socket together with the interrupt, so nothing blocks
 * that cannot be stopped; nothing is inherited from the role, the database or the environment that
 * could change what bytes mean (ph_conn_open sets every session parameter that matters, see
 * preamble in conn.c).
 *
 * Call order: ph_dsn_parse once per side; ph_conn_open; ph_conn_query/exec...; ph_conn_close.
 * Ownership: one thread at a time. A connection that reported PH_CONNECTION is broken: close it.
 */
#ifndef PH_PG_CONN_H
#define PH_PG_CONN_H

#include <stddef.h>
#include <stdint.h>

#include "base/interrupt.h"
#include "pghaul/err.h"

/* A parsed connection string. Keeps the password, shows everything but it. */
struct ph_dsn;

/* Parses a URI, keyword string or plain database name, with libpq's defaults for what is missing
 * (service files, environment, .pgpass). `side` is "source" or "target" and begins every error
 * text. PH_WRONG, without echoing any part of a malformed string. */
bool ph_dsn_parse(struct ph_dsn **out, const char *side, const char *text, struct ph_err *err);
void ph_dsn_free(struct ph_dsn *dsn);

/* The same server otherwise: a copy with one parameter set, or with value NULL taken out. */
bool ph_dsn_with(struct ph_dsn **out, const struct ph_dsn *dsn, const char *keyword,
                 const char *value, struct ph_err *err);

/* A parameter as the text gives it, defaults not included; NULL: it does not. */
const char *ph_dsn_get(const struct ph_dsn *dsn, const char *keyword);

/* "shop at db1:5432 as bob": for people; never a password. */
const char *ph_dsn_shown(const struct ph_dsn *dsn);
const char *ph_dsn_side(const struct ph_dsn *dsn);

/* Whether the text itself holds a password (then argv must be overwritten and the user be warned).
 */
bool ph_dsn_has_password(const struct ph_dsn *dsn);

struct ph_conn;

struct ph_conn_opts {
    const struct ph_dsn *dsn;       /* borrowed for the connection's life */
    const char *application_name;   /* at most 63 bytes; read by ph_conn_open only */
    const char *encoding;           /* client_encoding; NULL: the server's own */
    bool read_only;                 /* transactions are read-only unless they say otherwise */
    struct ph_interrupt *interrupt; /* NULL: cannot be interrupted */
    int interrupt_level;            /* 1 or 2: the level that ends waits; 0 means 2 */
    double connect_timeout_s;       /* 0: 10 s */
};

/* Connects and sets the session up. PH_CONNECTION (transient as it may be) when the server cannot
 * be reached or refuses; PH_WRONG for a pooler between us and the server. */
bool ph_conn_open(struct ph_conn **out, const struct ph_conn_opts *opts, struct ph_err *err);
void ph_conn_close(struct ph_conn *conn);

/* From now on waits end at this level of the interrupt; with NULL they cannot be interrupted. */
void ph_conn_set_interrupt(struct ph_conn *conn, struct ph_interrupt *interrupt, int level);

/* Facts of the session. */
int ph_conn_server_version(const struct ph_conn *conn); /* 150018 */
int ph_conn_backend_pid(const struct ph_conn *conn);
/* ph_dsn_shown(), with what a service file had to say. */
const char *ph_conn_shown(const struct ph_conn *conn);
const char *ph_conn_side(const struct ph_conn *conn);            /* "source" or "target" */
const char *ph_conn_server_encoding(const struct ph_conn *conn); /* "UTF8" */
const char *ph_conn_client_encoding(const struct ph_conn *conn); /* that the session speaks */
const char *
ph_conn_transport(const struct ph_conn *conn);     /* "unix socket", "TCP", "TCP with TLSv1.3" */
bool ph_conn_is_local(const struct ph_conn *conn); /* unix socket or loopback address */
bool ph_conn_in_transaction(const struct ph_conn *conn); /* that BEGIN has begun */
bool ph_conn_ok(const struct ph_conn *conn);             /* not broken */
uint64_t ph_conn_wait_ns(const struct ph_conn *conn);    /* time spent in poll() so far */

/* Of the last error: in which row of a COPY FROM it was, from 1; 0: in none. */
uint64_t ph_conn_copy_row(const struct ph_conn *conn);

/* Rows of a result; values are text. Free with ph_rows_free (NULL is fine). */
struct ph_rows;
int ph_rows_count(const struct ph_rows *rows);
int ph_rows_columns(const struct ph_rows *rows);
const char *ph_rows_column(const struct ph_rows *rows, int col); /* its name */
/* The value, NULL for SQL NULL; valid until ph_rows_free. */
const char *ph_rows_get(const struct ph_rows *rows, int row, int col);
/* "" for NULL. */
const char *ph_rows_text(const struct ph_rows *rows, int row, int col);
int64_t ph_rows_int(const struct ph_rows *rows, int row, int col); /* 0 for NULL */
uint64_t ph_rows_uint(const struct ph_rows *rows, int row, int col);
double ph_rows_double(const struct ph_rows *rows, int row, int col);
bool ph_rows_bool(const struct ph_rows *rows, int row, int col); /* 't' */
/* Rows that the command changed or copied (its tag), 0 where it has none. */
uint64_t ph_rows_affected(const struct ph_rows *rows);
/* The command's tag: "COMMIT", "COPY 5", ... (ROLLBACK for a COMMIT of a failed transaction). */
const char *ph_rows_tag(const struct ph_rows *rows);
void ph_rows_free(struct ph_rows *rows);

/* Runs one or several statements by the simple protocol and waits for all of them. *rows (may be
 * NULL) gets the last result that has rows, or the last one. On an error the rest was not run;
 * inside BEGIN the transaction is then aborted. */
bool ph_conn_query(struct ph_conn *conn, const char *sql, struct ph_rows **rows,
                   struct ph_err *err);

/* The same without a result. */
bool ph_conn_exec(struct ph_conn *conn, const char *sql, struct ph_err *err);

/* Types of the columns that a statement would return, without running it; the extended protocol
 * takes one statement only, so this is also how a user's expression is checked. */
struct ph_column_type {
    uint32_t oid;
    int typmod;
};
bool ph_conn_describe(struct ph_conn *conn, const char *sql, struct ph_column_type *types, int max,
                      int *count, struct ph_err *err);

/* The pieces of ph_conn_query, for streams: send without waiting, then take result after result. */
enum ph_result {
    PH_RESULT_NONE,
    PH_RESULT_ROWS,
    PH_RESULT_COMMAND,
    PH_RESULT_COPY_OUT,
    PH_RESULT_COPY_IN
};
bool ph_conn_send(struct ph_conn *conn, const char *sql, struct ph_err *err);
bool ph_conn_next(struct ph_conn *conn, enum ph_result *kind, struct ph_rows **rows,
                  struct ph_err *err);

/* Asks the server to give up what the connection is doing; its end still has to be waited for, by
 * ph_conn_recover. Waits for a connection to the server, as ever long as that takes. */
void ph_conn_cancel(struct ph_conn *conn);

/* After a failure: ends whatever is in progress and rolls back, so that the connection can be used
 * again. False when it cannot (it must be closed then); never waits longer than a few seconds. */
bool ph_conn_recover(struct ph_conn *conn);

/* Errors keep values to themselves unless this is set (--show-data); process-wide, set once at
 * start. */
void ph_conn_show_data(bool on);

#endif
