/* What each guard asks, and how it takes the answer. Others' backends are those whose application_name is not ours. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/feature.h"
#include "base/num.h"
#include "haul/guard.h"

static const char *side_of(const struct ph_guard *g)
{
    return g->source ? "source" : "target";
}

/* Lag. */

static const char lag_sql[] =
    "SELECT pg_catalog.pg_is_in_recovery(), CASE WHEN pg_catalog.pg_is_in_recovery() THEN"
    " pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END"
    " OPERATOR(pg_catalog.-) '0/0', r.application_name, r.replay_lsn OPERATOR(pg_catalog.-) '0/0',"
    " coalesce(pg_catalog.date_part('epoch', r.replay_lag), 0), CASE WHEN"
    " pg_catalog.pg_last_wal_receive_lsn() OPERATOR(pg_catalog.=)"
    " pg_catalog.pg_last_wal_replay_lsn() THEN 0 ELSE pg_catalog.date_part('epoch',"
    " pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-)"
    " pg_catalog.pg_last_xact_replay_timestamp()) END"
    " FROM (SELECT) one LEFT JOIN (SELECT r.* FROM pg_catalog.pg_stat_replication r"
    " LEFT JOIN pg_catalog.pg_replication_slots s ON s.active_pid OPERATOR(pg_catalog.=) r.pid"
    " WHERE s.slot_type IS DISTINCT FROM 'logical'"
    " AND r.application_name IS DISTINCT FROM 'pg_basebackup') r ON true";

/* A standby that was asked for by name must be seen on one of the servers. */
static bool all_named_seen(struct ph_guard *g, const struct ph_rows *rows, struct ph_err *err)
{
    const struct ph_guard_limits *l = g->all->opts.limits;
    for (int i = 0; i < l->n_lag_of && i < PH_STANDBYS_MAX; i++) {
        for (int k = 0; k < ph_rows_count(rows); k++)
            if (!strcmp(ph_rows_text(rows, k, 2), l->lag_of[i]))
                atomic_fetch_or(&g->all->seen, 1u << i);
        if (!(atomic_load(&g->all->seen) >> i & 1))
            return ph_err_set(err, PH_FAILED, "standby %s is on none of the servers", l->lag_of[i]);
    }
    return true;
}

static bool is_watched(const struct ph_guard_limits *l, const char *name)
{
    for (int i = 0; i < l->n_lag_of; i++)
        if (!strcmp(l->lag_of[i], name))
            return true;
    return l->n_lag_of == 0;
}

static void remember(struct ph_guard *g, const char *name)
{
    for (int i = 0; i < g->n_standbys; i++)
        if (!strcmp(g->standby[i], name))
            return;
    if (g->n_standbys < PH_STANDBYS_MAX)
        snprintf(g->standby[g->n_standbys++], sizeof g->standby[0], "%s", name);
}

/* A standby that was there, and is not: who knows how far it is behind. The named ones must be there on one of the servers. */
static bool all_there(struct ph_guard *g, const struct ph_rows *rows, struct ph_err *err)
{
    for (int i = 0; i < g->n_standbys; i++) {
        bool there = false;
        for (int k = 0; k < ph_rows_count(rows) && !there; k++)
            there = !strcmp(ph_rows_text(rows, k, 2), g->standby[i]);
        if (!there)
            return ph_err_set(err, PH_FAILED, "standby %s of the %s has vanished", g->standby[i],
                              side_of(g));
    }
    return true;
}

static bool judge_lag(struct ph_guard *g, const struct ph_rows *rows, struct ph_err *err)
{
    const struct ph_guard_limits *l = g->all->opts.limits;
    double now = ph_clock_s(), worst = 0;
    const char *who = "";
    char a[PH_NUM_TEXT], b[PH_NUM_TEXT];
    ph_judge_lag_note(g->lag, ph_rows_uint(rows, 0, 1), now);
    if (ph_rows_bool(rows, 0, 0) && ph_rows_double(rows, 0, 5) > 0) {
        worst = ph_rows_double(rows, 0, 5);
        who = "itself";
    }
    for (int i = 0; i < ph_rows_count(rows); i++) {
        const char *name = ph_rows_get(rows, i, 2);
        if (!name || !is_watched(l, name))
            continue;
        remember(g, name);
        if (!ph_rows_get(rows, i, 3))
            return ph_err_set(err, PH_FAILED,
                              "standby %s does not tell how far it is (or the role is no member of"
                              " pg_monitor)",
                              name);
        uint64_t replayed = ph_rows_uint(rows, i, 3);
        double lag = ph_judge_lag(g->lag, replayed, now);
        if (replayed < ph_rows_uint(rows, i, 1) && ph_rows_double(rows, i, 4) > lag)
            lag = ph_rows_double(rows, i, 4); /* older than what we have seen ourselves */
        if (lag > worst) {
            worst = lag;
            who = name;
        }
    }
    if (!all_named_seen(g, rows, err) || !all_there(g, rows, err))
        return false;
    ph_guard_judge(g, worst, l->max_lag_s, "standby %s of the %s is %s behind, limit %s", who,
                   side_of(g), ph_num_show_duration(a, worst),
                   ph_num_show_duration(b, l->max_lag_s));
    return true;
}

