#include "haul/guard.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"

static const double pace_s = 0.5;
static const uint64_t silence_ns = 4000000000; /* after so long its signal is lost */

bool ph_guard_side(const char *text, bool *source, const char **sql)
{
    bool given = !strncmp(text, "source:", 7) || !strncmp(text, "target:", 7);
    *source = given && *text == 's';
    *sql = given ? text + 7 : text;
    return given;
}

bool ph_guard_often(const char *text, int *n, double *within_s, struct ph_err *err)
{
    const char *slash = strchr(text, '/');
    char count[16];
    int64_t most;
    if (!slash)
        return ph_err_set(err, PH_WRONG, "it is not a number within a time, like 3/10m");
    snprintf(count, sizeof count, "%.*s", (int)(slash - text), text);
    if (!ph_num_int(count, 1, PH_WINDOW_MOST - 1, &most, err) ||
        !ph_num_duration(slash + 1, within_s, err))
        return false;
    *n = (int)most;
    return *within_s > 0 || ph_err_set(err, PH_WRONG, "no time is too short to count in");
}

/* What it asks is not a server. */
static bool is_elsewhere(const struct ph_guard *g)
{
    return g->hold.kind == PH_HOLD_FILE || g->hold.kind == PH_HOLD_URL;
}

static bool add(struct ph_guards *all, enum ph_hold_kind kind, bool source, const char *sql,
                struct ph_err *err)
{
    struct ph_guard *g = &all->guard[all->n];
    *g = (struct ph_guard){
        .all = all, .hold = {.kind = kind, .share = 1}, .source = source, .sql = sql};
    g->hard.below_since_s = -1;
    g->soft.share = 1;
    pthread_mutex_init(&g->lock, NULL);
    all->n++;
    if (kind == PH_HOLD_LAG) {
        g->lag = calloc(1, sizeof *g->lag);
        return g->lag || ph_err_nomem(err);
    }
    if (kind == PH_HOLD_FULL) {
        g->places = calloc(PH_PLACES_MAX, sizeof *g->places);
        return g->places || ph_err_nomem(err);
    }
    if (kind == PH_HOLD_CHECKPOINTS) {
        g->window = calloc(1, sizeof *g->window);
        return g->window || ph_err_nomem(err);
    }
    return true;
}

/* One for each server that there is. */
static bool add_both(struct ph_guards *all, bool wanted, enum ph_hold_kind kind, struct ph_err *err)
{
    return !wanted || ((!all->opts.source || add(all, kind, true, NULL, err)) &&
                       (!all->opts.target || add(all, kind, false, NULL, err)));
}

static bool add_sql(struct ph_guards *all, enum ph_hold_kind kind, const char *text,
                    struct ph_err *err)
{
    bool source;
    const char *sql;
    if (!text)
        return true;
    if (!ph_guard_side(text, &source, &sql))
        source = !all->opts.target;
    if (!(source ? all->opts.source : all->opts.target))
        return ph_err_set(err, PH_WRONG, "--%s is to be asked of the %s, and there is none",
                          kind == PH_HOLD_CANARY ? "canary" : "pause-query",
                          source ? "source" : "target");
    return add(all, kind, source, sql, err);
}

/* What it asks is what others wait for: that a commit is safe. The message has no meaning to anybody, and is no write by which
 * a session that only reads could be refused. */
static const char commit_sql[] = "SELECT pg_catalog.pg_logical_emit_message(true, 'pghaul', '')";

static bool add_canaries(struct ph_guards *all, struct ph_err *err)
{
    const struct ph_guard_limits *l = all->opts.limits;
    if (l->n_canary > PH_CANARIES_MAX)
        return ph_err_set(err, PH_WRONG, "there are more than %d canaries", PH_CANARIES_MAX);
    for (int i = 0; i < l->n_canary; i++) {
        bool source;
        const char *sql, *text = l->canary[i];
        bool sided = ph_guard_side(text, &source, &sql), commit = !strcmp(sql, "commit");
        int first = all->n;
        if (!(commit && !sided ? add_both(all, true, PH_HOLD_CANARY, err)
                               : add_sql(all, PH_HOLD_CANARY, text, err)))
            return false;
        for (int k = first; k < all->n && commit; k++)
            all->guard[k].sql = commit_sql;
    }
    return true;
}

