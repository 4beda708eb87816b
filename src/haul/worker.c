/* One worker: claim, hop, claim again; and what becomes of a shard whose hop has failed.
 *
 *     what happened                          the shard                        the worker
 *     landed                                 landed                           goes on with the claim that came along
 *     in a file                              spilled                          likewise
 *     fenced (a newer attempt owns it)       not ours any more                goes on
 *     connection lost, server restarts       given back, not counted          tries again until --max-outage
 *     somebody's lock in the way             given back, not counted          ends our own dead backends, goes on
 *     serialization, deadlock, canceled      back-off; the fifth time parks   goes on
 *     anything else (bad data, constraint)   parked with its error            goes on
 *     of an upsert: a unique value of        likewise; and tried once more, when others have landed
 *     another row
 *     paused for longer than a moment       given back, not counted          rests
 *     file system of the files full          given back, not counted          waits, or takes another way
 *     file damaged or missing                planned again: the source has it goes on; from an archive: parked
 *     snapshot gone                          given back                       ends: the job must recover first
 *     relation replaced                      given back                       the whole run ends
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "haul/crew.h"
#include "haul/misfit.h"

/* Attempts after which a connection that is lost in the middle of a shard counts as its failure. */
enum { DEADLY = 10 };

static bool must_stop(const struct ph_crew *crew)
{
    return atomic_load(&crew->stop) || atomic_load(&crew->snapshot_gone) ||
           ph_interrupt_at(crew->opts.interrupt, 1);
}

/* 0.1 s doubling up to 5 s, times 0.5 to 1.5 so that workers do not come back in step. */
static double back_off(struct ph_worker *w)
{
    double delay = 0.1;
    for (unsigned i = 0; i < w->failures && delay < 5; i++)
        delay *= 2;
    if (delay > 5)
        delay = 5;
    w->failures++;
    return delay * (0.5 + (double)rand_r(&w->seed) / RAND_MAX);
}

static void rest(struct ph_worker *w, double seconds)
{
    double until = ph_clock_s() + seconds;
    while (!must_stop(w->crew)) {
        double left = until - ph_clock_s();
        if (left <= 0 || atomic_load(&w->crew->all_done) ||
            !ph_interrupt_sleep(w->crew->opts.interrupt, 1, left < 0.005 ? left : 0.005))
            return;
    }
}

/* A server is lost, or somebody's lock is in the way. False when that has gone on for too long. */
static bool bear_outage(struct ph_worker *w, struct ph_err *err)
{
    struct ph_crew *crew = w->crew;
    double now = ph_clock_s();
    if (err->code == PH_INTERRUPTED)
        return false;
    if (w->outage_since == 0) {
        w->outage_since = now; /* one of the crew says it aloud */
        ph_sight_event(crew, atomic_exchange(&crew->outage, true) ? PH_LOG_INFO : PH_LOG_WARN,
                       "outage", 0, 0, "%s; trying again", err->text);
    }
    atomic_store(&crew->outage, true);
    if (now - w->outage_since > crew->opts.max_outage_s) {
        ph_err_prefix(err, "given up after %.0f s", now - w->outage_since);
        ph_err_hint(err, "run the same command again when the server is back: it goes on");
        err->code = PH_FAILED;
        ph_crew_fail(crew, err);
        return false;
    }
    rest(w, back_off(w));
    return true;
}

static void give_back(struct ph_worker *w, const struct ph_shard *shard, bool counted, bool park,
                      const struct ph_err *why, double delay_s)
{
    struct ph_crew *crew = w->crew;
    struct ph_err err;
    bool parked = false;
    if (!ph_desk_usable(w->desk))
        return; /* asked anew, the ledger gives us the same shard again */
    if (!ph_desk_fail(w->desk, shard, counted, park, why->text, delay_s, &parked, &err)) {
        ph_log(crew->opts.log, PH_LOG_INFO, "%s", err.text);
        return;
    }
    if (parked) {
        atomic_fetch_add(&crew->tabs[shard->tab - 1].parked, 1);
        ph_sight_event(crew, PH_LOG_ERROR, "parked", shard->id, shard->tab,
                       "shard %" PRId64 " of %s is parked: %s", shard->id,
                       shard->table->root_source, why->text);
    }
}

