/* What somebody else than pghaul could change: the road between the servers, their settings, the target's indexes. What can be had
 * for a session or for a scratch table is measured; of the rest it is said what the trials' counters tell. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/feature.h"
#include "base/num.h"
#include "haul/tune_run.h"
#include "pg/sql.h"

static struct ph_tune_move *add_move(struct ph_tune *t, const char *what, const char *now,
                                     const char *then)
{
    static struct ph_tune_move nowhere;
    struct ph_tune_result *r = t->result;
    struct ph_tune_move *m = r->n_moves < PH_TUNE_MOVES ? &r->moves[r->n_moves++] : &nowhere;
    *m = (struct ph_tune_move){.what = what,
                               .now = ph_arena_strdup(t->arena, now),
                               .then = ph_arena_strdup(t->arena, then)};
    return m;
}

/* Facts. */

static struct ph_rows *read_settings(struct ph_conn *conn)
{
    struct ph_rows *rows = NULL;
    struct ph_err ignored;
    if (!ph_conn_query(conn,
                       "SELECT n, pg_catalog.current_setting(n, true) FROM pg_catalog.unnest("
                       "'{wal_level,full_page_writes,wal_compression,synchronous_commit,fsync,"
                       "max_wal_size,checkpoint_timeout,checkpoint_completion_target,wal_buffers,"
                       "shared_buffers,maintenance_work_mem,default_toast_compression,"
                       "server_version}'::pg_catalog.text[]) WITH ORDINALITY u(n, i) ORDER BY u.i",
                       &rows, &ignored))
        ph_conn_recover(conn);
    return rows;
}

static void add_fact(struct ph_tune *t, const char *name, const char *source, const char *target)
{
    if (t->result->n_facts == PH_TUNE_FACTS)
        return;
    t->result->facts[t->result->n_facts++] =
        (struct ph_tune_fact){ph_arena_strdup(t->arena, name), ph_arena_strdup(t->arena, source),
                              ph_arena_strdup(t->arena, target)};
}

void ph_tune_read_facts(struct ph_tune *t)
{
    struct ph_rows *source = read_settings(t->source), *target = read_settings(t->target);
    add_fact(t, "transport", ph_conn_transport(t->source), ph_conn_transport(t->target));
    for (int i = 0; source && target && i < ph_rows_count(target); i++)
        add_fact(t, ph_rows_text(target, i, 0), ph_rows_text(source, i, 1),
                 ph_rows_text(target, i, 1));
    ph_rows_free(source);
    ph_rows_free(target);
}

static const char *fact(const struct ph_tune *t, const char *name)
{
    for (int i = 0; i < t->result->n_facts; i++)
        if (!strcmp(t->result->facts[i].name, name))
            return t->result->facts[i].target;
    return "";
}

/* Counters. */

void ph_tune_count(struct ph_tune *t, struct ph_tune_counters *c)
{
    struct ph_rows *rows = NULL;
    struct ph_err ignored;
    *c = (struct ph_tune_counters){0};
    const char *sql = ph_feature_has(ph_conn_server_version(t->target), PH_HAS_CHECKPOINTER_STATS)
                          ? "SELECT num_requested, num_timed, pg_catalog.pg_wal_lsn_diff("
                            "pg_catalog.pg_current_wal_insert_lsn(), '0/0') FROM"
                            " pg_catalog.pg_stat_checkpointer"
                          : "SELECT checkpoints_req, checkpoints_timed, pg_catalog.pg_wal_lsn_diff("
                            "pg_catalog.pg_current_wal_insert_lsn(), '0/0') FROM"
                            " pg_catalog.pg_stat_bgwriter";
    if (!ph_conn_query(t->target, sql, &rows, &ignored)) {
        ph_conn_recover(t->target);
        return;
    }
    c->asked = ph_rows_int(rows, 0, 0);
    c->timed = ph_rows_int(rows, 0, 1);
    c->wal = ph_rows_uint(rows, 0, 2);
    c->known = true;
    ph_rows_free(rows);
}

/* What pg_settings has in its own unit, as bytes or seconds. */
static double number(struct ph_tune *t, const char *name)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    struct ph_err ignored;
    double value = 0;
    ph_sql_add(&sql,
               "SELECT setting::pg_catalog.float8 OPERATOR(pg_catalog.*) CASE unit WHEN 'MB' THEN"
               " 1048576.0 WHEN 'kB' THEN 1024.0 WHEN '8kB' THEN 8192.0 ELSE 1.0 END::float8 FROM"
               " pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) %L",
               name);
    if (ph_conn_query(t->target, ph_buf_text(&sql), &rows, &ignored) && ph_rows_count(rows) == 1)
        value = ph_rows_double(rows, 0, 0);
    else
        ph_conn_recover(t->target);
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return value;
}

