#include "ledger/roster.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"

enum { PARK_AFTER = 5 };

enum state { PLANNED, TAKEN, SEALED, NOTED, LANDED, SAFE, PARKED };

struct entry {
    struct ph_roster_item item;
    enum state state;
    int attempt, failures;
    double not_before_s;
    uint64_t landed_ns;
    const char *why; /* parked */
    struct ph_spill_note note;
};

struct ph_roster {
    pthread_mutex_t lock;
    struct ph_arena arena;
    struct entry *entries; /* by id */
    int *order;            /* places in entries, heaviest first */
    int n;
    int first;   /* nothing before this place in `order` can be claimed */
    int unnoted; /* entries that are SEALED */
};

static void enter_state(struct ph_roster *r, struct entry *e, enum state state)
{
    r->unnoted += (state == SEALED) - (e->state == SEALED);
    e->state = state;
}

static int order_ids(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->item.id > y->item.id) - (x->item.id < y->item.id);
}

static int order_weights(const void *a, const void *b, void *arg)
{
    const struct entry *entries = arg, *x = &entries[*(const int *)a],
                       *y = &entries[*(const int *)b];
    if (x->item.weight != y->item.weight)
        return x->item.weight < y->item.weight ? 1 : -1;
    return (x->item.id > y->item.id) - (x->item.id < y->item.id);
}

bool ph_roster_new(struct ph_roster **out, const struct ph_roster_item *items, int n,
                   struct ph_err *err)
{
    struct ph_roster *r = calloc(1, sizeof *r);
    if (!r)
        return ph_err_nomem(err);
    r->n = n;
    r->entries = ph_arena_calloc(&r->arena, (size_t)n + 1, sizeof *r->entries);
    r->order = ph_arena_calloc(&r->arena, (size_t)n + 1, sizeof *r->order);
    for (int i = 0; i < n; i++) {
        struct ph_roster_item *item = &r->entries[i].item;
        *item = items[i];
        item->where = ph_arena_strdup(&r->arena, items[i].where);
        item->lo = ph_arena_strdup(&r->arena, items[i].lo);
        item->hi = ph_arena_strdup(&r->arena, items[i].hi);
        r->entries[i].state = items[i].spilled ? NOTED : PLANNED;
        r->order[i] = i;
    }
    if (n > 1) {
        qsort(r->entries, (size_t)n, sizeof *r->entries, order_ids);
        qsort_r(r->order, (size_t)n, sizeof *r->order, order_weights, r->entries);
    }
    pthread_mutex_init(&r->lock, NULL);
    *out = r;
    return true;
}

void ph_roster_free(struct ph_roster *roster)
{
    if (!roster)
        return;
    pthread_mutex_destroy(&roster->lock);
    ph_arena_fini(&roster->arena);
    free(roster);
}

static struct entry *find(struct ph_roster *r, int64_t id)
{
    struct entry key = {.item.id = id};
    return r->n ? bsearch(&key, r->entries, (size_t)r->n, sizeof key, order_ids) : NULL;
}

const struct ph_roster_item *ph_roster_find(struct ph_roster *roster, int64_t id)
{
    struct entry *e = find(roster, id); /* items never change */
    return e ? &e->item : NULL;
}

/* Claiming. */

static bool can_be_claimed(const struct entry *e, bool insure, double now)
{
    return (e->state == PLANNED && e->not_before_s <= now) || (insure && e->state == LANDED);
}

static void count_rest(const struct ph_roster *r, double now, int *left, double *wait_s)
{
    *left = 0;
    *wait_s = 1;
    for (int i = 0; i < r->n; i++) {
        const struct entry *e = &r->entries[i];
        if (e->state != PLANNED && e->state != TAKEN)
            continue;
        (*left)++;
        if (e->state == PLANNED && e->not_before_s - now < *wait_s)
            *wait_s = e->not_before_s - now;
    }
}

const struct ph_roster_item *ph_roster_claim(struct ph_roster *roster, bool insure, int *attempt,
                                             int *left, double *wait_s)
{
    struct ph_roster *r = roster;
    struct entry *chosen = NULL;
    pthread_mutex_lock(&r->lock);
    double now = ph_clock_s();
    bool solid = true; /* all before this place is over for good */
    for (int i = r->first; i < r->n && !chosen; i++) {
        struct entry *e = &r->entries[r->order[i]];
        if (can_be_claimed(e, insure, now))
            chosen = e;
        solid = solid && (e->state == SAFE || e->state == NOTED || e->state == SEALED);
        if (solid && !chosen)
            r->first = i + 1;
    }
    if (chosen) {
        enter_state(r, chosen, TAKEN);
        *attempt = ++chosen->attempt;
    } else {
        count_rest(r, now, left, wait_s);
    }
    pthread_mutex_unlock(&r->lock);
    return chosen ? &chosen->item : NULL;
}

/* What becomes of a shard. */

/* Keeps the entry locked; NULL when the shard is unknown: one that came later than the roster. */
static struct entry *enter(struct ph_roster *r, int64_t id)
{
    pthread_mutex_lock(&r->lock);
    return find(r, id);
}

static void leave(struct ph_roster *r)
{
    pthread_mutex_unlock(&r->lock);
}

void ph_roster_landed(struct ph_roster *roster, int64_t id, bool unlogged)
{
    struct entry *e = enter(roster, id);
    if (e) {
        enter_state(roster, e, LANDED);
        e->landed_ns = unlogged ? UINT64_MAX : ph_clock_ns();
    }
    leave(roster);
}

