#include "pg/copyin.h"

#include <poll.h>

#include "base/fault.h"
#include "pg/internal.h"

/* libpq sends what it has gathered in whole blocks, and keeps the rest until more comes or it is told to flush (fe-misc.c,
 * pqPutMsgEnd). To flush after each put would cost a second system call for a few bytes, and wake the server for them. So the
 * bulk of a put is a message that ends with a block, and its rest waits for the next put. Should some libpq do otherwise, that
 * is slower and no less right. */
enum { PIECE = 128 * 1024, BLOCK = 8192, MESSAGE_HEAD = 5 };

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

/* How much of it makes a message. *whole: it ends with a block, behind what is held back; else libpq holds it back, too. */
static size_t piece(const struct ph_conn *conn, size_t len, bool *whole)
{
    size_t ahead = conn->held_back + MESSAGE_HEAD;
    size_t blocks = (ahead + (len < PIECE ? len : PIECE)) / BLOCK;
    *whole = blocks > 0 && blocks * BLOCK > ahead;
    return *whole ? blocks * BLOCK - ahead : len;
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
        bool whole;
        size_t n = piece(conn, len, &whole);
        int done = PQputCopyData(conn->pg, data, (int)n);
        if (done < 0)
            return ph_conn_error(conn, NULL, err);
        conn->held_back += MESSAGE_HEAD + n;
        if (whole || done == 0) {
            if (!flush_piece(conn, err))
                return false;
            conn->held_back = 0;
        }
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
