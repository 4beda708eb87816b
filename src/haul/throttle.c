#include "haul/throttle.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/num.h"

enum { WHOLE = 1000 };
static const uint64_t moment_ns = 250000000; /* that a hop has to end in when its server is held */
static const uint64_t slice_ns = 50000000;   /* of a wait: between them we look around */
static const uint64_t skip_ns =
    1500000; /* shorter waits cost more than they are worth; none of it is forgotten */
static const uint64_t rate_shown_ns = 1500000000;

const char *ph_hold_name(enum ph_hold_kind kind)
{
    static const char *const names[PH_N_HOLDS] = {
        "rate", "pause", "timetable",   "lag",    "load",  "xact_age", "slot_wal",
        "free", "full",  "checkpoints", "canary", "query", "file",     "url"};
    return names[kind];
}

void ph_throttle_init(struct ph_throttle *t, const struct ph_rates *rates,
                      const struct ph_timetable *timetable, struct ph_interrupt *interrupt)
{
    *t = (struct ph_throttle){
        .interrupt = interrupt,
        .share = WHOLE,
        .rates = *rates,
        .timetable = timetable,
        .movers = 1,
        .pause = {.kind = PH_HOLD_PAUSE, .share = 1},
        .by_timetable = {.kind = PH_HOLD_TIMETABLE, .share = 1},
    };
    pthread_mutex_init(&t->lock, NULL);
    ph_throttle_settle(t);
}

void ph_throttle_fini(struct ph_throttle *t)
{
    pthread_mutex_destroy(&t->lock);
}

/* Holds. Everything here is under the lock. */

static bool is_holding(const struct ph_hold *hold)
{
    return hold->sides || hold->share < 1;
}

static void note_held(struct ph_throttle *t, unsigned held)
{
    unsigned before = atomic_load(&t->held);
    for (unsigned i = 0; i < 2; i++)
        if ((held >> i & 1) && !(before >> i & 1))
            atomic_store(&t->held_ns[i], ph_clock_ns());
    atomic_store(&t->held, held);
}

static bool has_rate(struct ph_throttle *t)
{
    return atomic_load(&t->source_bytes.per_s) || atomic_load(&t->source_rows.per_s) ||
           atomic_load(&t->target_bytes.per_s) || atomic_load(&t->target_rows.per_s);
}

static void gather(struct ph_throttle *t)
{
    unsigned held = 0;
    double share = 1;
    for (const struct ph_hold *h = t->holds; h; h = h->next) {
        held |= h->sides;
        share = h->share < share ? h->share : share;
    }
    note_held(t, held);
    atomic_store(&t->share, (unsigned)(share * WHOLE + 0.5));
    atomic_store(&t->active, held || share < 1 || has_rate(t));
}

static void link_hold(struct ph_throttle *t, struct ph_hold *hold)
{
    struct ph_hold **at = &t->holds;
    while (*at && *at != hold)
        at = &(*at)->next;
    if (!*at)
        *at = hold;
}

static void set_hold(struct ph_throttle *t, struct ph_hold *hold, unsigned sides, double share,
                     const char *text)
{
    link_hold(t, hold);
    hold->sides = sides;
    hold->share = share;
    if (!is_holding(hold))
        hold->since_ns = 0;
    else if (hold->since_ns == 0)
        hold->since_ns = ph_clock_ns();
    snprintf(hold->text, sizeof hold->text, "%s", text);
}

void ph_throttle_hold(struct ph_throttle *t, struct ph_hold *hold, unsigned sides, double share,
                      const char *fmt, ...)
{
    char text[PH_REASON_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&t->lock);
    set_hold(t, hold, sides, share, text);
    gather(t);
    pthread_mutex_unlock(&t->lock);
}

unsigned ph_throttle_held(const struct ph_throttle *t)
{
    return atomic_load(&t->held);
}

/* Rates. */

static uint64_t lower(uint64_t a, uint64_t b)
{
    return a == 0 ? b : b == 0 ? a : a < b ? a : b;
}

/* A mover's part of a rate; none of them gets nothing. */
static uint64_t part(uint64_t rate, int movers)
{
    uint64_t own = rate / (uint64_t)movers;
    return rate && own == 0 ? 1 : own;
}

static void look_at_timetable(struct ph_throttle *t)
{
    const struct ph_timetable_entry *e =
        t->timetable ? ph_timetable_at(t->timetable, time(NULL)) : NULL;
    bool pause = e && e->pause;
    t->timetable_rate = e ? e->per_s : 0;
    snprintf(t->timetable_text, sizeof t->timetable_text, "%s", e ? e->text : "");
    if (pause != is_holding(&t->by_timetable)) {
        char text[PH_REASON_TEXT];
        snprintf(text, sizeof text, "timetable: %s", t->timetable_text);
        set_hold(t, &t->by_timetable, pause ? PH_AT_BOTH : 0, 1, text);
    }
}

