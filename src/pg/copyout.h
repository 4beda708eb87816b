/* Reading a COPY TO STDOUT into one's own buffer.
 *
 * PQgetlineAsync, though its page calls it old, is what reads a stream without a malloc per row: it
 * copies what libpq has received, and gives a message that does not fit in pieces. It must only be
 * called on a connection in COPY OUT state (ph_conn_next has said so).
 */
#ifndef PH_PG_COPYOUT_H
#define PH_PG_COPYOUT_H

#include <stdint.h>

#include "base/gate.h"
#include "pg/conn.h"

struct ph_copyout {
    struct ph_conn *conn;
    struct ph_gate *gate; /* NULL: wide rows pass unhindered */
    const void *owner;    /* for the gate */
    uint64_t unseen;      /* bytes received since the last message became whole, roughly */
    bool swollen; /* libpq's buffer has grown beyond the ordinary: reconnect to give it back */
};

/* Copies up to `cap` bytes of the stream to `buf`, waiting for at least one. *n is 0 at the end of
 * the stream; the server's last word must then be asked with ph_conn_next, for an end is no
 * success. */
bool ph_copyout_read(struct ph_copyout *copy, char *buf, size_t cap, size_t *n, struct ph_err *err);

#endif
