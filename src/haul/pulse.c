/* The pulse: one thread that keeps the job alive while the crew works.
 *
 *     every 5 s, or when asked    the heart beats; that commit is flushed, so whatever landed before it is safe: spill files
 *                                 of such shards go
 *     every second                of an extract, whose ledger is its directory: its journal
 *     after it                    when nobody will read from the source any more, the snapshot is let go; so it beats at once when
 *                                 our own roster has nothing left to read
 *     when the target is lost     it is tried again, twice a second; when it is back, so are the workers
 *     every 250 ms                how fast the target takes rows, and whether that is slow
 *     every 400 ms                what the ledger's control wishes, and how many movers share the rates
 *     every 100 ms                guards that are not heard of any more; rates as the timetable has them; workers as they are wanted,
 *                                 and, with --jobs auto, whether another number of them moves more
 *
 * The snapshot may go, while there are files to load or indexes to build, when every shard is in a file or safe in the target: by the ledger, or, while that is out of reach, by our own
 * roster, provided that no other mover works on the job.
 */
#include <stdio.h>

#include "base/clock.h"
#include "haul/climb.h"
#include "haul/crew.h"
#include "ledger/pg.h"

enum { BEAT_S = 5, WINDOW = 16 /* samples of 250 ms */ };
static const double flush_s = 1, hurry_s = 0.1, retry_s = 0.5, sample_s = 0.25, look_s = 0.4,
                    settle_s = 0.1,
                    hold_s = 1; /* a target that was held back counts as held back for so long */
static const double lasts_s =
    0.4; /* of a pause that is worth a word: guards hold at the start for a moment */

struct pulse {
    struct ph_crew *crew;
    double beat_at, retry_at, sample_at, look_at,
        settle_at; /* retry_at: not before, since it has just failed */
    double held_until;
    bool drained; /* it has been noticed that nothing is left to read */
    struct ph_climb climb;
    double paused_at; /* 0: it is not */
    bool said_paused;
    struct sample {
        uint64_t bytes, rows, source_ns, target_ns;
    } window[WINDOW];
    unsigned samples;
    double best_bytes, best_rows; /* of a window, so far */
};

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
                               .encoding = crew->opts.encoding,
                               .interrupt = crew->opts.interrupt,
                               .interrupt_level = 2};
    int64_t lost = 0;
    if (!ph_conn_open(crew->control, &how, &err))
        return;
    bool ok = ph_ledger_hold_again(*crew->control, crew->opts.mover, &err) &&
              ph_ledger_lost(*crew->control, crew->opts.job, &lost, &err) &&
              (!crew->opts.spill || ph_spill_recheck(crew->opts.spill, crew->opts.roster,
                                                     *crew->control, crew->opts.job, &err));
    if (!ok) { /* it will be tried again */
        ph_log(crew->opts.log, PH_LOG_DEBUG, "%s", err.text);
        ph_conn_close(*crew->control);
        *crew->control = NULL;
    }
    if (lost > 0)
        ph_log(
            crew->opts.log, PH_LOG_WARN,
            "%lld shards of unlogged tables vanished with the target's crash and are copied again",
            (long long)lost);
}

/* Letting the snapshot go. */

static void let_go(struct ph_crew *crew, bool target)
{
    if (atomic_load(&crew->released_ns) == 0) {
        atomic_store(&crew->released_ns, ph_clock_ns());
        ph_sight_event(crew, PH_LOG_NOTE, "snapshot_released", 0, 0,
                       "everything has been read: the source's snapshot is let go%s",
                       target ? "" : ", though the target is out of reach");
    }
    crew->opts.let_go(crew->opts.let_go_arg,
                      (double)(ph_clock_ns() - atomic_load(&crew->released_ns)) / 1e9, target);
    crew->snapshot_released = target; /* else the ledger is still to be told */
}

/* Whether there is something left to do when the source has been read: otherwise the run's end is near. */
static bool outlasts_source(const struct ph_crew *crew)
{
    return crew->opts.spill ||
           (!crew->opts.load && crew->opts.build && atomic_load(&crew->opts.build->planned) > 0);
}

static void look_by_ledger(struct ph_crew *crew, const struct ph_pulse *heard)
{
    if (!outlasts_source(crew) || crew->snapshot_released)
        return;
    bool all_noted = !crew->opts.spill || !ph_roster_has_unnoted(crew->opts.roster);
    if (atomic_load(&crew->released_ns) > 0 || (!heard->needs_source && all_noted))
        let_go(crew, true);
}

static void look_by_roster(struct ph_crew *crew)
{
    if (crew->opts.spill && atomic_load(&crew->released_ns) == 0 &&
        atomic_load(&crew->target_down) && atomic_load(&crew->others) == 0 &&
        ph_roster_is_drained(crew->opts.roster))
        let_go(crew, false);
}

/* Beating. */

