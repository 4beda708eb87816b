#include "haul/sight.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "haul/crew.h"
#include "haul/limit.h"
#include "pg/sql.h"

static const double least_s = 0.25, most_s = 60, ask_s = 1, first_s = 0.1, held_s = 1;

void ph_sight_init(struct ph_sight *sight)
{
    pthread_mutex_init(&sight->lock, NULL);
    sight->begin_s = ph_clock_s();
    sight->waits_at = sight->begin_s + first_s; /* before, nobody waits for anything */
}

void ph_sight_fini(struct ph_sight *sight)
{
    pthread_mutex_destroy(&sight->lock);
    free(sight->bars);
}

/* Events. */

/* The ledger takes whole characters only: where the text was cut, what may be the head of one goes. */
static void copy_whole(char *out, size_t size, const char *text)
{
    size_t n = (size_t)snprintf(out, size, "%s", text);
    if (n < size)
        return;
    for (n = size - 1; n > 0 && (unsigned char)out[n - 1] >= 0x80; n--)
        out[n - 1] = '\0';
}

static void remember(struct ph_sight *sight, const struct ph_log_fields *fields, int tab,
                     const char *text)
{
    pthread_mutex_lock(&sight->lock);
    if (sight->n_events < PH_SIGHT_EVENTS) {
        struct ph_history_event *e = &sight->events[sight->n_events++];
        *e = (struct ph_history_event){.at_s = ph_clock_s(), .shard = fields->shard, .tab = tab};
        snprintf(e->event, sizeof e->event, "%s", fields->event);
        copy_whole(e->text, sizeof e->text, text);
    }
    pthread_mutex_unlock(&sight->lock);
}

void ph_sight_event(struct ph_crew *crew, enum ph_log_level level, const char *event, int64_t shard,
                    int tab, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const struct ph_log_fields fields = {
        .event = event,
        .shard = shard,
        .table = tab > 0 && tab <= crew->n_tabs ? crew->tabs[tab - 1].table->root_source : NULL};
    ph_log_event(crew->opts.log, level, &fields, "%s", text);
    if (level <= PH_LOG_INFO)
        remember(crew->sight, &fields, tab, text);
}

void ph_sight_file(struct ph_crew *crew, const struct ph_history_bar *bar)
{
    struct ph_sight *sight = crew->sight;
    pthread_mutex_lock(&sight->lock);
    if (sight->n_bars == sight->room_bars) {
        int room = sight->room_bars ? 2 * sight->room_bars : 256;
        void *more = realloc(sight->bars, (size_t)room * sizeof *sight->bars);
        sight->bars = more ? more : sight->bars;
        sight->room_bars = more ? room : sight->room_bars;
    }
    if (sight->n_bars < sight->room_bars)
        sight->bars[sight->n_bars++] = *bar;
    pthread_mutex_unlock(&sight->lock);
}

/* Samples. */

static void take_sample(const struct ph_crew *crew, struct ph_history_sample *s)
{
    uint64_t ns[PH_N_STAGES] = {0};
    *s = (struct ph_history_sample){.at_s = ph_clock_s(),
                                    .rows = atomic_load(&crew->to_target.rows),
                                    .bytes = atomic_load(&crew->to_target.bytes),
                                    .spilled = atomic_load(&crew->to_files.bytes)};
    for (int i = 0; i < atomic_load(&crew->hired); i++) {
        ph_hop_stages(&crew->workers[i].gauge, 0, ns);
        s->busy += atomic_load(&crew->workers[i].tab) != 0;
    }
    for (int i = 0; i < PH_N_STAGES; i++)
        s->stages[i] = (double)ns[i] / 1e9;
    ph_sight_busy(crew->sight, s->waits, sizeof s->waits);
}

/* Often at first, then more seldom: the picture is as fine for a minute as for a day, and the ledger stays small. */
static double interval(const struct ph_sight *sight, double now_s)
{
    double s = (now_s - sight->begin_s) / 100;
    return s < least_s ? least_s : s > most_s ? most_s : s;
}