static void evict(struct ph_worker *w, const struct ph_shard *shard)
{
    struct ph_err err;
    int n = 0;
    if (w->desk == &w->pg.base && ph_desk_pg_evict(&w->pg, shard, &n, &err) && n > 0)
        ph_log(w->crew->opts.log, PH_LOG_INFO,
               "ended %d backends that earlier attempts at shard %" PRId64 " left behind", n,
               shard->id);
}

/* An archive's file system is full. To read a shard again only to find it full again would be the source's loss, so we wait for
 * some room that was not there, but not for ever: this file may be smaller. */
static void await_room(struct ph_worker *w, const struct ph_err *err)
{
    static const uint64_t some = (uint64_t)4 << 20;
    uint64_t had = ph_dir_room(w->place.dir);
    if (!atomic_exchange(&w->crew->outage, true))
        ph_log(w->crew->opts.log, PH_LOG_WARN, "%s; waiting for room", err->text);
    for (int i = 0; i < 40 && !must_stop(w->crew) && ph_dir_room(w->place.dir) < had + some; i++)
        rest(w, 0.25);
}

/* The rows are not lost while the source has them. */
static void lose_file(struct ph_worker *w, const struct ph_shard *shard, const struct ph_err *why)
{
    struct ph_crew *crew = w->crew;
    struct ph_err err;
    if (crew->opts.load) {
        give_back(w, shard, true, true, why, 0);
        return;
    }
    ph_sight_event(crew, PH_LOG_WARN, "file_lost", shard->id, shard->tab,
                   "%s; shard %" PRId64 " of %s is read from the source again", why->text,
                   shard->id, shard->table->root_source);
    if (!ph_desk_unsealed(w->desk, shard, why->text, &err)) {
        ph_log(crew->opts.log, PH_LOG_INFO, "%s", err.text);
        return;
    }
    atomic_fetch_sub(&crew->tabs[shard->tab - 1].weight_spilled, shard->weight);
    ph_roster_planned(crew->opts.roster, shard->id);
    ph_spill_drop(crew->opts.spill, shard->file);
}

/* Decides what a failed hop means, after so many rows; the table at the head of this file. False: the
 * worker ends. */
static bool handle_failure(struct ph_worker *w, const struct ph_shard *shard, uint64_t rows,
                           struct ph_err *err)
{
    struct ph_crew *crew = w->crew;
    bool tries = err->code != PH_INTERRUPTED && err->code != PH_FENCED && err->code != PH_PAUSED;
    atomic_fetch_add(&crew->retries, tries);
    switch (err->code) {
    case PH_PAUSED:
        give_back(w, shard, false, false, &(struct ph_err){0}, 0);
        return true;
    case PH_INTERRUPTED:
        return false;
    case PH_FENCED:
        return true;
    case PH_SNAPSHOT_GONE:
        give_back(w, shard, false, false, err, 0);
        atomic_store(&crew->snapshot_gone, true);
        return false;
    case PH_RELATION:
        give_back(w, shard, false, false, err, 0);
        ph_crew_fail(crew, err);
        return false;
    case PH_BUSY:
        give_back(w, shard, false, false, err, 0.2);
        evict(w, shard);
        return bear_outage(w, err);
    case PH_CONNECTION:
        /* Rows had passed, so this outage is a new one. A shard that loses its connection in the
         * middle again and again may be what kills the server: then it is its own failure. */
        if (rows > 0)
            w->outage_since = 0;
        give_back(w, shard, rows > 0 && shard->attempt >= DEADLY, false, err, 0);
        return bear_outage(w, err);
    case PH_NO_ROOM:
        give_back(w, shard, false, false, err, 0);
        if (crew->opts.extract)
            await_room(w, err);
        return true;
    case PH_DAMAGED:
        lose_file(w, shard, err);
        return true;
    default:
        break;
    }
    ph_sight_event(crew, err->transient ? PH_LOG_WARN : PH_LOG_INFO, "retry", shard->id, shard->tab,
                   "shard %" PRId64 " of %s, attempt %d: %s%s%s", shard->id,
                   shard->table->root_source, shard->attempt, err->text,
                   err->hint[0] ? "; hint: " : "", err->hint);
    /* the row in the way may be one that another shard brings up to date */
    atomic_fetch_add(&crew->crossed,
                     crew->opts.mode == PH_UPSERT && !strcmp(err->sqlstate, "23505"));
    give_back(w, shard, true, !err->transient, err, err->transient ? back_off(w) : 0);
    return true;
}