bool ph_guards_init(struct ph_guards *all, const struct ph_guards_opts *opts, struct ph_err *err)
{
    *all = (struct ph_guards){.opts = *opts};
    const struct ph_guard_limits *l = opts->limits;
    if (!l)
        return true;
    return add_both(all, l->max_lag_s > 0, PH_HOLD_LAG, err) &&
           add_both(all, l->max_load > 0, PH_HOLD_LOAD, err) &&
           add_both(all, l->max_xact_age_s > 0, PH_HOLD_XACT_AGE, err) &&
           add_both(all, l->max_slot_wal > 0, PH_HOLD_SLOT_WAL, err) &&
           add_both(all, l->full_in_s > 0, PH_HOLD_FULL, err) &&
           (!l->min_free || !opts->target || add(all, PH_HOLD_FREE, false, NULL, err)) &&
           (!l->max_checkpoints || !opts->target ||
            add(all, PH_HOLD_CHECKPOINTS, false, NULL, err)) &&
           add_canaries(all, err) && add_sql(all, PH_HOLD_QUERY, l->pause_query, err) &&
           (!l->pause_file || add(all, PH_HOLD_FILE, false, NULL, err)) &&
           (!l->pause_url || add(all, PH_HOLD_URL, false, NULL, err));
}

void ph_guards_fini(struct ph_guards *all)
{
    for (int i = 0; i < all->n; i++) {
        free(all->guard[i].lag);
        free(all->guard[i].window);
        free(all->guard[i].places);
        pthread_mutex_destroy(&all->guard[i].lock);
    }
    all->n = 0;
}

/* Verdicts. */

static unsigned sides_of(const struct ph_guard *g)
{
    if (is_elsewhere(g) || g->hold.kind == PH_HOLD_QUERY || g->hold.kind == PH_HOLD_CANARY)
        return PH_AT_BOTH;
    return g->source ? PH_AT_SOURCE : PH_AT_TARGET;
}

static const char *server_of(const struct ph_guard *g)
{
    return is_elsewhere(g) ? "" : g->source ? " of the source" : " of the target";
}

