/* What stands in the way on the whole: servers, connections, space. */
#include "plan/check.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/feature.h"
#include "base/num.h"
#include "pg/sql.h"
#include "plan/make.h"

/* Workers. */

static int clamp(long n, int lo, int hi)
{
    return n < lo ? lo : n > hi ? hi : (int)n;
}

/* Besides its workers' connections a job needs one more on either side: the keeper of the snapshot
 * on the source, that of the leases on the target. The two that the plan is made with are there
 * already. */
static int connections_allow(const struct ph_make *make)
{
    const struct ph_server *s = &make->side[PH_SOURCE].server, *t = &make->side[PH_TARGET].server;
    if (make->plan->spec->route != PH_ROUTE_COPY)
        return (make->plan->spec->route == PH_ROUTE_EXTRACT ? s : t)->free_connections - 1;
    int least =
        s->free_connections < t->free_connections ? s->free_connections : t->free_connections;
    bool one_server = s->system_id && s->system_id == t->system_id;
    return one_server ? (least - 2) / 2 : least - 1;
}

/* "5 on the source, 7 on the target", as far as there are servers. */
static const char *show_free(struct ph_make *make)
{
    int s = make->side[PH_SOURCE].server.free_connections;
    int t = make->side[PH_TARGET].server.free_connections;
    struct ph_arena *arena = &make->plan->arena;
    s = s < 0 ? 0 : s;
    t = t < 0 ? 0 : t;
    switch (make->plan->spec->route) {
    case PH_ROUTE_EXTRACT:
        return ph_arena_printf(arena, "%d on the source", s);
    case PH_ROUTE_LOAD:
        return ph_arena_printf(arena, "%d on the target", t);
    case PH_ROUTE_COPY:
        break;
    }
    return ph_arena_printf(arena, "%d on the source, %d on the target", s, t);
}

void ph_check_jobs(struct ph_make *make, struct ph_conn *source, struct ph_conn *target)
{
    struct ph_plan *plan = make->plan;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    bool local = (!source || ph_conn_is_local(source)) && (!target || ph_conn_is_local(target));
    /* Who writes keeps more than one core busy where both servers are here: one backend reads while the other writes. More writers
     * than cores only meet in the target, at the end of the table's file and in its shared memory. Who only reads waits for
     * nobody but the server, and far servers are waited for. */
    bool writes = plan->spec->route != PH_ROUTE_EXTRACT && !plan->spec->verify;
    int wanted = plan->spec->jobs;
    if (wanted <= 0)
        wanted = local ? clamp(writes ? cpus : 2 * cpus, 2, 16) : clamp(2 * cpus, 4, 8);
    int most = connections_allow(make);
    const char *free_now = show_free(make);
    plan->most_jobs = most < 1 ? 1 : most;
    plan->jobs = most < 1 ? 1 : most < wanted ? most : wanted;
    if (most < 1)
        ph_make_obstacle(make, "end other sessions, or raise max_connections or the role's limit",
                         "too few connections are free for a single worker: %s", free_now);
    else if (most < wanted && plan->spec->jobs > 0)
        ph_make_warning(make, "%d worker%s instead of %d: free connections are %s", plan->jobs,
                        plan->jobs == 1 ? "" : "s", wanted, free_now);
    else if (most < wanted)
        ph_make_warning(make, "no more than %d worker%s: free connections are %s", plan->jobs,
                        plan->jobs == 1 ? "" : "s", free_now);
}

/* Servers. */

/* Encodings have many names: UTF8 is UTF-8, LATIN1 is latin-1. */
static bool same_encoding(const char *a, const char *b)
{
    for (;; a++, b++) {
        a += strspn(a, "-_ ");
        b += strspn(b, "-_ ");
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (!*a)
            return true;
    }
}

