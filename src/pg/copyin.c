#include "pg/copyin.h"

#include <poll.h>

#include "base/fault.h"
#include "pg/internal.h"

enum { PIECE = 128 * 1024, CRUMB = 512 };

/* The server has spoken in the middle of our COPY. libpq does not parse it before the COPY has
 * ended, so end it: then the result is the server's error. When it was something harmless (a
 * changed parameter), the COPY has failed by our own word, which is worth another try. */
static bool server_spoke(struct ph_conn *conn, struct ph_err *err)
{
    if (PQputCopyEnd(conn->pg, "pghaul: the server has spoken") < 0)
        return ph_conn_error(conn, NULL, err);
    enum ph_result kind;
    if (!ph_conn_next(conn, &kind, NULL, err))
        return false;
    ph_err_set(err, PH_FAILED, "the %s ended the COPY without an error", conn->side);
    err->transient = true;
    return false;
}

static bool has_spoken(struct ph_conn *conn)
{
    struct pollfd p = {.fd = PQsocket(conn->pg), .events = POLLIN};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLIN | POLLHUP | POLLERR));
}

static bool flush_piece(struct ph_conn *conn, struct ph_err *err)
{
    int pending;
    while ((pending = PQflush(conn->pg)) > 0) {
        if (!ph_conn_wait(conn, POLLIN | POLLOUT, -1, err))
            return false;
        if (has_spoken(conn)) {
            if (!PQconsumeInput(conn->pg))
                return ph_conn_error(conn, NULL, err);
            return server_spoke(conn, err);
        }
    }
    if (pending < 0) {
        /* the socket is closed for writing; an error of the server's may still wait to be read */
        PQconsumeInput(conn->pg);
        return server_spoke(conn, err);
    }
    return true;
}

bool ph_copyin_put(struct ph_conn *conn, const char *data, size_t len, struct ph_err *err)
{
    if (PH_FAULT("copyin.put")) {
        conn->broken = true;
        ph_err_set(err, PH_CONNECTION, "connection to the target lost (fault)");
        err->transient = true;
        return false;
    }
    while (len > 0) {
        size_t n = len < PIECE ? len : PIECE;
        int done = PQputCopyData(conn->pg, data, (int)n);
        if (done < 0)
            return ph_conn_error(conn, NULL, err);
        if (done > 0 && len <= CRUMB)
            return true; /* a header, a trailer: not worth a system call of its own */
        if (!flush_piece(conn, err))
            return false;
        if (done > 0) {
            data += n;
            len -= n;
        }
    }
    if (has_spoken(conn)) {
        if (!PQconsumeInput(conn->pg))
            return ph_conn_error(conn, NULL, err);
        return server_spoke(conn, err);
    }
    return true;
}

bool ph_copyin_end(struct ph_conn *conn, struct ph_err *err)
{
    if (PQputCopyEnd(conn->pg, NULL) < 0)
        return ph_conn_error(conn, NULL, err);
    int pending;
    while ((pending = PQflush(conn->pg)) > 0) {
        if (!ph_conn_wait(conn, POLLIN | POLLOUT, -1, err))
            return false;
        if (!PQconsumeInput(conn->pg))
            return ph_conn_error(conn, NULL, err);
    }
    return pending == 0 || ph_conn_error(conn, NULL, err);
}
