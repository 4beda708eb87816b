#include "haul/crew.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ledger/pg.h"
#include "sink/pg.h"
#include "source/pg.h"

enum { BEAT_S = 5 };

bool ph_crew_init(struct ph_crew *crew, const struct ph_crew_opts *opts, struct ph_err *err)
{
    *crew = (struct ph_crew){.opts = *opts};
    crew->workers = calloc((size_t)opts->workers, sizeof *crew->workers);
    pthread_mutex_init(&crew->lock, NULL);
    return crew->workers || ph_err_nomem(err);
}

void ph_crew_fini(struct ph_crew *crew)
{
    free(crew->workers);
    free(crew->tabs);
    pthread_mutex_destroy(&crew->lock);
}

void ph_crew_fail(struct ph_crew *crew, const struct ph_err *err)
{
    pthread_mutex_lock(&crew->lock);
    if (!crew->has_fatal) {
        crew->fatal = *err;
        crew->has_fatal = true;
    }
    pthread_mutex_unlock(&crew->lock);
    atomic_store(&crew->stop, true);
}

/* The pulse. */

static bool pulse_rest(struct ph_crew *crew, double seconds)
{
    double until = ph_clock_s() + seconds;
    while (!atomic_load(&crew->pulse_stop) && ph_clock_s() < until)
        usleep(50000);
    return !atomic_load(&crew->pulse_stop);
}

/* After the control connection was lost: while it was, others may have taken us for dead. They were
 * right to: our shards are fenced, and what we claim from now on is ours again. */
static void come_back(struct ph_crew *crew)
{
    struct ph_err err;
    char name[64];
    snprintf(name, sizeof name, "pghaul/%s/main", crew->opts.tag);
    ph_conn_close(*crew->control);
    *crew->control = NULL;
    struct ph_conn_opts how = {.dsn = crew->opts.target,
                               .application_name = name,
                               .interrupt = crew->opts.interrupt,
                               .interrupt_level = 2};
    int64_t lost = 0;
    if (!ph_conn_open(crew->control, &how, &err))
        return;
    if (ph_ledger_hold_again(*crew->control, crew->opts.mover, &err) &&
        ph_ledger_lost(*crew->control, crew->opts.job, &lost, &err) && lost > 0)
        ph_log(
            crew->opts.log, PH_LOG_WARN,
            "%lld shards of unlogged tables vanished with the target's crash and are copied again",
            (long long)lost);
}

static void *pulse_main(void *arg)
{
    struct ph_crew *crew = arg;
    struct ph_err err;
    for (double wait = BEAT_S; pulse_rest(crew, wait);) {
        bool ok =
            ph_conn_ok(*crew->control) && ph_ledger_beat(*crew->control, crew->opts.mover, &err);
        wait = ok ? BEAT_S : 0.5;
        if (!ok && !ph_interrupt_at(crew->opts.interrupt, 2))
            come_back(crew);
    }
    return NULL;
}

/* Phases. */

static bool equip(struct ph_crew *crew, struct ph_worker *w, int slot, struct ph_err *err)
{
    w->crew = crew;
    w->slot = slot;
    w->seed = (unsigned)(ph_clock_ns() ^ (unsigned)slot * 2654435761u);
    w->outage_since = 0;
    w->failures = 0;
    snprintf(w->name, sizeof w->name, "pghaul/%s/%d", crew->opts.tag, slot);
    struct ph_conn_opts target = {
        .dsn = crew->opts.target, .application_name = w->name, .interrupt = crew->opts.interrupt};
    ph_desk_init(&w->desk, &(struct ph_desk_opts){
                               .conn = target,
                               .tag = crew->opts.tag,
                               .job = crew->opts.job,
                               .mover = crew->opts.mover,
                               .slot = slot,
                               .snapshot = crew->snapshot_no,
                           });
    struct ph_conn_opts source = {.dsn = crew->opts.source,
                                  .application_name = w->name,
                                  .encoding = crew->opts.encoding,
                                  .read_only = true,
                                  .interrupt = crew->opts.interrupt};
    return ph_source_pg_new(&w->source,
                            &(struct ph_source_pg_opts){.conn = source,
                                                        .tag = crew->opts.tag,
                                                        .snapshot = crew->snapshot,
                                                        .pg_snapshot = crew->pg_snapshot,
                                                        .gate = crew->opts.gate},
                            err) &&
           ph_sink_pg_new(&w->sink,
                          &(struct ph_sink_pg_opts){.desk = &w->desk,
                                                    .mode = crew->opts.mode,
                                                    .fire_triggers = crew->opts.fire_triggers,
                                                    .skip_triggers = crew->opts.skip_triggers},
                          err);
}

static void unequip(struct ph_worker *w)
{
    if (w->source)
        w->source->ops->free(w->source);
    if (w->sink)
        w->sink->ops->free(w->sink);
    ph_desk_fini(&w->desk);
    w->source = NULL;
    w->sink = NULL;
}

bool ph_crew_start(struct ph_crew *crew, struct ph_conn **control, struct ph_err *err)
{
    crew->control = control;
    atomic_store(&crew->snapshot_gone, false);
    atomic_store(&crew->all_done, false);
    atomic_store(&crew->first_idle_ns, 0);
    atomic_store(&crew->pulse_stop, false);
    atomic_store(&crew->running, 0);
    bool ok = true;
    for (int i = 0; i < crew->opts.workers && ok; i++)
        ok = equip(crew, &crew->workers[i], i + 1, err);
    if (ok && pthread_create(&crew->pulse, NULL, pulse_main, crew) != 0)
        ok = ph_err_set(err, PH_FAILED, "cannot start a thread");
    crew->pulse_started = ok;
    for (int i = 0; i < crew->opts.workers && ok; i++) {
        struct ph_worker *w = &crew->workers[i];
        atomic_fetch_add(&crew->running, 1);
        w->started = pthread_create(&w->thread, NULL, ph_worker_main, w) == 0;
        if (!w->started) {
            atomic_fetch_sub(&crew->running, 1);
            ok = ph_err_set(err, PH_FAILED, "cannot start a thread");
        }
    }
    if (!ok) {
        atomic_store(&crew->stop, true);
        ph_crew_join(crew);
    }
    return ok;
}

void ph_crew_join(struct ph_crew *crew)
{
    for (int i = 0; i < crew->opts.workers; i++) {
        struct ph_worker *w = &crew->workers[i];
        if (w->started)
            pthread_join(w->thread, NULL);
        w->started = false;
        unequip(w);
    }
    atomic_store(&crew->pulse_stop, true);
    if (crew->pulse_started)
        pthread_join(crew->pulse, NULL);
    crew->pulse_started = false;
}