/* Being held back begins and ends; in between nothing is said. */
static void look_at_throttle(struct ph_crew *crew, const struct ph_history_sample *s, double dt)
{
    struct ph_sight *sight = crew->sight;
    double share =
        (s->stages[PH_STAGE_THROTTLED] - sight->throttled_s) / (dt * (s->busy > 0 ? s->busy : 1));
    sight->throttled_s = s->stages[PH_STAGE_THROTTLED];
    bool held = sight->held ? share > 0.05 : share > 0.2;
    if (held && !sight->held)
        ph_sight_event(crew, PH_LOG_INFO, "throttled", 0, 0, "held back by a rate");
    if (!held && sight->held)
        ph_sight_event(crew, PH_LOG_INFO, "unthrottled", 0, 0, "not held back any more");
    sight->held = held;
}

/* A pause, with who or what has asked for it. */
static void look_at_holds(struct ph_crew *crew)
{
    struct ph_sight *sight = crew->sight;
    char why[PH_REASON_TEXT];
    enum ph_hold_kind kind;
    bool hard = false;
    if (!crew->opts.throttle || sight->paused == (ph_throttle_held(crew->opts.throttle) != 0))
        return;
    sight->paused = !sight->paused;
    if (!sight->paused)
        ph_sight_event(crew, PH_LOG_INFO, "resumed", 0, 0, "it goes on");
    else if (ph_throttle_reason(crew->opts.throttle, why, &kind, &hard))
        ph_sight_event(crew, PH_LOG_INFO, "paused", 0, 0, "%s", why);
    else
        sight->paused = false; /* it was lifted this very moment */
}

void ph_sight_look(struct ph_crew *crew, bool last)
{
    struct ph_sight *sight = crew->sight;
    struct ph_history_sample s;
    double now_s = ph_clock_s();
    look_at_holds(crew);
    bool sample = last || now_s >= sight->sample_at, held = now_s >= sight->held_at;
    if (!sample && !held)
        return;
    take_sample(crew, &s);
    if (held && !last) {
        if (sight->held_at > 0)
            look_at_throttle(crew, &s, now_s - sight->held_at + held_s);
        sight->held_at = now_s + held_s;
    }
    if (!sample)
        return;
    pthread_mutex_lock(&sight->lock);
    int at = sight->n_samples < PH_SIGHT_SAMPLES ? sight->n_samples++ : PH_SIGHT_SAMPLES - 1;
    sight->samples[at] = s;
    pthread_mutex_unlock(&sight->lock);
    sight->sample_at = now_s + interval(sight, now_s);
}

/* What the target waits for. */

static void note_wait(struct ph_sight *sight, const char *event, unsigned times)
{
    int i = 0;
    while (i < PH_SIGHT_WAITS && sight->waits[i].seen && strcmp(sight->waits[i].event, event) != 0)
        i++;
    if (i == PH_SIGHT_WAITS)
        return;
    snprintf(sight->waits[i].event, sizeof sight->waits[i].event, "%s", event);
    sight->waits[i].seen += times;
}

void ph_sight_ask(struct ph_crew *crew, struct ph_conn *conn)
{
    struct ph_sight *sight = crew->sight;
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    struct ph_err err;
    double now_s = ph_clock_s();
    if (now_s < sight->waits_at || crew->opts.extract || !ph_conn_ok(conn))
        return;
    sight->waits_at = now_s + ask_s;
    /* who waits for its client waits for us */
    ph_sql_add(&sql,
               "SELECT coalesce(a.wait_event, 'CPU'), pg_catalog.count(*)"
               " FROM pg_catalog.pg_stat_activity a"
               " WHERE a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()"
               " AND a.application_name OPERATOR(pg_catalog.~) '^pghaul/%s/[0-9]'"
               " AND a.state OPERATOR(pg_catalog.=) 'active'"
               " AND a.wait_event_type IS DISTINCT FROM 'Client' GROUP BY 1",
               crew->opts.tag);
    if (ph_conn_query(conn, sql.data, &rows, &err)) {
        pthread_mutex_lock(&sight->lock);
        for (int i = 0; i < ph_rows_count(rows); i++)
            note_wait(sight, ph_rows_text(rows, i, 0), (unsigned)ph_rows_uint(rows, i, 1));
        pthread_mutex_unlock(&sight->lock);
    }
    ph_rows_free(rows);
    ph_buf_fini(&sql);
}