void ph_guard_judge(struct ph_guard *g, double value, double limit, const char *fmt, ...)
{
    char text[PH_REASON_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    bool holds = ph_judge_hard(&g->hard, value, limit, ph_clock_s());
    ph_throttle_hold(g->all->opts.throttle, &g->hold, holds ? sides_of(g) : 0, 1, "%s: %s",
                     ph_hold_name(g->hold.kind), text);
}

void ph_guard_steer(struct ph_guard *g, double share, const char *fmt, ...)
{
    char text[PH_REASON_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ph_throttle_hold(g->all->opts.throttle, &g->hold, 0, share, "%s: %s",
                     ph_hold_name(g->hold.kind), text);
}

/* A canary that is silent need not be waited for to know that it is slow. The next answer says how to go on. */
static void look_at_silence(struct ph_guard *g, uint64_t now)
{
    static const uint64_t long_ns = 250000000;
    uint64_t asked = atomic_load(&g->asked_ns);
    if (asked && now > asked + long_ns)
        ph_throttle_hold(g->all->opts.throttle, &g->hold, 0, PH_CANARY_LEAST,
                         "%s%s: no answer for %.1f s", ph_hold_name(g->hold.kind), server_of(g),
                         (double)(now - asked) / 1e9);
}

void ph_guards_look(struct ph_guards *all)
{
    uint64_t now = ph_clock_ns();
    for (int i = 0; i < all->n; i++) {
        struct ph_guard *g = &all->guard[i];
        uint64_t heard = atomic_load(&g->heard_ns);
        look_at_silence(g, now);
        if (atomic_load(&g->off) || (heard && now - heard < silence_ns))
            continue;
        pthread_mutex_lock(&g->lock);
        char error[PH_REASON_TEXT];
        snprintf(error, sizeof error, "%.*s", 120, g->error);
        pthread_mutex_unlock(&g->lock);
        ph_throttle_hold(all->opts.throttle, &g->hold, sides_of(g), 1, "%s%s: %s%s%s",
                         ph_hold_name(g->hold.kind), server_of(g),
                         heard ? "its signal is lost" : "not known yet", *error ? ": " : "", error);
    }
}

/* Threads. */

static bool connect(struct ph_guard *g, struct ph_err *err)
{
    struct ph_guards *all = g->all;
    if (g->hold.kind == PH_HOLD_URL)
        return g->http || ph_http_open(&g->http, all->opts.limits->pause_url, &all->end, err);
    if (g->hold.kind == PH_HOLD_FILE || (g->conn && ph_conn_ok(g->conn)))
        return true;
    ph_conn_close(g->conn);
    g->conn = NULL;
    const struct ph_conn_opts how = {.dsn = g->source ? all->opts.source : all->opts.target,
                                     .application_name = all->name,
                                     .encoding = "UTF8",
                                     .read_only = true,
                                     .interrupt = &all->end,
                                     .interrupt_level = 1};
    return ph_conn_open(&g->conn, &how, err);
}

static void note_error(struct ph_guard *g, const struct ph_err *err)
{
    pthread_mutex_lock(&g->lock);
    bool news = strncmp(g->error, err->text, sizeof g->error - 1) != 0;
    snprintf(g->error, sizeof g->error, "%.*s", PH_REASON_TEXT - 1, err->text);
    pthread_mutex_unlock(&g->lock);
    if (news)
        ph_log(g->all->opts.log, PH_LOG_WARN, "guard %s%s: %s", ph_hold_name(g->hold.kind),
               server_of(g), err->text);
}

static void *guard_main(void *arg)
{
    struct ph_guard *g = arg;
    struct ph_err err;
    bool canary = g->hold.kind == PH_HOLD_CANARY;
    while (!ph_interrupt_at(&g->all->end, 1) && !atomic_load(&g->off)) {
        if (connect(g, &err) && ph_guard_ask(g, &err)) {
            atomic_store(&g->heard_ns, ph_clock_ns());
        } else if (err.code != PH_INTERRUPTED) {
            note_error(g, &err);
            if (g->conn && !ph_conn_recover(g->conn)) {
                ph_conn_close(g->conn);
                g->conn = NULL;
            }
        }
        ph_interrupt_sleep(&g->all->end, 1, canary ? PH_CANARY_PACE_S : pace_s);
    }
    ph_conn_close(g->conn);
    g->conn = NULL;
    ph_http_close(g->http);
    g->http = NULL;
    return NULL;
}

void ph_guards_watch(struct ph_guards *all, const char *tag)
{
    struct ph_err err;
    if (all->n == 0)
        return;
    snprintf(all->name, sizeof all->name, "pghaul/%s/guard", tag);
    for (int i = 0; i < all->n; i++)
        atomic_store(&all->guard[i].heard_ns, 0);
    ph_guards_look(all);
    all->watching = ph_interrupt_init(&all->end, &err);
    for (int i = 0; i < all->n && all->watching; i++) {
        struct ph_guard *g = &all->guard[i];
        g->started = pthread_create(&g->thread, NULL, guard_main, g) == 0;
    }
}

void ph_guards_rest(struct ph_guards *all)
{
    if (!all->watching)
        return;
    ph_interrupt_raise(&all->end);
    for (int i = 0; i < all->n; i++) {
        if (all->guard[i].started)
            pthread_join(all->guard[i].thread, NULL);
        all->guard[i].started = false;
    }
    ph_interrupt_fini(&all->end);
    all->watching = false;
}