void ph_throttle_settle(struct ph_throttle *t)
{
    uint64_t now = ph_clock_ns();
    pthread_mutex_lock(&t->lock);
    look_at_timetable(t);
    const struct ph_rates *r = &t->rates;
    int n = t->movers;
    ph_bucket_set(&t->source_bytes, part(lower(r->source_bytes, t->timetable_rate), n), now);
    ph_bucket_set(&t->target_bytes, part(lower(r->target_bytes, t->timetable_rate), n), now);
    ph_bucket_set(&t->source_rows, part(r->source_rows, n), now);
    ph_bucket_set(&t->target_rows, part(r->target_rows, n), now);
    gather(t);
    pthread_mutex_unlock(&t->lock);
}

void ph_throttle_share(struct ph_throttle *t, int movers)
{
    pthread_mutex_lock(&t->lock);
    t->movers = movers > 1 ? movers : 1;
    pthread_mutex_unlock(&t->lock);
    ph_throttle_settle(t);
}

static void set_jobs(struct ph_throttle *t, int jobs, bool told)
{
    pthread_mutex_lock(&t->lock);
    if (told || !t->told)
        t->jobs = jobs;
    t->told = t->told || told;
    pthread_mutex_unlock(&t->lock);
}

void ph_throttle_ask_jobs(struct ph_throttle *t, int jobs)
{
    set_jobs(t, jobs, true);
}

void ph_throttle_try_jobs(struct ph_throttle *t, int jobs)
{
    set_jobs(t, jobs, false);
}

int ph_throttle_jobs(struct ph_throttle *t)
{
    pthread_mutex_lock(&t->lock);
    int jobs = t->jobs;
    pthread_mutex_unlock(&t->lock);
    return jobs;
}

void ph_throttle_crew(struct ph_throttle *t, int workers)
{
    atomic_store(&t->workers, workers);
}

/* Workers that there are, as far as they are wanted. */
static int wanted(struct ph_throttle *t)
{
    int jobs = ph_throttle_jobs(t), workers = atomic_load(&t->workers);
    return jobs && jobs < workers ? jobs : workers;
}

int ph_throttle_workers(struct ph_throttle *t)
{
    int may = (wanted(t) * (int)atomic_load(&t->share) + WHOLE - 1) / WHOLE;
    return may < 1 ? 1 : may;
}

/* Reasons. */

static void rate_text(struct ph_throttle *t, char *text, size_t room)
{
    const struct ph_rates *r = &t->rates;
    char number[PH_NUM_TEXT];
    uint64_t wished = lower(r->source_bytes, r->target_bytes);
    uint64_t bytes = lower(wished, t->timetable_rate), rows = lower(r->source_rows, r->target_rows);
    if (bytes && t->timetable_rate && bytes != wished)
        snprintf(text, room, "timetable: %s", t->timetable_text);
    else if (bytes)
        snprintf(text, room, "rate: %s/s", ph_num_show_bytes(number, (double)bytes));
    else
        snprintf(text, room, "rate: %s rows/s", ph_num_show_count(number, rows));
}

/* Of hard ones the oldest; of soft ones the one that leaves least, which is the one that counts. */
static bool comes_before(const struct ph_hold *a, const struct ph_hold *b)
{
    if ((a->sides != 0) != (b->sides != 0))
        return a->sides != 0;
    if (a->sides == 0 && (a->share < b->share || a->share > b->share))
        return a->share < b->share;
    return a->since_ns < b->since_ns;
}

bool ph_throttle_reason(struct ph_throttle *t, char text[static PH_REASON_TEXT],
                        enum ph_hold_kind *kind, bool *paused)
{
    uint64_t seen = atomic_load(&t->rate_seen_ns);
    pthread_mutex_lock(&t->lock);
    const struct ph_hold *first = NULL;
    for (const struct ph_hold *h = t->holds; h; h = h->next) {
        if (is_holding(h) && (!first || comes_before(h, first)))
            first = h;
    }
    bool rate = !first && has_rate(t) && seen && ph_clock_ns() - seen < rate_shown_ns;
    *kind = first ? first->kind : PH_HOLD_RATE;
    *paused = first && first->sides;
    if (first)
        snprintf(text, PH_REASON_TEXT, "%s", first->text);
    else if (rate)
        rate_text(t, text, PH_REASON_TEXT);
    pthread_mutex_unlock(&t->lock);
    return first || rate;
}

void ph_throttle_rested(struct ph_throttle *t, uint64_t ns)
{
    char text[PH_REASON_TEXT];
    enum ph_hold_kind kind;
    bool paused;
    if (ph_throttle_reason(t, text, &kind, &paused))
        atomic_fetch_add(&t->slept_ns[kind], ns);
}

/* Hops. */

void ph_throttle_begin(struct ph_throttle_hop *h, struct ph_throttle *t, unsigned sides)
{
    /* what lies between two hops was no work */
    uint64_t now = ph_clock_ns(), worked = h->last_ns ? h->ended_ns - h->last_ns : 0;
    *h = (struct ph_throttle_hop){
        .throttle = t, .sides = sides, .last_ns = atomic_load(&t->active) ? now - worked : 0};
    atomic_fetch_add(&t->busy, 1);
}