void ph_sight_busy(struct ph_sight *sight, char *out, size_t size)
{
    const struct ph_sight_wait *most = NULL;
    pthread_mutex_lock(&sight->lock);
    for (int i = 0; i < PH_SIGHT_WAITS && sight->waits[i].seen; i++)
        if (!most || sight->waits[i].seen > most->seen)
            most = &sight->waits[i];
    snprintf(out, size, "%s", most ? ph_limit_event(most->event) : "");
    pthread_mutex_unlock(&sight->lock);
}

/* Writing. */

struct batch {
    struct ph_history_sample samples[PH_SIGHT_SAMPLES];
    struct ph_history_event events[PH_SIGHT_EVENTS];
    int n_samples, n_events;
    struct ph_history_bar *bars; /* the sight's own array: it gets a new one */
    int n_bars;
};

/* No lock is held while the server is asked: what comes meanwhile stays behind what was taken. */
static void take(struct ph_sight *sight, struct batch *b)
{
    pthread_mutex_lock(&sight->lock);
    b->n_samples = sight->n_samples;
    b->n_events = sight->n_events;
    memcpy(b->samples, sight->samples, (size_t)b->n_samples * sizeof *b->samples);
    memcpy(b->events, sight->events, (size_t)b->n_events * sizeof *b->events);
    b->bars = sight->bars;
    b->n_bars = sight->n_bars;
    sight->bars = NULL;
    sight->n_bars = sight->room_bars = 0;
    pthread_mutex_unlock(&sight->lock);
}

static void drop(struct ph_sight *sight, const struct batch *b)
{
    pthread_mutex_lock(&sight->lock);
    sight->n_samples -= b->n_samples;
    sight->n_events -= b->n_events;
    memmove(sight->samples, sight->samples + b->n_samples,
            (size_t)sight->n_samples * sizeof *sight->samples);
    memmove(sight->events, sight->events + b->n_events,
            (size_t)sight->n_events * sizeof *sight->events);
    pthread_mutex_unlock(&sight->lock);
}

void ph_sight_write(struct ph_crew *crew, struct ph_conn *conn)
{
    struct ph_sight *sight = crew->sight;
    struct ph_err err;
    const struct ph_journal *journal = crew->opts.journal;
    if (journal ? journal->dir < 0 : crew->opts.extract || !ph_conn_ok(conn))
        return;
    struct batch *b = malloc(sizeof *b);
    if (!b)
        return;
    take(sight, b);
    bool ok = journal ? ph_journal_write(journal, crew->opts.tag, b->samples, b->n_samples,
                                         b->events, b->n_events, b->bars, b->n_bars, &err)
                      : ph_history_write(conn, crew->opts.job, crew->opts.mover, b->samples,
                                         b->n_samples, b->events, b->n_events, &err);
    /* What a server that answers does not want it will not want later either. */
    bool refused = !ok && err.code != PH_CONNECTION && err.code != PH_INTERRUPTED;
    if (refused && !sight->said)
        ph_log(crew->opts.log, PH_LOG_INFO, "what happens is not remembered: %s", err.text);
    sight->said = sight->said || refused;
    if (refused && !journal)
        ph_conn_recover(conn);
    if (ok || refused)
        drop(sight, b);
    free(b->bars);
    free(b);
}
