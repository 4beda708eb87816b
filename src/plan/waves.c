#include "plan/waves.h"

#include <stdlib.h>
#include <string.h>

/* Entries, by their places in the list. */
struct places {
    int *items;
    int n;
};

struct cut {
    struct ph_arena *arena;
    const struct ph_toc *toc;
    struct ph_waves *out;
    int most, beside;
    struct ph_wave_need *needs; /* sorted by relation */
    int n_needs;
    int *by_oid; /* places of relations, sorted by OID */
    int n_by_oid;
    int *group;                           /* of each place: another of its group, or itself */
    enum { TABLES, LATER, GONE } * where; /* of each place that was looked at */
    struct places tables;                 /* what can be made beside each other, up to now */
    struct places later;                  /* what comes after them */
    bool barrier;                         /* among it is what later tables may need */
};

static bool follows(const struct ph_toc_entry *e)
{
    return ph_toc_is(e, "COMMENT") || ph_toc_is(e, "SECURITY LABEL") ||
           ph_toc_is(e, "SEQUENCE OWNED BY");
}

static bool is_table(const struct ph_toc_entry *e)
{
    return e->catalog == PH_CATALOG_CLASS && (ph_toc_is(e, "TABLE") || ph_toc_is(e, "SEQUENCE"));
}

/* Who can need it says so. */
static bool can_wait(const struct ph_toc_entry *e)
{
    return e->catalog == PH_CATALOG_CLASS &&
           (ph_toc_is(e, "VIEW") || ph_toc_is(e, "MATERIALIZED VIEW"));
}

/* Looking up. */

static int order_needs(const void *a, const void *b)
{
    const struct ph_wave_need *x = a, *y = b;
    return x->relation < y->relation ? -1 : x->relation > y->relation;
}

static int order_pairs(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b; /* OID, place */
    return x[0] < y[0] ? -1 : x[0] > y[0];
}

static void index_relations(struct cut *cut)
{
    const struct ph_toc *toc = cut->toc;
    uint32_t(*pairs)[2] = ph_arena_calloc(cut->arena, (size_t)toc->n + 1, sizeof *pairs);
    for (int i = 0; i < toc->n; i++)
        if (toc->items[i].catalog == PH_CATALOG_CLASS) {
            pairs[cut->n_by_oid][0] = toc->items[i].oid;
            pairs[cut->n_by_oid++][1] = (uint32_t)i;
        }
    qsort(pairs, (size_t)cut->n_by_oid, sizeof *pairs, order_pairs);
    cut->by_oid = ph_arena_calloc(cut->arena, (size_t)cut->n_by_oid + 1, sizeof *cut->by_oid);
    for (int i = 0; i < cut->n_by_oid; i++)
        cut->by_oid[i] = (int)pairs[i][1];
}

/* -1: it is not in the list. */
static int place_of(const struct cut *cut, uint32_t oid)
{
    int lo = 0, hi = cut->n_by_oid;
    while (lo < hi) {
        int middle = (lo + hi) / 2;
        if (cut->toc->items[cut->by_oid[middle]].oid < oid)
            lo = middle + 1;
        else
            hi = middle;
    }
    bool found = lo < cut->n_by_oid && cut->toc->items[cut->by_oid[lo]].oid == oid;
    return found ? cut->by_oid[lo] : -1;
}

static void take_needs(struct cut *cut, const struct ph_wave_need *needs, int n)
{
    bool attached = false;
    for (int i = 0; i < cut->toc->n; i++)
        attached = attached || ph_toc_is(&cut->toc->items[i], "TABLE ATTACH");
    cut->needs = ph_arena_calloc(cut->arena, (size_t)n + 1, sizeof *cut->needs);
    for (int i = 0; i < n; i++)
        if (!needs[i].partition || !attached)
            cut->needs[cut->n_needs++] = needs[i];
    qsort(cut->needs, (size_t)cut->n_needs, sizeof *cut->needs, order_needs);
}