static bool beat(struct ph_crew *crew)
{
    struct ph_err err;
    struct ph_pulse heard = {0};
    uint64_t before = ph_clock_ns();
    if (!ph_conn_ok(*crew->control) ||
        !ph_ledger_beat(*crew->control, crew->opts.job, crew->opts.mover, &heard, &err))
        return false;
    atomic_store(&crew->others, heard.others);
    atomic_store(&crew->target_down, false);
    if (crew->opts.spill) {
        ph_roster_flushed(crew->opts.roster, before);
        ph_spill_sweep(crew->opts.spill, before);
    }
    look_by_ledger(crew, &heard);
    return true;
}

/* The source has given all it has, as far as this mover knows: told once, for by the ledger others may have to read on. Where
 * nothing is left to do besides, the run's end is nearer than a beat, and lets the snapshot go itself. */
static bool has_just_drained(struct pulse *p)
{
    struct ph_crew *crew = p->crew;
    bool ends = atomic_load(&crew->all_done) &&
                (!crew->opts.build || atomic_load(&crew->opts.build->planned) == 0);
    if (!crew->opts.spill || ends || p->drained || atomic_load(&crew->released_ns) > 0 ||
        ph_roster_unread(crew->opts.roster) > 0 || ph_roster_has_unnoted(crew->opts.roster))
        return false;
    p->drained = true;
    return true;
}

/* The snapshot is to go as soon as it can, and so are files, the more so where there is no room for others: then the beat does
 * not wait its five seconds. */
static bool wants_beat(struct pulse *p, double now)
{
    struct ph_crew *crew = p->crew;
    struct ph_spill *spill = crew->opts.spill;
    double due = p->beat_at, wait = BEAT_S;
    if (now >= p->retry_at && has_just_drained(p))
        return true;
    if (spill && ph_spill_has_landed(spill))
        wait = ph_spill_has_room(spill) ? flush_s : hurry_s;
    else if (spill && atomic_load(&crew->flush))
        wait = flush_s;
    if (due > p->beat_at - BEAT_S + wait)
        due = p->beat_at - BEAT_S + wait;
    return now >= due && now >= p->retry_at;
}

/* An extract has nobody to tell that it lives; its lock says so. */
static void keep_journal(struct pulse *p, double now)
{
    if (now < p->retry_at)
        return;
    p->retry_at = now + flush_s;
    ph_sight_write(p->crew, NULL);
}

static void keep_alive(struct pulse *p)
{
    struct ph_crew *crew = p->crew;
    double now = ph_clock_s();
    if (crew->opts.extract) {
        keep_journal(p, now);
        return;
    }
    if (!wants_beat(p, now))
        return;
    atomic_store(&crew->flush, false);
    ph_sight_write(crew, *crew->control); /* first: the beat's commit flushes it */
    bool ok = beat(crew);
    p->retry_at = ok ? 0 : ph_clock_s() + retry_s;
    p->beat_at = ok ? ph_clock_s() + BEAT_S : p->retry_at;
    if (ok)
        return;
    look_by_roster(crew);
    if (!ph_interrupt_at(crew->opts.interrupt, 2))
        come_back(crew);
}

/* Pressure. */

static struct sample take_sample(struct ph_crew *crew)
{
    struct sample s = {.bytes = atomic_load(&crew->to_target.bytes),
                       .rows = atomic_load(&crew->to_target.rows)};
    uint64_t ns[PH_N_STAGES] = {0};
    for (int i = 0; i < atomic_load(&crew->hired); i++)
        ph_hop_stages(&crew->workers[i].gauge, 0, ns);
    s.source_ns = ns[PH_STAGE_SOURCE_WAIT] + ns[PH_STAGE_SPILL_READ];
    s.target_ns = ns[PH_STAGE_TARGET_WAIT] + ns[PH_STAGE_COMMIT_WAIT];
    return s;
}

/* Below half of its own earlier rate, in bytes and in rows (another table may have wider ones), while workers wait for the
 * target and hardly for the source; over a few seconds in which there was always somebody to land something. */
static bool is_slow(struct pulse *p)
{
    struct ph_crew *crew = p->crew;
    if (atomic_load(&crew->landing) == 0)
        p->samples = 0;
    struct sample now = take_sample(crew), *place = &p->window[p->samples++ % WINDOW], old = *place;
    *place = now;
    if (p->samples <= WINDOW)
        return false;
    double bytes = (double)(now.bytes - old.bytes), rows = (double)(now.rows - old.rows);
    bool pressed = atomic_load(&crew->pressure);
    if (!pressed) {
        p->best_bytes = bytes > p->best_bytes ? bytes : p->best_bytes;
        p->best_rows = rows > p->best_rows ? rows : p->best_rows;
    }
    bool by_target = pressed || now.target_ns - old.target_ns > 2 * (now.source_ns - old.source_ns);
    double enough = pressed ? 1.5 : 2; /* hysteresis */
    return by_target && bytes < p->best_bytes / enough && rows < p->best_rows / enough;
}