/* The server begins a checkpoint when so much WAL has been written since the last one, so that the next one is through before
 * max_wal_size is reached. */
void ph_tune_tell_checkpoints(struct ph_tune *t, const struct ph_tune_counters *before)
{
    struct ph_tune_result *r = t->result;
    struct ph_tune_counters now;
    ph_tune_count(t, &now);
    if (!before->known || !now.known || r->moved_rows == 0 || now.wal < before->wal)
        return;
    r->wal_bytes = now.wal - before->wal;
    r->checkpoints_asked = (int)(now.asked - before->asked);
    r->checkpoints_timed = (int)(now.timed - before->timed);
    double most = number(t, "max_wal_size"), timeout = number(t, "checkpoint_timeout");
    double apart = most / (1 + number(t, "checkpoint_completion_target"));
    double a_byte = (double)r->wal_bytes / (double)r->moved_bytes; /* of COPY */
    double second = r->speed.median * a_byte;
    if (most <= 0 || timeout <= 0 || second <= 0 || apart / second >= timeout)
        return;
    char wal[PH_NUM_TEXT], every[PH_NUM_TEXT], enough[PH_NUM_TEXT], measured[80] = "";
    double rows = t->table->rows_estimate;
    double whole = rows > 0 ? rows * (double)r->wal_bytes / (double)r->moved_rows
                            : (double)t->table->bytes * a_byte;
    if (whole < apart)
        return;
    double need = second * timeout < whole ? second * timeout : whole;
    need *= 1 + number(t, "checkpoint_completion_target");
    if (r->checkpoints_asked > 0)
        snprintf(measured, sizeof measured, "; the trials made it ask for %d",
                 r->checkpoints_asked);
    struct ph_tune_move *m =
        add_move(t, "max_wal_size", fact(t, "max_wal_size"), ph_num_show_bytes(enough, need));
    m->text = ph_arena_printf(t->arena,
                              "the table makes some %s of WAL, and a checkpoint is asked for every "
                              "%s of it, %.1f s at this"
                              " speed, instead of every %.0f s%s",
                              ph_num_show_bytes(wal, whole), ph_num_show_bytes(every, apart),
                              apart / second, timeout, measured);
}

/* Ways. */

static int add_way(struct ph_tune *t)
{
    t->ways[t->n_ways] = t->ways[0];
    return t->n_ways++;
}

static const struct ph_dsn *changed(struct ph_tune *t, const struct ph_dsn *from,
                                    const char *keyword, const char *value)
{
    struct ph_dsn *dsn = NULL;
    struct ph_err ignored;
    if (t->n_dsns == 2 * PH_TUNE_MOVES || !ph_dsn_with(&dsn, from, keyword, value, &ignored))
        return from;
    t->dsns[t->n_dsns++] = dsn;
    return dsn;
}

/* Measures the road `way` against the usual one. */
static bool measure(struct ph_tune *t, int way, struct ph_tune_move *m, double until,
                    struct ph_err *err)
{
    struct ph_tune_config then = t->config;
    struct ph_tune_duel duel = {0};
    then.way = way;
    if (!ph_tune_duel(t, &t->config, &then, until, &duel, err) && err->code == PH_INTERRUPTED)
        return false;
    m->measured = duel.pairs > 0;
    m->gain = duel.gain;
    m->pairs = duel.pairs;
    return true;
}

static bool can_connect(const struct ph_dsn *dsn, struct ph_tune *t)
{
    struct ph_conn *conn = NULL;
    struct ph_err ignored;
    bool can = ph_conn_open(&conn,
                            &(struct ph_conn_opts){.dsn = dsn,
                                                   .application_name = "pghaul/tune",
                                                   .interrupt = t->opts->job->interrupt,
                                                   .interrupt_level = 1},
                            &ignored);
    ph_conn_close(conn);
    return can;
}