/* What became of it: "landed" or "spilled". */
static void say_done(struct ph_worker *w, const char *what, const struct ph_shard *shard,
                     const struct ph_tally *tally)
{
    ph_log_event(w->crew->opts.log, PH_LOG_DEBUG,
                 &(struct ph_log_fields){.event = what,
                                         .shard = shard->id,
                                         .table = shard->table->root_source,
                                         .attempt = shard->attempt,
                                         .rows = tally->rows,
                                         .bytes = tally->bytes},
                 "shard %" PRId64 " of %s %s: %" PRIu64 " rows", shard->id,
                 shard->table->root_source, what, tally->rows);
}

static void count_landing(struct ph_worker *w, const struct ph_shard *shard,
                          const struct ph_tally *tally)
{
    struct ph_crew *crew = w->crew;
    struct ph_crew_tab *tab = &crew->tabs[shard->tab - 1];
    uint64_t now = ph_clock_ns();
    say_done(w, crew->opts.extract ? "spilled" : "landed", shard, tally);
    atomic_fetch_add(&tab->rows, tally->rows);
    atomic_fetch_add(&tab->bytes, tally->bytes);
    atomic_fetch_add(&tab->weight_done, shard->weight);
    atomic_fetch_add(&tab->landed, 1);
    atomic_store(&tab->last_ns, now);
    atomic_fetch_add(&crew->run_rows, tally->rows);
    atomic_fetch_add(&crew->run_bytes, tally->bytes);
    atomic_fetch_add(&crew->run_shards, 1);
    atomic_store(&crew->last_landed_ns, now);
    atomic_store(&crew->outage, false);
    if (crew->opts.roster && !crew->opts.extract)
        ph_roster_landed(crew->opts.roster, shard->id, shard->table->target_unlogged);
    w->outage_since = 0;
    w->failures = 0;
}

/* A shard that went through a file on its way. */
static void count_file_landed(struct ph_worker *w, const struct ph_shard *shard)
{
    struct ph_crew *crew = w->crew;
    if (!crew->opts.spill || !shard->file)
        return;
    atomic_fetch_sub(&crew->tabs[shard->tab - 1].weight_spilled, shard->weight);
    ph_spill_landed(crew->opts.spill, shard->file);
}

/* For the history of an extract. */
static void note_file(struct ph_worker *w, const struct ph_shard *shard,
                      const struct ph_tally *tally)
{
    ph_sight_file(w->crew, &(struct ph_history_bar){.slot = w->slot,
                                                    .from = w->begun_s,
                                                    .to = ph_clock_s(),
                                                    .shard = shard->id,
                                                    .tab = shard->tab,
                                                    .rows = tally->rows,
                                                    .bytes = tally->bytes,
                                                    .attempt = shard->attempt});
}

static void count_sealed(struct ph_worker *w, const struct ph_shard *shard,
                         const struct ph_tally *tally)
{
    struct ph_crew *crew = w->crew;
    if (crew->opts.extract) {
        count_landing(w, shard, tally);
        note_file(w, shard, tally);
    } else {
        atomic_fetch_add(&crew->tabs[shard->tab - 1].weight_spilled, shard->weight);
        say_done(w, "spilled", shard, tally);
    }
    w->failures = 0;
}

