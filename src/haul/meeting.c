#include "haul/meeting.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { STRIPES = 64, FIRST_SLOTS = 64 };

/* A table of odds: open addressing, locked for itself, chosen by the key's hash. */
struct stripe {
    pthread_mutex_t lock;
    struct ph_odd *slots; /* unused: no counts */
    size_t n, room;       /* room is a power of two */
};

struct ph_meeting {
    struct stripe stripes[STRIPES];
    _Atomic bool no_memory;
};

static bool is_used(const struct ph_odd *slot)
{
    return slot->count[0] || slot->count[1];
}

static struct ph_odd *find_slot(struct ph_odd *slots, size_t room, uint64_t key, uint64_t row)
{
    size_t i = (size_t)(key ^ row * 0x9E3779B97F4A7C15u) & (room - 1);
    while (is_used(&slots[i]) && (slots[i].key != key || slots[i].row != row))
        i = (i + 1) & (room - 1);
    return &slots[i];
}

/* Straight from the kernel and back to it: the heaps of threads keep what they have had. */
static struct ph_odd *new_slots(size_t room)
{
    void *slots = mmap(NULL, room * sizeof(struct ph_odd), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return slots == MAP_FAILED ? NULL : slots;
}

static void free_slots(struct stripe *s)
{
    if (s->slots)
        munmap(s->slots, s->room * sizeof *s->slots);
    s->slots = NULL;
    s->n = s->room = 0;
}

static bool grow(struct stripe *s)
{
    size_t room = s->room ? s->room * 2 : FIRST_SLOTS, n = s->n;
    struct ph_odd *slots = new_slots(room);
    if (!slots)
        return false;
    for (size_t i = 0; i < s->room; i++)
        if (is_used(&s->slots[i]))
            *find_slot(slots, room, s->slots[i].key, s->slots[i].row) = s->slots[i];
    free_slots(s);
    s->slots = slots;
    s->room = room;
    s->n = n;
    return true;
}

struct ph_meeting *ph_meeting_new(void)
{
    struct ph_meeting *meeting = calloc(1, sizeof *meeting);
    for (int i = 0; meeting && i < STRIPES; i++)
        pthread_mutex_init(&meeting->stripes[i].lock, NULL);
    return meeting;
}

void ph_meeting_free(struct ph_meeting *meeting)
{
    if (!meeting)
        return;
    for (int i = 0; i < STRIPES; i++) {
        free_slots(&meeting->stripes[i]);
        pthread_mutex_destroy(&meeting->stripes[i].lock);
    }
    free(meeting);
}

void ph_meeting_add(struct ph_meeting *meeting, int side, uint64_t key, uint64_t row,
                    struct ph_spot place)
{
    struct stripe *s = &meeting->stripes[key >> 58];
    pthread_mutex_lock(&s->lock);
    if (s->n * 3 >= s->room * 2 && !grow(s)) {
        atomic_store(&meeting->no_memory, true);
    } else {
        struct ph_odd *slot = find_slot(s->slots, s->room, key, row);
        s->n += !is_used(slot);
        slot->key = key;
        slot->row = row;
        slot->count[side]++;
        slot->place[side] = place;
    }
    pthread_mutex_unlock(&s->lock);
}

static int order_odds(const void *a, const void *b)
{
    const struct ph_odd *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

size_t ph_odds_group(const struct ph_odds *odds, size_t at, struct ph_verdict *out)
{
    size_t n = 0;
    uint64_t count[2] = {0, 0};
    while (at + n < odds->n && odds->items[at + n].key == odds->items[at].key) {
        count[0] += odds->items[at + n].count[0];
        count[1] += odds->items[at + n].count[1];
        n++;
    }
    uint64_t changed = count[0] < count[1] ? count[0] : count[1];
    *out = (struct ph_verdict){
        .missing = count[0] - changed, .extra = count[1] - changed, .changed = changed};
    return n;
}

bool ph_meeting_harvest(struct ph_meeting *meeting, struct ph_odds *odds, struct ph_err *err)
{
    size_t room = 0;
    if (atomic_load(&meeting->no_memory))
        return ph_err_nomem(err);
    for (int i = 0; i < STRIPES; i++)
        for (size_t k = 0; k < meeting->stripes[i].room; k++)
            room += meeting->stripes[i].slots[k].count[0] != meeting->stripes[i].slots[k].count[1];
    *odds = (struct ph_odds){.items = calloc(room + 1, sizeof *odds->items), .room = room};
    if (!odds->items)
        return ph_err_nomem(err);
    for (int i = 0; i < STRIPES; i++) {
        for (size_t k = 0; k < meeting->stripes[i].room; k++) {
            struct ph_odd odd = meeting->stripes[i].slots[k];
            uint32_t same = odd.count[0] < odd.count[1] ? odd.count[0] : odd.count[1];
            odd.count[0] -= same;
            odd.count[1] -= same;
            if (is_used(&odd))
                odds->items[odds->n++] = odd;
        }
        free_slots(&meeting->stripes[i]);
    }
    qsort(odds->items, odds->n, sizeof *odds->items, order_odds);
    return true;
}
