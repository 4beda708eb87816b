/* Writing a COPY FROM STDIN.
 *
 * Data goes in pieces of up to 128 KiB; whether a piece ends between rows does not matter to the
 * server. A server that fails in the middle of a COPY says so at once, while libpq would go on to
 * swallow data for ever; so every put looks whether the server has spoken.
 */
#ifndef PH_PG_COPYIN_H
#define PH_PG_COPYIN_H

#include "pg/conn.h"

/* Sends `len` bytes and waits until the kernel has them, all but the last few: less than 8 KiB may wait
 * for the next ones, or for the end. On an error the COPY is over and the error is the server's. */
bool ph_copyin_put(struct ph_conn *conn, const char *data, size_t len, struct ph_err *err);

/* Ends the data. The command's result must then be taken with ph_conn_next. */
bool ph_copyin_end(struct ph_conn *conn, struct ph_err *err);

#endif