/* Values of one row. */

static const char load_sql[] =
    "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity"
    " WHERE state OPERATOR(pg_catalog.=) 'active' AND backend_type OPERATOR(pg_catalog.=)"
    " 'client backend' AND application_name NOT LIKE 'pghaul/%'";

static const char age_sql[] =
    "SELECT coalesce(pg_catalog.max(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()"
    " OPERATOR(pg_catalog.-) xact_start)), 0) FROM pg_catalog.pg_stat_activity"
    " WHERE backend_type OPERATOR(pg_catalog.=) 'client backend'"
    " AND application_name NOT LIKE 'pghaul/%'";

static const char slot_sql[] =
    "SELECT coalesce(pg_catalog.max(pg_catalog.pg_wal_lsn_diff(CASE WHEN"
    " pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()"
    " ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn)), 0)"
    " FROM pg_catalog.pg_replication_slots";

static const char checkpoints_sql[] = "SELECT checkpoints_req FROM pg_catalog.pg_stat_bgwriter";
static const char checkpoints_sql_17[] =
    "SELECT num_requested FROM pg_catalog.pg_stat_checkpointer";

static bool judge_value(struct ph_guard *g, const struct ph_rows *rows)
{
    const struct ph_guard_limits *l = g->all->opts.limits;
    double value = ph_rows_double(rows, 0, 0);
    char a[PH_NUM_TEXT], b[PH_NUM_TEXT];
    switch (g->hold.kind) {
    case PH_HOLD_LOAD:
        ph_guard_steer(g, ph_judge_soft(&g->soft, value > l->max_load, ph_clock_s()),
                       "%.0f active backends on the %s, limit %d", value, side_of(g), l->max_load);
        break;
    case PH_HOLD_XACT_AGE:
        ph_guard_judge(g, value, l->max_xact_age_s, "a transaction of %s on the %s, limit %s",
                       ph_num_show_duration(a, value), side_of(g),
                       ph_num_show_duration(b, l->max_xact_age_s));
        break;
    case PH_HOLD_SLOT_WAL:
        ph_guard_judge(g, value, (double)l->max_slot_wal,
                       "slots keep %s of WAL on the %s, limit %s", ph_num_show_bytes(a, value),
                       side_of(g), ph_num_show_bytes(b, (double)l->max_slot_wal));
        break;
    case PH_HOLD_CHECKPOINTS: {
        unsigned n =
            ph_judge_window(g->window, ph_rows_uint(rows, 0, 0), l->checkpoints_s, ph_clock_s());
        ph_guard_judge(g, n, l->max_checkpoints, "%u were requested on the %s within %s, limit %d",
                       n, side_of(g), ph_num_show_duration(a, l->checkpoints_s),
                       l->max_checkpoints);
        break;
    }
    default:
        break;
    }
    return true;
}

/* A query of the user's: true, or not. No row and null are not; a number is no answer, or a 1 that
 * was meant to pause would not. */
static bool judge_query(struct ph_guard *g, const struct ph_rows *rows, struct ph_err *err)
{
    const char *answer = ph_rows_count(rows) > 0 ? ph_rows_get(rows, 0, 0) : NULL;
    if (answer && strcmp(answer, "t") != 0 && strcmp(answer, "f") != 0)
        return ph_err_set(err, PH_FAILED, "--pause-query answers neither true nor false");
    g->hard = (struct ph_judge_hard){.below_since_s = -1};
    ph_guard_judge(g, answer && *answer == 't', 0.5, "--pause-query is true on the %s", side_of(g));
    return true;
}

