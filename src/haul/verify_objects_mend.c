/* Mending large objects: those that differ are taken away in the target and, like those that are missing, written as they are in the
 * source, with owner, grants and comment, the way that copy lands them (pg/objects.h); all in one transaction.
 */
#include "base/fault.h"
#include "haul/verify_run.h"
#include "ledger/verify.h"
#include "pg/objects.h"
#include "pg/sql.h"

enum { AT_ONCE = 200 };

static const char *show_oids(struct ph_buf *text, const uint32_t *oids, size_t n)
{
    ph_buf_clear(text);
    for (size_t i = 0; i < n; i++)
        ph_buf_addf(text, "%s%u", i ? "," : "", oids[i]);
    return ph_buf_text(text);
}

static bool unlink_some(struct ph_conn *conn, const char *oids, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "SELECT pg_catalog.count(pg_catalog.lo_unlink(oid)) FROM"
               " pg_catalog.pg_largeobject_metadata"
               " WHERE oid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[])",
               oids);
    bool ok = ph_conn_exec(conn, sql.data, err);
    ph_buf_fini(&sql);
    return ok;
}

static bool write_some(struct ph_verify *v, struct ph_conn *conn, const char *oids,
                       struct ph_err *err)
{
    struct ph_buf out = {0}, in = {0};
    uint64_t pieces = 0;
    ph_sql_add(&out, "COPY (SELECT %s FROM ", ph_objects_select);
    ph_objects_from(&out);
    ph_sql_add(&out,
               " WHERE oid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[]))"
               " TO STDOUT (FORMAT binary)",
               oids);
    ph_objects_stage(&in);
    ph_sql_add(&in, "COPY pg_temp.pghaul_objects (%s) FROM STDIN (FORMAT binary)",
               ph_objects_columns);
    bool ok =
        ph_mending_copy(v, conn, false, out.data, in.data, &pieces, err) &&
        ph_conn_exec(conn, "SELECT pghaul.land_objects();DROP TABLE pg_temp.pghaul_objects", err);
    ph_buf_fini(&out);
    ph_buf_fini(&in);
    return ok;
}

/* A pause takes back what was done so far: it leaves no transaction open. */
static bool mend_all(struct ph_verify *v, struct ph_conn *conn, const struct ph_objects_mend *what,
                     struct ph_err *err)
{
    struct ph_buf oids = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < what->n_gone; i += AT_ONCE) {
        size_t n = what->n_gone - i < AT_ONCE ? what->n_gone - i : AT_ONCE;
        ok = ph_verify_may_go_on(v, err) &&
             unlink_some(conn, show_oids(&oids, what->gone + i, n), err);
    }
    for (size_t i = 0; ok && i < what->n_written; i += AT_ONCE) {
        size_t n = what->n_written - i < AT_ONCE ? what->n_written - i : AT_ONCE;
        ok = ph_verify_may_go_on(v, err) &&
             write_some(v, conn, show_oids(&oids, what->written + i, n), err);
    }
    ph_buf_fini(&oids);
    if (ok && PH_FAULT("repair.mended"))
        ok = ph_err_set(err, PH_FAILED, "fault point repair.mended");
    return ok && ph_conn_exec(conn, "COMMIT", err);
}

static bool may_mend(struct ph_conn *conn, struct ph_verify_table *r, bool *may, struct ph_err *err)
{
    bool makes = false, moving = false;
    if (!ph_ledger_makes_objects(conn, &makes, &moving, err))
        return false;
    if (!makes)
        r->repair_refused = "large objects are mended by the ledger in the target, which it lacks";
    else if (moving)
        r->repair_refused = "their job is not complete: copy goes on with it, and would land"
                            " objects that were mended a second time";
    *may = makes && !moving;
    return true;
}

bool ph_verify_mend_objects(struct ph_verify *v, struct ph_verify_table *r,
                            const struct ph_objects_mend *what, bool *mended, struct ph_err *err)
{
    struct ph_conn *conn = NULL;
    bool may = false;
    if (what->n_gone + what->n_written == 0)
        return true;
    if (v->opts->dry_run) {
        r->repair_refused = ph_arena_printf(
            v->arena, "this is a dry run: %zu large objects would be written, %zu deleted",
            what->n_written, what->n_extra);
        return true;
    }
    bool ok = ph_mending_begin(v, &conn, err) && may_mend(conn, r, &may, err) &&
              (!may || mend_all(v, conn, what, err));
    ph_conn_close(conn);
    *mended = ok && may;
    if (*mended) {
        r->repaired += what->n_written + what->n_extra;
        r->deleted += what->n_extra;
    }
    return ok;
}