static bool fill_shard(const struct ph_crew *crew, const struct ph_claim *claim,
                       struct ph_shard *shard, struct ph_err *err)
{
    if (claim->tab < 1 || claim->tab > crew->n_tabs)
        return ph_err_set(err, PH_FAILED, "the ledger names a table that the plan does not have");
    const struct ph_table *table = crew->tabs[claim->tab - 1].table;
    *shard = (struct ph_shard){
        .id = claim->shard,
        .tab = claim->tab,
        .table = table,
        .format = table->format,
        .where = claim->where,
        .weight = claim->weight,
        .attempt = claim->attempt,
        .redo_xid = claim->redo_xid,
        .redo_rows = claim->redo_rows,
        .file = claim->file,
        .snapshot = claim->snapshot,
        .expect = claim->file ? &claim->tally : NULL,
    };
    return true;
}

/* The ends of each way, and what it counts as. */
static bool run_way(struct ph_worker *w, enum ph_way way, const struct ph_shard *shard,
                    struct ph_tally *tally, struct ph_err *err)
{
    struct ph_crew *crew = w->crew;
    const struct ph_brake brake = {ph_throttle_wait, &w->brake};
    if (way != PH_WAY_DIRECT && !ph_worker_files(w, err))
        return false;
    ph_throttle_begin(&w->brake, crew->opts.throttle,
                      (way != PH_WAY_LOAD ? PH_AT_SOURCE : 0) |
                          (way != PH_WAY_SPILL ? PH_AT_TARGET : 0));
    w->gauge.flow = way == PH_WAY_SPILL ? &crew->to_files : &crew->to_target;
    bool ok = ph_hop_run(way == PH_WAY_LOAD ? w->file_source : w->source,
                         way == PH_WAY_SPILL ? w->file_sink : w->sink, shard, tally, &w->gauge,
                         &brake, err);
    ph_throttle_end(&w->brake);
    return ok;
}

static bool hop(struct ph_worker *w, enum ph_way way, const struct ph_shard *shard,
                struct ph_tally *tally, struct ph_err *err)
{
    struct ph_crew *crew = w->crew;
    uint64_t begin = ph_clock_ns(), none = 0;
    atomic_compare_exchange_strong(&crew->tabs[shard->tab - 1].first_ns, &none, begin);
    w->begun_s = (double)begin / 1e9;
    atomic_store(&w->weight, shard->weight);
    atomic_store(&w->way, way);
    atomic_store(&w->tab, shard->tab);
    /* the second claim of a spilled shard is its first attempt at the target */
    if (way != PH_WAY_SPILL && shard->attempt > 1 + (way == PH_WAY_LOAD))
        evict(w, shard);
    ph_log_event(crew->opts.log, PH_LOG_DEBUG,
                 &(struct ph_log_fields){.event = "claimed",
                                         .shard = shard->id,
                                         .table = shard->table->root_source,
                                         .attempt = shard->attempt},
                 "shard %" PRId64 " of %s, attempt %d", shard->id, shard->table->root_source,
                 shard->attempt);
    bool ok = run_way(w, way, shard, tally, err);
    atomic_store(&w->tab, 0);
    atomic_store(&w->gauge.rows, 0);
    atomic_store(&w->gauge.bytes, 0);
    return ok;
}

/* A hop has failed for rows that do not fit the target's encoding: they are named; and where so many may be
 * left out, the shard goes without them, straight. */
static bool hop_without(struct ph_worker *w, enum ph_way *way, const struct ph_shard *shard,
                        struct ph_tally *tally, struct ph_err *err)
{
    struct ph_arena arena = {0};
    struct ph_rejects rejects;
    bool ok = false;
    if (ph_misfit_find(w, shard, &arena, &rejects, err)) {
        struct ph_shard rest = *shard;
        rest.rejects = &rejects;
        if (!w->crew->opts.load) { /* a spilled file has all of them; the source leaves them out */
            rest.file = NULL;
            rest.expect = NULL;
            *way = PH_WAY_DIRECT;
        }
        ok = hop(w, *way, &rest, tally, err);
    }
    if (ok)
        ph_sight_event(w->crew, PH_LOG_WARN, "rejected", shard->id, shard->tab,
                       "shard %" PRId64 " of %s: %d rows do not fit the encoding %s and were left"
                       " out, the first is %s%s",
                       shard->id, shard->table->root_source, rejects.n,
                       w->crew->opts.target_encoding, w->crew->opts.load ? "" : "at ctid ",
                       rejects.item[0].place);
    ph_arena_fini(&arena);
    return ok;
}