/* A file. That it cannot be told whether it is there is no answer. */
static bool judge_file(struct ph_guard *g, struct ph_err *err)
{
    const char *path = g->all->opts.limits->pause_file;
    bool there = access(path, F_OK) == 0;
    if (!there && errno != ENOENT)
        return ph_err_set(err, PH_FAILED, "cannot tell whether %s is there: %s", path,
                          strerror(errno));
    g->hard = (struct ph_judge_hard){.below_since_s = -1};
    ph_guard_judge(g, there, 0.5, "%s is there", path);
    return true;
}

/* A URL. What is neither yes nor no is no answer: whoever speaks may be a proxy, or another program. */
static bool judge_url(struct ph_guard *g, struct ph_err *err)
{
    char shown[PH_HTTP_SHOWN];
    int status;
    ph_http_show(shown, g->all->opts.limits->pause_url);
    if (!ph_http_ask(g->http, &status, err))
        return ph_err_prefix(err, "%s", shown);
    if (status != 200 && status != 429 && status != 503)
        return ph_err_set(err, PH_FAILED, "%s answers %d, which is neither 200 nor 429", shown,
                          status);
    g->hard = (struct ph_judge_hard){.below_since_s = -1};
    ph_guard_judge(g, status != 200, 0.5, "%s answers %d", shown, status);
    return true;
}

/* The canary. */

static bool judge_canary(struct ph_guard *g, double seconds)
{
    double limit = g->all->opts.limits->canary_limit;
    limit = limit > 0 ? limit : 2;
    ph_judge_canary_note(&g->canary, seconds);
    if (g->canary.base_s <= 0) {
        ph_throttle_hold(g->all->opts.throttle, &g->hold, PH_AT_BOTH, 1,
                         "canary: its baseline is being taken");
        return true;
    }
    double p99 = ph_judge_canary_p99(&g->canary), bound = limit * g->canary.base_s;
    double share = ph_judge_canary(&g->canary, seconds, bound, PH_CANARY_PACE_S, ph_clock_s());
    ph_guard_steer(g, share, "p99 is %.1f ms on the %s, limit %g times %.1f ms; %.*f %% may work",
                   p99 * 1e3, side_of(g), limit, g->canary.base_s * 1e3, share < 0.1 ? 1 : 0,
                   share * 100);
    return true;
}

bool ph_guard_ask(struct ph_guard *g, struct ph_err *err)
{
    const char *sql = g->sql;
    struct ph_rows *rows = NULL;
    enum ph_hold_kind kind = g->hold.kind;
    if (kind == PH_HOLD_FILE)
        return judge_file(g, err);
    if (kind == PH_HOLD_URL)
        return judge_url(g, err);
    sql = kind == PH_HOLD_LAG        ? lag_sql
          : kind == PH_HOLD_LOAD     ? load_sql
          : kind == PH_HOLD_XACT_AGE ? age_sql
          : kind == PH_HOLD_SLOT_WAL ? slot_sql
          : kind == PH_HOLD_FREE     ? ph_guard_directories_sql
          : kind == PH_HOLD_FULL     ? ph_guard_room_sql(g)
          : kind == PH_HOLD_CHECKPOINTS
              ? ph_feature_has(ph_conn_server_version(g->conn), PH_HAS_CHECKPOINTER_STATS)
                    ? checkpoints_sql_17
                    : checkpoints_sql
              : sql;
    double before = ph_clock_s();
    if (kind == PH_HOLD_CANARY && g->canary.base_s > 0)
        atomic_store(&g->asked_ns, ph_clock_ns());
    bool answered = ph_conn_query(g->conn, sql, &rows, err);
    atomic_store(&g->asked_ns, 0);
    if (!answered)
        return false;
    bool ok = kind == PH_HOLD_LAG      ? judge_lag(g, rows, err)
              : kind == PH_HOLD_FREE   ? ph_guard_free(g, rows)
              : kind == PH_HOLD_FULL   ? ph_guard_full(g, rows)
              : kind == PH_HOLD_CANARY ? judge_canary(g, ph_clock_s() - before)
              : kind == PH_HOLD_QUERY  ? judge_query(g, rows, err)
                                       : judge_value(g, rows);
    ph_rows_free(rows);
    return ok;
}