void ph_roster_sealed(struct ph_roster *roster, int64_t id, const struct ph_spill_note *note)
{
    struct entry *e = enter(roster, id);
    if (e) {
        e->note = *note;
        e->note.file = ph_arena_strdup(&roster->arena, note->file);
        enter_state(roster, e, SEALED);
    }
    leave(roster);
}

void ph_roster_noted(struct ph_roster *roster, int64_t id)
{
    struct entry *e = enter(roster, id);
    if (e && e->state == SEALED)
        enter_state(roster, e, NOTED);
    leave(roster);
}

void ph_roster_planned(struct ph_roster *roster, int64_t id)
{
    struct entry *e = enter(roster, id);
    if (e) {
        enter_state(roster, e, PLANNED);
        roster->first = 0;
    }
    leave(roster);
}

bool ph_roster_fail(struct ph_roster *roster, int64_t id, bool counted, bool park, const char *why,
                    double delay_s)
{
    struct entry *e = enter(roster, id);
    bool parked = false;
    if (e) {
        e->failures += counted;
        parked = park || e->failures >= PARK_AFTER;
        enter_state(roster, e, parked ? PARKED : PLANNED);
        e->why = parked ? ph_arena_strdup(&roster->arena, why) : NULL;
        e->not_before_s = ph_clock_s() + delay_s;
        roster->first = 0;
    }
    leave(roster);
    return parked;
}

void ph_roster_flushed(struct ph_roster *roster, uint64_t before_ns)
{
    pthread_mutex_lock(&roster->lock);
    for (int i = 0; i < roster->n; i++) {
        struct entry *e = &roster->entries[i];
        if (e->state == LANDED && e->landed_ns < before_ns)
            e->state = SAFE;
    }
    pthread_mutex_unlock(&roster->lock);
}

bool ph_roster_is_drained(struct ph_roster *roster)
{
    bool drained = true;
    pthread_mutex_lock(&roster->lock);
    for (int i = 0; i < roster->n && drained; i++) {
        enum state state = roster->entries[i].state;
        drained = state == SEALED || state == NOTED || state == SAFE;
    }
    pthread_mutex_unlock(&roster->lock);
    return drained;
}

/* Walks. */

bool ph_roster_next_sealed(struct ph_roster *roster, int *at, bool noted, int64_t *id,
                           struct ph_spill_note *note)
{
    bool found = false;
    pthread_mutex_lock(&roster->lock);
    while (*at < roster->n && !found) {
        const struct entry *e = &roster->entries[(*at)++];
        if (e->state != (noted ? NOTED : SEALED))
            continue;
        *id = e->item.id;
        *note = e->note;
        found = true;
    }
    pthread_mutex_unlock(&roster->lock);
    return found;
}

bool ph_roster_has_unnoted(struct ph_roster *roster)
{
    pthread_mutex_lock(&roster->lock);
    bool has = roster->unnoted > 0;
    pthread_mutex_unlock(&roster->lock);
    return has;
}

bool ph_roster_next_parked(struct ph_roster *roster, int *at, int64_t *id, int *tab,
                           const char **why)
{
    bool found = false;
    pthread_mutex_lock(&roster->lock);
    while (*at < roster->n && !found) {
        const struct entry *e = &roster->entries[(*at)++];
        if (e->state != PARKED)
            continue;
        *id = e->item.id;
        *tab = e->item.tab;
        *why = e->why;
        found = true;
    }
    pthread_mutex_unlock(&roster->lock);
    return found;
}

/* The desk. */

static struct ph_desk_local *self_of(struct ph_desk *desk)
{
    return (struct ph_desk_local *)desk;
}

static bool claim(struct ph_desk *base, const struct ph_claim **claims, int *n, struct ph_err *err)
{
    (void)err;
    struct ph_desk_local *desk = self_of(base);
    int attempt = 0, left = 0;
    double wait_s = 0;
    const struct ph_roster_item *item =
        ph_roster_claim(desk->roster, desk->insure, &attempt, &left, &wait_s);
    desk->claim = (struct ph_claim){.remaining = left, .unread = left, .wait_s = wait_s};
    if (item) {
        desk->claim.shard = item->id;
        desk->claim.tab = item->tab;
        desk->claim.attempt = attempt;
        desk->claim.where = (char *)item->where;
        desk->claim.weight = item->weight;
    }
    *claims = &desk->claim;
    *n = 1;
    return true;
}

static bool failed(struct ph_desk *base, const struct ph_shard *shard, bool counted, bool park,
                   const char *why, double delay_s, bool *parked, struct ph_err *err)
{
    (void)err;
    *parked = ph_roster_fail(self_of(base)->roster, shard->id, counted, park, why, delay_s);
    return true;
}

/* The sink tells the roster itself: there is nobody else to be told now. */
static bool sealed(struct ph_desk *base, const struct ph_shard *shard,
                   const struct ph_spill_note *note, bool *known, struct ph_err *err)
{
    (void)base;
    (void)shard;
    (void)note;
    (void)err;
    *known = false;
    return true;
}

static bool unsealed(struct ph_desk *base, const struct ph_shard *shard, const char *why,
                     struct ph_err *err)
{
    (void)why;
    (void)err;
    ph_roster_planned(self_of(base)->roster, shard->id);
    return true;
}

static bool usable(struct ph_desk *base)
{
    (void)base;
    return true;
}

static const struct ph_desk_ops ops = {
    .claim = claim,
    .failed = failed,
    .sealed = sealed,
    .unsealed = unsealed,
    .usable = usable,
    .recover = usable,
};

void ph_desk_local_init(struct ph_desk_local *desk, struct ph_roster *roster, bool insure)
{
    *desk = (struct ph_desk_local){.base = {.ops = &ops}, .roster = roster, .insure = insure};
}