static void check_encoding(struct ph_make *make)
{
    const char *s = make->plan->source.encoding, *t = make->plan->target.encoding;
    const char *said = make->plan->spec->source_encoding;
    bool s_ascii = !strcmp(s, "SQL_ASCII"), t_ascii = !strcmp(t, "SQL_ASCII");
    if (said && !s_ascii && !same_encoding(said, s)) {
        ph_make_obstacle(make, "leave --source-encoding out: it is for sources of SQL_ASCII",
                         "the source has encoding %s, and not %s", s, said);
    } else if (said) {
        if (s_ascii && !same_encoding(said, t) && !t_ascii)
            ph_make_warning(make,
                            "text is taken for %s and converted to %s: rows with other bytes, or "
                            "with characters that %s lacks, will fail",
                            said, t, t);
    } else if (s_ascii != t_ascii)
        ph_make_obstacle(
            make,
            "say by --source-encoding what its bytes are; a row that is not so fails, or is left "
            "out by --max-rejects",
            "the %s has encoding SQL_ASCII, which says nothing about its bytes, and the "
            "%s has %s",
            ph_make_side(make, s_ascii ? PH_SOURCE : PH_TARGET),
            ph_make_side(make, s_ascii ? PH_TARGET : PH_SOURCE), s_ascii ? t : s);
    else if (strcmp(s, t) != 0 && strcmp(t, "UTF8") != 0)
        ph_make_warning(make,
                        "text is converted from %s to %s: rows with characters that %s lacks "
                        "will fail",
                        s, t, t);
}

static void check_transport(struct ph_make *make, struct ph_conn *conn)
{
    if (!ph_conn_is_local(conn) && !strstr(ph_conn_transport(conn), "with"))
        ph_make_warning(make,
                        "the connection to the %s is not encrypted; sslmode=require makes it so",
                        ph_conn_side(conn));
}

static void check_replica(struct ph_make *make)
{
    const struct ph_server *s = &make->side[PH_SOURCE].server;
    if (s->in_recovery)
        ph_make_warning(make,
                        "the source is a replica with hot_standby_feedback %s and "
                        "max_standby_streaming_delay %s: it may cancel long reads and take the "
                        "snapshot away",
                        s->hot_standby_feedback ? "on" : "off", s->standby_delay);
}

static void check_target(struct ph_make *make)
{
    const struct ph_server *t = &make->side[PH_TARGET].server;
    const char *role = ph_make_quote(make, t->role);
    struct ph_arena *arena = &make->plan->arena;
    if (t->in_recovery)
        ph_make_obstacle(make, "connect to its primary",
                         "the target is a replica and cannot be "
                         "written to");
    if (t->read_only_default)
        ph_make_obstacle(make, "turn default_transaction_read_only off for this role and database",
                         "the target is read-only by default for %s", role);
    if (!t->has_ledger && !t->may_create_schema)
        ph_make_obstacle(
            make,
            ph_arena_printf(arena, "GRANT CREATE ON DATABASE %s TO %s",
                            ph_make_quote(make, t->database), role),
            "no permission to create the schema pghaul in the target, where the ledger "
            "lives");
    if (t->has_ledger && !(t->may_use_ledger && t->may_write_ledger))
        ph_make_obstacle(
            make,
            ph_arena_printf(arena,
                            "GRANT USAGE, CREATE ON SCHEMA pghaul TO %s; GRANT ALL ON ALL "
                            "TABLES IN SCHEMA pghaul TO %s",
                            role, role),
            "no permission to use the ledger in the target's schema pghaul");
    if (make->plan->spec->mode == PH_UPSERT && !t->may_temp)
        ph_make_obstacle(make,
                         ph_arena_printf(arena, "GRANT TEMPORARY ON DATABASE %s TO %s",
                                         ph_make_quote(make, t->database), role),
                         "no permission to create temporary tables in the target, which an upsert "
                         "needs");
    if (make->plan->spec->triggers == PH_TRIGGERS_SKIP && !t->may_replica_role)
        ph_make_obstacle(
            make,
            ph_arena_printf(arena,
                            ph_feature_has(make->plan->target.version, PH_HAS_PARAMETER_GRANTS)
                                ? "GRANT SET ON PARAMETER session_replication_role TO %s"
                                : "connect as a superuser instead of %s",
                            role),
            "no permission to set session_replication_role in the target, which "
            "--triggers skip needs");
}

