#include "pg/copyout.h"

#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "base/fault.h"
#include "base/num.h"
#include "pg/internal.h"

enum { WIDE = 1 << 20 }; /* a message that is not whole after so many bytes is wide */

/* A wide row is arriving: get the gate, and stay within the bound. The bound is looked at before each
 * read, for one read takes all that the socket has and what flows in meanwhile. */
static bool mind_memory(struct ph_copyout *copy, struct ph_err *err)
{
    copy->swollen = true;
    if (!ph_gate_enter(copy->gate, copy->owner, copy->conn->interrupt, err))
        return false;
    if (!ph_gate_exceeded(copy->gate))
        return true;
    char size[PH_NUM_TEXT];
    ph_err_set(err, PH_FAILED,
               "a row is too wide: the memory limit of %s is reached and it has not ended",
               ph_num_show_bytes(size, (double)copy->gate->limit));
    return ph_err_hint(err, "raise --memory; libpq needs a whole row in memory");
}

/* Receives more. How much a message that is not whole yet has grown cannot be asked of libpq; what
 * waits in the socket before each read is near enough. */
static bool receive(struct ph_copyout *copy, struct ph_err *err)
{
    struct ph_conn *conn = copy->conn;
    int waiting = 0;
    if (!ph_conn_wait(conn, POLLIN, -1, err))
        return false;
    if (copy->gate && ioctl(PQsocket(conn->pg), FIONREAD, &waiting) == 0 && waiting > 0) {
        copy->unseen += (uint64_t)waiting;
        if (copy->unseen > WIDE && !mind_memory(copy, err))
            return false;
    }
    if (!PQconsumeInput(conn->pg))
        return ph_conn_error(conn, NULL, err);
    return true;
}

/* Whole rows that libpq has, one after the other, and what there is room for of the last: the end of the data comes when there
 * are none. Returns the bytes; *ended when nothing will follow. */
static int take_rows(PGconn *pg, char *buf, int max, bool *ended)
{
    int have = 0, got = 0;
    while (have < max && (got = PQgetlineAsync(pg, buf + have, max - have)) > 0)
        have += got;
    *ended = have == 0 && got < 0;
    return have;
}

bool ph_copyout_read(struct ph_copyout *copy, char *buf, size_t cap, size_t *n, struct ph_err *err)
{
    int max = cap > INT_MAX ? INT_MAX : (int)cap;
    for (;;) {
        bool ended;
        int got = take_rows(copy->conn->pg, buf, max, &ended);
        if (got > 0 || ended) {
            copy->unseen = 0;
            *n = (size_t)got;
            return true;
        }
        if (PH_FAULT("copyout.receive")) {
            copy->conn->broken = true;
            ph_err_set(err, PH_CONNECTION, "connection to the source lost (fault)");
            err->transient = true;
            return false;
        }
        if (!receive(copy, err))
            return false;
    }
}
