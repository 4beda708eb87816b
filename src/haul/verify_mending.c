/* The transaction of the target that mends, and what flows into it from the source. */
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "haul/verify_run.h"
#include "pg/copyin.h"
#include "pg/copyout.h"

enum { PIECE = 64 * 1024 };

bool ph_mending_begin(struct ph_verify *v, struct ph_conn **conn, struct ph_err *err)
{
    char name[64]; /* as all of ours begin, or guards would wait for us */
    snprintf(name, sizeof name, "pghaul/%s/repair", v->run.tag);
    const struct ph_conn_opts how = {.dsn = v->job.target,
                                     .application_name = name,
                                     .encoding = v->run.encoding,
                                     .interrupt = v->job.interrupt,
                                     .interrupt_level = 1};
    /* Repeatable read: a row that somebody is changing is an error. Else the deletion would wait for him, and servers of before
     * November 2025 would then delete what he has made of the row, though that is at another place. */
    if (!ph_conn_open(conn, &how, err) ||
        !ph_conn_exec(
            *conn, "BEGIN ISOLATION LEVEL REPEATABLE READ;SET LOCAL synchronous_commit = on", err))
        return false;
    return !PH_FAULT("repair.begin") || ph_err_set(err, PH_FAILED, "fault point repair.begin");
}

/* Until the server is in the state of a COPY. */
static bool await(struct ph_conn *conn, enum ph_result wanted, struct ph_err *err)
{
    enum ph_result kind = PH_RESULT_COMMAND;
    while (kind == PH_RESULT_COMMAND)
        if (!ph_conn_next(conn, &kind, NULL, err))
            return false;
    return kind == wanted ||
           ph_err_set(err, PH_FAILED, "the %s did not begin its COPY", ph_conn_side(conn));
}

static bool end_of_copy(struct ph_conn *conn, uint64_t *rows_copied, struct ph_err *err)
{
    enum ph_result kind;
    struct ph_rows *rows = NULL;
    if (!ph_conn_next(conn, &kind, &rows, err))
        return false;
    *rows_copied = ph_rows_affected(rows);
    ph_rows_free(rows);
    while (kind != PH_RESULT_NONE)
        if (!ph_conn_next(conn, &kind, NULL, err))
            return false;
    return true;
}

/* The stream goes through as it is, header and trailer included. */
static bool pump(struct ph_conn *from, struct ph_conn *to, struct ph_err *err)
{
    struct ph_copyout copy = {.conn = from};
    char *buf = malloc(PIECE);
    bool ok = buf != NULL || ph_err_nomem(err);
    for (size_t n = 1; ok && n > 0;) {
        ok = ph_copyout_read(&copy, buf, PIECE, &n, err);
        if (ok && n > 0)
            ok = ph_copyin_put(to, buf, n, err);
    }
    free(buf);
    return ok;
}

bool ph_mending_copy(struct ph_verify *v, struct ph_conn *target, bool qualify, const char *out,
                     const char *in, uint64_t *stored, struct ph_err *err)
{
    struct ph_conn *source = v->run.source;
    uint64_t sent = 0;
    bool ok = (!qualify || ph_verify_qualify(source, true, err)) &&
              ph_conn_send(source, out, err) && await(source, PH_RESULT_COPY_OUT, err) &&
              ph_conn_send(target, in, err) && await(target, PH_RESULT_COPY_IN, err) &&
              pump(source, target, err) && end_of_copy(source, &sent, err) &&
              ph_copyin_end(target, err) && end_of_copy(target, stored, err);
    ok = ok && (!qualify || ph_verify_qualify(source, false, err));
    if (ok && sent != *stored)
        return ph_err_set(err, PH_FAILED, "%llu rows were sent to be mended, %llu stored",
                          (unsigned long long)sent, (unsigned long long)*stored);
    return ok;
}