/* Only where the target's directory is on this machine and may be looked at. */
static void check_space(struct ph_make *make, struct ph_conn *target)
{
    const char *directory = make->side[PH_TARGET].server.data_directory;
    struct statvfs fs;
    if (!directory || strcmp(ph_conn_transport(target), "unix socket") != 0 ||
        statvfs(directory, &fs) != 0)
        return;
    double available = (double)fs.f_bavail * (double)fs.f_frsize;
    if (available >= (double)make->plan->bytes)
        return;
    char have[PH_NUM_TEXT], need[PH_NUM_TEXT];
    ph_make_warning(make, "the target's file system has %s free, and the tables have %s in the %s",
                    ph_num_show_bytes(have, available),
                    ph_num_show_bytes(need, (double)make->plan->bytes),
                    ph_make_side(make, PH_SOURCE));
}

void ph_check_servers(struct ph_make *make, struct ph_conn *source, struct ph_conn *target)
{
    if (source)
        check_transport(make, source);
    check_replica(make);
    if (!target)
        return;
    check_encoding(make);
    check_transport(make, target);
    check_target(make);
    check_space(make, target);
}

/* Rows of their own. */

/* Adds those of tables [first, end) that have rows to the sentence; *n counts them. There may be a
 * transaction open, in which this is one more statement; it uses no operator that a search_path
 * could change. A savepoint lets go of the locks, of which ten thousand tables would need too many. */
static bool find_rows(struct ph_plan *plan, struct ph_conn *target, int first, int end,
                      struct ph_buf *names, int *n, struct ph_err *err)
{
    enum { NAMED = 5 };
    struct ph_buf sql = {0};
    bool within = ph_conn_in_transaction(target);
    const char *begin = within ? "SAVEPOINT pghaul_look;" : "";
    for (int i = first; i < end; i++) {
        const struct ph_table *t = &plan->tables[i];
        if (t->objects)
            continue; /* see ph_objects_check */
        ph_sql_add(&sql, sql.len ? " UNION ALL " : begin);
        /* a partitioned table has rows only below it */
        ph_sql_add(&sql, "SELECT %d WHERE EXISTS (SELECT FROM %s%I.%I)", i,
                   t->target_routes ? "" : "ONLY ", t->target_schema, t->target_name);
    }
    struct ph_rows *rows = NULL;
    if (sql.len && within)
        ph_buf_add(&sql, ";ROLLBACK TO SAVEPOINT pghaul_look;RELEASE SAVEPOINT pghaul_look");
    bool ok = !sql.len || ph_conn_query(target, sql.data, &rows, err);
    ph_buf_fini(&sql);
    for (int i = 0; i < ph_rows_count(rows); i++) {
        const struct ph_table *t = &plan->tables[ph_rows_int(rows, i, 0)];
        const char *name = ph_plan_name(plan, t->target_schema, t->target_name);
        if (names->data && strstr(names->data, name) && t->target_routes)
            continue; /* several leaves go to one root */
        if ((*n)++ < NAMED)
            ph_buf_addf(names, "%s%s", names->len ? ", " : "", name);
    }
    ph_rows_free(rows);
    return ok;
}

bool ph_check_empty(struct ph_plan *plan, struct ph_conn *target, struct ph_err *err)
{
    enum { TABLES_PER_QUERY = 250, NAMED = 5 };
    if (plan->spec->mode != PH_APPEND || plan->spec->allow_nonempty)
        return true;
    struct ph_buf names = {0};
    int n = 0;
    bool ok = true;
    for (int i = 0; ok && i < plan->n_tables; i += TABLES_PER_QUERY) {
        int end = i + TABLES_PER_QUERY < plan->n_tables ? i + TABLES_PER_QUERY : plan->n_tables;
        ok = find_rows(plan, target, i, end, &names, &n, err);
    }
    if (ok && n) {
        if (n > NAMED)
            ph_buf_addf(&names, " and %d more", n - NAMED);
        ph_err_set(err, PH_WRONG, "the target has rows of its own in %s", names.data);
        ok = ph_err_hint(err, "--allow-nonempty adds to them, --mode upsert or --mode replace do "
                              "what they say");
    }
    ph_buf_fini(&names);
    return ok;
}