static void feel(struct pulse *p)
{
    struct ph_crew *crew = p->crew;
    double now = ph_clock_s();
    if (!crew->opts.spill || crew->opts.spill->opts.when != PH_SPILL_AUTO || now < p->sample_at)
        return;
    p->sample_at = now + sample_s;
    bool still = now < p->held_until;
    if (ph_throttle_holds_target(crew->opts.throttle, still))
        p->held_until = now + hold_s;
    bool held = now < p->held_until;
    bool slow = is_slow(p);
    bool pressed = atomic_exchange(&crew->pressure, held || slow);
    if ((held || slow) && !pressed)
        ph_sight_event(crew, PH_LOG_INFO, "spilling", 0, 0,
                       "the target is %s: what is read goes into files",
                       held ? "held back" : "slow");
    else if (pressed && !held && !slow)
        ph_sight_event(crew, PH_LOG_INFO, "unspilling", 0, 0,
                       "the target keeps up: what is read goes straight to it");
}

/* Steering. */

/* What the ledger has to say may wait while it is out of reach: keep_alive brings it back. */
static void exchange(struct pulse *p, double now)
{
    struct ph_crew *crew = p->crew;
    struct ph_err err;
    if (crew->opts.extract || now < p->look_at)
        return;
    p->look_at = now + look_s;
    if (!ph_conn_ok(*crew->control) || !ph_control_exchange(crew->opts.control, *crew->control,
                                                            crew->opts.job, crew->opts.mover, &err))
        p->beat_at = now; /* a broken connection is noticed and made anew there */
}

static void say_pause(struct pulse *p)
{
    struct ph_crew *crew = p->crew;
    char why[PH_REASON_TEXT];
    enum ph_hold_kind kind;
    bool paused = false;
    bool held = ph_throttle_reason(crew->opts.throttle, why, &kind, &paused) && paused;
    double now = ph_clock_s();
    p->paused_at = !held ? 0 : p->paused_at > 0 ? p->paused_at : now;
    bool lasts = held && now - p->paused_at > lasts_s;
    if (lasts && !p->said_paused)
        ph_log(crew->opts.log, PH_LOG_NOTE, "paused: %s", why);
    else if (!held && p->said_paused)
        ph_log(crew->opts.log, PH_LOG_NOTE, "it goes on");
    p->said_paused = held && (lasts || p->said_paused);
}

/* The number of workers that moves most. It is looked for while nothing but the servers sets the pace, and before the end draws
 * near. */
static void climb(struct pulse *p, double now)
{
    struct ph_crew *crew = p->crew;
    char why[PH_REASON_TEXT];
    enum ph_hold_kind kind;
    bool paused, held = ph_throttle_reason(crew->opts.throttle, why, &kind, &paused);
    if (crew->opts.climbs_to == 0)
        return;
    bool steady = !held && atomic_load(&crew->first_idle_ns) == 0 && !atomic_load(&crew->outage) &&
                  !atomic_load(&crew->pressure) && !atomic_load(&crew->stop);
    int before = p->climb.at;
    int n = ph_climb_look(&p->climb, now,
                          atomic_load(&crew->to_target.bytes) + atomic_load(&crew->to_files.bytes),
                          steady);
    ph_throttle_try_jobs(crew->opts.throttle, n);
    if (p->climb.at != before)
        ph_log(crew->opts.log, PH_LOG_NOTE, "%d workers move more than %d: it goes on with %d",
               p->climb.at, before, p->climb.at);
}

static void steer(struct pulse *p)
{
    struct ph_crew *crew = p->crew;
    double now = ph_clock_s();
    exchange(p, now);
    if (now < p->settle_at)
        return;
    p->settle_at = now + settle_s;
    ph_guards_look(crew->opts.guards);
    ph_throttle_settle(crew->opts.throttle);
    say_pause(p);
    climb(p, now);
    while (atomic_load(&crew->hired) < ph_throttle_jobs(crew->opts.throttle))
        if (!ph_crew_hire(crew))
            break;
}

void *ph_pulse_main(void *arg)
{
    struct pulse p = {.crew = arg, .beat_at = ph_clock_s() + BEAT_S};
    if (p.crew->opts.control && p.crew->opts.control->heard >= 0)
        p.look_at = ph_clock_s() + look_s; /* the ledger has been asked for its wishes just now */
    ph_climb_begin(&p.climb, p.crew->opts.workers, 1, p.crew->opts.climbs_to);
    while (!atomic_load(&p.crew->pulse_stop)) {
        keep_alive(&p);
        steer(&p);
        feel(&p);
        ph_sight_look(p.crew, false);
        ph_sight_ask(p.crew, *p.crew->control);
        ph_crew_nap(p.crew); /* short: the source pays for a late release */
    }
    return NULL;
}