static bool try_encryption(struct ph_tune *t, double until, struct ph_err *err)
{
    bool source = strstr(ph_conn_transport(t->source), "with TLS") != NULL,
         target = strstr(ph_conn_transport(t->target), "with TLS") != NULL;
    struct ph_tune_way plain = t->ways[0];
    if (source)
        plain.source = changed(t, plain.source, "sslmode", "disable");
    if (target)
        plain.target = changed(t, plain.target, "sslmode", "disable");
    if (!source && !target)
        return true;
    const char *which = source && target ? "both servers" : source ? "the source" : "the target";
    bool local =
        (!source || ph_conn_is_local(t->source)) && (!target || ph_conn_is_local(t->target));
    if ((source && !can_connect(plain.source, t)) || (target && !can_connect(plain.target, t))) {
        add_move(t, "TLS", "on", "off")->text =
            "the server insists on it, so what it costs is not known";
        return true;
    }
    int way = add_way(t);
    t->ways[way].source = plain.source;
    t->ways[way].target = plain.target;
    struct ph_tune_move *m = add_move(t, "TLS", "on", "off");
    m->text =
        ph_arena_printf(t->arena,
                        local ? "TLS with %s is on, and they are on this machine: sslmode=disable"
                                " does without"
                              : "so much does TLS with %s cost; only a network that nobody else"
                                " can listen to does without",
                        which);
    return measure(t, way, m, until, err);
}

/* The directory of the server's socket, if it is on this machine and we came by TCP; NULL otherwise. */
static const struct ph_dsn *by_socket(struct ph_tune *t, struct ph_conn *conn,
                                      const struct ph_dsn *dsn)
{
    struct ph_rows *rows = NULL;
    struct ph_err ignored;
    if (!ph_conn_is_local(conn) || !strcmp(ph_conn_transport(conn), "unix socket"))
        return NULL;
    if (!ph_conn_query(conn,
                       "SELECT pg_catalog.split_part(pg_catalog.current_setting("
                       "'unix_socket_directories'), ',', 1), pg_catalog.current_setting('port')",
                       &rows, &ignored)) {
        ph_conn_recover(conn);
        return NULL;
    }
    const struct ph_dsn *other = changed(t, dsn, "hostaddr", NULL);
    other = changed(t, other, "host", ph_rows_text(rows, 0, 0));
    other = changed(t, other, "port", ph_rows_text(rows, 0, 1));
    bool named = *ph_rows_text(rows, 0, 0) == '/';
    ph_rows_free(rows);
    return named && can_connect(other, t) ? other : NULL;
}

static bool try_socket(struct ph_tune *t, double until, struct ph_err *err)
{
    const struct ph_dsn *source = by_socket(t, t->source, t->ways[0].source),
                        *target = by_socket(t, t->target, t->ways[0].target);
    if (!source && !target)
        return true;
    int way = add_way(t);
    t->ways[way].source = source ? source : t->ways[0].source;
    t->ways[way].target = target ? target : t->ways[0].target;
    struct ph_tune_move *m =
        add_move(t, "transport", ph_conn_transport(source ? t->source : t->target), "unix socket");
    m->text = ph_arena_printf(t->arena, "%s can be reached by the socket in %s",
                              source && target ? "both servers"
                              : source         ? "the source"
                                               : "the target",
                              ph_dsn_get(source ? source : target, "host"));
    return measure(t, way, m, until, err);
}

/* Other scratch tables. */

static bool try_scratch(struct ph_tune *t, int without, struct ph_tune_move *m, double until,
                        struct ph_err *err)
{
    struct ph_err ignored;
    int way = add_way(t);
    if (!ph_scratch_make(t->target, t->arena, t->table->target_schema, t->table->target_name,
                         t->job, t->tag, without, &t->ways[way].scratch, err)) {
        t->ways[way].scratch = t->ways[0].scratch;
        return err->code != PH_INTERRUPTED;
    }
    bool ok = measure(t, way, m, until, err);
    ph_scratch_drop(t->target, &t->ways[way].scratch, &ignored);
    t->ways[way].scratch = t->ways[0].scratch;
    return ok;
}

static int count_indexes(struct ph_tune *t)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    struct ph_err ignored;
    ph_sql_add(&sql,
               "SELECT pg_catalog.count(*) FROM pg_catalog.pg_index WHERE indrelid"
               " OPERATOR(pg_catalog.=) %u",
               t->table->target_oid);
    int n = 0;
    if (ph_conn_query(t->target, ph_buf_text(&sql), &rows, &ignored))
        n = (int)ph_rows_int(rows, 0, 0);
    else
        ph_conn_recover(t->target);
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return n;
}

static bool try_indexes(struct ph_tune *t, double until, struct ph_err *err)
{
    int n = count_indexes(t);
    if (n == 0)
        return true;
    struct ph_tune_move *m =
        add_move(t, "indexes", ph_arena_printf(t->arena, "%d on the target", n), "after the load");
    m->text =
        "loaded without them, and made afterwards, which takes its own time: maintenance_work_mem"
        " and max_parallel_maintenance_workers are for that";
    return try_scratch(t, PH_SCRATCH_NO_INDEXES, m, until, err);
}