/* A claim that cannot go its way now: no place at the server, or no room for its file. */
static void put_back(struct ph_worker *w, const struct ph_shard *shard)
{
    struct ph_err none = {0};
    give_back(w, shard, false, false, &none, 0);
    rest(w, 0.05);
}

/* One shard alone. False: the worker ends. */
static bool work_on(struct ph_worker *w, const struct ph_claim *claim, const struct ph_shard *shard)
{
    struct ph_err err = {0};
    struct ph_tally tally;
    struct ph_way_pass pass;
    if (!ph_way_begin(w, claim, &pass)) {
        put_back(w, shard);
        return true;
    }
    w->desk->want = ph_way_want(w); /* for the claim that rides on the commit */
    enum ph_way way = pass.way;
    bool ok = hop(w, way, shard, &tally, &err) ||
              (ph_misfit_is(&err) && !claim->to_file && hop_without(w, &way, shard, &tally, &err));
    ph_way_end(w, &pass, ok, &err);
    if (!ok && claim->to_file && ph_misfit_is(&err)) {
        give_back(w, shard, false, false, &err, 1); /* until it may land, with or without them */
        return true;
    }
    if (!ok)
        return handle_failure(w, shard, tally.rows, &err);
    if (way == PH_WAY_SPILL) {
        count_sealed(w, shard, &tally);
        return true;
    }
    count_landing(w, shard, &tally);
    count_file_landed(w, shard);
    if (PH_FAULT("worker.landed"))
        ph_desk_pg_disconnect(&w->pg);
    return true;
}

/* Tiny shards in one transaction. Whatever fails in it, nothing has landed, and which of them is to
 * blame may not be known (a deferred constraint speaks at COMMIT): all are given back without a
 * mark, and as second attempts they come one by one. */
static bool land_bundle(struct ph_worker *w, const struct ph_shard *shards, int n)
{
    struct ph_err err;
    struct ph_tally tallies[PH_BUNDLE_MAX];
    for (int i = 0; i < n; i++) {
        if (hop(w, PH_WAY_DIRECT, &shards[i], &tallies[i], &err))
            continue;
        for (int k = 0; k < n; k++)
            if (k != i)
                give_back(w, &shards[k], false, false, &err, 0);
        bool of_the_shard = err.code == PH_FAILED || err.code == PH_LANDED;
        if (!of_the_shard)
            return handle_failure(w, &shards[i], tallies[i].rows, &err);
        ph_log(w->crew->opts.log, PH_LOG_INFO, "a bundle of %d shards is taken apart: %s", n,
               err.text);
        give_back(w, &shards[i], false, false, &err, 0);
        atomic_fetch_add(&w->crew->retries, 1);
        return true;
    }
    for (int i = 0; i < n; i++)
        count_landing(w, &shards[i], &tallies[i]);
    return true;
}

/* Whether these claims may share a transaction: nothing about any of them is out of the ordinary. */
static bool can_bundle(const struct ph_crew *crew, const struct ph_shard *shards, int n)
{
    for (int i = 0; i < n; i++)
        if (shards[i].attempt > 1 || shards[i].redo_xid || shards[i].file ||
            shards[i].table->qualify || shards[i].table->target_unlogged ||
            shards[i].table->objects)
            return false;
    return n > 1 && crew->opts.mode != PH_UPSERT;
}

