#include "haul/crew.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "sink/archive.h"
#include "sink/pg.h"
#include "source/archive.h"
#include "source/pg.h"

bool ph_crew_init(struct ph_crew *crew, const struct ph_crew_opts *opts, struct ph_err *err)
{
    *crew = (struct ph_crew){.opts = *opts};
    if (crew->opts.most_workers < opts->workers)
        crew->opts.most_workers = opts->workers;
    /* pages that nobody touches cost nothing */
    crew->workers = calloc((size_t)crew->opts.most_workers, sizeof *crew->workers);
    crew->sight = calloc(1, sizeof *crew->sight);
    pthread_mutex_init(&crew->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&crew->bell, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (crew->sight)
        ph_sight_init(crew->sight);
    return (crew->workers && crew->sight) || ph_err_nomem(err);
}

void ph_crew_nap(struct ph_crew *crew)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 10000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&crew->lock);
    if (!atomic_load(&crew->pulse_stop)) /* else the bell has rung already, for the last time */
        pthread_cond_timedwait(&crew->bell, &crew->lock, &until);
    pthread_mutex_unlock(&crew->lock);
}

void ph_crew_ring(struct ph_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    pthread_cond_broadcast(&crew->bell);
    pthread_mutex_unlock(&crew->lock);
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

/* Phases. */

static bool equip_target(struct ph_crew *crew, struct ph_worker *w, struct ph_conn *ready,
                         struct ph_err *err)
{
    struct ph_conn_opts target = {.dsn = crew->opts.target,
                                  .application_name = w->name,
                                  .encoding = crew->opts.encoding,
                                  .interrupt = crew->opts.interrupt};
    const char *holder = crew->opts.load ? "" : crew->opts.spill ? crew->opts.spill->holder : NULL;
    ph_desk_pg_init(&w->pg, &(struct ph_desk_pg_opts){
                                .conn = target,
                                .tag = crew->opts.tag,
                                .job = crew->opts.job,
                                .mover = crew->opts.mover,
                                .slot = w->slot,
                                .snapshot = crew->snapshot_no,
                                .moment = crew->opts.load ? NULL : crew->pg_snapshot,
                                .holder = holder,
                                .ready = ready,
                            });
    w->desk = &w->pg.base;
    return ph_sink_pg_new(&w->sink,
                          &(struct ph_sink_pg_opts){.desk = &w->pg,
                                                    .mode = crew->opts.mode,
                                                    .fire_triggers = crew->opts.fire_triggers,
                                                    .skip_triggers = crew->opts.skip_triggers},
                          err);
}

static bool equip_source(struct ph_crew *crew, struct ph_worker *w, struct ph_conn *ready,
                         struct ph_err *err)
{
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
                                                        .gate = crew->opts.gate,
                                                        .ready = ready},
                            err);
}

static bool equip(struct ph_crew *crew, struct ph_worker *w, int slot, struct ph_err *err)
{
    w->crew = crew;
    w->slot = slot;
    w->seed = (unsigned)(ph_clock_ns() ^ (unsigned)slot * 2654435761u);
    w->outage_since = 0;
    w->failures = 0;
    snprintf(w->name, sizeof w->name, "pghaul/%s/%d", crew->opts.tag, slot);
    if (crew->opts.roster)
        ph_desk_local_init(&w->local, crew->opts.roster, !crew->opts.extract);
    w->desk = &w->local.base;
    struct ph_conn *source = NULL, *target = NULL;
    if (crew->opts.ahead)
        ph_ahead_take(crew->opts.ahead, slot, &source, &target);
    return (crew->opts.extract || equip_target(crew, w, target, err)) &&
           (crew->opts.load || equip_source(crew, w, source, err));
}

/* Sources and sinks of files, where they are needed: many runs need none. In the worker's own thread. */
bool ph_worker_files(struct ph_worker *w, struct ph_err *err)
{
    struct ph_crew *crew = w->crew;
    bool archive = crew->opts.extract || crew->opts.load, open = false;
    if (w->file_source && (archive || w->made == atomic_load(&crew->opts.spill->made)))
        return true;
    if (!archive) {
        if (!ph_spill_open(crew->opts.spill, true, &open, err))
            return false;
        if (!open)
            return ph_err_set(err, PH_FAILED, "the spill directory %s cannot be used",
                              crew->opts.spill->path);
        w->made = atomic_load(&crew->opts.spill->made);
        ph_spill_place(crew->opts.spill, &w->place);
    } else {
        w->place = crew->opts.place;
    }
    if (w->slot > 1)
        w->place.log = NULL; /* they all find the same */
    if (w->file_source)
        return true;
    const struct ph_sink_archive_opts sink = {
        .place = &w->place,
        .roster = crew->opts.roster,
        .desk = &w->desk,
        .compress = archive ? crew->opts.compress : crew->opts.spill->opts.compress,
        .one_name = archive,
        .encoding = crew->opts.encoding,
        .snapshot = crew->snapshot_no,
        .pg_snapshot = crew->pg_snapshot,
        .lsn = crew->lsn,
    };
    return ph_source_archive_new(&w->file_source, &w->place, err) &&
           ph_sink_archive_new(&w->file_sink, &sink, err);
}

