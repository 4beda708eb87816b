/* By which way a shard goes.
 *
 *     --spill     the target is           a worker takes                    and it goes
 *     never       whatever                spilled of an earlier run, planned  straight across
 *     always      whatever                planned, then spilled             by way of a file
 *     auto        well                    spilled, then planned             straight across
 *     not never   held (paused)         planned                           by way of a file
 *     auto        slow or held back       planned, then spilled             by way of a file; one worker keeps landing
 *     both        out of reach            what the roster knows             into a file
 *
 * "Spilled" is always what lies in a file of ours. Where there is no room, nothing is spilled: `always` waits, `auto` goes straight.
 */
#include "haul/crew.h"

#include "sink/archive.h"

/* Whether others have all the places; one's own is free by the time that it matters. */
static bool at_limit(_Atomic int *places, bool own, int limit)
{
    return atomic_load(places) - own >= limit;
}

static bool is_held(struct ph_crew *crew, unsigned side)
{
    return ph_throttle_held(crew->opts.throttle) & side;
}

/* Whether what is to be read should go into files now. */
static bool is_spilling(struct ph_crew *crew)
{
    struct ph_spill *spill = crew->opts.spill;
    if (crew->opts.extract)
        return true;
    if (!spill || spill->opts.when == PH_SPILL_NEVER || atomic_load(&spill->failed))
        return false;
    if (spill->opts.when == PH_SPILL_ALWAYS || atomic_load(&crew->target_down) ||
        is_held(crew, PH_AT_TARGET))
        return true;
    /* somebody goes on landing: a slow target is no idle one */
    return atomic_load(&crew->pressure) && atomic_load(&crew->landing) > 0 &&
           ph_spill_has_room(spill);
}

enum ph_want ph_way_want(struct ph_worker *w)
{
    struct ph_crew *crew = w->crew;
    struct ph_spill *spill = crew->opts.spill;
    bool read = !at_limit(&crew->reading, w->at_source, crew->opts.source_jobs) &&
                !is_held(crew, PH_AT_SOURCE);
    bool land = !at_limit(&crew->landing, w->at_target, crew->opts.target_jobs) &&
                !is_held(crew, PH_AT_TARGET);
    if (crew->opts.load)
        return PH_WANT_SPILLED;
    if (!spill)
        return PH_WANT_PLANNED;
    if (!is_spilling(crew))
        return read ? PH_WANT_SPILLED_FIRST : PH_WANT_SPILLED;
    if (!read || !ph_spill_has_room(spill))
        return PH_WANT_SPILLED;
    return land ? PH_WANT_FOR_FILES_FIRST : PH_WANT_FOR_FILES;
}

bool ph_way_is_open(struct ph_worker *w)
{
    struct ph_crew *crew = w->crew;
    struct ph_spill *spill = crew->opts.spill;
    unsigned held = ph_throttle_held(crew->opts.throttle);
    if (held == 0)
        return true;
    if (crew->opts.extract)
        return !(held & PH_AT_SOURCE);
    if (crew->opts.load)
        return !(held & PH_AT_TARGET);
    if (!spill || held == PH_AT_BOTH)
        return false;
    /* what is in files can land without the source; into files, the source can be read without the target */
    return held == PH_AT_SOURCE || (spill->opts.when != PH_SPILL_NEVER && ph_spill_has_room(spill));
}

static bool take_place(_Atomic int *places, int limit, bool *have)
{
    *have = atomic_fetch_add(places, 1) < limit;
    if (!*have)
        atomic_fetch_sub(places, 1);
    return *have;
}

static void leave_places(struct ph_worker *w)
{
    if (w->at_source)
        atomic_fetch_sub(&w->crew->reading, 1);
    if (w->at_target)
        atomic_fetch_sub(&w->crew->landing, 1);
    w->at_source = w->at_target = false;
}

/* The directory is made when it is first needed. Where it cannot be, rows go straight. (--spill always has made it before anything
 * began.) */
static bool can_spill(struct ph_crew *crew)
{
    bool open = false;
    struct ph_err err;
    if (ph_spill_open(crew->opts.spill, true, &open, &err))
        return open;
    ph_log(crew->opts.log, err.code == PH_NO_ROOM ? PH_LOG_INFO : PH_LOG_WARN, "%s; %s", err.text,
           err.code == PH_NO_ROOM ? "waiting for room" : "nothing is spilled");
    return false;
}

/* Into a file, or straight. False: neither now, since who works by the roster has nowhere else to go, and `always` waits for room. */
static bool choose(struct ph_worker *w, bool *to_file)
{
    struct ph_crew *crew = w->crew;
    struct ph_spill *spill = crew->opts.spill;
    bool local = w->desk == &w->local.base;
    *to_file = is_spilling(crew) || local;
    if (crew->opts.extract || !*to_file || can_spill(crew))
        return true;
    *to_file = false;
    return !local && (spill->opts.when != PH_SPILL_ALWAYS || atomic_load(&spill->failed));
}

bool ph_way_begin(struct ph_worker *w, const struct ph_claim *claim, struct ph_way_pass *pass)
{
    struct ph_crew *crew = w->crew;
    bool to_file = false;
    if (!claim->file && (!choose(w, &to_file) || (claim->to_file && !to_file)))
        return false;
    *pass = (struct ph_way_pass){.way = claim->file ? PH_WAY_LOAD
                                        : to_file   ? PH_WAY_SPILL
                                                    : PH_WAY_DIRECT};
    bool reads = pass->way != PH_WAY_LOAD, lands = pass->way != PH_WAY_SPILL;
    bool ok = !(reads && is_held(crew, PH_AT_SOURCE)) && !(lands && is_held(crew, PH_AT_TARGET)) &&
              (!reads || take_place(&crew->reading, crew->opts.source_jobs, &w->at_source)) &&
              (!lands || take_place(&crew->landing, crew->opts.target_jobs, &w->at_target));
    if (ok && !lands && !crew->opts.extract) {
        pass->reserved = claim->weight > 0 ? (uint64_t)claim->weight : 1;
        ok = ph_spill_reserve(crew->opts.spill, pass->reserved);
    }
    if (!ok)
        leave_places(w);
    return ok;
}

void ph_way_end(struct ph_worker *w, const struct ph_way_pass *pass, bool ok,
                const struct ph_err *err)
{
    struct ph_spill *spill = w->crew->opts.spill;
    leave_places(w);
    if (pass->way != PH_WAY_SPILL || w->crew->opts.extract)
        return;
    if (ok)
        ph_spill_settle(spill, pass->reserved, ph_sink_archive_stored(w->file_sink));
    else
        ph_spill_cancel(spill, pass->reserved, err);
}