/* Whether they went in one transaction; else nothing was done. *go_on false: the worker ends. */
static bool work_on_bundle(struct ph_worker *w, const struct ph_claim *claims,
                           struct ph_shard *shards, int n, bool *go_on)
{
    struct ph_way_pass pass;
    struct ph_err none = {0};
    if (!can_bundle(w->crew, shards, n) || !ph_way_begin(w, claims, &pass))
        return false;
    bool direct = pass.way == PH_WAY_DIRECT;
    if (direct) {
        for (int i = 0; i < n; i++) {
            shards[i].bundle = shards;
            shards[i].n_bundle = n;
        }
        w->desk->want = ph_way_want(w);
        *go_on = land_bundle(w, shards, n);
    }
    ph_way_end(w, &pass, false, &none);
    return direct;
}

/* All that was claimed at once. False: the worker ends. */
static bool work_on_claims(struct ph_worker *w, const struct ph_claim *given, int n)
{
    struct ph_claim claims[PH_BUNDLE_MAX];
    struct ph_shard shards[PH_BUNDLE_MAX];
    struct ph_err err;
    bool go_on = true;
    /* the desk's texts do not outlive the next answer of the ledger, which comes with each commit */
    for (int i = 0; i < n; i++) {
        claims[i] = given[i];
        claims[i].where = strdup(given[i].where);
        claims[i].file = given[i].file ? strdup(given[i].file) : NULL;
        if (!fill_shard(w->crew, &claims[i], &shards[i], &err)) {
            ph_crew_fail(w->crew, &err);
            go_on = false;
        }
    }
    if (go_on && !work_on_bundle(w, claims, shards, n, &go_on)) {
        for (int i = 0; i < n && go_on; i++) {
            w->desk->hold = i + 1 < n;
            go_on = (i > 0 && must_stop(w->crew)) || work_on(w, &claims[i], &shards[i]);
        }
        w->desk->hold = false;
    }
    for (int i = 0; i < n; i++) {
        free(claims[i].where);
        free(claims[i].file);
    }
    return go_on;
}

/* The ledger in the target, or the roster while that is out of reach and there is room for files. */
static void take_seat(struct ph_worker *w)
{
    struct ph_crew *crew = w->crew;
    struct ph_spill *spill = crew->opts.spill;
    bool local =
        crew->opts.extract || (atomic_load(&crew->target_down) && spill &&
                               spill->opts.when != PH_SPILL_NEVER && ph_spill_has_room(spill));
    w->desk = local ? &w->local.base : &w->pg.base;
}

/* What lies in files that the ledger has not heard of, it must hear of before it hands out claims. */
static bool note_files(struct ph_worker *w, struct ph_err *err)
{
    struct ph_crew *crew = w->crew;
    if (atomic_exchange(&crew->noting, true)) {
        rest(w, 0.02); /* somebody is at it */
        return true;
    }
    bool ok = ph_desk_pg_connect(&w->pg, err) &&
              ph_spill_note(crew->opts.spill, crew->opts.roster, w->pg.conn, crew->opts.job,
                            crew->opts.mover, err);
    atomic_store(&crew->noting, false);
    return ok;
}

/* The ledger does not answer. False: the worker ends. */
static bool bear_silence(struct ph_worker *w, struct ph_err *err)
{
    struct ph_crew *crew = w->crew;
    static const double lost_for_good_s = 0.5; /* a session that was ended is back by then */
    if (err->code == PH_SNAPSHOT_GONE) {
        atomic_store(&crew->snapshot_gone, true);
        return false;
    }
    if (err->code != PH_CONNECTION && !err->transient) {
        ph_crew_fail(crew, err);
        return false;
    }
    ph_desk_recover(w->desk);
    if (w->outage_since > 0 && ph_clock_s() - w->outage_since > lost_for_good_s && !w->pg.conn)
        atomic_store(&crew->target_down, true);
    return bear_outage(w, err);
}

static void run_dry(struct ph_crew *crew)
{
    uint64_t none = 0;
    atomic_compare_exchange_strong(&crew->first_idle_ns, &none, ph_clock_ns());
}