void ph_throttle_end(struct ph_throttle_hop *h)
{
    h->ended_ns = ph_clock_ns();
    atomic_fetch_sub(&h->throttle->busy, 1);
}

/* Whether one of the hop's servers has been held for longer than a moment. */
static bool is_given_up(const struct ph_throttle_hop *h, uint64_t now)
{
    const struct ph_throttle *t = h->throttle;
    unsigned held = atomic_load(&t->held) & h->sides;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t since = atomic_load(&t->held_ns[i]);
        if ((held >> i & 1) && now > since + moment_ns)
            return true;
    }
    return false;
}

static bool give_up(struct ph_throttle_hop *h, struct ph_err *err)
{
    char text[PH_REASON_TEXT] = "";
    enum ph_hold_kind kind;
    bool paused;
    ph_throttle_reason(h->throttle, text, &kind, &paused);
    return ph_err_set(err, PH_PAUSED, "paused: %s", text);
}

/* Turns of one batch, at the buckets of each server that it touches. */
struct turns {
    const struct ph_bucket *bucket[4];
    struct ph_bucket_turn turn[4];
    int n;
};

static void take_turn(struct turns *turns, struct ph_bucket *bucket, uint64_t n, uint64_t now)
{
    turns->bucket[turns->n] = bucket;
    turns->turn[turns->n++] = ph_bucket_take(bucket, n, now);
}

static uint64_t still_to_wait(struct turns *turns, uint64_t now)
{
    uint64_t wait = 0;
    for (int i = 0; i < turns->n; i++) {
        uint64_t w = ph_bucket_wait(turns->bucket[i], &turns->turn[i], now);
        wait = w > wait ? w : wait;
    }
    return wait;
}

/* What a soft hold asks of one hop: to rest so long for the time that it worked. The share is of all workers' time, and those who
 * are at work divide it. */
static uint64_t rest_of_share(const struct ph_throttle_hop *h, uint64_t now)
{
    static const uint64_t longest = 2000000000;
    struct ph_throttle *t = h->throttle;
    unsigned share = atomic_load(&t->share);
    if (share >= WHOLE || h->last_ns == 0)
        return 0;
    int busy = atomic_load(&t->busy);
    double own = (double)share / WHOLE * wanted(t) / (busy > 1 ? busy : 1);
    double rest = own < 1 ? (double)(now - h->last_ns) * (1 / own - 1) : 0;
    return rest < (double)longest ? (uint64_t)rest : longest;
}

/* Sleeps in slices, so that a change of mind is noticed. */
static bool sleep_off(struct ph_throttle_hop *h, struct turns *turns, uint64_t until,
                      struct ph_err *err)
{
    for (;;) {
        uint64_t now = ph_clock_ns();
        if (is_given_up(h, now))
            return give_up(h, err);
        uint64_t wait = still_to_wait(turns, now), rest = until > now ? until - now : 0;
        wait = rest > wait ? rest : wait;
        if (wait <= skip_ns)
            return true;
        double s = (double)(wait < slice_ns ? wait : slice_ns) / 1e9;
        if (!ph_interrupt_sleep(h->throttle->interrupt, 2, s))
            return ph_err_set(err, PH_INTERRUPTED, "interrupted");
    }
}

bool ph_throttle_wait(void *hop, uint64_t bytes, uint64_t rows, struct ph_err *err)
{
    struct ph_throttle_hop *h = hop;
    struct ph_throttle *t = h->throttle;
    if (!atomic_load_explicit(&t->active, memory_order_relaxed))
        return true;
    uint64_t now = ph_clock_ns();
    struct turns turns = {.n = 0};
    if (h->sides & PH_AT_SOURCE) {
        take_turn(&turns, &t->source_bytes, bytes, now);
        take_turn(&turns, &t->source_rows, rows, now);
    }
    if (h->sides & PH_AT_TARGET) {
        take_turn(&turns, &t->target_bytes, bytes, now);
        take_turn(&turns, &t->target_rows, rows, now);
    }
    uint64_t rest = rest_of_share(h, now);
    bool waits = still_to_wait(&turns, now) > skip_ns;
    if (waits)
        atomic_store(&t->rate_seen_ns, now);
    bool ok = sleep_off(h, &turns, now + rest, err);
    h->last_ns = ph_clock_ns();
    uint64_t slept = waits || rest ? h->last_ns - now : 0;
    h->slept_ns += slept;
    if (rest)
        ph_throttle_rested(t, slept);
    else if (waits)
        atomic_fetch_add(&t->slept_ns[PH_HOLD_RATE], slept);
    return ok;
}

bool ph_throttle_holds_target(struct ph_throttle *t, bool still)
{
    /* a debt of a piece or two is how a bucket works; this much is a queue before it */
    static const uint64_t queue_ns = 50000000;
    uint64_t now = ph_clock_ns(), much = still ? 0 : queue_ns;
    return (ph_throttle_held(t) & PH_AT_TARGET) || ph_bucket_debt(&t->target_bytes, now) > much ||
           ph_bucket_debt(&t->target_rows, now) > much;
}
