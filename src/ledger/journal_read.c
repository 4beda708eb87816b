/* Reading an extract's history. A line that is not whole, or not known, is skipped. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "io/file.h"
#include "ledger/journal.h"
#include "ledger/journal_name.h"

enum { MOST = 512 << 20 };

struct reading {
    struct ph_history *h;
    const char *set;
    const char *error;
    double first; /* when the first run began, by the calendar */
    int room_movers, room_points, room_moments, room_bars;
};

static double real_of(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static int64_t int_of(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static const char *text_of(struct ph_history *h, const json_t *o, const char *key)
{
    return ph_arena_strdup(&h->arena, json_string_value(json_object_get(o, key)));
}

/* Makes room for one more in an array of the arena's. */
static void *grow(struct ph_arena *arena, void *items, int n, int *room, size_t size)
{
    if (n < *room)
        return items;
    int more = *room ? 2 * *room : 64;
    void *bigger = ph_arena_calloc(arena, (size_t)more, size);
    if (n > 0)
        memcpy(bigger, items, (size_t)n * size);
    *room = more;
    return bigger;
}
#define GROW(r, what)                                                                              \
    ((r)->h->what = grow(&(r)->h->arena, (r)->h->what, (r)->h->n_##what, &(r)->room_##what,        \
                         sizeof *(r)->h->what))

static const char *calendar(struct ph_arena *arena, double at)
{
    time_t t = (time_t)at;
    struct tm tm;
    gmtime_r(&t, &tm);
    return ph_arena_printf(arena, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                           tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Runs follow each other, whatever the calendar was set to meanwhile. */
static void take_run(struct reading *r, const json_t *o)
{
    struct ph_history *h = r->h;
    double at = real_of(o, "at");
    char *facts = json_is_object(json_object_get(o, "facts"))
                      ? json_dumps(json_object_get(o, "facts"), JSON_COMPACT)
                      : NULL;
    if (h->n_movers == 0) {
        r->first = at;
        h->started = calendar(&h->arena, at);
    }
    double start = at - r->first;
    double before = h->n_movers ? h->movers[h->n_movers - 1].end : 0;
    start = start > before ? start : before;
    GROW(r, movers);
    h->movers[h->n_movers] = (struct ph_history_mover){
        .id = h->n_movers + 1,
        .pid = (int)int_of(o, "pid"),
        .host = text_of(h, o, "host"),
        .started = calendar(&h->arena, at),
        .start = start,
        .end = start,
        .facts = ph_arena_strdup(&h->arena, facts),
    };
    h->n_movers++;
    r->error = NULL;
    free(facts);
}

/* A moment of the last run. */
static double heard(struct reading *r, double at)
{
    struct ph_history_mover *m = &r->h->movers[r->h->n_movers - 1];
    at = m->start + (at > 0 ? at : 0);
    if (at > m->end)
        m->end = at;
    return at;
}

static void take_sample(struct reading *r, const json_t *o)
{
    GROW(r, points);
    struct ph_history_point *p = &r->h->points[r->h->n_points++];
    *p = (struct ph_history_point){.mover = r->h->n_movers - 1,
                                   .at = heard(r, real_of(o, "at")),
                                   .rows = (uint64_t)int_of(o, "rows"),
                                   .bytes = (uint64_t)int_of(o, "bytes"),
                                   .spilled = (uint64_t)int_of(o, "files"),
                                   .busy = (int)int_of(o, "busy"),
                                   .waits = ""};
    for (int k = 0; k < PH_N_STAGES; k++)
        p->stages[k] = real_of(json_object_get(o, "stages"), ph_stage_names[k]);
}

static void take_event(struct reading *r, const json_t *o)
{
    GROW(r, moments);
    r->h->moments[r->h->n_moments++] =
        (struct ph_history_moment){.mover = r->h->n_movers - 1,
                                   .at = heard(r, real_of(o, "at")),
                                   .event = text_of(r->h, o, "event"),
                                   .text = text_of(r->h, o, "text"),
                                   .shard = int_of(o, "shard")};
}

/* Files of another set were taken back when the extract started over. */
static void take_file(struct reading *r, const json_t *o)
{
    const char *set = json_string_value(json_object_get(o, "set"));
    double from = heard(r, real_of(o, "from")), to = heard(r, real_of(o, "to"));
    if (!set || strncmp(set, r->set, strlen(set)) != 0)
        return;
    GROW(r, bars);
    r->h->bars[r->h->n_bars++] = (struct ph_history_bar){.mover = r->h->n_movers - 1,
                                                         .slot = (int)int_of(o, "worker"),
                                                         .from = from,
                                                         .to = to,
                                                         .shard = int_of(o, "shard"),
                                                         .tab = (int)int_of(o, "tab") - 1,
                                                         .rows = (uint64_t)int_of(o, "rows"),
                                                         .bytes = (uint64_t)int_of(o, "bytes"),
                                                         .attempt = (int)int_of(o, "attempt"),
                                                         .kind = PH_BAR_SPILLED};
}

static void take_end(struct reading *r, const json_t *o)
{
    heard(r, real_of(o, "at"));
    r->h->movers[r->h->n_movers - 1].ended = true;
    r->error = text_of(r->h, o, "error");
}

static void take_line(void *arg, const json_t *line)
{
    static const struct {
        const char *kind;
        void (*take)(struct reading *r, const json_t *o);
    } kinds[] = {
        {"sample", take_sample}, {"event", take_event}, {"file", take_file}, {"end", take_end}};
    struct reading *r = arg;
    const json_t *o = json_object_get(line, "run");
    if (json_is_object(o))
        take_run(r, o);
    for (size_t i = 0; r->h->n_movers > 0 && i < sizeof kinds / sizeof *kinds; i++)
        if (json_is_object(o = json_object_get(line, kinds[i].kind)))
            kinds[i].take(r, o);
}

static bool each_line(int dir, const char *shown, void (*take)(void *arg, const json_t *line),
                      void *arg, struct ph_err *err)
{
    char *data = NULL;
    size_t len;
    if (!ph_file_read(dir, shown, PH_JOURNAL_NAME, MOST, &data, &len, err))
        return false;
    for (char *p = data, *end; p && *p; p = end) {
        end = p + strcspn(p, "\n");
        json_t *line = json_loadb(p, (size_t)(end - p), 0, NULL);
        if (json_is_object(line))
            take(arg, line);
        json_decref(line);
        end += *end == '\n';
    }
    free(data);
    return true;
}

/* By worker and time, as the charts want them. */
static int by_place(const void *a, const void *b)
{
    const struct ph_history_bar *x = a, *y = b;
    int order = x->mover != y->mover ? x->mover - y->mover : x->slot - y->slot;
    return order ? order : (x->from > y->from) - (x->from < y->from);
}

bool ph_journal_read(struct ph_history **out, const char **error, int dir, const char *shown,
                     const char *set, bool live, struct ph_err *err)
{
    struct ph_history *h = calloc(1, sizeof *h);
    struct reading r = {.h = h, .set = set};
    *out = h;
    *error = NULL;
    if (!h)
        return ph_err_nomem(err);
    if (!each_line(dir, shown, take_line, &r, err)) {
        ph_history_free(h);
        *out = NULL;
        return false;
    }
    h->now = (double)time(NULL) - r.first;
    struct ph_history_mover *last = h->n_movers ? &h->movers[h->n_movers - 1] : NULL;
    if (last && live && !last->ended) {
        last->live = true;
        last->end = h->now > last->end ? h->now : last->end;
    }
    if (h->n_bars > 0)
        qsort(h->bars, (size_t)h->n_bars, sizeof *h->bars, by_place);
    *error = r.error;
    return true;
}

/* Wishes. */

struct wishes {
    struct ph_arena *arena;
    struct ph_ledger_wish *item;
    int n, room;
};

static void take_wish(void *arg, const json_t *line)
{
    struct wishes *w = arg;
    const json_t *o = json_object_get(line, "wish");
    const char *word = json_string_value(json_object_get(o, "word"));
    const char *who = json_string_value(json_object_get(o, "who"));
    if (!word || !who)
        return;
    w->item = grow(w->arena, w->item, w->n, &w->room, sizeof *w->item);
    w->item[w->n] = (struct ph_ledger_wish){.no = w->n + 1,
                                            .word = ph_arena_strdup(w->arena, word),
                                            .who = ph_arena_strdup(w->arena, who),
                                            .keep = true};
    w->n++;
}

bool ph_journal_wishes(int dir, const char *shown, struct ph_arena *arena,
                       struct ph_ledger_wish **wishes, int *n, struct ph_err *err)
{
    struct wishes w = {.arena = arena};
    bool ok = each_line(dir, shown, take_wish, &w, err);
    *wishes = w.item;
    *n = w.n;
    return ok;
}