/* There is nothing to claim. False: the worker ends. */
static bool stand_by(struct ph_worker *w, const struct ph_claim *claim)
{
    struct ph_crew *crew = w->crew;
    bool roster = w->desk == &w->local.base;
    if (roster && !crew->opts.extract) {
        struct ph_err err;
        ph_err_set(&err, PH_CONNECTION, "the target cannot be reached");
        atomic_store(&crew->flush, true); /* the pulse looks whether the snapshot can go */
        return bear_outage(w, &err);
    }
    if (claim->remaining == 0) {
        atomic_store(&crew->all_done, true);
        return false;
    }
    if (claim->remaining == claim->stranded) {
        /* a mover that has lost the target for a moment seems dead until it is back */
        static const double patience_s = 5;
        double now = ph_clock_s();
        if (w->stranded_since == 0)
            w->stranded_since = now;
        if (now - w->stranded_since > patience_s) {
            atomic_store(&crew->stranded, claim->stranded);
            return false;
        }
    } else {
        w->stranded_since = 0;
    }
    w->outage_since = 0;
    /* others have the rest in hand; should one of them fail, it is ours */
    run_dry(crew);
    rest(w, claim->wait_s > 0.02 ? claim->wait_s < 0.25 ? claim->wait_s : 0.25 : 0.02);
    return true;
}

/* Whether there is nothing that it may do now: everything is held, fewer workers are wanted, or builders are at
 * work. */
static bool is_laid_off(struct ph_worker *w)
{
    const struct ph_build *build = w->crew->opts.build;
    return w->slot > ph_throttle_workers(w->crew->opts.throttle) ||
           (build && w->slot > ph_build_leaves(build)) || !ph_way_is_open(w);
}

/* Shards that were claimed with the last commit are free for whoever may work. */
static void release_claims(struct ph_worker *w)
{
    const struct ph_claim *claims;
    struct ph_shard shard;
    struct ph_err err;
    int n = 0;
    if (w->desk != &w->pg.base || !w->pg.have_claim || !ph_desk_claim(w->desk, &claims, &n, &err))
        return;
    for (int i = 0; i < n; i++)
        if (claims[i].shard && fill_shard(w->crew, &claims[i], &shard, &err))
            give_back(w, &shard, false, false, &(struct ph_err){0}, 0);
}

/* Rests until there is something to do, or nothing will be any more. False: the worker ends. */
static bool rest_laid_off(struct ph_worker *w)
{
    struct ph_crew *crew = w->crew;
    struct ph_throttle *throttle = crew->opts.throttle;
    release_claims(w);
    while (!must_stop(crew) && is_laid_off(w)) {
        if (atomic_load(&crew->all_done) || atomic_load(&crew->stranded))
            return false;
        uint64_t before = ph_clock_ns();
        ph_interrupt_sleep(crew->opts.interrupt, 1, 0.02);
        if (ph_throttle_held(throttle))
            ph_throttle_rested(throttle, ph_clock_ns() - before);
    }
    return true;
}

void *ph_worker_main(void *arg)
{
    struct ph_worker *w = arg;
    struct ph_crew *crew = w->crew;
    for (bool go_on = true; go_on && !must_stop(crew);) {
        const struct ph_claim *claims;
        int n = 0;
        struct ph_err err;
        take_seat(w);
        if (is_laid_off(w)) {
            go_on = rest_laid_off(w);
            continue;
        }
        bool ledger = w->desk == &w->pg.base;
        if (ledger && crew->opts.spill && ph_roster_has_unnoted(crew->opts.roster)) {
            go_on = note_files(w, &err) || bear_silence(w, &err);
            continue;
        }
        w->desk->want = ph_way_want(w);
        if (!ph_desk_claim(w->desk, &claims, &n, &err))
            go_on = bear_silence(w, &err);
        else if (claims->shard == 0)
            go_on = stand_by(w, claims);
        else
            go_on = work_on_claims(w, claims, n);
    }
    run_dry(crew);
    return NULL;
}
