/* What the files of pg/ share among themselves, libpq included. */
#ifndef PH_PG_INTERNAL_H
#define PH_PG_INTERNAL_H

#include <libpq-fe.h>

#include "pg/conn.h"

#define DEF_PGPORT_TEXT "5432"

struct ph_dsn {
    char *side;
    char *shown;
    PQconninfoOption *given;
    bool has_password;
    bool gss_given;
};

/* For people: the database, where, as whom, by which service (or NULL); malloc'd. No password. */
char *ph_dsn_show(const PQconninfoOption *options, const char *service);

struct ph_conn {
    PGconn *pg;
    char *shown; /* when the text names a service: what that was; else NULL */
    const char *side;
    const struct ph_dsn *dsn;
    struct ph_interrupt *interrupt;
    int interrupt_level;
    uint64_t wait_ns;
    bool broken;
    uint64_t copy_row; /* of the last error */
    size_t held_back;  /* bytes of a COPY that libpq has and has not sent, see copyin.c */
    char transport[48];
    bool local;
};

struct ph_rows {
    PGresult *result;
};

/* Waits until the socket is ready for `events` (POLLIN, POLLOUT), the interrupt's level is reached
 * (PH_INTERRUPTED) or timeout_s is over (PH_CONNECTION; < 0: none). */
bool ph_conn_wait(struct ph_conn *conn, short events, double timeout_s, struct ph_err *err);

/* Sends what libpq has buffered. While the socket is full, what the server says is read too: it may
 * be waiting for us to read before it reads any more. */
bool ph_conn_flush(struct ph_conn *conn, struct ph_err *err);

/* Turns a failed result, or the connection's own message when result is NULL, into an error. Takes
 * no ownership. */
bool ph_conn_error(struct ph_conn *conn, const PGresult *result, struct ph_err *err);

/* Waits for the next result without blocking in libpq; NULL in *result when there is none left. */
bool ph_conn_result(struct ph_conn *conn, PGresult **result, struct ph_err *err);

#endif