static int first_need(const struct cut *cut, uint32_t oid)
{
    int lo = 0, hi = cut->n_needs;
    while (lo < hi) {
        int middle = (lo + hi) / 2;
        if (cut->needs[middle].relation < oid)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

/* Groups: what needs each other. */

static int group_of(struct cut *cut, int place)
{
    while (cut->group[place] != place)
        place = cut->group[place] = cut->group[cut->group[place]];
    return place;
}

/* The one that comes first stands for all. */
static void join(struct cut *cut, int a, int b)
{
    a = group_of(cut, a);
    b = group_of(cut, b);
    cut->group[a < b ? b : a] = a < b ? a : b;
}

/* Chunks. */

static void add_chunk(struct cut *cut, const struct places *places, int first, int end, int wave)
{
    struct ph_waves *out = cut->out;
    struct ph_buf text = {0};
    for (int i = first; i < end; i++) {
        ph_buf_add(&text, cut->toc->items[places->items[i]].line);
        ph_buf_addc(&text, '\n');
    }
    out->chunks[out->n] = ph_arena_strdup(cut->arena, ph_buf_text(&text));
    out->wave[out->n++] = wave;
    ph_buf_fini(&text);
}

static int next_wave(const struct cut *cut)
{
    return cut->out->n ? cut->out->wave[cut->out->n - 1] + 1 : 0;
}

/* One chunk after the other. */
static void add_in_row(struct cut *cut, const struct places *places, int first, int end)
{
    while (first < end) {
        int stop = first + cut->most < end ? first + cut->most : end;
        while (stop < end && follows(&cut->toc->items[places->items[stop]]))
            stop++;
        add_chunk(cut, places, first, stop, next_wave(cut));
        first = stop;
    }
}

struct grouped {
    int group, place;
};

static int order_grouped(const void *a, const void *b)
{
    const struct grouped *x = a, *y = b;
    return x->group != y->group ? (x->group < y->group ? -1 : 1)
                                : (x->place < y->place ? -1 : x->place > y->place);
}

/* Group by group, each in its own order. */
static struct places sort_groups(struct cut *cut)
{
    int n = cut->tables.n;
    struct grouped *all = ph_arena_calloc(cut->arena, (size_t)n + 1, sizeof *all);
    for (int i = 0; i < n; i++)
        all[i] = (struct grouped){group_of(cut, cut->tables.items[i]), cut->tables.items[i]};
    qsort(all, (size_t)n, sizeof *all, order_grouped);
    struct places out = {ph_arena_calloc(cut->arena, (size_t)n + 1, sizeof(int)), n};
    for (int i = 0; i < n; i++)
        out.items[i] = all[i].place;
    return out;
}

/* Groups that are too large come one chunk after the other, when the others are there. */
static void add_tables(struct cut *cut)
{
    struct places sorted = sort_groups(cut), large = {0};
    large.items = ph_arena_calloc(cut->arena, (size_t)sorted.n + 1, sizeof(int));
    int wave = next_wave(cut), first = 0, kept = 0;
    for (int i = 0, end; i < sorted.n; i = end) {
        int group = group_of(cut, sorted.items[i]);
        for (end = i + 1; end < sorted.n && group_of(cut, sorted.items[end]) == group;)
            end++;
        if (end - i > cut->most) {
            for (int k = i; k < end; k++)
                large.items[large.n++] = sorted.items[k];
            continue;
        }
        if (kept > first && kept - first + end - i > cut->beside) {
            add_chunk(cut, &sorted, first, kept, wave);
            first = kept;
        }
        for (int k = i; k < end; k++)
            sorted.items[kept++] = sorted.items[k];
    }
    if (kept > first)
        add_chunk(cut, &sorted, first, kept, wave);
    add_in_row(cut, &large, 0, large.n);
}

static void flush(struct cut *cut)
{
    add_tables(cut);
    add_in_row(cut, &cut->later, 0, cut->later.n);
    for (int i = 0; i < cut->tables.n; i++)
        cut->where[cut->tables.items[i]] = GONE;
    for (int i = 0; i < cut->later.n; i++)
        cut->where[cut->later.items[i]] = GONE;
    cut->tables.n = cut->later.n = 0;
    cut->barrier = false;
}

/* The list from its beginning to its end. */

static bool needs_later(const struct cut *cut, int place)
{
    uint32_t oid = cut->toc->items[place].oid;
    for (int i = first_need(cut, oid); i < cut->n_needs && cut->needs[i].relation == oid; i++) {
        int other = place_of(cut, cut->needs[i].needs);
        if (other >= 0 && other < place && cut->where[other] == LATER)
            return true;
    }
    return false;
}

static void take_table(struct cut *cut, int place)
{
    uint32_t oid = cut->toc->items[place].oid;
    if (cut->later.n && (cut->barrier || needs_later(cut, place)))
        flush(cut);
    cut->tables.items[cut->tables.n++] = place;
    cut->where[place] = TABLES;
    for (int i = first_need(cut, oid); i < cut->n_needs && cut->needs[i].relation == oid; i++) {
        int other = place_of(cut, cut->needs[i].needs);
        if (other >= 0 && other < place && cut->where[other] == TABLES)
            join(cut, place, other);
    }
}

static void take(struct cut *cut, int place)
{
    const struct ph_toc_entry *e = &cut->toc->items[place];
    bool with_table = place > 0 && follows(e) && cut->where[place - 1] == TABLES;
    if (is_table(e)) {
        take_table(cut, place);
    } else if (with_table) {
        cut->tables.items[cut->tables.n++] = place;
        cut->where[place] = TABLES;
        join(cut, place, place - 1);
    } else {
        cut->later.items[cut->later.n++] = place;
        cut->where[place] = LATER;
        cut->barrier = cut->barrier || !(can_wait(e) || follows(e));
    }
}

void ph_waves_cut(struct ph_waves *out, struct ph_arena *arena, const struct ph_toc *toc,
                  const struct ph_wave_need *needs, int n_needs, int most, int beside)
{
    size_t room = (size_t)toc->n + 1;
    struct cut cut = {.arena = arena, .toc = toc, .out = out, .most = most, .beside = beside};
    *out = (struct ph_waves){.chunks = ph_arena_calloc(arena, room, sizeof *out->chunks),
                             .wave = ph_arena_calloc(arena, room, sizeof *out->wave)};
    cut.group = ph_arena_calloc(arena, room, sizeof *cut.group);
    cut.where = ph_arena_calloc(arena, room, sizeof *cut.where);
    cut.tables.items = ph_arena_calloc(arena, room, sizeof(int));
    cut.later.items = ph_arena_calloc(arena, room, sizeof(int));
    for (int i = 0; i < toc->n; i++)
        cut.group[i] = i;
    index_relations(&cut);
    take_needs(&cut, needs, n_needs);
    for (int i = 0; i < toc->n; i++)
        take(&cut, i);
    flush(&cut);
}