/* What no short trial shows, since it has few rows: told from sizes. */
static void tell_memory(struct ph_tune *t)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    struct ph_err ignored;
    char a[PH_NUM_TEXT], b[PH_NUM_TEXT];
    double sort = t->table->rows_estimate * 32, have = number(t, "maintenance_work_mem"),
           indexes = 0;
    if (count_indexes(t) == 0)
        return;
    if (have > 0 && sort > have)
        add_move(t, "maintenance_work_mem", fact(t, "maintenance_work_mem"),
                 ph_num_show_bytes(a, sort))
            ->text = ph_arena_printf(
            t->arena,
            "indexes that are made after the load sort some %s of keys each; with less they go by"
            " way of files",
            ph_num_show_bytes(b, sort));
    ph_sql_add(&sql, "SELECT pg_catalog.pg_indexes_size(%u::pg_catalog.oid)", t->table->source_oid);
    if (ph_conn_query(t->source, ph_buf_text(&sql), &rows, &ignored))
        indexes = ph_rows_double(rows, 0, 0);
    else
        ph_conn_recover(t->source);
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    have = number(t, "shared_buffers");
    if (have > 0 && indexes > have)
        add_move(t, "shared_buffers", fact(t, "shared_buffers"),
                 ph_num_show_bytes(a, 1.25 * indexes))
            ->text = ph_arena_printf(
            t->arena,
            "indexes of the source's table take %s; if they are there while rows come in, their"
            " pages go out and come back",
            ph_num_show_bytes(b, indexes));
}

static bool try_wal(struct ph_tune *t, double until, struct ph_err *err)
{
    if (t->table->target_unlogged)
        return true;
    struct ph_tune_move *m = add_move(t, "WAL", fact(t, "wal_level"), "none");
    m->text =
        "an unlogged table shows what WAL costs, and so the most that wal_level, full_page_writes,"
        " wal_compression, max_wal_size and a faster disk for WAL could give together";
    return try_scratch(t, PH_SCRATCH_UNLOGGED, m, until, err);
}

/* Values that the server compresses itself. */
static bool try_toast(struct ph_tune *t, double until, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    struct ph_buf options = {0};
    double heap = (double)t->table->blocks * 8192, all = (double)t->table->bytes;
    if (strcmp(fact(t, "default_toast_compression"), "pglz") != 0 || all - heap < 0.05 * all)
        return true;
    if (!ph_conn_query(
            t->target,
            "SELECT FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=)"
            " 'default_toast_compression' AND 'lz4' OPERATOR(pg_catalog.=) ANY (enumvals)",
            &rows, err)) {
        ph_conn_recover(t->target);
        return true;
    }
    bool has_lz4 = ph_rows_count(rows) == 1;
    ph_rows_free(rows);
    if (!has_lz4)
        return true;
    const char *given = ph_dsn_get(t->ways[0].target, "options");
    given = given ? given : getenv("PGOPTIONS");
    ph_buf_addf(&options, "%s -c default_toast_compression=lz4", given ? given : "");
    int way = add_way(t);
    t->ways[way].target = changed(t, t->ways[0].target, "options", ph_buf_text(&options));
    ph_buf_fini(&options);
    struct ph_tune_move *m = add_move(t, "default_toast_compression", "pglz", "lz4");
    m->text =
        "wide values are compressed by the target's backends; ALTER DATABASE or ALTER ROLE sets it"
        " for what is loaded from then on";
    return measure(t, way, m, until, err);
}

bool ph_tune_server(struct ph_tune *t, double until, struct ph_err *err)
{
    static bool (*const tries[])(struct ph_tune *, double, struct ph_err *) = {
        try_encryption, try_socket, try_toast, try_indexes, try_wal};
    const int n = sizeof tries / sizeof *tries;
    bool ok = true;
    for (int i = 0; i < n && ok; i++) {
        double now = ph_clock_s();
        ok = tries[i](t, now + (until - now) / (n - i), err);
    }
    if (ok)
        tell_memory(t);
    return ok;
}

void ph_tune_note(struct ph_tune *t, const char *fmt, ...)
{
    struct ph_tune_result *r = t->result;
    struct ph_buf text = {0};
    va_list ap;
    if (r->n_notes == (int)(sizeof r->notes / sizeof *r->notes))
        return;
    va_start(ap, fmt);
    ph_buf_vaddf(&text, fmt, ap);
    va_end(ap);
    r->notes[r->n_notes++] = ph_arena_strdup(t->arena, ph_buf_text(&text));
    ph_buf_fini(&text);
}