static void free_source(struct ph_source **source)
{
    if (*source)
        (*source)->ops->free(*source);
    *source = NULL;
}

static void free_sink(struct ph_sink **sink)
{
    if (*sink)
        (*sink)->ops->free(*sink);
    *sink = NULL;
}

static void unequip(struct ph_worker *w)
{
    free_source(&w->source);
    free_sink(&w->sink);
    if (!w->crew || !w->crew->opts.extract)
        ph_desk_pg_fini(&w->pg);
}

/* A ring belongs to the thread that made it. */
static void *worker_main(void *arg)
{
    struct ph_worker *w = arg;
    ph_worker_main(w);
    free_source(&w->file_source);
    free_sink(&w->file_sink);
    ph_place_fini(&w->place);
    atomic_fetch_sub(&w->crew->running, 1);
    ph_crew_ring(w->crew);
    return NULL;
}

static void dismiss(struct ph_crew *crew)
{
    for (int i = 0; i < atomic_load(&crew->hired); i++)
        unequip(&crew->workers[i]);
}

void ph_crew_fini(struct ph_crew *crew)
{
    dismiss(crew);
    if (crew->sight)
        ph_sight_fini(crew->sight);
    free(crew->sight);
    free(crew->workers);
    free(crew->tabs);
    pthread_cond_destroy(&crew->bell);
    pthread_mutex_destroy(&crew->lock);
}

static bool start_worker(struct ph_crew *crew, struct ph_worker *w)
{
    atomic_fetch_add(&crew->running, 1);
    w->started = pthread_create(&w->thread, NULL, worker_main, w) == 0;
    if (!w->started)
        atomic_fetch_sub(&crew->running, 1);
    return w->started;
}

bool ph_crew_hire(struct ph_crew *crew)
{
    struct ph_err err;
    int n = atomic_load(&crew->hired);
    if (n >= crew->opts.most_workers || atomic_load(&crew->running) == 0)
        return false;
    struct ph_worker *w = &crew->workers[n];
    if (!equip(crew, w, n + 1, &err)) {
        ph_log(crew->opts.log, PH_LOG_WARN, "no more workers: %s", err.text);
        unequip(w);
        return false;
    }
    if (!start_worker(crew, w)) {
        unequip(w);
        return false;
    }
    /* not before: who joins the crew looks at as many as are hired */
    atomic_store(&crew->hired, n + 1);
    ph_throttle_crew(crew->opts.throttle, n + 1);
    return true;
}

bool ph_crew_start(struct ph_crew *crew, struct ph_conn **control, struct ph_err *err)
{
    dismiss(crew);
    crew->control = control;
    atomic_store(&crew->snapshot_gone, false);
    atomic_store(&crew->all_done, false);
    atomic_store(&crew->first_idle_ns, 0);
    atomic_store(&crew->pulse_stop, false);
    atomic_store(&crew->running, 0);
    atomic_store(&crew->reading, 0);
    atomic_store(&crew->landing, 0);
    atomic_store(&crew->stranded, 0);
    atomic_store(&crew->crossed, 0);
    atomic_store(&crew->target_down, false);
    atomic_store(&crew->pressure, false);
    crew->snapshot_released = false;
    atomic_store(&crew->hired, crew->opts.workers);
    ph_throttle_crew(crew->opts.throttle, crew->opts.workers);
    ph_control_serve(crew->opts.control);
    ph_guards_watch(crew->opts.guards, crew->opts.tag);
    bool ok = true;
    for (int i = 0; i < crew->opts.workers && ok; i++)
        ok = equip(crew, &crew->workers[i], i + 1, err);
    if (crew->opts.ahead)
        ph_ahead_end(crew->opts.ahead); /* of workers that the job turned out not to need */
    if (ok && pthread_create(&crew->pulse, NULL, ph_pulse_main, crew) != 0)
        ok = ph_err_set(err, PH_FAILED, "cannot start a thread");
    crew->pulse_started = ok;
    for (int i = 0; i < crew->opts.workers && ok; i++)
        ok = start_worker(crew, &crew->workers[i]) ||
             ph_err_set(err, PH_FAILED, "cannot start a thread");
    if (!ok) {
        atomic_store(&crew->stop, true);
        ph_crew_join(crew);
    }
    return ok;
}

static void join_workers(struct ph_crew *crew)
{
    for (int i = 0; i < atomic_load(&crew->hired); i++) {
        struct ph_worker *w = &crew->workers[i];
        if (w->started)
            pthread_join(w->thread, NULL);
        w->started = false;
    }
}

void ph_crew_join(struct ph_crew *crew)
{
    join_workers(crew);
    atomic_store(&crew->pulse_stop, true);
    ph_crew_ring(crew);
    if (crew->pulse_started)
        pthread_join(crew->pulse, NULL);
    crew->pulse_started = false;
    join_workers(crew); /* whom the pulse has hired meanwhile */
    if (!atomic_load(&crew->all_done))
        dismiss(
            crew); /* else the run's end comes first: a backend that ends keeps a core busy for milliseconds */
    ph_control_still(crew->opts.control);
    ph_guards_rest(crew->opts.guards);
}
